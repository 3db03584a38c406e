"""A document is opened, its identity set, the toolbar's buttons pressed; the renders come into the dock."""

from __future__ import annotations

import driving


def scene(drive: driving.Drive) -> None:
    """Once from the chosen view; then for each asked camera and window as the 3D view shows it."""
    document = drive.open(drive.given["file"])
    drive.workbench()
    drive.heart.start()
    drive.look()
    panel = drive.panel
    drive.wait(lambda: drive.controller.session.models, 60, "the server's models")
    drive.identify(*drive.given["revision"].split("@"), material="brushed aluminium")
    panel.count.setValue(2)
    drive.rest(0.5)
    drive.shot("before")

    drive.seen["told"] = drive.render("Mfgviz_RenderPart", shots="part")
    drive.seen["meta"] = dict(document.Meta)
    drive.seen["export_s"] = drive.controller.export_s
    panel.count.setValue(1)
    asked_elsewhere(drive)

    drive.seen["views"] = []
    for number, (kind, how, size) in enumerate(drive.given["views"]):
        drive.heart.name("setting up")
        drive.arrange(*size)
        view = drive.look(kind, how)
        if number == 0:
            drive.render("Mfgviz_RenderView")
            drive.shot("window")
            drive.shot("dock", drive.controller.dock)
        else:
            cancel(drive)
        drive.seen["views"].append(drive.overlay(view))
    drive.arrange(1500, 940)
    drive.heart.name("enlarging")
    panel.strip.itemClicked.emit(panel.strip.item(0))
    viewer = drive.wait(lambda: drive.controller.pictures.viewer, 10, "the viewer")
    drive.wait(lambda: viewer.picture.pixmap() is not None and viewer.isVisible(), 10, "its picture")
    drive.rest(0.8)
    drive.shot("viewer", viewer)
    viewer.close()
    drive.seen["dock_px"] = [drive.controller.dock.width(), drive.panel.sizeHint().width()]


def asked_elsewhere(drive: driving.Drive) -> None:
    """A long job that was asked for by other means is found, shown with its preview, and cancelled."""
    panel, session = drive.panel, drive.controller.session
    drive.heart.name("asked")
    drive.ask("start a long job")
    drive.heart.name("waiting")
    panel.refresh.click()
    drive.wait(lambda: session.follower.unfinished, 20, "the job that was asked for elsewhere")
    (job_id,) = session.follower.unfinished
    drive.wait(lambda: panel.preview.has_picture and session.jobs[job_id]["step"] > 12, 60, "its preview")
    drive.shot("preview")
    drive.heart.name("waiting")
    panel.cancel.click()
    drive.wait(lambda: job_id not in session.follower.unfinished, 60, "its end")
    drive.wait(lambda: panel.told.text() == "Cancelled." and not panel.preview.has_picture, 10, "the word")
    drive.seen["cancelled"] = [job_id]


def cancel(drive: driving.Drive) -> None:
    """Ask, and cancel with the dock's button as soon as the server has the job."""
    panel, session = drive.panel, drive.controller.session
    drive.press("Mfgviz_RenderView")
    drive.wait(lambda: session.follower.unfinished and not session.is_sending, 60, "the job")
    (job_id,) = session.follower.unfinished
    assert panel.cancel.isEnabled()
    panel.cancel.click()
    drive.wait(lambda: job_id not in session.follower.unfinished, 60, "its end")
    drive.wait(lambda: panel.told.text() == "Cancelled.", 10, "the word")
    assert not panel.cancel.isEnabled()
    drive.seen["cancelled"].append(job_id)


driving.play(scene)
