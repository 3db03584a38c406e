"""From the network's local answers to a probability: a few pooled numbers, and a logistic regression on
them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

TOPS = (1, 8, 40, 200)
FEATURES = 3 * (len(TOPS) + 2)


def pooled(logits: torch.Tensor) -> NDArray[np.float64]:
    """(B, FEATURES) of answers (B, 3, h, w): mean logits of the strongest places, and how many are strong.

    Answers are smoothed over 3 by 3 first: a single loud place is noise, a small hole is several.
    """
    smooth = functional.avg_pool2d(logits, 3, 1, 1, count_include_pad=False).flatten(2)
    ranked = smooth.sort(2, descending=True).values
    tops = [ranked[..., :most].mean(2) for most in TOPS]
    sure = torch.sigmoid(smooth)
    counts = [torch.log1p(sure.sum(2)), torch.log1p((sure > 0.5).float().sum(2))]
    return torch.cat([*tops, *counts], 1).double().numpy()


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
    penalty: float = 0.001,
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
