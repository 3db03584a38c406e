"""From control maps to what the networks see: one tensor of eight channels, and features made from it.

A control tensor is float32 (B, 8, H, W): normal x y z (-1..1), depth, mask, edges, clay, occlusion (0..1).
All zeros means "no geometry": that is what text-only rendering passes, and what a geometry strength of 0
leaves of any part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

CHANNELS = 8
DEPTH, MASK, EDGES, CLAY, OCCLUSION = 3, 4, 5, 6, 7
FEATURES = 12


class Maps(Protocol):
    """The arrays that a control tensor is made of (`workers.geometry.ControlMaps` has them)."""

    @property
    def depth(self) -> NDArray[np.float32]: ...
    @property
    def normal(self) -> NDArray[np.float32]: ...
    @property
    def edges(self) -> NDArray[np.float32]: ...
    @property
    def mask(self) -> NDArray[np.float32]: ...
    @property
    def clay(self) -> NDArray[np.float32]: ...
    @property
    def occlusion(self) -> NDArray[np.float32]: ...


def control_tensor(maps: Maps | Sequence[Maps]) -> torch.Tensor:
    """The maps of one view or of several of the same size, (B, 8, H, W)."""
    several: Sequence[Any] = maps if isinstance(maps, Sequence) else [maps]
    stacked = [
        np.concatenate(
            [
                one.normal,
                *(getattr(one, n)[..., None] for n in ("depth", "mask", "edges", "clay", "occlusion")),
            ],
            2,
        )
        for one in several
    ]
    return torch.from_numpy(np.stack(stacked).astype(np.float32)).permute(0, 3, 1, 2).contiguous()


def features(control: torch.Tensor) -> torch.Tensor:
    """(B, 12, H, W): the eight channels, the mirror direction of the view, and a wide blur of the mask.

    The mirror direction r = 2 (n·v) n - v, with v towards the camera (Phong 1975), tells where on the
    surroundings a polished surface looks. It is zero off the part.
    """
    normal, mask = control[:, :3], control[:, MASK : MASK + 1]
    facing = normal[:, 2:3]
    mirrored = 2 * facing * normal
    mirrored = torch.cat([mirrored[:, :2], mirrored[:, 2:] - mask], 1)
    small = functional.avg_pool2d(mask, 4, ceil_mode=True)
    wide = functional.avg_pool2d(small, 9, 1, 4, count_include_pad=False)
    wide = functional.interpolate(wide, size=control.shape[-2:], mode="bilinear", align_corners=False)
    return torch.cat([control, mirrored, wide], 1)


def fill_in(latents: torch.Tensor, weight: torch.Tensor, finest: int = 1) -> torch.Tensor:
    """Latents (B, C, h, w) with the cells of no weight (B, 1, h, w) filled from the nearest that have some.

    Mask-normalised pooling over growing windows: where a window holds enough weight its weighted mean is
    taken, what is still open takes the next larger window, and at last the whole picture's mean. `finest`
    is the first window: 1 keeps what is there, 3 smooths it.
    """
    weighted = latents * weight
    filled, open_share = torch.zeros_like(latents), torch.ones_like(weight)
    for window in (finest, 3, 7, 15):
        pad = window // 2
        mass = functional.avg_pool2d(weight, window, 1, pad)
        mean = functional.avg_pool2d(weighted, window, 1, pad) / (mass + 1e-4)
        take = open_share * (mass * window).clamp(0, 1)
        filled = filled + take * mean
        open_share = open_share - take
    total = weighted.sum((2, 3), keepdim=True) / (weight.sum((2, 3), keepdim=True) + 1e-3)
    return filled + open_share * total


def solid_cells(mask: torch.Tensor, cell_px: int) -> tuple[torch.Tensor, torch.Tensor]:
    """How purely each latent cell (B, 1, h, w) is part, and how purely surroundings: 0 where they mix."""
    cover = functional.avg_pool2d(mask, cell_px)
    return ((cover - 0.4) / 0.6).clamp(0, 1) ** 2, ((0.6 - cover) / 0.6).clamp(0, 1) ** 2
