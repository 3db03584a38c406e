"""Stage `distill`: a student of the denoiser that needs one evaluation where the teacher needs four.

The teacher is the trained denoiser under classifier-free guidance: two evaluations a step. The student is
told the guidance scale as a number (Meng et al. 2023, On Distillation of Guided Diffusion Models) and learns
to reach in one step of DDIM where two steps of the guided teacher lead (Salimans and Ho 2022, Progressive
Distillation for Fast Sampling). With x_t = a x0 + s ε at t, t' = t - 125 and t'' = t - 250, its target is

    x̃ = (x_t'' - (s''/s) x_t) / (a'' - (s''/s) a),

which is the clean picture from which a single step meets the teacher's second. The time steps are those of
the four that the shipped pipeline takes, and any.
"""

from __future__ import annotations

from typing import Any

import torch
from torch.nn import functional
from transformers import PreTrainedTokenizerFast

from workers.studio.training.config import TrainingConfig
from workers.studio.training.denoiser import Batch, Run, load_denoiser, run_until_done
from workers.studio.training.networks import Denoiser
from workers.studio.training.start import adopt
from workers.studio.training.text import load_text, tokenize

LEAST_GUIDANCE, MOST_GUIDANCE = 1.0, 4.0
GUIDANCE_RESCALE = 0.5  # the pipeline's default
PLAIN, USUAL = 0.15, 0.6  # shares of the samples at scale 1, and at the pipeline's default
ON_SCHEDULE = 0.6  # share of the samples at the time steps of the shipped sampling


class Student(torch.nn.Module):
    """The student's UNet beside the frozen encoders, for a network that trains in several processes."""

    def __init__(self, made: Denoiser) -> None:
        super().__init__()
        self.made = made.requires_grad_(False)
        self.made.unet.requires_grad_(True)

    def forward(
        self,
        noisy: torch.Tensor,
        steps: torch.Tensor,
        states: torch.Tensor,
        hints: tuple[torch.Tensor, list[torch.Tensor]],
        guidance: torch.Tensor,
    ) -> torch.Tensor:
        """The clean latents (B, C, h, w) under guidance scales (B,)."""
        return self.made.predict(noisy, steps, states, hints, guidance)


class DistillRun(Run):
    """See the module."""

    checkpoint = "distilled.pt"

    @staticmethod
    def minutes(config: TrainingConfig) -> tuple[float, float]:
        """Whole pictures only."""
        return 0.0, config.minutes_distill

    def _begin(self) -> tuple[PreTrainedTokenizerFast, Any]:
        tokenizer, text = load_text(self.config)
        self.teacher = load_denoiser(self.config).to(self.device)
        self.nothing = tokenize(tokenizer, [""], self.config.text_tokens).to(self.device)
        return tokenizer, new_student(self.config, text, self.teacher)

    def _learning_rate(self) -> float:
        return self.config.distill_learning_rate

    def _loss(self, batch: Batch, ids: torch.Tensor) -> torch.Tensor:
        count = len(batch.clean)
        steps, scales = self._student_steps(count), self._scales(count)
        noisy = self._noised(batch.clean, steps)
        with torch.no_grad():
            hints = self.teacher.hints.from_small(batch.control, batch.scale)
            states = self.teacher.text(torch.cat([ids, self.nothing.expand(count, -1)]))[0]
            wanted = self._two_steps(noisy, steps, (states, hints), scales)
        predicted = self.network(noisy, steps, states[:count], hints, scales)
        return functional.mse_loss(predicted.float(), wanted)

    def _student_steps(self, count: int) -> torch.Tensor:
        """Time steps (B,): mostly those of the shipped sampling."""
        rng, taken = self.sampler.rng, self.config.default_steps
        usual = torch.from_numpy(rng.integers(1, taken + 1, count)) * 1000 // taken - 1
        on_schedule = torch.from_numpy(rng.random(count) < ON_SCHEDULE)
        return torch.where(on_schedule.to(self.device), usual.to(self.device), self._time_steps(count))

    def _scales(self, count: int) -> torch.Tensor:
        """Guidance scales (B,): the pipeline's default, none, and any."""
        rng = self.sampler.rng
        scales = torch.from_numpy(rng.uniform(LEAST_GUIDANCE, MOST_GUIDANCE, count)).float()
        share = torch.from_numpy(rng.random(count))
        scales[share < PLAIN + USUAL] = self.config.default_guidance_scale
        scales[share < PLAIN] = LEAST_GUIDANCE
        return scales.to(self.device)

    def _two_steps(
        self,
        noisy: torch.Tensor,
        steps: torch.Tensor,
        given: tuple[torch.Tensor, tuple[torch.Tensor, list[torch.Tensor]]],
        scales: torch.Tensor,
    ) -> torch.Tensor:
        """The target x̃ of the module's formula; where the path ends at the clean picture, that."""
        stride = 1000 // self.config.default_steps
        path = [steps, (steps - stride // 2).clamp_min(-1), (steps - stride).clamp_min(-1)]
        alphas = [self._alpha(at) for at in path]
        x = noisy
        for at, now, then in zip(path[:2], alphas[:2], alphas[1:], strict=True):
            clean = guided(self.teacher, x, at.clamp_min(0), given, scales)
            noise = (x - now.sqrt() * clean) / (1 - now).sqrt().clamp_min(1e-4)
            x = then.sqrt() * clean + (1 - then).sqrt() * noise
        first, last = alphas[0], alphas[2]
        ratio = ((1 - last) / (1 - first).clamp_min(1e-8)).sqrt()
        return (x - ratio * noisy) / (last.sqrt() - ratio * first.sqrt()).clamp_min(1e-4)

    def _alpha(self, steps: torch.Tensor) -> torch.Tensor:
        """ā (B, 1, 1, 1) at time steps, 1 at -1."""
        known = torch.cat([self.alpha_bar, self.alpha_bar.new_ones(1)])
        return known[steps].view(-1, 1, 1, 1)


def guided(
    teacher: Denoiser,
    noisy: torch.Tensor,
    steps: torch.Tensor,
    given: tuple[torch.Tensor, tuple[torch.Tensor, list[torch.Tensor]]],
    scales: torch.Tensor,
) -> torch.Tensor:
    """The teacher's guided prediction; text states (2 B, tokens, width), those of no text second."""
    states, (hint, residuals) = given
    doubled = torch.cat([hint, hint]), [torch.cat([one, one]) for one in residuals]
    answer = teacher.predict(torch.cat([noisy] * 2), torch.cat([steps] * 2), states, doubled)
    wanted, unwanted = answer.float().chunk(2)
    made = unwanted + scales.view(-1, 1, 1, 1) * (wanted - unwanted)
    ratio = wanted.std((1, 2, 3), keepdim=True) / made.std((1, 2, 3), keepdim=True).clamp_min(1e-6)
    return made * (GUIDANCE_RESCALE * ratio + 1 - GUIDANCE_RESCALE)


def new_student(config: TrainingConfig, text: Any, teacher: Denoiser) -> Student:
    """The teacher's twin, that is told the guidance scale and at first does not listen."""
    made = Denoiser(config, text, guided=True)
    adopt(made, teacher)
    made.unet.time_embedding.cond_proj.weight.data.zero_()
    return Student(made)


def train_distilled(config: TrainingConfig, rank: int = 0, processes: int = 1) -> None:
    """Train the student until its minutes are used up."""
    run_until_done(DistillRun, config, rank, processes)


def load_distilled(config: TrainingConfig) -> Denoiser:
    """The averaged weights of the student's last checkpoint, with the encoders that it learned beside."""
    _, text = load_text(config)
    made = Student(Denoiser(config, text, guided=True))
    state = torch.load(config.folder / DistillRun.checkpoint, weights_only=True, mmap=True)
    made.load_state_dict(state["ema"])
    return made.made.eval().requires_grad_(False)


def is_distilled(config: TrainingConfig) -> bool:
    """Whether the run has a student that is to be used."""
    return config.minutes_distill > 0 and (config.folder / DistillRun.checkpoint).exists()
