"""What every model family must do, over tiny models of the real classes and the bundled one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest

from mfgviz.errors import (
    InvalidModelError,
    JobCancelledError,
    OutOfBoundsSizeError,
    OutOfMemoryError,
    PickledWeightsError,
    UnknownSamplerError,
    UnsupportedModeError,
)
from mfgviz.models_folder import BUNDLED_STUDIO, ControlSource, LoraSource, ModelSpec, spec_digest
from mfgviz.vocabulary import FAMILIES, SAMPLERS, Mode
from workers.devices import Device, ModelPool, choose_device, sample_within_memory
from workers.families.protocol import (
    Family,
    Image,
    LoadedModel,
    SampleBatch,
    StepInfo,
    family_names,
    get_family,
)
from workers.families.testing import (
    TinyMaps,
    save_tiny_adapter,
    save_tiny_controlnet,
    save_tiny_lora,
    save_tiny_sd15,
    save_tiny_sdxl,
)

pytestmark = pytest.mark.filterwarnings(
    # diffusers gives tensors to np.array, and torch's __array__ has no `copy` yet.
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

SIDE = 64
CASES = ("studio", "sd15", "sd15 with an adapter", "sdxl")


@dataclass(frozen=True)
class Case:
    """A model under test, loaded."""

    family: Family
    spec: ModelSpec
    model: LoadedModel


@pytest.fixture(scope="module")
def device() -> Device:
    return choose_device("cpu")


@pytest.fixture(scope="module")
def specs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, ModelSpec]:
    folder = tmp_path_factory.mktemp("families")
    sd15, sdxl = str(save_tiny_sd15(folder / "sd15")), str(save_tiny_sdxl(folder / "sdxl"))
    depth = ControlSource(str(save_tiny_controlnet(folder / "depth")), "depth")
    normal = ControlSource(str(save_tiny_controlnet(folder / "normal", seed=5)), "normal")
    depth_xl = ControlSource(str(save_tiny_controlnet(folder / "depth-xl", sdxl=True)), "depth")
    adapter = ControlSource(str(save_tiny_adapter(folder / "adapter")), "depth", "t2i_adapter")
    return {
        "studio": ModelSpec("studio", "studio", BUNDLED_STUDIO),
        "sd15": ModelSpec("a", "sd15", sd15, (depth, normal)),
        "sd15 with an adapter": ModelSpec("b", "sd15", sd15, (adapter,)),
        "sdxl": ModelSpec("c", "sdxl", sdxl, (depth_xl,)),
    }


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest, specs: dict[str, ModelSpec], device: Device) -> Iterator[Case]:
    spec = specs[request.param]
    family = get_family(spec.family)
    model = family.load(spec, device)
    yield Case(family, spec, model)
    model.unload()


def batch(count: int = 1, seed: int = 1, **changes: object) -> SampleBatch:
    plain = SampleBatch(
        prompts=["brushed aluminium"] * count,
        negative_prompts=[""] * count,
        seeds=list(range(seed, seed + count)),
        width=SIDE,
        height=SIDE,
        num_inference_steps=3,
        guidance_scale=2.0,
        sampler="ddim",
        mode=Mode.CONTROL,
        control=[TinyMaps.of_sphere(SIDE, SIDE)] * count,
    )
    return replace(plain, **changes)  # type: ignore[arg-type]


def ignore(_info: StepInfo) -> None:
    """For samples whose steps do not matter."""


def apart(one: Image, other: Image) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def test_built_in_families_are_registered_as_others_would_be() -> None:
    assert set(FAMILIES) <= set(family_names())
    with pytest.raises(InvalidModelError, match="nonsense"):
        get_family("nonsense")


def test_what_is_inspected_is_what_is_loaded(case: Case) -> None:
    assert case.family.inspect(case.spec) == case.model.capabilities
    assert case.model.memory_bytes > 0
    assert len(spec_digest(case.spec)) == 64
    assert set(case.model.capabilities.as_json()["modes"]) == {"control", "image", "text"}


def test_the_same_seed_is_the_same_picture_and_another_seed_another(case: Case) -> None:
    one, again, other = (case.model.sample(batch(seed=seed), ignore)[0] for seed in (1, 1, 2))
    assert one.shape == (SIDE, SIDE, 3)
    assert one.dtype == np.uint8
    assert np.array_equal(one, again)
    assert apart(one, other) > 0.5


def test_a_picture_does_not_depend_on_its_company(case: Case) -> None:
    together = case.model.sample(batch(count=3, seed=4), ignore)
    alone = case.model.sample(batch(seed=5), ignore)
    assert apart(together[1], alone[0]) < 0.5


def test_the_prompt_and_the_maps_change_the_picture(case: Case) -> None:
    (plain,) = case.model.sample(batch(), ignore)
    (said,) = case.model.sample(batch(prompts=["red plastic on black"]), ignore)
    (other,) = case.model.sample(batch(control=[TinyMaps.of_sphere(SIDE, SIDE, 0.15)]), ignore)
    (weak,) = case.model.sample(batch(control_scale=0.0), ignore)
    assert apart(plain, said) > 0
    assert apart(plain, other) > 0
    assert apart(plain, weak) > 0


def test_every_mode_makes_a_picture(case: Case) -> None:
    start = np.full((SIDE, SIDE, 3), 128, np.uint8)
    for changes in (
        {"mode": Mode.TEXT, "control": None},
        {"mode": Mode.IMAGE, "images": [start], "control": None},
        {"mode": Mode.IMAGE, "images": [start], "strength": 0.01},
    ):
        (image,) = case.model.sample(batch(**changes), ignore)
        assert image.shape == (SIDE, SIDE, 3)


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_every_sampler_counts_its_steps(case: Case, sampler: str) -> None:
    seen: list[StepInfo] = []
    case.model.sample(batch(sampler=sampler, num_inference_steps=4), seen.append)
    assert [info.step for info in seen] == list(range(1, seen[0].total + 1))


def test_a_preview_is_a_small_picture(case: Case) -> None:
    seen: list[Image | None] = []
    case.model.sample(batch(), lambda info: seen.append(info.preview()))
    assert len(seen) >= 3
    for one in seen:
        assert one is not None  # in single precision every family here has a cheap way
        assert (one.ndim, one.shape[2], one.dtype) == (3, 3, np.uint8)
        assert max(one.shape) <= 128


def test_a_cancel_stops_at_once_and_leaves_the_model_usable(case: Case) -> None:
    steps = 0

    def cancel(_info: StepInfo) -> None:
        nonlocal steps
        steps += 1
        raise JobCancelledError

    (before,) = case.model.sample(batch(), ignore)
    with pytest.raises(JobCancelledError):
        case.model.sample(batch(num_inference_steps=6), cancel)
    assert steps == 1
    assert np.array_equal(case.model.sample(batch(), ignore)[0], before)


def test_what_a_prompt_loses_is_told(case: Case) -> None:
    assert case.model.cut_prompt("brushed aluminium") == ""
    long = " ".join(["brushed aluminium"] * 200) + " teapot"
    assert case.model.cut_prompt(long).endswith("teapot")
    assert long.endswith(case.model.cut_prompt(long))


def test_what_it_cannot_make_is_refused_by_name(case: Case) -> None:
    maps = [TinyMaps.of_sphere(36, 36)]
    with pytest.raises(OutOfBoundsSizeError):
        case.model.sample(batch(width=36, height=36, control=maps), ignore)
    with pytest.raises(UnknownSamplerError):
        case.model.sample(batch(sampler="magic"), ignore)


def test_without_a_controlnet_there_is_no_control_mode(specs: dict[str, ModelSpec], device: Device) -> None:
    spec = replace(specs["sd15"], controls=())
    model = get_family("sd15").load(spec, device)
    with pytest.raises(UnsupportedModeError):
        model.sample(batch(), ignore)


def test_lora_weights_change_the_picture(specs: dict[str, ModelSpec], device: Device, tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel

    plain = replace(specs["sd15"], controls=())
    unet = UNet2DConditionModel.from_pretrained(plain.source, subfolder="unet")
    weights = save_tiny_lora(tmp_path / "lora", unet, StableDiffusionPipeline)
    images = []
    for loras in ((), (LoraSource(str(weights), 1.0),), (LoraSource(str(weights), 0.0),)):
        model = get_family("sd15").load(replace(plain, loras=loras), device)
        images += model.sample(batch(mode=Mode.TEXT, control=None), ignore)
    assert apart(images[0], images[1]) > 0.5
    assert apart(images[0], images[2]) < 0.5


def test_pickled_weights_are_refused_before_anything_is_loaded(
    specs: dict[str, ModelSpec], device: Device, tmp_path: Path
) -> None:
    folder = save_tiny_sd15(tmp_path / "bad")
    (folder / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x04.")
    spec = ModelSpec("bad", "sd15", str(folder))
    for act in (lambda: get_family("sd15").inspect(spec), lambda: get_family("sd15").load(spec, device)):
        with pytest.raises(PickledWeightsError, match=r"diffusion_pytorch_model\.bin"):
            act()


def test_models_share_the_memory_there_is(specs: dict[str, ModelSpec], device: Device) -> None:
    first, second = replace(specs["sd15"], controls=()), specs["sdxl"]
    pool = ModelPool(device, budget_bytes=1)
    for spec in (first, second):
        with pool.use(spec) as model:
            assert pool.resident() == [spec]
            assert model.spec == spec
    roomy = ModelPool(device, budget_bytes=2**33)
    for spec in (first, second, first):
        with roomy.use(spec):
            pass
    assert roomy.resident() == [second, first]


def test_memory_that_runs_out_halves_the_batch(specs: dict[str, ModelSpec], device: Device) -> None:
    model = get_family("sd15").load(replace(specs["sd15"], controls=()), device)
    sampled, sizes = model.sample, []

    def at_most_two(part: SampleBatch, on_step: object) -> list[Image]:
        sizes.append(len(part))
        if len(part) > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        return sampled(part, on_step)  # type: ignore[arg-type]

    model.sample = at_most_two  # type: ignore[method-assign]
    wanted = batch(count=5, mode=Mode.TEXT, control=None)
    images = sample_within_memory(model, wanted, ignore)
    assert len(images) == 5
    assert sizes == [5, 3, 2, 2, 1]
    assert apart(images[4], sampled(wanted.part(4, 5), ignore)[0]) < 0.5


def test_memory_that_never_suffices_tiles_then_names_a_size_that_fits(
    specs: dict[str, ModelSpec], device: Device
) -> None:
    model = get_family("sd15").load(replace(specs["sd15"], controls=()), device)
    sampled, tiled = model.sample, []

    def only_small(part: SampleBatch, on_step: object) -> list[Image]:
        if part.width > 48:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        return sampled(part, on_step)  # type: ignore[arg-type]

    def note(*, enabled: bool) -> bool:
        tiled.append(enabled)
        return True

    model.sample = only_small  # type: ignore[method-assign]
    model.tile_vae = note  # type: ignore[method-assign]
    with pytest.raises(OutOfMemoryError, match=r"64x64 px does not fit.*48x48 px does") as caught:
        sample_within_memory(model, batch(mode=Mode.TEXT, control=None), ignore)
    assert "--size 48x48" in caught.value.remedy
    assert tiled == [True, False]
