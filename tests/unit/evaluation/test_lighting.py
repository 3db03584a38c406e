"""What the light explains of a picture, and what it does not."""

from __future__ import annotations

import numpy as np
import torch

from workers.families.testing import TinyMaps
from workers.judge.lighting import colours_by_facing, unexplained
from workers.studio.control import MASK, control_tensor


def lit(control: torch.Tensor) -> torch.Tensor:
    """A matt picture under light from the upper left."""
    x, y, z = control[:, :3].unbind(1)
    shade = (0.5 + 0.25 * (0.4 * y - 0.5 * x + 0.6 * z)).clamp(0, 1)
    return torch.stack([shade, 0.7 * shade, 0.4 * shade], 1) * control[:, MASK : MASK + 1] + 0.2 * (
        1 - control[:, MASK : MASK + 1]
    )


def test_light_explains_a_matt_part_and_a_stain_stays() -> None:
    control = control_tensor(TinyMaps.of_sphere(128, 128))
    colours = lit(control)
    on = control[0, MASK] > 0.99
    plain = unexplained(colours, control, colours_by_facing(colours, control))
    assert plain[0][:, on].abs().mean() < 0.01
    stained = colours.clone()
    stained[..., 60:66, 60:66] = 0.0
    left = unexplained(stained, control, colours_by_facing(stained, control))
    assert left[0, 0, 60:66, 60:66].mean() < -0.15
    assert left[0, 0][on].abs().median() < 0.01


def test_what_turns_another_way_is_not_explained_by_the_maps_of_a_flat_face() -> None:
    ball = control_tensor(TinyMaps.of_sphere(128, 128))
    flat = ball.clone()
    flat[:, :3] = torch.tensor([0.0, 0.0, 1.0])[None, :, None, None] * ball[:, MASK : MASK + 1]
    colours = lit(ball)
    on = ball[0, MASK] > 0.99
    genuine = unexplained(colours, ball, colours_by_facing(colours, ball))[0][:, on]
    other = unexplained(colours, flat, colours_by_facing(colours, flat))[0][:, on]
    assert other.abs().mean() > 5 * genuine.abs().mean()


def test_off_the_part_and_without_a_part_nothing_is_unexplained() -> None:
    control = control_tensor(TinyMaps.of_sphere(64, 64))
    colours = torch.from_numpy(np.random.default_rng(0).random((1, 3, 64, 64), np.float32))
    left = unexplained(colours, control, colours_by_facing(colours, control))
    assert not left[0][:, control[0, MASK] == 0].any()
    nothing = torch.zeros_like(control)
    assert torch.equal(
        unexplained(colours, nothing, colours_by_facing(colours, nothing)), torch.zeros_like(colours)
    )
