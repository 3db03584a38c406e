"""Procedural streaks: they follow the surface and stay on the part."""

from __future__ import annotations

import torch

from workers.studio.brushing import streaks
from workers.studio.control import CHANNELS, MASK


def wall(size: int = 96) -> torch.Tensor:
    """A control tensor of an upright wall that faces the isometric camera's horizontal direction."""
    control = torch.zeros(1, CHANNELS, size, size)
    control[:, 1], control[:, 2] = -0.5, 0.866
    control[:, MASK, :, : size // 2] = 1
    return control


def test_a_wall_is_brushed_level_and_only_on_the_part() -> None:
    made = streaks(wall())
    on_part = made[..., :48]
    assert not made[..., 48:].any()
    along, across = (float(on_part.diff(dim=axis).abs().mean()) for axis in (3, 2))
    assert across > 2 * along
    assert 0.2 < float(on_part.std()) < 1.5
    torch.testing.assert_close(made, streaks(wall()))


def test_without_geometry_there_are_no_streaks() -> None:
    assert not streaks(torch.zeros(1, CHANNELS, 32, 32)).any()
