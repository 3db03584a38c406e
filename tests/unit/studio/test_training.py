"""The training stages on the smoke preset: they run, go on from where they stopped, and end in a pipeline."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from tests.unit.studio.maps_for_tests import ball
from workers.studio import StudioPipeline, control_tensor
from workers.studio.training import cameras
from workers.studio.training.captions import caption, random_words
from workers.studio.training.config import TrainingConfig, load_config
from workers.studio.training.decoder import make_predictions, train_decoder
from workers.studio.training.denoiser import checkpoint_path, train_denoiser
from workers.studio.training.distill import train_distilled
from workers.studio.training.export import export
from workers.studio.training.maps import from_bytes, to_bytes
from workers.studio.training.networks import new_scheduler
from workers.studio.training.nouns import HELD_OUT
from workers.studio.training.pack import load_pack, make_pack, training_rows
from workers.studio.training.text import train_text


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> TrainingConfig:
    """All stages after rendering, over pictures of a ball that took no path tracer."""
    patch = pytest.MonkeyPatch()
    patch.setenv("MFGVIZ_TRAINING_DIR", str(tmp_path_factory.mktemp("training")))
    config = load_config("smoke")
    for name in ("renders", "maps"):
        (config.folder / name).mkdir(parents=True)
    rng = np.random.default_rng(0)
    stored = to_bytes(control_tensor(ball())[0])
    for part, family in enumerate(("plate", "gear", "impeller")):
        name = f"{part:05d}-0"
        pixels = rng.integers(0, 255, (8, 8, 3)).astype(np.uint8)
        Image.fromarray(pixels).resize((64, 64)).save(config.folder / "renders" / f"{name}-0.png")
        known = {"part": part, "family": family, "held_out": family in HELD_OUT, "camera_number": 0}
        entry = known | {"size_px": 64, "words": random_words(rng)["words"]}
        (config.folder / "renders" / f"{name}-0.json").write_text(json.dumps(entry))
        np.save(config.folder / "maps" / f"{name}.npy", stored)
    make_pack(config)
    train_text(config)
    train_denoiser(config)
    train_distilled(config)
    make_predictions(config)
    train_decoder(config)
    yield config
    patch.undo()


def test_held_out_families_are_not_trained_on(trained) -> None:
    pack = load_pack(trained)
    families = {pack.entries[int(row)]["family"] for row in training_rows(pack)}
    assert families == {"plate", "gear"}


def test_a_stage_goes_on_from_its_checkpoint(trained) -> None:
    before = torch.load(checkpoint_path(trained), weights_only=True)
    minutes = before["spent_s"] / 60 - trained.minutes_crops + 0.01
    train_denoiser(replace(trained, minutes_denoiser=minutes))
    after = torch.load(checkpoint_path(trained), weights_only=True)
    assert after["steps"] > before["steps"]
    assert after["spent_s"] > before["spent_s"]


def test_export_makes_a_half_precision_folder_that_renders(trained, tmp_path) -> None:
    assert export(trained, tmp_path) > 0
    pipeline = StudioPipeline.from_pretrained(tmp_path)
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(
        ["brass"], control_image=control_tensor(ball()), num_inference_steps=2, output_type="np"
    ).images
    assert images.shape == (1, 64, 64, 3)
    assert np.isfinite(images).all()


def test_the_schedule_ends_in_pure_noise() -> None:
    scheduler = new_scheduler()
    assert float(scheduler.alphas_cumprod[-1]) < 1e-6
    scheduler.set_timesteps(10)
    assert int(scheduler.timesteps[0]) == 999


def test_captions_name_what_is_there() -> None:
    rng = np.random.default_rng(1)
    words = {"kind": "brass", "finish": "polished", "colour": None, "light": "studio", "floor": "white"}
    texts = {caption({"family": "gear", "words": words}, rng) for _ in range(60)}
    assert len(texts) > 30
    assert all("brass" in text for text in texts)
    assert any("white" not in text for text in texts)


def test_stored_control_maps_come_back() -> None:
    control = control_tensor(ball())
    again = from_bytes(torch.from_numpy(to_bytes(control[0]))[None])
    torch.testing.assert_close(again, control, atol=0.01, rtol=0)


@pytest.mark.parametrize("seed", range(8))
def test_cameras_frame_the_whole_part(seed) -> None:
    rng = np.random.default_rng(seed)
    points = rng.uniform(-40, 40, (200, 3)) * [1, 0.4, 2]
    camera = cameras.draw_camera(rng, points)
    again = cameras.camera_from_json(json.loads(json.dumps(camera.as_json())))
    assert again == camera
    from workers.studio.training.maps import product_camera

    seen = product_camera(camera).project(points)
    reach = np.abs(seen[:, :2]).max()
    assert 0.6 < reach <= 0.95
    assert (seen[:, 2] > 0).all()


def test_settings_that_do_not_exist_are_refused(tmp_path) -> None:
    (tmp_path / "own.toml").write_text("part = 3\n")
    with pytest.raises(ValueError, match="part"):
        load_config(str(tmp_path / "own.toml"))
