"""Stage `judge`: trains the network of `workers.fidelity` on pairs of pictures and maps, and calibrates it.

Samples are a picture, or a crop of one, beside the control maps of its own part, or of the same part with
another or no defect (`workers.studio.training.judge_data`). In whole pictures the loudest false alarms, and
the loudest answers where something does differ, count once more: those decide whether a picture passes.
Resumable: the checkpoint holds network, optimizer and step.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from scipy import ndimage
from torch.nn import functional

from workers.judge.inputs import beside
from workers.judge.measures import around_part, auc, edge_scores, ssim
from workers.judge.network import JudgeNetwork, both_ways
from workers.judge.pooling import Calibration, fit, pooled
from workers.studio.control import CLAY, EDGES, MASK
from workers.studio.training.config import TrainingConfig
from workers.studio.training.judge_data import EDGE, Genuine, PairsData, draw_batch, draw_whole
from workers.studio.training.maps import from_bytes
from workers.studio.training.pairs import (
    LEAST_CHANGED_PX,
    PairsConfig,
    changed,
    is_kept_back,
    read_cases,
)

LOUDEST = 12  # places of a whole picture that count once more
HARD = 0.3  # weight of these


@dataclass(frozen=True, slots=True)
class JudgeConfig:
    """How many steps, how large, and how many minutes a run may take for them at most.

    `begin` is a judge's weights folder to go on from; None begins from random weights.
    """

    steps: int = 11000
    minutes: float = 1e9
    crops: int = 16
    learning_rate: float = 1.5e-3
    begin: Path | None = None
    seed: int = 5


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
    data = PairsData(
        [c for c in read_cases(PairsConfig.of(run), held_out=False) if not is_kept_back(c["folder"].name)]
    )
    genuine = Genuine(run)
    network = _begun(config.begin)
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, weight_decay=1e-3)
    averaged = {name: value.clone() for name, value in network.state_dict().items()}
    step = 0
    if checkpoint.exists():
        kept = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(kept["network"])
        optimizer.load_state_dict(kept["optimizer"])
        averaged, step = kept["averaged"], kept["step"]
    rng = np.random.default_rng([config.seed, step])
    started, seen = time.monotonic(), 0.0
    while step < config.steps and (spent := (time.monotonic() - started) / 60) < config.minutes:
        share = step / config.steps
        for group in optimizer.param_groups:
            warm = min(1.0, (step + 1) / 100)
            group["lr"] = config.learning_rate * warm * float(0.5 * (1 + np.cos(np.pi * share)) + 0.02)
        inputs, answers = draw_batch(data, rng, config.crops)
        whole, wanted = draw_whole(data, genuine, rng)
        said = network(whole)
        loss = loss_of(network(inputs), answers) + loss_of(said, wanted) + HARD * hard_loss(said, wanted)
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


# -- from answers to a probability
# ----------------------------------------------------------------------------
# How many of the pictures that will be judged are genuine: what makes a probability of the score.
PRIOR = 0.9
# How far apart two pictures must be (of 255, over 3 by 3 pixels) for a person to see a difference, ...
VISIBLE_LEVELS = 12
# ... and how far around what differs in the maps it may show, as its rim or shadow.
AROUND_PX = 2
# Defects are counted apart by how many pixels of 256 by 256 show them: from each of these on.
SIZES_PX = (12, 40, 120, 360)


@dataclass(slots=True)
class Judged:
    """Pictures beside maps: what was shown, of which kind, in how many pixels, and the pooled answers."""

    genuine: list[bool]
    kind: list[str]
    source: list[str]
    shown_px: list[int]
    features: list[NDArray[np.float64]]
    ssim: list[float]
    edges: list[float]


def visible_px(first: NDArray[np.uint8], second: NDArray[np.uint8], where: NDArray[np.bool_]) -> int:
    """In how many pixels of a place, and right around it, two pictures differ so that a person sees it."""
    smooth = [ndimage.uniform_filter(one.astype(np.float32), (3, 3, 0)) for one in (first, second)]
    apart = np.abs(smooth[0] - smooth[1]).max(-1) > VISIBLE_LEVELS
    return int((apart & ndimage.binary_dilation(where, np.ones((3, 3)), AROUND_PX)).sum())


@torch.inference_mode()
def judge_cases(network: JudgeNetwork, cases: list[dict[str, Any]], *, baselines: bool = False) -> Judged:
    """Every picture of the cases beside its own maps, and beside those of the part without its defect.

    The genuine part's picture is judged beside the defects' maps as well where those have no picture of
    their own. Defects that change too few pixels are left out, of the maps or, where both are pictured, of
    the picture.
    """
    found = Judged([], [], [], [], [], [], [])
    for case in cases:
        data = PairsData([case])
        maps, shown = data.maps[0], data.pictures[0]
        control = from_bytes(torch.from_numpy(maps))
        by_source: dict[str, dict[int, NDArray[np.uint8]]] = {"truth": {}, "studio": {}}
        for number, picture in shown:
            by_source["studio" if number in by_source["truth"] else "truth"][number] = picture
        for source, pictures in by_source.items():
            for number, picture in pictures.items():
                beside = [number] if number == 0 else [number, 0]
                if number == 0:
                    beside += [n for n in range(1, len(maps)) if n not in pictures]
                for told in beside:
                    other, shown_px = pictures.get(told), 0
                    if told != number:
                        differs = changed(maps[number], maps[told])
                        shown_px = int(differs.sum())
                        if other is not None:
                            shown_px = min(shown_px, visible_px(picture, other, differs))
                        if shown_px < LEAST_CHANGED_PX:
                            continue
                    _judge_one(network, found, (picture, control[told : told + 1]), baselines=baselines)
                    found.genuine.append(told == number)
                    found.kind.append(
                        case["versions"][max(number, told)]["kind"] if told != number else "genuine"
                    )
                    found.source.append(source)
                    found.shown_px.append(shown_px)
    return found


def _judge_one(
    network: JudgeNetwork, found: Judged, pair: tuple[NDArray[np.uint8], torch.Tensor], *, baselines: bool
) -> None:
    picture, control = pair
    colours = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    found.features.append(pooled(both_ways(network, beside(colours, control)))[0])
    if baselines:
        clay, edges, mask = control[0, CLAY].numpy(), control[0, EDGES].numpy(), control[0, MASK].numpy()
        image = picture.astype(np.float32) / 255
        found.ssim.append(ssim(image, clay))
        found.edges.append(edge_scores(image, edges > EDGE / 255, around_part(mask))[2])


def calibrate(network: JudgeNetwork, cases: list[dict[str, Any]]) -> Calibration:
    """The logistic regression, fitted on cases that the network was not trained on.

    Every kind of defect counts alike, however many pictures show it.
    """
    judged = judge_cases(network, [case for case in cases if is_kept_back(case["folder"].name)])
    kinds, counts = np.unique(judged.kind, return_counts=True)
    alike = 1 / counts[np.searchsorted(kinds, judged.kind)]
    return fit(np.stack(judged.features), judged.genuine, PRIOR, counts=alike)


def table(judged: Judged, calibration: Calibration) -> dict[str, Any]:
    """ROC AUC for each kind of defect, of the judge and of two plain measures, for both sources of pictures
    together and apart, and by how many pixels show it; and the share of genuine pictures that are rejected at
    one half."""
    scores = calibration.probability(np.stack(judged.features))
    genuine, kinds, sources = (np.array(one) for one in (judged.genuine, judged.kind, judged.source))
    shown_px = np.array(judged.shown_px)
    measured = {"fidelity": scores, "ssim": np.array(judged.ssim), "edges": np.array(judged.edges)}
    measured = {name: values for name, values in measured.items() if len(values)}

    def areas(kind: str, values: NDArray[Any], among: NDArray[np.bool_]) -> float | None:
        good, bad = values[genuine & among], values[(kinds == kind) & among]
        return round(auc(list(good), list(bad)), 4) if len(good) and len(bad) else None

    everything = np.ones(len(genuine), bool)
    rows: dict[str, Any] = {}
    for kind in sorted(set(judged.kind) - {"genuine"}):
        row: dict[str, Any] = {"count": int((kinds == kind).sum())}
        row |= {name: areas(kind, values, everything) for name, values in measured.items()}
        row |= {source: areas(kind, scores, sources == source) for source in sorted(set(judged.source))}
        row["by_shown_px"] = {}
        for least, most in zip(SIZES_PX, (*SIZES_PX[1:], np.inf), strict=True):
            within = genuine | ((shown_px >= least) & (shown_px < most))
            count = int((within & (kinds == kind)).sum())
            row["by_shown_px"][str(least)] = {"count": count, "fidelity": areas(kind, scores, within)}
        rows[kind] = row | {"rejected": round(float((scores[kinds == kind] < 0.5).mean()), 4)}
    rejects = {
        source: round(float((scores[genuine & (sources == source)] < 0.5).mean()), 4)
        for source in sorted(set(judged.source))
    }
    return {"auc": rows, "false_reject": rejects, "genuine": int(genuine.sum())}


def save_judge(network: JudgeNetwork, calibration: Calibration, told: dict[str, Any], folder: Path) -> int:
    """Write the weights (fp16) and the calibration; bytes of both."""
    folder.mkdir(parents=True, exist_ok=True)
    halves = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    save_file(halves, folder / "judge.safetensors")
    text = json.dumps({"calibration": calibration.as_json(), "measured": told}, indent=1)
    (folder / "calibration.json").write_text(text + "\n")
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
