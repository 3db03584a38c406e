"""Every measure on cases whose answers are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import trimesh

from mfgviz.requests import View
from workers.evaluation.bars import BARS, FIDELITY_BAR
from workers.evaluation.colour import delta_e_2000, lab, lit_colour, obeys_colour
from workers.evaluation.distances import frechet_distance, inception_score, kernel_distance
from workers.evaluation.packing import absolute, pack, relative, unpack
from workers.evaluation.shapes import boundary_f1, differing, has_more, iou, open_holes, otsu
from workers.geometry import ControlMaps, control_maps, make_camera
from workers.geometry.reading import _smooth_patches
from workers.judge.measures import auc, edge_scores, explained_edges, picture_edges, ssim

N = 96
ROWS, COLUMNS = np.mgrid[:N, :N]


def disc(row: float = 48, column: float = 48, radius: float = 30) -> np.ndarray:
    return np.asarray(np.hypot(ROWS - row, COLUMNS - column) <= radius)


def painted(mask: np.ndarray, colour: tuple[float, float, float], ground: float = 0.9) -> np.ndarray:
    return np.where(mask[..., None], np.array(colour), ground)


# -- outlines and holes -----------------------------------------------------------------------------------
def test_two_colours_of_one_part_show_its_outline_and_a_coloured_glow_does_not() -> None:
    true = disc()
    red, blue = painted(true, (0.7, 0.1, 0.1)), painted(true, (0.1, 0.2, 0.7))
    near = disc(radius=40) & ~true
    red[near] = (0.92, 0.86, 0.86)
    blue[near] = (0.86, 0.87, 0.92)
    found = differing(red, blue)
    assert iou(found, true) == 1
    assert boundary_f1(found, true) == 1


def test_an_outline_that_is_off_by_one_pixel_passes_and_by_three_does_not() -> None:
    assert boundary_f1(disc(column=49), disc()) > 0.99
    assert boundary_f1(disc(column=51), disc()) < 0.75
    assert iou(disc(column=51), disc()) < 0.95
    assert iou(disc(), disc()) == 1


def test_otsu_parts_two_heaps() -> None:
    values = np.concatenate([np.full(500, 0.1), np.full(100, 0.8)])
    assert 0.1 < otsu(values) < 0.8


@pytest.mark.parametrize(("filled", "expected"), [([], (2, 2)), ([0], (1, 2)), ([0, 1], (0, 2))])
def test_holes_are_open_where_what_is_behind_shows(filled: list[int], expected: tuple[int, int]) -> None:
    holes = [disc(40, 36, 5), disc(56, 60, 6)]
    mask = (disc() & ~holes[0] & ~holes[1]).astype(np.float32)
    drawn = mask > 0.5
    for number in filled:
        drawn |= holes[number]
    assert open_holes(drawn, mask) == expected


def test_holes_too_small_to_be_looked_through_do_not_count() -> None:
    mask = (disc() & ~disc(radius=2.5)).astype(np.float32)
    assert open_holes(mask > 0.5, mask) == (0, 0)


# -- rounded edges ------------------------------------------------------------------------------------------
ARC = np.linspace(0, np.pi / 2, 9)


def hub(*, rim: float = 0, corner: float = 0) -> ControlMaps:
    """A flange with a hub, seen from above, its rim rounded off, the corner below the hub filled, mm."""
    outer = [(10 - rim + rim * np.cos(a), 4 - rim + rim * np.sin(a)) for a in ARC]
    inner = [(5 + corner - corner * np.sin(a), 4 + corner - corner * np.cos(a)) for a in ARC]
    line = [(0, 0), (10, 0), *(outer if rim else outer[:1]), *(inner if corner else inner[:1]), (5, 12)]
    made = trimesh.creation.revolve([*line, (0, 12)], sections=96)
    mesh = _smooth_patches(np.asarray(made.vertices), np.asarray(made.faces), "hub")
    framed = np.array([[-10.0, -10, 0], [10, 10, 12]])
    return control_maps(mesh, make_camera(View("iso"), framed, 256, 256), 256, 256)


def test_a_filled_corner_is_more_and_a_rounded_rim_is_less() -> None:
    sharp = hub()
    assert has_more(sharp, hub(corner=2))
    assert not has_more(sharp, hub(rim=2))
    assert not has_more(hub(corner=2), sharp)
    assert has_more(hub(rim=2), sharp)


@pytest.mark.parametrize(("scale", "offset"), [(0.7, 0.0), (0.7, 0.3)])
def test_what_is_more_is_told_where_depths_have_another_scale(scale: float, offset: float) -> None:
    for other, expected in ((hub(corner=2), True), (hub(rim=2), False)):
        moved = np.where(other.mask > 0.5, other.depth * scale + offset, 0).astype(np.float32)
        assert has_more(hub(), replace(other, depth=moved)) is expected


# -- edges ------------------------------------------------------------------------------------------------
def test_edges_of_a_disc_are_found_and_nothing_else() -> None:
    true = disc() & ~disc(radius=29)
    picture = painted(disc(), (0.2, 0.3, 0.4))
    precision, recall, f1 = edge_scores(picture, true)
    assert (precision, recall, f1) == (1, 1, 1)


def test_an_edge_that_the_true_picture_has_is_explained_and_another_is_not() -> None:
    true, everywhere = disc() & ~disc(radius=29), np.ones(disc().shape, bool)
    plain, lit = painted(disc(), (0.2, 0.3, 0.4)), painted(disc(), (0.2, 0.3, 0.4))
    lit[disc(radius=8)] = 0.9  # a lamp that the part mirrors
    assert explained_edges(plain, true, plain, everywhere) == 1
    assert explained_edges(lit, true, lit, everywhere) == 1
    assert edge_scores(lit, true)[0] < 0.95
    assert explained_edges(lit, true, plain, everywhere) == edge_scores(lit, true)[0]


def test_an_invented_edge_costs_precision_and_a_missing_one_recall() -> None:
    picture = painted(disc(), (0.2, 0.3, 0.4))
    true = disc() & ~disc(radius=29)
    picture[30:66, 47:49] = 0.7
    precision, recall, _ = edge_scores(picture, true)
    assert precision < 0.85
    assert recall == 1
    inner = disc(radius=12) & ~disc(radius=11)
    precision, recall, _ = edge_scores(painted(disc(), (0.2, 0.3, 0.4)), true | inner)
    assert precision == 1
    assert recall < 0.8


@pytest.mark.parametrize(("levels", "found"), [(8, False), (20, False), (40, True)])
def test_an_edge_is_a_step_of_some_thirty_levels(levels: int, found: bool) -> None:
    picture = np.full((N, N, 3), 0.4)
    picture[:, N // 2 :] += levels / 255
    assert picture_edges(picture)[N // 2].any() == found


def test_a_weak_edge_counts_where_it_goes_on_from_a_strong_one() -> None:
    picture = np.full((N, N, 3), 0.4)
    picture[: N // 2, N // 2 :] += 40 / 255
    picture[N // 2 :, N // 2 :] += 20 / 255
    assert picture_edges(picture)[3 * N // 4].any()


def test_a_flat_picture_has_no_edges() -> None:
    assert not picture_edges(np.full((N, N, 3), 0.5)).any()


# -- likeness ---------------------------------------------------------------------------------------------
def test_ssim_is_one_for_equal_pictures_and_falls_with_noise() -> None:
    picture = painted(disc(), (0.2, 0.5, 0.3))
    noise = np.random.default_rng(0).normal(0, 0.1, picture.shape)
    assert ssim(picture, picture) == pytest.approx(1)
    assert ssim(picture, np.clip(picture + noise, 0, 1)) < 0.7


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [  # from Sharma, Wu and Dalal (2005), table 1
        ((50, 2.6772, -79.7751), (50, 0, -82.7485), 2.0425),
        ((50, 2.5, 0), (73, 25, -18), 27.1492),
        ((50, 2.49, -0.001), (50, -2.49, 0.0011), 7.2195),
        ((60.2574, -34.0099, 36.2677), (60.4626, -34.1751, 39.4387), 1.2644),
        ((2.0776, 0.0795, -1.1350), (0.9033, -0.0636, -0.5514), 0.9082),
        ((50, 0, 0), (50, -1, 2), 2.3669),
    ],
)
def test_ciede2000_by_the_published_pairs(
    first: tuple[float, ...], second: tuple[float, ...], expected: float
) -> None:
    assert float(delta_e_2000(np.array(first), np.array(second))) == pytest.approx(expected, abs=1e-4)


def test_lab_of_white_black_and_red() -> None:
    found = lab(np.array([[1.0, 1, 1], [0, 0, 0], [1, 0, 0]]))
    assert found == pytest.approx(np.array([[100, 0, 0], [0, 0, 0], [53.24, 80.09, 67.2]]), abs=0.05)


# -- colours ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("colour", "name", "right"),
    [
        ((0.75, 0.08, 0.09), "red", True),
        ((0.75, 0.08, 0.09), "orange", False),
        ((0.6, 0.45, 0.45), "red", False),
        ((0.1, 0.25, 0.66), "blue", True),
        ((0.9, 0.9, 0.89), "white", True),
        ((0.5, 0.5, 0.5), "white", False),
        ((0.45, 0.46, 0.47), "grey", True),
        ((0.08, 0.08, 0.09), "black", True),
        ((0.45, 0.46, 0.47), "black", False),
    ],
)
def test_paints_have_their_hue(colour: tuple[float, float, float], name: str, right: bool) -> None:
    assert obeys_colour(painted(disc(), colour), disc(), name) is right


def test_shadows_and_highlights_do_not_say_what_colour_a_part_has() -> None:
    picture = painted(disc(), (0.7, 0.1, 0.1))
    picture[disc() & (COLUMNS < 40)] = 0.02
    picture[disc(radius=4)] = 1.0
    hue, saturation, _ = lit_colour(picture, disc())
    assert (hue, saturation) == (pytest.approx(0, abs=1), pytest.approx(6 / 7, abs=0.01))


# -- sets of pictures -------------------------------------------------------------------------------------
def test_auc_counts_how_often_the_genuine_score_higher() -> None:
    assert auc([0.9, 0.8], [0.1, 0.2]) == 1
    assert auc([0.1], [0.9]) == 0
    assert auc([0.5, 0.5], [0.5]) == 0.5
    assert auc([0.9, 0.3], [0.5]) == 0.5


def test_distances_of_a_set_from_itself_and_from_a_moved_one() -> None:
    some = np.random.default_rng(0).normal(size=(200, 4))
    moved = some + np.array([3.0, 0, 0, 0])
    assert frechet_distance(some, some) == pytest.approx(0, abs=1e-3)
    assert frechet_distance(some, moved) == pytest.approx(9, rel=0.01)
    assert kernel_distance(some, moved) > kernel_distance(some, some) + 1


def test_inception_score_is_the_number_of_classes_at_best() -> None:
    assert inception_score(np.eye(5)) == pytest.approx(5, rel=1e-3)
    assert inception_score(np.full((5, 5), 0.2)) == pytest.approx(1)


def test_bars_know_their_side() -> None:
    assert BARS["ssim"].is_met(0.9)
    assert not BARS["delta_e_part"].is_met(9)
    assert BARS["family_gap"].is_met(-0.01)
    assert not FIDELITY_BAR.is_met(0.96)


# -- STEP files with distances ----------------------------------------------------------------------------
STEP = b"ISO;\nDATA;\n#1 = A('',#3);\n#3 = B((#1,\n    #4));\n#4 = C(1.5,#1);\nENDSEC;\nEND-ISO-10303-21;\n"


def test_packed_step_files_come_back_as_they_were() -> None:
    assert absolute(relative(STEP)) == STEP
    assert b"#+1=" in relative(STEP)
    files = unpack(pack({"a.step": STEP, "b.step": STEP}))
    assert {name: absolute(text) for name, text in files.items()} == {"a.step": STEP, "b.step": STEP}
