"""What the judge's training counts once more: loud false alarms, and defects that nothing is said of."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from scipy import ndimage

from workers.geometry.maps import control_maps
from workers.geometry.reading import read_mesh
from workers.judge.pooling import Calibration, fit
from workers.studio.control import control_tensor
from workers.studio.training.cameras import draw_camera
from workers.studio.training.defects import plant_several, scene_of
from workers.studio.training.differences import (
    COUNTED_PX,
    LEAST_CHANGED_PX,
    changed,
    counted,
    targets,
    visible_px,
)
from workers.studio.training.families import FAMILIES
from workers.studio.training.judge import LOUDEST, hard_loss
from workers.studio.training.judge_tables import Judged, table
from workers.studio.training.maps import product_camera, to_bytes
from workers.studio.training.solids import write_step


def test_loud_places_count_where_nothing_differs() -> None:
    quiet, answers = torch.full((1, 3, 32, 32), -8.0), torch.zeros(1, 3, 32, 32)
    loud = quiet.clone()
    loud[:, 1, 4:12, 4:12] = 4.0
    assert hard_loss(quiet, answers) < 0.01 < hard_loss(loud, answers)


def test_a_defect_has_to_be_said() -> None:
    quiet, answers = torch.full((1, 3, 32, 32), -8.0), torch.zeros(1, 3, 32, 32)
    answers[:, 0, 4:12, 4:12] = 1
    said = quiet.clone()
    said[:, 0, 4:12, 4:12] = 8.0
    assert hard_loss(said, answers) < 0.1 < hard_loss(quiet, answers)
    answers[:, 0, 5:] = 0
    assert answers.sum() < LOUDEST
    assert hard_loss(quiet, answers) < 0.01  # too little to be seen


def test_every_thing_that_differs_has_to_be_said_not_the_loudest_alone() -> None:
    answers = torch.zeros(1, 3, 32, 32)
    answers[:, 0, 4:9, 4:9] = answers[:, 0, 20:25, 20:25] = 1
    one = torch.full((1, 3, 32, 32), -8.0)
    one[:, 0, 4:9, 4:9] = 8.0
    both = one.clone()
    both[:, 0, 20:25, 20:25] = 8.0
    assert hard_loss(both, answers) < 0.1 < hard_loss(one, answers)


def test_pictures_differ_visibly_only_where_the_maps_do_and_not_by_noise() -> None:
    rng = np.random.default_rng(0)
    first = np.full((64, 64, 3), 120, np.uint8)
    noisy = np.clip(first + rng.normal(0, 9, first.shape), 0, 255).astype(np.uint8)
    where = np.zeros((64, 64), bool)
    where[30:36, 30:36] = True
    noise = visible_px(first, noisy, where)
    noisy[30:36, 30:36] //= 2
    assert noise < LEAST_CHANGED_PX <= 36 <= visible_px(first, noisy, where)
    assert visible_px(first, noisy, np.roll(where, 20, 0)) < LEAST_CHANGED_PX


def test_maps_that_differ_by_specks_alone_do_not_differ() -> None:
    one = np.full((8, 32, 32), 128, np.uint8)
    other = one.copy()
    other[0, ::6, ::6] = 255
    assert not changed(one, other).any()
    other[0, 10:14, 10:14] = 255
    assert changed(one, other).sum() == 16


def test_pixels_of_larger_maps_count_less() -> None:
    one = np.full((8, COUNTED_PX, COUNTED_PX), 128, np.uint8)
    other = one.copy()
    other[0, 10:15, 10:15] = 255
    twice = [np.repeat(np.repeat(maps, 2, 1), 2, 2) for maps in (one, other)]
    assert counted(changed(one, other)) == counted(changed(*twice)) == 25
    other[0, 10:15, 10:15] = 128
    other[0, 10:13, 10:13] = 255  # nine pixels; four times as many of a map of twice the size
    twice[1] = np.repeat(np.repeat(other, 2, 1), 2, 2)
    assert not changed(one, other).any()
    assert not changed(*twice).any()


def test_several_defects_are_planted_where_the_camera_sees_them(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    shape = FAMILIES["bracket"](rng)
    write_step(shape, tmp_path / "a.step")
    mesh = read_mesh(tmp_path / "a.step", "step")
    camera = product_camera(draw_camera(rng, mesh.vertices))
    scene = scene_of(shape, mesh, camera)
    made = plant_several(scene, rng)
    assert made is not None
    write_step(made, tmp_path / "b.step")
    packed = [
        to_bytes(control_tensor(control_maps(one, camera, 256, 256))[0])
        for one in (mesh, read_mesh(tmp_path / "b.step", "step"))
    ]
    _, things = ndimage.label(targets(*packed).max(0) > 0, np.ones((3, 3)))
    assert things >= 2


def test_few_pictures_of_a_kind_may_count_as_much_as_many() -> None:
    rng = np.random.default_rng(0)
    genuine = np.array([True] * 60 + [False] * 60)
    features = rng.normal(size=(120, 2))
    features[60:110, 0] += 3
    features[110:, 1] += 3
    counts = np.array([1.0] * 60 + [1 / 50] * 50 + [1 / 10] * 10)
    alike, plain = fit(features, list(genuine), 0.5, counts=counts), fit(features, list(genuine), 0.5)
    assert alike.weights[1] / alike.weights[0] > plain.weights[1] / plain.weights[0]


def test_the_table_says_what_each_threshold_rejects() -> None:
    probabilities = [0.99, 0.92, 0.8, 0.97, 0.6, 0.4]
    logits = np.log(np.array(probabilities) / (1 - np.array(probabilities)))
    kinds = ["genuine", "genuine", "genuine", "genuine", "extra bolt", "extra bolt"]
    judged = Judged(
        [kind == "genuine" for kind in kinds], kinds,
        ["truth", "truth", "studio", "studio", "truth", "studio"], [0] * 4 + [50, 20],
        list(logits[:, None]), [], [],
    )  # fmt: skip
    told = table(judged, Calibration((0.0,), (1.0,), (1.0,), 0.0))
    assert told["false_reject"] == {
        "truth": {"0.3": 0.0, "0.5": 0.0, "0.7": 0.0, "0.9": 0.0, "0.95": 0.5},
        "studio": {"0.3": 0.0, "0.5": 0.0, "0.7": 0.0, "0.9": 0.5, "0.95": 0.5},
    }
    bolts = told["auc"]["extra bolt"]
    assert bolts["rejected"] == {"0.3": 0.0, "0.5": 0.5, "0.7": 1.0, "0.9": 1.0, "0.95": 1.0}
    assert (bolts["count"], bolts["fidelity"]) == (2, 1.0)


def test_a_missing_library_leaves_no_part_out_and_two_crashes_do(tmp_path: Path) -> None:
    begin = f"""
import os, sys
from pathlib import Path
from workers.studio.training import pairs

def make(*_):
    if sys.argv[1] == "crash":
        os._exit(139)
    if sys.argv[1] == "mistake":
        raise AttributeError("no such thing")
    raise ModuleNotFoundError("No module named 'mitsuba'")

pairs._make_case = make
pairs.make_pairs(pairs.PairsConfig(Path({str(tmp_path)!r}), cases=1, held_out_cases=0))
"""
    ends = [
        subprocess.run([sys.executable, "-c", begin, how], capture_output=True, text=True, check=False)
        for how in ("library", "mistake", "library", "crash", "crash")
    ]
    assert [one.returncode for one in ends] == [1, 1, 1, 139, 139], ends
    assert "No module named 'mitsuba'" in ends[0].stderr
    assert not list(tmp_path.glob("*/case.json"))
    third = subprocess.run(
        [sys.executable, "-c", begin, "crash"], capture_output=True, text=True, check=False
    )
    assert third.returncode == 0
    assert "begun 2 times and never finished" in third.stdout
    assert list(tmp_path.glob("*/case.json"))
