"""The pipeline's contract: batches, modes, samplers, folders."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from diffusers import (
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    LCMScheduler,
    UniPCMultistepScheduler,
)
from PIL import Image

from workers.studio import StudioPipeline


def seeded(*seeds: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in seeds]


def run(pipeline: StudioPipeline, prompts: list[str], **more) -> np.ndarray:
    return pipeline(prompts, output_type="np", **more).images


def test_a_sample_does_not_depend_on_its_company(pipeline, control) -> None:
    pair = run(pipeline, ["brass", "red paint"], control_image=torch.cat([control, control.flip(-1)]),
               generator=seeded(1, 2))  # fmt: skip
    alone = run(pipeline, ["red paint"], control_image=control.flip(-1), generator=seeded(2))
    np.testing.assert_allclose(pair[1], alone[0], atol=1e-3)


def test_the_same_seed_gives_the_same_picture_and_another_one_another(pipeline, control) -> None:
    first, second, other = (
        run(pipeline, ["brass"], control_image=control, generator=seeded(seed)) for seed in (5, 5, 6)
    )
    np.testing.assert_array_equal(first, second)
    assert np.abs(first - other).max() > 0.01


def test_text_alone_makes_a_picture_of_any_allowed_aspect(pipeline) -> None:
    images = run(pipeline, ["brass"], height=48, width=64, generator=seeded(1))
    assert images.shape == (1, 48, 64, 3)
    assert images.min() >= 0
    assert images.max() <= 1


def test_cached_embeddings_do_what_the_prompt_does(pipeline, control) -> None:
    states, none = pipeline.encode_prompt(["brass"]), pipeline.encode_prompt([""])
    spoken = run(pipeline, ["brass"], control_image=control, generator=seeded(3))
    cached = pipeline(prompt_embeds=states, negative_prompt_embeds=none, control_image=control,
                      generator=seeded(3), output_type="np").images  # fmt: skip
    np.testing.assert_array_equal(spoken, cached)


def test_geometry_strength_counts_and_zero_is_text_alone(pipeline, control) -> None:
    full, none, without = (
        run(pipeline, ["brass"], generator=seeded(4), **more)
        for more in (
            {"control_image": control},
            {"control_image": control, "controlnet_conditioning_scale": 0.0},
            {},
        )
    )
    assert np.abs(full - none).max() > 0.01
    np.testing.assert_allclose(none, without, atol=1e-5)


def test_strengths_may_differ_within_a_batch(pipeline, control) -> None:
    both = run(pipeline, ["brass"] * 2, control_image=control, controlnet_conditioning_scale=[1.0, 0.0],
               generator=seeded(4, 4))  # fmt: skip
    one = run(pipeline, ["brass"], control_image=control, generator=seeded(4))
    np.testing.assert_allclose(both[0], one[0], atol=1e-3)
    assert np.abs(both[0] - both[1]).max() > 0.01


def test_little_strength_stays_near_the_starting_picture(pipeline) -> None:
    start = Image.new("RGB", (64, 64), (200, 40, 40))
    near, far = (
        run(pipeline, ["brass"], image=start, strength=strength, num_inference_steps=10, generator=seeded(1))
        for strength in (0.1, 1.0)
    )
    latents = pipeline.autoencoder.encode(torch.full((1, 3, 64, 64), 0.5))
    assert latents.shape == (1, 16, 4, 4)
    assert near.shape == far.shape == (1, 64, 64, 3)
    assert np.abs(near - far).max() > 0


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # inside diffusers
@pytest.mark.parametrize(
    "sampler", [EulerDiscreteScheduler, DPMSolverMultistepScheduler, UniPCMultistepScheduler, LCMScheduler]
)
def test_other_samplers_work(pipeline, control, sampler) -> None:
    shipped = pipeline.scheduler
    try:
        pipeline.scheduler = sampler.from_config(shipped.config)
        images = run(pipeline, ["brass"], control_image=control, num_inference_steps=3, generator=seeded(1))
    finally:
        pipeline.scheduler = shipped
    assert np.isfinite(images).all()


def test_a_callback_sees_every_step_and_may_end_the_sampling(pipeline) -> None:
    seen: list[int] = []

    def watch(pipe, index, timestep, tensors):
        seen.append(index)
        assert pipe.preview(tensors["latents"]).shape == (1, 32, 32, 3)
        if index == 2:
            raise KeyboardInterrupt
        return {}

    with pytest.raises(KeyboardInterrupt):
        run(pipeline, ["brass"], num_inference_steps=5, callback_on_step_end=watch)
    assert seen == [0, 1, 2]
    assert pipeline.num_timesteps == 5


def test_a_saved_folder_holds_safetensors_only_and_loads_again(pipeline, control, tmp_path) -> None:
    pipeline.save_pretrained(tmp_path)
    suffixes = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert suffixes == {".json", ".safetensors"}
    loaded = StudioPipeline.from_pretrained(tmp_path, local_files_only=True)
    loaded.set_progress_bar_config(disable=True)
    assert loaded.config.native_size_px == 64
    images = [run(one, ["brass"], control_image=control, generator=seeded(8)) for one in (pipeline, loaded)]
    np.testing.assert_allclose(images[0], images[1], atol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"height": 50}, "multiples of 16"),
        ({"height": 32, "width": 32, "control_image": torch.zeros(1, 8, 64, 64)}, "control maps are"),
        ({"control_image": torch.zeros(1, 3, 64, 64)}, "8 channels"),
        ({"image": torch.zeros(1, 3, 64, 64), "strength": 0.0}, "strength"),
        (
            {"controlnet_conditioning_scale": [1.0, 1.0], "control_image": torch.zeros(1, 8, 64, 64)},
            "strengths",
        ),
    ],
)
def test_what_does_not_fit_is_refused(pipeline, wrong, message) -> None:
    with pytest.raises(ValueError, match=message):
        run(pipeline, ["brass"], **wrong)


def test_a_prompt_is_needed(pipeline) -> None:
    with pytest.raises(ValueError, match="prompt"):
        pipeline()


def test_a_long_prompt_is_cut_not_refused(pipeline) -> None:
    assert pipeline.encode_prompt(["brass " * 200]).shape[1] == 48


def test_control_tensors_keep_the_order_of_their_channels(control) -> None:
    assert control.shape == (1, 8, 64, 64)
    assert control[0, 4].max() == 1
    assert torch.equal(control[0, :3] * (1 - control[0, 4]), torch.zeros(3, 64, 64))
