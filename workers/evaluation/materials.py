"""A small classifier of materials: what a person would say a pictured part is made of.

It sees the picture and where the surface faces, at 128 px a side, and pools over the part alone. Trained on
path-traced pictures by `workers.studio.training.materials`; its own accuracy stands beside every figure.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

WEIGHTS = Path(__file__).parent / "weights"
SIZE_PX = 128
# Kinds that nobody tells apart by eye count as one.
GROUPS: dict[str, tuple[str, ...]] = {
    "bright metal": (
        "aluminium", "steel", "titanium", "chrome", "silver", "nickel", "galvanised", "cast_aluminium",
    ),
    "yellow metal": ("brass", "gold", "bronze", "yellow_zinc"),
    "copper": ("copper",),
    "dark metal": ("black_oxide", "cast_iron", "gunmetal"),
    "rust": ("rust",),
    "wood": ("wood", "walnut"),
    "carbon": ("carbon",),
    "coat": ("anodised", "powder", "paint", "plastic", "translucent", "ceramic", "rubber"),
}  # fmt: skip
KINDS = tuple(kind for kinds in GROUPS.values() for kind in kinds)
GROUP_OF = {kind: group for group, kinds in GROUPS.items() for kind in kinds}
FEATURES = 96


class MaterialNetwork(nn.Module):
    """(B, 7, 128, 128) to logits over KINDS, and features (B, 2 * FEATURES). Inputs: RGB, normals, mask."""

    def __init__(self, widths: tuple[int, int, int] = (24, 48, 72)) -> None:
        super().__init__()
        first, second, third = widths
        self.stem = nn.Conv2d(7, first, 3, 1, 1)
        self.down1 = nn.Conv2d(first, second, 3, 2, 1)
        self.down2 = nn.Conv2d(second, third, 3, 2, 1)
        self.down3 = nn.Conv2d(third, FEATURES, 3, 2, 1)
        self.head = nn.Linear(2 * FEATURES, len(KINDS))

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Mean and deviation over the part."""
        y = functional.silu(self.stem(x))
        for layer in (self.down1, self.down2, self.down3):
            y = functional.silu(layer(y))
        weight = functional.avg_pool2d(x[:, 6:7], 8)
        total = weight.sum((2, 3)).clamp_min(1e-3)
        mean = (y * weight).sum((2, 3)) / total
        spread = ((y - mean[..., None, None]) ** 2 * weight).sum((2, 3)) / total
        return torch.cat([mean, (spread + 1e-6).sqrt()], 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The logits."""
        answer: torch.Tensor = self.head(self.features(x))
        return answer


@dataclass(frozen=True, slots=True)
class MaterialClassifier:
    """The network in memory, and how often it is right on truth pictures of held-out families."""

    network: MaterialNetwork
    accuracy_kind: float
    accuracy_group: float

    @torch.inference_mode()
    def look(self, pictures: torch.Tensor, control: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Probabilities (B, kinds) and features (B, 192) of pictures (B, 3, H, W) in 0..1 with control
        tensors
        of the same size."""
        x = material_input(pictures, control)
        features = self.network.features(x)
        return torch.softmax(self.network.head(features), 1), features


def material_input(pictures: torch.Tensor, control: torch.Tensor) -> torch.Tensor:
    """(B, 7, 128, 128) of pictures and control tensors; off the part the picture is grey."""
    small = [functional.interpolate(one, size=(SIZE_PX, SIZE_PX), mode="area") for one in
             (pictures, control[:, :3], control[:, 4:5])]  # fmt: skip
    shown = small[0] * small[2] + 0.5 * (1 - small[2])
    return torch.cat([shown, small[1], small[2]], 1)


def group_probabilities(probabilities: torch.Tensor) -> dict[str, torch.Tensor]:
    """The probabilities summed over the kinds of each group."""
    return {
        group: probabilities[:, [KINDS.index(kind) for kind in kinds]].sum(1)
        for group, kinds in GROUPS.items()
    }


def said_group(probabilities: torch.Tensor) -> list[str]:
    """The likeliest group of each picture."""
    groups = group_probabilities(probabilities)
    best = torch.stack(list(groups.values())).argmax(0)
    return [list(groups)[int(number)] for number in best]


@cache
def load_classifier(folder: Path = WEIGHTS) -> MaterialClassifier:
    """The shipped classifier. It is loaded once."""
    from safetensors.torch import load_file

    network = MaterialNetwork()
    weights = load_file(folder / "materials.safetensors")
    network.load_state_dict({name: value.float() for name, value in weights.items()})
    network.eval().requires_grad_(False)
    told: dict[str, Any] = json.loads((folder / "materials.json").read_text())
    return MaterialClassifier(network, float(told["accuracy_kind"]), float(told["accuracy_group"]))
