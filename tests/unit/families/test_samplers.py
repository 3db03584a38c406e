"""Every sampler really samples: tried with a denoiser whose answers are exact.

If the data are N(mean, deviation^2), the best x0 for a noisy x is known in closed form, so a right sampler
must end at N(mean, deviation^2), up to its own discretisation.
"""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDIMScheduler

from mfgviz.errors import InvalidRequestError, UnknownSamplerError
from mfgviz.vocabulary import SAMPLERS
from workers.samplers import ROWS, evaluations, make_scheduler

pytestmark = pytest.mark.filterwarnings(
    # diffusers gives tensors to np.array, and torch's __array__ has no `copy` yet.
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)

MEAN, DEVIATION = 0.3, 0.5
SD15 = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "clip_sample": False}
ZERO_TERMINAL_SNR = {
    **SD15,
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
    "set_alpha_to_one": True,
}
KINDS = ("epsilon", "v_prediction", "sample")


class Oracle:
    """The exact denoiser of Gaussian data under a noise schedule."""

    def __init__(self, config: dict[str, Any], kind: str) -> None:
        self.alphas = DDIMScheduler.from_config(config).alphas_cumprod.double().numpy()
        self.kind = kind

    def __call__(self, noisy: torch.Tensor, timestep: float) -> torch.Tensor:
        squared = float(np.interp(timestep, np.arange(len(self.alphas)), self.alphas))
        signal, noise = squared**0.5, (1 - squared) ** 0.5
        variance = DEVIATION**2
        gain = variance * signal / (variance * squared + noise**2)
        x0 = MEAN + gain * (noisy - signal * MEAN)
        epsilon = (noisy - signal * x0) / noise
        return {"sample": x0, "epsilon": epsilon, "v_prediction": signal * epsilon - noise * x0}[self.kind]


def sampled(
    name: str, config: dict[str, Any], kind: str, steps: int, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """What the sampler makes of noise (1, 4, 64, 64) with the oracle for a model."""
    config = {**config, "prediction_type": kind}
    scheduler, oracle = make_scheduler(name, config, steps), Oracle(config, kind)
    scheduler.set_timesteps(steps)
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1, 4, 64, 64, generator=generator).to(dtype) * scheduler.init_noise_sigma
    more = {"generator": generator} if "generator" in inspect.signature(scheduler.step).parameters else {}
    for timestep in scheduler.timesteps:
        seen = scheduler.scale_model_input(x, timestep)
        output = oracle(seen.double(), float(timestep)).to(dtype)
        x = scheduler.step(output, timestep, x, return_dict=False, **more)[0]
    return x.float()


def test_every_name_has_a_row_with_its_source() -> None:
    assert set(ROWS) == set(SAMPLERS)
    assert all(row.paper for row in ROWS.values())


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("spacing", ["leading", "trailing"])
def test_denoises_with_an_ordinary_schedule(name: str, kind: str, spacing: str) -> None:
    x = sampled(name, {**SD15, "timestep_spacing": spacing}, kind, steps=20)
    assert abs(x.mean().item() - MEAN) < 0.03
    assert (0.25 if name == "lcm" else 0.38) < x.std().item() < 0.56


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("kind", ["v_prediction", "sample"])
@pytest.mark.parametrize("schedule", ["scaled_linear", "squaredcos_cap_v2"])
def test_denoises_from_zero_terminal_snr(name: str, kind: str, schedule: str) -> None:
    x = sampled(name, {**ZERO_TERMINAL_SNR, "beta_schedule": schedule}, kind, steps=20)
    assert abs(x.mean().item() - MEAN) < 0.03
    assert (0.25 if name == "lcm" else 0.38) < x.std().item() < 0.56


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("steps", [1, 2, 3, 60])
def test_any_number_of_steps_stays_near_the_data(name: str, steps: int) -> None:
    x = sampled(name, ZERO_TERMINAL_SNR, "sample", steps)
    assert abs(x.mean().item() - MEAN) < 0.03
    assert x.std().item() < 0.56


@pytest.mark.parametrize("name", SAMPLERS)
def test_half_precision_loses_little(name: str) -> None:
    full = sampled(name, ZERO_TERMINAL_SNR, "sample", 12)
    half = sampled(name, ZERO_TERMINAL_SNR, "sample", 12, torch.float16)
    assert half.mean().item() == pytest.approx(full.mean().item(), abs=0.01)
    assert half.std().item() == pytest.approx(full.std().item(), abs=0.01)


def test_plms_is_more_exact_than_ddim_in_as_many_steps() -> None:
    errors = {
        name: abs(sampled(name, ZERO_TERMINAL_SNR, "sample", 12).std().item() - DEVIATION)
        for name in ("plms", "ddim")
    }
    assert errors["plms"] < errors["ddim"] / 2


@pytest.mark.parametrize(
    ("name", "config", "expected"),
    [
        ("ddim", SD15, 10),
        ("plms", SD15, 11),
        ("plms", ZERO_TERMINAL_SNR, 10),
        ("heun", SD15, 19),
        ("lcm", SD15, 10),
        ("dpmpp_2m_karras", ZERO_TERMINAL_SNR, 10),
    ],
)
def test_evaluations_are_counted(name: str, config: dict[str, Any], expected: int) -> None:
    assert evaluations(name, 10, config) == expected


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_models_own_schedule_survives(name: str) -> None:
    config = {**ZERO_TERMINAL_SNR, "prediction_type": "sample", "_class_name": "DDIMScheduler"}
    scheduler = make_scheduler(name, config)
    assert scheduler.config.prediction_type == "sample"
    scheduler.set_timesteps(10)
    # Karras' sigmas begin at 80 instead of the 4096 that zero terminal SNR would have.
    assert float(scheduler.timesteps[0]) >= (960 if name == "dpmpp_2m_karras" else 990)


def test_karras_does_not_waste_steps_on_pure_noise() -> None:
    scheduler = make_scheduler("dpmpp_2m_karras", {**ZERO_TERMINAL_SNR, "prediction_type": "sample"})
    scheduler.set_timesteps(10)
    assert scheduler.sigmas.max().item() == pytest.approx(80.0)


@pytest.mark.parametrize("name", SAMPLERS)
def test_every_timestep_of_a_leading_schedule_can_be_used(name: str) -> None:
    x = sampled(name, {**SD15, "steps_offset": 1, "timestep_spacing": "leading"}, "epsilon", 1000)
    assert abs(x.mean().item() - MEAN) < 0.03


def test_more_steps_than_timesteps_are_refused() -> None:
    with pytest.raises(InvalidRequestError, match="41, but the model has 40"):
        make_scheduler("ddim", {**SD15, "num_train_timesteps": 40}, 41)


def test_unknown_sampler_is_named() -> None:
    with pytest.raises(UnknownSamplerError, match="ddpm_plus"):
        make_scheduler("ddpm_plus", SD15)
