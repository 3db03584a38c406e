"""FreeCAD is started again: it finds the job that it left, without being told."""

from __future__ import annotations

import sys

import driving


def scene(drive: driving.Drive) -> None:
    """The workbench is not even chosen."""
    name = "mfgviz_freecad.host.controller"
    drive.wait(lambda: getattr(sys.modules.get(name), "_held", None), 20, "the add-on, by itself")
    session = drive.controller.session
    drive.wait(lambda: session.follower, 20, "the connection")
    drive.seen["followed"] = sorted(session.follower.unfinished)
    drive.open(str(drive.folder / "outage.FCStd"))
    drive.wait(lambda: session.reference == "OUT-1@A", 20, "the revision, from the document")
    drive.wait(lambda: not session.follower.unfinished, 90, "the job's end")
    drive.wait(lambda: drive.panel.strip.count() == drive.given["renders"], 20, "all renders in the strip")
    drive.arrange()
    drive.look()
    drive.rest(0.5)
    drive.seen["material"] = drive.panel.material.currentText()
    drive.seen.update(told=drive.panel.told.text(), notice=drive.panel.notice.text)
    drive.shot("found-again")


driving.play(scene)
