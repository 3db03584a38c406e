"""How every diffusers pipeline is run here: seeds, steps, prompts, and pictures that are none.

`DiffusersModel` holds what the families have in common. A family adds which pipeline a batch needs
and with which arguments (`plan`), and how a prompt becomes embeddings (`embed`).
"""

from __future__ import annotations

import inspect
import math
from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from mfgviz.errors import BrokenImageError
from mfgviz.vocabulary import Mode
from workers.families.protocol import (
    Capabilities,
    Image,
    ModelSpec,
    OnStep,
    SampleBatch,
    StepInfo,
    check_batch,
)
from workers.samplers import make_scheduler

if TYPE_CHECKING:
    from workers.devices import Device

EMBEDDINGS_KEPT = 256
PREVIEW_LATENTS = 16

Embedding = tuple[torch.Tensor, ...]


class DiffusersModel(ABC):
    """A loaded diffusers pipeline behind the protocol. One thread at a time may use it."""

    def __init__(self, spec: ModelSpec, capabilities: Capabilities, pipeline: Any, device: Device) -> None:
        self.spec = spec
        self.capabilities = capabilities
        self.device = device
        self.pipeline = pipeline
        self._scheduler_config = dict(pipeline.scheduler.config)
        self._embeddings: OrderedDict[str, Embedding] = OrderedDict()
        self.memory_bytes = memory_of(self.modules())

    # -- what a family adds
    @abstractmethod
    def plan(self, batch: SampleBatch) -> tuple[Any, dict[str, Any]]:
        """The pipeline that samples such a batch, and its arguments beyond those of `_common`."""

    @abstractmethod
    def embed(self, text: str) -> Embedding:
        """The embeddings of one prompt, each with a leading axis of 1."""

    def embedding_arguments(self, batch: SampleBatch) -> dict[str, torch.Tensor]:
        """The prompts of a batch as the pipeline's arguments."""
        wanted, unwanted = self._embedded(batch.prompts), self._embedded(batch.negative_prompts)
        return {"prompt_embeds": wanted[0], "negative_prompt_embeds": unwanted[0]}

    def modules(self) -> list[torch.nn.Module]:
        """All networks in memory."""
        return [one for one in self.pipeline.components.values() if isinstance(one, torch.nn.Module)]

    def tokenizers(self) -> list[Any]:
        """Those whose limits a prompt must keep."""
        return [self.pipeline.tokenizer]

    # -- the protocol
    def sample(self, batch: SampleBatch, on_step: OnStep) -> list[Image]:
        """See `LoadedModel.sample`."""
        check_batch(batch, self.capabilities)
        pipeline, arguments = self.plan(batch)
        pipeline.scheduler = make_scheduler(batch.sampler, self._scheduler_config, batch.num_inference_steps)
        pipeline.set_progress_bar_config(disable=True)
        arguments = {**self._common(batch), **self.stepping(pipeline, on_step), **arguments}
        pixels = pipeline(**arguments).images
        if isinstance(pixels, torch.Tensor):
            pixels = self.decode(pixels)
        return as_images(pixels, batch.seeds)

    def cut_prompt(self, prompt: str) -> str:
        """See `LoadedModel.cut_prompt`."""
        limit = self.capabilities.max_prompt_tokens
        return max((cut_text(one, prompt, limit) for one in self.tokenizers()), key=len, default="")

    def tile_vae(self, *, enabled: bool) -> bool:
        """See `LoadedModel.tile_vae`."""
        vae = self.pipeline.vae
        if enabled:
            vae.enable_tiling()
            vae.enable_slicing()
        else:
            vae.disable_tiling()
            vae.disable_slicing()
        return True

    def unload(self) -> None:
        """See `LoadedModel.unload`."""
        self._embeddings.clear()
        self.pipeline = None
        self.device.release_unused()

    # -- steps
    def stepping(self, pipeline: Any, on_step: OnStep) -> dict[str, Any]:
        """The arguments by which the pipeline calls `on_step` after each evaluation."""
        if "callback_on_step_end" not in inspect.signature(type(pipeline).__call__).parameters:
            return self._hooked_stepping(pipeline, on_step)

        def step_ended(pipe: Any, index: int, _: object, tensors: dict[str, torch.Tensor]) -> dict[str, Any]:
            preview = partial(self.preview, tensors["latents"])
            on_step(StepInfo(index + 1, pipe.num_timesteps, preview))
            return {}

        return {"callback_on_step_end": step_ended, "callback_on_step_end_tensor_inputs": ["latents"]}

    def _hooked_stepping(self, pipeline: Any, on_step: OnStep) -> dict[str, Any]:
        """For pipelines that have no callback: `on_step` after each step of their scheduler."""
        scheduler, step = pipeline.scheduler, pipeline.scheduler.step
        done = 0

        @wraps(step)  # pipelines look at the signature of step
        def stepped(*arguments: Any, **named: Any) -> Any:
            nonlocal done
            moved = step(*arguments, **named)
            done += 1
            on_step(StepInfo(done, len(scheduler.timesteps), partial(self.preview, moved[0])))
            return moved

        scheduler.step = stepped
        return {}

    @torch.no_grad()
    def preview(self, latents: torch.Tensor) -> Image | None:
        """A picture of about 128 px from averaged latents of the first image, noise and all."""
        vae = self.pipeline.vae
        if vae.dtype == torch.float16 and getattr(vae.config, "force_upcast", False):
            return None
        first = latents[:1].to(vae.dtype)
        shrink = max(1, math.ceil(max(first.shape[-2:]) / PREVIEW_LATENTS))
        small = torch.nn.functional.avg_pool2d(first, shrink, ceil_mode=True)
        small = small / small.std().clamp(min=1.0) / vae.config.scaling_factor
        decoded = vae.decode(small, return_dict=False)[0][0].float()
        pixels = (decoded.permute(1, 2, 0) / 2 + 0.5).clamp(0, 1).nan_to_num()
        return (pixels * 255).round().to(torch.uint8).cpu().numpy()

    @torch.no_grad()
    def decode(self, latents: torch.Tensor) -> NDArray[np.float32]:
        """Pixels (B, H, W, 3) in 0 to 1 of clean latents."""
        vae = self.pipeline.vae
        decoded = vae.decode(latents.to(vae.dtype) / vae.config.scaling_factor, return_dict=False)[0]
        pixels = (decoded.float() / 2 + 0.5).clamp(0, 1).permute(0, 2, 3, 1)
        return pixels.cpu().numpy()

    # -- the rest
    def _common(self, batch: SampleBatch) -> dict[str, Any]:
        shape: dict[str, Any] = {"width": batch.width, "height": batch.height}
        if batch.mode is Mode.IMAGE:
            # The size is the starting image's; plain image-to-image pipelines take no other.
            shape = {"strength": usable_strength(batch.strength, batch.num_inference_steps)}
        return {
            **shape,
            **self.embedding_arguments(batch),
            "num_inference_steps": batch.num_inference_steps,
            "guidance_scale": batch.guidance_scale,
            "generator": generators(batch.seeds),
            "output_type": "np",
        }

    def _embedded(self, texts: Iterable[str]) -> Embedding:
        """The embeddings of several prompts, stacked; each prompt is encoded alone, once, and kept."""
        each = [self._kept_embedding(text) for text in texts]
        return tuple(torch.cat(parts) for parts in zip(*each, strict=True))

    def _kept_embedding(self, text: str) -> Embedding:
        if text not in self._embeddings:
            with torch.no_grad():
                self._embeddings[text] = self.embed(text)
        self._embeddings.move_to_end(text)
        while len(self._embeddings) > EMBEDDINGS_KEPT:
            self._embeddings.popitem(last=False)
        return self._embeddings[text]


def generators(seeds: Sequence[int]) -> list[torch.Generator]:
    """One generator an image, on the CPU: every device draws the same noise, in any company."""
    return [torch.Generator("cpu").manual_seed(seed) for seed in seeds]


def usable_strength(strength: float, num_inference_steps: int) -> float:
    """The strength, raised where diffusers' int(steps * strength) would leave no step at all."""
    if int(num_inference_steps * strength) >= 1:
        return strength
    return min(1.0, math.nextafter(1.0 / num_inference_steps, 2.0))


def as_images(pixels: NDArray[np.float32], seeds: Sequence[int]) -> list[Image]:
    """uint8 images from (B, H, W, 3) in 0 to 1.

    Raises:
        BrokenImageError: not-a-number values, or an image without any light: half precision overflowed.
    """
    for image, seed in zip(pixels, seeds, strict=True):
        if not np.isfinite(image).all():
            raise BrokenImageError(f"The model made not-a-number values for seed {seed}.")
        if not image.max() > 0:
            raise BrokenImageError(f"The model made an all-black image for seed {seed}.")
    return list((pixels.clip(0.0, 1.0) * 255).round().astype(np.uint8))


def cut_text(tokenizer: Any, text: str, limit: int) -> str:
    """The end of `text` from the first token beyond `limit` on; empty if all tokens fit."""
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
    offsets: list[tuple[int, int]] = encoded["offset_mapping"]
    return text[offsets[limit][0] :] if len(offsets) > limit else ""


def memory_of(modules: Iterable[torch.nn.Module]) -> int:
    """What the weights and buffers of some networks take; shared ones count once."""
    tensors = {id(t): t for one in modules for t in (*one.parameters(), *one.buffers())}
    return sum(t.numel() * t.element_size() for t in tensors.values())


def place(modules: Iterable[torch.nn.Module], device: Device) -> None:
    """Networks to their device, for inference, with convolutions in the layout that is faster."""
    for module in modules:
        module.to(device.torch_device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        module.eval().requires_grad_(False)
