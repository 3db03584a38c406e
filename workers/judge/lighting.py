"""What colour the rest of a picture tells for a surface: the same wherever it is turned the same way.

Under light from afar a surface's colour depends on where it faces (Basri and Jacobs 2003 for matt ones, the
mirror direction for polished ones). So the mean colour of all places that face one way is what any of them
should show, and what a picture shows instead is a shadow, a pattern, or a shape that the maps do not have.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from workers.studio.control import MASK

FACINGS = 25  # cells a side of the table: normals to the right and up, -1 to 1
SOLID = 0.9  # pixels that the part covers less than this tell nothing
ASKED_PX = 128  # so many pixels of the shorter side, evenly spread, are asked
# How much the neighbours of a facing tell of it, and all facings together, beside it.
NEARBY, ANYWHERE = 0.02, 1e-4


def colours_by_facing(colours: torch.Tensor, control: torch.Tensor) -> torch.Tensor:
    """(B, 3, FACINGS, FACINGS): mean colours (B, 3, H, W) of the part's surface by its normal in a control
    tensor. Where no surface faces that way, of what faces nearly so."""
    step = max(1, min(colours.shape[-2:]) // ASKED_PX)
    few, maps = colours[..., ::step, ::step], control[..., ::step, ::step]
    place = ((maps[:, :2].clamp(-1, 1) + 1) * ((FACINGS - 1) / 2)).round().long()
    cell = (place[:, 1] * FACINGS + place[:, 0]).flatten(1)
    weight = (maps[:, MASK : MASK + 1] > SOLID).to(colours.dtype)
    told = torch.cat([few * weight, weight], 1).flatten(2)
    sums = told.new_zeros(*told.shape[:2], FACINGS * FACINGS)
    sums.scatter_add_(2, cell[:, None].expand_as(told), told)
    sums = sums.unflatten(2, (FACINGS, FACINGS))
    near = functional.avg_pool2d(sums, 5, 1, 2, count_include_pad=False)
    sums = sums + NEARBY * near + ANYWHERE * sums.mean((2, 3), keepdim=True) + 1e-9
    return sums[:, :3] / sums[:, 3:]


def unexplained(colours: torch.Tensor, control: torch.Tensor, table: torch.Tensor) -> torch.Tensor:
    """(B, 3, H, W): how far colours are from those of a table of `colours_by_facing`; 0 off the part."""
    facing = control[:, :2].permute(0, 2, 3, 1)
    expected = functional.grid_sample(
        table, facing, mode="bilinear", padding_mode="border", align_corners=True
    )
    return (colours - expected) * control[:, MASK : MASK + 1]
