"""What is measured: a model, the path tracer's pictures, and plain rasterised shading of the same maps."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from mfgviz.vocabulary import Mode
from workers.devices import sample_within_memory
from workers.evaluation.cases import TRUTH_PX, Words
from workers.evaluation.colour import PAINTS
from workers.families.protocol import LoadedModel, SampleBatch
from workers.geometry.maps import ControlMaps

Picture = NDArray[np.uint8]
AT_ONCE = 4  # pictures in a batch
# Base colours (sRGB) of what has no named paint, for the rasterised shading.
BASE = {
    "aluminium": (200, 202, 205), "cast_aluminium": (168, 168, 170), "steel": (160, 163, 168),
    "titanium": (158, 152, 146), "chrome": (205, 207, 212), "silver": (230, 229, 225),
    "nickel": (196, 190, 178), "galvanised": (172, 178, 184), "brass": (226, 189, 108),
    "gold": (249, 209, 118),
    "bronze": (179, 137, 89), "yellow_zinc": (205, 178, 92), "copper": (230, 157, 121),
    "black_oxide": (65, 66, 70), "cast_iron": (88, 88, 90), "gunmetal": (84, 88, 94), "rust": (150, 84, 48),
    "wood": (170, 120, 75), "walnut": (98, 66, 45), "carbon": (40, 40, 43), "rubber": (36, 36, 36),
    "ceramic": (232, 232, 230),
}  # fmt: skip


@dataclass(slots=True)
class Painter:
    """A loaded model, and how it is asked: its own sampler, steps and guidance unless told otherwise."""

    model: LoadedModel
    size_px: int
    sampler: str
    steps: int
    guidance_scale: float
    seconds: list[float] = field(default_factory=list)

    @classmethod
    def of(cls, model: LoadedModel) -> Painter:
        """As the model is used by default."""
        can = model.capabilities
        return cls(
            model, can.native_size_px, can.default_sampler, can.default_steps, can.default_guidance_scale
        )

    @property
    def mode(self) -> Mode:
        """The mode that holds the picture most firmly of those that the model has."""
        modes = self.model.capabilities.modes
        return next(mode for mode in (Mode.CONTROL, Mode.IMAGE, Mode.TEXT) if mode in modes)

    def paint(self, prompt: str, maps: ControlMaps, seed: int) -> Picture:
        """One picture."""
        return self.paint_all([prompt], maps, [seed])[0]

    def paint_all(self, prompts: Sequence[str], maps: ControlMaps, seeds: Sequence[int]) -> list[Picture]:
        """Pictures of one view, a prompt and a seed each, some at once."""
        pictures: list[Picture] = []
        for at in range(0, len(prompts), AT_ONCE):
            pictures += self._paint_some(prompts[at : at + AT_ONCE], maps, seeds[at : at + AT_ONCE])
        return pictures

    def _paint_some(self, prompts: Sequence[str], maps: ControlMaps, seeds: Sequence[int]) -> list[Picture]:
        clay = np.repeat(np.rint(maps.clay * 255).astype(np.uint8)[..., None], 3, 2)
        mode, count = self.mode, len(prompts)
        batch = SampleBatch(
            prompts=list(prompts),
            negative_prompts=[""] * count,
            seeds=list(seeds),
            width=self.size_px,
            height=self.size_px,
            num_inference_steps=self.steps,
            guidance_scale=self.guidance_scale,
            sampler=self.sampler,
            mode=mode,
            control=None if mode is Mode.TEXT else [maps] * count,
            images=[clay] * count if mode is Mode.IMAGE else None,
        )
        started = time.monotonic()
        pictures = sample_within_memory(self.model, batch, _ignore)
        self.seconds += [(time.monotonic() - started) / count] * count
        return pictures


def _ignore(_step: object) -> None:
    return


def rasterised(maps: ControlMaps, colour: Sequence[int]) -> Picture:
    """Plain shading: the clay pass in a colour, on white with its contact shadow."""
    tint = np.array(colour, np.float32) / 255
    mask = maps.mask[..., None]
    part = maps.clay[..., None] * tint * 1.25
    made = mask * part + (1 - mask) * maps.clay[..., None]
    return (np.clip(made, 0, 1) * 255).round().astype(np.uint8)


def base_colour(words: Words) -> tuple[int, int, int]:
    """The colour that words stand for, as well as one colour can."""
    kind, colour = str(words["kind"]), words.get("colour")
    if colour == "gold":
        return BASE["gold"]
    return PAINTS[colour] if colour in PAINTS else BASE.get(kind, (160, 160, 160))


def small(picture: Picture) -> NDArray[Any]:
    """A picture at 256 px a side, 0 to 1."""
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 255
    if picture.shape[0] != TRUTH_PX:
        shrinks = picture.shape[0] > TRUTH_PX
        options: dict[str, Any] = {"mode": "area"} if shrinks else {"mode": "bilinear"}
        pixels = functional.interpolate(pixels, size=(TRUTH_PX, TRUTH_PX), **options)
    return pixels[0].permute(1, 2, 0).numpy()


def small_map(values: NDArray[Any], *, largest: bool = False) -> NDArray[Any]:
    """A map (H, W) at the size that is measured at: means, or the largest values (thin edges do not fade)."""
    size = (TRUTH_PX, TRUTH_PX)
    if values.shape == size:
        return values
    one = torch.from_numpy(values)[None, None]
    if values.shape[0] < TRUTH_PX:
        return functional.interpolate(one, size=size, mode="bilinear")[0, 0].numpy()
    smaller = functional.adaptive_max_pool2d if largest else functional.adaptive_avg_pool2d
    return smaller(one, size)[0, 0].numpy()


def as_bytes(image: NDArray[Any]) -> Picture:
    """0 to 1 as uint8."""
    return (np.clip(image, 0, 1) * 255).round().astype(np.uint8)
