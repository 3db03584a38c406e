"""The networks of the denoiser, and the noise schedule they are trained under."""

from __future__ import annotations

from typing import cast

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextModel

from workers.studio.hints import StudioHintEncoder
from workers.studio.pipeline import GUIDANCE_DIM, guidance_embedding
from workers.studio.training.config import TrainingConfig

HINT_CHANNELS = 16


def new_unet(config: TrainingConfig, *, guided: bool = False) -> UNet2DConditionModel:
    """diffusers' conditional UNet over 16-channel latents, with the hint beside them.

    `guided`: it takes the guidance scale as an embedding, for a student that needs one evaluation a step.
    """
    channels = tuple(config.unet_channels)
    levels = len(channels)
    return UNet2DConditionModel(
        sample_size=config.image_px // config.latent_scale,
        in_channels=config.latent_channels + HINT_CHANNELS,
        out_channels=config.latent_channels,
        layers_per_block=1,
        block_out_channels=channels,
        down_block_types=("CrossAttnDownBlock2D",) * levels,
        up_block_types=("CrossAttnUpBlock2D",) * levels,
        mid_block_type="UNetMidBlock2DCrossAttn",
        # Self-attention over all cells pays only at the coarser levels.
        only_cross_attention=(True,) + (False,) * (levels - 1),
        cross_attention_dim=config.text_width,
        attention_head_dim=tuple(max(1, c // 32) for c in channels),
        norm_num_groups=16,
        resnet_time_scale_shift="scale_shift",
        addition_embed_type="text",
        addition_embed_type_num_heads=max(1, config.text_width // 32),
        use_linear_projection=True,
        time_cond_proj_dim=GUIDANCE_DIM if guided else None,
    )


def new_scheduler() -> DDIMScheduler:
    """The schedule of training and of the shipped default.

    Scaled-linear betas (Rombach et al. 2022) rescaled to a zero terminal signal-to-noise ratio, sampled at
    trailing time steps (Lin et al. 2024, Common Diffusion Noise Schedules and Sample Steps are Flawed). The
    network predicts x0, which is defined at the noisy end, where a noise prediction is not.
    """
    return DDIMScheduler(
        num_train_timesteps=1000,
        beta_schedule="scaled_linear",
        beta_start=0.00085,
        beta_end=0.012,
        prediction_type="sample",
        clip_sample=False,
        set_alpha_to_one=True,
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
    )


class Denoiser(nn.Module):
    """All that is trained together: text encoder, hint encoder, UNet."""

    def __init__(self, config: TrainingConfig, text: CLIPTextModel, *, guided: bool = False) -> None:
        super().__init__()
        self.unet = new_unet(config, guided=guided)
        self.hints = StudioHintEncoder(tuple(config.unet_channels), HINT_CHANNELS, config.latent_scale)
        self.text = text

    def forward(
        self,
        noisy: torch.Tensor,
        steps: torch.Tensor,
        ids: torch.Tensor,
        control: torch.Tensor,
        scale: torch.Tensor,
    ) -> torch.Tensor:
        """The clean latents (B, C, h, w) that noisy ones at time steps (B,) seem to come from.

        `control` (B, 8, 8 h, 8 w) counts with strengths `scale` (B,); `ids` (B, tokens) are the prompt.
        """
        hint, residuals = self.hints.from_small(control, scale)
        return self.predict(noisy, steps, self.text(ids)[0], (hint, residuals))

    def predict(
        self,
        noisy: torch.Tensor,
        steps: torch.Tensor,
        states: torch.Tensor,
        hints: tuple[torch.Tensor, list[torch.Tensor]],
        guidance: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """The same from text states and hints made before; `guidance` (B,) is what a student is told."""
        answer = self.unet(
            torch.cat([noisy, hints[0]], 1),
            steps,
            states,
            timestep_cond=None if guidance is None else guidance_embedding(guidance).to(noisy),
            down_intrablock_additional_residuals=list(hints[1]),
            return_dict=False,
        )
        return cast(torch.Tensor, answer[0])


def noised(clean: torch.Tensor, noise: torch.Tensor, alpha_bar: torch.Tensor) -> torch.Tensor:
    """x_t = sqrt(ā) x0 + sqrt(1 - ā) ε (Ho et al. 2020, equation 4), ā given for each sample (B,)."""
    a = alpha_bar.view(-1, 1, 1, 1)
    return a.sqrt() * clean + (1 - a).sqrt() * noise
