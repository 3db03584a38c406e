"""The looks of the training pictures: words for all, lamps that hang on the camera, floors shown as named."""

from __future__ import annotations

import numpy as np
import pytest

from workers.studio.training import captions, looks
from workers.studio.training.nouns import HELD_OUT, NOUNS


def axes(azimuth: float, elevation: float) -> tuple[np.ndarray, np.ndarray]:
    """The back and up vectors of a camera."""
    flat = np.cos(elevation)
    back = np.array([flat * np.cos(azimuth), flat * np.sin(azimuth), np.sin(elevation)])
    right = np.cross([0, 0, 1], back)
    return back, np.cross(back, right / np.linalg.norm(right))


def seen_at(light: looks.Light, direction: np.ndarray) -> np.ndarray:
    """What comes from the direction nearest to this one."""
    place = (looks.DIRECTIONS @ direction).argmax()
    return light.environment.reshape(-1, 3)[place]


def test_there_are_words_for_all_that_is_drawn() -> None:
    assert set(looks.LAMPS) == set(looks.LIGHTS) == set(captions.LIGHTS)
    assert set(looks.FLOORS) == set(captions.FLOORS)
    assert set(looks.KINDS) == set(captions.MATERIALS) | set(captions.COATS)
    assert set(NOUNS) > HELD_OUT


@pytest.mark.parametrize("name", list(looks.LIGHTS))
def test_lamps_turn_with_the_camera(name) -> None:
    rng = np.random.default_rng(0)
    for slant in (np.array([0.3, 0.5, 0.8]), np.array([-0.6, 0.4, 0.7])):
        found = []
        for azimuth, elevation in ((0.3, 0.52), (2.1, 0.52), (-1.0, 0.3)):
            back, up = axes(azimuth, elevation)
            right = np.cross(up, back)
            direction = slant @ np.stack([right, up, back])
            light = looks.draw_light(rng, back, up, name)
            found.append(seen_at(light, direction / np.linalg.norm(direction)))
        np.testing.assert_allclose(found[1], found[0], atol=0.25 * found[0].max() + 0.1)
        np.testing.assert_allclose(found[2], found[0], atol=0.25 * found[0].max() + 0.1)


@pytest.mark.parametrize("name", list(looks.LIGHTS))
def test_a_light_reaches_its_exposure_in_the_isometric_view(name) -> None:
    light = looks.draw_light(np.random.default_rng(0), *axes(-0.785, looks.RIG_ELEVATION), name)
    assert looks.floor_light(light.environment) == pytest.approx(light.exposure, rel=0.02)


@pytest.mark.parametrize("kind", list(looks.KINDS))
def test_surfaces_are_textures_of_one_size(kind) -> None:
    surface = looks.draw_surface(np.random.default_rng(3), kind)
    assert surface.colour.shape == (looks.TEXTURE_PX, looks.TEXTURE_PX, 3)
    assert surface.roughness.shape == (looks.TEXTURE_PX, looks.TEXTURE_PX)
    assert surface.colour.min() >= 0
    assert surface.colour.max() <= 1
    assert surface.names["kind"] == kind


def test_floors_lie_as_they_lay_before() -> None:
    for name in looks.FLOORS:
        first, again = (looks.draw_floor(np.random.default_rng(k), name) for k in range(2))
        np.testing.assert_array_equal(first.colour, again.colour)
    white = looks.draw_floor(np.random.default_rng(0), "white")
    assert 0.9 < white.shown * white.colour.mean() <= 1


def test_favoured_kinds_and_colours_are_all_that_is_drawn() -> None:
    rng = np.random.default_rng(0)
    drawn = [looks.draw_favoured(rng, ("navy", "brass")).names for _ in range(30)]
    assert {one["colour"] for one in drawn} == {"navy", None}
    assert {one["kind"] for one in drawn if one["colour"] is None} == {"brass"}
    assert {one["kind"] for one in drawn if one["colour"]} == {"paint", "powder", "plastic"}
