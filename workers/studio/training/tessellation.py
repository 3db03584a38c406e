"""The meshes of the training parts: read once by the product's own geometry code, and kept."""

from __future__ import annotations

from typing import Any

from workers.geometry.mesh import Mesh
from workers.geometry.reading import read_mesh
from workers.studio.training.config import TrainingConfig


def training_mesh(config: TrainingConfig, part: dict[str, Any]) -> Mesh:
    """The mesh of a part of the index. Raises what `read_mesh` raises."""
    folder = config.folder / "meshes"
    folder.mkdir(exist_ok=True)
    kept = folder / f"{part['part']:05d}.npz"
    if kept.exists():
        try:
            return Mesh.from_bytes(kept.read_bytes())
        except (ValueError, KeyError):
            kept.unlink()  # of an older version of the geometry code
    mesh = read_mesh(config.folder / "parts" / str(part["file"]), "step")
    kept.write_bytes(mesh.to_bytes())
    return mesh
