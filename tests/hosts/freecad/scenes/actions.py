"""Settings, everything that is done with a render, render on save, and servers that say no."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import driving
import FreeCAD
import FreeCADGui
from mfgviz_freecad.qt import QtCore, QtWidgets


def scene(drive: driving.Drive) -> None:
    """A day with the add-on."""
    document = make_part(drive)
    drive.workbench()
    drive.look()
    drive.heart.start()
    drive.heart.name("waiting")
    settings(drive)
    drive.heart.start()
    first_render(drive, document)
    with_a_render(drive, document)
    on_save(drive)
    refused(drive, document)
    failed(drive)
    closed(drive, document)
    other_tokens(drive)
    language(drive)


def make_part(drive: driving.Drive) -> Any:
    """A block with a colour and a material, saved."""
    document = FreeCAD.newDocument("block")
    body = document.addObject("PartDesign::Body", "Body")
    block = body.newObject("PartDesign::AdditiveBox", "Block")
    block.Length, block.Width, block.Height = 40, 30, 20
    cut = body.newObject("PartDesign::SubtractiveCylinder", "Hole")
    cut.Radius, cut.Height = 8, 50
    cut.Placement.Base = FreeCAD.Vector(20, 15, -5)
    document.recompute()
    cut.ViewObject.ShapeColor = (0.1, 0.25, 0.85)
    body.addProperty("App::PropertyString", "Material", "PLM")
    body.Material = "Steel-C45"
    document.saveAs(str(drive.folder / "block.FCStd"))
    return document


def dialog(drive: driving.Drive, act: Callable[[Any], None]) -> None:
    """Press Settings and do something in the dialog, which waits for its end."""
    failure: list[BaseException] = []

    def inside() -> None:
        window = QtWidgets.QApplication.activeModalWidget()
        try:
            act(window)
        except BaseException as error:  # noqa: BLE001 - handed on below
            failure.append(error)
        if window.isVisible():
            window.reject()

    QtCore.QTimer.singleShot(300, inside)
    drive.press("Mfgviz_Settings")
    if failure:
        raise failure[0]


def settings(drive: driving.Drive) -> None:
    """The connection is tested with what is wrong and with what is right."""
    given = drive.given
    said: dict[str, str] = {}

    def act(window: Any) -> None:
        def test(name: str, url: str, token: str = "") -> None:
            window.url.setText(url)
            window.token.setText(token or window.token.text())
            window.verdict.setVisible(False)
            window.test.click()
            drive.wait(lambda: window.test.isEnabled() and window.verdict.text, 20, name)
            said[name] = window.verdict.text

        test("closed port", "http://127.0.0.1:9", "mfgv_wrong")
        drive.shot("settings-unreachable", window)
        test("another server", given["other"], "mfgv_wrong")
        test("wrong token", given["url"], "mfgv_wrong")
        test("viewer", given["url"], given["viewer"])
        window.token.clear()
        window.url.setText(given["connect_string"])
        assert (window.url.text(), window.token.text()) == (given["url"], given["token"])
        test("right", window.url.text())
        drive.shot("settings", window)
        window.count.setValue(2)
        window.findChild(QtWidgets.QDialogButtonBox).button(QtWidgets.QDialogButtonBox.Ok).click()

    assert "No token is set" in drive.panel.notice.text
    dialog(drive, act)
    drive.seen["tested"] = said
    drive.wait(lambda: drive.controller.session.models, 20, "the connection")
    assert drive.panel.count.value() == 2
    assert drive.panel.notice.text == ""


def first_render(drive: driving.Drive, document: Any) -> None:
    """The words of the object are in the dock; the picture comes."""
    panel = drive.panel
    drive.seen["fields"] = dict(panel.wishes.fields)
    drive.identify("ACT-1", "A", material=panel.material.currentText())
    panel.count.setValue(1)
    drive.small()
    drive.render("Mfgviz_RenderPart")
    drive.seen["written"] = [document.FileName, str(drive.folder)]


def unapproved(drive: driving.Drive, choose: Any) -> str:
    """What somebody is told who may not approve a picture, and wants it to be the part's image."""
    panel, session = drive.panel, drive.controller.session
    session.change(session.preferences, drive.given["engineer"])
    drive.wait(lambda: session.me.get("role") == "engineer" and panel.strip.count(), 20, "another role")
    choose()
    drive.wait(lambda: panel.notice.text, 10, "the refusal")
    told = panel.notice.text
    panel.notice_pressed.emit("dismiss")
    session.change(session.preferences, drive.given["token"])
    drive.wait(lambda: session.me.get("role") == "admin" and panel.strip.count(), 20, "the right token")
    return str(told)


def with_a_render(drive: driving.Drive, document: Any) -> None:
    """Every entry of the menu."""
    panel, session = drive.panel, drive.controller.session

    def choose(name: str) -> None:
        menu = panel.strip.menu_at(0)
        next(one for one in menu.actions() if one.objectName() == f"mfgviz_{name}").trigger()

    QtWidgets.QApplication.clipboard().clear()
    choose("copy")
    drive.wait(lambda: not QtWidgets.QApplication.clipboard().image().isNull(), 10, "the clipboard")
    body = document.getObject("Body")
    choose("embed")
    drive.wait(lambda: hasattr(body, "MfgvizRender") and body.MfgvizRender, 10, "the embedded picture")
    drive.seen["embedded"] = [
        Path(body.MfgvizRender).read_bytes()[:8].hex(),
        json.loads(body.MfgvizRenderRecord),
    ]
    drive.seen["unapproved"] = unapproved(drive, lambda: choose("primary"))
    choose("primary")
    drive.wait(lambda: panel.strip.render_at(0)["is_primary"] or panel.notice.text, 10, "the part's image")
    drive.seen["primary"] = [panel.strip.render_at(0)["is_primary"], panel.notice.text]
    panel.notice_pressed.emit("dismiss")
    saved = drive.folder / "saved.webp"
    drive.controller.pictures.save_to(panel.strip.render_at(0), saved)
    drive.wait(saved.exists, 10, "the saved file")
    panel.prompt.setPlainText("something else")
    choose("recall")
    drive.seen["recalled"] = [panel.prompt.toPlainText(), panel.seed.seed, panel.strip.render_at(0)["seed"]]
    drive.shot("recalled", drive.controller.dock)
    panel.seed.lock.setChecked(False)
    before = panel.strip.count()
    choose("vary")
    drive.wait(lambda: panel.strip.count() > before and not session.follower.unfinished, 60, "the variation")


def on_save(drive: driving.Drive) -> None:
    """Once for the shape, and not again for the same shape."""
    panel, session = drive.panel, drive.controller.session
    before = panel.strip.count()
    drive.action("Mfgviz_RenderOnSave").trigger()
    drive.save()
    drive.wait(
        lambda: panel.strip.count() > before and not session.follower.unfinished, 60, "the render on save"
    )
    drive.save()
    drive.wait(lambda: "the same as before" in panel.told.text(), 20, "that the shape is the same")
    drive.seen["saved_twice"] = [panel.strip.count() - before, FreeCADGui.ActiveDocument.Modified]
    drive.action("Mfgviz_RenderOnSave").trigger()


def refused(drive: driving.Drive, document: Any) -> None:
    """A released revision keeps its shape."""
    panel = drive.panel
    drive.heart.name("asked")
    drive.ask("release ACT-1@A")
    drive.heart.name("setting up")
    document.getObject("Block").Height = 25
    document.recompute()
    drive.rest(0.2)
    drive.press("Mfgviz_RenderPart")
    drive.wait(lambda: panel.notice.text, 20, "the refusal")
    drive.seen["released"] = panel.notice.text
    drive.shot("released")
    drive.heart.name("waiting")


def failed(drive: driving.Drive) -> None:
    """A job that ended badly: its words, and its second try, which is a real one."""
    panel, session = drive.panel, drive.controller.session
    panel.notice_pressed.emit("dismiss")
    drive.identify("ACT-1", "B", material="steel")
    drive.press("Mfgviz_RenderPart")
    drive.wait(lambda: session.follower.unfinished and not session.is_sending, 30, "the job")
    (job_id,) = session.follower.unfinished
    panel.cancel.click()
    drive.wait(lambda: not session.follower.unfinished, 60, "its end")
    error = {"code": "out-of-memory", "message": "The picture does not fit into memory."}
    session.job_ended.emit(
        {"id": job_id, "revision": "ACT-1@B", "state": "failed", "renders": [], "error": error}
    )
    drive.seen["failed"] = [job_id, panel.notice.text]
    drive.child("mfgviz_retry_job").click()
    drive.wait(lambda: job_id in session.follower.unfinished, 20, "the second try")
    drive.wait(lambda: not session.follower.unfinished, 60, "its end")
    drive.wait(lambda: panel.strip.count() == 1, 20, "its render")
    assert panel.notice.text == ""


def closed(drive: driving.Drive, document: Any) -> None:
    """The document is closed while its job runs."""
    panel, session = drive.panel, drive.controller.session
    panel.count.setValue(2)
    drive.press("Mfgviz_RenderPart")
    drive.wait(lambda: session.follower.unfinished and not session.is_sending, 30, "the job")
    drive.heart.name("setting up")
    FreeCAD.closeDocument(document.Name)
    drive.heart.name("waiting")
    drive.wait(lambda: "is closed. Its render goes on" in panel.notice.text, 10, "that it goes on")
    drive.wait(lambda: not session.follower.unfinished, 60, "the job's end")
    drive.wait(lambda: "is closed; its renders are attached" in panel.notice.text, 10, "that it ended")
    drive.seen["closed"] = panel.notice.text
    panel.notice_pressed.emit("dismiss")


def other_tokens(drive: driving.Drive) -> None:
    """One that may not, and one that is not."""
    panel, session = drive.panel, drive.controller.session
    drive.heart.name("setting up")
    drive.open(str(drive.folder / "block.FCStd"))
    drive.rest(0.5)
    drive.heart.name("waiting")
    session.change(session.preferences, drive.given["viewer"])
    drive.wait(lambda: session.me.get("role") == "viewer", 20, "another role")
    drive.identify("ACT-2", "A")
    drive.press("Mfgviz_RenderPart")
    drive.wait(lambda: panel.notice.text, 20, "what a viewer may not")
    drive.seen["forbidden"] = panel.notice.text
    session.change(session.preferences, "mfgv_wrong")
    panel.notice_pressed.emit("dismiss")
    drive.wait(lambda: panel.notice.text, 20, "that the token is refused")
    drive.seen["unauthenticated"] = panel.notice.text
    drive.press("Mfgviz_RenderPart")
    drive.wait(lambda: "is kept" in panel.notice.text, 20, "that the request is kept")
    drive.seen["kept"] = panel.notice.text
    drive.shot("token-refused")
    session.change(session.preferences, drive.given["token"])
    drive.heart.name("waiting")
    drive.wait(lambda: session.me.get("role") != "viewer" and session.models, 20, "the right token")
    drive.child("mfgviz_send").click()
    drive.wait(
        lambda: session.state.pending() == [] and session.follower.unfinished, 30, "it is sent after all"
    )
    drive.wait(lambda: not session.follower.unfinished, 60, "its end")


def language(drive: driving.Drive) -> None:
    """A dock in Chinese."""
    from mfgviz_freecad.ui.dock import Panel

    drive.heart.name("setting up")
    FreeCADGui.setLocale("Chinese Simplified")
    panel = Panel()
    drive.seen["chinese"] = [panel.render_part.text(), panel.more.text()]
    FreeCADGui.setLocale("English")


driving.play(scene)
