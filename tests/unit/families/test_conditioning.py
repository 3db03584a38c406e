"""The polarity of every control encoding, on a sphere whose maps are known."""

from __future__ import annotations

import numpy as np
import pytest

from mfgviz.models_folder import CONTROL_KINDS
from workers.families.conditioning import ENCODERS, encode_control, encode_images
from workers.families.testing import TinyMaps

SPHERE = TinyMaps.of_sphere(96, 64)
MIDDLE, LEFT, TOP, CORNER = (32, 48), (32, 30), (14, 48), (1, 1)


def encoded(kind: str) -> np.ndarray:
    return encode_control(kind, [SPHERE])[0].permute(1, 2, 0).numpy()


@pytest.mark.parametrize("kind", CONTROL_KINDS)
def test_shape_range_and_kind(kind: str) -> None:
    tensor = encode_control(kind, [SPHERE, SPHERE])
    assert tensor.shape == (2, 3, 64, 96)
    assert tensor.dtype.is_floating_point
    assert 0 <= tensor.min() < tensor.max() <= 1
    assert kind in ENCODERS


def test_depth_is_white_when_near() -> None:
    depth = encoded("depth")
    assert depth[MIDDLE].tolist() == pytest.approx([1, 1, 1], abs=0.01)
    assert depth[MIDDLE][0] > depth[LEFT][0] > depth[CORNER][0] == 0


def test_normals_are_red_to_the_left_green_upwards_blue_to_the_camera() -> None:
    normal = encoded("normal")
    assert normal[MIDDLE].tolist() == pytest.approx([0.5, 0.5, 1], abs=0.05)
    assert normal[LEFT][0] > 0.8
    assert normal[TOP][1] > 0.8
    assert normal[CORNER].tolist() == [0.5, 0.5, 1]


@pytest.mark.parametrize("kind", ["canny", "lineart", "softedge", "scribble", "mlsd"])
def test_lines_are_white_on_black(kind: str) -> None:
    lines = encoded(kind)
    assert lines[CORNER].max() == 0
    assert lines[MIDDLE].max() == 0
    assert 0.01 < lines.mean() < 0.2


def test_adapters_of_one_channel_get_one() -> None:
    assert encode_control("canny", [SPHERE], channels=1).shape == (1, 1, 64, 96)


def test_images_become_zero_to_one() -> None:
    image = np.full((64, 96, 3), 255, dtype=np.uint8)
    tensor = encode_images([image, image // 5])
    assert tensor.shape == (2, 3, 64, 96)
    assert tensor[0].max() == 1
    assert tensor[1].max().item() == pytest.approx(0.2)
