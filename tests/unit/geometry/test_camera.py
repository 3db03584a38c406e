"""Cameras, held against what can be computed by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mfgviz.requests import View
from mfgviz.vocabulary import STANDARD_VIEWS, Projection
from workers.geometry import make_camera

BOX = np.array([[x, y, z] for x in (0, 60) for y in (0, 40) for z in (0, 10)], float)


@pytest.mark.parametrize("name", STANDARD_VIEWS)
@pytest.mark.parametrize("projection", list(Projection))
@pytest.mark.parametrize("size", [(512, 512), (640, 480), (288, 512)])
def test_the_part_fills_the_frame_up_to_the_margin(
    name: str, projection: Projection, size: tuple[int, int]
) -> None:
    camera = make_camera(View(name, projection=projection, margin=0.1), BOX, *size)
    seen = camera.project(BOX)
    assert np.abs(seen[:, :2]).max() == pytest.approx(0.8, abs=1e-6)
    assert (seen[:, 2] > 0).all()


@given(
    st.lists(st.tuples(*[st.floats(-500, 500)] * 3), min_size=4, max_size=30),
    st.sampled_from(STANDARD_VIEWS),
    st.sampled_from(list(Projection)),
    st.floats(0, 0.4),
)
@settings(max_examples=80, deadline=None)
def test_nothing_lies_outside_the_frame(
    points: list[tuple[float, float, float]], name: str, projection: Projection, margin: float
) -> None:
    cloud = np.array(points)
    if np.ptp(cloud, axis=0).max() < 1e-3:
        return
    camera = make_camera(View(name, projection=projection, margin=margin), cloud, 400, 300)
    assert np.abs(camera.project(cloud)[:, :2]).max() <= 1 - 2 * margin + 1e-6


@pytest.mark.parametrize(
    ("name", "right", "up"),
    [
        ("front", (1, 0, 0), (0, 0, 1)),
        ("back", (-1, 0, 0), (0, 0, 1)),
        ("right", (0, 1, 0), (0, 0, 1)),
        ("left", (0, -1, 0), (0, 0, 1)),
        ("top", (1, 0, 0), (0, 1, 0)),
        ("bottom", (1, 0, 0), (0, -1, 0)),
    ],
)
def test_views_are_those_of_a_drawing(name: str, right: tuple[int, ...], up: tuple[int, ...]) -> None:
    camera = make_camera(View(name), BOX, 256, 256)
    assert np.allclose(camera.right, right, atol=1e-9)
    assert np.allclose(camera.up, up, atol=1e-9)


def test_rays_and_projection_are_each_other_s_inverse() -> None:
    for projection in Projection:
        camera = make_camera(View("iso", projection=projection), BOX, 40, 30)
        origins, directions = camera.rays(40, 30)
        seen = camera.project(origins + directions * 55.0)
        x = (seen[:, 0] + 1) / 2 * 40 - 0.5
        y = (1 - seen[:, 1]) / 2 * 30 - 0.5
        assert np.allclose(x.reshape(30, 40), np.arange(40)[None, :], atol=1e-6)
        assert np.allclose(y.reshape(30, 40), np.arange(30)[:, None], atol=1e-6)


def test_a_custom_view_s_extent_is_over_the_shorter_side() -> None:
    flat = View(
        "custom", Projection.ORTHOGRAPHIC, eye_mm=(0, 0, 9), forward=(0, 0, -1), up=(0, 1, 0), height_mm=20.0
    )
    tall, wide = make_camera(flat, BOX, 100, 200), make_camera(flat, BOX, 200, 100)
    assert (tall.half_width, tall.half_height) == pytest.approx((10, 20))
    assert (wide.half_width, wide.half_height) == pytest.approx((20, 10))
    pinhole = View("custom", eye_mm=(0, 0, 9), forward=(0, 0, -2), up=(0, 3, 1), field_of_view_deg=60)
    camera = make_camera(pinhole, BOX, 100, 200)
    assert camera.half_width == pytest.approx(math.tan(math.radians(30)))
    assert np.allclose(camera.up, (0, 1, 0))


@pytest.mark.parametrize("projection", list(Projection))
def test_depths_lead_back_to_the_points_that_were_seen(projection: Projection) -> None:
    camera = make_camera(View("iso", projection=projection), BOX, 40, 30)
    origins, directions = camera.rays(40, 30)
    seen = origins + directions * np.linspace(20, 90, 1200)[:, None]
    depth = camera.project(seen)[:, 2].reshape(30, 40)
    assert np.allclose(camera.points(depth).reshape(-1, 3), seen, atol=1e-9)
    assert np.allclose(camera.points(depth, 2), seen.reshape(30, 40, 3)[1::2, 1::2], atol=1e-9)
    assert np.array_equal(
        camera.rays(40, 30, slice(3, 7))[1], directions.reshape(30, 40, 3)[3:7].reshape(-1, 3)
    )
