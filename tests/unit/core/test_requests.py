"""Requests: what is refused where it is defined, and the fingerprint."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfgviz.errors import InvalidRequestError, OutOfBoundsSizeError, UnknownSamplerError
from mfgviz.requests import Conditioning, ModelChoice, RenderRequest, SamplingSettings, View
from mfgviz.vocabulary import SAMPLERS, Mode, Projection

SAMPLING = SamplingSettings("ddim", 8, 2.0)
REQUEST = RenderRequest("a" * 64, "brass", ModelChoice("studio", "b" * 64, "studio"), SAMPLING)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        ({"width": 500}, OutOfBoundsSizeError, "nearest is 496"),
        ({"height": 8}, OutOfBoundsSizeError, "nearest is 64"),
        ({"width": 9000}, OutOfBoundsSizeError, "nearest is 4096"),
        ({"sampler": "magic"}, UnknownSamplerError, "ddpm"),
        ({"num_inference_steps": 0}, InvalidRequestError, "num_inference_steps"),
        ({"guidance_scale": math.nan}, InvalidRequestError, "guidance_scale"),
        ({"guidance_scale": -1.0}, InvalidRequestError, "guidance_scale"),
        ({"seed": -1}, InvalidRequestError, "seed"),
        ({"seed": 2**63}, InvalidRequestError, "seed"),
        ({"count": 0}, InvalidRequestError, "count"),
        ({"count": True}, InvalidRequestError, "count"),
    ],
)
def test_sampling_that_cannot_be_is_refused_with_a_remedy(
    change: dict[str, object], error: type[InvalidRequestError], says: str
) -> None:
    with pytest.raises(error) as caught:
        replace(SAMPLING, **change)  # type: ignore[arg-type]
    assert says in f"{caught.value.message} {caught.value.remedy}"


@pytest.mark.parametrize(
    "fields",
    [
        {"name": "inside"},
        {"margin": 0.5},
        {"name": "iso", "height_mm": 3.0},
        {"name": "custom"},
        {"name": "custom", "eye_mm": (0, 0, 1), "forward": (0, 0, 0), "up": (0, 1, 0)},
        {"name": "custom", "eye_mm": (0, 0, 1), "forward": (0, 0, -1), "up": (0, 0, 2)},
        {"name": "custom", "eye_mm": (0, 0, math.inf), "forward": (0, 0, -1), "up": (0, 1, 0)},
        {
            "name": "custom", "eye_mm": (0, 0, 1), "forward": (0, 0, -1), "up": (0, 1, 0),
            "projection": Projection.ORTHOGRAPHIC,
        },
    ],
)  # fmt: skip
def test_views_that_show_nothing_are_refused(fields: dict[str, object]) -> None:
    with pytest.raises(InvalidRequestError):
        View(**fields)  # type: ignore[arg-type]


def test_a_starting_image_belongs_to_image_mode() -> None:
    with pytest.raises(InvalidRequestError):
        Conditioning(Mode.CONTROL, image="clay")
    with pytest.raises(InvalidRequestError):
        Conditioning(Mode.IMAGE)


@given(
    seed=st.integers(0, 2**62),
    prompt=st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=60).filter(str.strip),
    sampler=st.sampled_from(SAMPLERS),
    scale=st.floats(0, 1),
    eye=st.tuples(*[st.floats(-1e6, 1e6)] * 3),
)
def test_a_request_survives_json_and_keeps_its_fingerprint(
    seed: int, prompt: str, sampler: str, scale: float, eye: tuple[float, float, float]
) -> None:
    view = View("custom", eye_mm=eye, forward=(0.0, 1.0, 0.0), up=(0.0, 0.0, 1.0))
    request = replace(
        REQUEST,
        prompt=prompt,
        sampling=replace(SAMPLING, seed=seed, sampler=sampler),
        view=view,
        conditioning=Conditioning(control_scale=scale),
    )
    again = RenderRequest.from_json(request.as_json())
    assert again == request
    assert again.fingerprint() == request.fingerprint()


@pytest.mark.parametrize(
    "changed",
    [
        replace(REQUEST, prompt="steel"),
        replace(REQUEST, negative_prompt="blurry"),
        replace(REQUEST, geometry_digest="c" * 64),
        replace(REQUEST, view=View("front")),
        replace(REQUEST, sampling=replace(SAMPLING, seed=1)),
        replace(REQUEST, model=replace(REQUEST.model, weights_digest="d" * 64)),
        replace(REQUEST, conditioning=Conditioning(control_scale=0.5)),
    ],
)
def test_all_that_decides_the_picture_changes_the_fingerprint(changed: RenderRequest) -> None:
    assert changed.fingerprint() != REQUEST.fingerprint()


def test_what_may_differ_within_a_batch_keeps_the_batch_key() -> None:
    mate = replace(REQUEST, prompt="steel", view=View("top"), sampling=replace(SAMPLING, seed=4, count=3))
    assert mate.batch_key() == REQUEST.batch_key()
    assert replace(REQUEST, sampling=replace(SAMPLING, width=256)).batch_key() != REQUEST.batch_key()
    assert replace(REQUEST, conditioning=Conditioning(control_scale=0.5)).batch_key() != REQUEST.batch_key()


@pytest.mark.parametrize(
    "plain", [{}, [], {**REQUEST.as_json(), "version": 99}, {**REQUEST.as_json(), "prompt": 3}]
)
def test_what_is_no_request_is_refused_by_name(plain: object) -> None:
    with pytest.raises(InvalidRequestError):
        RenderRequest.from_json(plain)
