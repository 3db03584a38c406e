"""What a model family is to the rest of the worker: four verbs over plain arrays.

A family inspects a model without loading it, and loads it. A loaded model samples a batch, says
what of a prompt it would not read, and unloads. Nothing outside `workers/families` sees a diffusers
pipeline. Images are uint8 (H, W, 3) sRGB throughout; control maps are float32 (H, W) or (H, W, 3).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from mfgviz.errors import InvalidModelError, OutOfBoundsSizeError, UnknownSamplerError, UnsupportedModeError
from mfgviz.models_folder import ControlSource, LoraSource, ModelSpec
from mfgviz.vocabulary import SAMPLERS, Mode

if TYPE_CHECKING:
    from workers.devices import Device

__all__ = [
    "Capabilities",
    "ControlSource",
    "Family",
    "Image",
    "LoadedModel",
    "LoraSource",
    "Maps",
    "ModelSpec",
    "OnStep",
    "SampleBatch",
    "StepInfo",
    "check_batch",
    "family_names",
    "get_family",
]

Image = NDArray[np.uint8]
FloatMap = NDArray[np.float32]

ENTRY_POINTS = "mfgviz.families"


@runtime_checkable
class Maps(Protocol):
    """The control maps of one view at the image's own size, all float32.

    depth (H, W): 1 near, to 0 far; background 0. normal (H, W, 3): unit vectors in camera space, x
    right, y up, z to the camera; background 0. edges, mask, clay, occlusion (H, W): 0 to 1.
    """

    @property
    def depth(self) -> FloatMap: ...
    @property
    def normal(self) -> FloatMap: ...
    @property
    def edges(self) -> FloatMap: ...
    @property
    def mask(self) -> FloatMap: ...
    @property
    def clay(self) -> FloatMap: ...
    @property
    def occlusion(self) -> FloatMap: ...


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a model can do, known before its weights are loaded.

    `max_pixels` bounds width x height. `max_prompt_tokens` counts what the text encoder reads of a
    prompt, without its start and end tokens. `image_control` says whether control maps are used in
    image mode as well.
    """

    modes: frozenset[Mode]
    lora: bool
    multiple_of_px: int
    native_size_px: int
    max_pixels: int
    max_prompt_tokens: int
    default_sampler: str
    default_steps: int
    default_guidance_scale: float
    samplers: tuple[str, ...] = SAMPLERS
    image_control: bool = False

    def as_json(self) -> dict[str, Any]:
        """The capabilities as plain JSON values, modes sorted."""
        plain = {one.name: getattr(self, one.name) for one in fields(self)}
        return {**plain, "modes": sorted(mode.value for mode in self.modes), "samplers": list(self.samplers)}


@dataclass(frozen=True, slots=True)
class SampleBatch:
    """Images to sample together: the lists have one entry an image, the settings are common.

    `control_scale` is the geometry strength, 0 to 1. `images` are the starting images of image
    mode, brought to width x height by whoever makes the batch; `strength` is diffusers' (1 forgets them).
    """

    prompts: Sequence[str]
    negative_prompts: Sequence[str]
    seeds: Sequence[int]
    width: int
    height: int
    num_inference_steps: int
    guidance_scale: float
    sampler: str
    mode: Mode = Mode.TEXT
    control: Sequence[Maps] | None = None
    control_scale: float = 1.0
    images: Sequence[Image] | None = None
    strength: float = 0.7

    def __post_init__(self) -> None:
        lists = {"negative_prompts": self.negative_prompts, "seeds": self.seeds}
        lists |= {name: one for name in ("control", "images") if (one := getattr(self, name)) is not None}
        for name, one in lists.items():
            if len(one) != len(self.prompts):
                raise ValueError(f"{name} has {len(one)} entries for {len(self.prompts)} prompts")
        if not self.prompts:
            raise ValueError("a batch needs at least one prompt")
        if self.mode is Mode.CONTROL and self.control is None:
            raise ValueError("control mode needs control maps")
        if (self.mode is Mode.IMAGE) != (self.images is not None):
            raise ValueError("image mode, and only it, needs starting images")
        shape = (self.height, self.width)
        for image in self.images or ():
            if image.shape != (*shape, 3) or image.dtype != np.uint8:
                raise ValueError(f"a starting image is {image.dtype} {image.shape}, not uint8 {(*shape, 3)}")
        for maps in self.control or ():
            if maps.depth.shape != shape:
                raise ValueError(f"the control maps are {maps.depth.shape}, the image is {shape}")

    def __len__(self) -> int:
        return len(self.prompts)

    def part(self, start: int, stop: int) -> SampleBatch:
        """The images from `start` up to `stop` (not included) as a batch of their own."""
        return replace(
            self,
            prompts=self.prompts[start:stop],
            negative_prompts=self.negative_prompts[start:stop],
            seeds=self.seeds[start:stop],
            control=None if self.control is None else self.control[start:stop],
            images=None if self.images is None else self.images[start:stop],
        )


def _no_preview() -> Image | None:
    return None


@dataclass(frozen=True, slots=True)
class StepInfo:
    """One evaluation of the denoiser is done: number `step` (from 1) of `total`.

    `total` is what the sampler really does, not what was asked: heun evaluates twice a step, plms
    once more, and image mode only runs the last `strength` of the steps. `preview()` decodes a rough
    small picture of the first image, only when it is called; None where the model has no cheap way.
    """

    step: int
    total: int
    preview: Callable[[], Image | None] = field(default=_no_preview, compare=False)


OnStep = Callable[[StepInfo], None]


@runtime_checkable
class LoadedModel(Protocol):
    """A model in memory. One thread at a time may use it."""

    @property
    def spec(self) -> ModelSpec: ...
    @property
    def capabilities(self) -> Capabilities: ...
    @property
    def memory_bytes(self) -> int:
        """What its weights take."""

    def sample(self, batch: SampleBatch, on_step: OnStep) -> list[Image]:
        """One image for each prompt, uint8 (height, width, 3).

        The same seed gives the same picture, whatever is beside it in the batch.

        What `on_step` raises passes through, and the model is ready for the next batch.

        Raises:
            UnsupportedModeError, OutOfBoundsSizeError, UnknownSamplerError: the model cannot do that.
            BrokenImageError: an image came out as not-a-number values, or all black.
        """

    def cut_prompt(self, prompt: str) -> str:
        """The end of the prompt that the text encoder would not read; empty if it reads all."""

    def tile_vae(self, *, enabled: bool) -> bool:
        """Decode in tiles, which needs less memory and more time. False where the model cannot."""

    def unload(self) -> None:
        """Give the memory back. The model is of no use afterwards."""


@runtime_checkable
class Family(Protocol):
    """The adapter to one kind of diffusion model."""

    @property
    def name(self) -> str: ...

    def inspect(self, spec: ModelSpec) -> Capabilities:
        """What the model could do, from its config files alone.

        Raises:
            ModelNotFoundError, InvalidModelError, PickledWeightsError: it could not be loaded.
        """

    def load(self, spec: ModelSpec, device: Device) -> LoadedModel:
        """The model in the device's memory. Raises as `inspect` does."""


# -- the registry -------------------------------------------------------------------------------------
def family_names() -> tuple[str, ...]:
    """The names of all installed families, sorted."""
    return tuple(sorted(_entries()))


def get_family(name: str) -> Family:
    """The family of that name, from the entry points `mfgviz.families`.

    Raises:
        InvalidModelError: there is none, or it cannot be imported, or it is not a family.
    """
    entry = _entries().get(name)
    if entry is None:
        raise InvalidModelError(
            f"There is no model family {name!r}.", remedy=f"Choose one of {', '.join(family_names())}."
        )
    try:
        family = entry.load()
    except (ImportError, AttributeError) as error:
        raise InvalidModelError(
            f"The model family {name!r} ({entry.value}) cannot be imported: {error}.",
            remedy="Install what it needs; the built-in families need mfgviz[worker].",
        ) from error
    if not isinstance(family, Family):
        raise InvalidModelError(f"{entry.value} is {type(family).__name__}, not a model family.")
    return family


@cache
def _entries() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=ENTRY_POINTS)}


# -- what every family refuses ----------------------------------------------------------------------------
def check_batch(batch: SampleBatch, can: Capabilities) -> None:
    """Refuse a batch that the model cannot sample, before anything is computed."""
    if batch.mode not in can.modes:
        raise UnsupportedModeError(
            f"The model cannot render in {batch.mode} mode.",
            remedy=f"It can in: {', '.join(sorted(can.modes))}.",
        )
    if batch.sampler not in can.samplers:
        raise UnknownSamplerError(
            f"The model has no sampler {batch.sampler!r}.", remedy=f"Choose one of {', '.join(can.samplers)}."
        )
    check_size(batch.width, batch.height, can)


def check_size(width: int, height: int, can: Capabilities) -> None:
    """Refuse an image size that the model cannot make, naming the nearest that it can.

    Raises:
        OutOfBoundsSizeError: a side is no multiple of `multiple_of_px`, or there are too many pixels.
    """
    whole = width % can.multiple_of_px == 0 and height % can.multiple_of_px == 0
    if whole and width * height <= can.max_pixels:
        return
    shrink = min(1.0, (can.max_pixels / (width * height)) ** 0.5)
    rounder = round if shrink == 1.0 else int
    near = [
        max(rounder(side * shrink / can.multiple_of_px), 1) * can.multiple_of_px for side in (width, height)
    ]
    raise OutOfBoundsSizeError(
        f"The model cannot make {width}x{height} px: sides are multiples of {can.multiple_of_px} px, "
        f"at most {can.max_pixels} pixels in all.",
        remedy=f"The nearest is {near[0]}x{near[1]}.",
    )
