"""What *Render* takes: selections of every kind, without a server, exported as the add-on does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import driving
import FreeCAD
import FreeCADGui
from mfgviz_freecad.core.camera import custom_view
from mfgviz_freecad.host import appearance, camera, identity
from mfgviz_freecad.host.export import export_step
from mfgviz_freecad.host.target import NothingToRender, choose

V = FreeCAD.Vector
SIZE = (640, 480)


def scene(drive: driving.Drive) -> None:
    """Refusals in the dock; then every target with its silhouette."""
    drive.seen.update(refused={}, targets={})
    refusals(drive)
    document = assembly(drive.folder)
    drive.workbench()
    drive.look("Perspective")
    targets(drive, document)
    identities(drive)
    FreeCADGui.Selection.clearSelection()
    drive.look()
    for one in document.Objects:
        if "Flat Lines" in (one.ViewObject.listDisplayModes() if one.ViewObject else ()):
            one.ViewObject.DisplayMode = "Flat Lines"
    drive.panel.notice.setVisible(False)
    drive.shot("assembly")


def refusals(drive: driving.Drive) -> None:
    """Each is pressed for real; nothing may be kept to be sent."""
    drive.workbench()
    panel = drive.panel

    def press(name: str) -> None:
        panel.notice.setVisible(False)
        drive.press("Mfgviz_RenderPart")
        drive.wait(lambda: panel.notice.text, 5, name)
        drive.seen["refused"][name] = panel.notice.text
        assert drive.controller.session.state.pending() == []

    document = FreeCAD.newDocument("Empty")
    drive.rest(0.2)
    press("empty document")
    sketch = document.addObject("Sketcher::SketchObject", "Sketch")
    document.recompute()
    press("sketch alone")
    FreeCADGui.Selection.addSelection(sketch)
    press("sketch selected")
    mesh = document.addObject("Mesh::Feature", "Scan")
    FreeCADGui.Selection.clearSelection()
    FreeCADGui.Selection.addSelection(mesh)
    press("mesh selected")
    FreeCADGui.Selection.clearSelection()
    box = document.addObject("Part::Box", "Box")
    document.recompute()
    box.ViewObject.Visibility = False
    press("hidden")
    box.ViewObject.Visibility = True
    drive.rest(0.3)
    panel.material.setEditText("")
    press("no material")
    drive.shot("refused")
    panel.material.setEditText("steel")
    drive.type(panel.number, "A/B")
    press("part number")
    FreeCAD.closeDocument(document.Name)


def assembly(target: Path) -> Any:
    """Bodies in moved and turned assemblies, links to them, a group of links, a group, colours per face."""
    document = FreeCAD.newDocument("Gearbox")
    turned = FreeCAD.Rotation(V(0, 0, 1), 40)
    housing = document.addObject("PartDesign::Body", "Housing")
    block = housing.newObject("PartDesign::AdditiveBox", "Block")
    block.Length, block.Width, block.Height = 40, 24, 16
    pin = document.addObject("Part::Cylinder", "Pin")
    pin.Radius, pin.Height, pin.Placement = 5, 40, FreeCAD.Placement(V(10, 10, 16), FreeCAD.Rotation())
    inner = document.addObject("App::Part", "Inner")
    inner.addObject(housing)
    inner.addObject(pin)
    inner.Placement = FreeCAD.Placement(V(30, 10, 5), turned)
    outer = document.addObject("App::Part", "Outer")
    outer.addObject(inner)
    outer.Placement = FreeCAD.Placement(V(0, 0, 20), FreeCAD.Rotation(V(1, 0, 0), 25))
    link = document.addObject("App::Link", "Copy")
    link.LinkedObject = inner
    link.Placement = FreeCAD.Placement(V(-70, 20, 0), FreeCAD.Rotation(V(0, 1, 0), 30))
    group = document.addObject("App::LinkGroup", "Pair")
    pair = [document.addObject("App::Link", f"Pin{number}") for number in (1, 2)]
    for one in pair:
        one.LinkedObject = pin
    group.ElementList = pair
    pair[1].Placement = FreeCAD.Placement(V(20, 0, 0), turned)
    group.Placement = FreeCAD.Placement(V(0, -50, 0), FreeCAD.Rotation())
    folder = document.addObject("App::DocumentObjectGroup", "Folder")
    cone = document.addObject("Part::Cone", "Cone")
    cone.Placement.Base = V(60, -40, 0)
    folder.addObject(cone)
    document.recompute()
    document.saveAs(str(target / "Gearbox.FCStd"))
    block.ViewObject.DiffuseColor = [(0.1, 0.25, 0.85), (0.1, 0.25, 0.85), (0.85, 0.1, 0.1)] + [
        (0.8, 0.8, 0.8)
    ] * 3
    housing.addProperty("App::PropertyString", "Material", "PLM")
    housing.Material = "Aluminium-6061"
    housing.addProperty("App::PropertyString", "PartNumber", "PLM")
    housing.PartNumber = "HSG-1"
    return document


def targets(drive: driving.Drive, document: Any) -> None:
    """Select, choose, export, look."""
    selections: dict[str, list[tuple[str, str]]] = {
        "nothing": [],
        "body": [("Outer", "Inner.Housing.")],
        "face of a body": [("Outer", "Inner.Housing.Block.Face3")],
        "part": [("Outer", "Inner.")],
        "assembly": [("Outer", "")],
        "link": [("Copy", "")],
        "body in a link": [("Copy", "Housing.")],
        "link group": [("Pair", "")],
        "group": [("Folder", "")],
        "two of one part": [("Outer", "Inner.Housing."), ("Outer", "Inner.Pin.")],
        "two assemblies": [("Outer", ""), ("Copy", "")],
    }
    view = FreeCADGui.ActiveDocument.ActiveView
    drive.without_edges()
    for name, chosen in selections.items():
        FreeCADGui.Selection.clearSelection()
        for thing, path in chosen:
            FreeCADGui.Selection.addSelection(document.Name, thing, path)
        target = choose(document)
        step = drive.folder / f"{name.replace(' ', '-')}.step"
        FreeCADGui.SendMsgToActiveView("Save")
        assert not FreeCADGui.ActiveDocument.Modified
        digest = export_step(target.objects, step)
        assert not FreeCADGui.ActiveDocument.Modified
        again = export_step(target.objects, drive.folder / "again.step")
        hidden = hide_others(document, name)
        picture = Path(step).with_suffix(".png")
        view.fitAll()
        view.saveImage(str(picture), *SIZE, "Transparent")
        for one in hidden:
            one.ViewObject.Visibility = True
        drive.seen["targets"][name] = {
            "objects": [one.Name for one in target.objects],
            "title": target.title,
            "step": str(step),
            "same_bytes": digest == again,
            "picture": str(picture),
            "view": custom_view(camera.pose_of(view), camera.frame_of(target.frame)),
            "fields": appearance.fields_of(target.objects),
            "identity": identity.identity_of(document, target.owner).reference,
        }
    FreeCADGui.Selection.clearSelection()
    FreeCADGui.Selection.addSelection(document.Name, "Outer", "Inner.Housing.")
    FreeCADGui.Selection.addSelection(document.Name, "Pair", "Pin1.")
    try:
        choose(document)
    except NothingToRender as reason:
        drive.seen["refused"]["different assemblies"] = str(reason)


SHOWN = {
    "nothing": None,
    "body": ("Outer", "Pin"), "face of a body": ("Outer", "Pin"), "part": ("Outer",), "assembly": ("Outer",),
    "link": ("Copy",), "body in a link": ("Copy", "Pin"), "link group": ("Pair",), "group": ("Folder",),
    "two of one part": ("Outer",), "two assemblies": ("Outer", "Copy"),
}  # fmt: skip


def hide_others(document: Any, name: str) -> list[Any]:
    """Leave only what is to be seen: the first name's tree, without the second where it is `Pin`."""
    shown = SHOWN[name]
    if shown is None:
        return []
    tops = [one for one in document.RootObjects if one.Name not in shown]
    pins = [document.getObject("Pin")] if "Pin" in shown else []
    hidden = [one for one in [*tops, *pins] if one.ViewObject.Visibility]
    if "Folder" not in shown:
        hidden.append(document.getObject("Cone"))
    for one in hidden:
        one.ViewObject.Visibility = False
    return hidden


def identities(drive: driving.Drive) -> None:
    """Where number and revision are read, and where an edit is kept."""
    document = FreeCAD.newDocument("Plate")
    box = document.addObject("Part::Box", "Box")
    document.recompute()
    seen = [identity.identity_of(document, box).reference]
    document.Meta = {"PartNumber": "DOC-1", "Revision": "C"}
    seen.append(identity.identity_of(document, box).reference)
    box.addProperty("App::PropertyString", "PartNumber", "PLM")
    box.PartNumber = "OBJ / 1"
    seen.append(identity.identity_of(document, box).reference)
    identity.remember(document, box, identity.Identity("OBJ-2", "D"))
    seen.append(f"{box.PartNumber}@{document.Meta['mfgviz.revision']}")
    drive.seen["identities"] = seen
    FreeCAD.closeDocument(document.Name)


driving.play(scene)
