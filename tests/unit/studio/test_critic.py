"""The critic of the decoder's pictures: it learns to tell, and speaks as loudly as it is meant to."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from workers.studio.control import CHANNELS
from workers.studio.training.critic import SHARE, Adversary


def test_a_critic_learns_to_tell_sharp_from_blurred() -> None:
    torch.manual_seed(0)
    adversary, control = Adversary(1e-3, torch.device("cpu")), torch.zeros(4, CHANNELS, 48, 48)
    losses = []
    for _ in range(60):
        sharp = torch.randn(4, 3, 48, 48).sign() * 0.5
        losses.append(adversary.learn(sharp, functional.avg_pool2d(sharp, 5, 1, 2), control))
    assert losses[0] > 1.8
    assert losses[-1] < 1.0


def test_it_moves_the_last_layer_by_its_share_and_no_weight_of_its_own() -> None:
    torch.manual_seed(0)
    adversary, control = Adversary(1e-3, torch.device("cpu")), torch.zeros(1, CHANNELS, 32, 32)
    last = nn.Conv2d(3, 3, 3, padding=1)
    made = last(torch.randn(1, 3, 32, 32))
    regression = made.square().mean()
    (by_regression,) = torch.autograd.grad(regression, last.weight, retain_graph=True)
    adversary.loss(made, control, regression, last.weight).backward()
    assert last.weight.grad is not None
    assert float(last.weight.grad.norm() / by_regression.norm()) == pytest.approx(SHARE, rel=0.02)
    assert all(one.grad is None for one in adversary.critic.parameters())


def test_a_checkpoint_holds_all_of_it() -> None:
    torch.manual_seed(0)
    first, second = (Adversary(1e-3, torch.device("cpu")) for _ in range(2))
    pictures, control = torch.rand(2, 1, 3, 32, 32), torch.zeros(1, CHANNELS, 32, 32)
    first.learn(*pictures, control)
    second.load_state_dict(first.state_dict())
    assert first.learn(*pictures, control) == second.learn(*pictures, control)
