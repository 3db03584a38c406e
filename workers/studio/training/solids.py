"""A small kit of solids over OpenCASCADE: primitives, booleans, fillets, STEP. Lengths in mm."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from OCP.BRep import BRep_Builder
from OCP.BRepAdaptor import BRepAdaptor_Curve
from OCP.BRepAlgoAPI import BRepAlgoAPI_Cut, BRepAlgoAPI_Fuse
from OCP.BRepBuilderAPI import (
    BRepBuilderAPI_MakeEdge,
    BRepBuilderAPI_MakeFace,
    BRepBuilderAPI_MakePolygon,
    BRepBuilderAPI_MakeWire,
    BRepBuilderAPI_Transform,
)
from OCP.BRepFilletAPI import BRepFilletAPI_MakeChamfer, BRepFilletAPI_MakeFillet
from OCP.BRepPrimAPI import (
    BRepPrimAPI_MakeBox,
    BRepPrimAPI_MakeCone,
    BRepPrimAPI_MakeCylinder,
    BRepPrimAPI_MakePrism,
    BRepPrimAPI_MakeRevol,
    BRepPrimAPI_MakeSphere,
    BRepPrimAPI_MakeTorus,
)
from OCP.gp import gp_Ax1, gp_Ax2, gp_Circ, gp_Dir, gp_Pnt, gp_Trsf, gp_Vec
from OCP.TopAbs import TopAbs_EDGE
from OCP.TopExp import TopExp_Explorer
from OCP.TopoDS import TopoDS, TopoDS_Compound

Shape = Any  # TopoDS_Shape: the bindings carry no types
Point = tuple[float, float, float]
Point2 = tuple[float, float]

ORIGIN = gp_Pnt(0, 0, 0)
AXES = {"x": gp_Dir(1, 0, 0), "y": gp_Dir(0, 1, 0), "z": gp_Dir(0, 0, 1)}


class SolidError(Exception):
    """The kernel could not make the solid."""


def box(x: float, y: float, z: float, at: Point = (0, 0, 0)) -> Shape:
    """A box centred in x and y on `at`, standing on its z."""
    return BRepPrimAPI_MakeBox(gp_Pnt(at[0] - x / 2, at[1] - y / 2, at[2]), x, y, z).Shape()


def cylinder(radius: float, height: float, at: Point = (0, 0, 0), axis: str = "z") -> Shape:
    """A cylinder from `at` along an axis."""
    return BRepPrimAPI_MakeCylinder(gp_Ax2(gp_Pnt(*at), AXES[axis]), radius, height).Shape()


def cone(bottom: float, top: float, height: float, at: Point = (0, 0, 0)) -> Shape:
    """A truncated cone upwards from `at`."""
    return BRepPrimAPI_MakeCone(gp_Ax2(gp_Pnt(*at), AXES["z"]), bottom, top, height).Shape()


def sphere(radius: float, at: Point = (0, 0, 0)) -> Shape:
    """A ball around `at`."""
    return BRepPrimAPI_MakeSphere(gp_Pnt(*at), radius).Shape()


def torus(ring: float, tube: float, degrees: float = 360.0) -> Shape:
    """A ring around z, or the part of it up to an angle."""
    return BRepPrimAPI_MakeTorus(gp_Ax2(ORIGIN, AXES["z"]), ring, tube, math.radians(degrees)).Shape()


def prism(outline: Sequence[Point2], height: float, z: float = 0.0) -> Shape:
    """The closed outline in the xy plane, drawn up by `height` from `z`."""
    maker = BRepBuilderAPI_MakePolygon()
    for x, y in outline:
        maker.Add(gp_Pnt(x, y, z))
    maker.Close()
    return BRepPrimAPI_MakePrism(BRepBuilderAPI_MakeFace(maker.Wire()).Face(), gp_Vec(0, 0, height)).Shape()


def revolve(profile: Sequence[Point2]) -> Shape:
    """The closed profile of (radius, z) turned around z."""
    maker = BRepBuilderAPI_MakePolygon()
    for radius, z in profile:
        maker.Add(gp_Pnt(radius, 0, z))
    maker.Close()
    face = BRepBuilderAPI_MakeFace(maker.Wire()).Face()
    return BRepPrimAPI_MakeRevol(face, gp_Ax1(ORIGIN, AXES["z"])).Shape()


def disc_ring(outer: float, inner: float, height: float, z: float = 0.0) -> Shape:
    """A flat ring: an outer circle without an inner one, drawn up."""

    def wire(radius: float) -> Any:
        circle = gp_Circ(gp_Ax2(gp_Pnt(0, 0, z), AXES["z"]), radius)
        return BRepBuilderAPI_MakeWire(BRepBuilderAPI_MakeEdge(circle).Edge()).Wire()

    maker = BRepBuilderAPI_MakeFace(wire(outer))
    maker.Add(TopoDS.Wire(wire(inner).Reversed()))
    return BRepPrimAPI_MakePrism(maker.Face(), gp_Vec(0, 0, height)).Shape()


# -- putting together ---------------------------------------------------------------------------------
def fuse(first: Shape, *others: Shape) -> Shape:
    """All of them as one."""
    for other in others:
        first = _done(BRepAlgoAPI_Fuse(first, other))
    return first


def cut(body: Shape, *tools: Shape) -> Shape:
    """The body without the tools."""
    for tool in tools:
        body = _done(BRepAlgoAPI_Cut(body, tool))
    return body


def compound(*shapes: Shape) -> Shape:
    """All of them beside each other, each a body of its own."""
    made, builder = TopoDS_Compound(), BRep_Builder()
    builder.MakeCompound(made)
    for shape in shapes:
        builder.Add(made, shape)
    return made


def move(shape: Shape, x: float = 0, y: float = 0, z: float = 0) -> Shape:
    """A copy of the shape elsewhere."""
    step = gp_Trsf()
    step.SetTranslation(gp_Vec(x, y, z))
    return BRepBuilderAPI_Transform(shape, step, True).Shape()


def turn(shape: Shape, degrees: float, axis: str = "z") -> Shape:
    """A copy of the shape turned around an axis through the origin."""
    step = gp_Trsf()
    step.SetRotation(gp_Ax1(ORIGIN, AXES[axis]), math.radians(degrees))
    return BRepBuilderAPI_Transform(shape, step, True).Shape()


def ring_of(
    make: Callable[[float, float], Shape], radius: float, count: int, start: float = 0
) -> list[Shape]:
    """`make(x, y)` at `count` places on a circle."""
    angles = [start + 2 * math.pi * k / count for k in range(count)]
    return [make(radius * math.cos(a), radius * math.sin(a)) for a in angles]


def drill(
    body: Shape, places: Iterable[Point2], radius: float, depth: float = 1e3, top: float = 500
) -> Shape:
    """Holes downwards from `top`."""
    return cut(body, *(cylinder(radius, depth, (x, y, top - depth)) for x, y in places))


# -- edges ------------------------------------------------------------------------------------------
Wanted = Callable[[Point, Point], bool]


def upright(_middle: Point, direction: Point) -> bool:
    """Edges along z."""
    return abs(direction[2]) > 0.99


def anywhere(_middle: Point, _direction: Point) -> bool:
    """All edges."""
    return True


def at_height(z: float) -> Wanted:
    """Edges that lie at that height."""
    return lambda middle, direction: abs(middle[2] - z) < 1e-3 and abs(direction[2]) < 1e-3


def fillet(shape: Shape, radius: float, wanted: Wanted) -> Shape:
    """Round the wanted edges; where the kernel cannot, the shape stays as it is."""
    return _blend(shape, BRepFilletAPI_MakeFillet(shape), radius, wanted)


def chamfer(shape: Shape, width: float, wanted: Wanted) -> Shape:
    """Bevel the wanted edges; where the kernel cannot, the shape stays as it is."""
    return _blend(shape, BRepFilletAPI_MakeChamfer(shape), width, wanted)


def _blend(shape: Shape, maker: Any, size: float, wanted: Wanted) -> Shape:
    count, seen = 0, set()
    explorer = TopExp_Explorer(shape, TopAbs_EDGE)
    while explorer.More():
        edge = TopoDS.Edge(explorer.Current())
        explorer.Next()
        curve = BRepAdaptor_Curve(edge)
        half = (curve.FirstParameter() + curve.LastParameter()) / 2
        point, tangent = curve.Value(half), curve.DN(half, 1)
        length = tangent.Magnitude() or 1.0
        middle = (point.X(), point.Y(), point.Z())
        key = tuple(round(value, 4) for value in middle)
        if key in seen:
            continue
        seen.add(key)
        if wanted(middle, (tangent.X() / length, tangent.Y() / length, tangent.Z() / length)):
            maker.Add(size, edge)
            count += 1
    if not count:
        return shape
    try:
        made = maker.Shape()
    except Exception:  # noqa: BLE001 - the kernel raises its own unexported kinds
        return shape
    return shape if made.IsNull() else made


def _done(operation: Any) -> Shape:
    shape = operation.Shape()
    if shape.IsNull():
        raise SolidError("the kernel returned nothing")
    return shape


def write_step(shape: Shape, path: Path) -> None:
    """Write a STEP file (AP214). Raises SolidError."""
    from OCP.IFSelect import IFSelect_RetDone
    from OCP.Message import Message
    from OCP.STEPControl import STEPControl_AsIs, STEPControl_Writer

    # The writer tells the console about every entity otherwise.
    messenger = Message.DefaultMessenger_s()
    for printer in list(messenger.Printers()):
        messenger.RemovePrinter(printer)
    writer = STEPControl_Writer()
    writer.Transfer(shape, STEPControl_AsIs)
    if writer.Write(str(path)) != IFSelect_RetDone:
        raise SolidError(f"{path} cannot be written")
