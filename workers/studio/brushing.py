"""Procedural streaks on the part, for brushed and machined metal: latents cannot hold what is as fine as a
pixel. They follow the surface, by line integral convolution (Cabral and Leedom 1993) of white noise along the
brushing direction.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from workers.studio.control import MASK

TAPS = 21  # samples on either side of a pixel together
REACH = 1 / 36  # of the picture's width, to either side
# The part's axes as a camera in the isometric view sees them. Other views are brushed along other lines.
AXIS_X, AXIS_Y, AXIS_UP = (0.707, -0.354, 0.612), (0.707, 0.354, -0.612), (0.0, 0.866, 0.5)


def streaks(control: torch.Tensor) -> torch.Tensor:
    """Streaks (B, 1, H, W) of about -1..1 from a control tensor (B, 8, H, W); zero off the part.

    The noise is always the same for one size, so that the same part is brushed alike in every picture.
    """
    batch, _, height, width = control.shape
    generator = torch.Generator().manual_seed(height * 8191 + width)
    noise = torch.randn(1, 1, height, width, generator=generator).to(control)
    offsets = _direction(control[:, :3]) * (REACH * 2)  # pixels of a picture are 2 wide in `grid_sample`
    rows, columns = (
        (torch.arange(n, device=control.device, dtype=control.dtype) + 0.5) / n * 2 - 1
        for n in (height, width)
    )
    place = torch.stack([columns.expand(height, -1), rows[:, None].expand(-1, width)], -1)
    white = noise.expand(batch, -1, -1, -1)
    total = torch.zeros_like(control[:, :1])
    for step in torch.linspace(-1, 1, TAPS).tolist():
        at = place + step * offsets.permute(0, 2, 3, 1)
        total = total + functional.grid_sample(white, at, padding_mode="reflection", align_corners=False)
    apart = min(TAPS, 2 * REACH * width + 1)  # of the samples: in small pictures they share pixels
    return total / TAPS * apart**0.5 * control[:, MASK : MASK + 1]


def unit(vectors: torch.Tensor, least: float = 1e-12) -> torch.Tensor:
    """Vectors (B, C, H, W) at length 1; what is shorter than `least` becomes shorter than 1.

    As `torch.nn.functional.normalize` over the channels, which takes thirty times as long on a CPU.
    """
    return vectors / vectors.square().sum(1, keepdim=True).clamp_min(least * least).sqrt()


def surface_axes(normal: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Unit vectors (B, 3, H, W) in camera space along the brushing direction of each face, and across it.

    Along x on faces that look mostly up, else level.
    """
    x, y, up = (normal.new_tensor(axis).view(1, 3, 1, 1) for axis in (AXIS_X, AXIS_Y, AXIS_UP))
    on_top = (normal * up).sum(1, keepdim=True).abs() > torch.maximum(
        (normal * x).sum(1, keepdim=True).abs(), (normal * y).sum(1, keepdim=True).abs()
    )
    level = torch.cross(normal, up.expand_as(normal), dim=1)
    along = torch.where(on_top, x - (normal * x).sum(1, keepdim=True) * normal, level)
    along = unit(along, 1e-4)
    return along, torch.cross(normal, along, dim=1)


def _direction(normal: torch.Tensor) -> torch.Tensor:
    """The brushing direction on screen (B, 2, H, W), x right and y down, at most 1 long."""
    along, _ = surface_axes(normal)
    return torch.cat([along[:, :1], -along[:, 1:2]], 1)
