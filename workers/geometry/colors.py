"""The colours of a STEP file, read beside its shape. (Of IGES files cascadio reads none.)

cascadio numbers the B-rep faces of a part only where the whole part is one group of triangles, and it makes
a group for each colour. So the shape is read from the file without its colours, and these are looked up in a
second reading, whose triangles are the same ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from workers.geometry.mesh import Mesh, triangle_normals

Color = tuple[int, int, int, int]

# What has no colour in a file that has some: nothing to be seen, and so nothing to be named.
NO_COLOR: Color = (200, 200, 200, 0)
# An entity of a name that no schema has is passed over by the reader, and so is the colour it gives.
_STYLED = re.compile(rb"=(\s*)((?:OVER_RIDING_|CONTEXT_DEPENDENT_OVER_RIDING_)?STYLED_ITEM\b)")


@dataclass(frozen=True, slots=True)
class ColoredTriangles:
    """Triangles of one colour: their middles (N, 3) in mm and unit normals (N, 3)."""

    middles: NDArray[np.float64]
    normals: NDArray[np.float64]
    color: Color | None


def without_colors(step: bytes) -> bytes:
    """A STEP file's content with all its colours gone, the shape untouched."""
    return _STYLED.sub(rb"=\1UNREAD_\2", step)


def paint(mesh: Mesh, colored: Iterable[ColoredTriangles]) -> Mesh:
    """The mesh with the colours of the same triangles; each face has one. Unchanged where there are none.

    Triangles are known again by their middles, and by where they face: bodies touch, and then two triangles
    have one middle.
    """
    groups = list(colored)
    if all(group.color is None for group in groups):
        return mesh
    aside = mesh.diagonal_mm * 1e-4
    places = cKDTree(np.concatenate([group.middles + aside * group.normals for group in groups]))
    of_group = np.concatenate([np.full(len(group.middles), k) for k, group in enumerate(groups)])
    palette = np.array([group.color or NO_COLOR for group in groups], np.uint8)
    _, first, of_face = np.unique(mesh.face_ids, return_index=True, return_inverse=True)
    facing = triangle_normals(mesh.vertices, mesh.faces[first])
    facing /= np.maximum(np.linalg.norm(facing, axis=1, keepdims=True), 1e-12)
    middles = mesh.vertices[mesh.faces[first]].mean(1)
    group_of_face = of_group[places.query(middles + aside * facing)[1]]
    return replace(mesh, colors=palette[group_of_face[of_face.reshape(-1)]])
