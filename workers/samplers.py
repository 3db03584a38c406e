"""The user's sampler names and the diffusers schedulers behind them, one row each.

A scheduler is always built from the model's own scheduler config, so that what the model was
trained with survives the choice: the noise schedule, `prediction_type` (epsilon, v or x0, which
diffusers calls "sample"), zero terminal SNR (Lin et al. 2023, arXiv 2305.08891) and the timestep spacing.

Every row works with all three prediction types and with zero terminal SNR. diffusers' PNDM and
ancestral Euler know no x0-prediction, and PNDM and Heun no zero terminal SNR: the subclasses here, and
betas with the rescaling already done, add that. Any sampler may be asked of any model; `lcm` gives
sharp pictures only from a model (or LoRA) that was distilled for it, and soft ones from others.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from diffusers import (
    DDIMScheduler,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
    SchedulerMixin,
    UniPCMultistepScheduler,
)
from diffusers.schedulers.scheduling_utils import SchedulerOutput
from diffusers.utils.torch_utils import randn_tensor

from mfgviz.errors import InvalidRequestError, UnknownSamplerError
from mfgviz.vocabulary import SAMPLERS

# diffusers' own floor for the cumulated alpha at zero terminal SNR, where sigma would be infinite.
TERMINAL_ALPHA_CUMPROD = 2.0**-24
# Below this cumulated alpha, x_t says so little of x0 that noise cannot be told from the sample.
BLIND_ALPHA_CUMPROD = 1e-5
# The largest sigma of Karras et al. 2022 (table 1). At zero terminal SNR sigma starts at 4096, and a
# rho-spaced schedule would spend more than half of its steps where nothing can be seen yet.
KARRAS_SIGMA_MAX = 80.0


class PlmsScheduler(PNDMScheduler):
    """PLMS for models that predict epsilon, v or x0, at zero terminal SNR too.

    The multistep average of PLMS (Liu et al. 2022, eq. 12) is over noise predictions, so whatever the
    model predicts becomes epsilon first, with the sample and the timestep that it was predicted for:
        eps = (x_t - sqrt(a_t) x0) / sqrt(1 - a_t)      from x0
        eps = sqrt(a_t) v + sqrt(1 - a_t) x_t           from v
    (a is the cumulated alpha). At zero terminal SNR epsilon at the first timestep is x_t itself, and
    averaging it with a later one in the paper's way of starting up (one timestep evaluated twice)
    would be magnified by 1/sqrt(a_T), some 4000 times. There the first step is a plain DDIM step with
    the model's x0 and the order rises by one with each step after it: one evaluation a step.
    """

    @property
    def starts_blind(self) -> bool:
        """Whether the first timestep's sample is (all but) pure noise."""
        return bool(self.alphas_cumprod[-1] < BLIND_ALPHA_CUMPROD)

    def set_timesteps(self, num_inference_steps: int, device: str | torch.device | None = None) -> None:
        """As PNDM; without the repeated timestep when the first one is blind."""
        super().set_timesteps(num_inference_steps, device=device)
        if self.starts_blind:
            self.plms_timesteps = self._timesteps[::-1].copy()
            self.timesteps = torch.from_numpy(self.plms_timesteps).to(device)

    def step(
        self,
        model_output: torch.Tensor,
        timestep: int | torch.Tensor,
        sample: torch.Tensor,
        return_dict: bool = True,
    ) -> SchedulerOutput | tuple[torch.Tensor]:
        """x at the next timestep, in float32: the formulas subtract numbers that are nearly equal."""
        now = int(timestep)
        noisy, output = sample.float(), model_output.float()
        x0, epsilon = self._split(output, noisy, now)
        if not self.starts_blind:
            moved = super().step(epsilon, now, noisy, return_dict=False)[0]
        else:
            moved = self._step_rising(x0, epsilon, noisy, now)
        moved = moved.to(sample.dtype)
        return SchedulerOutput(prev_sample=moved) if return_dict else (moved,)

    def _step_rising(
        self, x0: torch.Tensor, epsilon: torch.Tensor, sample: torch.Tensor, now: int
    ) -> torch.Tensor:
        """Adams-Bashforth of as high an order as there are predictions, up to 4."""
        self.ets: list[torch.Tensor] = [*self.ets[-3:], epsilon]
        weights = _ADAMS_BASHFORTH[len(self.ets)]
        following = int(self.timesteps[self.counter + 1]) if self.counter + 1 < len(self.timesteps) else -1
        self.counter += 1
        if len(self.ets) == 1:
            return self._noised(x0, epsilon, following)
        mean = torch.zeros_like(epsilon)
        for weight, past in zip(weights, reversed(self.ets), strict=True):
            mean += weight * past
        return self._get_prev_sample(sample, now, following, mean)

    def _split(
        self, output: torch.Tensor, sample: torch.Tensor, timestep: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(x0, epsilon) of a model output."""
        alpha = self.alphas_cumprod[timestep]
        signal, noise = alpha.sqrt(), (1 - alpha).sqrt()
        kind = self.config.prediction_type
        if kind == "sample":
            return output, (sample - signal * output) / noise
        if kind == "v_prediction":
            return signal * sample - noise * output, signal * output + noise * sample
        return (sample - noise * output) / signal, output

    def _get_prev_sample(
        self, sample: torch.Tensor, timestep: int, prev_timestep: int, model_output: torch.Tensor
    ) -> torch.Tensor:
        """DDIM's transfer, which is eq. 9 of the PNDM paper written with x0; `model_output` is epsilon."""
        alpha = self.alphas_cumprod[max(int(timestep), 0)]
        x0 = (sample - (1 - alpha).sqrt() * model_output) / alpha.sqrt()
        return self._noised(x0, model_output, int(prev_timestep))

    def _noised(self, x0: torch.Tensor, epsilon: torch.Tensor, timestep: int) -> torch.Tensor:
        alpha = self.alphas_cumprod[timestep] if timestep >= 0 else self.final_alpha_cumprod
        return alpha.sqrt() * x0 + (1 - alpha).sqrt() * epsilon


# Weights of the latest, the one before, … (Adams and Bashforth; PNDM eq. 12 is the last row).
_ADAMS_BASHFORTH: dict[int, tuple[float, ...]] = {
    1: (1.0,),
    2: (3 / 2, -1 / 2),
    3: (23 / 12, -16 / 12, 5 / 12),
    4: (55 / 24, -59 / 24, 37 / 24, -9 / 24),
}


class HeunScheduler(HeunDiscreteScheduler):
    """Heun in float32, and from zero terminal SNR.

    Its samples are as large as sigma, 4096 at worst, which half precision does not resolve. From a blind
    start the first step stays Euler's: the correction would average the first slope with one at a
    far smaller sigma, and magnify their difference by sigma's whole fall. Its evaluation is left
    unused, so that the schedule keeps the layout that image-to-image cuts by halves.
    """

    def step(
        self,
        model_output: torch.Tensor,
        timestep: float | torch.Tensor,
        sample: torch.Tensor,
        return_dict: bool = True,
    ) -> SchedulerOutput | tuple[torch.Tensor]:
        """As HeunDiscreteScheduler; between the two evaluations of a step its own copy stays float32."""
        blind = bool(self.alphas_cumprod[-1] < BLIND_ALPHA_CUMPROD)
        if blind and self.step_index == 1 and not self.state_in_first_order:
            self.prev_derivative = self.dt = self.sample = None
            self._step_index += 1
            moved = sample
        else:
            moved = super().step(model_output.float(), timestep, sample.float(), return_dict=False)[0]
        moved = moved.to(model_output.dtype)
        return SchedulerOutput(prev_sample=moved) if return_dict else (moved,)


class EulerAncestralScheduler(EulerAncestralDiscreteScheduler):
    """Euler with ancestral noise for models that predict x0, which diffusers' does not take.

    From sigma to sigma' (k-diffusion): up = sigma' sqrt(sigma^2 - sigma'^2) / sigma is the noise that is
    renewed, down = sqrt(sigma'^2 - up^2) is where the deterministic part of the step ends.
    """

    def step(
        self,
        model_output: torch.Tensor,
        timestep: float | torch.Tensor,
        sample: torch.Tensor,
        generator: torch.Generator | list[torch.Generator] | None = None,
        return_dict: bool = True,
    ) -> SchedulerOutput | tuple[torch.Tensor]:
        """x at the next sigma."""
        if self.config.prediction_type != "sample":
            return super().step(model_output, timestep, sample, generator, return_dict)
        if self.step_index is None:
            self._init_step_index(timestep)
        sigma, following = self.sigmas[self.step_index].double(), self.sigmas[self.step_index + 1].double()
        up = following * (sigma**2 - following**2).clamp(min=0).sqrt() / sigma
        down = (following**2 - up**2).clamp(min=0).sqrt()
        kept = float(down / sigma)
        noise = randn_tensor(
            sample.shape, generator=generator, device=sample.device, dtype=model_output.dtype
        )
        # x + (x - x0) (down - sigma) / sigma, sorted so that nothing of sigma's size is subtracted.
        moved = kept * sample.float() + (1 - kept) * model_output.float() + float(up) * noise.float()
        self._step_index += 1
        moved = moved.to(model_output.dtype)
        return SchedulerOutput(prev_sample=moved) if return_dict else (moved,)


class LcmScheduler(LCMScheduler):
    """LCM with more steps than the schedule it was distilled on has: the schedule is made finer then."""

    def set_timesteps(
        self,
        num_inference_steps: int | None = None,
        device: str | torch.device | None = None,
        original_inference_steps: int | None = None,
        timesteps: list[int] | None = None,
        strength: float = 1.0,
    ) -> None:
        """As LCMScheduler, for any number of steps up to the training timesteps."""
        original = original_inference_steps or self.config.original_inference_steps
        original = max(original, num_inference_steps or 0)
        super().set_timesteps(num_inference_steps, device, original, timesteps, strength)


@dataclass(frozen=True, slots=True)
class SamplerRow:
    """One sampler: its scheduler, what differs from the model's scheduler config, and who described it."""

    scheduler: type[SchedulerMixin]
    paper: str
    overrides: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    knows_zero_terminal_snr: bool = True
    stochastic: bool = False


_KARRAS = {"use_karras_sigmas": True}
_DPMPP = {"algorithm_type": "dpmsolver++", "solver_order": 2, "use_karras_sigmas": False}

ROWS: Mapping[str, SamplerRow] = MappingProxyType(
    {
        "ddpm": SamplerRow(DDPMScheduler, "Ho et al. 2020, arXiv 2006.11239", stochastic=True),
        "ddim": SamplerRow(DDIMScheduler, "Song et al. 2021, arXiv 2010.02502"),
        "plms": SamplerRow(
            PlmsScheduler,
            "Liu et al. 2022, arXiv 2202.09778",
            {"skip_prk_steps": True},
            knows_zero_terminal_snr=False,
        ),
        "euler": SamplerRow(
            EulerDiscreteScheduler, "Karras et al. 2022, arXiv 2206.00364, algorithm 2 to 1st order"
        ),
        "euler_a": SamplerRow(
            EulerAncestralScheduler, "Crowson 2022, github.com/crowsonkb/k-diffusion", stochastic=True
        ),
        "heun": SamplerRow(
            HeunScheduler,
            "Karras et al. 2022, arXiv 2206.00364, algorithm 1",
            knows_zero_terminal_snr=False,
        ),
        "dpmpp_2m": SamplerRow(DPMSolverMultistepScheduler, "Lu et al. 2022, arXiv 2211.01095", _DPMPP),
        "dpmpp_2m_karras": SamplerRow(
            DPMSolverMultistepScheduler,
            "Lu et al. 2022, arXiv 2211.01095, on the sigmas of Karras et al. 2022, eq. 5",
            {**_DPMPP, **_KARRAS},
        ),
        "unipc": SamplerRow(
            UniPCMultistepScheduler, "Zhao et al. 2023, arXiv 2302.04867", {"use_karras_sigmas": False}
        ),
        "lcm": SamplerRow(LcmScheduler, "Luo et al. 2023, arXiv 2310.04378", stochastic=True),
    }
)


def make_scheduler(name: str, config: Mapping[str, Any], num_inference_steps: int = 1) -> Any:
    """A new scheduler for the sampler and that many steps, from the config of the model's own scheduler.

    Raises:
        UnknownSamplerError: there is no such sampler.
        InvalidRequestError: the model was trained with fewer timesteps than steps are wanted.
    """
    row = ROWS.get(name)
    if row is None:
        raise UnknownSamplerError(
            f"There is no sampler {name!r}.", remedy=f"Choose one of {', '.join(SAMPLERS)}."
        )
    plain = {key: value for key, value in config.items() if not key.startswith("_")}
    # Latents have no fixed range. diffusers' DDPM, DDIM and LCM would clip them to 1 unless told not to.
    plain.setdefault("clip_sample", False)
    plain.update(row.overrides)
    trained = int(plain.get("num_train_timesteps", 1000))
    if num_inference_steps > trained:
        raise InvalidRequestError(
            f"num_inference_steps is {num_inference_steps}, but the model has {trained} timesteps.",
            remedy=f"Choose at most {trained}.",
        )
    if num_inference_steps == trained:
        # Each timestep once: diffusers' leading spacing would overrun the last one, or stand still.
        plain["timestep_spacing"] = "trailing"
    blind = bool(plain.get("rescale_betas_zero_snr"))
    if blind and not row.knows_zero_terminal_snr:
        plain["trained_betas"] = _zero_terminal_snr_betas(plain)
    known = inspect.signature(row.scheduler.__init__).parameters
    scheduler = row.scheduler.from_config({key: value for key, value in plain.items() if key in known})
    if blind and row.overrides.get("use_karras_sigmas"):
        # diffusers reads the bound from the config, though its constructor does not take it.
        scheduler.register_to_config(sigma_max=KARRAS_SIGMA_MAX)
    return scheduler


def _zero_terminal_snr_betas(config: Mapping[str, Any]) -> list[float]:
    """The betas after diffusers' rescaling, the last one so that the cumulated alpha keeps its floor."""
    known = inspect.signature(DDPMScheduler.__init__).parameters
    alphas_cumprod = DDPMScheduler(
        **{key: value for key, value in config.items() if key in known}
    ).alphas_cumprod.double()
    alphas_cumprod[-1] = TERMINAL_ALPHA_CUMPROD
    before = torch.cat([torch.ones(1, dtype=torch.float64), alphas_cumprod[:-1]])
    betas: list[float] = (1 - alphas_cumprod / before).tolist()
    return betas


def evaluations(sampler: str, num_inference_steps: int, config: Mapping[str, Any]) -> int:
    """How often the denoiser runs for that many steps, from noise to picture."""
    scheduler = make_scheduler(sampler, config, num_inference_steps)
    scheduler.set_timesteps(num_inference_steps)
    return len(scheduler.timesteps)
