"""A stand-in model family, quick and exact: the same request is the same picture, whatever is beside it.

It goes through the engine's true path: control maps, sampling steps that call back, pictures that are judged,
stored and attached. A step takes a fixed time, as a sampler's step does, and hardly any processor.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from mfgviz.models_folder import ModelSpec
from mfgviz.vocabulary import Mode
from tests.support.families import BareModel
from workers.families.protocol import (
    Capabilities,
    Image,
    Maps,
    OnStep,
    SampleBatch,
    StepInfo,
    check_batch,
)

if TYPE_CHECKING:
    from workers.devices import Device

NAME = "chaos"
STEP_S = 0.03
CAN = Capabilities(
    modes=frozenset({Mode.TEXT, Mode.CONTROL}),
    lora=False,
    multiple_of_px=8,
    native_size_px=64,
    max_pixels=512 * 512,
    max_prompt_tokens=1000,
    default_sampler="ddim",
    default_steps=12,
    default_guidance_scale=1.0,
)


@dataclass
class ChaosModel(BareModel):
    """Nothing in memory but its description."""

    spec: ModelSpec
    capabilities: Capabilities = CAN
    memory_bytes: int = 0

    def sample(self, batch: SampleBatch, on_step: OnStep) -> list[Image]:
        """One picture for each prompt, after all steps."""
        check_batch(batch, self.capabilities)
        for step in range(batch.num_inference_steps):
            time.sleep(STEP_S)
            on_step(StepInfo(step + 1, batch.num_inference_steps))
        return [
            picture(prompt, seed, (batch.width, batch.height), batch.control[at] if batch.control else None)
            for at, (prompt, seed) in enumerate(zip(batch.prompts, batch.seeds, strict=True))
        ]


@dataclass(frozen=True)
class ChaosFamily:
    """The family `chaos`."""

    name: str = NAME

    def inspect(self, spec: ModelSpec) -> Capabilities:
        """The same for all."""
        del spec
        return CAN

    def load(self, spec: ModelSpec, device: Device) -> ChaosModel:
        """At once."""
        del device
        return ChaosModel(spec)


FAMILY = ChaosFamily()


def picture(prompt: str, seed: int, size_px: tuple[int, int], maps: Maps | None) -> Image:
    """The one picture of a prompt, a seed and a shape: noise under the part's depth."""
    width, height = size_px
    digest = hashlib.sha256(f"{seed}\n{prompt}".encode()).digest()
    made = np.random.default_rng(list(digest)).integers(0, 256, (height, width, 3), dtype=np.uint8)
    if maps is not None:
        made[..., 0] = np.rint(maps.depth * 255).astype(np.uint8)
    return made
