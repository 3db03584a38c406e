"""A model family that does what its prompt says: dies, hangs, eats memory. Installed by an entry point of its
own into the worker processes of tests alone (`install`)."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mfgviz.models_folder import ModelSpec, spec_digest
from mfgviz.vocabulary import Mode
from tests.support.families import BareModel, install_family
from workers.families.protocol import Capabilities, Image, OnStep, SampleBatch, StepInfo

if TYPE_CHECKING:
    from workers.devices import Device

STEP_S = 0.01
HOG_BYTES = 64 * 2**20
# What the tests ask of a worker process beside its settings.
TOGETHER, HANG_MAPS = "ROUGH_TOGETHER", "ROUGH_HANG_MAPS"
LOADS_FOR_EVER = "loads-for-ever"
HANGS = "rough: hangs"  # what the log of a worker that hangs says


@dataclass
class RoughModel(BareModel):
    """Seeded noise; the words `die`, `hog`, `hang` and `slow` in a prompt are acted on at the first step."""

    spec: ModelSpec
    capabilities: Capabilities
    memory_bytes: int = 1000

    def sample(self, batch: SampleBatch, on_step: OnStep) -> list[Image]:
        words = {word for prompt in batch.prompts for word in prompt.split()}
        for step in range(1, batch.num_inference_steps + 1):
            if "die" in words:
                os.kill(os.getpid(), signal.SIGKILL)
            if "hog" in words:
                eat_all_memory()
            if "hang" in words:
                hang()
            time.sleep(0.2 if "slow" in words else STEP_S)
            on_step(StepInfo(step, batch.num_inference_steps))
        shape = (batch.height, batch.width, 3)
        return [np.random.default_rng(seed).integers(1, 255, shape, np.uint8) for seed in batch.seeds]


class RoughFamily:
    """Loads for ever, where the model's folder has a file `loads-for-ever`."""

    name = "rough"

    def inspect(self, spec: ModelSpec) -> Capabilities:
        del spec
        return Capabilities(frozenset(Mode), False, 8, 64, 1024 * 1024, 77, "ddim", 4, 1.0)

    def load(self, spec: ModelSpec, device: Device) -> RoughModel:
        del device
        if (Path(spec.source) / LOADS_FOR_EVER).exists():
            hang()
        return RoughModel(spec, self.inspect(spec))


def hang() -> None:
    """As long as any test; the log says since when."""
    print(HANGS, flush=True)
    time.sleep(3600)


def eat_all_memory() -> None:
    """Touch memory until there is no more."""
    eaten = []
    while True:
        eaten.append(np.ones(HOG_BYTES, np.uint8))


def save_rough(folder: Path, *, loads_for_ever: bool = False) -> ModelSpec:
    """A model of this family, its weights hashed."""
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(b"none" * 8)
    if loads_for_ever:
        (folder / LOADS_FOR_EVER).touch()
    spec = ModelSpec(folder.name, "rough", str(folder))
    return ModelSpec(folder.name, "rough", str(folder), weights_digest=spec_digest(spec))


def install(folder: Path) -> dict[str, str]:
    """Make it known to the processes that get these variables."""
    install_family(folder, "rough", "tests.support.rough_family")
    return {"PYTHONPATH": os.pathsep.join([str(folder), str(Path(__file__).parent.parent.parent)])}


def _change_worker() -> None:
    """In a worker process: batches on a CPU as on a GPU, and maps that take for ever."""
    from workers.engine import Engine
    from workers.maps import MapsSource

    if os.environ.get(TOGETHER):
        Engine.batch_images = property(lambda _: int(os.environ[TOGETHER]))  # type: ignore[assignment]
    if os.environ.get(HANG_MAPS):
        MapsSource.maps = lambda *_: hang()  # type: ignore[assignment, method-assign, return-value, func-returns-value]


FAMILY = RoughFamily()
if TOGETHER in os.environ or HANG_MAPS in os.environ:
    _change_worker()
