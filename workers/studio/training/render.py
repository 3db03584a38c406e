"""Stage `render`: path-traced pictures of the parts, each with its camera and the words of its look.

Several processes share the work by their number; a picture that is there is not made again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from workers.studio.training.cameras import draw_camera
from workers.studio.training.config import TrainingConfig
from workers.studio.training.looks import draw_floor, draw_light, draw_surface
from workers.studio.training.meshes import scene_mesh
from workers.studio.training.parts import read_parts
from workers.studio.training.tessellation import training_mesh


def render_parts(
    config: TrainingConfig, process: int = 0, processes: int = 1, *, minutes: float = 1e9
) -> int:
    """Render what this process owes and nobody has; return how many pictures it made."""
    from workers.studio.training.scene import Look, Quality, path_trace

    folder = config.folder / "renders"
    folder.mkdir(parents=True, exist_ok=True)
    started, made = time.monotonic(), 0
    for part, camera_number, look_number in _owed(config, process, processes):
        name = f"{part['part']:05d}-{camera_number}-{look_number}"
        if (folder / f"{name}.json").exists():
            continue
        if time.monotonic() - started > minutes * 60:
            break
        mesh = training_mesh(config, part)
        camera = draw_camera(np.random.default_rng([config.seed, part["part"], camera_number]), mesh.vertices)
        rng = np.random.default_rng([config.seed, part["part"], camera_number, look_number + 100])
        surface, (light, environment) = draw_surface(rng), draw_light(rng, camera.azimuth)
        floor_name, floor, rough = draw_floor(rng)
        look = Look(surface, environment, floor, rough, float(rng.uniform(0, np.pi)))
        # A look more costs a quarter at half the size, which is all that the denoiser sees.
        size_px = config.image_px if look_number < config.looks_per_camera else config.image_px // 2
        quality = Quality(size_px, config.samples_per_pixel, int(rng.integers(1 << 30)))
        picture = path_trace(scene_mesh(mesh), camera, look, quality)
        words = {"light": light, "floor": floor_name, **surface.names}
        known = {
            "words": words,
            "camera": camera.as_json(),
            "camera_number": camera_number,
            "size_px": size_px,
        }
        _save(folder, name, picture, part | known)
        made += 1
        if made % 20 == 0:
            print(
                f"process {process}: {made} pictures, {(time.monotonic() - started) / made:.2f} s each",
                flush=True,
            )
    return made


def read_renders(config: TrainingConfig) -> list[dict[str, Any]]:
    """The entries of all finished pictures, by name; `name` is added."""
    found = sorted((config.folder / "renders").glob("*.json"))
    return [json.loads(path.read_text()) | {"name": path.stem} for path in found]


def picture_path(config: TrainingConfig, entry: dict[str, Any]) -> Path:
    """Where the picture of an entry of `read_renders` lies."""
    return config.folder / "renders" / f"{entry['name']}.png"


def _owed(config: TrainingConfig, process: int, processes: int) -> Iterator[tuple[dict[str, Any], int, int]]:
    parts = read_parts(config)[: config.parts]
    # Cameras in the outer loop: whenever it stops, all families are there in equal numbers.
    for camera_number in range(config.cameras_per_part):
        for look_number in range(config.looks_per_camera + config.small_looks_per_camera):
            for place, part in enumerate(parts):
                if place % processes == process:
                    yield part, camera_number, look_number


def _save(
    folder: Path, name: str, picture: np.ndarray[Any, np.dtype[np.uint8]], entry: dict[str, Any]
) -> None:
    """The picture first: an entry that exists has its picture."""
    Image.fromarray(picture).save(folder / f"{name}.png", compress_level=1)
    (folder / f"{name}.json").write_text(json.dumps(entry))
