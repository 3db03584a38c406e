"""The bars that the studio model's figures are held to, and the whole answer of an evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workers.evaluation.materials import MaterialClassifier

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Bar:
    """A figure's bar and what is aimed at; `least` says on which side of it a figure must lie."""

    value: float
    aim: float
    least: bool = True

    def is_met(self, figure: float) -> bool:
        """Whether the figure reaches it."""
        return figure >= self.value if self.least else figure <= self.value


BARS = {
    "silhouette_iou": Bar(0.99, 0.995),
    "boundary_f1": Bar(0.96, 0.98),
    "edge_f1": Bar(0.85, 0.90),
    "edge_precision": Bar(0.93, 0.96),
    "hole_recall": Bar(0.90, 0.98),
    "ssim": Bar(0.88, 0.92),
    "colour_obedience": Bar(0.95, 0.99),
    "material_obedience": Bar(0.85, 0.95),
    "delta_e_part": Bar(8, 5, least=False),
    "delta_e_floor": Bar(6, 4, least=False),
    "family_gap": Bar(-0.03, 0.0),
    "seconds_512": Bar(3.0, 1.5, least=False),
    "folder_mb": Bar(90, 50, least=False),
    "fidelity_false_reject": Bar(0.03, 0.01, least=False),
}
FIDELITY_BAR = Bar(0.97, 0.99)
KEYS = (
    "silhouette_iou", "boundary_f1", "edge_f1", "edge_precision", "edge_precision_even", "edges_explained",
    "edge_recall", "hole_recall", "depth_order", "ssim", "colour_obedience", "colour_obedience_captions",
    "material_obedience", "delta_e_part", "delta_e_floor", "family_gap", "diversity_over_seeds",
    "difference_over_views", "classifier_fid", "classifier_kid", "classifier_is", "inception_fid",
    "inception_kid", "inception_is", "seconds_512", "seconds_sampling", "share_of_peak", "folder_mb",
    "fidelity_auc", "fidelity_false_reject",
)  # fmt: skip
REASONS = {
    "silhouette_iou": "needs pictures of one seed in two colours, which this subject has none of",
    "boundary_f1": "needs pictures of one seed in two colours, which this subject has none of",
    "hole_recall": "needs pictures in two colours, and through-holes of 8 px among the parts",
    "family_gap": "needs parts of families that the studio model was trained on among those measured",
    "seconds_512": "the model's own size is not 512 px",
    "folder_mb": "the model is no folder on this host",
    "classifier_fid": "needs three pictures at least",
    "classifier_kid": "needs three pictures at least",
    **dict.fromkeys(
        ("inception_fid", "inception_kid", "inception_is"),
        "needs Inception's weights, which do not ship (--inception), and three pictures at least",
    ),
    "share_of_peak": "only measured where the model works on the CPU",
    "edge_precision_even": "none of the parts measured is of a material without pattern",
    "colour_obedience_captions": "none of the captions names a paint",
    "depth_order": "no view shows one surface before another",
}


def answer(
    found: dict[str, Figures], *, images: int, model: str, seconds: float, classifier: MaterialClassifier
) -> Figures:
    """Figures under the names that scripts read, their bars, the two baselines, and reasons for what is
    None."""
    ours = {key: found["model"].get(key) for key in KEYS}
    rest = {key: value for key, value in found["model"].items() if key not in KEYS}
    bars: Figures = {
        key: {"bar": bar.value, "aim": bar.aim, "met": value if value is None else bar.is_met(float(value))}
        for key, bar, value in ((key, bar, ours[key]) for key, bar in BARS.items())
    }
    for kind, value in (ours["fidelity_auc"] or {}).items():
        bars[f"fidelity_auc: {kind}"] = {
            "bar": FIDELITY_BAR.value, "aim": FIDELITY_BAR.aim, "met": FIDELITY_BAR.is_met(value)
        }  # fmt: skip
    return {
        "model": model,
        "images": images,
        **ours,
        "reasons": {key: REASONS.get(key, "not measured") for key, value in ours.items() if value is None},
        "bars": bars,
        "baselines": {
            name: {key: value for key, value in found[name].items() if value is not None}
            for name in ("path_traced", "rasterised")
        },
        "classifier": {
            "accuracy_kind": classifier.accuracy_kind,
            "accuracy_group": classifier.accuracy_group,
        },
        "more": rest,
        "took_s": round(seconds, 1),
    }
