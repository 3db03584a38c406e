"""The bundled studio model: parts in named materials, from their exact geometry, on a CPU.

`workers.studio.StudioPipeline` is a diffusers pipeline of our own: it reads the control maps as they are,
not as pictures, and its decoder draws edges where the maps have them. Without maps it makes a generic part.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from mfgviz.errors import InvalidModelError
from mfgviz.vocabulary import Mode
from workers.families.conditioning import encode_images
from workers.families.loading import load_pipeline, merge_loras
from workers.families.protocol import Capabilities, Image, LoadedModel, ModelSpec, SampleBatch
from workers.families.running import DiffusersModel, Embedding, place
from workers.families.weights import fetch_source, lora_file, number_in, read_json, read_model_index
from workers.studio.control import control_tensor
from workers.studio.pipeline import StudioPipeline

if TYPE_CHECKING:
    from workers.devices import Device

PIPELINES = ("StudioPipeline",)
MAX_SIDE_FACTOR = 2


class StudioModel(DiffusersModel):
    """The studio pipeline in memory. One pipeline serves all modes."""

    def embed(self, text: str) -> Embedding:
        """(1, tokens, width) from the studio text encoder."""
        embedding: torch.Tensor = self.pipeline.encode_prompt([text])
        return (embedding,)

    def plan(self, batch: SampleBatch) -> tuple[Any, dict[str, Any]]:
        """The one pipeline, with maps and starting images where the batch has them."""
        arguments: dict[str, Any] = {"width": batch.width, "height": batch.height}
        if batch.mode is not Mode.TEXT and batch.control is not None:
            control = control_tensor(list(batch.control)).to(self.device.torch_device, self.device.dtype)
            arguments |= {"control_image": control, "controlnet_conditioning_scale": batch.control_scale}
        if batch.images is not None:
            arguments["image"] = encode_images(batch.images)
        return self.pipeline, arguments

    def preview(self, latents: torch.Tensor) -> Image | None:
        """A rough picture of half the size, by the linear decoder."""
        rough = self.pipeline.preview(latents[:1])[0]
        return (rough * 255).round().astype(np.uint8)

    def tile_vae(self, *, enabled: bool) -> bool:
        """False: the decoder needs the whole picture's maps, and is small."""
        del enabled
        return False


class StudioFamily:
    """See `protocol.Family`."""

    name = "studio"

    def inspect(self, spec: ModelSpec) -> Capabilities:
        """See `Family.inspect`."""
        folder = _checked_folder(spec)
        encoder = read_json(folder / "text_encoder" / "config.json")
        index = read_json(folder / "model_index.json")
        native = int(number_in(index, "native_size_px", 512, 4096))
        return Capabilities(
            modes=frozenset({Mode.TEXT, Mode.CONTROL, Mode.IMAGE}),
            lora=True,
            multiple_of_px=16,
            native_size_px=native,
            max_pixels=(native * MAX_SIDE_FACTOR) ** 2,
            max_prompt_tokens=int(number_in(encoder, "max_position_embeddings", 77)) - 2,
            default_sampler="ddim",
            default_steps=int(number_in(index, "default_steps", 14, 1000)),
            default_guidance_scale=float(number_in(index, "default_guidance_scale", 3.0, 100)),
            image_control=True,
        )

    def load(self, spec: ModelSpec, device: Device) -> LoadedModel:
        """See `Family.load`."""
        can = self.inspect(spec)
        pipeline = load_pipeline(StudioPipeline, _checked_folder(spec), device.dtype)
        merge_loras(pipeline, spec.loras, offline=spec.offline)
        model = StudioModel(spec, can, pipeline, device)
        place(model.modules(), device)
        return model


def _checked_folder(spec: ModelSpec) -> Path:
    folder = fetch_source(spec.source, offline=spec.offline)
    pipeline, _ = read_model_index(folder)
    if pipeline not in PIPELINES:
        raise InvalidModelError(
            f"{folder} is a {pipeline}, which the family 'studio' cannot load.",
            remedy="Record it with --family sd15 or sdxl.",
        )
    if spec.controls:
        raise InvalidModelError(
            "The studio model reads the control maps itself and takes no ControlNet.",
            remedy="Leave --controlnet out.",
        )
    for lora in spec.loras:
        lora_file(lora.source, offline=spec.offline)
    return folder


FAMILY = StudioFamily()
