"""Inside FreeCAD: presses buttons, waits, measures the event loop, takes screenshots, writes down what it saw.

A scene is a script that defines `scene(drive)` and ends with `driving.play(scene)`. What it puts into
`drive.seen` is in the result file; an exception is too.
"""

from __future__ import annotations

import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import FreeCAD
import FreeCADGui
from mfgviz_freecad.qt import QAction, QtCore, QtWidgets

BEAT_MS = 5
WORKBENCH = "MfgvizWorkbench"


class Heart:
    """How long the event loop was away, and how much of that this process really computed.

    On a machine with other work a process waits for its turn: a gap counts with the processor time that the
    process used in it, where that is less.
    """

    def __init__(self) -> None:
        self._timer = QtCore.QTimer()
        self._timer.setTimerType(QtCore.Qt.PreciseTimer)
        self._timer.timeout.connect(self._beat)
        self.gaps: list[tuple[float, float, str]] = []
        self.label = ""
        self._last: tuple[float, float] | None = None

    def start(self) -> None:
        """From now on."""
        self._last = None
        self._timer.start(BEAT_MS)

    def name(self, label: str) -> None:
        """Gaps from now on are of this."""
        self.label = label

    def _beat(self) -> None:
        now = (time.monotonic(), time.thread_time())
        if self._last is not None:
            self.gaps.append((now[0] - self._last[0], now[1] - self._last[1], self.label))
        self._last = now

    def longest(self) -> dict[str, list[float]]:
        """For each label, the longest gap and the most processor time in a gap, in seconds."""
        found: dict[str, list[float]] = {}
        for wall, busy, label in self.gaps:
            held = found.setdefault(label, [0.0, 0.0])
            held[0], held[1] = max(held[0], wall), max(held[1], busy)
        return {label: [round(one, 4) for one in pair] for label, pair in found.items()}


class Drive:
    """What a scene does things with."""

    def __init__(self) -> None:
        self.folder = Path(os.environ["MFGVIZ_SCENE_FOLDER"])
        self.shots = Path(os.environ["MFGVIZ_SCENE_SHOTS"])
        self.given: dict[str, Any] = json.loads(os.environ.get("MFGVIZ_SCENE_GIVEN", "{}"))
        self.seen: dict[str, Any] = {}
        self.heart = Heart()
        self.window = FreeCADGui.getMainWindow()
        self._began = time.monotonic()

    def log(self, *what: object) -> None:
        """Onto the scene's log."""
        print(f"[{time.monotonic() - self._began:6.2f}]", *what, flush=True)

    def wait(self, condition: Callable[[], Any], limit_s: float, what: str) -> Any:
        """Let FreeCAD live until something is so."""
        deadline = time.monotonic() + limit_s
        while True:
            QtWidgets.QApplication.processEvents(QtCore.QEventLoop.AllEvents, 5)
            if found := condition():
                self.log("there:", what)
                return found
            if time.monotonic() > deadline:
                self.shot("stuck")
                raise AssertionError(f"not within {limit_s:g} s: {what}; the dock says: {self.said()}")
            time.sleep(0.001)

    def rest(self, seconds: float) -> None:
        """Let FreeCAD live for a while."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            QtWidgets.QApplication.processEvents(QtCore.QEventLoop.AllEvents, 5)
            time.sleep(0.001)

    def said(self) -> str:
        """The words in the dock."""
        panel = self.controller.panel
        return f"{panel.told.text()!r} | {panel.notice.text!r}"

    @property
    def controller(self) -> Any:
        """The add-on's controller."""
        from mfgviz_freecad.host.controller import controller

        return controller()

    @property
    def panel(self) -> Any:
        """The dock's panel."""
        return self.controller.panel

    def arrange(self, width: int = 1500, height: int = 940) -> None:
        """A window of that size: without a window manager a dock widens it past the screen."""
        self.window.showNormal()
        for narrower in (1, 0):  # the layout is only made again for another size
            self.window.setGeometry(0, 0, width - narrower, height)
            self.rest(0.1)
        for dock in self.window.findChildren(QtWidgets.QDockWidget):
            if dock.objectName() in ("Report view", "Python console", "Selection view"):
                dock.hide()
        self.rest(0.3)
        self.log("window", self.window.geometry(), "dock", self.controller.dock.geometry())

    def workbench(self) -> None:
        """Choose ours."""
        FreeCADGui.activateWorkbench(WORKBENCH)
        self.controller.dock.show()
        self.arrange()

    def action(self, name: str) -> Any:
        """A command's action, as the toolbar shows it."""
        return next(one for one in self.window.findChildren(QAction) if one.objectName() == name)

    def press(self, name: str) -> None:
        """Press a command's button in the real toolbar."""
        bar = next(one for one in self.window.findChildren(QtWidgets.QToolBar) if one.objectName() == "mfgviz")
        button = bar.widgetForAction(self.action(name))
        assert button.isVisible(), f"{name} is not to be seen"
        assert button.isEnabled(), f"{name} is not enabled"
        button.click()

    def child(self, name: str) -> Any:
        """A widget of the dock by its name."""
        found = self.panel.findChild(QtWidgets.QWidget, name)
        assert found is not None, name
        return found

    def shot(self, name: str, widget: Any = None) -> None:
        """A screenshot of the window, or of a widget."""
        self.rest(0.15)
        picture = QtWidgets.QApplication.primaryScreen().grabWindow(0)
        if widget is not None:
            corner = widget.mapToGlobal(QtCore.QPoint(0, 0))
            picture = picture.copy(QtCore.QRect(corner, widget.size()))
        else:
            picture = picture.copy(self.window.geometry())
        self.shots.mkdir(parents=True, exist_ok=True)
        picture.save(str(self.shots / f"{name}.png"))

    def open(self, path: str) -> Any:
        """Open a document or import a STEP file."""
        if path.endswith(".FCStd"):
            return FreeCAD.openDocument(path)
        import ImportGui

        document = FreeCAD.newDocument(Path(path).stem)
        ImportGui.insert(path, document.Name)
        document.recompute()
        return document

    def look(self, kind: str = "Orthographic", how: str = "viewIsometric") -> Any:
        """The active 3D view, set up without any animation."""
        view = FreeCADGui.ActiveDocument.ActiveView
        FreeCAD.ParamGet("User parameter:BaseApp/Preferences/View").SetBool("UseNavigationAnimations", False)
        view.setCameraType(kind)
        getattr(view, how)()
        view.fitAll()
        self.rest(0.3)
        return view


def play(scene: Callable[[Drive], None]) -> None:
    """Run the scene when FreeCAD is up, write the result, end FreeCAD."""

    def run() -> None:
        drive = Drive()
        result: dict[str, Any] = {"error": None}
        try:
            scene(drive)
        except BaseException:  # noqa: BLE001 - handed to pytest
            result["error"] = traceback.format_exc()
            traceback.print_exc()
        result.update(seen=drive.seen, gaps=drive.heart.longest())
        (drive.folder / "result.json").write_text(json.dumps(result, indent=1))
        sys.stdout.flush()
        os._exit(0)

    QtCore.QTimer.singleShot(800, run)
