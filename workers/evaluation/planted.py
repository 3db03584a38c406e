"""How well the judge tells planted defects, beside SSIM to the clay pass and plain edge overlap."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from workers.evaluation.cases import PICTURE_PX, EvaluationSet
from workers.evaluation.drawn import Drawn
from workers.evaluation.shapes import has_more
from workers.evaluation.subjects import Picture, small, small_map
from workers.fidelity import judge, load_judge
from workers.geometry.maps import ControlMaps
from workers.judge.inputs import judge_input
from workers.judge.measures import around_part, auc, edge_scores, ssim
from workers.judge.regions import EDGE

# The picture shows the part without the difference that the maps have: one hole more there is one missing
# here.
MEANT = {"missing hole": "extra hole", "extra hole": "missing hole", "extra bolt": "missing bolt"}
# An outer edge that is rounded off and an inner corner that is filled: together, and apart as well.
MELTED, OUTER, INNER = "melted edge", "melted edge: outer", "melted edge: inner"


class Scores:
    """What each measure says of pictures beside maps, by kind of defect."""

    def __init__(self) -> None:
        self.judge = load_judge()
        self.of: dict[str, dict[str, list[float]]] = {
            name: defaultdict(list) for name in ("fidelity", "ssim", "edges")
        }

    def probability(self, picture: Picture, beside: ControlMaps) -> float:
        """The judge's, that the picture is of a part with those maps."""
        return self.judge.look(judge_input(picture, beside))[0]

    def add(
        self, kinds: Sequence[str], picture: Picture, beside: ControlMaps, likely: float | None = None
    ) -> None:
        """One more picture beside maps, under these kinds; `likely` is its probability where it is known."""
        image, edges = small(picture), small_map(beside.edges, largest=True) > EDGE
        said = {
            "fidelity": self.probability(picture, beside) if likely is None else likely,
            "ssim": ssim(image, small_map(beside.clay)),
            "edges": edge_scores(image, edges, around_part(small_map(beside.mask)))[2],
        }
        for name, value in said.items():
            for kind in kinds:
                self.of[name][kind].append(value)

    @property
    def kinds(self) -> list[str]:
        """The defects among what was added."""
        return sorted(set(self.of["fidelity"]) - {"genuine"})

    def areas(self, name: str) -> dict[str, float]:
        """The ROC AUC of a measure for each kind of defect."""
        of = self.of[name]
        return {kind: round(auc(of["genuine"], of[kind]), 4) for kind in self.kinds}


def figures(
    having: EvaluationSet, drawn: dict[str, list[Drawn]], maps: Sequence[ControlMaps], every: int
) -> dict[str, Any]:
    """How well the judge and the plain measures tell genuine from defective, how many genuine pictures it
    rejects, and the order of depths that it sees in the model's.

    In every so many cases its pictures in red and blue are judged as well, and the picture beside the maps of
    the same part with one difference. `maps` are those of the model's own size.
    """
    scores, depth = Scores(), []
    rejected: dict[str, list[bool]] = {"model": [], "path_traced": []}
    for number, (ours, true) in enumerate(zip(drawn["model"], drawn["path_traced"], strict=True)):
        whole = judge(ours.words, maps[number])
        if whole.depth_order is not None:
            depth.append(whole.depth_order)
        same_maps = maps[number].mask.shape == (PICTURE_PX, PICTURE_PX)
        own = maps[number] if same_maps else having.maps(ours.case, PICTURE_PX)
        likely = whole.probability if same_maps else scores.probability(ours.words, own)
        likely_true = scores.probability(true.words, own)
        rejected["model"].append(whole.probability < 0.5)
        rejected["path_traced"].append(likely_true < 0.5)
        scores.add(["genuine"], ours.words, own, likely)
        scores.add(["genuine"], true.words, own, likely_true)
        if number % every:
            continue
        coloured = (one for one in (ours.red, ours.blue) if one is not None)
        rejected["model"] += [scores.probability(one, own) < 0.5 for one in coloured]
        for defect in ours.case.defects:
            if defect.picture is not None:
                scores.add([defect.kind], defect.picture, own)
            beside = having.defect_maps(ours.case, defect)
            kinds = [MEANT.get(defect.kind, defect.kind)]
            if defect.kind == MELTED:
                kinds.append(INNER if has_more(own, beside) else OUTER)
            for one in (ours, true):
                scores.add(kinds, one.words, beside)
    everything = [*rejected["model"], *rejected["path_traced"]]
    return {
        "fidelity_auc": scores.areas("fidelity"),
        "fidelity_auc_of_ssim": scores.areas("ssim"),
        "fidelity_auc_of_edges": scores.areas("edges"),
        "fidelity_count": {kind: len(scores.of["fidelity"][kind]) for kind in [*scores.kinds, "genuine"]},
        "fidelity_false_reject": round(float(np.mean(everything)), 4),
        "fidelity_false_reject_model": round(float(np.mean(rejected["model"])), 4),
        "fidelity_false_reject_path_traced": round(float(np.mean(rejected["path_traced"])), 4),
        "depth_order": round(float(np.mean(depth)), 4) if depth else None,
    }
