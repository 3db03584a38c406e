"""Pictures whose light and background the seed says: by a real engine, of a real part."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from mfgviz import renditions, schema
from mfgviz.intake import Ask
from mfgviz.records import Rendition
from mfgviz.runtime import Runtime
from mfgviz.scenes import drawn, spoken
from mfgviz.vocabulary import Mode
from tests.integration.conftest import RenderNow, notes_of

OPEN = "red powder coat, any light, any background"
ASK = Ask(revision="BRK-1@A", prompt=OPEN, seed=12, count=3)

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_the_job_tells_what_was_drawn_and_saying_it_makes_the_same_picture(
    runtime: Runtime, render_now: RenderNow
) -> None:
    quick = replace(ASK, mode=Mode.TEXT, width=64, height=64, num_inference_steps=2, sampler="ddim")
    job_id, made = render_now(quick)
    told = [f"Image {one.index}: {', '.join(drawn(OPEN, one.seed))}." for one in made]
    assert [note for note in notes_of(runtime, job_id) if note.startswith("Image ")] == told
    assert [renditions.replay_request(one).prompt for one in made] == [OPEN] * 3
    _, (said,) = render_now(replace(quick, prompt=spoken(OPEN, 13), seed=13, count=1))
    assert said.pixel_digest == made[1].pixel_digest


def test_seeds_show_the_same_part_in_other_scenes(runtime: Runtime, render_now: RenderNow) -> None:
    schema.register_bundled_model(runtime.db, "ann")
    _, made = render_now(replace(ASK, model="studio"))
    assert [one.fidelity_verdict for one in made] == ["passed"] * 3
    corners = [_pixels(runtime, one)[:40, :40].mean((0, 1)) for one in made]
    for first, second in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(corners[first] - corners[second]).max() > 0.1


def _pixels(runtime: Runtime, made: Rendition) -> np.ndarray:
    with Image.open(BytesIO(runtime.blobs.get(made.blob_digest))) as picture:
        return np.asarray(picture.convert("RGB"), float) / 255
