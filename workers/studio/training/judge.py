"""Stage `judge`: trains the network of `workers.fidelity` on pairs of pictures and maps.

Samples are a crop of a picture beside the control maps of its own part, or of the same part with another or
no defect (`workers.studio.training.judge_data`). In larger windows the loudest false alarms, and the loudest
answers where something does differ, count once more: those decide whether a picture passes. Resumable: the
checkpoint holds network, optimizer and step.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file
from scipy import ndimage
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from workers.judge.network import JudgeNetwork
from workers.studio.training.config import TrainingConfig
from workers.studio.training.judge_data import Batch, Genuine, PairsData, draw_batch, draw_whole
from workers.studio.training.pairs import PairsConfig, is_learnt, read_cases

LOUDEST = 12  # places of a window that count once more
HARD = 0.3  # weight of these


@dataclass(frozen=True, slots=True)
class JudgeConfig:
    """How many steps of how many samples, and how many minutes a run may take for them at most.

    `begin` is a judge's weights folder to go on from; None begins from random weights. `drawers` processes
    draw the samples, while this one learns from them; 0 draws them here.
    """

    steps: int = 14000
    minutes: float = 1e9
    crops: int = 8
    wholes: int = 4
    drawers: int = 1
    learning_rate: float = 1.5e-3
    begin: Path | None = None
    seed: int = 5


class Drawn(IterableDataset[tuple[Batch, Batch]]):
    """Crops and windows, one step after the other; what a step sees follows from its number."""

    def __init__(self, data: PairsData, genuine: Genuine, config: JudgeConfig, first: int) -> None:
        self._data, self._genuine, self._config, self._first = data, genuine, config, first

    def __iter__(self) -> Iterator[tuple[Batch, Batch]]:
        process = get_worker_info()
        number, count = (process.id, process.num_workers) if process else (0, 1)
        for step in range(self._first + number, self._config.steps, count):
            rng = np.random.default_rng([self._config.seed, step])
            crops = draw_batch(self._data, rng, self._config.crops)
            yield crops, draw_whole(self._data, self._genuine, rng, self._config.wholes)


def loss_of(logits: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
    """Cross-entropy; what differs is rare and counts more, and what is obvious counts less (Lin et al.
    2017)."""
    plain = functional.binary_cross_entropy_with_logits(logits, answers, reduction="none")
    sure = torch.where(answers > 0.5, torch.sigmoid(logits), 1 - torch.sigmoid(logits))
    weight = torch.where(answers > 0.5, 4.0, 1.0) * (1 - sure) ** 1.0
    return (plain * weight).mean() * 10


def hard_loss(logits: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of each picture's loudest places away from what differs, and of the loudest within each
    thing that differs.

    Answers are smoothed as `pooled` does. What differs in fewer than LOUDEST places need not be loud.
    """
    smooth = functional.avg_pool2d(logits, 3, 1, 1, count_include_pad=False)
    near = functional.max_pool2d(answers, 5, 1, 2) > 0.5
    false = smooth.masked_fill(near, -30).flatten(1).topk(LOUDEST, 1).values
    missed = []
    for said, wanted in zip(smooth, answers > 0.5, strict=True):
        things, count = ndimage.label(wanted.any(0).numpy(), np.ones((3, 3)))
        for number in range(1, count + 1):
            within = said[wanted & torch.from_numpy(things == number)]
            if len(within) >= LOUDEST:
                missed.append(functional.softplus(-within.topk(LOUDEST).values).mean())
    loud = functional.softplus(false).mean()
    return loud + torch.stack(missed).mean() if missed else loud


def train(run: TrainingConfig, config: JudgeConfig, checkpoint: Path) -> JudgeNetwork:
    """Train for the steps, or until the minutes are used up, from the checkpoint where there is one."""
    torch.manual_seed(config.seed)
    cases = read_cases(PairsConfig.of(run), held_out=False)
    cases = [case for case in cases if is_learnt(case["folder"].name) and len(case["versions"]) > 1]
    if not cases:
        folder = PairsConfig.of(run).folder
        raise FileNotFoundError(f"{folder}: there are no cases to learn from; run the stage `pairs` first")
    network = _begun(config.begin)
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=1e-3)
    averaged = {name: value.clone() for name, value in network.state_dict().items()}
    step = 0
    if checkpoint.exists():
        kept = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(kept["network"])
        optimizer.load_state_dict(kept["optimizer"])
        averaged, step = kept["averaged"], kept["step"]
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    data = PairsData(cases if step < config.steps else [])
    drawn = DataLoader(Drawn(data, Genuine(run), config, step), batch_size=None, num_workers=config.drawers)
    started, seen = time.monotonic(), 0.0
    for (inputs, answers), (whole, wanted) in drawn:
        if (spent := (time.monotonic() - started) / 60) >= config.minutes:
            break
        share = step / config.steps
        for group in optimizer.param_groups:
            warm = min(1.0, (step + 1) / 100)
            group["lr"] = config.learning_rate * warm * float(0.5 * (1 + np.cos(np.pi * share)) + 0.02)
        with torch.autocast("cpu", torch.bfloat16, enabled=run.bf16):
            said_of_crops, said = (
                network(x.contiguous(memory_format=torch.channels_last)) for x in (inputs, whole)
            )
        said = said.float()
        loss = loss_of(said_of_crops.float(), answers) + loss_of(said, wanted)
        loss = loss + HARD * hard_loss(said, wanted)
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        step += 1
        keep = min(0.995, step / (step + 20))
        for name, value in network.state_dict().items():
            averaged[name].lerp_(value, 1 - keep)
        seen += loss.item()
        if step % 50 == 0:
            print(f"step {step}, {spent:.1f} min, loss {seen / 50:.4f}", flush=True)
            seen = 0.0
            _save(checkpoint, network, optimizer, averaged, step)
    _save(checkpoint, network, optimizer, averaged, step)
    network.load_state_dict(averaged)
    return network.eval()


def _begun(folder: Path | None) -> JudgeNetwork:
    network = JudgeNetwork()
    if folder is not None:
        weights = load_file(folder / "judge.safetensors")
        network.load_state_dict({name: value.float() for name, value in weights.items()})
    return network


def _save(
    path: Path,
    network: JudgeNetwork,
    optimizer: torch.optim.Optimizer,
    averaged: dict[str, torch.Tensor],
    step: int,
) -> None:
    held = {
        "network": network.state_dict(), "optimizer": optimizer.state_dict(), "averaged": averaged,
        "step": step,
    }  # fmt: skip
    torch.save(held, path.with_suffix(".part"))
    path.with_suffix(".part").rename(path)
