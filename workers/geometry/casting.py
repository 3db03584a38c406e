"""Rays against a mesh: Embree, through embreex, in bands on all cores. The same rays give the same bits."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.geometry.camera import Camera
from workers.geometry.mesh import Mesh

BAND_ROWS = 128
MAX_THREADS = 8


Floats32 = NDArray[np.float32]


@dataclass(slots=True)
class Hits:
    """What a grid of rays hit: (H, W) arrays; depth is inf and face -1 where they hit nothing."""

    depth_mm: NDArray[np.float64]
    normal: Floats32  # (H, W, 3), camera space
    face: NDArray[np.int32]

    @property
    def hit(self) -> NDArray[np.bool_]:
        """Where the part is."""
        return self.face >= 0


class Caster:
    """Rays against one mesh. Coordinates are moved to the mesh's centre, where float32 is finest."""

    def __init__(self, mesh: Mesh) -> None:
        from embreex.mesh_construction import TriangleMesh
        from embreex.rtcore_scene import EmbreeScene

        self._mesh = mesh
        self._centre = mesh.bounds.mean(0)
        self._scene = EmbreeScene()
        TriangleMesh(
            self._scene, (mesh.vertices - self._centre).astype(np.float32), mesh.faces.astype(np.int32)
        )
        # The first ray builds the tree; later ones may come from several threads.
        self.cast(np.zeros((1, 3)), np.array([[0.0, 0.0, 1.0]]))

    def cast(self, origins: NDArray[np.float64], directions: NDArray[np.float64]) -> dict[str, NDArray[Any]]:
        """Embree's answer for each ray: primID, tfar, u, v."""
        found: dict[str, NDArray[Any]] = self._scene.run(
            np.ascontiguousarray(origins - self._centre, np.float32),
            np.ascontiguousarray(directions, np.float32),
            output=True,
        )
        return found

    def blocked(
        self, origins: NDArray[np.float64], directions: NDArray[np.float64], reach_mm: float
    ) -> NDArray[np.bool_]:
        """Whether each ray hits something within reach."""
        found = self.cast(origins, directions)
        return (found["primID"] >= 0) & (found["tfar"] < reach_mm)

    def look(self, camera: Camera, width: int, height: int) -> Hits:
        """What a camera sees. Normals are the surface's own, mixed from the triangle's corners and turned to
        the camera."""
        mesh = self._mesh
        basis = np.stack([camera.right, camera.up, camera.back], axis=1)
        corners = (mesh.normals @ basis).astype(np.float32)[mesh.faces]
        depth_mm, face = np.empty((height, width)), np.empty((height, width), np.int32)
        made = Hits(depth_mm, np.empty((height, width, 3), np.float32), face)

        def look_at(rows: slice) -> None:
            origins, directions = camera.rays(width, height, rows)
            found = self.cast(origins, directions)
            hit = found["primID"] >= 0
            triangle = np.where(hit, found["primID"], 0)
            depth = np.where(hit, found["tfar"] * -(directions @ camera.back), np.inf)
            mixed = _mixed(corners[triangle], found["u"], found["v"])
            mixed[~hit] = 0
            shape = made.face[rows].shape
            made.depth_mm[rows] = depth.reshape(shape)
            made.normal[rows] = mixed.reshape(*shape, 3)
            made.face[rows] = np.where(hit, mesh.face_ids[triangle], -1).reshape(shape)

        in_bands(look_at, height, BAND_ROWS)
        return made


def in_bands(work: Callable[[slice], None], count: int, size: int) -> None:
    """Do the work on slices of `size` up to `count`, on as many threads as there are cores."""
    bands = [slice(at, min(at + size, count)) for at in range(0, count, size)]
    with ThreadPoolExecutor(min(os.cpu_count() or 1, MAX_THREADS)) as pool:
        list(pool.map(work, bands))


def _mixed(corners: Floats32, u: Floats32, v: Floats32) -> Floats32:
    """Unit normals (N, 3) at barycentric places of triangles' corner normals (N, 3, 3), facing the camera."""
    first = corners[:, 0]
    mixed = first + (corners[:, 1] - first) * u[:, None] + (corners[:, 2] - first) * v[:, None]
    length = np.sqrt(np.einsum("ij,ij->i", mixed, mixed))
    mixed *= (np.where(mixed[:, 2] < 0, -1, 1) / np.maximum(length, 1e-9)).astype(np.float32)[:, None]
    return mixed
