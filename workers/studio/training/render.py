"""Stage `render`: path-traced pictures of the parts, each with its camera and the words of its look.

Several processes share the work by their number; a picture that is there is not made again.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from workers.studio.training.assembled import fitting_corners
from workers.studio.training.cameras import PictureCamera, draw_camera
from workers.studio.training.config import TrainingConfig
from workers.studio.training.looks import (
    FITTING_KINDS,
    draw_favoured,
    draw_floor,
    draw_light,
    draw_surface,
    pick,
)
from workers.studio.training.meshes import scene_mesh
from workers.studio.training.nouns import ASSEMBLY_NOUNS, NOUNS
from workers.studio.training.parts import read_parts
from workers.studio.training.tessellation import training_mesh

if TYPE_CHECKING:
    from workers.studio.training.scene import Look

FLOOR_TURN = 2.2  # radians between the camera's side and the planks


def render_parts(
    config: TrainingConfig, process: int = 0, processes: int = 1, *, minutes: float = 1e9
) -> int:
    """Render what this process owes and nobody has; return how many pictures it made."""
    from workers.studio.training.scene import Quality, path_trace, use_threads

    if processes > 1:
        use_threads(1)
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
        look = draw_look(rng, camera, config.favoured, assembled=part["family"] in ASSEMBLY_NOUNS)
        # Half the size costs a third, and is all that the denoiser sees.
        large = look_number < config.looks_per_camera and part["part"] % config.large_every == 0
        size_px = config.image_px if large else config.image_px // 2
        quality = Quality(size_px, config.samples_per_pixel, int(rng.integers(1 << 30)))
        picture = path_trace(scene_mesh(mesh), camera, look, quality, fitting_corners(mesh))
        known = {
            "words": look.words,
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


def draw_look(
    rng: np.random.Generator,
    camera: PictureCamera,
    favoured: tuple[str, ...] = (),
    *,
    assembled: bool = False,
) -> Look:
    """A surface (a favoured one, if there are any), a light and a floor, drawn for this camera; and a surface
    of the fittings of what is assembled."""
    from workers.studio.training.scene import Look

    surface = draw_favoured(rng, favoured) if favoured else draw_surface(rng)
    light = draw_light(rng, -np.array(camera.forward), np.array(camera.up))
    floor = draw_floor(rng)
    fittings = draw_surface(rng, pick(rng, FITTING_KINDS)) if assembled else None
    return Look(surface, light, floor, camera.azimuth + FLOOR_TURN, fittings)


def read_renders(config: TrainingConfig) -> list[dict[str, Any]]:
    """The entries of all finished pictures, by name; `name` is added."""
    found = sorted((config.folder / "renders").glob("*.json"))
    return [json.loads(path.read_text()) | {"name": path.stem} for path in found]


def picture_path(config: TrainingConfig, entry: dict[str, Any]) -> Path:
    """Where the picture of an entry of `read_renders` lies."""
    return config.folder / "renders" / f"{entry['name']}.png"


def _owed(config: TrainingConfig, process: int, processes: int) -> Iterator[tuple[dict[str, Any], int, int]]:
    # In blocks of two parts a family, all looks of one before the next: whenever it stops, all families are
    # there in equal numbers. Held-out parts are for looking at once, not for learning: one picture each.
    parts = list(enumerate(read_parts(config)[: config.parts + config.assemblies]))
    block = 2 * len(NOUNS)
    for first in range(0, len(parts), block):
        for camera_number in range(config.cameras_per_part):
            for look_number in range(config.looks_per_camera + config.small_looks_per_camera):
                for place, part in parts[first : first + block]:
                    wanted = look_number < config.looks_per_camera or not part["held_out"]
                    if place % processes == process and wanted:
                        yield part, camera_number, look_number


def _save(
    folder: Path, name: str, picture: np.ndarray[Any, np.dtype[np.uint8]], entry: dict[str, Any]
) -> None:
    """The picture first: an entry that exists has its picture."""
    Image.fromarray(picture).save(folder / f"{name}.png", compress_level=1)
    (folder / f"{name}.json").write_text(json.dumps(entry))
