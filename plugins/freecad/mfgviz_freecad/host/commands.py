"""The commands of toolbar and menu."""

from __future__ import annotations

from typing import Any

import FreeCAD
import FreeCADGui

from .. import RESOURCES
from ..i18n import tr

NAMES = ("Mfgviz_RenderPart", "Mfgviz_RenderView", "Mfgviz_RenderOnSave", "Mfgviz_Renders", "Mfgviz_Settings")


def icon_path(name: str) -> str:
    """The file of an icon."""
    return str(RESOURCES / "icons" / f"{name}.svg")


def _controller() -> Any:
    from .controller import controller

    return controller()


class RenderPart:
    """Export this part and render it from the view chosen in the dock."""

    def GetResources(self) -> dict[str, Any]:  # noqa: N802
        return {
            "Pixmap": icon_path("render_part"),
            "MenuText": tr("Render this part"),
            "ToolTip": tr("Send this part to mfgviz and render it from the view chosen in the dock"),
            "Accel": "Ctrl+Alt+R",
        }

    def IsActive(self) -> bool:  # noqa: N802
        return FreeCAD.ActiveDocument is not None

    def Activated(self) -> None:  # noqa: N802
        _controller().render_part()


class RenderView:
    """The same from the camera of the 3D view."""

    def GetResources(self) -> dict[str, Any]:  # noqa: N802
        return {
            "Pixmap": icon_path("render_view"),
            "MenuText": tr("Render this view"),
            "ToolTip": tr("Render the part as the 3D view shows it, so that the picture lies over it"),
            "Accel": "Ctrl+Alt+Shift+R",
        }

    def IsActive(self) -> bool:  # noqa: N802
        return FreeCAD.ActiveDocument is not None

    def Activated(self) -> None:  # noqa: N802
        _controller().render_view()


class RenderOnSave:
    """Render whenever a document is saved and its shape has changed."""

    def GetResources(self) -> dict[str, Any]:  # noqa: N802
        return {
            "Pixmap": icon_path("render_on_save"),
            "MenuText": tr("Render on save"),
            "ToolTip": tr("Render this part each time it is saved and its shape has changed"),
            "Checkable": saved_preferences().render_on_save,
        }

    def IsActive(self) -> bool:  # noqa: N802
        return True

    def Activated(self, checked: int = 0) -> None:  # noqa: N802
        _controller().set_render_on_save(bool(checked))


class Renders:
    """Show or hide the dock."""

    def GetResources(self) -> dict[str, Any]:  # noqa: N802
        return {
            "Pixmap": icon_path("renders"),
            "MenuText": tr("Renders"),
            "ToolTip": tr("Show or hide the dock with this revision's renders"),
        }

    def IsActive(self) -> bool:  # noqa: N802
        return True

    def Activated(self) -> None:  # noqa: N802
        dock = _controller().dock
        dock.setVisible(not dock.isVisible())
        dock.raise_()


class Settings:
    """Server, token, defaults."""

    def GetResources(self) -> dict[str, Any]:  # noqa: N802
        return {
            "Pixmap": icon_path("settings"),
            "MenuText": tr("Settings …"),
            "ToolTip": tr("Server, token and defaults of mfgviz"),
        }

    def IsActive(self) -> bool:  # noqa: N802
        return True

    def Activated(self) -> None:  # noqa: N802
        _controller().show_settings()


def saved_preferences() -> Any:
    """What was set, before anything is started."""
    from pathlib import Path

    from ..core.preferences import PreferencesFile

    return PreferencesFile(Path(FreeCAD.getUserAppDataDir()) / "mfgviz" / "settings.json").load()


def register() -> None:
    """Make the commands known to FreeCAD."""
    for name, command in zip(NAMES, (RenderPart(), RenderView(), RenderOnSave(), Renders(), Settings())):
        FreeCADGui.addCommand(name, command)
