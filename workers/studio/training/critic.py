"""The adversarial part of the decoder's training: a critic that looks at patches of a picture.

PatchGAN (Isola et al. 2017): every answer sees 38 x 38 px, so that it judges texture and sharpness, not the
scene. It is shown the control maps beside the picture, is held back by spectral normalisation (Miyato et al.
2018), and learns by the hinge loss (Lim and Ye 2017):

    critic   E max(0, 1 - D(true)) + E max(0, 1 + D(made))
    decoder  -E D(made), weighted so that it moves the last layer SHARE times as much as the regression does

(the weight after Esser et al. 2021, equation 6).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from workers.studio.control import CHANNELS

WIDTHS = (32, 64, 96)
SHARE = 0.2
MOST = 10.0  # of the weight, where the critic hardly says anything yet


class PatchCritic(nn.Module):
    """Pictures (B, 3, H, W) in -1..1 and control tensors (B, 8, H, W) to answers (B, 1, H/8, W/8)."""

    def __init__(self, widths: tuple[int, ...] = WIDTHS) -> None:
        super().__init__()
        sizes = (3 + CHANNELS, *widths)
        self.down = nn.ModuleList(
            spectral_norm(nn.Conv2d(a, b, 4, stride=2, padding=1)) for a, b in pairwise(sizes)
        )
        self.last = spectral_norm(nn.Conv2d(sizes[-1], 1, 3, padding=1))

    def forward(self, pictures: torch.Tensor, control: torch.Tensor) -> torch.Tensor:
        """High where a patch looks true."""
        x = torch.cat([pictures, control], 1)
        for layer in self.down:
            x = functional.leaky_relu(layer(x), 0.2)
        answer: torch.Tensor = self.last(x)
        return answer


class Adversary:
    """A critic, its optimizer, and what it has to say to a decoder."""

    def __init__(self, learning_rate: float, device: torch.device) -> None:
        self.critic = PatchCritic().to(device)
        self.optimizer = torch.optim.Adam(self.critic.parameters(), lr=learning_rate, betas=(0.5, 0.9))

    def learn(self, true: torch.Tensor, made: torch.Tensor, control: torch.Tensor) -> float:
        """One step on true and made pictures (B, 3, H, W) of the same parts.

        Returns the loss: 2 for a critic that cannot tell.
        """
        self.critic.requires_grad_(True)
        told_true, told_made = self.critic(true, control), self.critic(made.detach(), control)
        loss = functional.relu(1 - told_true).mean() + functional.relu(1 + told_made).mean()
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())

    def loss(
        self, made: torch.Tensor, control: torch.Tensor, regression: torch.Tensor, last: nn.Parameter
    ) -> torch.Tensor:
        """What a decoder is to lessen besides its `regression`; `last` are the weights of its last layer."""
        self.critic.requires_grad_(False)
        wanted = -self.critic(made, control).mean()
        (by_regression,) = torch.autograd.grad(regression, last, retain_graph=True)
        (by_critic,) = torch.autograd.grad(wanted, last, retain_graph=True)
        weight = SHARE * by_regression.norm() / (by_critic.norm() + 1e-6)
        return weight.clamp(max=MOST).detach() * wanted

    def state_dict(self) -> dict[str, Any]:
        """For a checkpoint."""
        return {"critic": self.critic.state_dict(), "optimizer": self.optimizer.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """From a checkpoint."""
        self.critic.load_state_dict(state["critic"])
        self.optimizer.load_state_dict(state["optimizer"])
