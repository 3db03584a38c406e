"""Control maps, held against shapes whose pictures are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import trimesh

from mfgviz.requests import View
from mfgviz.vocabulary import Projection
from tests.unit.geometry.blocks import Block, WriteStep
from workers.geometry import (
    ControlMaps,
    FolderCache,
    Mesh,
    cached_maps,
    control_maps,
    make_camera,
    tessellate,
)
from workers.geometry.reading import _smooth_patches

SIZE = 192


def seen(mesh: Mesh, view: View, size: int = SIZE) -> ControlMaps:
    return control_maps(mesh, make_camera(view, mesh.vertices, size, size), size, size)


@pytest.fixture(scope="module")
def ball() -> Mesh:
    made = trimesh.creation.icosphere(subdivisions=5, radius=10)
    return _smooth_patches(np.asarray(made.vertices), np.asarray(made.faces), "ball")


@pytest.fixture
def block(write_step: WriteStep) -> Mesh:
    return tessellate(write_step(Block().shape()))


def test_a_ball_is_a_disc_with_round_normals(ball: Mesh) -> None:
    maps = seen(ball, View("front", Projection.ORTHOGRAPHIC, margin=0.1))
    radius = 0.8 * SIZE / 2
    assert maps.mask.sum() == pytest.approx(np.pi * radius**2, rel=5e-3)
    y, x = np.mgrid[0:SIZE, 0:SIZE]
    x, y = (x + 0.5 - SIZE / 2) / radius, (SIZE / 2 - y - 0.5) / radius
    inside = x**2 + y**2 < 0.9
    expected = np.stack([x, y, np.sqrt(np.clip(1 - x**2 - y**2, 0, 1))], axis=2)
    assert np.abs(maps.normal - expected)[inside].max() < 0.03
    assert maps.depth[SIZE // 2, SIZE // 2] == pytest.approx(1.0, abs=1e-3)
    assert maps.depth[maps.mask > 0.99].min() >= 0.1


def test_a_smooth_ball_has_no_edge_but_its_silhouette(ball: Mesh) -> None:
    maps = seen(ball, View("front", Projection.ORTHOGRAPHIC, margin=0.1))
    y, x = np.mgrid[0:SIZE, 0:SIZE] + 0.5 - SIZE / 2
    distance = np.hypot(x, y)
    assert maps.edges[distance < 0.8 * SIZE / 2 - 3].max() == 0
    ring = np.abs(distance - 0.8 * SIZE / 2) < 0.8
    assert maps.edges[ring].mean() > 0.4


def test_from_above_a_through_hole_shows_what_is_behind(block: Mesh) -> None:
    maps = seen(block, View("top", Projection.ORTHOGRAPHIC, margin=0.0))
    scale = SIZE / 60
    row, column = SIZE / 2 + (20 - 14) * scale, 12 * scale
    assert maps.mask[int(row), int(column)] == 0
    assert maps.mask.sum() == pytest.approx((60 * 40 - np.pi * 36) * scale**2, rel=5e-3)


def test_creases_are_found_and_seams_are_not(block: Mesh) -> None:
    maps = seen(block, View("top", Projection.ORTHOGRAPHIC, margin=0.0), 240)
    scale = 240 / 60
    step_edge = maps.edges[int(120 + (20 - 8) * scale), int(45 * scale) - 3 : int(45 * scale) + 3]
    assert step_edge.max() > 0.5
    plain = maps.edges[int(120 - 10 * scale), int(25 * scale) : int(55 * scale)]
    assert plain.max() == 0


def test_the_mirrored_camera_sees_the_mirrored_part(write_step: WriteStep) -> None:
    view = View("top", Projection.ORTHOGRAPHIC, margin=0.1)
    one = seen(tessellate(write_step(Block().shape())), view)
    other = seen(tessellate(write_step(Block(mirrored=True).shape())), view)
    assert np.abs(one.mask - other.mask[:, ::-1]).mean() < 2e-3
    assert np.abs(one.mask - other.mask).mean() > 2e-2


def test_corners_are_darker_than_open_faces_and_the_floor_has_a_shadow(write_step: WriteStep) -> None:
    maps = seen(tessellate(write_step(Block().shape())), View("iso"))
    inside = maps.mask > 0.99
    assert maps.occlusion[inside].min() < 0.6 < 0.95 < maps.occlusion[inside].max()
    assert maps.clay[maps.mask == 0].min() < 0.9
    assert maps.clay[0, 0] == 1.0
    below = seen(tessellate(write_step(Block().shape())), View("bottom"))
    assert below.clay[below.mask == 0].min() == 1.0


def test_the_same_input_gives_the_same_bits_and_survives_storage(block: Mesh) -> None:
    first, second = seen(block, View("iso"), 96), seen(block, View("iso"), 96)
    for name, value in first.items():
        assert np.array_equal(value, getattr(second, name)), name
    again = ControlMaps.from_bytes(first.to_bytes())
    for name, value in first.items():
        assert np.abs(value - getattr(again, name)).max() < 1e-4, name
    assert np.array_equal(Mesh.from_bytes(block.to_bytes()).vertices, block.vertices)
    assert Mesh.from_bytes(block.to_bytes()).surfaces == block.surfaces


def test_maps_become_pictures(block: Mesh) -> None:
    maps = seen(block, View("iso"), 64)
    assert all(maps.to_png(name).startswith(b"\x89PNG") for name, _ in maps.items())
    assert maps.sheet().size == (192, 128)


def test_maps_that_are_made_have_the_bits_of_maps_that_are_found(block: Mesh, tmp_path: Path) -> None:
    cache = FolderCache(tmp_path, 1 << 30)
    made, found = (cached_maps(cache, "a" * 64, lambda: block, View("iso"), (64, 48)) for _ in range(2))
    for (_, first), (_, second) in zip(made.items(), found.items(), strict=True):
        assert np.array_equal(first, second)
