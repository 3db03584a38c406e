"""Stage `denoiser`: the diffusion training, in one process or several that share their gradients.

The objective is E |x0 - f(x_t, t, text, geometry)|² over uniform t (Ho et al. 2020 with the x0
parametrisation). Text and geometry are left out now and then, each by itself, so that guidance works and so
that either alone makes a picture (Ho and Salimans 2022).
"""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from transformers import PreTrainedTokenizerFast

from workers.studio.training.captions import Strangers, caption
from workers.studio.training.config import TrainingConfig
from workers.studio.training.maps import from_bytes
from workers.studio.training.networks import Denoiser, new_scheduler, noised
from workers.studio.training.pack import Pack, load_pack, training_rows
from workers.studio.training.start import starting_point
from workers.studio.training.text import load_text, tokenize
from workers.studio.training.words import read_strangers

NO_TEXT, NO_GEOMETRY, WEAK_GEOMETRY = 0.1, 0.08, 0.1
SAVE_EVERY_S = 90.0


@dataclass(slots=True)
class Batch:
    """Latents (B, C, h, w), control (B, 8, 8 h, 8 w), strengths (B,), captions."""

    clean: torch.Tensor
    control: torch.Tensor
    scale: torch.Tensor
    captions: list[str]

    def to(self, device: torch.device) -> Batch:
        """The same on a device, in the memory order that convolutions like."""
        clean, control = (
            one.to(device).contiguous(memory_format=torch.channels_last) for one in (self.clean, self.control)
        )
        return Batch(clean, control, self.scale.to(device), self.captions)


class Sampler:
    """Random batches of a pack."""

    def __init__(self, pack: Pack, seed: list[int], strangers: Strangers | None = None) -> None:
        self.pack, self.rows, self.strangers = pack, training_rows(pack), strangers
        self.rng = np.random.default_rng(seed)

    def draw(self, count: int, *, small: bool) -> Batch:
        """Whole pictures; or `small`: crops of half the side, or whole pictures at half the size."""
        rng, pack = self.rng, self.pack
        rows = self.rows[torch.from_numpy(rng.integers(len(self.rows), size=count))]
        control = pack.control[pack.camera[rows]]
        clean = pack.latents[rows].float()
        if small and rng.random() < 0.6:
            cells = clean.shape[-1] // 2
            y, x = (int(v) for v in rng.integers(0, cells + 1, 2))
            clean = clean[..., y : y + cells, x : x + cells]
            control = control[..., y * 8 : (y + cells) * 8, x * 8 : (x + cells) * 8]
        elif small:
            clean = pack.small[rows].float()
            control = functional.avg_pool2d(control.float(), 2)
        scale = np.ones(count)
        share = rng.random(count)
        scale[share < NO_GEOMETRY + WEAK_GEOMETRY] = rng.uniform(0.2, 1)
        scale[share < NO_GEOMETRY] = 0
        texts = [
            "" if rng.random() < NO_TEXT else caption(pack.entries[int(row)], rng, self.strangers)
            for row in rows
        ]
        return Batch(clean, from_bytes(control), torch.from_numpy(scale).float(), texts)


def train_denoiser(config: TrainingConfig, rank: int = 0, processes: int = 1) -> None:
    """Train until the minutes are used up, first on small pictures, then on whole ones."""
    run_until_done(DenoiserRun, config, rank, processes)


def run_until_done(kind: type[Run], config: TrainingConfig, rank: int, processes: int) -> None:
    """One process's share of a training that is bounded by its minutes."""
    torch.set_num_threads(1 if processes > 1 else torch.get_num_threads())
    torch.manual_seed(config.seed)
    run = kind(config, rank, processes)
    crops_s, all_s = (60 * minutes for minutes in run.minutes(config))
    while run.spent_s < all_s:
        run.step(small=run.spent_s < crops_s, done=run.spent_s / all_s)
    run.save()


def checkpoint_path(config: TrainingConfig) -> Path:
    """Where the denoiser's checkpoint is."""
    return config.folder / "denoiser.pt"


def load_denoiser(config: TrainingConfig) -> Denoiser:
    """The averaged weights of the last checkpoint; without one, those of the weights that the run goes on
    from."""
    if config.start_from and not checkpoint_path(config).exists():
        return new_denoiser(config)[1].eval().requires_grad_(False)
    _, text = load_text(config)
    model = Denoiser(config, text)
    state = torch.load(checkpoint_path(config), weights_only=True, mmap=True)
    model.load_state_dict(state["ema"])
    return model.eval().requires_grad_(False)


def new_denoiser(config: TrainingConfig) -> tuple[PreTrainedTokenizerFast, Denoiser]:
    """The tokenizer and the networks as they are before the first step."""
    tokenizer, text = load_text(config)
    model = Denoiser(config, text)
    if begun := starting_point(config):
        model.unet.load_state_dict(begun.unet.state_dict())
        model.hints.load_state_dict(begun.hint_encoder.state_dict())
    return tokenizer, model


class Run:
    """One process's share of a training: networks, their average, optimizer, batches, checkpoint."""

    checkpoint = "denoiser.pt"

    def __init__(self, config: TrainingConfig, rank: int, processes: int) -> None:
        self.config, self.rank, self.processes = config, rank, processes
        self.device = torch.device(config.device)
        self.tokenizer, self.model = self._begin()
        self.model.to(self.device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.AdamW(
            [one for one in self.model.parameters() if one.requires_grad],
            lr=self._learning_rate(),
            weight_decay=0.01,
            betas=(0.9, 0.99),
        )
        self.ema = copy.deepcopy(self.model).requires_grad_(False)
        self.steps, self.spent_s = 0, 0.0
        self._resume()
        self.network: Any = DistributedDataParallel(self.model) if processes > 1 else self.model
        self.sampler = Sampler(load_pack(config), [config.seed, rank, self.steps], read_strangers(config))
        self.alpha_bar = new_scheduler().alphas_cumprod.float().to(self.device)
        self.saved_s, self.losses = self.spent_s, [0.0]

    # -- what a kind of training decides
    @staticmethod
    def minutes(config: TrainingConfig) -> tuple[float, float]:
        """How long it trains on small pictures, and how long in all."""
        raise NotImplementedError

    def _begin(self) -> tuple[PreTrainedTokenizerFast, Any]:
        """The tokenizer and the networks before the first step."""
        raise NotImplementedError

    def _learning_rate(self) -> float:
        return self.config.learning_rate

    def _loss(self, batch: Batch, ids: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError

    # -- what all have in common
    def step(self, *, small: bool, done: float) -> None:
        """One optimizer step on one batch. `done` (0..1) sets the learning rate."""
        started = time.monotonic()
        count = max(1, self.config.batch // self.processes)
        batch = self.sampler.draw(count * (2 if small else 1), small=small).to(self.device)
        ids = tokenize(self.tokenizer, batch.captions, self.config.text_tokens).to(self.device)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.bf16):
            loss = self._loss(batch, ids)
        self._rate(done)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.steps += 1
        self._average()
        self._tell(float(loss.detach()), time.monotonic() - started)

    def _time_steps(self, count: int) -> torch.Tensor:
        """Time steps (B,), all equally likely."""
        return torch.from_numpy(self.sampler.rng.integers(0, 1000, count)).to(self.device)

    def _noised(self, clean: torch.Tensor, steps: torch.Tensor) -> torch.Tensor:
        """Latents (B, C, h, w) at their time steps (B,)."""
        noise = torch.from_numpy(self.sampler.rng.standard_normal(clean.shape, np.float32))
        noisy = noised(clean, noise.to(self.device), self.alpha_bar[steps])
        return noisy.contiguous(memory_format=torch.channels_last)

    def _rate(self, done: float) -> None:
        """Warm up over 50 steps; after 60 % of the time fall along a cosine."""
        fall = 1.0 if done < 0.6 else 0.5 * (1 + math.cos(math.pi * (done - 0.6) / 0.4)) + 0.02
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate() * min(1, (self.steps + 1) / 50) * fall

    def _average(self) -> None:
        """Exponential moving average, quicker while there is little to average."""
        decay = min(self.config.ema, (self.steps + 1) / (self.steps + 12))
        with torch.no_grad():
            torch._foreach_lerp_(
                list(self.ema.parameters()), [p.detach() for p in self.model.parameters()], 1 - decay
            )

    def _tell(self, loss: float, took_s: float) -> None:
        self.spent_s += took_s
        if self.processes > 1:  # all stop at the same step
            clock = torch.tensor([self.spent_s], device=self.device)
            dist.broadcast(clock, 0)
            self.spent_s = float(clock)
        self.losses.append(loss)
        if self.steps % 50 == 0 and self.rank == 0:
            mean = float(np.mean(self.losses[-50:]))
            name, minutes = Path(self.checkpoint).stem, self.spent_s / 60
            print(f"{name} step {self.steps} loss {mean:.4f} at {minutes:.1f} min", flush=True)
        if self.spent_s - self.saved_s > SAVE_EVERY_S:
            self.saved_s = self.spent_s
            self.save()

    def save(self) -> None:
        """Write the checkpoint, all or nothing."""
        if self.rank:
            return
        path = self.config.folder / self.checkpoint
        state = {
            "model": self.model.state_dict(),
            "ema": self.ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "steps": self.steps,
            "spent_s": self.spent_s,
        }
        torch.save(state, path.with_suffix(".part"))
        path.with_suffix(".part").rename(path)

    def _resume(self) -> None:
        path = self.config.folder / self.checkpoint
        if path.exists():
            state = torch.load(path, weights_only=True, map_location=self.device)
            self.model.load_state_dict(state["model"])
            self.ema.load_state_dict(state["ema"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.steps, self.spent_s = state["steps"], state["spent_s"]


class DenoiserRun(Run):
    """The diffusion training itself."""

    @staticmethod
    def minutes(config: TrainingConfig) -> tuple[float, float]:
        """See `Run`."""
        return config.minutes_crops, config.minutes_crops + config.minutes_denoiser

    def _begin(self) -> tuple[PreTrainedTokenizerFast, Any]:
        return new_denoiser(self.config)

    def _loss(self, batch: Batch, ids: torch.Tensor) -> torch.Tensor:
        steps = self._time_steps(len(batch.clean))
        predicted = self.network(self._noised(batch.clean, steps), steps, ids, batch.control, batch.scale)
        return functional.mse_loss(predicted.float(), batch.clean)


Trainer = Callable[[TrainingConfig, int, int], None]


def train_together(trainer: Trainer, config: TrainingConfig, processes: int) -> None:
    """Train in that many processes on this machine: on a CPU, two of one thread beat one of two."""
    if processes == 1:
        trainer(config, 0, 1)
        return
    rendezvous = config.folder / "rendezvous"
    rendezvous.unlink(missing_ok=True)
    given = (trainer, config, processes, str(rendezvous))
    torch.multiprocessing.spawn(_member, given, nprocs=processes)  # type: ignore[attr-defined]


def _member(rank: int, trainer: Trainer, config: TrainingConfig, processes: int, rendezvous: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=processes)
    try:
        trainer(config, rank, processes)
    finally:
        dist.destroy_process_group()
