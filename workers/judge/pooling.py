"""From the network's local answers to a probability: a few pooled numbers, and a logistic regression on
them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from workers.judge.network import ANSWERS, window_mean

TOPS = (1, 8, 40, 200)
# Sides of larger squares, in cells of the answers, and how many of their means: a defect is one place with
# much to say, false alarms lie apart.
WIDE, WIDE_TOPS = (9, 17), (1, 20)
FEATURES = ANSWERS * (len(TOPS) + 2 + len(WIDE) * len(WIDE_TOPS))


def pooled(logits: torch.Tensor) -> NDArray[np.float64]:
    """(B, FEATURES) of answers (B, 3, h, w): mean logits of the strongest places and squares, and how many
    places are strong.

    Answers are smoothed over 3 by 3 first: a single loud place is noise, a small hole is several.
    """
    smooth = window_mean(logits, 3)
    sure = torch.sigmoid(smooth).flatten(2)
    counts = [torch.log1p(sure.sum(2)), torch.log1p((sure > 0.5).float().sum(2))]
    wide = [one for side in WIDE for one in _strongest(window_mean(logits, side), WIDE_TOPS)]
    return torch.cat([*_strongest(smooth, TOPS), *counts, *wide], 1).double().numpy()


def _strongest(means: torch.Tensor, tops: Sequence[int]) -> list[torch.Tensor]:
    ranked = means.flatten(2).topk(max(tops), 2).values
    return [ranked[..., :most].mean(2) for most in tops]


@dataclass(frozen=True, slots=True)
class Calibration:
    """Weights of the logistic regression on standardised pooled numbers."""

    mean: tuple[float, ...]
    scale: tuple[float, ...]
    weights: tuple[float, ...]
    bias: float

    def probability(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """(B,) in 0 to 1: how likely a careful person would accept the picture."""
        z = (features - np.array(self.mean)) / np.array(self.scale) @ np.array(self.weights) + self.bias
        return np.asarray(1 / (1 + np.exp(-np.clip(z, -30, 30))))

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {"mean": self.mean, "scale": self.scale, "weights": self.weights, "bias": self.bias}

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> Calibration:
        """What `as_json` made."""
        mean, scale, weights = (tuple(map(float, plain[name])) for name in ("mean", "scale", "weights"))
        return cls(mean, scale, weights, float(plain["bias"]))


def fit(
    features: NDArray[np.float64],
    genuine: Sequence[bool],
    prior: float,
    penalty: float = 0.003,
    counts: NDArray[np.float64] | None = None,
) -> Calibration:
    """Logistic regression by Newton's method. `prior` is the share of genuine pictures among those to
    come; `counts` (B,) is how much each picture counts among its like."""
    mean, scale = features.mean(0), features.std(0) + 1e-6
    x = np.column_stack([(features - mean) / scale, np.ones(len(features))])
    y = np.asarray(genuine, float)
    share = np.ones(len(y)) if counts is None else counts
    kept, others = share[y > 0.5].sum(), share[y < 0.5].sum()
    weight = len(y) * share * np.where(y > 0.5, prior / max(kept, 1e-9), (1 - prior) / max(others, 1e-9))
    beta = np.zeros(x.shape[1])
    ridge = np.full(len(beta), penalty * len(y))
    ridge[-1] = 1e-9
    for _ in range(60):
        p = 1 / (1 + np.exp(-np.clip(x @ beta, -30, 30)))
        gradient = x.T @ (weight * (p - y)) + ridge * beta
        hessian = (x * (weight * np.maximum(p * (1 - p), 1e-6))[:, None]).T @ x + np.diag(ridge)
        step = np.linalg.solve(hessian, gradient)
        beta -= np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-8:
            break
    return Calibration(tuple(mean), tuple(scale), tuple(beta[:-1]), float(beta[-1]))
