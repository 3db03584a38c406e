"""Procedural texture: it follows the surface, stays on the part, and is only as strong as learned."""

from __future__ import annotations

import torch

from workers.studio import StudioAutoencoder
from workers.studio.brushing import streaks
from workers.studio.control import CHANNELS, MASK
from workers.studio.training.decoder import texture_loss


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
    along, across = (float(on_part[:, :1].diff(dim=axis).abs().mean()) for axis in (3, 2))
    assert across > 2 * along
    assert 0.2 < float(on_part.std()) < 1.5
    torch.testing.assert_close(made, streaks(wall()))


def test_without_geometry_there_is_no_texture() -> None:
    assert not streaks(torch.zeros(1, CHANNELS, 32, 32)).any()


def test_a_decoder_adds_texture_of_the_strength_it_learned() -> None:
    torch.manual_seed(0)
    made = StudioAutoencoder(4, (8, 8, 16, 16), 16, brushed=True)
    latents, control = torch.zeros(1, 4, 6, 6), wall()
    smooth, texture = made.decode_apart(latents, control)
    assert texture.abs().max() > 0
    torch.testing.assert_close(made.decode(latents, control), smooth + texture)
    plain = StudioAutoencoder(4, (8, 8, 16, 16), 16)
    assert not plain.decode_apart(latents, control)[1].any()


def test_the_loss_wants_texture_of_the_same_strength_and_direction_wherever_it_lies() -> None:
    control = wall()
    control[:, MASK] = 1
    rows = torch.randn(1, 3, 96, 1).expand(-1, -1, -1, 96)
    others = torch.randn(1, 3, 96, 1).expand(-1, -1, -1, 96)
    same, turned = texture_loss(rows, others, control), texture_loss(rows, others.mT, control)
    assert same < turned / 2
    assert texture_loss(rows, 0 * rows, control) > 2 * same
