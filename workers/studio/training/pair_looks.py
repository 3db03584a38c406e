"""Further pictures of the cases of `workers.studio.training.pairs`: in other looks, and by the studio model.

The kernel's work is what takes time in a case; path tracing its versions once more, in another material under
another light, costs a fraction of it. So what is learnt from is shown in several looks: a bolt on rust tells
nothing of one on gold.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from workers.evaluation.cases import mirrored
from workers.geometry.mesh import Mesh
from workers.geometry.reading import read_mesh
from workers.studio.training.cameras import camera_from_json
from workers.studio.training.pairs import (
    PAIRS_PX,
    PART,
    SEED,
    PairsConfig,
    is_learnt,
    looks_of,
    picture_name,
    read_cases,
    words_path,
)

# Every other further look has one of these: their patterns and reflections hide small things best.
HIDING = ("rust", "wood", "walnut", "carbon", "galvanised", "gold", "brass", "bronze", "copper", "steel")


def make_looks(config: PairsConfig, process: int = 0, processes: int = 1, *, minutes: float = 1e9) -> int:
    """Path-trace the further looks of what is learnt from; how many pictures this process made."""
    if processes > 1:
        from workers.studio.training.scene import use_threads

        use_threads(1)
    started, made = time.monotonic(), 0
    for number, case in enumerate(_owed(config, process, processes), 1):
        if time.monotonic() - started > minutes * 60:
            break
        made += _make_case(config, case)
        if number % 20 == 0:
            pace = (time.monotonic() - started) / made
            print(f"process {process}: {made} pictures, {pace:.2f} s each", flush=True)
    return made


def _owed(config: PairsConfig, process: int, processes: int) -> Iterator[dict[str, Any]]:
    for case in read_cases(config, held_out=False)[process::processes]:
        if is_learnt(case["folder"].name) and len(looks_of(case)) <= config.looks:
            yield case


def _make_case(config: PairsConfig, case: dict[str, Any]) -> int:
    from workers.studio.training.meshes import scene_mesh
    from workers.studio.training.render import draw_look
    from workers.studio.training.scene import Quality, path_trace

    folder: Path = case["folder"]
    shown = [
        (number, scene_mesh(_mesh_of(folder, version)), camera_from_json(version["camera"]))
        for number, version in enumerate(case["versions"])
        if version["pictured"]
    ]
    owed = range(len(looks_of(case)), config.looks + 1)
    for look_number in owed:
        rng = np.random.default_rng([SEED, *folder.name.encode(), 3, look_number])
        look = draw_look(rng, shown[0][2], HIDING if look_number % 2 else ())
        quality = Quality(PAIRS_PX, config.samples_per_pixel, int(rng.integers(1 << 30)))
        for number, mesh, camera in shown:
            picture = path_trace(mesh, camera, look, quality)
            path = folder / picture_name("picture", number, look_number)
            Image.fromarray(picture).save(path, compress_level=1)
        words_path(folder, look_number).write_text(json.dumps(look.words))
    return len(shown) * len(owed)


def _mesh_of(folder: Path, version: dict[str, Any]) -> Mesh:
    if version["file"] is None:
        return mirrored(read_mesh(folder / PART, "step"))
    return read_mesh(folder / version["file"], "step")


def make_studio_pictures(
    config: PairsConfig, process: int = 0, processes: int = 1, *, minutes: float = 1e9
) -> int:
    """Pictures of the same maps and words by the studio model that ships; how many this process made."""
    import torch

    from workers.studio.pipeline import StudioPipeline
    from workers.studio.training.captions import caption
    from workers.studio.training.export import WEIGHTS
    from workers.studio.training.maps import from_bytes

    pipeline = StudioPipeline.from_pretrained(WEIGHTS)
    pipeline.set_progress_bar_config(disable=True)
    started, made = time.monotonic(), 0
    for case, look, words in _unpictured(config, process, processes):
        if time.monotonic() - started > minutes * 60:
            break
        folder: Path = case["folder"]
        owed = [
            number
            for number, version in enumerate(case["versions"])
            if version["pictured"] and not (folder / picture_name("studio", number, look)).exists()
        ]
        if not owed:
            continue
        with np.load(folder / "maps.npz") as archive:
            control = from_bytes(torch.from_numpy(archive["maps"][owed]))
        rng = np.random.default_rng([SEED, *folder.name.encode(), 4, *([look] if look else [])])
        seed = int(rng.integers(1 << 30))
        pictures = pipeline(
            [caption(case | {"words": words}, rng)] * len(owed),
            control_image=control,
            generator=[torch.Generator().manual_seed(seed) for _ in owed],
            output_type="pil",
            return_dict=False,
        )[0]
        for number, picture in zip(owed, pictures, strict=True):
            picture.save(folder / picture_name("studio", number, look), compress_level=1)
            made += 1
    return made


def _unpictured(
    config: PairsConfig, process: int, processes: int
) -> Iterator[tuple[dict[str, Any], int, dict[str, Any]]]:
    """Cases with the number and words of each look; the first looks of all come first."""
    cases = [*read_cases(config, held_out=False), *read_cases(config, held_out=True)][process::processes]
    for look in range(config.looks + 1):
        for case in cases:
            words = looks_of(case)
            if look < len(words):
                yield case, look, words[look]
