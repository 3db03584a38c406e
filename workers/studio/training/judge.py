"""Stage `judge`: trains the network of `workers.fidelity` on pairs of pictures and maps, and calibrates it.

Every sample is a crop of one picture beside the control maps of its own part, or of the same part with
another or no defect. What the network shall say follows from the two parts' maps alone: where their edges
and surfaces differ. Resumable: the checkpoint holds network, optimizer and step.
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
from PIL import Image
from safetensors.torch import save_file
from scipy import ndimage
from torch.nn import functional

from workers.judge.measures import around_part, auc, edge_scores, ssim
from workers.judge.network import STRIDE, JudgeNetwork, both_ways
from workers.judge.pooling import Calibration, fit, pooled
from workers.studio.control import CLAY, EDGES, MASK
from workers.studio.training.maps import from_bytes
from workers.studio.training.pairs import LEAST_CHANGED_PX, PairsConfig, changed, read_cases

CROP_PX = 64
EDGE = 76  # of 255: an edge that counts
NEAR_PX = 3  # an edge within this distance of another is the same one
# Of the pairs: how many are genuine twice, and how many are beside a foreign part's maps.
ANYWHERE, FOREIGN = 0.3, 0.04
WHOLE = 0.12


@dataclass(frozen=True, slots=True)
class JudgeConfig:
    """How many steps, how large, and how many minutes a run may take for them at most."""

    steps: int = 7500
    minutes: float = 1e9
    batch: int = 32
    learning_rate: float = 1.5e-3
    seed: int = 5
    threads: int = 1


class PairsData:
    """The cases in memory: maps as bytes, pictures as bytes with the number of the version they show."""

    def __init__(self, cases: list[dict[str, Any]]) -> None:
        self.maps: list[NDArray[np.uint8]] = []
        self.kinds = [[version["kind"] for version in case["versions"]] for case in cases]
        self.pictures: list[list[tuple[int, NDArray[np.uint8]]]] = []
        for case in cases:
            folder: Path = case["folder"]
            with np.load(folder / "maps.npz") as archive:
                self.maps.append(archive["maps"])
            shown = []
            for number, version in enumerate(case["versions"]):
                if version["pictured"]:
                    for kind in ("picture", "studio"):
                        path = folder / f"{kind}-{number}.png"
                        if path.exists():
                            shown.append((number, np.array(Image.open(path).convert("RGB"))))
            self.pictures.append(shown)
        self._answers: dict[tuple[int, int, int], NDArray[np.uint8]] = {}

    def answer(self, place: int, shown: int, told: int) -> NDArray[np.float32]:
        """`targets` of two versions of a case; kept, as bits."""
        key = (place, shown, told)
        own = self.maps[place][shown]
        shape = (3, own.shape[1] // STRIDE, own.shape[2] // STRIDE)
        if key not in self._answers:
            self._answers[key] = np.packbits(targets(own, self.maps[place][told]).astype(bool))
        bits = np.unpackbits(self._answers[key], count=int(np.prod(shape)))
        return bits.reshape(shape).astype(np.float32)

    def __len__(self) -> int:
        return len(self.maps)


def targets(shown: NDArray[np.uint8], told: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the network shall say (3, H/2, W/2) of a picture that shows one part's maps beside another's."""
    edges = [one[5] > EDGE for one in (shown, told)]
    near = [ndimage.maximum_filter(one, 2 * NEAR_PX + 1) for one in edges]
    answers = np.stack([edges[1] & ~near[0], edges[0] & ~near[1], changed(shown, told)])
    answers = ndimage.maximum_filter(answers, (1, 3, 3))
    height, width = answers.shape[1:]
    blocks = answers.reshape(3, height // STRIDE, STRIDE, width // STRIDE, STRIDE)
    return blocks.max((2, 4)).astype(np.float32)


Sample = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]


def draw_pair(data: PairsData, rng: np.random.Generator) -> list[Sample]:
    """Two samples of one place of one picture, each a picture (H, W, 3), maps (8, H, W) and the answer
    (3, H/2, W/2), cut to CROP_PX: beside its own maps, and beside those of another version of the part.

    Where they differ; else, of genuine pictures alone, anywhere on the part, so that no reflection and no
    pattern is taken for a defect.
    """
    place = int(rng.integers(len(data)))
    shown, kinds = data.pictures[place], data.kinds[place]
    number, picture = shown[int(rng.integers(len(shown)))]
    own = data.maps[place][number]
    nothing = np.zeros((3, own.shape[1] // STRIDE, own.shape[2] // STRIDE), np.float32)
    share = rng.random()
    if share < ANYWHERE:
        on = np.argwhere(own[4] > 127)
        first, second = (_cut((picture, own, nothing), on[int(rng.integers(len(on)))], rng) for _ in range(2))
        return [first, second]
    if share > 1 - FOREIGN:
        told = data.maps[int(rng.integers(len(data)))][0]
        answer = targets(own, told)
    else:
        others = [n for n in range(len(kinds)) if n != number]
        weights = np.array([_weight(kinds[number], kinds[n]) for n in others])
        version = others[int(rng.choice(len(others), p=weights / weights.sum()))]
        told, answer = data.maps[place][version], data.answer(place, number, version)
    differing = np.argwhere(answer.max(0) > 0) * STRIDE
    if not len(differing):
        differing = np.argwhere(own[4] > 127)
    middle = differing[int(rng.integers(len(differing)))]
    at = rng.integers(1 << 30)
    return [
        _cut((picture, own, nothing), middle, np.random.default_rng(at)),
        _cut((picture, told, answer), middle, np.random.default_rng(at)),
    ]


def _weight(shown: str, told: str) -> float:
    """Small defects are drawn more often than whole other parts, which are soon learnt."""
    return WHOLE if {shown, told} & {"wrong part", "mirrored part"} else 1.0


def _cut(sample: Sample, middle: NDArray[Any], rng: np.random.Generator) -> Sample:
    """A crop around a place, which lies anywhere within its inner half."""
    picture, maps, answer = sample
    moved = middle + rng.integers(-CROP_PX // 4, CROP_PX // 4 + 1, 2) - CROP_PX // 2
    row, column = (
        int(np.clip(m, 0, side - CROP_PX)) // STRIDE * STRIDE
        for m, side in zip(moved, picture.shape[:2], strict=True)
    )
    large = (slice(row, row + CROP_PX), slice(column, column + CROP_PX))
    few = tuple(slice(one.start // STRIDE, one.stop // STRIDE) for one in large)
    return picture[large], maps[:, large[0], large[1]], answer[:, few[0], few[1]]


def draw_batch(data: PairsData, rng: np.random.Generator, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Inputs (B, 11, H, W) and answers, with other colours, blur, noise and the mirror image mixed in."""
    drawn: list[Sample] = []
    looks: list[NDArray[np.float32]] = []
    while len(drawn) < size:
        pair = draw_pair(data, rng)
        at = rng.integers(1 << 30)  # both of a pair look the same
        looks += [_recoloured(picture, np.random.default_rng(at)) for picture, _, _ in pair]
        drawn += pair
    control = from_bytes(torch.from_numpy(np.stack([maps for _, maps, _ in drawn])))
    inputs = torch.cat([torch.from_numpy(np.stack(looks)).permute(0, 3, 1, 2), control], 1)
    answers = torch.from_numpy(np.stack([answer for _, _, answer in drawn]))
    for row in range(0, len(drawn), 2):
        if rng.random() < 0.5:
            inputs[row : row + 2] = inputs[row : row + 2].flip(-1)
            inputs[row : row + 2, 3] *= -1
            answers[row : row + 2] = answers[row : row + 2].flip(-1)
    return inputs, answers


def _recoloured(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.float32]:
    made = picture.astype(np.float32) / 255
    if rng.random() < 0.6:
        made = made[..., rng.permutation(3)]
    if rng.random() < 0.15:
        made = np.repeat(made.mean(-1, keepdims=True), 3, -1)
    made = made ** rng.uniform(0.75, 1.35) * rng.uniform(0.85, 1.1)
    if rng.random() < 0.3:
        made = ndimage.gaussian_filter(made, (*[rng.uniform(0.3, 0.8)] * 2, 0))
    if rng.random() < 0.3:
        made = made + rng.normal(0, rng.uniform(0.004, 0.02), made.shape)
    return np.clip(made, 0, 1).astype(np.float32)


def loss_of(logits: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
    """Cross-entropy; what differs is rare and counts more, and what is obvious counts less (Lin et al.
    2017)."""
    plain = functional.binary_cross_entropy_with_logits(logits, answers, reduction="none")
    sure = torch.where(answers > 0.5, torch.sigmoid(logits), 1 - torch.sigmoid(logits))
    weight = torch.where(answers > 0.5, 4.0, 1.0) * (1 - sure) ** 1.0
    return (plain * weight).mean() * 10


def train(pairs: PairsConfig, config: JudgeConfig, checkpoint: Path) -> JudgeNetwork:
    """Train for the steps, or until the minutes are used up, from the checkpoint where there is one."""
    torch.set_num_threads(config.threads)
    torch.manual_seed(config.seed)
    data = PairsData([c for c in read_cases(pairs, held_out=False) if not _kept_back(c)])
    network = JudgeNetwork()
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
        inputs, answers = draw_batch(data, rng, config.batch)
        loss = loss_of(network(inputs), answers)
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


def _kept_back(case: dict[str, Any]) -> bool:
    """Every fifth case of the training families is for calibrating alone."""
    return int(case["folder"].name.rpartition("-")[2]) % 5 == 4


# -- from answers to a probability
# ----------------------------------------------------------------------------
# How many of the pictures that will be judged may be genuine: what makes a probability of the score.
PRIORS = (0.5, 0.6, 0.7, 0.8, 0.9)
MOST_REJECTED = 0.015
# Pictures of two versions that differ by this much (of 255) in fewer pixels than LEAST_CHANGED_PX look alike.
VISIBLE_LEVELS = 12


@dataclass(slots=True)
class Judged:
    """Pictures beside maps: what was shown, of which kind, and the pooled answers."""

    genuine: list[bool]
    kind: list[str]
    source: list[str]
    features: list[NDArray[np.float64]]
    ssim: list[float]
    edges: list[float]


def visible_px(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> int:
    """In how many pixels two pictures differ so that a person sees it."""
    apart = np.abs(first.astype(int) - second.astype(int)).max(-1)
    return int((apart > VISIBLE_LEVELS).sum())


@torch.inference_mode()
def judge_cases(network: JudgeNetwork, cases: list[dict[str, Any]], *, baselines: bool = False) -> Judged:
    """Every picture of the cases beside its own maps, and beside those of the part without its defect.

    The genuine part's picture is judged beside the defects' maps as well where those have no picture of
    their own. Defects that change too few pixels are left out, of the maps or, where both are pictured, of
    the picture.
    """
    found = Judged([], [], [], [], [], [])
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
                    other = pictures.get(told)
                    if told != number:
                        if changed(maps[number], maps[told]).sum() < LEAST_CHANGED_PX:
                            continue
                        if other is not None and visible_px(picture, other) < LEAST_CHANGED_PX:
                            continue
                    _judge_one(network, found, (picture, control[told : told + 1]), baselines=baselines)
                    found.genuine.append(told == number)
                    found.kind.append(
                        case["versions"][max(number, told)]["kind"] if told != number else "genuine"
                    )
                    found.source.append(source)
    return found


def _judge_one(
    network: JudgeNetwork, found: Judged, pair: tuple[NDArray[np.uint8], torch.Tensor], *, baselines: bool
) -> None:
    picture, control = pair
    colours = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    found.features.append(pooled(both_ways(network, torch.cat([colours, control], 1)))[0])
    if baselines:
        clay, edges, mask = control[0, CLAY].numpy(), control[0, EDGES].numpy(), control[0, MASK].numpy()
        image = picture.astype(np.float32) / 255
        found.ssim.append(ssim(image, clay))
        found.edges.append(edge_scores(image, edges > EDGE / 255, around_part(mask))[2])


def calibrate(network: JudgeNetwork, cases: list[dict[str, Any]]) -> Calibration:
    """The logistic regression, fitted on cases that the network was not trained on.

    It assumes as few genuine pictures as it may without rejecting more than MOST_REJECTED of those it is
    fitted on.
    """
    judged = judge_cases(network, [case for case in cases if _kept_back(case)])
    features, genuine = np.stack(judged.features), np.array(judged.genuine)
    for prior in PRIORS:
        made = fit(features, judged.genuine, prior)
        if (made.probability(features[genuine]) < 0.5).mean() <= MOST_REJECTED:
            break
    return made


def table(judged: Judged, calibration: Calibration) -> dict[str, Any]:
    """ROC AUC for each kind of defect, of the judge and of two plain measures, for both sources of pictures
    together and apart, and the share of genuine pictures that are rejected at one half."""
    scores = calibration.probability(np.stack(judged.features))
    genuine, kinds, sources = (np.array(one) for one in (judged.genuine, judged.kind, judged.source))
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
