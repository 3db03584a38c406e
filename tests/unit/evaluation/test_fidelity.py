"""The judge with the weights that ship, on path-traced pictures of families that it was not trained on."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
import torch

from workers.evaluation.cases import PICTURE_PX, EvaluationSet
from workers.evaluation.sheets import over
from workers.families.testing import TinyMaps
from workers.fidelity import Fidelity, judge, load_judge, local_answers
from workers.geometry.maps import ControlMaps
from workers.judge.inputs import judge_input, working_control, working_size
from workers.judge.network import both_ways
from workers.judge.pooling import Calibration, fit
from workers.judge.regions import find_features, through_holes
from workers.studio.control import control_tensor

CASES = 5
N = 128
ROWS, COLUMNS = np.mgrid[:N, :N]


def disc(row: float, column: float, radius: float) -> np.ndarray:
    return np.asarray(np.hypot(ROWS - row, COLUMNS - column) <= radius)


# -- what the maps hold -----------------------------------------------------------------------------------
def plate(*, boss: bool = False) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mask, depth and edges of a square with a through-hole at (40, 40) and a pocket, or a boss, at
    (80, 90)."""
    hole, other = disc(40, 40, 6), disc(80, 90, 8)
    mask = (ROWS >= 16) & (ROWS < 112) & (COLUMNS >= 16) & (COLUMNS < 112) & ~hole
    depth = np.where(other, 0.9 if boss else 0.5, 0.7) * mask
    rims = (disc(80, 90, 9) & ~disc(80, 90, 8)) | (disc(40, 40, 7) & ~hole)
    return tuple(one.astype(np.float32) for one in (mask, depth, rims))  # type: ignore[return-value]


def test_through_holes_are_background_within_the_part() -> None:
    mask, _, _ = plate()
    (hole,) = through_holes(mask)
    assert np.array_equal(hole, disc(40, 40, 6))


@pytest.mark.parametrize(("boss", "kind"), [(False, "hole"), (True, "boss")])
def test_what_lies_deeper_is_a_hole_and_what_lies_nearer_a_boss(boss: bool, kind: str) -> None:
    found = find_features(*plate(boss=boss))
    assert sorted(one.kind for one in found) == sorted(["through-hole", kind])
    (other,) = (one for one in found if one.kind == kind)
    assert other.centre == pytest.approx((80, 90), abs=1)


# -- sizes ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("size", "expected"),
    [((1024, 1024), (512, 512)), ((768, 512), (768, 512)), ((256, 384), (256, 384)), ((64, 96), (256, 384))],
)
def test_the_shorter_side_is_judged_at_512_or_256(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert working_size(*size) == expected


def test_maps_of_twice_the_size_are_judged_as_those_of_the_size() -> None:
    large, small = (control_tensor(TinyMaps.of_sphere(n, n)) for n in (512, 256))
    found = working_control(large, (256, 256))
    on = small[0, 4] > 0.5
    assert (found[0, :3] - small[0, :3])[:, on].abs().mean() < 0.02
    assert (found[0, 3] - small[0, 3])[on].abs().mean() < 0.01


# -- numbers ----------------------------------------------------------------------------------------------
def test_calibration_learns_the_share_that_is_genuine() -> None:
    rng = np.random.default_rng(0)
    genuine = rng.random(4000) < 0.5
    features = rng.normal(size=(4000, 2)) + np.where(genuine, 1.0, -1.0)[:, None] * [1, 0]
    made = fit(features, list(genuine), prior=0.5, penalty=1e-6)
    told = made.probability(features)
    sure = (told > 0.85) & (told < 0.95)
    assert genuine[sure].mean() == pytest.approx(0.9, abs=0.04)
    assert Calibration.from_json(made.as_json()) == made
    careful = fit(features, list(genuine), prior=0.9, penalty=1e-6).probability(features)
    assert (careful[genuine] < 0.5).mean() < (told[genuine] < 0.5).mean()


def test_a_picture_and_its_mirror_image_are_judged_alike() -> None:
    maps = TinyMaps.of_sphere(256, 256)
    inputs = judge_input(np.full((256, 256, 3), 128, np.uint8), maps)
    turned = inputs.flip(-1)
    turned[:, 3] *= -1
    network = load_judge().network
    with torch.inference_mode():
        assert torch.allclose(both_ways(network, inputs), both_ways(network, turned).flip(-1), atol=1e-4)


# -- the judge --------------------------------------------------------------------------------------------
Judged = dict[str, list[Fidelity]]


@pytest.fixture(scope="module")
def judged() -> Judged:
    """Path-traced pictures beside their own maps, and beside those of a part with one difference."""
    having, found = EvaluationSet(), defaultdict(list)
    for case in [one for one in having.cases if one.held_out][:: max(1, len(having.cases) // CASES)]:
        own = having.maps(case, PICTURE_PX)
        found["genuine"].append(judge(case.truth, own))
        for defect in case.defects:
            found[defect.kind].append(judge(case.truth, having.defect_maps(case, defect)))
    return found


def test_genuine_pictures_pass(judged: Judged) -> None:
    assert min(one.probability for one in judged["genuine"]) > 0.5
    assert all(0 <= one.silhouette <= 1 and 0 <= one.edges <= 1 for one in judged["genuine"])


def test_other_parts_are_told_from_this_one(judged: Judged) -> None:
    genuine = [one.probability for one in judged["genuine"]]
    others = [one for kind in ("wrong part", "mirrored part") for one in judged[kind]]
    assert np.mean([one.probability for one in others]) < min(genuine) - 0.3
    told = [text for one in others for text in one.complaints]
    assert any("another part" in text or "mirror image" in text for text in told)


def test_answers_are_plain_json_and_places_are_in_the_picture(judged: Judged) -> None:
    one = judged["shifted pattern"][0]
    plain = one.as_json()
    assert set(plain) == {"probability", "scores", "complaints"}
    assert 0 <= plain["probability"] <= 1


def test_noise_and_a_flat_picture_show_no_part() -> None:
    maps = TinyMaps.of_sphere(512, 512)
    noise = np.random.default_rng(0).integers(0, 256, (512, 512, 3), dtype=np.uint8)
    for picture in (noise, np.full((512, 512, 3), 200, np.uint8)):
        found = judge(picture, maps)
        assert found.probability < 0.5
        assert found.complaints
    assert over(noise[:256, :256], local_answers(noise, maps)[:, :128, :128]).shape == (256, 256, 3)


def test_pictures_of_another_size_than_the_maps_are_refused() -> None:
    with pytest.raises(ValueError, match="control maps are"):
        judge(np.zeros((64, 64, 3), np.uint8), TinyMaps.of_sphere(128, 128))


def drilled(maps: ControlMaps, radius: float, floor: float = 0.0) -> ControlMaps:
    """A hole in the middle: through the part, or, where there is a floor, of that depth."""
    rows, columns = np.nonzero(maps.mask > 0.99)
    away = np.hypot(*(np.indices(maps.mask.shape) - np.median([rows, columns], axis=1)[:, None, None]))
    hole, rim = away <= radius, (away > radius) & (away <= radius + 1)
    through = hole & (floor == 0)
    return replace(
        maps,
        mask=np.where(through, 0, maps.mask),
        edges=np.maximum(np.where(hole, 0, maps.edges), rim.astype(np.float32)),
        depth=np.where(hole, floor, maps.depth).astype(np.float32),
        normal=np.where(through[..., None], 0, maps.normal),
    )


@pytest.fixture
def solid() -> tuple[np.ndarray, ControlMaps]:
    """A picture and its maps, of a part that has material in its middle."""
    having = EvaluationSet()
    case = next(one for one in having.cases if any(d.kind == "extra hole" for d in one.defects))
    return case.truth, having.maps(case, PICTURE_PX)


def test_a_hole_in_the_maps_that_the_picture_lacks_is_told_by_its_place(
    solid: tuple[np.ndarray, ControlMaps],
) -> None:
    picture, maps = solid
    found, before = judge(picture, drilled(maps, 9)), judge(picture, maps)
    assert found.probability < before.probability
    assert found.holes is not None


def test_a_hole_through_the_floor_of_another_one_is_not_told_twice(
    solid: tuple[np.ndarray, ControlMaps],
) -> None:
    picture, maps = solid
    floor = float(np.median(maps.depth[maps.mask > 0.99])) / 2
    found = judge(picture, drilled(drilled(maps, 16, floor), 9))
    assert found.holes is not None
    assert found.holes < 1
    assert sum(text.endswith("is missing.") for text in found.complaints) == 1
