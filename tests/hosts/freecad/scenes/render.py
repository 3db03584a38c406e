"""A document is opened, its identity set, the toolbar's buttons pressed; the renders come into the dock."""

from __future__ import annotations

import time
from typing import Any

import driving
from mfgviz_freecad.host import camera as host_camera


def scene(drive: driving.Drive) -> None:
    """Once from the chosen view, then for each asked camera and window as the 3D view shows it."""
    document = drive.open(drive.given["file"])
    drive.workbench()
    drive.heart.start()
    drive.heart.name("idle")
    drive.look()
    panel = drive.panel
    drive.wait(lambda: drive.controller.session.models, 60, "the server's models")
    panel.number.setText("BRK-7")
    panel.revision.setText("B")
    panel.revision.editingFinished.emit()
    panel.material.setEditText("brushed aluminium")
    panel.count.setValue(2)
    drive.rest(0.5)
    drive.shot("before")

    render(drive, "Mfgviz_RenderPart", "part", shots=True)
    drive.seen["meta"] = dict(document.Meta)
    drive.seen["export_s"] = drive.controller.export_s
    panel.count.setValue(1)

    drive.seen["views"] = []
    for kind, how, size in drive.given["views"]:
        drive.heart.name("setting up")
        drive.arrange(*size)
        view = drive.look(kind, how)
        drive.heart.name("waiting")
        rows = render(drive, "Mfgviz_RenderView", f"{kind}-{size[0]}x{size[1]}")
        drive.heart.name("setting up")
        picture = drive.folder / f"view{len(drive.seen['views'])}.png"
        view.saveImage(str(picture), rows[0]["width"], rows[0]["height"], "Transparent")
        drive.seen["views"].append({"render": rows[0], "picture": str(picture), "aspect": host_camera.aspect_of(view)})
    drive.heart.name("enlarging")
    panel.strip.itemClicked.emit(panel.strip.item(0))
    drive.wait(lambda: drive.controller.viewer and drive.controller.viewer.isVisible(), 10, "the viewer")
    drive.rest(0.8)
    drive.shot("viewer", drive.controller.viewer)
    drive.controller.viewer.close()


def render(drive: driving.Drive, button: str, name: str, *, shots: bool = False) -> list[dict[str, Any]]:
    """Press, wait, and what is new in the strip."""
    panel, session = drive.panel, drive.controller.session
    before = panel.strip.count()
    drive.heart.name("export")
    drive.press(button)
    drive.heart.name("waiting")
    began, told, previews = time.monotonic(), [], 0
    while panel.strip.count() == before or session.follower.unfinished:
        drive.rest(0.01)
        if panel.told.text() not in told[-1:]:
            told.append(panel.told.text())
        if panel.preview.has_picture:
            previews += 1
            if shots and previews == 1:
                drive.heart.name("screenshot")
                drive.shot(f"{name}-preview")
                drive.heart.name("waiting")
        assert panel.notice.text in ("", drive.given["note"]), panel.notice.text
        assert time.monotonic() - began < 90, told
    drive.wait(lambda: panel.told.text().startswith("Done"), 10, "the last word")
    drive.rest(0.4)
    drive.seen.setdefault("told", {})[name] = told
    drive.seen.setdefault("previews", {})[name] = previews
    drive.seen.setdefault("seconds", {})[name] = time.monotonic() - began
    if shots:
        drive.heart.name("screenshot")
        drive.shot(f"{name}-done")
        drive.shot(f"{name}-dock", drive.controller.dock)
        drive.heart.name("waiting")
    return [panel.strip.render_at(row) for row in range(panel.strip.count() - before)]


driving.play(scene)
