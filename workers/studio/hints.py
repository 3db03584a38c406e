"""The hint encoder: what the denoiser is told of the geometry, at each of its scales."""

from __future__ import annotations

from itertools import pairwise
from typing import cast

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import nn
from torch.nn import functional

from workers.studio.control import FEATURES, features

CELL_PX = 8  # what one latent covers in the half-size control maps


class HintBlock(nn.Module):
    """A residual block."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(channels, channels, 3, padding=1)
        self.second = nn.Conv2d(channels, channels, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Same shape out."""
        return x + self.second(functional.silu(self.first(functional.silu(x))))


class StudioHintEncoder(ModelMixin, ConfigMixin):
    """Control maps to an input hint and one residual a down block, after T2I-Adapter (Mou et al. 2023).

    The input hint (B, hint_channels, h, w) is concatenated to the noisy latents; the residuals are added at
    the end of the denoiser's down blocks. Both are linear in `scale` at their end, so that 0 is no geometry.
    """

    @register_to_config
    def __init__(
        self,
        channels: tuple[int, ...] = (64, 128, 256),
        hint_channels: int = 16,
        latent_scale: int = 16,  # noqa: ARG002 - kept in the config
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(FEATURES * CELL_PX**2, channels[0], 1)
        self.hint = nn.Conv2d(channels[0], hint_channels, 1)
        self.blocks = nn.ModuleList(nn.Sequential(HintBlock(c), HintBlock(c)) for c in channels)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, stride=2, padding=1) for a, b in pairwise(channels))

    def forward(self, control: torch.Tensor, scale: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Hints of a control tensor (B, 8, H, W) at strengths (B,). See `from_small`."""
        shrink = int(self.config.latent_scale) // CELL_PX
        return self.from_small(functional.avg_pool2d(control, shrink) if shrink > 1 else control, scale)

    def from_small(
        self, control: torch.Tensor, scale: torch.Tensor
    ) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """Hints of a control tensor of 8 px for each latent.

        The i-th residual has the size that the denoiser's i-th down block works at: half of the one before,
        rounded up.
        """
        cells = functional.pixel_unshuffle(features(control), CELL_PX)
        strength = scale.to(control.dtype).view(-1, 1, 1, 1)
        x = self.stem(cells)
        hint = self.hint(x) * strength
        residuals: list[torch.Tensor] = []
        for index, block in enumerate(self.blocks):
            x = cast(torch.Tensor, block(x))
            residuals.append(x * strength)
            if index < len(self.down):
                x = cast(torch.Tensor, self.down[index](x))
        return hint, residuals
