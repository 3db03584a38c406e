"""CAD and mesh files to `Mesh`, in this very process. `tessellate` runs it in one of its own."""

from __future__ import annotations

import io
import re
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mfgviz.errors import NoSolidsError, UnreadableGeometryError
from workers.geometry.colors import Color, ColoredTriangles, paint, without_colors
from workers.geometry.conversion import brep_to_step, freecad_to_step
from workers.geometry.facts import plain_text
from workers.geometry.mesh import LARGEST_MM, Body, Mesh, Surface, triangle_normals
from workers.geometry.xml import check_archive

DEFLECTION_SHARE = 1e-3
ANGLE_RAD = 0.35
COARSE_DEFLECTION_MM = 1e3
COARSE_ANGLE_RAD = 1.0
# Mesh files: neighbouring triangles that turn by less than this belong to one smooth patch.
SMOOTH_DEG = 28.0
PLACEHOLDER = r"(COMPOUND|COMPSOLID|SOLID|SHELL|FACE)(_\d+)?"
METRES = 1000.0
# cascadio writes the mesh of a STEP file in metres and that of an IGES file in mm, whatever unit the file
# is in; its records of exact faces are in metres for both.
MM_OF_MESH = {"step": METRES, "iges": 1.0}
MM_OF_UNIT = {
    "micron": 1e-3, "millimeter": 1.0, "centimeter": 10.0, "meter": 1000.0, "inch": 25.4, "foot": 304.8,
}  # fmt: skip


def read_mesh(path: Path, file_format: str) -> Mesh:
    """The mesh of a file of that format.

    Raises:
        UnreadableGeometryError: the file is damaged.
        NoSolidsError: it holds nothing that could be shown.
    """
    if file_format in ("step", "iges", "brep", "fcstd"):
        return _read_brep(path, file_format)
    return _read_triangles(path, file_format)


# -- exact geometry ---------------------------------------------------------------------------------------
def _read_brep(path: Path, file_format: str) -> Mesh:
    content = path.read_bytes()
    if file_format == "step" and b"END-ISO-10303-21" not in content[-4096:]:
        raise UnreadableGeometryError(f"{path.name} is cut off: its end is missing.")
    if file_format in ("brep", "fcstd"):
        content, file_format = _as_step(path, file_format), "step"
    shape = without_colors(content) if file_format == "step" else content
    coarse = _scene(_glb(shape, file_format, COARSE_DEFLECTION_MM, COARSE_ANGLE_RAD, path.name))
    unit_mm = MM_OF_MESH[file_format]
    diagonal_mm = float(np.linalg.norm(coarse.extents)) * unit_mm if len(coarse.geometry) else 0.0
    if not diagonal_mm > 0:
        raise NoSolidsError(f"{path.name} holds no solid or surface.")
    deflection_mm = diagonal_mm * DEFLECTION_SHARE
    fine = _scene(_glb(shape, file_format, deflection_mm, ANGLE_RAD, path.name))
    mesh = _from_scene(fine, path.name, unit_mm)
    if shape == content:
        return mesh
    colored = _scene(_glb(content, file_format, deflection_mm, ANGLE_RAD, path.name))
    return paint(mesh, _colored_triangles(colored, unit_mm))


def _glb(content: bytes, file_format: str, deflection_mm: float, angle_rad: float, name: str) -> bytes:
    import cascadio

    kind = cascadio.FileType.STEP if file_format == "step" else cascadio.FileType.IGES
    try:
        made: bytes = cascadio.to_glb_bytes(
            content, kind, deflection_mm, angle_rad, False, True, False, True, set(), True
        )
    except (RuntimeError, ValueError) as error:
        raise UnreadableGeometryError(f"{name} cannot be read: {plain_text(str(error))}.") from error
    if not made:
        raise NoSolidsError(f"{name} holds no solid or surface, or is damaged.")
    return made


def _as_step(path: Path, file_format: str) -> bytes:
    """cascadio reads neither BREP nor FCStd; other programs bring them to STEP."""
    with tempfile.TemporaryDirectory(prefix="mfgviz-") as folder:
        target = Path(folder) / "part.step"
        (brep_to_step if file_format == "brep" else freecad_to_step)(path, target)
        return target.read_bytes()


def _scene(glb: bytes) -> Any:
    import trimesh

    return trimesh.load(io.BytesIO(glb), file_type="glb", process=False, merge_primitives=False)


def _from_scene(scene: Any, name: str, unit_mm: float) -> Mesh:
    pieces: dict[str, list[NDArray[Any]]] = {key: [] for key in ("v", "f", "n", "face", "body")}
    bodies: list[Body] = []
    surfaces: list[Surface] = []
    free: list[int] = []
    warnings: list[str] = []
    vertex_count = face_count = 0
    for node in scene.graph.nodes_geometry:
        place, key = scene.graph[node]
        part = scene.geometry[key]
        if not len(part.faces):
            continue
        faces = np.asarray(part.faces)
        normals = np.asarray(part.vertex_normals) @ place[:3, :3].T
        if np.linalg.det(place[:3, :3]) < 0:
            faces = faces[:, ::-1]
        numbers = part.face_attributes.get("brep_index")
        if numbers is None:
            warnings.append("Some faces could not be told apart: edges between them are missing.")
        ids = np.asarray(np.zeros(len(faces)) if numbers is None else numbers).reshape(-1).astype(int)
        listed = part.metadata.get("cascadio", {}).get("brep_primitives", ())
        exact = {one.face_index: one for one in listed if one is not None}
        surfaces += [
            replace(_surface(one, place, unit_mm), face_id=face_count + number)
            for number, one in exact.items()
        ]
        free += sorted(face_count + int(k) for k in set(ids.tolist()) - set(exact))
        pieces["v"].append(_placed(part.vertices, place) * unit_mm)
        pieces["n"].append(normals)
        pieces["f"].append(faces + vertex_count)
        pieces["face"].append(ids + face_count)
        pieces["body"].append(np.full(len(faces), len(bodies)))
        bodies.append(Body(_plain_name(str(key))))
        vertex_count += len(part.vertices)
        face_count += max([int(ids.max()), *exact]) + 1
    if not bodies:
        raise NoSolidsError(f"{name} holds no solid or surface.")
    return Mesh(
        vertices=np.concatenate(pieces["v"]),
        faces=np.concatenate(pieces["f"]).astype(np.int32),
        normals=_unit(np.concatenate(pieces["n"])),
        face_ids=np.concatenate(pieces["face"]).astype(np.int32),
        body_ids=np.concatenate(pieces["body"]).astype(np.int32),
        bodies=tuple(bodies),
        surfaces=tuple(surfaces),
        free_face_ids=tuple(free),
        warnings=tuple(dict.fromkeys(warnings)),
    )


def _surface(one: Any, place: NDArray[np.float64], unit_mm: float) -> Surface:
    """cascadio's record of an exact face, in part coordinates and mm."""
    kind = type(one).__name__.lower()
    local = np.asarray(getattr(one, "origin", None) or getattr(one, "center", None) or one.apex)
    point = place[:3, :3] @ local * METRES + place[:3, 3] * unit_mm
    axis = place[:3, :3] @ np.asarray(
        getattr(one, "normal", None) or getattr(one, "axis", None) or (0.0, 0.0, 1.0)
    )
    sizes = [
        getattr(one, name) * METRES
        for name in ("radius", "major_radius", "minor_radius")
        if hasattr(one, name)
    ]
    sizes += [one.semi_angle] if hasattr(one, "semi_angle") else []
    ends = [point + axis * reach * METRES for reach in getattr(one, "extent_height", ())]
    return Surface(kind, _triple(point), _triple(axis), tuple(map(float, sizes)), tuple(map(_triple, ends)))


def _triple(vector: NDArray[np.float64]) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in vector)
    return (x, y, z)


def _placed(points: NDArray[np.float64], place: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(points) @ place[:3, :3].T + place[:3, 3]


def _colored_triangles(scene: Any, unit_mm: float) -> Iterator[ColoredTriangles]:
    for node in scene.graph.nodes_geometry:
        place, key = scene.graph[node]
        part = scene.geometry[key]
        corners = _placed(part.vertices, place)[np.asarray(part.faces)] * unit_mm
        facing = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        facing /= np.maximum(np.linalg.norm(facing, axis=1, keepdims=True), 1e-12)
        if np.linalg.det(place[:3, :3]) < 0:
            facing = -facing
        yield ColoredTriangles(corners.mean(1), facing, _color_of(part))


def _color_of(part: Any) -> Color | None:
    """sRGB; glTF's base colours are linear (Khronos glTF 2.0, 3.9.2), transfer by IEC 61966-2-1."""
    material = getattr(part.visual, "material", None)
    base = getattr(material, "baseColorFactor", None)
    if base is None:
        return None
    light = np.asarray(base, float)[:3] / 255
    srgb = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    red, green, blue = (int(value) for value in np.rint(srgb * 255))
    return (red, green, blue, int(base[3]))


def _plain_name(name: str) -> str:
    """The product's name; the translator's own placeholders are none."""
    made_up = name.startswith("Open CASCADE STEP translator") or re.fullmatch(PLACEHOLDER, name)
    return "" if made_up else plain_text(name)


# -- triangles ----------------------------------------------------------------------------------------------
def _read_triangles(path: Path, file_format: str) -> Mesh:
    import trimesh

    if file_format == "3mf":
        check_archive(path)
    # Of pictures and other files that it names nothing is needed: without a resolver none is opened.
    plain = {"skip_materials": True} if file_format in ("obj", "glb") else {}
    try:
        # In memory, for a name would tell the reader where to look for other files.
        loaded = trimesh.load(io.BytesIO(path.read_bytes()), file_type=file_format, process=False, **plain)
        unit = getattr(loaded, "units", None)
        whole = loaded.to_mesh() if isinstance(loaded, trimesh.Scene) else loaded
    except MemoryError:
        raise
    except Exception as error:
        told = plain_text(str(error)) or type(error).__name__
        raise UnreadableGeometryError(f"{path.name} cannot be read as {file_format}: {told}.") from error
    if not isinstance(whole, trimesh.Trimesh) or not len(whole.faces):
        raise NoSolidsError(f"{path.name} holds no triangles.")
    vertices, faces = np.asarray(whole.vertices, float), np.asarray(whole.faces)
    if faces.min() < 0 or faces.max() >= len(vertices):
        raise UnreadableGeometryError(f"{path.name} has triangles whose corners are not there.")
    if not np.isfinite(vertices).all():
        raise UnreadableGeometryError(f"{path.name} holds coordinates that are not numbers.")
    if np.abs(vertices).max() > LARGEST_MM:
        raise UnreadableGeometryError(f"{path.name} holds coordinates beyond 1,000 km.")
    if file_format == "glb":
        # glTF is Y up and in metres (Khronos glTF 2.0, 3.4); ours is Z up and in mm.
        vertices = np.stack([vertices[:, 0], -vertices[:, 2], vertices[:, 1]], axis=1) * METRES
    elif file_format == "3mf" and unit:
        vertices = vertices * MM_OF_UNIT.get(str(unit).lower(), 1.0)
    return _smooth_patches(vertices, faces, path.name)


def _smooth_patches(vertices: NDArray[np.float64], faces: NDArray[Any], name: str) -> Mesh:
    """A mesh whose faces are patches of triangles that turn little, each with vertices of its own."""
    import trimesh
    from scipy.sparse import coo_matrix
    from scipy.sparse.csgraph import connected_components

    solid = trimesh.Trimesh(vertices, faces, process=False)
    solid.merge_vertices()
    solid.update_faces(solid.nondegenerate_faces())
    if not len(solid.faces):
        raise NoSolidsError(f"{name} holds only triangles without area.")
    pairs = solid.face_adjacency[solid.face_adjacency_angles < np.radians(SMOOTH_DEG)]
    count = len(solid.faces)
    links = coo_matrix((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(count, count))
    _, patch = connected_components(links, directed=False)
    corners, index = np.unique(
        np.stack([solid.faces.ravel(), np.repeat(patch, 3)], axis=1), axis=0, return_inverse=True
    )
    split = index.reshape(-1, 3)
    points = np.asarray(solid.vertices)[corners[:, 0]]
    flat = triangle_normals(points, split.astype(np.int32))
    normals = np.zeros_like(points)
    for corner in range(3):
        np.add.at(normals, split[:, corner], flat)
    warnings = [] if solid.is_watertight else ["The surface has gaps or edges with more than two triangles."]
    return Mesh(
        vertices=points,
        faces=split.astype(np.int32),
        normals=_unit(normals),
        face_ids=patch.astype(np.int32),
        body_ids=np.zeros(count, np.int32),
        bodies=(Body(""),),
        warnings=tuple(warnings),
    )


def _unit(vectors: NDArray[np.float64]) -> NDArray[np.float32]:
    return (vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)).astype(np.float32)
