"""A part's triangles for the path tracer: flat arrays with texture coordinates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.geometry.mesh import Mesh

Array = NDArray[np.float32]

UV_REPEAT = 1.6  # how often a texture repeats in one scene unit


@dataclass(frozen=True, slots=True)
class SceneMesh:
    """Unshared triangles (3F corners), scaled to a bounding sphere of radius 1, standing on z = 0.

    `centre` and `scale` lead back: mm = scene / scale + centre.
    """

    vertices: Array
    normals: Array
    uv: Array
    centre: NDArray[np.float64]
    scale: float


def scene_mesh(mesh: Mesh) -> SceneMesh:
    """The mesh in scene units. Texture coordinates look down the axis that each triangle faces most."""
    vertices, normals, faces = mesh.vertices, mesh.normals, mesh.faces
    low, high = vertices.min(0), vertices.max(0)
    centre = np.array([(low[0] + high[0]) / 2, (low[1] + high[1]) / 2, low[2]])
    scale = float(2.0 / np.linalg.norm(high - low))
    corners = ((vertices - centre) * scale)[faces]
    facing = np.abs(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])).argmax(1)
    # Streaks run along u, which is the longer of the two axes of the projection.
    order = np.array([[1, 2], [0, 2], [0, 1]])[facing]
    uv = np.take_along_axis(corners, order[:, None, :].repeat(3, 1), 2) * UV_REPEAT
    flat = np.ascontiguousarray(corners.reshape(-1, 3), np.float32)
    return SceneMesh(flat, np.ascontiguousarray(normals[faces].reshape(-1, 3), np.float32),
                     np.ascontiguousarray(uv.reshape(-1, 2), np.float32), centre, scale)  # fmt: skip
