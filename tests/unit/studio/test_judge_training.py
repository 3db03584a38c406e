"""What the judge's training counts once more: loud false alarms, and defects that nothing is said of."""

from __future__ import annotations

import numpy as np
import torch

from workers.judge.pooling import fit
from workers.studio.training.judge import LOUDEST, hard_loss


def test_loud_places_count_where_nothing_differs() -> None:
    quiet, answers = torch.full((1, 3, 32, 32), -8.0), torch.zeros(1, 3, 32, 32)
    loud = quiet.clone()
    loud[:, 1, 4:12, 4:12] = 4.0
    assert hard_loss(quiet, answers) < 0.01 < hard_loss(loud, answers)


def test_a_defect_has_to_be_said() -> None:
    quiet, answers = torch.full((1, 3, 32, 32), -8.0), torch.zeros(1, 3, 32, 32)
    answers[:, 0, 4:12, 4:12] = 1
    said = quiet.clone()
    said[:, 0, 4:12, 4:12] = 8.0
    assert hard_loss(said, answers) < 0.1 < hard_loss(quiet, answers)
    answers[:, 0, 5:] = 0
    assert answers.sum() < LOUDEST
    assert hard_loss(quiet, answers) < 0.01  # too little to be seen


def test_few_pictures_of_a_kind_may_count_as_much_as_many() -> None:
    rng = np.random.default_rng(0)
    genuine = np.array([True] * 60 + [False] * 60)
    features = rng.normal(size=(120, 2))
    features[60:110, 0] += 3
    features[110:, 1] += 3
    counts = np.array([1.0] * 60 + [1 / 50] * 50 + [1 / 10] * 10)
    alike, plain = fit(features, list(genuine), 0.5, counts=counts), fit(features, list(genuine), 0.5)
    assert alike.weights[1] / alike.weights[0] > plain.weights[1] / plain.weights[0]
