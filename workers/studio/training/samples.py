"""Makes the shipped sample parts: `python -m workers.studio.training.samples`.

The parts are our own designs. Each has product names and face colours in its STEP file, as CAD programs
write them, so that reading those can be shown and tested. Lengths in mm, Z up.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from OCP.BRepAdaptor import BRepAdaptor_Surface
from OCP.IFSelect import IFSelect_RetDone
from OCP.Quantity import Quantity_Color, Quantity_TOC_RGB
from OCP.STEPCAFControl import STEPCAFControl_Writer
from OCP.STEPControl import STEPControl_AsIs
from OCP.TCollection import TCollection_ExtendedString
from OCP.TDataStd import TDataStd_Name
from OCP.TDocStd import TDocStd_Document
from OCP.TopAbs import TopAbs_FACE
from OCP.TopExp import TopExp_Explorer
from OCP.TopoDS import TopoDS
from OCP.XCAFDoc import XCAFDoc_ColorGen, XCAFDoc_ColorSurf, XCAFDoc_DocumentTool

from workers.studio.training.solids import (
    Shape,
    at_height,
    box,
    chamfer,
    cone,
    cut,
    cylinder,
    drill,
    fillet,
    fuse,
    move,
    prism,
    turn,
    upright,
)

Colour = tuple[float, float, float]
HERE = Path(__file__).parents[3] / "mfgviz" / "samples"


def bracket() -> Shape:
    """A motor bracket: a slotted foot, an upright plate for a NEMA 23 motor, two ribs."""
    width, foot, wall, thick = 70.0, 64.0, 72.0, 7.0
    base = fillet(
        box(foot, width, thick, (foot / 2, 0, 0)), 8, lambda m, d: upright(m, d) and m[0] > foot / 2
    )
    for y in (-24.0, 24.0):
        slot = box(14, 6.6, 40, (44, y, -10))
        base = cut(base, fillet(slot, 3.25, upright))
    plate = fillet(
        box(wall, width, thick, (wall / 2, 0, 0)), 9, lambda m, d: upright(m, d) and m[0] > wall / 2
    )
    middle, pitch = 38.0, 47.14 / 2
    plate = drill(plate, [(middle, 0)], 19.2)
    plate = drill(plate, [(middle + x, y) for x in (-pitch, pitch) for y in (-pitch, pitch)], 2.7)
    upright_plate = move(turn(plate, -90, "y"), thick, 0, 0)
    body = fuse(base, upright_plate)
    for y in (-width / 2, width / 2 - 5):
        rib = prism([(0, 0), (36, 0), (0, 46)], 5)
        body = fuse(body, move(turn(rib, 90, "x"), thick - 0.01, y + 5, thick - 0.01))
    return chamfer(body, 0.8, lambda m, _: abs(m[2] - thick) < 1e-3 and m[0] > foot - 1)


def flange() -> Shape:
    """A hub flange: eight bolt holes, a tapered neck with a fillet, a bore with a keyway."""
    body = chamfer(cylinder(60, 14), 1.5, at_height(14))
    body = fuse(body, cylinder(46, 2.5, (0, 0, 13.9)), cone(31, 26, 34, (0, 0, 16.3)))
    body = fillet(body, 4, lambda m, _: abs(m[2] - 16.4) < 0.1 and math.hypot(m[0], m[1]) < 40)
    body = chamfer(body, 1.2, at_height(50.3))
    places = [(50 * math.cos(a), 50 * math.sin(a)) for a in (math.pi * (k + 0.5) / 4 for k in range(8))]
    body = drill(drill(body, places, 4.5), [(0, 0)], 17)
    return cut(body, box(8, 8, 200, (0, 17, -50)))


def heatsink() -> Shape:
    """A heat sink: eleven fins, a cross cut, four mounting holes in two ears."""
    width, depth, base, fin, gap = 80.0, 60.0, 7.0, 2.6, 5.14
    body = box(width, depth, base + 30)
    for k in range(10):
        x = -width / 2 + fin + gap / 2 + k * (fin + gap)
        body = cut(body, box(gap, 2 * depth, 60, (x, 0, base)))
    body = cut(body, box(2 * width, 7, 60, (0, 0, base + 9)))
    ears = fillet(box(width + 30, depth, base), 6, upright)
    return drill(fuse(body, ears), [(x, y) for x in (-47.5, 47.5) for y in (-20, 20)], 2.8)


def faces_of(shape: Shape, kind: str) -> Iterable[Any]:
    """The faces whose surface is of that kind: Plane, Cylinder, Cone, Torus."""
    explorer = TopExp_Explorer(shape, TopAbs_FACE)
    while explorer.More():
        face = TopoDS.Face(explorer.Current())
        if str(BRepAdaptor_Surface(face).GetType()).endswith(kind):
            yield face
        explorer.Next()


def write(shape: Shape, name: str, colours: tuple[Colour, Colour], path: Path) -> None:
    """Write a STEP file with the product's name, the body's colour, and that of its cylindrical faces."""
    document = TDocStd_Document(TCollection_ExtendedString("XmlXCAF"))
    shapes = XCAFDoc_DocumentTool.ShapeTool_s(document.Main())
    painter = XCAFDoc_DocumentTool.ColorTool_s(document.Main())
    label = shapes.AddShape(shape, False)
    TDataStd_Name.Set_s(label, TCollection_ExtendedString(name))
    painter.SetColor(label, Quantity_Color(*colours[0], Quantity_TOC_RGB), XCAFDoc_ColorGen)
    for face in faces_of(shape, "Cylinder"):
        part = shapes.AddSubShape(label, face)
        painter.SetColor(part, Quantity_Color(*colours[1], Quantity_TOC_RGB), XCAFDoc_ColorSurf)
    writer = STEPCAFControl_Writer()
    writer.SetColorMode(True)
    writer.SetNameMode(True)
    if not writer.Transfer(document, STEPControl_AsIs) or writer.Write(str(path)) != IFSelect_RetDone:
        raise OSError(f"{path} cannot be written")


def main() -> None:
    """Write the three sample parts."""
    write(bracket(), "Motor bracket", ((0.75, 0.76, 0.78), (0.35, 0.36, 0.4)), HERE / "bracket.step")
    write(flange(), "Hub flange", ((0.6, 0.62, 0.65), (0.8, 0.65, 0.25)), HERE / "flange.step")
    write(heatsink(), "Heat sink", ((0.12, 0.12, 0.13), (0.7, 0.72, 0.75)), HERE / "heatsink.step")


if __name__ == "__main__":
    main()
