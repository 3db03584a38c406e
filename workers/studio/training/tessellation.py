"""The meshes of the training parts, made once from their STEP files and kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.studio.training.config import TrainingConfig
from workers.studio.training.meshes import SceneMesh, scene_mesh

RELATIVE_DEFLECTION = 0.001
ANGLE_RAD = 0.25


@dataclass(frozen=True, slots=True)
class TrainingMesh:
    """A part's triangles in mm: vertices (V, 3), faces (F, 3), normals (V, 3), B-rep face ids (F,)."""

    vertices: NDArray[np.float32]
    faces: NDArray[np.int64]
    normals: NDArray[np.float32]
    face_ids: NDArray[np.int64]

    @property
    def scene(self) -> SceneMesh:
        """The same for the path tracer."""
        return scene_mesh(self.vertices, self.normals, self.faces)


def training_mesh(config: TrainingConfig, part: dict[str, Any]) -> TrainingMesh:
    """The mesh of a part of the index."""
    folder = config.folder / "meshes"
    folder.mkdir(exist_ok=True)
    kept = folder / f"{part['part']:05d}.npz"
    if not kept.exists():
        mesh = tessellate(config.folder / "parts" / str(part["file"]))
        np.savez(kept, vertices=mesh.vertices, faces=mesh.faces, normals=mesh.normals, face_ids=mesh.face_ids)
    with np.load(kept) as data:
        return TrainingMesh(data["vertices"], data["faces"], data["normals"], data["face_ids"])


def tessellate(path: Path) -> TrainingMesh:
    """Triangles of a STEP file with the kernel's own normals, through cascadio."""
    import cascadio
    import trimesh

    data = path.read_bytes()

    def parsed(deflection_mm: float, angle: float) -> Any:
        glb = cascadio.to_glb_bytes(data, cascadio.FileType.STEP, deflection_mm, angle, False, True, True, False, set(), True)
        return trimesh.load(trimesh.util.wrap_as_stream(glb), file_type="glb", process=False, merge_primitives=False)

    size_mm = float(np.linalg.norm(parsed(1e3, 1.0).extents)) * 1000
    scene = parsed(size_mm * RELATIVE_DEFLECTION, ANGLE_RAD)
    columns: dict[str, list[Any]] = {"v": [], "f": [], "n": [], "i": []}
    corners = first_face = 0
    for node in scene.graph.nodes_geometry:
        transform, name = scene.graph[node]
        one = scene.geometry[name]
        columns["v"].append(trimesh.transform_points(one.vertices, transform) * 1000)
        columns["n"].append(one.vertex_normals @ transform[:3, :3].T)
        columns["f"].append(one.faces + corners)
        ids = np.asarray(one.face_attributes["brep_index"]).reshape(-1) if "brep_index" in one.face_attributes else np.zeros(len(one.faces))
        columns["i"].append(ids.astype(np.int64) + first_face)
        corners += len(one.vertices)
        first_face += int(ids.max()) + 1
    joined = {key: np.concatenate(parts) for key, parts in columns.items()}
    return TrainingMesh(joined["v"].astype(np.float32), joined["f"].astype(np.int64), joined["n"].astype(np.float32), joined["i"])
