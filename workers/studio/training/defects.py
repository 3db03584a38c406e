"""Planted defects: the part with one thing wrong, made by the kernel, so that it is a real part all the same.

Holes are found as the kernel knows them (cylindrical faces that look inwards). Where something is added, a
pixel of the view is drawn and led back to the surface, so that what is planted can be seen.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from OCP.BRepAdaptor import BRepAdaptor_Curve, BRepAdaptor_Surface
from OCP.BRepBuilderAPI import BRepBuilderAPI_Transform
from OCP.BRepFilletAPI import BRepFilletAPI_MakeFillet
from OCP.BRepPrimAPI import BRepPrimAPI_MakeCylinder
from OCP.GeomAbs import GeomAbs_SurfaceType
from OCP.gp import gp_Ax1, gp_Ax2, gp_Dir, gp_Pnt, gp_Trsf, gp_Vec
from OCP.TopAbs import TopAbs_EDGE, TopAbs_FACE, TopAbs_REVERSED
from OCP.TopExp import TopExp_Explorer
from OCP.TopoDS import TopoDS

from workers.geometry.camera import Camera
from workers.geometry.casting import Caster, Hits
from workers.geometry.mesh import Mesh
from workers.studio.training.solids import Shape, SolidError, cut, fuse, prism

Random = np.random.Generator
Vector = NDArray[np.float64]

KINDS = ("wrong part", "mirrored part", "missing hole", "extra hole", "extra bolt", "shifted pattern",
         "melted edge")  # fmt: skip
SEVERAL = "several defects"
LOOK_PX = 256


@dataclass(frozen=True, slots=True)
class Bore:
    """A cylindrical hole of the kernel: two points of its axis between which it reaches, and its radius."""

    start: Vector
    end: Vector
    radius: float

    @property
    def axis(self) -> Vector:
        """Unit direction from start to end."""
        along = self.end - self.start
        return np.asarray(along / np.linalg.norm(along))


@dataclass(frozen=True, slots=True)
class Scene:
    """What a planter works on: the shape, and what the camera sees of it."""

    shape: Shape
    hits: Hits
    points: NDArray[np.float64]  # (H, W, 3) mm
    camera: Camera
    diagonal_mm: float


def scene_of(shape: Shape, mesh: Mesh, camera: Camera) -> Scene:
    """The shape as the camera sees it."""
    hits = Caster(mesh).look(camera, LOOK_PX, LOOK_PX)
    return Scene(shape, hits, camera.points(hits.depth_mm), camera, mesh.diagonal_mm)


def bores(shape: Shape) -> list[Bore]:
    """The full, inward cylindrical faces of a shape."""
    found: dict[tuple[float, ...], Bore] = {}
    explorer = TopExp_Explorer(shape, TopAbs_FACE)
    while explorer.More():
        face = TopoDS.Face(explorer.Current())
        explorer.Next()
        surface = BRepAdaptor_Surface(face)
        if surface.GetType() != GeomAbs_SurfaceType.GeomAbs_Cylinder:
            continue
        turn = surface.LastUParameter() - surface.FirstUParameter()
        cylinder = surface.Cylinder()
        inwards = (face.Orientation() == TopAbs_REVERSED) == cylinder.Position().Direct()
        if turn < 6.2 or not inwards:
            continue
        place, along = cylinder.Axis().Location(), cylinder.Axis().Direction()
        at, unit = (np.array([one.X(), one.Y(), one.Z()]) for one in (place, along))
        ends = [at + unit * v for v in (surface.FirstVParameter(), surface.LastVParameter())]
        bore = Bore(ends[0], ends[1], cylinder.Radius())
        found[(*np.round((ends[0] + ends[1]) / 2, 3), round(bore.radius, 3))] = bore
    return list(found.values())


def plant(kind: str, scene: Scene, rng: Random) -> Shape | None:
    """The shape with a defect of that kind; None where the part offers no place for it, or the kernel
    fails."""
    try:
        made = PLANTERS[kind](scene, rng)
    except Exception:  # noqa: BLE001 - the kernel raises its own unexported kinds
        return None
    return None if made is None or made.IsNull() else made


def plant_several(scene: Scene, rng: Random) -> Shape | None:
    """The shape with three to eight small defects of all kinds, so that one picture teaches many; None where
    fewer than two can be planted."""
    wanted = rng.choice(list(SEVERAL_KINDS), size=int(rng.integers(3, 9)), p=list(SEVERAL_KINDS.values()))
    # Edges first: the kernel rounds those of a plain shape best. Places are where they were seen at first.
    shape, planted = scene.shape, 0
    for kind in sorted(wanted, key=lambda one: one != "melted edge"):
        made = plant(str(kind), replace(scene, shape=shape), rng)
        if made is not None:
            shape, planted = made, planted + 1
    return shape if planted > 1 else None


# -- holes --------------------------------------------------------------------------------------------------
def _plug(bore: Bore, longer: float = 0.0, wider: float = 1.0) -> Shape:
    start, end = bore.start - bore.axis * longer, bore.end + bore.axis * longer
    return _cylinder(start, bore.axis, bore.radius * wider, float(np.linalg.norm(end - start)))


def _cylinder(start: Vector, axis: Vector, radius: float, length: float) -> Shape:
    place = gp_Ax2(gp_Pnt(*map(float, start)), gp_Dir(*map(float, axis)))
    return BRepPrimAPI_MakeCylinder(place, radius, length).Shape()


def _missing_hole(scene: Scene, rng: Random) -> Shape | None:
    seen = [bore for bore in bores(scene.shape) if _size_px(scene, bore) >= 5]
    if not seen:
        return None
    # The largest is as likely as any of many small ones: a bore, or one of its bolts' holes.
    bore = seen[int(rng.integers(len(seen)))]
    return fuse(scene.shape, _plug(bore, wider=1.002))


def _shifted(scene: Scene, rng: Random) -> Shape | None:
    every = [bore for bore in bores(scene.shape) if _size_px(scene, bore) >= 5]
    if not every:
        return None
    lead = every[int(rng.integers(len(every)))]
    alike = [
        b for b in every if abs(b.radius - lead.radius) < 1e-3 and abs(float(b.axis @ lead.axis)) > 0.999
    ]
    across = np.cross(lead.axis, rng.normal(size=3))
    across /= np.linalg.norm(across)
    step = across * lead.radius * rng.uniform(0.9, 1.8)
    plugged = fuse(scene.shape, *(_plug(bore, wider=1.002) for bore in alike))
    moved = [Bore(bore.start + step, bore.end + step, bore.radius) for bore in alike]
    return cut(plugged, *(_plug(bore, longer=scene.diagonal_mm * 1e-3) for bore in moved))


def _extra_hole(scene: Scene, rng: Random) -> Shape | None:
    found = _flat_place(scene, rng)
    if found is None:
        return None
    place, normal, radius = found
    depth = scene.diagonal_mm * 2 if rng.random() < 0.6 else radius * rng.uniform(1.5, 4)
    return cut(scene.shape, _cylinder(place + normal * radius, -normal, radius, depth + radius))


def _extra_bolt(scene: Scene, rng: Random) -> Shape | None:
    found = _flat_place(scene, rng)
    if found is None:
        return None
    place, normal, radius = found
    height = radius * rng.uniform(0.7, 1.3)
    if rng.random() < 0.4:
        head = _cylinder(place - normal * radius * 0.2, normal, radius, height)
    else:
        corners = [(radius * math.cos(a), radius * math.sin(a)) for a in np.arange(6) * math.pi / 3]
        head = _stood(prism(corners, height + radius * 0.2, -radius * 0.2), place, normal)
    return fuse(scene.shape, head)


def _stood(shape: Shape, place: Vector, normal: Vector) -> Shape:
    """A shape built around z, stood on a place along a normal."""
    axis = np.cross([0, 0, 1.0], normal)
    sine = float(np.linalg.norm(axis))
    step = gp_Trsf()
    if sine > 1e-6 or normal[2] < 0:
        axis = axis / sine if sine > 1e-6 else np.array([1.0, 0, 0])
        angle = math.atan2(sine, float(normal[2]))
        step.SetRotation(gp_Ax1(gp_Pnt(0, 0, 0), gp_Dir(*map(float, axis))), angle)
    turned = BRepBuilderAPI_Transform(shape, step, True).Shape()
    push = gp_Trsf()
    push.SetTranslation(gp_Vec(*map(float, place)))
    return BRepBuilderAPI_Transform(turned, push, True).Shape()


def _flat_place(scene: Scene, rng: Random) -> tuple[Vector, Vector, float] | None:
    """A seen place with flat ground around it: (point, outward normal, radius that fits), mm."""
    hits, basis = scene.hits, np.stack([scene.camera.right, scene.camera.up, scene.camera.back])
    inside = np.argwhere(hits.hit & (hits.normal[..., 2] > 0.25))
    if not len(inside):
        return None
    for _ in range(60):
        row, column = inside[int(rng.integers(len(inside)))]
        pixel = scene.camera.pixel_mm(LOOK_PX, float(hits.depth_mm[row, column]))
        radius_px = rng.uniform(3.5, 9)
        reach = math.ceil(radius_px * 1.4)
        rows, columns = slice(row - reach, row + reach + 1), slice(column - reach, column + reach + 1)
        if row < reach or column < reach or row + reach >= LOOK_PX or column + reach >= LOOK_PX:
            continue
        normal = hits.normal[row, column]
        same = (hits.face[rows, columns] == hits.face[row, column]) & (
            hits.normal[rows, columns] @ normal > 0.999
        )
        if same.mean() > 0.97:
            return scene.points[row, column], (normal @ basis).astype(float), float(radius_px * pixel)
    return None


def _size_px(scene: Scene, bore: Bore) -> float:
    depth = float(scene.camera.project(((bore.start + bore.end) / 2)[None])[0, 2])
    return 2 * bore.radius / scene.camera.pixel_mm(LOOK_PX, max(depth, 1e-6))


# -- edges --------------------------------------------------------------------------------------------------
def _melted(scene: Scene, rng: Random) -> Shape | None:
    """A fillet wide enough to be seen on one of the edges that are seen."""
    edges = _seen_edges(scene)
    if not edges:
        return None
    far = float(np.median(scene.hits.depth_mm[scene.hits.hit]))
    pixel = scene.camera.pixel_mm(LOOK_PX, far)
    for _ in range(12):
        edge = edges[int(rng.integers(len(edges)))]
        radius = pixel * rng.uniform(5, 13)
        maker = BRepFilletAPI_MakeFillet(scene.shape)
        maker.Add(radius, edge)
        try:
            made = maker.Shape()
        except Exception:  # noqa: BLE001, S112 - too wide for this edge: another one is tried
            continue
        if not made.IsNull():
            return made
    raise SolidError("no edge takes a fillet")


def _seen_edges(scene: Scene) -> list[Any]:
    """Edges whose middle the camera sees, at least 14 px long."""
    found, seen = [], set()
    explorer = TopExp_Explorer(scene.shape, TopAbs_EDGE)
    while explorer.More():
        edge = TopoDS.Edge(explorer.Current())
        explorer.Next()
        curve = BRepAdaptor_Curve(edge)
        steps = np.linspace(curve.FirstParameter(), curve.LastParameter(), 7)
        line = np.array([[p.X(), p.Y(), p.Z()] for p in map(curve.Value, map(float, steps))])
        key = tuple(np.round(line[3], 4))
        if key in seen:
            continue
        seen.add(key)
        x, y, depth = scene.camera.project(line).T
        columns = ((x + 1) / 2 * LOOK_PX).astype(int)
        rows = ((1 - y) / 2 * LOOK_PX).astype(int)
        if not (0 <= columns[3] < LOOK_PX and 0 <= rows[3] < LOOK_PX):
            continue
        length_px = float(np.hypot(np.diff(x), np.diff(y)).sum()) * LOOK_PX / 2
        top, left = max(rows[3] - 1, 0), max(columns[3] - 1, 0)
        around = scene.hits.depth_mm[top : rows[3] + 2, left : columns[3] + 2]
        if length_px >= 14 and np.abs(around - depth[3]).min() < scene.diagonal_mm * 0.02:
            found.append(edge)
    return found


# How often each kind is among several: the hardest to see most.
SEVERAL_KINDS = {"melted edge": 0.4, "extra bolt": 0.25, "extra hole": 0.2, "missing hole": 0.15}
PLANTERS: dict[str, Callable[[Scene, Random], Shape | None]] = {
    "missing hole": _missing_hole,
    "extra hole": _extra_hole,
    "extra bolt": _extra_bolt,
    "shifted pattern": _shifted,
    "melted edge": _melted,
}
