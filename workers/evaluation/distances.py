"""Distances between sets of pictures, on the features of a classifier; and how sure that classifier is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

Features = NDArray[Any]  # (N, D)


def frechet_distance(first: Features, second: Features) -> float:
    """Between normal distributions of the features (Heusel et al. 2017): FID, where the features are
    Inception's. Small sets make it larger than it is."""
    means = [one.mean(0) for one in (first, second)]
    # With A as the centred features over the root of their number less one, C = A'A, and the trace of
    # (C C')^1/2 is the sum of the singular values of A A'': small sets need no root of a large matrix.
    parts = [
        (one - mean) / np.sqrt(max(1, len(one) - 1)) for one, mean in zip((first, second), means, strict=True)
    ]
    root = linalg.svdvals(parts[0] @ parts[1].T).sum()
    apart = ((means[0] - means[1]) ** 2).sum()
    return float(apart + sum((one**2).sum() for one in parts) - 2 * root)


def kernel_distance(first: Features, second: Features) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel (x·y/d + 1)^3 (Bińkowski et al. 2018):
    KID."""
    size = first.shape[1]

    def kernel(a: Features, b: Features) -> NDArray[Any]:
        return np.asarray((a @ b.T / size + 1) ** 3)

    def within(one: Features) -> float:
        values, count = kernel(one, one), len(one)
        return float((values.sum() - np.trace(values)) / (count * (count - 1)))

    return within(first) + within(second) - 2 * float(kernel(first, second).mean())


def inception_score(probabilities: NDArray[Any]) -> float:
    """exp of the mean Kullback-Leibler distance of each picture's classes from all pictures' (Salimans et al.
    2016): high where each picture is of one class and all classes are there."""
    p = np.clip(probabilities, 1e-9, 1)
    return float(np.exp((p * (np.log(p) - np.log(p.mean(0, keepdims=True)))).sum(1).mean()))
