"""The training stages on the smoke preset: they run, go on from where they stopped, and end in a pipeline."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

from tests.unit.studio.maps_for_tests import ball
from workers.studio import StudioPipeline, control_tensor
from workers.studio.training import cameras, decoder
from workers.studio.training.captions import caption, random_words
from workers.studio.training.config import TrainingConfig, load_config
from workers.studio.training.decoder import make_predictions, train_decoder
from workers.studio.training.denoiser import checkpoint_path, train_denoiser
from workers.studio.training.distill import DistillRun, guided, new_student, train_distilled
from workers.studio.training.evaluate import evaluate
from workers.studio.training.export import export, trained_pipeline
from workers.studio.training.maps import from_bytes, make_maps, to_bytes
from workers.studio.training.mirrors import fit_mirrors
from workers.studio.training.networks import new_scheduler
from workers.studio.training.nouns import ASSEMBLY_NOUNS
from workers.studio.training.pack import load_pack, make_pack, training_rows
from workers.studio.training.parts import make_parts, read_parts
from workers.studio.training.patterns import fit_patterns
from workers.studio.training.render import render_parts
from workers.studio.training.start import starting_point
from workers.studio.training.tessellation import training_mesh
from workers.studio.training.text import tokenize, train_text
from workers.studio.training.words import aligned, nearest_paint


def paint(config: TrainingConfig) -> None:
    """Pictures in place of path-traced ones, where mitsuba is not installed: noise, with true cameras."""
    folder = config.folder / "renders"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for part in read_parts(config):
        for look, size_px in enumerate((config.image_px, config.image_px // 2)):
            camera = cameras.draw_camera(rng, training_mesh(config, part).vertices)
            name = f"{part['part']:05d}-0-{look}"
            pixels = rng.integers(0, 255, (8, 8, 3)).astype(np.uint8)
            Image.fromarray(pixels).resize((size_px, size_px)).save(folder / f"{name}.png")
            known = {"camera": camera.as_json(), "camera_number": 0, "size_px": size_px}
            entry = part | known | {"words": random_words(rng)["words"]}
            (folder / f"{name}.json").write_text(json.dumps(entry))


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> TrainingConfig:
    """All stages of the smoke preset, one after the other."""
    patch = pytest.MonkeyPatch()
    patch.setenv("MFGVIZ_TRAINING_DIR", str(tmp_path_factory.mktemp("training")))
    config = load_config("smoke")
    make_parts(config, progress=False)
    if importlib.util.find_spec("mitsuba") and importlib.util.find_spec("mitsuba_oidn"):
        render_parts(config)
    else:
        paint(config)
    make_maps(config)
    make_pack(config)
    train_text(config)
    train_denoiser(config)
    train_distilled(config)
    make_predictions(config)
    fit_patterns(config, 64)
    fit_mirrors(config, 64)
    train_decoder(config)
    yield config
    patch.undo()


def test_held_out_families_are_not_trained_on(trained) -> None:
    pack = load_pack(trained)
    families = {pack.entries[int(row)]["family"] for row in training_rows(pack)}
    assert families == {"plate", "gear", "bolted_bracket"}


def test_a_stage_goes_on_from_its_checkpoint(trained) -> None:
    before = torch.load(checkpoint_path(trained), weights_only=True)
    minutes = before["spent_s"] / 60 - trained.minutes_crops + 0.01
    train_denoiser(replace(trained, minutes_denoiser=minutes))
    after = torch.load(checkpoint_path(trained), weights_only=True)
    assert after["steps"] > before["steps"]
    assert after["spent_s"] > before["spent_s"]


def test_the_critic_joins_the_decoder_after_the_regression_and_is_kept(trained, monkeypatch) -> None:
    monkeypatch.setattr(decoder, "FULL_SIZE", 1.0)  # of other pictures it says nothing

    def critic_steps(checkpoint) -> float:
        state = checkpoint["adversary"]["optimizer"]["state"]
        return float(state[0]["step"]) if state else 0.0

    before = torch.load(trained.folder / "decoder.pt", weights_only=True)
    longer = before["spent_s"] / 60 - trained.minutes_decoder + 0.01
    train_decoder(replace(trained, minutes_adversarial=longer))
    after = torch.load(trained.folder / "decoder.pt", weights_only=True)
    gained = after["steps"] - before["steps"]
    assert critic_steps(after) - critic_steps(before) == gained > 0
    assert critic_steps(after) < after["steps"]


def test_a_run_that_goes_on_from_weights_has_them_before_it_trains(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("MFGVIZ_TRAINING_DIR", str(tmp_path))
    config = load_config("studio", word_steps=0)
    train_text(config)
    begun, made = starting_point(config), trained_pipeline(config)
    for name in ("unet", "hint_encoder", "text_encoder", "autoencoder"):
        expected = getattr(begun, name).state_dict()
        for key, tensor in getattr(made, name).state_dict().items():
            torch.testing.assert_close(tensor, expected[key], msg=f"{name}.{key}")


def test_export_makes_a_half_precision_folder_that_renders(trained, tmp_path) -> None:
    assert export(trained, tmp_path) > 0
    pipeline = StudioPipeline.from_pretrained(tmp_path)
    pipeline.set_progress_bar_config(disable=True)
    images = pipeline(
        ["brass"], control_image=control_tensor(ball()), num_inference_steps=2, output_type="np"
    ).images
    assert images.shape == (1, 64, 64, 3)
    assert np.isfinite(images).all()
    assert pipeline.distilled
    figures = evaluate(trained, pipeline, tmp_path, count=1)
    assert figures["images"] == 1
    assert all(np.isfinite(value) for value in figures.values())


def test_a_student_is_told_its_guidance_and_runs_once_a_step(trained) -> None:
    pipeline = trained_pipeline(trained)
    pipeline.set_progress_bar_config(disable=True)
    seen: list[tuple[int, ...]] = []
    hook = pipeline.unet.register_forward_pre_hook(lambda _, given: seen.append(tuple(given[0].shape)))
    torch.nn.init.normal_(pipeline.unet.time_embedding.cond_proj.weight)
    common = {"control_image": control_tensor(ball()), "num_inference_steps": 2, "output_type": "latent"}
    made = [
        pipeline("brass", guidance_scale=scale, generator=torch.Generator().manual_seed(1), **common).images
        for scale in (1.0, 3.0)
    ]
    assert {shape[0] for shape in seen} == {1}
    assert not torch.allclose(made[0], made[1])
    seen.clear()
    avoiding = pipeline(["brass", "brass"], ["", "rust"], guidance_scale=3.0, generator=[
        torch.Generator().manual_seed(1) for _ in range(2)
    ], **(common | {"control_image": common["control_image"].expand(2, -1, -1, -1)})).images  # fmt: skip
    assert {shape[0] for shape in seen} == {4}
    hook.remove()
    torch.testing.assert_close(avoiding[:1], made[1], atol=1e-3, rtol=1e-3)
    assert not torch.allclose(avoiding[1:], made[1], atol=1e-3)


def test_a_student_begins_as_its_teacher_and_aims_at_where_two_steps_lead(trained) -> None:
    run = DistillRun(replace(trained, seed=3), 0, 1)
    # So small a network normalizes groups of one value, which makes much of single precision's last digits.
    run.teacher.double()
    batch = run.sampler.draw(2, small=False)
    states = run.teacher.text(tokenize(run.tokenizer, ["brass", "steel", "", ""], trained.text_tokens))[0]
    given = states, run.teacher.hints.from_small(batch.control.double(), batch.scale.double())
    steps, scales = torch.tensor([999, 249]), torch.ones(2)
    begun = new_student(trained, run.teacher.text, run.teacher).double()
    noisy = run._noised(batch.clean, steps).double()
    told = begun(noisy, steps, states[:2], given[1], scales * 3)
    meant = guided(run.teacher, noisy, steps, given, scales)
    torch.testing.assert_close(told.float(), meant, atol=1e-4, rtol=1e-3)
    target = run._two_steps(noisy, steps, given, scales)
    assert target.shape == batch.clean.shape
    # One step from x_t with the target as the clean picture ends where two steps of the teacher end.
    alpha, later = run._alpha(steps), run._alpha(steps - 250)
    noise = (noisy - alpha.sqrt() * target) / (1 - alpha).sqrt()
    ends = later.sqrt() * target + (1 - later).sqrt() * noise
    x = noisy
    for at, then in ((steps, steps - 125), (steps - 125, steps - 250)):
        clean = guided(run.teacher, x, at.clamp_min(0), given, scales)
        now, next_ = run._alpha(at), run._alpha(then)
        x = next_.sqrt() * clean + (1 - next_).sqrt() * (x - now.sqrt() * clean) / (1 - now).sqrt()
    torch.testing.assert_close(ends, x, atol=1e-3, rtol=1e-3)


def test_a_stranger_is_laid_on_the_word_that_it_means() -> None:
    # red -> scar|let, with the rest moved by one place
    assert aligned([1, 5, 6, 9, 2, 0, 0], [1, 5, 7, 8, 9, 2, 0]) == [0, 1, 2, 2, 3, 4, 5]
    # two tokens -> one
    assert aligned([1, 5, 6, 9, 2, 0, 0], [1, 7, 9, 2, 0, 0, 0]) == [0, 1, 3, 4, 5, 6, 6]


def test_colour_names_go_to_the_paint_that_looks_like_them() -> None:
    assert nearest_paint("firebrick") == "red"
    assert nearest_paint("forest green") == "green"
    assert nearest_paint("medium blue") == "blue"
    assert nearest_paint("royal blue") == "blue"
    rng = np.random.default_rng(2)
    words = {"kind": "paint", "finish": None, "colour": "red", "light": "studio", "floor": "white"}
    entry = {"family": "gear", "words": words}
    texts = [caption(entry, rng, {"colour:red": ("firebrick",)}) for _ in range(80)]
    assert 1 < sum("firebrick" in text for text in texts) < 30


def test_the_schedule_ends_in_pure_noise() -> None:
    scheduler = new_scheduler()
    assert float(scheduler.alphas_cumprod[-1]) < 1e-6
    scheduler.set_timesteps(10)
    assert int(scheduler.timesteps[0]) == 999


def test_captions_of_assemblies_name_both_materials() -> None:
    words = random_words(np.random.default_rng(1))["words"] | {"kind": "paint", "colour": "red"}
    words |= {"finish": None, "fitting_kind": "brass", "fitting_finish": None, "fitting_colour": None}
    for seed in range(20):
        said = caption({"family": "bolted_cover", "words": words}, np.random.default_rng(seed))
        assert "brass" in said
        assert any(noun in said for noun in ASSEMBLY_NOUNS["bolted_cover"][1])


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
