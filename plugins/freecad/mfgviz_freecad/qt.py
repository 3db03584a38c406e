"""The host's Qt, whichever it is: PySide2 (FreeCAD 0.20 and 0.21) or PySide6 (1.0 and later).

Short enum names (`Qt.AlignLeft`) work in both; what differs is bridged here. Where both are
installed, the one that the host has loaded counts: two Qts in one process end it.
"""

from __future__ import annotations

import importlib
import sys
from typing import Any


def _binding() -> str:
    for name in ("PySide6", "PySide2"):
        if f"{name}.QtCore" in sys.modules:
            return name
    for name in ("PySide6", "PySide2"):
        try:
            importlib.import_module(f"{name}.QtCore")
        except ImportError:
            continue
        return name
    raise ImportError("There is neither PySide6 nor PySide2.")


BINDING = _binding()
QtCore: Any = importlib.import_module(f"{BINDING}.QtCore")
QtGui: Any = importlib.import_module(f"{BINDING}.QtGui")
QtNetwork: Any = importlib.import_module(f"{BINDING}.QtNetwork")
QtSvg: Any = importlib.import_module(f"{BINDING}.QtSvg")
QtWidgets: Any = importlib.import_module(f"{BINDING}.QtWidgets")

Qt: Any = QtCore.Qt
Signal: Any = QtCore.Signal
QAction: Any = getattr(QtGui, "QAction", None) or QtWidgets.QAction
QActionGroup: Any = getattr(QtGui, "QActionGroup", None) or QtWidgets.QActionGroup


def run(dialog: Any) -> int:
    """Show a dialog until it is closed."""
    return int(dialog.exec() if hasattr(dialog, "exec") else dialog.exec_())
