"""Stage `parts`: random parts of every family as STEP files, with an index."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from workers.studio.training.assembled import ASSEMBLIES
from workers.studio.training.config import TrainingConfig
from workers.studio.training.families import FAMILIES
from workers.studio.training.nouns import HELD_OUT
from workers.studio.training.solids import turn, write_step

INDEX = "parts.jsonl"


def make_parts(config: TrainingConfig, *, progress: bool = True) -> list[dict[str, object]]:
    """Write the missing STEP files of `config.parts` parts and of the assemblies, which are numbered after
    them; return the index, one entry a part."""
    folder = config.folder / "parts"
    folder.mkdir(parents=True, exist_ok=True)
    names, assemblies = sorted(config.families or FAMILIES), sorted(ASSEMBLIES)
    entries: list[dict[str, object]] = []
    for number in range(config.parts + config.assemblies):
        beyond = number - config.parts
        family = names[number % len(names)] if beyond < 0 else assemblies[beyond % len(assemblies)]
        path = folder / f"{number:05d}-{family}.step"
        if not path.exists() and not _write(config, number, family, path):
            continue
        entries.append({"part": number, "family": family, "file": path.name, "held_out": family in HELD_OUT})
        if progress and number % 50 == 49:
            print(f"parts {number + 1}/{config.parts}", flush=True)
    (config.folder / INDEX).write_text("".join(json.dumps(entry) + "\n" for entry in entries))
    return entries


def read_parts(config: TrainingConfig) -> list[dict[str, object]]:
    """The index that `make_parts` wrote."""
    return [json.loads(line) for line in (config.folder / INDEX).read_text().splitlines()]


def _write(config: TrainingConfig, number: int, family: str, path: Path) -> bool:
    """False where the kernel fails on these numbers: the part is left out, others go on."""
    rng = np.random.default_rng([config.seed, number])
    try:
        shape = (FAMILIES | ASSEMBLIES)[family](rng)
        if rng.random() < 0.2:
            shape = turn(shape, 90.0 if rng.random() < 0.6 else 180.0, "x")
        write_step(shape, path)
    except Exception as error:  # noqa: BLE001 - the kernel raises kinds of its own
        print(f"part {number} ({family}) left out: {error}", flush=True)
        return False
    return True
