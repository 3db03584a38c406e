"""The round holes of a part: where each is, how wide and how deep.

A hole is a concave cylinder that goes most of the way round its axis. Exact files name their cylinders; in
mesh files, and where an exporter made a cylinder a free-form face, one is fitted to the triangles of a smooth
patch. Pieces of one cylinder that touch along the axis are one hole; the steps of a counterbore are two.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.geometry.mesh import Mesh, triangle_normals

Vector = NDArray[np.float64]

# A fillet goes a quarter of the way round, the end of a slot half of it.
ROUND_SHARE = 0.75
SECTORS = 72
SECTOR = 2 * np.pi / SECTORS
# Pieces of one hole agree on axis and radius to this, and touch along the axis to this.
SAME_MM, SAME_DIRECTION, TOUCH_MM = 5e-3, 1e-4, 0.05
# A fitted cylinder may miss its points by this share of its radius.
FIT_SHARE = 0.01
LEAST_TRIANGLES = 10
# A mesh of more patches than this is looked at in its largest ones.
MOST_PATCHES = 5000


@dataclass(frozen=True, slots=True)
class Hole:
    """`position` is the middle of its axis between both ends, `axis` a unit vector of one of its two ways;
    mm."""

    position: Vector
    axis: Vector
    diameter_mm: float
    depth_mm: float

    def as_json(self) -> dict[str, object]:
        """Plain values, to a tenth of a micrometre."""
        return {
            "position_mm": [_plain(value, 4) for value in self.position],
            "axis": [_plain(value, 6) for value in self.axis],
            "diameter_mm": _plain(self.diameter_mm, 4),
            "depth_mm": _plain(self.depth_mm, 4),
        }


@dataclass(frozen=True, slots=True)
class _Piece:
    """A concave cylinder's part: `foot` is the axis's point nearest to the origin of coordinates."""

    foot: Vector
    axis: Vector
    radius: float
    low: float
    high: float
    sectors: NDArray[np.bool_]


def find_holes(mesh: Mesh) -> list[Hole]:
    """The holes, the widest first, then by place, so that the same part gives the same list."""
    groups: defaultdict[tuple[int, ...], list[_Piece]] = defaultdict(list)
    for piece in _pieces(mesh):
        groups[_key(piece)].append(piece)
    holes = [hole for group in groups.values() for hole in _merged(group)]
    return sorted(holes, key=lambda hole: (-round(hole.diameter_mm, 3), *(hole.position.round(3).tolist())))


def _pieces(mesh: Mesh) -> Iterator[_Piece]:
    """Concave cylinders, exact ones and fitted ones."""
    flat = triangle_normals(mesh.vertices, mesh.faces)
    order = np.argsort(mesh.face_ids, kind="stable")
    starts = np.searchsorted(mesh.face_ids[order], np.arange(int(mesh.face_ids.max()) + 2))
    counts = np.diff(starts)
    for surface in mesh.surfaces:
        if surface.kind == "cylinder" and surface.face_id < len(counts) and counts[surface.face_id]:
            mine = order[starts[surface.face_id] : starts[surface.face_id + 1]]
            axis = np.array(surface.axis)
            piece = _piece(
                mesh.vertices[mesh.faces[mine]], flat[mine], np.array(surface.point), axis, surface.sizes[0]
            )
            if piece is not None:
                yield piece
    loose = np.asarray(mesh.free_face_ids) if mesh.surfaces else np.arange(len(counts))
    loose = loose[loose < len(counts)] if len(loose) else np.zeros(0, int)
    loose = loose[counts[loose] >= LEAST_TRIANGLES]
    for face in loose[np.argsort(-counts[loose], kind="stable")][:MOST_PATCHES]:
        mine = order[starts[face] : starts[face + 1]]
        corners = mesh.vertices[mesh.faces[mine]]
        fitted = _fit(corners.reshape(-1, 3), flat[mine])
        piece = _piece(corners, flat[mine], *fitted) if fitted is not None else None
        if piece is not None:
            yield piece


def _piece(corners: Vector, flat: Vector, point: Vector, axis: Vector, radius: float) -> _Piece | None:
    """The triangles (T, 3, 3) of a cylinder as a piece of a hole; None where they bulge outwards."""
    axis = _canonical(axis / np.linalg.norm(axis))
    foot = point - axis * float(point @ axis)
    relative = corners - foot
    along = relative @ axis
    outward = relative - along[..., None] * axis
    if float(np.einsum("ij,ij->", flat, outward.mean(1))) >= 0:
        return None
    right = np.cross(axis, np.eye(3)[int(np.argmin(np.abs(axis)))])
    right /= np.linalg.norm(right)
    angles = np.arctan2(outward @ np.cross(axis, right), outward @ right)
    # Each triangle covers the sectors between its corners, told from the first so that none wraps round.
    first = angles[:, :1]
    turns = (angles - first + np.pi) % (2 * np.pi) - np.pi
    low, high = first[:, 0] + turns.min(1), first[:, 0] + turns.max(1)
    sectors = _covered(np.floor(low / SECTOR).astype(int), np.ceil(high / SECTOR).astype(int))
    return _Piece(foot, axis, radius, float(along.min()), float(along.max()), sectors)


def _covered(begin: NDArray[np.int_], end: NDArray[np.int_]) -> NDArray[np.bool_]:
    """Which sectors lie between any begin and its end, these from two turns below to two above."""
    changes = np.zeros(4 * SECTORS + 1, int)
    np.add.at(changes, begin + 2 * SECTORS, 1)
    np.add.at(changes, end + 2 * SECTORS, -1)
    return np.asarray(np.cumsum(changes)[:-1].reshape(4, SECTORS).any(0))


def _fit(points: Vector, flat: Vector) -> tuple[Vector, Vector, float] | None:
    """A cylinder through points whose triangles have those normals: point, axis, radius; None where none
    fits.

    No normal of a cylinder points along its axis; seen along it the points lie on a circle, found by Kåsa's
    least squares (1976).
    """
    length = np.linalg.norm(flat, axis=1)
    if not float(length.sum()) > 0:
        return None
    spread = np.linalg.eigh((flat / np.maximum(length, 1e-12)[:, None]).T @ flat / length.sum())
    axis = spread.eigenvectors[:, 0]
    if spread.eigenvalues[0] > FIT_SHARE**2 or spread.eigenvalues[1] < 0.05:
        return None
    plane = spread.eigenvectors[:, 1:]
    middle = points.mean(0)
    across = (points - middle) @ plane
    left = np.column_stack([2 * across, np.ones(len(across))])
    found = np.linalg.lstsq(left, (across**2).sum(1), rcond=None)[0]
    square = float(found[2] + found[:2] @ found[:2])
    if not square > 0:
        return None
    radius = square**0.5
    misses = np.abs(np.linalg.norm(across - found[:2], axis=1) - radius)
    if float(misses.max()) > FIT_SHARE * radius:
        return None
    return middle + plane @ found[:2], axis, radius


def _merged(pieces: list[_Piece]) -> Iterator[Hole]:
    """The holes of pieces on one axis: each a stretch of it that is closed all round."""
    run: list[_Piece] = []
    for piece in [*sorted(pieces, key=lambda one: one.low), None]:
        if piece is not None and (not run or piece.low <= max(one.high for one in run) + TOUCH_MM):
            run.append(piece)
            continue
        low, high = run[0].low, max(one.high for one in run)
        closed = np.logical_or.reduce([one.sectors for one in run])
        if closed.mean() >= ROUND_SHARE and high > low:
            foot, axis = run[0].foot, run[0].axis
            yield Hole(foot + axis * (low + high) / 2, axis, 2 * run[0].radius, high - low)
        run = [piece] if piece is not None else []


def _key(piece: _Piece) -> tuple[int, ...]:
    """What pieces of one cylinder share."""
    numbers = [*(piece.foot / SAME_MM), *(piece.axis / SAME_DIRECTION), piece.radius / SAME_MM]
    return tuple(round(float(value) + 0.314159) for value in numbers)


def _canonical(axis: Vector) -> Vector:
    """The same line's direction, the same way whichever the file has."""
    lead = next((value for value in axis if abs(value) > SAME_DIRECTION), 1.0)
    return axis if lead > 0 else -axis


def _plain(value: float, digits: int) -> float:
    return round(float(value), digits) + 0.0
