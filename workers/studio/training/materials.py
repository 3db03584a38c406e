"""Stage `materials`: trains the classifier that `models evaluate` measures obedience to materials with.

On path-traced pictures of training families only; its accuracy is measured on held-out families.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.nn import functional

from workers.evaluation.materials import GROUP_OF, KINDS, SIZE_PX, MaterialNetwork, said_group
from workers.geometry.casting import Caster
from workers.studio.training.cameras import camera_from_json
from workers.studio.training.config import TrainingConfig
from workers.studio.training.maps import from_bytes, product_camera
from workers.studio.training.pairs import PairsConfig, read_cases
from workers.studio.training.render import picture_path, read_renders
from workers.studio.training.tessellation import training_mesh


@dataclass(slots=True)
class MaterialData:
    """Inputs as bytes (N, 7, 128, 128), the kinds, and which are of held-out families."""

    inputs: torch.Tensor
    kinds: torch.Tensor
    held_out: torch.Tensor


def gather(configs: Sequence[TrainingConfig], pairs: PairsConfig, kept: Path) -> MaterialData:
    """All path-traced pictures of training runs, and of the pairs; kept in a file from one run to the
    next."""
    known: dict[str, Any] = torch.load(kept, weights_only=True) if kept.exists() else {"names": []}
    names = set(known["names"])
    rows, kinds, held, added = [], [], [], []
    for config in configs:
        for entry in read_renders(config):
            name = f"{config.name}/{entry['name']}"
            if name not in names:
                rows.append(_of_render(config, entry))
                kinds.append(KINDS.index(entry["words"]["kind"]))
                held.append(bool(entry["held_out"]))
                added.append(name)
    for held_out in (False, True):
        for case in read_cases(pairs, held_out=held_out):
            name = f"pairs/{case['folder'].name}"
            if name not in names and case["versions"][0]["pictured"]:
                rows.append(_of_case(case))
                kinds.append(KINDS.index(case["words"]["kind"]))
                held.append(held_out)
                added.append(name)
    if rows:
        new = {"inputs": torch.stack(rows), "kinds": torch.tensor(kinds), "held_out": torch.tensor(held)}
        joined = {key: torch.cat([known[key], value]) if names else value for key, value in new.items()}
        known = joined | {"names": [*known["names"], *added]}
        torch.save(known, kept)
    return MaterialData(known["inputs"], known["kinds"], known["held_out"])


def _of_render(config: TrainingConfig, entry: dict[str, Any]) -> torch.Tensor:
    hits = Caster(training_mesh(config, entry)).look(
        product_camera(camera_from_json(entry["camera"])), SIZE_PX, SIZE_PX
    )
    normal = torch.from_numpy(hits.normal).permute(2, 0, 1)
    mask = torch.from_numpy(hits.hit.astype(np.float32))[None]
    return _packed(Image.open(picture_path(config, entry)), normal, mask)


def _of_case(case: dict[str, Any]) -> torch.Tensor:
    with np.load(case["folder"] / "maps.npz") as archive:
        control = from_bytes(torch.from_numpy(archive["maps"][:1]))
    small = functional.interpolate(control, size=(SIZE_PX, SIZE_PX), mode="area")[0]
    return _packed(Image.open(case["folder"] / "picture-0.png"), small[:3], small[4:5])


def _packed(picture: Image.Image, normal: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    shown = picture.convert("RGB").resize((SIZE_PX, SIZE_PX), Image.Resampling.BOX)
    pixels = torch.from_numpy(np.array(shown)).permute(2, 0, 1)
    rest = torch.cat([normal * 0.5 + 0.5, mask]).clamp(0, 1) * 255
    return torch.cat([pixels, rest.round().to(torch.uint8)])


def _inputs(stored: torch.Tensor) -> torch.Tensor:
    x = stored.float() / 255
    mask = x[:, 6:7]
    return torch.cat([x[:, :3] * mask + 0.5 * (1 - mask), (x[:, 3:6] * 2 - 1) * (mask > 0), mask], 1)


def train(data: MaterialData, steps: int, seed: int = 3, batch: int = 32) -> MaterialNetwork:
    """Train on the families that are not held out."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = MaterialNetwork()
    optimizer = torch.optim.AdamW(network.parameters(), lr=2e-3, weight_decay=0.02)
    rows = torch.nonzero(~data.held_out)[:, 0].numpy()
    counts = np.bincount(data.kinds[rows].numpy(), minlength=len(KINDS))
    chance = 1 / np.sqrt(np.maximum(counts, 1))[data.kinds[rows].numpy()]
    chance /= chance.sum()
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = 2e-3 * float(0.5 * (1 + np.cos(np.pi * step / steps)) + 0.01)
        picked = torch.from_numpy(rng.choice(rows, batch, p=chance))
        x = _inputs(data.inputs[picked])
        if rng.random() < 0.5:
            x = x.flip(-1)
            x[:, 3] *= -1
        x[:, :3] = (x[:, :3] * float(rng.uniform(0.93, 1.07))).clamp(0, 1)
        if rng.random() < 0.4:
            x[:, :3] = functional.avg_pool2d(x[:, :3], 3, 1, 1)
        loss = functional.cross_entropy(network(x), data.kinds[picked], label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 100 == 99:
            print(f"step {step + 1}, loss {loss.item():.3f}", flush=True)
    return network.eval()


@torch.inference_mode()
def accuracy(network: MaterialNetwork, data: MaterialData) -> tuple[float, float, int]:
    """Share of right kinds and of right groups on held-out families, and of how many pictures."""
    rows = torch.nonzero(data.held_out)[:, 0]
    probabilities = torch.softmax(network(_inputs(data.inputs[rows])), 1)
    kinds = data.kinds[rows]
    right = float((probabilities.argmax(1) == kinds).float().mean())
    groups = [GROUP_OF[KINDS[int(kind)]] for kind in kinds]
    said = said_group(probabilities)
    return right, float(np.mean([a == b for a, b in zip(groups, said, strict=True)])), len(rows)


def save(network: MaterialNetwork, measured: tuple[float, float, int], folder: Path) -> None:
    """Write the weights (fp16) and what they reach."""
    folder.mkdir(parents=True, exist_ok=True)
    halves = {name: value.half().contiguous() for name, value in network.state_dict().items()}
    save_file(halves, folder / "materials.safetensors")
    told = {"accuracy_kind": round(measured[0], 4), "accuracy_group": round(measured[1], 4),
            "pictures": measured[2], "kinds": KINDS}  # fmt: skip
    (folder / "materials.json").write_text(json.dumps(told, indent=1) + "\n")
