"""Stable Diffusion XL: 1024 px, two CLIP text encoders of 75 tokens.

Podell et al. 2023 (arXiv 2307.01952); control by ControlNets or T2I-Adapters, several at once. The
base model alone is used: its refiner adds texture that no CAD part has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from diffusers import (
    StableDiffusionXLAdapterPipeline,
    StableDiffusionXLControlNetImg2ImgPipeline,
    StableDiffusionXLControlNetPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLPipeline,
)

from mfgviz.vocabulary import Mode
from workers.families.conditioning import encode_control, encode_images
from workers.families.loading import (
    joined_adapters,
    load_controls,
    load_pipeline,
    merge_loras,
    read_facts,
    sibling,
)
from workers.families.protocol import Capabilities, LoadedModel, ModelSpec, SampleBatch
from workers.families.running import DiffusersModel, Embedding, place

if TYPE_CHECKING:
    from workers.devices import Device

PIPELINES = (
    "StableDiffusionXLPipeline",
    "StableDiffusionXLImg2ImgPipeline",
    "StableDiffusionXLControlNetPipeline",
)
MAX_SIDE_FACTOR = 2


class SdxlModel(DiffusersModel):
    """One SDXL in memory; the pipelines of its modes share the networks."""

    def __init__(
        self, spec: ModelSpec, can: Capabilities, text: Any, controls: list[Any], device: Device
    ) -> None:
        self.controls = controls
        self._zero_when_empty = bool(text.config.force_zeros_for_empty_prompt)
        self._pipelines = {Mode.TEXT: text, Mode.IMAGE: sibling(StableDiffusionXLImg2ImgPipeline, text)}
        self._image_control: Any = None
        if controls and spec.controls[0].adapter == "t2i_adapter":
            adapter = joined_adapters(controls)
            self._pipelines[Mode.CONTROL] = sibling(StableDiffusionXLAdapterPipeline, text, adapter=adapter)
        elif controls:
            nets = controls[0] if len(controls) == 1 else controls
            self._pipelines[Mode.CONTROL] = sibling(
                StableDiffusionXLControlNetPipeline, text, controlnet=nets
            )
            self._image_control = sibling(StableDiffusionXLControlNetImg2ImgPipeline, text, controlnet=nets)
        super().__init__(spec, can, text, device)

    def modules(self) -> list[torch.nn.Module]:
        """All networks in memory."""
        return [*super().modules(), *self.controls]

    def tokenizers(self) -> list[Any]:
        """Both read the same prompt."""
        return [self.pipeline.tokenizer, self.pipeline.tokenizer_2]

    def embed(self, text: str) -> Embedding:
        """(1, 77, both widths) of the two encoders side by side, and the second one's pooled (1, width)."""
        embedding, _, pooled, _ = self.pipeline.encode_prompt(
            text, device=self.device.torch_device, do_classifier_free_guidance=False
        )
        return embedding, pooled

    def embedding_arguments(self, batch: SampleBatch) -> dict[str, torch.Tensor]:
        """The prompts of a batch; an empty negative prompt is all zeros where the model was trained so."""
        wanted, pooled = self._embedded(batch.prompts)
        unwanted, unwanted_pooled = self._embedded(batch.negative_prompts)
        if self._zero_when_empty:
            kept = torch.tensor([bool(text) for text in batch.negative_prompts], device=unwanted.device)
            unwanted = unwanted * kept[:, None, None]
            unwanted_pooled = unwanted_pooled * kept[:, None]
        return {
            "prompt_embeds": wanted,
            "negative_prompt_embeds": unwanted,
            "pooled_prompt_embeds": pooled,
            "negative_pooled_prompt_embeds": unwanted_pooled,
        }

    def plan(self, batch: SampleBatch) -> tuple[Any, dict[str, Any]]:
        """The pipeline for the batch's mode and conditions."""
        if batch.mode is Mode.TEXT:
            return self._pipelines[Mode.TEXT], {}
        if batch.mode is Mode.CONTROL:
            return self._pipelines[Mode.CONTROL], self._control_arguments(batch, "image")
        images = {"image": encode_images(batch.images or ())}
        if batch.control is None or self._image_control is None:
            return self._pipelines[Mode.IMAGE], images
        return self._image_control, {**self._control_arguments(batch, "control_image"), **images}

    def unload(self) -> None:
        """See `LoadedModel.unload`."""
        self._pipelines.clear()
        self.controls = []
        self._image_control = None
        super().unload()

    def _control_arguments(self, batch: SampleBatch, name: str) -> dict[str, Any]:
        if batch.control is None:
            raise ValueError("control arguments need control maps")
        adapter = self.spec.controls[0].adapter == "t2i_adapter"
        maps = [
            encode_control(one.kind, batch.control, net.config.in_channels if adapter else 3).to(
                self.device.torch_device, self.device.dtype
            )
            for one, net in zip(self.spec.controls, self.controls, strict=True)
        ]
        scales = [batch.control_scale] * len(maps)
        several = len(maps) > 1
        scale_name = "adapter_conditioning_scale" if adapter else "controlnet_conditioning_scale"
        return {name: maps if several else maps[0], scale_name: scales if several else scales[0]}


class SdxlFamily:
    """See `protocol.Family`."""

    name = "sdxl"

    def inspect(self, spec: ModelSpec) -> Capabilities:
        """See `Family.inspect`."""
        facts = read_facts(spec, PIPELINES, "Stable Diffusion 1.x folders are of the family sd15")
        controlled = bool(spec.controls)
        return Capabilities(
            modes=frozenset({Mode.TEXT, Mode.IMAGE} | ({Mode.CONTROL} if controlled else set())),
            lora=True,
            multiple_of_px=max(8, facts.scale_factor),
            native_size_px=facts.native_size_px,
            max_pixels=(facts.native_size_px * MAX_SIDE_FACTOR) ** 2,
            max_prompt_tokens=facts.prompt_tokens,
            default_sampler="lcm" if facts.is_lcm else "dpmpp_2m_karras",
            default_steps=6 if facts.is_lcm else 30,
            default_guidance_scale=6.0,
            image_control=controlled and spec.controls[0].adapter == "controlnet",
        )

    def load(self, spec: ModelSpec, device: Device) -> LoadedModel:
        """See `Family.load`."""
        can = self.inspect(spec)
        folder = read_facts(spec, PIPELINES, "").folder
        optional = {"feature_extractor": None, "image_encoder": None, "add_watermarker": False}
        pipeline = load_pipeline(StableDiffusionXLPipeline, folder, device.dtype, **optional)
        merge_loras(pipeline, spec.loras, offline=spec.offline)
        controls = load_controls(spec, device.dtype)
        model = SdxlModel(spec, can, pipeline, controls, device)
        place(model.modules(), device)
        return model


FAMILY = SdxlFamily()
