"""A part's surface as triangles that remember which B-rep face they came from."""

from __future__ import annotations

import io
import json
from dataclasses import astuple, dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from mfgviz.errors import NoSolidsError, UnreadableGeometryError

MESH_VERSION = 3

Point = tuple[float, float, float]


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
        if self.diagonal_mm <= 0:
            raise NoSolidsError("All points of the file are one.")

    @property
    def bounds(self) -> NDArray[np.float64]:
        """Least and greatest coordinates, (2, 3) in mm."""
        used = self.vertices[np.unique(self.faces)]
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
        """Read a mesh back. Raises ValueError where it is not one of this version."""
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            told = json.loads(archive["told"].tobytes())
            if told["version"] != MESH_VERSION:
                raise ValueError(f"mesh of version {told['version']}")
            colors = archive["colors"]
            return cls(
                vertices=archive["vertices"],
                faces=archive["faces"],
                normals=archive["normals"],
                face_ids=archive["face_ids"],
                body_ids=archive["body_ids"],
                bodies=tuple(map(Body, told["bodies"])),
                colors=colors if len(colors) else None,
                surfaces=tuple(
                    msgspec.convert(one, Surface, strict=False) for one in map(_named, told["surfaces"])
                ),
                free_face_ids=tuple(told["free_face_ids"]),
                warnings=tuple(told["warnings"]),
            )


def _named(plain: list[object]) -> dict[str, object]:
    return dict(zip(("kind", "point", "axis", "sizes", "ends", "face_id"), plain, strict=True))


def triangle_normals(vertices: NDArray[np.float64], faces: NDArray[np.int32]) -> NDArray[np.float64]:
    """Normals (F, 3) whose length is twice the triangle's area."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    return np.cross(b - a, c - a)
