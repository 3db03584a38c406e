"""What FreeCAD's start and the choice of the workbench come to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import FreeCAD
import FreeCADGui

from .. import RESOURCES
from ..core.state import StateFile
from ..i18n import tr
from ..qt import QtCore
from . import commands
from .commands import icon_path, saved_preferences

TITLE = "mfgviz"
AFTER_START_MS = 1500

__all__ = ["TITLE", "activated", "icon_path", "initialize", "startup", "tool_tip"]


def tool_tip() -> str:
    """What the workbench is for."""
    return tr("Pictures of this part revision, rendered by mfgviz")


def startup() -> None:
    """At FreeCAD's start: texts and commands; the rest only where something waits for it."""
    FreeCADGui.addLanguagePath(str(RESOURCES / "translations"))
    FreeCADGui.updateLocale()
    commands.register()
    QtCore.QTimer.singleShot(AFTER_START_MS, _take_up)


def initialize(workbench: Any) -> None:
    """Toolbar and menu."""
    workbench.appendToolbar(TITLE, list(commands.NAMES))
    workbench.appendMenu(f"&{TITLE}", list(commands.NAMES))


def activated() -> None:
    """The dock comes with the workbench."""
    from .controller import controller

    controller().dock.show()


def _take_up() -> None:
    """Jobs that were still under way when FreeCAD was closed, requests that were not sent, render on save."""
    state = StateFile(Path(FreeCAD.getUserAppDataDir()) / "mfgviz" / "state.json")
    if saved_preferences().render_on_save or state.has_unfinished:
        from .controller import controller

        controller()
