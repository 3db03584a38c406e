"""Lamps and patterns that the decoder looks up: where they lie, and that nothing is there without a part."""

from __future__ import annotations

import math

import pytest
import torch

from workers.studio import StudioAutoencoder, StudioPipeline
from workers.studio.brushing import AXIS_UP
from workers.studio.control import CHANNELS, MASK, OCCLUSION
from workers.studio.lookups import (
    LAMP_PX,
    SHADES,
    Lamps,
    Patterns,
    disc_directions,
    disc_places,
    ground_places,
    laid,
    picture_places,
    surface_places,
)
from workers.studio.training.lookups import DIFFUSE, LAYOUTS, MIRRORED, lamp_pictures, pattern_pictures
from workers.studio.training.start import WEIGHTS


def face(normal: tuple[float, float, float], size: int = 64) -> torch.Tensor:
    """A control tensor that is one flat face."""
    control = torch.zeros(1, CHANNELS, size, size)
    control[:, :3] = torch.tensor(normal).view(1, 3, 1, 1) / math.hypot(*normal)
    control[:, [MASK, OCCLUSION]] = 1
    return control


@pytest.fixture(scope="module")
def pictures() -> tuple[torch.Tensor, torch.Tensor]:
    return lamp_pictures()


def test_every_direction_finds_its_pixel() -> None:
    directions = disc_directions()
    inside = directions[2] > -0.95
    places = disc_places(directions[None])[0]
    across = (torch.arange(LAMP_PX) + 0.5) / LAMP_PX * 2 - 1
    torch.testing.assert_close(places[..., 0][inside], across.expand(LAMP_PX, -1)[inside], atol=1e-4, rtol=0)
    torch.testing.assert_close(
        places[..., 1][inside], across[:, None].expand(-1, LAMP_PX)[inside], atol=1e-4, rtol=0
    )


def test_lamps_are_above_the_horizon_and_the_ground_is_below(pictures) -> None:
    mirrored, diffuse = pictures
    assert len(mirrored) == MIRRORED
    assert len(diffuse) == DIFFUSE
    up = disc_directions() * torch.tensor([0, math.cos(math.pi / 6), 0.5]).view(3, 1, 1)
    height = up.sum(0)
    ground = mirrored[len(LAYOUTS)]
    assert ground[height < -0.2].min() > 0.5
    assert ground[height > 0.2].max() < 0.05
    for lamps in mirrored[: len(LAYOUTS)]:
        assert lamps[height < -0.2].max() < 0.05
        assert lamps[height > 0.2].max() > 0.5
    assert diffuse.std() < mirrored.std()


def test_a_polished_face_mirrors_the_lamp_that_it_looks_at(pictures) -> None:
    lamps = Lamps(MIRRORED, DIFFUSE, 4)
    lamps.mirrored.copy_(pictures[0])
    code, places = torch.zeros(1, 4), picture_places(64, 64)
    assert not lamps(code, face((0, 0, 1)), places)[:, : SHADES // 2].any()
    with torch.no_grad():
        lamps.mix.bias.view(SHADES, -1)[0, len(LAYOUTS)] = 1  # red: the ground
    up_face, front_face = (
        lamps(code, face(n), places)[:, 0, 32, 32] for n in ((0.0, 0.87, 0.5), (0.0, -0.5, 0.87))
    )
    assert front_face > 0.5
    assert up_face < 0.05
    assert not lamps(code, torch.zeros(1, CHANNELS, 64, 64), places).any()


def test_coordinates_on_a_face_are_its_lengths() -> None:
    places = picture_places(64, 64)
    found = surface_places(face((0.0, -0.5, 0.866)), places)
    steps = [found.diff(dim=axis)[0] * 32 for axis in (3, 2)]
    # Sideways the brushing direction is level; downwards a leaning face is longer than its picture.
    torch.testing.assert_close(steps[0][0].abs(), torch.ones(64, 63), atol=0.02, rtol=0)
    torch.testing.assert_close(steps[1][1].abs(), torch.full((63, 64), 1 / 0.866), atol=0.02, rtol=0)


def test_the_ground_recedes_upwards() -> None:
    steps = ground_places(picture_places(64, 64)).diff(dim=2).norm(dim=1)[0]
    assert (steps[:-1] > steps[1:]).all()
    assert float(steps[32, 32]) * 32 == pytest.approx(2, rel=0.15)


def test_patterns_repeat_without_a_seam() -> None:
    patterns, amplitude = pattern_pictures()
    assert (amplitude > 0).all()
    places = torch.rand(1, 2, 8, 8)
    torch.testing.assert_close(laid(patterns, places), laid(patterns, places + 3), atol=0.05, rtol=0)


def test_patterns_stay_where_they_belong() -> None:
    patterns, states = Patterns(6, 4), torch.randn(1, 3, 4)
    patterns.pictures.copy_(pattern_pictures()[0])
    control, places = face(AXIS_UP), picture_places(64, 64)
    control[..., 32:] = 0
    assert patterns(states, control, places).abs().max() < 1e-2  # nothing calls for them
    torch.nn.init.constant_(patterns.called.bias, 8.0)
    made = patterns(states, control, places)
    assert not made[:, :3, :, 32:].any()
    assert not made[:, 3:, :, :32].any()
    assert made[:, :3, :, :32].std() > 0.1
    assert made[:, 3:, :, 32:].std() > 0.1
    assert not patterns(states, torch.zeros_like(control), places).any()
    tilted = face((0, -0.5, 0.866))
    tilted[..., 32:] = 0
    assert not patterns(states, tilted, places)[:, 3:].any()  # not the isometric view


def test_the_shipped_decoder_lays_what_the_prompt_calls_for() -> None:
    pipeline = StudioPipeline.from_pretrained(WEIGHTS, dtype=torch.float32)
    patterns = pipeline.autoencoder.patterns
    called = {
        "oak wood, studio light, white background": 0,
        "carbon fibre, studio light, white background": 1,
        "rusted steel, studio light, white background": 2,
        "red paint, studio light, on a wooden bench": 3,
    }
    for prompt, wanted in called.items():
        odds = patterns.read(pipeline.encode_prompt(prompt))[0]
        assert (odds > 0).nonzero().flatten().tolist() == [wanted], prompt
    assert (patterns.read(pipeline.encode_prompt("")) < 0).all()


def test_a_crop_is_decoded_as_its_place_in_the_whole() -> None:
    torch.manual_seed(0)
    made = StudioAutoencoder(
        4, (8, 8, 16, 16), 16, text_width=8, lamp_counts=(MIRRORED, DIFFUSE), pattern_count=6
    )
    torch.nn.init.normal_(made.lamps.mix.weight)
    made.lamps.mirrored.normal_()
    control, text = face((0.3, 0.5, 0.8), 128), torch.randn(1, 6, 8)
    places = picture_places(128, 128)
    code = made.wording.code(text)
    whole = made.lamps(code, control, places)
    crop = made.lamps(code, control[..., 32:96, 64:], places[..., 32:96, 64:])
    torch.testing.assert_close(whole[..., 32:96, 64:], crop)
    assert whole[:, :3].std() > 0
