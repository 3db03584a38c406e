"""How a trained judge becomes a probability, and how well it tells planted defects."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch.nn import functional

from workers.evaluation.cases import TRUTH_PX
from workers.evaluation.subjects import small
from workers.judge.inputs import WORKING_PX, beside, working_control
from workers.judge.measures import around_part, auc, edge_scores, ssim
from workers.judge.network import JudgeNetwork, both_ways
from workers.judge.pooling import Calibration, fit, pooled
from workers.studio.control import CLAY, EDGES, MASK
from workers.studio.training.differences import EDGE, LEAST_CHANGED_PX, changed, counted, visible_px
from workers.studio.training.judge_data import PairsData
from workers.studio.training.maps import from_bytes
from workers.studio.training.pairs import is_kept_back

# How many of the pictures that will be judged are genuine: what makes a probability of the score.
PRIOR = 0.9
# Defects are counted apart by how many pixels of 256 by 256 show them: from each of these on.
SIZES_PX = (12, 40, 120, 360)
# Of the product's setting `fidelity_threshold`: what each rejects.
THRESHOLDS = (0.3, 0.5, 0.7, 0.9, 0.95)


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


@torch.inference_mode()
def judge_cases(
    network: JudgeNetwork,
    cases: list[dict[str, Any]],
    *,
    size_px: int = WORKING_PX,
    baselines: bool = False,
    bf16: bool = False,
) -> Judged:
    """Every picture of the cases beside its own maps, and beside those of the part without its defect.

    The genuine part's picture is judged beside the defects' maps as well where those have no picture of
    their own. Defects that change too few pixels are left out, of the maps or, where both are pictured, of
    the picture. `size_px`: what they are judged at. `bf16`: the network computes in it, as it was trained.
    """
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    found = Judged([], [], [], [], [], [], [])
    for case in cases:
        data = PairsData([case])
        maps, shown = data.maps[0], data.pictures[0]
        control = from_bytes(torch.from_numpy(maps))
        by_source: dict[str, dict[int, NDArray[np.uint8]]] = {"truth": {}, "studio": {}}
        for one in shown:
            by_source["truth" if one.source == "picture" else "studio"][one.version] = one.pixels
        for source, pictures in by_source.items():
            for number, picture in pictures.items():
                beside = [number] if number == 0 else [number, 0]
                if number == 0:
                    beside += [n for n in range(1, len(maps)) if n not in pictures]
                for told in beside:
                    other, shown_px = pictures.get(told), 0
                    if told != number:
                        differs = changed(maps[number], maps[told])
                        shown_px = counted(differs)
                        if other is not None:
                            shown_px = min(shown_px, visible_px(picture, other, differs))
                        if shown_px < LEAST_CHANGED_PX:
                            continue
                    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                        logits = _answers(network, picture, control[told : told + 1], size_px)
                    found.features.append(pooled(logits.float())[0])
                    if baselines:
                        _by_plain_measures(found, picture, control[told : told + 1])
                    found.genuine.append(told == number)
                    found.kind.append(
                        case["versions"][max(number, told)]["kind"] if told != number else "genuine"
                    )
                    found.source.append(source)
                    found.shown_px.append(shown_px)
    return found


def _answers(
    network: JudgeNetwork, picture: NDArray[np.uint8], control: torch.Tensor, size_px: int
) -> torch.Tensor:
    colours = torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255
    colours = functional.interpolate(colours, size=(size_px, size_px), mode="area")
    inputs = beside(colours, working_control(control, (size_px, size_px)))
    return both_ways(network, inputs.contiguous(memory_format=torch.channels_last))


def _by_plain_measures(found: Judged, picture: NDArray[np.uint8], control: torch.Tensor) -> None:
    """At the size that `models evaluate` measures at."""
    few = working_control(control, (TRUTH_PX, TRUTH_PX))[0]
    clay, edges, mask, image = few[CLAY].numpy(), few[EDGES].numpy(), few[MASK].numpy(), small(picture)
    found.ssim.append(ssim(image, clay))
    found.edges.append(edge_scores(image, edges > EDGE / 255, around_part(mask))[2])


def calibrate(
    network: JudgeNetwork, cases: list[dict[str, Any]], size_px: int = WORKING_PX, *, bf16: bool = False
) -> Calibration:
    """The logistic regression for pictures of a size, fitted on cases that the network was not trained on.

    Every kind of defect counts alike, however many pictures show it.
    """
    kept_back = [case for case in cases if is_kept_back(case["folder"].name)]
    judged = judge_cases(network, kept_back, size_px=size_px, bf16=bf16)
    kinds, counts = np.unique(judged.kind, return_counts=True)
    alike = 1 / counts[np.searchsorted(kinds, judged.kind)]
    return fit(np.stack(judged.features), judged.genuine, PRIOR, counts=alike)


def table(judged: Judged, calibration: Calibration) -> dict[str, Any]:
    """ROC AUC for each kind of defect, of the judge and of two plain measures, for both sources of pictures
    together and apart, and by how many pixels show it; and the shares of these and of genuine pictures that
    each threshold rejects."""
    scores = calibration.probability(np.stack(judged.features))
    genuine, kinds, sources = (np.array(one) for one in (judged.genuine, judged.kind, judged.source))
    shown_px = np.array(judged.shown_px)
    measured = {"fidelity": scores, "ssim": np.array(judged.ssim), "edges": np.array(judged.edges)}
    measured = {name: values for name, values in measured.items() if len(values)}

    def areas(kind: str, values: NDArray[Any], among: NDArray[np.bool_]) -> float | None:
        good, bad = values[genuine & among], values[(kinds == kind) & among]
        return round(auc(list(good), list(bad)), 4) if len(good) and len(bad) else None

    def rejected(among: NDArray[np.bool_]) -> dict[str, float]:
        return {str(one): round(float((scores[among] < one).mean()), 4) for one in THRESHOLDS}

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
        rows[kind] = row | {"rejected": rejected(kinds == kind)}
    rejects = {source: rejected(genuine & (sources == source)) for source in sorted(set(judged.source))}
    return {"auc": rows, "false_reject": rejects, "genuine": int(genuine.sum())}


def save_judge(
    network: JudgeNetwork, calibration: Calibration, small: Calibration, told: dict[str, Any], folder: Path
) -> int:
    """Write the weights (fp16) and the calibrations, of pictures and of small ones; bytes of all."""
    folder.mkdir(parents=True, exist_ok=True)
    halves = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    save_file(halves, folder / "judge.safetensors")
    plain = {"calibration": calibration.as_json(), "small_calibration": small.as_json(), "measured": told}
    text = json.dumps(plain, indent=1)
    (folder / "calibration.json").write_text(text + "\n")
    return sum(path.stat().st_size for path in folder.iterdir() if path.is_file())
