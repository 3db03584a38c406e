"""The shape digest: of the shape, not of the file.

For exact geometry it is made of the surfaces themselves: each plane, cylinder, cone, sphere and torus
of the part by its own numbers, which no tessellation touches. Free-form surfaces have none;
they count by their area and place in the mesh, in steps of two per cent. Places are told from a
centre that follows from the surfaces alone, so that moving the part in its file changes nothing, and a
set of surfaces is hashed, so that order and how a face is split do not matter. Where the surfaces are
trimmed is told by the corners: each is known by the surfaces that meet in it, without any coordinate.

Kept: saving again, exporting again, meshing again, moving the origin, another unit of the same size.
Changed: a hole moved by 0.1 mm, a mirrored part, a scaled part, a turned part (views depend on it), a pocket
that now reaches to another face. A mesh file's digest is of its points and says nothing of a STEP file's.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from workers.geometry.mesh import Mesh, Surface, triangle_normals

DIGEST_VERSION = 2
# What differs by less is the same: exporters agree to about a nanometre.
STEP_MM = 1e-3
STEP_DIRECTION = 1e-5
# Where a cylinder ends follows from curves that exporters approximate.
STEP_END_MM = 0.05
# Free-form patches are known from their triangles, so only to this share of the part's size.
COARSE_SHARE = 0.02
# Quantised values are moved off the numbers that designers like, or noise would decide their rounding.
SHIFT = 0.314159

Vector = NDArray[np.float64]


def shape_digest(mesh: Mesh) -> str:
    """Hex SHA-256 of the mesh's shape."""
    words = _words(mesh) if mesh.surfaces or mesh.free_face_ids else [_points_word(mesh)]
    text = "\n".join([f"shape {DIGEST_VERSION}", *sorted(set(words))])
    return hashlib.sha256(text.encode()).hexdigest()


def _words(mesh: Mesh) -> list[str]:
    canonical = [_canonical(surface) for surface in mesh.surfaces]
    centre = _centre(canonical) if canonical else mesh.bounds.mean(0)
    words = {surface.face_id: _word(surface, centre) for surface in canonical}
    return [*words.values(), *_corner_words(mesh, words), *_free_words(mesh, centre)]


def _canonical(surface: Surface) -> Surface:
    """The same surface with its axis pointing to one of two ways by rule, so that both ways hash alike.

    A cone's axis is left alone: it tells where the cone opens to.
    """
    axis = np.array(surface.axis, float)
    if surface.kind == "sphere":
        return replace(surface, axis=(0.0, 0.0, 0.0))
    axis /= max(float(np.linalg.norm(axis)), 1e-12)
    if surface.kind != "cone":
        lead = next((value for value in axis if abs(value) > STEP_DIRECTION), 1.0)
        axis = axis if lead > 0 else -axis
    x, y, z = (float(value) for value in axis)
    return replace(surface, axis=(x, y, z))


def _centre(surfaces: list[Surface]) -> Vector:
    """The point nearest to all surfaces' planes, axes and centres, in the least squares.

    A plane holds it along its normal, an axis across itself, a centre in all directions. Moving the part
    moves it alike. Equal surfaces count once, so that splitting a face does not pull it.
    """
    left, right = np.zeros((3, 3)), np.zeros(3)
    for key in {_loose_key(surface): surface for surface in surfaces}.values():
        hold = _hold(key)
        left += hold
        right += hold @ np.array(key.point)
    return np.linalg.pinv(left, rcond=1e-9) @ right


def _hold(surface: Surface) -> Vector:
    axis = np.array(surface.axis)
    if surface.kind == "plane":
        return np.outer(axis, axis)
    if surface.kind == "cylinder":
        return np.eye(3) - np.outer(axis, axis)
    return np.eye(3)


def _loose_key(surface: Surface) -> str:
    """What makes two surfaces of a file one: the same place to a hundredth of the step."""
    place = _hold(surface) @ np.array(surface.point)
    numbers = [*place, *surface.axis, *surface.sizes]
    return surface.kind + ",".join(f"{value / STEP_MM:.2f}" for value in numbers)


def _word(surface: Surface, centre: Vector) -> str:
    place = _hold(surface) @ (np.array(surface.point) - centre)
    numbers = [_step(value, STEP_MM) for value in place]
    numbers += [_step(value, STEP_DIRECTION) for value in surface.axis]
    numbers += [_step(value, STEP_MM) for value in surface.sizes]
    along = sorted(float((np.array(end) - centre) @ np.array(surface.axis)) for end in surface.ends)
    numbers += [_step(value, STEP_END_MM) for value in along]
    return f"{surface.kind} {' '.join(map(str, numbers))}"


def _corner_words(mesh: Mesh, words: dict[int, str]) -> list[str]:
    """Each corner of a closed body by the surfaces that meet in it, where these are three or more.

    A mesher puts a point on every corner, the same for all faces around it; elsewhere no more than two
    surfaces share a point. All free-form faces count as one surface: they have no word of their own. A body
    whose faces are not sewn together has corners only by the luck of rounding, and so none here.
    """
    names = ["free", *sorted(set(words.values()))]
    number_of = {name: number for number, name in enumerate(names)}
    by_face = np.zeros(max(int(mesh.face_ids.max()), *words, 0) + 1, np.int64)
    for face_id, word in words.items():
        by_face[face_id] = number_of[word]
    places = np.column_stack([np.repeat(mesh.body_ids, 3), mesh.vertices[mesh.faces].reshape(-1, 3)])
    point = np.unique(places, axis=0, return_inverse=True)[1].reshape(-1, 3)
    sewn = np.isin(mesh.body_ids, _closed_bodies(point, mesh.body_ids))
    surface = np.repeat(by_face[mesh.face_ids[sewn]], 3)
    pairs = np.unique(np.column_stack([point[sewn].ravel(), surface]), axis=0)
    starts = np.flatnonzero(np.r_[True, np.diff(pairs[:, 0]) > 0])
    meeting = np.split(pairs[:, 1], starts[1:]) if len(pairs) else []
    return ["corner " + " | ".join(names[one] for one in met) for met in meeting if len(met) > 2]


def _closed_bodies(point: NDArray[np.intp], body_ids: NDArray[np.int32]) -> NDArray[np.int32]:
    """The bodies whose triangles meet in pairs at every edge; `point` (F, 3) numbers their corners."""
    real = (point[:, 0] != point[:, 1]) & (point[:, 1] != point[:, 2]) & (point[:, 2] != point[:, 0])
    ends = np.sort(point[real][:, [0, 1, 1, 2, 2, 0]].reshape(-1, 2), axis=1)
    edges, first, count = np.unique(ends, axis=0, return_index=True, return_counts=True)
    body_of_edge = np.repeat(body_ids[real], 3)[first]
    open_bodies = np.unique(body_of_edge[count % 2 == 1]) if len(edges) else body_ids
    return np.setdiff1d(body_ids, open_bodies)


def _free_words(mesh: Mesh, centre: Vector) -> list[str]:
    """Free-form faces, each by its area and its middle as the triangles tell them."""
    area = np.linalg.norm(triangle_normals(mesh.vertices, mesh.faces), axis=1) / 2
    middle = mesh.vertices[mesh.faces].mean(1)
    total = np.bincount(mesh.face_ids, weights=area)
    sums = np.stack([np.bincount(mesh.face_ids, weights=area * middle[:, k]) for k in range(3)], axis=1)
    step_mm = mesh.diagonal_mm * COARSE_SHARE
    words = []
    for face in mesh.free_face_ids:
        if face < len(total) and total[face] > 0:
            place = sums[face] / total[face] - centre
            steps = [_step(value, step_mm) for value in place]
            words.append(f"free {steps} {_step(math.log(total[face]), COARSE_SHARE)}")
    return words


def _step(value: float, step: float) -> int:
    return math.floor(value / step + SHIFT)


def _points_word(mesh: Mesh) -> str:
    """A mesh file by its points, told from the centre of its surface."""
    area = np.linalg.norm(triangle_normals(mesh.vertices, mesh.faces), axis=1) / 2
    corners = mesh.vertices[mesh.faces]
    centre = (corners.mean(1) * area[:, None]).sum(0) / max(float(area.sum()), 1e-12)
    steps = np.floor((corners.reshape(-1, 3) - centre) / STEP_MM + SHIFT).astype(np.int64)
    return f"points {hashlib.sha256(np.unique(steps, axis=0).tobytes()).hexdigest()}"
