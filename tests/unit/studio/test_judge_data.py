"""What the judge learns from: pictures in several looks, and answers that they show."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tests.unit.studio.maps_for_tests import ball
from workers.studio.control import control_tensor
from workers.studio.training import judge_data
from workers.studio.training.config import TrainingConfig, load_config
from workers.studio.training.differences import changed, only_visible, targets, visibly_apart
from workers.studio.training.judge import Drawn, JudgeConfig, train
from workers.studio.training.judge_data import CROP_PX, WINDOW_PX, Genuine, PairsData, draw_pair
from workers.studio.training.maps import to_bytes
from workers.studio.training.pairs import PairsConfig, looks_of, picture_name, read_cases, words_path

BOLT = (slice(30, 38), slice(26, 34))
HIDDEN_LOOK = 1


def write_case(folder: Path, size_px: int = 64) -> None:
    """A ball and one with a bolt, in a look that shows it and in one that does not."""
    folder.mkdir(parents=True)
    own = to_bytes(control_tensor(ball(size_px))[0])
    bolted = own.copy()
    bolted[:3, *BOLT] = 255 - bolted[:3, *BOLT]
    bolted[5, *BOLT] = 255
    np.savez_compressed(folder / "maps.npz", maps=np.stack([own, bolted]))
    versions = [{"kind": kind, "pictured": True} for kind in ("genuine", "several defects")]
    words = {"light": "studio", "floor": "white", "kind": "steel", "finish": "plain", "colour": None}
    case = {"family": "plate", "words": words, "versions": versions}
    (folder / "case.json").write_text(json.dumps(case))
    words_path(folder, HIDDEN_LOOK).write_text(json.dumps(words | {"kind": "rubber"}))
    for look in range(2):
        for version in range(2):
            picture = np.full((size_px, size_px, 3), 90, np.uint8)
            if version and look != HIDDEN_LOOK:
                picture[BOLT] = 180
            Image.fromarray(picture).save(folder / picture_name("picture", version, look))


@pytest.fixture
def run(tmp_path, monkeypatch) -> TrainingConfig:
    """A training run whose pairs are one case."""
    monkeypatch.setenv("MFGVIZ_TRAINING_DIR", str(tmp_path))
    config = load_config("smoke")
    write_case(PairsConfig.of(config).folder / "train-0000")
    return config


def the_case(run: TrainingConfig) -> dict[str, Any]:
    (case,) = read_cases(PairsConfig.of(run), held_out=False)
    return case


def test_every_look_of_every_version_is_read(run) -> None:
    case = the_case(run)
    assert [words["kind"] for words in looks_of(case)] == ["steel", "rubber"]
    pictures = PairsData([case]).pictures[0]
    assert [(one.version, one.look) for one in pictures] == [(0, 0), (1, 0), (0, 1), (1, 1)]
    words_path(case["folder"], HIDDEN_LOOK).unlink()  # a look that is not finished is none
    assert len(PairsData([case]).pictures[0]) == 2


def test_a_bolt_that_a_look_does_not_show_is_not_asked_for(run) -> None:
    data = PairsData([the_case(run)])
    shown, hidden = (data.answer(0, number, told=0) for number in (1, 3))
    assert shown.sum() > 10
    assert not hidden.any()
    assert (data.answer(0, 1, told=0) == shown).all()  # the kept one


def test_parts_are_foreign_to_parts_of_their_own_size(run, monkeypatch) -> None:
    monkeypatch.setattr(judge_data, "ANYWHERE", 0.0)
    monkeypatch.setattr(judge_data, "FOREIGN", 1.0)
    folder = PairsConfig.of(run).folder
    write_case(folder / "train-0001", 128)
    data = PairsData(read_cases(PairsConfig.of(run), held_out=False))
    rng = np.random.default_rng(0)
    sizes = {len(one.picture) for _ in range(12) for one in draw_pair(data, rng)}
    assert sizes == {64, CROP_PX}


def test_each_thing_is_asked_for_where_its_own_place_shows_it() -> None:
    first = np.full((64, 64, 3), 90, np.uint8)
    second = first.copy()
    second[4:12, 4:12] = 140
    answers = np.zeros((3, 32, 32), np.float32)
    answers[1, 2:6, 2:6] = answers[2, 20:24, 20:24] = 1
    left = only_visible(answers, first, second)
    assert left[1].sum() == 16
    assert not left[2].any()
    assert not visibly_apart(first, first).any()


def test_a_depth_that_is_told_on_another_scale_is_the_same_depth(run) -> None:
    own = np.load(the_case(run)["folder"] / "maps.npz")["maps"][0]
    scaled = own.copy()
    scaled[3] = (own[3] * 0.7 + 20).astype(np.uint8)  # something else became the nearest, and the farthest
    assert not changed(own, scaled).any()
    scaled[3, 30:38, 26:34] += 40
    assert 64 <= changed(own, scaled).sum() <= 100
    assert not targets(own, own).any()


def test_a_step_sees_the_same_whether_it_was_reached_in_one_go_or_two(run) -> None:
    data, genuine = PairsData([the_case(run)]), Genuine(run)
    config = JudgeConfig(steps=3, crops=2, wholes=2, drawers=0)
    in_one_go = list(Drawn(data, genuine, config, 0))
    later = list(Drawn(data, genuine, config, 2))
    assert len(in_one_go) == 3
    assert len(later) == 1
    for first, second in zip(in_one_go[2], later[0], strict=True):
        for one, other in zip(first, second, strict=True):
            torch.testing.assert_close(one, other)


@pytest.mark.parametrize("size_px", [WINDOW_PX, 2 * WINDOW_PX])
def test_genuine_pictures_are_seen_at_the_size_they_were_rendered_at(run, size_px) -> None:
    entries = [
        {"name": f"{part:05d}-0-0", "part": part, "camera_number": 0, "held_out": False, "size_px": size}
        for part, size in enumerate((size_px, WINDOW_PX // 2))
    ]
    tensors = dict.fromkeys(("latents", "small", "control", "camera"), torch.zeros(2))
    torch.save(tensors, run.folder / "pack.pt")
    (run.folder / "pack.json").write_text(json.dumps(entries))
    for folder in ("renders", "maps"):
        (run.folder / folder).mkdir()
    white_ball = np.repeat((ball(size_px).mask * 255).astype(np.uint8)[..., None], 3, 2)
    Image.fromarray(white_ball).save(run.folder / "renders" / f"{entries[0]['name']}.png")
    # Maps may be of twice the size of a picture, never smaller.
    np.save(run.folder / "maps" / "00000-0.npy", to_bytes(control_tensor(ball(2 * WINDOW_PX))[0]))
    genuine = Genuine(run)
    assert len(genuine) == 1  # windows of the other would be too small
    for one in genuine.draw(8, np.random.default_rng(0)):
        assert one.picture.shape == (WINDOW_PX, WINDOW_PX, 3)
        assert one.maps.shape == (8, WINDOW_PX, WINDOW_PX)
        assert not one.answer.any()
        assert ((one.picture[..., 0] > 127) == (one.maps[4] > 127)).mean() > 0.99


def test_without_pairs_it_says_which_stage_is_missing(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MFGVIZ_TRAINING_DIR", str(tmp_path))
    with pytest.raises(FileNotFoundError, match="run the stage `pairs` first"):
        train(load_config("smoke"), JudgeConfig(steps=1), tmp_path / "judge.pt")


@pytest.mark.parametrize("bf16", [False, True])
def test_training_goes_on_from_its_checkpoint(run, tmp_path, bf16) -> None:
    run, checkpoint = replace(run, bf16=bf16), tmp_path / "judge.pt"
    config = JudgeConfig(steps=2, crops=2, wholes=2)
    train(run, config, checkpoint)
    before = torch.load(checkpoint, weights_only=True)
    network = train(run, replace(config, steps=3), checkpoint)
    after = torch.load(checkpoint, weights_only=True)
    assert (before["step"], after["step"]) == (2, 3)
    assert not torch.equal(before["network"]["head.weight"], after["network"]["head.weight"])
    assert torch.isfinite(network.head.weight).all()
