"""What classifiers say of sets of pictures: obedience to materials, and distances of their features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from workers.evaluation.distances import frechet_distance, inception_score, kernel_distance
from workers.evaluation.inception import InceptionV3
from workers.evaluation.materials import GROUP_OF, MaterialClassifier, said_group

FEW = 3  # pictures that a distance needs at least


def of_materials(
    pictures: torch.Tensor,
    truths: torch.Tensor,
    control: torch.Tensor,
    kinds: Sequence[str],
    classifier: MaterialClassifier,
) -> dict[str, Any]:
    """Of pictures and the true ones, (N, 3, H, W) in 0..1, of parts of these kinds of material, with control
    tensors of the same size: how often the right group of materials is said, and `distances`."""
    probabilities, features = classifier.look(pictures, control)
    _, true_features = classifier.look(truths, control)
    said = zip((GROUP_OF[kind] for kind in kinds), said_group(probabilities), strict=True)
    right = float(np.mean([wanted == group for wanted, group in said]))
    return {
        "material_obedience": round(right, 4),
        **distances("classifier", features, true_features, probabilities),
    }


def of_inception(pictures: torch.Tensor, truths: torch.Tensor, network: InceptionV3 | None) -> dict[str, Any]:
    """FID, KID and IS proper; None without the network."""
    if network is None:
        return {f"inception_{name}": None for name in ("fid", "kid", "is")}
    features, probabilities = network.look(pictures)
    return distances("inception", features, network.look(truths)[0], probabilities)


def distances(
    name: str, features: torch.Tensor, true_features: torch.Tensor, probabilities: torch.Tensor
) -> dict[str, Any]:
    """Fréchet and kernel distance of features (N, D), and the inception score of probabilities (N, C)."""
    ours, theirs = (_plain(one) for one in (features, true_features))
    several = len(ours) >= FEW
    return {
        f"{name}_fid": round(frechet_distance(ours, theirs), 3) if several else None,
        f"{name}_kid": round(kernel_distance(ours, theirs), 5) if several else None,
        f"{name}_is": round(inception_score(_plain(probabilities)), 3),
    }


def _plain(values: torch.Tensor) -> NDArray[np.float64]:
    return np.asarray(values.cpu().numpy(), float)
