"""`StudioPipeline`: a diffusers pipeline from a prompt, and the part's control maps, to a picture.

Sampling follows Ho et al. 2020 and Song et al. 2021 through any diffusers scheduler; the denoiser predicts
the clean latents (x0) under a schedule with zero terminal signal-to-noise ratio (Lin et al. 2024).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from diffusers import DiffusionPipeline, ImagePipelineOutput, UNet2DConditionModel
from diffusers.loaders import StableDiffusionLoraLoaderMixin
from diffusers.models.embeddings import get_timestep_embedding
from diffusers.utils.torch_utils import randn_tensor
from PIL import Image
from transformers import CLIPTextModel, PreTrainedTokenizerFast

from workers.studio.autoencoder import StudioAutoencoder
from workers.studio.control import CHANNELS
from workers.studio.hints import StudioHintEncoder

Generators = torch.Generator | list[torch.Generator] | None
Tensors = dict[str, torch.Tensor]
OnStep = Callable[["StudioPipeline", int, torch.Tensor, Tensors], Tensors]


GUIDANCE_DIM = 64


def guidance_embedding(scales: torch.Tensor) -> torch.Tensor:
    """Guidance scales (B,) as the sines and cosines (B, 64) that a distilled denoiser is told.

    As latent consistency models do (Luo et al. 2023): those of a time step, of 1000 times what is above 1.
    """
    return get_timestep_embedding((scales.float() - 1) * 1000, GUIDANCE_DIM)


@dataclass(frozen=True, slots=True)
class Conditions:
    """What stays the same over all steps.

    Where the denoiser runs twice a step the batch is doubled, the unwanted half first, and `guidance_scale`
    (B, 1, 1, 1) says how far each picture is led away from it. A distilled denoiser is `told` its guidance
    scale instead (B, 64), and runs once unless there is something to keep away from.
    """

    text: torch.Tensor
    hint: torch.Tensor
    residuals: list[torch.Tensor]
    told: torch.Tensor | None
    guidance_scale: torch.Tensor | None
    guidance_rescale: float


class StudioPipeline(DiffusionPipeline, StableDiffusionLoraLoaderMixin):
    """Components: tokenizer, text_encoder, unet, hint_encoder, autoencoder, scheduler (any of diffusers')."""

    model_cpu_offload_seq = "text_encoder->hint_encoder->unet->autoencoder"
    _callback_tensor_inputs = ("latents",)

    def __init__(  # noqa: PLR0913, PLR0917 - a diffusers pipeline takes its components so
        self,
        tokenizer: PreTrainedTokenizerFast,
        text_encoder: CLIPTextModel,
        unet: UNet2DConditionModel,
        hint_encoder: StudioHintEncoder,
        autoencoder: StudioAutoencoder,
        scheduler: Any,
        native_size_px: int = 512,
        default_steps: int = 4,
        default_guidance_scale: float = 2.5,
    ) -> None:
        super().__init__()
        self.register_modules(
            tokenizer=tokenizer,
            text_encoder=text_encoder,
            unet=unet,
            hint_encoder=hint_encoder,
            autoencoder=autoencoder,
            scheduler=scheduler,
        )
        self.register_to_config(
            native_size_px=native_size_px,
            default_steps=default_steps,
            default_guidance_scale=default_guidance_scale,
        )
        self.num_timesteps = 0

    # -- what a caller may want before or after sampling
    @torch.no_grad()
    def encode_prompt(self, prompt: str | Sequence[str]) -> torch.Tensor:
        """Text states (B, tokens, width). What is longer than the encoder reads is cut."""
        texts = [prompt] if isinstance(prompt, str) else list(prompt)
        tokens = self.tokenizer(
            texts,
            padding="max_length",
            truncation=True,
            max_length=self.text_encoder.config.max_position_embeddings,
            return_tensors="pt",
        )
        states: torch.Tensor = self.text_encoder(tokens.input_ids.to(self._execution_device))[0]
        return states

    @torch.no_grad()
    def preview(self, latents: torch.Tensor) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Half-size pictures (B, H/2, W/2, 3) in 0..1 from latents of any step, by the linear decoder."""
        rough = self.autoencoder.decode_rough(latents.to(self.autoencoder.dtype)) / 2 + 0.5
        return rough.clamp(0, 1).permute(0, 2, 3, 1).float().cpu().numpy()

    @torch.no_grad()
    def __call__(  # noqa: PLR0913, PLR0917 - diffusers' argument names
        self,
        prompt: str | Sequence[str] | None = None,
        negative_prompt: str | Sequence[str] | None = None,
        control_image: torch.Tensor | None = None,
        controlnet_conditioning_scale: float | Sequence[float] = 1.0,
        image: torch.Tensor | Image.Image | Sequence[Image.Image] | None = None,
        strength: float = 0.7,
        height: int | None = None,
        width: int | None = None,
        num_inference_steps: int | None = None,
        guidance_scale: float | None = None,
        guidance_rescale: float = 0.5,
        eta: float = 0.0,
        generator: Generators = None,
        latents: torch.Tensor | None = None,
        prompt_embeds: torch.Tensor | None = None,
        negative_prompt_embeds: torch.Tensor | None = None,
        output_type: str = "pil",
        return_dict: bool = True,
        callback_on_step_end: OnStep | None = None,
        callback_on_step_end_tensor_inputs: Sequence[str] = ("latents",),
    ) -> ImagePipelineOutput | tuple[Any]:
        """Pictures of a batch of prompts.

        `control_image` is a control tensor (B, 8, H, W) of `workers.studio.control_tensor`; without it the
        part is only an idea. `controlnet_conditioning_scale` is its strength, 0 to 1, one for all or one a
        picture. `image` starts from pictures (tensor (B, 3, H, W) in 0..1, or PIL) of which `strength` is
        forgotten. One generator a picture makes each independent of its company. `output_type` is pil, np
        ((B, H, W, 3) in 0..1) or latent. What `callback_on_step_end` raises ends the sampling.

        Raises:
            ValueError: sizes that are no multiples of 16, or arguments that do not fit together.
        """
        # 1. Text
        guidance = self.config.default_guidance_scale if guidance_scale is None else guidance_scale
        wanted = self._states(prompt, prompt_embeds)
        batch = len(wanted)
        unwanted = self._states(negative_prompt or [""] * batch, negative_prompt_embeds)
        # 2. Geometry
        size = self._size(height, width, control_image, image)
        control, scale = self._control(control_image, controlnet_conditioning_scale, batch, size)
        conditions = self._conditions((wanted, unwanted), (control, scale), guidance, guidance_rescale)
        # 3. Time steps, and where to start
        self.scheduler.set_timesteps(
            num_inference_steps or self.config.default_steps, device=self._execution_device
        )
        timesteps = self.scheduler.timesteps
        start = None
        if image is not None:
            timesteps = self._last_timesteps(strength)
            start = self.autoencoder.encode(self._pixels(image, batch, size))
        self.num_timesteps = len(timesteps)
        latents = self._start(latents, start, timesteps, generator, (batch, *size))
        # 4. Denoise
        extra = _step_arguments(self.scheduler, eta, generator)
        with self.progress_bar(total=len(timesteps)) as bar:
            for index, timestep in enumerate(timesteps):
                predicted = self._predict(latents, timestep, conditions)
                latents = self.scheduler.step(predicted, timestep, latents, return_dict=False, **extra)[0]
                if callback_on_step_end is not None:
                    known = {"latents": latents}
                    offered = {name: known[name] for name in callback_on_step_end_tensor_inputs}
                    answer = callback_on_step_end(self, index, timestep, offered)
                    latents = (answer or {}).get("latents", latents)
                bar.update()
        # 5. Decode
        control = control * scale.view(-1, 1, 1, 1)
        images = self._finish(latents.to(wanted.dtype), control, wanted, output_type)
        self.maybe_free_model_hooks()
        return ImagePipelineOutput(images=images) if return_dict else (images,)

    # -- steps of the above
    def _states(self, texts: str | Sequence[str] | None, states: torch.Tensor | None) -> torch.Tensor:
        if states is None:
            if texts is None:
                raise ValueError("give prompt or prompt_embeds")
            states = self.encode_prompt(texts)
        return states.to(self._execution_device, self.unet.dtype)

    def _size(self, height: int | None, width: int | None, control: Any, image: Any) -> tuple[int, int]:
        """Height and width: as asked, else of the maps or the starting picture, else the native size."""
        given = control if control is not None else image if isinstance(image, torch.Tensor) else None
        native = self.config.native_size_px
        found = tuple(given.shape[-2:]) if given is not None else (native, native)
        size = (height or found[0], width or found[1])
        step = self.autoencoder.latent_scale
        if size[0] % step or size[1] % step:
            raise ValueError(f"height and width must be multiples of {step}, not {size}")
        if control is not None and tuple(control.shape[-2:]) != size:
            raise ValueError(f"the control maps are {tuple(control.shape[-2:])}, the picture is {size}")
        return size

    def _control(
        self, control: torch.Tensor | None, scale: float | Sequence[float], batch: int, size: tuple[int, int]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        place = {"device": self._execution_device, "dtype": self.unet.dtype}
        scales = torch.tensor([scale] * batch if isinstance(scale, int | float) else list(scale), **place)
        if control is None:
            return torch.zeros(batch, CHANNELS, *size, **place), torch.zeros(batch, **place)
        if control.shape[1] != CHANNELS:
            raise ValueError(f"a control tensor has {CHANNELS} channels, not {control.shape[1]}")
        if len(scales) != batch:
            raise ValueError(f"{len(scales)} control strengths for {batch} pictures")
        return control.to(**place).expand(batch, -1, -1, -1), scales.clamp(0, 1)

    @property
    def distilled(self) -> bool:
        """Whether the denoiser takes the guidance scale as a number and needs one evaluation a step."""
        return self.unet.config.time_cond_proj_dim is not None

    def _conditions(
        self,
        texts: tuple[torch.Tensor, torch.Tensor],
        geometry: tuple[torch.Tensor, torch.Tensor],
        guidance: float,
        rescale: float,
    ) -> Conditions:
        """All that the steps share. Each picture is treated as it would be alone."""
        wanted, unwanted = texts
        hint, residuals = self.hint_encoder(*geometry)
        scale = wanted.new_full((len(wanted),), max(guidance, 1.0))
        told, led = torch.ones_like(scale), scale
        if self.distilled:
            silent = self._silent(unwanted.expand_as(wanted))
            told, led = torch.where(silent, scale, 1.0), torch.where(silent, 1.0, scale)
        if bool((led == 1).all()):
            embedding = guidance_embedding(told).to(wanted) if self.distilled else None
            return Conditions(wanted, hint, residuals, embedding, None, rescale)
        doubled = [torch.cat([one, one]) for one in residuals]
        both = torch.cat([unwanted.expand_as(wanted), wanted])
        embedding = guidance_embedding(torch.cat([told, told])).to(wanted) if self.distilled else None
        return Conditions(both, torch.cat([hint, hint]), doubled, embedding, led.view(-1, 1, 1, 1), rescale)

    def _silent(self, unwanted: torch.Tensor) -> torch.Tensor:
        """Which unwanted prompts (B,) say nothing: their states are those of the empty prompt."""
        nothing = self.encode_prompt("").to(unwanted)
        return (unwanted - nothing).abs().amax((1, 2)) < 1e-2

    def _predict(self, latents: torch.Tensor, timestep: torch.Tensor, conditions: Conditions) -> torch.Tensor:
        """The denoiser's answer, guided towards the prompt (Ho and Salimans 2022).

        The guided prediction's contrast is led back to the unguided one's by `guidance_rescale`
        (Lin et al. 2024, section 3.4).
        """
        x = self.scheduler.scale_model_input(latents, timestep).to(self.unet.dtype)
        x = x if conditions.guidance_scale is None else torch.cat([x, x])
        predicted: torch.Tensor = self.unet(
            torch.cat([x, conditions.hint], 1),
            timestep,
            conditions.text,
            timestep_cond=conditions.told,
            down_intrablock_additional_residuals=[one.clone() for one in conditions.residuals],
            return_dict=False,
        )[0]
        if conditions.guidance_scale is None:
            return predicted
        unwanted, wanted = predicted.chunk(2)
        guided = unwanted + conditions.guidance_scale * (wanted - unwanted)
        ratio = wanted.std((1, 2, 3), keepdim=True) / guided.std((1, 2, 3), keepdim=True).clamp_min(1e-6)
        return guided * (conditions.guidance_rescale * ratio + 1 - conditions.guidance_rescale)

    def _last_timesteps(self, strength: float) -> torch.Tensor:
        """The last `strength` of the time steps, as diffusers' image-to-image pipelines count them."""
        if not 0 < strength <= 1:
            raise ValueError(f"strength must be above 0 and at most 1, not {strength}")
        order, steps = getattr(self.scheduler, "order", 1), self.scheduler.timesteps
        count = len(steps) // order if order > 1 else len(steps)
        begin = max(count - max(int(count * strength), 1), 0) * order
        if hasattr(self.scheduler, "set_begin_index"):
            self.scheduler.set_begin_index(begin)
        kept: torch.Tensor = steps[begin:]
        return kept

    def _start(
        self,
        latents: torch.Tensor | None,
        start: torch.Tensor | None,
        timesteps: torch.Tensor,
        generator: Generators,
        shape: tuple[int, int, int],
    ) -> torch.Tensor:
        scale = self.autoencoder.latent_scale
        full = (shape[0], self.autoencoder.config.latent_channels, shape[1] // scale, shape[2] // scale)
        place = {"device": self._execution_device, "dtype": self.unet.dtype}
        noise = randn_tensor(full, generator=generator, **place) if latents is None else latents.to(**place)
        if start is None:
            return noise * self.scheduler.init_noise_sigma
        noised: torch.Tensor = self.scheduler.add_noise(start, noise, timesteps[:1].repeat(shape[0]))
        return noised

    def _pixels(self, image: Any, batch: int, size: tuple[int, int]) -> torch.Tensor:
        """Starting pictures as (B, 3, H, W) in -1..1."""
        if not isinstance(image, torch.Tensor):
            several = [image] if isinstance(image, Image.Image) else list(image)
            arrays = [np.asarray(one.convert("RGB").resize(size[::-1]), np.float32) / 255 for one in several]
            image = torch.from_numpy(np.stack(arrays)).permute(0, 3, 1, 2)
        if tuple(image.shape[-2:]) != size:
            raise ValueError(f"the starting picture is {tuple(image.shape[-2:])}, the picture is {size}")
        return image.to(self._execution_device, self.autoencoder.dtype).expand(batch, -1, -1, -1) * 2 - 1

    def _finish(
        self, latents: torch.Tensor, control: torch.Tensor, text: torch.Tensor, output_type: str
    ) -> Any:
        if output_type == "latent":
            return latents
        pixels = (self.autoencoder.decode(latents, control, text) / 2 + 0.5).clamp(0, 1)
        arrays = pixels.permute(0, 2, 3, 1).float().cpu().numpy()
        if output_type == "np":
            return arrays
        return [Image.fromarray((one * 255 + 0.5).astype(np.uint8)) for one in arrays]


def _step_arguments(scheduler: Any, eta: float, generator: Generators) -> dict[str, Any]:
    """What of eta and generator this scheduler's step takes."""
    takes = inspect.signature(scheduler.step).parameters
    offered = {"eta": eta, "generator": generator}
    return {name: value for name, value in offered.items() if name in takes}
