"""Light and background that a prompt leaves to the seed."""

from __future__ import annotations

from itertools import pairwise

import pytest

from mfgviz.scenes import BACKGROUNDS, LIGHTS, drawn, spoken

OPEN = "brass, any light, any background"


def test_what_is_left_open_is_said_by_the_seed_and_the_rest_stays() -> None:
    light, background = drawn(OPEN, 7)
    assert light in LIGHTS
    assert background in BACKGROUNDS
    assert spoken(OPEN, 7) == f"brass, {light}, {background}"
    assert spoken("Any background: brass", 7) == f"{background}: brass"


@pytest.mark.parametrize("prompt", ["brass, studio light", "many lights", "any lights", "company background"])
def test_a_prompt_that_leaves_nothing_open_stays_as_it_is(prompt: str) -> None:
    assert spoken(prompt, 3) == prompt
    assert drawn(prompt, 3) == []


def test_pictures_made_before_are_made_again_alike() -> None:
    """Whoever changes these words or their order changes every picture that was made of them."""
    assert spoken(OPEN, 0) == "brass, studio light, white background"
    assert spoken(OPEN, 7) == "brass, cool light, green background"
    assert spoken(OPEN, 2**32 - 1) == "brass, cool light, white background"


def test_seeds_side_by_side_differ_in_both_and_all_pairs_come_up() -> None:
    scenes = [tuple(drawn(OPEN, seed)) for seed in range(288)]
    for one, following in pairwise(scenes):
        assert one[0] != following[0]
        assert one[1] != following[1]
    assert len(set(scenes)) == len(LIGHTS) * len(BACKGROUNDS)
