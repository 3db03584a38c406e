"""Stable Diffusion 1.x: 512 px, one CLIP text encoder of 75 tokens.

Rombach et al. 2022 (arXiv 2112.10752); control by ControlNets (Zhang et al. 2023, arXiv 2302.05543) or
T2I-Adapters (Mou et al. 2023, arXiv 2302.08453), several at once. SD 2.x folders load too: they
are the same pipeline with another text encoder, and their v-prediction is in the scheduler config.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from diffusers import (
    StableDiffusionAdapterPipeline,
    StableDiffusionControlNetImg2ImgPipeline,
    StableDiffusionControlNetPipeline,
    StableDiffusionImg2ImgPipeline,
    StableDiffusionPipeline,
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
    import torch

    from workers.devices import Device

PIPELINES = ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline", "StableDiffusionControlNetPipeline")
NO_CHECKER = {"safety_checker": None, "requires_safety_checker": False}
# A UNet trained at 512 px repeats its subject much beyond twice that side.
MAX_SIDE_FACTOR = 2


class Sd15Model(DiffusersModel):
    """One Stable Diffusion 1.x in memory; the pipelines of its modes share the networks."""

    def __init__(
        self, spec: ModelSpec, can: Capabilities, text: Any, controls: list[Any], device: Device
    ) -> None:
        self.controls = controls
        self._pipelines = {Mode.TEXT: text, Mode.IMAGE: sibling(StableDiffusionImg2ImgPipeline, text)}
        self._image_control: Any = None
        if controls and spec.controls[0].adapter == "t2i_adapter":
            adapter = joined_adapters(controls)
            self._pipelines[Mode.CONTROL] = sibling(StableDiffusionAdapterPipeline, text, adapter=adapter)
        elif controls:
            nets = controls[0] if len(controls) == 1 else controls
            self._pipelines[Mode.CONTROL] = sibling(StableDiffusionControlNetPipeline, text, controlnet=nets)
            self._image_control = sibling(StableDiffusionControlNetImg2ImgPipeline, text, controlnet=nets)
        super().__init__(spec, can, text, device)

    def modules(self) -> list[torch.nn.Module]:
        """All networks in memory."""
        return [*super().modules(), *self.controls]

    def embed(self, text: str) -> Embedding:
        """(1, 77, width) from the CLIP text encoder."""
        embedding, _ = self.pipeline.encode_prompt(text, self.device.torch_device, 1, False)
        return (embedding,)

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
        arguments: dict[str, Any] = {name: maps if several else maps[0]}
        if adapter:
            # This pipeline's own decoding is deprecated: it hands out latents instead.
            arguments |= {
                "adapter_conditioning_scale": scales if several else scales[0],
                "output_type": "latent",
            }
        else:
            arguments["controlnet_conditioning_scale"] = scales if several else scales[0]
        return arguments


class Sd15Family:
    """See `protocol.Family`."""

    name = "sd15"

    def inspect(self, spec: ModelSpec) -> Capabilities:
        """See `Family.inspect`."""
        facts = read_facts(spec, PIPELINES, "SDXL folders are of the family sdxl")
        controlled = bool(spec.controls)
        return Capabilities(
            modes=frozenset({Mode.TEXT, Mode.IMAGE} | ({Mode.CONTROL} if controlled else set())),
            lora=True,
            multiple_of_px=max(8, facts.scale_factor),
            native_size_px=facts.native_size_px,
            max_pixels=(facts.native_size_px * MAX_SIDE_FACTOR) ** 2,
            max_prompt_tokens=facts.prompt_tokens,
            default_sampler="lcm" if facts.is_lcm else "dpmpp_2m_karras",
            default_steps=6 if facts.is_lcm else 25,
            default_guidance_scale=7.5,
            image_control=controlled and spec.controls[0].adapter == "controlnet",
        )

    def load(self, spec: ModelSpec, device: Device) -> LoadedModel:
        """See `Family.load`."""
        can = self.inspect(spec)
        folder = read_facts(spec, PIPELINES, "").folder
        optional = {**NO_CHECKER, "feature_extractor": None, "image_encoder": None}
        pipeline = load_pipeline(StableDiffusionPipeline, folder, device.dtype, **optional)
        merge_loras(pipeline, spec.loras, offline=spec.offline)
        controls = load_controls(spec, device.dtype)
        model = Sd15Model(spec, can, pipeline, controls, device)
        place(model.modules(), device)
        return model


FAMILY = Sd15Family()
