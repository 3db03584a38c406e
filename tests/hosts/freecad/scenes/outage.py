"""A server that is killed while a job runs, requests that cannot be sent, a FreeCAD that is closed."""

from __future__ import annotations

import driving
import FreeCADGui


def scene(drive: driving.Drive) -> None:
    """Nothing is lost, and each thing is said."""
    document = drive.open(drive.given["file"])
    drive.workbench()
    drive.look()
    panel, session = drive.panel, drive.controller.session
    drive.wait(lambda: session.models, 60, "the server's models")
    drive.identify("OUT-1", "A")
    drive.small()
    document.saveAs(str(drive.folder / "outage.FCStd"))
    drive.rest(0.5)
    drive.heart.start()

    # 1. The server dies while it renders.
    panel.count.setValue(6)
    drive.press("Mfgviz_RenderPart")
    drive.wait(lambda: panel.told.text().startswith("Rendering, step"), 90, "sampling")
    (first,) = session.follower.unfinished
    drive.heart.name("asked")
    drive.ask("kill the server")
    drive.heart.name("waiting")
    drive.wait(lambda: "No server answers" in panel.notice.text, 60, "the outage in words")
    drive.seen["outage"] = panel.notice.text
    drive.shot("server-away")

    # 2. What is asked for meanwhile is kept.
    panel.count.setValue(1)
    drive.press("Mfgviz_RenderView")
    drive.wait(lambda: "is kept" in panel.notice.text, 30, "the request that is kept")
    drive.seen["kept"] = panel.notice.text
    drive.shot("request-kept")
    (pending,) = session.state.pending()

    # 3. It comes back: the job goes on by itself, the request is sent at a press.
    drive.heart.name("asked")
    drive.ask("start the server")
    drive.heart.name("waiting")
    drive.wait(lambda: first not in session.follower.unfinished, 150, "the first job's end")
    drive.wait(lambda: panel.strip.count() == 6, 30, "its renders")
    drive.seen["first"] = first
    drive.child("mfgviz_send").click()
    drive.wait(lambda: session.follower.unfinished, 30, "the kept request's job")
    (second,) = session.follower.unfinished
    drive.wait(lambda: not session.follower.unfinished, 60, "its end")
    drive.seen.update(
        second=second, key=pending.key, left=len(session.state.pending()), notice=panel.notice.text
    )

    # 4. FreeCAD is closed while a job runs: large pictures, so that it still runs when FreeCAD is open again.
    panel.side.insertItem(0, "896 px", 896)
    panel.side.setCurrentIndex(0)
    panel.count.setValue(6)
    drive.press("Mfgviz_RenderPart")
    drive.wait(lambda: session.follower.unfinished, 60, "the third job")
    (drive.seen["third"],) = session.follower.unfinished
    FreeCADGui.SendMsgToActiveView("Save")


driving.play(scene)
