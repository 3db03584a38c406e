"""Inside FreeCAD: presses buttons, waits, measures the event loop, takes pictures, says what it saw.

A scene is a script that defines `scene(drive)` and ends with `driving.play(scene)`. What it puts into
`drive.seen` is in the result file; an exception is too.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import FreeCAD
import FreeCADGui
from mfgviz_freecad.qt import QAction, QtCore, QtWidgets

BEAT_MS = 5
PATIENCE = 4
NOTABLE_S = 0.05
WORKBENCH = "MfgvizWorkbench"


class Heart:
    """How long the event loop was away.

    On a machine with other work a thread waits for its turn, and so does the X server that it draws on: the
    kernel counts that (schedstat), and a gap counts without it, but never less than the processor time of the
    window's thread. What is left is time that it computed, or waited for something.
    """

    def __init__(self) -> None:
        self._timer = QtCore.QTimer()
        self._timer.setTimerType(QtCore.Qt.PreciseTimer)
        self._timer.timeout.connect(self._beat)
        self._schedstats = [
            Path(f"/proc/self/task/{threading.get_native_id()}/schedstat"),
            *_display_server(),
        ]
        self.gaps: list[tuple[float, float, str]] = []
        self.worst: list[tuple[float, str, float]] = []
        self.label = ""
        self._last: tuple[float, float, float] | None = None

    def start(self) -> None:
        """From now on."""
        self._last = None
        self._timer.start(BEAT_MS)

    def name(self, label: str) -> None:
        """What happens from now on is of this. What just happened, until now, is of what was named before."""
        if self._last is not None:
            self._beat()
        self.label = label

    @contextmanager
    def named(self, label: str) -> Iterator[None]:
        """What happens within is of this."""
        before = self.label
        self.name(label)
        try:
            yield
        finally:
            self.name(before)

    def _beat(self) -> None:
        now = (time.monotonic(), self._waited_s(), time.thread_time())
        if self._last is not None:
            wall = now[0] - self._last[0]
            counts = max(wall - (now[1] - self._last[1]), now[2] - self._last[2])
            self.gaps.append((wall, counts, self.label))
            if counts > NOTABLE_S:
                self.worst.append((round(counts, 3), self.label, round(now[0], 2)))
        self._last = now

    def _waited_s(self) -> float:
        """How long this thread, and the X server, were ready to run while others ran."""
        try:
            return sum(int(one.read_text().split()[1]) for one in self._schedstats) / 1e9
        except (OSError, IndexError):
            return 0.0

    def longest(self) -> dict[str, list[float]]:
        """For each label, the longest gap by the clock, and the longest that counts, in seconds."""
        found: dict[str, list[float]] = {}
        for wall, counts, label in self.gaps:
            held = found.setdefault(label, [0.0, 0.0])
            held[0], held[1] = max(held[0], wall), max(held[1], counts)
        return {label: [round(one, 4) for one in pair] for label, pair in found.items()}


def _display_server() -> list[Path]:
    """The scheduler's figures of the X server of this display."""
    found = []
    for one in Path("/proc").glob("[0-9]*"):
        try:
            words = (one / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            continue
        if "Xvfb" in words[0] and os.environ.get("DISPLAY", "?").split(".")[0] in words:
            found.append(one / "schedstat")
    return found


class Drive:
    """What a scene does things with."""

    def __init__(self) -> None:
        self.folder = Path(os.environ["MFGVIZ_SCENE_FOLDER"])
        self.shots = Path(os.environ["MFGVIZ_SCENE_SHOTS"])
        self.given: dict[str, Any] = json.loads(os.environ.get("MFGVIZ_SCENE_GIVEN", "{}"))
        self.seen: dict[str, Any] = {}
        self.heart = Heart()
        self.window = FreeCADGui.getMainWindow()
        self.began = time.monotonic()

    def log(self, *what: object) -> None:
        """Onto the scene's log."""
        print(f"[{time.monotonic() - self.began:6.2f}]", *what, flush=True)

    def wait(self, condition: Callable[[], Any], limit_s: float, what: str) -> Any:
        """Let FreeCAD live until something is so. The limits are for a machine that does nothing else."""
        deadline = time.monotonic() + PATIENCE * limit_s
        while True:
            QtWidgets.QApplication.processEvents(QtCore.QEventLoop.AllEvents, 5)
            if found := condition():
                self.log("there:", what)
                return found
            if time.monotonic() > deadline:
                self.shot("stuck")
                raise AssertionError(f"not within {limit_s:g} s: {what}; the dock says: {self.said()}")
            time.sleep(0.001)

    def ask(self, what: str) -> None:
        """Have the test do something outside FreeCAD, and live on until it is done."""
        path = self.folder / f"ask-{time.monotonic_ns()}"
        partial = path.with_name("partial")
        partial.write_text(what)
        partial.rename(path)
        self.wait(lambda: not path.exists(), 120, f"asked to {what}")

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
        with self.heart.named("setting up"):
            self._arrange(width, height)
        self.log("window", self.window.geometry(), "dock", self.controller.dock.geometry())

    def _arrange(self, width: int, height: int) -> None:
        self.window.showNormal()
        for narrower in (1, 0):  # the layout is only made again for another size
            self.window.setGeometry(0, 0, width - narrower, height)
            self.rest(0.1)
        for dock in self.window.findChildren(QtWidgets.QDockWidget):
            if dock.objectName() in ("Report view", "Python console", "Selection view"):
                dock.hide()
            elif dock.objectName() == "Combo View":
                dock.setVisible(width > height)
        self.rest(0.3)

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
        bar = next(
            one for one in self.window.findChildren(QtWidgets.QToolBar) if one.objectName() == "mfgviz"
        )
        button = bar.widgetForAction(self.action(name))
        assert button.isVisible(), f"{name} is not to be seen"
        assert button.isEnabled(), f"{name} is not enabled"
        self.heart.name(f"press {name}")
        button.click()
        self.rest(0.05)  # the press's own gap ends
        self.heart.name("waiting")

    def child(self, name: str) -> Any:
        """A widget of the dock by its name."""
        found = self.panel.findChild(QtWidgets.QWidget, name)
        assert found is not None, name
        return found

    def shot(self, name: str, widget: Any = None) -> None:
        """A screenshot of the window, or of a widget."""
        self.rest(0.15)
        with self.heart.named("screenshot"):
            self._grab(name, widget)

    def _grab(self, name: str, widget: Any) -> None:
        picture = QtWidgets.QApplication.primaryScreen().grabWindow(0)
        if widget is not None:
            corner = widget.mapToGlobal(QtCore.QPoint(0, 0))
            picture = picture.copy(QtCore.QRect(corner, widget.size()))
        else:
            picture = picture.copy(self.window.geometry())
        self.shots.mkdir(parents=True, exist_ok=True)
        picture.save(str(self.shots / f"{name}.png"))

    def type(self, edit: Any, text: str) -> None:
        """Type into a line, and press Enter."""
        edit.setFocus()
        edit.selectAll()
        edit.insert(text)
        edit.setModified(True)
        edit.returnPressed.emit()
        edit.editingFinished.emit()

    def identify(self, number: str, revision: str, material: str = "steel") -> None:
        """Type them into the dock, as a person does."""
        panel = self.panel
        self.type(panel.number, number)
        self.type(panel.revision, revision)
        panel.material.setEditText(material)
        self.wait(lambda: self.controller.session.reference == f"{number}@{revision}", 10, "the revision")

    def render(self, button: str, *, shots: str = "") -> list[str]:
        """Press, and wait until the renders are in the strip. All that the dock said meanwhile."""
        panel, session = self.panel, self.controller.session
        before, told = panel.strip.count(), [""]
        self.press(button)
        deadline = time.monotonic() + PATIENCE * 60
        while panel.strip.count() == before or session.follower.unfinished:
            self.rest(0.01)
            if panel.told.text() != told[-1]:
                told.append(panel.told.text())
            assert time.monotonic() < deadline, f"{told}, {panel.notice.text}"
        self.wait(lambda: panel.told.text().startswith("Done"), 10, "the last word")
        self.wait(lambda: panel.strip.item(0).data(QtCore.Qt.DecorationRole), 10, "the thumbnail")
        told.append(panel.told.text())
        if shots:
            self.shot(f"{shots}-done")
            self.shot(f"{shots}-dock", self.controller.dock)
        return told

    def overlay(self, view: Any) -> dict[str, Any]:
        """The newest job that was asked for here, and what FreeCAD shows in its size."""
        session = self.controller.session
        job = max(one.job for one in session.state.jobs(session.api.server.url))
        got: list[Any] = []
        session.api.get(f"/jobs/{job}", got.append)
        self.wait(lambda: got, 10, "the job")
        size = [got[0].json["request"]["sampling"][side] for side in ("width", "height")]
        path = self.folder / f"view{job}.png"
        with self.heart.named("screenshot"):
            self.without_edges()
            view.saveImage(str(path), *size, "Transparent")
            self.rest(0.05)
        return {"job": job, "size": size, "picture": str(path), "window": list(view.getSize())}

    def save(self) -> None:
        """FreeCAD's own saving, and what the add-on exports after it."""
        self.heart.name("press Save")
        FreeCADGui.SendMsgToActiveView("Save")
        self.rest(0.3)
        self.heart.name("waiting")

    def small(self) -> None:
        """Pictures that take little time."""
        self.panel.side.insertItem(0, "96 px", 96)
        self.panel.side.setCurrentIndex(0)

    def without_edges(self) -> None:
        """Edges are drawn some pixels wide, half of that outside of the shape."""
        for thing in FreeCAD.ActiveDocument.Objects:
            if "Shaded" in (thing.ViewObject.listDisplayModes() if thing.ViewObject else ()):
                thing.ViewObject.DisplayMode = "Shaded"

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
        drive.log(
            "gaps:", [(counts, label, round(at - drive.began, 2)) for counts, label, at in drive.heart.worst]
        )
        (drive.folder / "result.json").write_text(json.dumps(result, indent=1))
        sys.stdout.flush()
        os._exit(0)

    QtCore.QTimer.singleShot(800, run)
