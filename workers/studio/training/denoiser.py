"""Stage `denoiser`: the diffusion training, in one process or several that share their gradients.

The objective is E |x0 - f(x_t, t, text, geometry)|² over uniform t (Ho et al. 2020 with the x0
parametrisation). Text and geometry are left out now and then, each by itself, so that guidance works and so
that either alone makes a picture (Ho and Salimans 2022).
"""

from __future__ import annotations

import copy
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from transformers import PreTrainedTokenizerFast

from workers.studio.training.captions import caption
from workers.studio.training.config import TrainingConfig
from workers.studio.training.maps import from_bytes
from workers.studio.training.networks import Denoiser, new_scheduler, noised
from workers.studio.training.pack import Pack, load_pack, training_rows
from workers.studio.training.start import starting_point
from workers.studio.training.text import load_text, tokenize

NO_TEXT, NO_GEOMETRY, WEAK_GEOMETRY = 0.1, 0.08, 0.1
SAVE_EVERY_S = 90.0


@dataclass(slots=True)
class Batch:
    """Latents (B, C, h, w), control (B, 8, 8 h, 8 w), strengths (B,), captions."""

    clean: torch.Tensor
    control: torch.Tensor
    scale: torch.Tensor
    captions: list[str]


class Sampler:
    """Random batches of a pack."""

    def __init__(self, pack: Pack, seed: list[int]) -> None:
        self.pack, self.rows = pack, training_rows(pack)
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
        texts = ["" if rng.random() < NO_TEXT else caption(pack.entries[int(row)], rng) for row in rows]
        return Batch(clean, from_bytes(control), torch.from_numpy(scale).float(), texts)


def train_denoiser(config: TrainingConfig, rank: int = 0, processes: int = 1) -> None:
    """Train until the minutes are used up, first on small pictures, then on whole ones."""
    torch.set_num_threads(1 if processes > 1 else torch.get_num_threads())
    torch.manual_seed(config.seed)
    run = _Run(config, rank, processes)
    minutes = config.minutes_crops + config.minutes_denoiser
    while run.spent_s < minutes * 60:
        run.step(small=run.spent_s < config.minutes_crops * 60, done=run.spent_s / (minutes * 60))
    run.save()


def checkpoint_path(config: TrainingConfig) -> Path:
    """Where the denoiser's checkpoint is."""
    return config.folder / "denoiser.pt"


def load_denoiser(config: TrainingConfig) -> Denoiser:
    """The averaged weights of the last checkpoint."""
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


class _Run:
    """One process's share of the training."""

    def __init__(self, config: TrainingConfig, rank: int, processes: int) -> None:
        self.config, self.rank, self.processes = config, rank, processes
        self.tokenizer, self.model = new_denoiser(config)
        self.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=config.learning_rate, weight_decay=0.01, betas=(0.9, 0.99)
        )
        self.ema = copy.deepcopy(self.model).requires_grad_(False)
        self.steps, self.spent_s = 0, 0.0
        self._resume()
        self.network: Any = DistributedDataParallel(self.model) if processes > 1 else self.model
        self.sampler = Sampler(load_pack(config), [config.seed, rank, self.steps])
        self.alpha_bar = new_scheduler().alphas_cumprod.float()
        self.saved_s, self.losses = self.spent_s, [0.0]

    def step(self, *, small: bool, done: float) -> None:
        """One optimizer step on one batch. `done` (0..1) sets the learning rate."""
        started = time.monotonic()
        count = max(1, self.config.batch // self.processes)
        batch = self.sampler.draw(count * (2 if small else 1), small=small)
        ids = tokenize(self.tokenizer, batch.captions, self.config.text_tokens)
        steps = torch.from_numpy(self.sampler.rng.integers(0, 1000, len(batch.clean)))
        noise = torch.from_numpy(self.sampler.rng.standard_normal(batch.clean.shape, np.float32))
        noisy = noised(batch.clean, noise, self.alpha_bar[steps])
        fast = {"memory_format": torch.channels_last}
        predicted = self.network(
            noisy.contiguous(**fast), steps, ids, batch.control.contiguous(**fast), batch.scale
        )
        loss = functional.mse_loss(predicted, batch.clean)
        self._rate(done)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.steps += 1
        self._average()
        self._tell(float(loss.detach()), time.monotonic() - started)

    def _rate(self, done: float) -> None:
        """Warm up over 50 steps; after 60 % of the time fall along a cosine."""
        fall = 1.0 if done < 0.6 else 0.5 * (1 + math.cos(math.pi * (done - 0.6) / 0.4)) + 0.02
        for group in self.optimizer.param_groups:
            group["lr"] = self.config.learning_rate * min(1, (self.steps + 1) / 50) * fall

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
            clock = torch.tensor([self.spent_s])
            dist.broadcast(clock, 0)
            self.spent_s = float(clock)
        self.losses.append(loss)
        if self.steps % 50 == 0 and self.rank == 0:
            mean = float(np.mean(self.losses[-50:]))
            print(f"denoiser step {self.steps} loss {mean:.4f} at {self.spent_s / 60:.1f} min", flush=True)
        if self.spent_s - self.saved_s > SAVE_EVERY_S:
            self.saved_s = self.spent_s
            self.save()

    def save(self) -> None:
        """Write the checkpoint, all or nothing."""
        if self.rank:
            return
        path = checkpoint_path(self.config)
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
        path = checkpoint_path(self.config)
        if path.exists():
            state = torch.load(path, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.ema.load_state_dict(state["ema"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.steps, self.spent_s = state["steps"], state["spent_s"]


def train_denoiser_together(config: TrainingConfig, processes: int) -> None:
    """Train in that many processes on this machine: on a CPU, two of one thread beat one of two."""
    if processes == 1:
        train_denoiser(config)
        return
    rendezvous = config.folder / "rendezvous"
    rendezvous.unlink(missing_ok=True)
    torch.multiprocessing.spawn(_member, (config, processes, str(rendezvous)), nprocs=processes)  # type: ignore[attr-defined]


def _member(rank: int, config: TrainingConfig, processes: int, rendezvous: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{rendezvous}", rank=rank, world_size=processes)
    try:
        train_denoiser(config, rank, processes)
    finally:
        dist.destroy_process_group()
