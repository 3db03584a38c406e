"""A picture and its control maps at the judge's working size: the shorter side has 512 pixels, or 256.

A smaller picture brought to 512 would be blurred as no picture is that the judge learnt from.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from workers.judge.lighting import colours_by_facing, unexplained
from workers.judge.network import MULTIPLE
from workers.studio.control import DEPTH, EDGES, MASK, Maps, control_tensor

WORKING_PX, SMALL_PX = 512, 256


def working_size(height: int, width: int) -> tuple[int, int]:
    """Height and width that a picture of that size is judged at."""
    shorter = min(height, width)
    scale = (WORKING_PX if shorter >= WORKING_PX else SMALL_PX) / shorter
    return tuple(max(MULTIPLE, round(side * scale / MULTIPLE) * MULTIPLE) for side in (height, width))  # type: ignore[return-value]


def judge_input(image: NDArray[np.uint8], maps: Maps) -> torch.Tensor:
    """(1, 14, h, w) for the network, from uint8 (H, W, 3) and maps of the same size."""
    size = working_size(*image.shape[:2])
    colours = torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255
    return beside(_resized(colours, size), working_control(control_tensor(maps), size))


def beside(colours: torch.Tensor, control: torch.Tensor) -> torch.Tensor:
    """(B, 14, H, W): whole pictures (B, 3, H, W) in 0 to 1, a control tensor, and what of the colours the
    light does not explain."""
    return torch.cat(
        [colours, control, unexplained(colours, control, colours_by_facing(colours, control))], 1
    )


def working_control(control: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """A control tensor at another size. Depth and normals do not fade at the silhouette, edges not at all."""
    if tuple(control.shape[-2:]) == size:
        return control
    mask = control[:, MASK : MASK + 1]
    small = _resized(control, size)
    cover = small[:, MASK : MASK + 1].clamp_min(1e-4)
    normal = _resized(control[:, :3] * mask, size)
    length = normal.norm(dim=1, keepdim=True)
    small[:, :3] = torch.where(length > 0.05, normal / length.clamp_min(1e-6), torch.zeros_like(normal))
    small[:, DEPTH : DEPTH + 1] = _resized(control[:, DEPTH : DEPTH + 1] * mask, size) / cover
    small[:, DEPTH : DEPTH + 1] *= small[:, MASK : MASK + 1] > 0
    if size[0] < control.shape[-2]:
        small[:, EDGES : EDGES + 1] = functional.adaptive_max_pool2d(control[:, EDGES : EDGES + 1], size)
    return small


def _resized(values: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    smaller = size[0] <= values.shape[-2] and size[1] <= values.shape[-1]
    options: dict[str, Any] = {"mode": "area"} if smaller else {"mode": "bilinear", "align_corners": False}
    return functional.interpolate(values, size=size, **options)
