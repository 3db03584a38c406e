"""Does the picture show the part? A score of a render from the part's true control maps alone.

A small network (`workers.judge`) looks at picture and maps together and says place by place which edges are
missing, which are invented, and where the surface is another one. Those answers are pooled to the
probability that a careful person would accept the picture as one of this part, counted into sub-scores, and
put into words with the part's own holes, bosses, outline and edges.

Pictures are judged with the shorter side at 512 pixels, smaller ones at 256: what is smaller than about three
of these is not seen.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from workers.judge.inputs import WORKING_PX, beside, judge_input
from workers.judge.network import INVENTED, MISSING, STRIDE, SURFACE, JudgeNetwork, both_ways, contrast_of
from workers.judge.pooling import Calibration, pooled
from workers.judge.regions import EDGE, Feature, find_features
from workers.studio.control import CHANNELS

if TYPE_CHECKING:
    from workers.studio.control import Maps

WEIGHTS = Path(__file__).parent / "judge" / "weights"
SURE = 0.5
# A hole counts as drawn while less than this share of its rim is said to be missing.
RIM_MISSING = 0.45
LEAST_CELLS = 5
MOST_COMPLAINTS = 8
OTHER_PART_SHARE = 0.3
DEPTH_STEP = 0.02
# Mean contrast (of 1 a pixel): pictures of parts stay well below QUIET, and what has NOISE shows none.
QUIET, NOISE = 0.04, 0.06
LEAST_PX = 200

Cells = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Fidelity:
    """How well a picture shows its part.

    `probability` 0 to 1: that a careful person would accept it. The sub-scores are shares, 1 is best:
    `silhouette` of the outline, `edges` of the feature edges, that are drawn; `no_invented_edges` of the
    edges drawn, that the part has; `depth_order` of the edges where something stands before something else,
    that are drawn and keep both sides; `surface` of the part's area, that shows its own surface; `holes`
    and `bosses` of those that the view has, None where it has none. `mirrored`: whether the mirror image
    fits better. `complaints` say in words what is wrong, places in pixels from the picture's top left
    corner.
    """

    probability: float
    silhouette: float
    edges: float
    no_invented_edges: float
    depth_order: float | None
    surface: float
    holes: float | None
    bosses: float | None
    mirrored: bool
    complaints: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values, rounded to what is meant."""
        names = (
            "silhouette", "edges", "no_invented_edges", "depth_order", "surface", "holes", "bosses",
        )  # fmt: skip
        known = {name: getattr(self, name) for name in names}
        scores = {name: None if value is None else round(value, 4) for name, value in known.items()}
        return {
            "probability": round(self.probability, 4),
            "scores": {**scores, "mirrored": self.mirrored},
            "complaints": list(self.complaints),
        }


@dataclass(frozen=True, slots=True)
class Judge:
    """The network, and its calibrations for pictures and for small ones, in memory."""

    network: JudgeNetwork
    calibration: Calibration
    small_calibration: Calibration

    @torch.inference_mode()
    def look(self, inputs: torch.Tensor) -> tuple[float, Cells]:
        """Probability, and the local answers (3, h, w) in 0 to 1, of one input."""
        logits = both_ways(self.network, inputs)
        is_small = min(inputs.shape[-2:]) < WORKING_PX
        calibration = self.small_calibration if is_small else self.calibration
        probability = float(calibration.probability(pooled(logits))[0])
        answers = torch.sigmoid(logits)[0].numpy()
        # What is unlike all that the regression was fitted on: an empty picture has no outline either, and
        # noise has contrast everywhere.
        most = float(np.clip((_outline_share(inputs, answers) - 0.35) / 0.3, 0, 1))
        least = float(np.clip((NOISE - _noise(inputs)) / (NOISE - QUIET), 0, 1))
        return min(probability, most, least), answers


def _outline_share(inputs: torch.Tensor, answers: Cells) -> float:
    """How much of the part's outline is drawn; 1 where the picture holds none."""
    cells = _blocks(inputs[0, 7].numpy()).mean((1, 3)) > 0.5
    outline = np.asarray(cells & ~ndimage.binary_erosion(cells, border_value=1))
    drawn = (answers[MISSING] <= SURE) & (answers[SURFACE] <= SURE)
    share = _share(drawn, outline)
    return 1.0 if share is None else share


def _noise(inputs: torch.Tensor) -> float:
    """Mean contrast on the part away from its edges, or around the part, whichever is less."""
    contrast = contrast_of(inputs[:, :3])[0, 0].numpy()
    mask, edges = inputs[0, 7].numpy() > 0.5, inputs[0, 8].numpy() > EDGE
    places = (mask & ~ndimage.binary_dilation(edges, np.ones((5, 5))), ~mask)
    return min(float(contrast[one].mean()) if one.sum() >= LEAST_PX else 0.0 for one in places)


@cache
def load_judge(folder: Path = WEIGHTS) -> Judge:
    """The judge of a weights folder; the shipped one by default. It is loaded once."""
    from safetensors.torch import load_file

    network = JudgeNetwork()
    weights = load_file(folder / "judge.safetensors")
    network.load_state_dict({name: value.float() for name, value in weights.items()})
    network.eval().requires_grad_(False)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    plain = json.loads((folder / "calibration.json").read_text())
    calibrations = (Calibration.from_json(plain[name]) for name in ("calibration", "small_calibration"))
    return Judge(network, *calibrations)


def judge(image: NDArray[np.uint8], maps: Maps, judge: Judge | None = None) -> Fidelity:
    """How well an image (H, W, 3) shows the part of control maps of the same size.

    Raises:
        ValueError: the sizes differ.
    """
    if image.shape[:2] != maps.mask.shape:
        raise ValueError(f"the image is {image.shape[:2]}, the control maps are {maps.mask.shape}")
    using = judge or load_judge()
    inputs = judge_input(image, maps)
    probability, answers = using.look(inputs)
    seen = _Seen.of(inputs, answers, image.shape[1] / inputs.shape[-1])
    if _noise(inputs) >= NOISE:
        return seen.nothing("The picture has contrast everywhere, as noise has: no part is to be seen.")
    mirrored = probability < SURE and _fits_mirrored(using, inputs, probability)
    return seen.report(probability, mirrored=mirrored)


def local_answers(image: NDArray[np.uint8], maps: Maps) -> Cells:
    """Where edges are missing, invented, and the surface is another one: (3, h, w) in 0 to 1, for
    looking at."""
    return load_judge().look(judge_input(image, maps))[1]


def _fits_mirrored(using: Judge, inputs: torch.Tensor, probability: float) -> bool:
    """Whether the picture's mirror image shows the part better, and well enough to be meant."""
    control = inputs[:, 3 : 3 + CHANNELS]
    return using.look(beside(inputs[:, :3].flip(-1), control))[0] > max(SURE, 2 * probability)


@dataclass(frozen=True, slots=True)
class _Seen:
    """Maps and answers on the network's grid."""

    missing: Cells
    invented: Cells
    surface: Cells
    mask: Cells
    edges: Mask
    outline: Mask
    steps: Mask
    features: list[Feature]
    scale: float  # pixels of the picture in one of the working size

    @classmethod
    def of(cls, inputs: torch.Tensor, answers: Cells, scale: float) -> _Seen:
        control = inputs[0, 3 : 3 + CHANNELS].numpy()
        depth, mask, edges = control[3], control[4], control[5]
        cells = _blocks(mask).mean((1, 3))
        drawn = _blocks(edges).max((1, 3)) > EDGE
        near = np.asarray(ndimage.binary_dilation(cells > 0.5) & ~ndimage.binary_erosion(cells > 0.5))
        blocked = _blocks(np.where(mask > 0.5, depth, np.nan).astype(np.float32))
        with np.errstate(all="ignore"):
            low, high = np.nan_to_num(_least(blocked), nan=1), np.nan_to_num(_most(blocked), nan=0)
        wide = ndimage.maximum_filter(high, 3) - ndimage.minimum_filter(np.where(high > 0, low, 1), 3)
        steps = drawn & (wide > DEPTH_STEP * 3) & ~near
        return cls(
            answers[MISSING], answers[INVENTED], answers[SURFACE], cells.astype(np.float32), drawn,
            drawn & near, np.asarray(steps), find_features(mask, depth, edges), scale,
        )  # fmt: skip

    def report(self, probability: float, *, mirrored: bool) -> Fidelity:
        missing, invented, other = (one > SURE for one in (self.missing, self.invented, self.surface))
        lost = [one for one in self.features if self._is_lost(one)]
        on = self.mask > 0.5
        surface = 1 - float(other[on].mean()) if on.any() else 1.0
        edges = int(self.edges.sum())
        thin = int(invented.sum()) / 3  # answers are three cells wide
        return Fidelity(
            probability=probability,
            silhouette=_share(~missing & ~other, self.outline) or 0.0,
            edges=_share(~missing, self.edges) or 0.0,
            no_invented_edges=edges / max(edges + thin, 1e-9),
            depth_order=_share(~missing & ~other, self.steps),
            surface=surface,
            holes=self._drawn(lost, ("through-hole", "hole")),
            bosses=self._drawn(lost, ("boss",)),
            mirrored=mirrored,
            complaints=tuple(self._complaints(lost, surface, probability, mirrored=mirrored)),
        )

    def nothing(self, complaint: str) -> Fidelity:
        """Of a picture that shows no part at all."""
        kinds = {one.kind for one in self.features}
        return Fidelity(
            probability=0.0,
            silhouette=0.0,
            edges=0.0,
            no_invented_edges=0.0,
            depth_order=0.0 if self.steps.any() else None,
            surface=0.0,
            holes=0.0 if kinds - {"boss"} else None,
            bosses=0.0 if "boss" in kinds else None,
            mirrored=False,
            complaints=(complaint,),
        )

    # -- holes and bosses
    def _is_lost(self, feature: Feature) -> bool:
        rim = _blocks(feature.rim.astype(np.float32)).max((1, 3)) > 0
        area = _blocks(feature.area.astype(np.float32)).mean((1, 3)) > 0.5
        rim &= self.edges
        lost = (self.missing > SURE) & rim
        other = (self.surface > SURE) & area
        return bool(lost.sum() >= RIM_MISSING * max(rim.sum(), 1) or other.sum() > 0.6 * max(area.sum(), 1))

    def _drawn(self, lost: list[Feature], kinds: tuple[str, ...]) -> float | None:
        every = [one for one in self.features if one.kind in kinds]
        return 1 - sum(one.kind in kinds for one in lost) / len(every) if every else None

    # -- in words
    def _complaints(
        self, lost: list[Feature], surface: float, probability: float, *, mirrored: bool
    ) -> list[str]:
        if mirrored:
            return ["The picture shows the mirror image of the part."]
        if 1 - surface > OTHER_PART_SHARE and probability < SURE:
            return [f"Over {1 - surface:.0%} of its area the picture shows another part than this one."]
        told: list[tuple[float, str]] = []
        explained = np.zeros(self.mask.shape, bool)
        for one in lost:  # the largest first
            area = _blocks((one.area | one.rim).astype(np.float32)).max((1, 3)) > 0
            # A hole through the floor of another one is missing with that.
            if explained[area].mean() < 0.5:
                row, column = one.centre
                text = f"The {one.kind} at {self._place(row, column)} is missing."
                told.append((float(one.area.sum()), text))
            explained |= ndimage.binary_dilation(area, np.ones((3, 3)), 2)
        for wrong, words in ((self.invented, self._of_invented), (self.missing, self._of_missing)):
            labels, count = ndimage.label((wrong > SURE) & ~explained, np.ones((3, 3)))
            for number in range(1, count + 1):
                area = labels == number
                if area.sum() >= LEAST_CELLS:
                    told.append((float(area.sum()), words(area)))
                    explained |= ndimage.binary_dilation(area, np.ones((3, 3)), 2)
        told.sort(reverse=True)
        return [text for _, text in told[:MOST_COMPLAINTS]]

    def _of_invented(self, area: Mask) -> str:
        row, column = (float(one.mean()) * STRIDE for one in np.nonzero(area))
        rows, columns = np.nonzero(area)
        compact = max(np.ptp(rows), np.ptp(columns)) + 1 < 3 * (min(np.ptp(rows), np.ptp(columns)) + 1)
        what = "a hole or a boss" if compact and (self.mask[area] > 0.5).mean() > 0.8 else "an edge"
        return f"There is {what} at {self._place(row, column)} that the part does not have."

    def _of_missing(self, area: Mask) -> str:
        row, column = (float(one.mean()) * STRIDE for one in np.nonzero(area))
        what = "outline" if (self.outline & area).sum() > 0.4 * max((self.edges & area).sum(), 1) else "edge"
        return f"The part's {what} at {self._place(row, column)} is not drawn."

    def _place(self, row: float, column: float) -> str:
        return f"({round(column * self.scale)}, {round(row * self.scale)})"


def _blocks(values: NDArray[Any]) -> NDArray[Any]:
    height, width = values.shape
    return values.reshape(height // STRIDE, STRIDE, width // STRIDE, STRIDE)


def _least(blocked: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.fmin.reduce(np.fmin.reduce(blocked, 1), 2))


def _most(blocked: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.fmax.reduce(np.fmax.reduce(blocked, 1), 2))


def _share(good: Mask, among: Mask) -> float | None:
    return float(good[among].mean()) if among.any() else None
