"""A part's surface as triangles that remember which B-rep face they came from."""

from __future__ import annotations

import io
import json
import zipfile
from dataclasses import astuple, dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from mfgviz.errors import NoSolidsError, UnreadableGeometryError

MESH_VERSION = 3
# No part is a thousand kilometres long, nor less than a nanometre; what says so is damaged, and such numbers
# overflow in what is computed from them.
LARGEST_MM, SMALLEST_MM = 1e9, 1e-6

Point = tuple[float, float, float]
# The arrays of a mesh's file: their numbers, and how many a row has.
ARRAYS = {
    "vertices": (np.float64, 3), "faces": (np.int32, 3), "normals": (np.float32, 3), "face_ids": (np.int32,
    0),
    "body_ids": (np.int32, 0), "colors": (np.uint8, 4),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Body:
    """One piece of the file, by its name in it, if any."""

    name: str


@dataclass(frozen=True, slots=True)
class Surface:
    """An exact surface of the file: plane, cylinder, cone, sphere or torus.

    `point` is a point of a plane, a point of a cylinder's axis, a cone's apex, a centre (mm); `axis` a unit
    vector; `sizes` the radii (mm) and a cone's half angle (rad); `ends` two points on a cylinder's axis
    between which it reaches (mm). `face_id` is the mesh's face that lies on it.
    """

    kind: str
    point: Point
    axis: Point
    sizes: tuple[float, ...] = ()
    ends: tuple[Point, ...] = ()
    face_id: int = -1


@dataclass(frozen=True, slots=True)
class Mesh:
    """Triangles in part coordinates, mm, Z up.

    vertices: (V, 3) float64. faces: (F, 3) int32. normals: (V, 3) float32, the surface's own at each
    vertex; vertices are not shared across B-rep faces. face_ids: (F,) int32, the B-rep face (for mesh
    files: the smooth patch). body_ids: (F,) int32 into `bodies`. colors: (F, 4) uint8 sRGB, alpha 0 where a
    face has none; None where no face has one. surfaces: the exact ones, none for mesh files. free_face_ids:
    faces that are no such surface. warnings: what people should know, such as gaps in the surface.
    """

    vertices: NDArray[np.float64]
    faces: NDArray[np.int32]
    normals: NDArray[np.float32]
    face_ids: NDArray[np.int32]
    body_ids: NDArray[np.int32]
    bodies: tuple[Body, ...] = ()
    colors: NDArray[np.uint8] | None = None
    surfaces: tuple[Surface, ...] = ()
    free_face_ids: tuple[int, ...] = ()
    warnings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if len(self.faces) == 0:
            raise NoSolidsError("The file holds no surface that could be shown.")
        if not np.isfinite(self.vertices).all():
            raise UnreadableGeometryError("The file holds coordinates that are not numbers.")
        if np.abs(self.bounds).max() > LARGEST_MM:
            raise UnreadableGeometryError("The file holds coordinates beyond 1,000 km.")
        if self.diagonal_mm < SMALLEST_MM:
            raise NoSolidsError("All points of the file are one.")

    @property
    def bounds(self) -> NDArray[np.float64]:
        """Least and greatest coordinates, (2, 3) in mm."""
        is_used = np.zeros(len(self.vertices), bool)
        is_used[self.faces.ravel()] = True
        used = self.vertices[is_used]
        return np.stack([used.min(0), used.max(0)])

    @property
    def diagonal_mm(self) -> float:
        """The length of the bounding box's diagonal."""
        low, high = self.bounds
        return float(np.linalg.norm(high - low))

    def to_bytes(self) -> bytes:
        """The mesh as an npz archive; nothing in it is a pickle."""
        told = {
            "version": MESH_VERSION,
            "bodies": [body.name for body in self.bodies],
            "surfaces": [astuple(surface) for surface in self.surfaces],
            "free_face_ids": self.free_face_ids,
            "warnings": self.warnings,
        }
        out = io.BytesIO()
        np.savez(
            out,
            vertices=self.vertices,
            faces=self.faces,
            normals=self.normals,
            face_ids=self.face_ids,
            body_ids=self.body_ids,
            colors=np.zeros((0, 4), np.uint8) if self.colors is None else self.colors,
            told=np.frombuffer(json.dumps(told).encode(), np.uint8),
        )
        return out.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> Mesh:
        """Read a mesh back. Raises ValueError where it is not one of this version, or its numbers cannot
        be."""
        try:
            with zipfile.ZipFile(io.BytesIO(content)) as packed:
                unpacked = sum(entry.file_size for entry in packed.infolist())
        except (zipfile.BadZipFile, NotImplementedError) as error:
            raise ValueError(str(error)) from error
        if unpacked > len(content):  # `to_bytes` does not compress
            raise ValueError("a mesh that unpacks to more than itself")
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            told = json.loads(archive["told"].tobytes())
            if told["version"] != MESH_VERSION:
                raise ValueError(f"mesh of version {told['version']}")
            arrays = {name: archive[name] for name in ARRAYS}
            _check_arrays(arrays, len(told["bodies"]))
            colors = arrays.pop("colors")
            return cls(
                **arrays,
                bodies=tuple(map(Body, told["bodies"])),
                colors=colors if len(colors) else None,
                surfaces=tuple(
                    msgspec.convert(one, Surface, strict=False) for one in map(_named, told["surfaces"])
                ),
                free_face_ids=tuple(told["free_face_ids"]),
                warnings=tuple(told["warnings"]),
            )


def _check_arrays(arrays: dict[str, NDArray[Any]], bodies: int) -> None:
    """Raises ValueError for what no reader of ours writes: ray casters crash on corners that are not
    there."""
    for name, (kind, rank) in ARRAYS.items():
        one = arrays[name]
        if one.dtype != kind or one.shape[1:] != ((rank,) if rank else ()):
            raise ValueError(f"{name} is {one.dtype} {one.shape}")
    triangles, points = len(arrays["faces"]), len(arrays["vertices"])
    whole = [len(arrays["normals"]) == points, len(arrays["colors"]) in (0, triangles)]
    whole += [len(arrays[name]) == triangles for name in ("face_ids", "body_ids")]
    # A file may leave a face out, but numbers far beyond its triangles only make tables of them huge.
    highest = {"faces": points, "face_ids": max(16 * triangles, 1 << 20), "body_ids": max(bodies, 1)}
    whole += [
        arrays[n].size == 0 or 0 <= arrays[n].min() <= arrays[n].max() < most for n, most in highest.items()
    ]
    if not all(whole):
        raise ValueError("a mesh whose numbers do not fit together")


def _named(plain: list[object]) -> dict[str, object]:
    return dict(zip(("kind", "point", "axis", "sizes", "ends", "face_id"), plain, strict=True))


def triangle_normals(vertices: NDArray[np.float64], faces: NDArray[np.int32]) -> NDArray[np.float64]:
    """Normals (F, 3) whose length is twice the triangle's area."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return np.cross(b - a, c - a)
