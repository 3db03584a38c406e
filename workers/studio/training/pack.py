"""Stage `pack`: the principal components of the patches, and the pictures as latents.

The 16 leading components of 8 x 8 patches keep nearly all that a half-size picture holds, without training.
Latents are scaled by the root of their deviation, not by all of it: coarse channels stay stronger than fine
ones, so that noise hides the fine ones first and sampling goes from coarse to fine.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch.nn import functional

from workers.studio.autoencoder import PatchTransform
from workers.studio.training.config import TrainingConfig
from workers.studio.training.maps import maps_name
from workers.studio.training.render import picture_path, read_renders
from workers.studio.training.start import starting_point

FITTED_ON = 240


@dataclass(slots=True)
class Pack:
    """Training data in memory: N pictures, M cameras.

    entries: what `read_renders` gave. latents (N, C, S/16, S/16) and small (N, C, S/32, S/32),
    float16: of the picture, and of it at half the size. control (M, 8, S/2, S/2) bytes. camera (N,): its row.
    """

    entries: list[dict[str, Any]]
    latents: torch.Tensor
    small: torch.Tensor
    control: torch.Tensor
    camera: torch.Tensor


def make_pack(config: TrainingConfig) -> Pack:
    """Encode all pictures that have maps, save and return the pack."""
    entries = [e for e in read_renders(config) if (config.folder / "maps" / f"{maps_name(e)}.npy").exists()]
    transform = _fitted(config, entries)
    latents, small = [], []
    for entry in entries:
        half = half_size(config, entry)
        latents.append(transform.encode(half)[0].half())
        small.append(transform.encode(functional.avg_pool2d(half, 2))[0].half())
    names = sorted({maps_name(entry) for entry in entries})
    control = [_half_control(config, name) for name in names]
    camera = torch.tensor([names.index(maps_name(entry)) for entry in entries])
    pack = Pack(entries, torch.stack(latents), torch.stack(small), torch.stack(control), camera)
    tensors = {"latents": pack.latents, "small": pack.small, "control": pack.control, "camera": camera}
    # Beside the old one and renamed: a running training has that one mapped into memory.
    torch.save(tensors, config.folder / "pack.part")
    (config.folder / "pack.part").rename(config.folder / "pack.pt")
    torch.save(transform.state_dict(), config.folder / "patches.pt")
    (config.folder / "pack.json").write_text(json.dumps(entries))
    return pack


def load_pack(config: TrainingConfig) -> Pack:
    """What `make_pack` saved; the tensors are mapped, not read."""
    tensors = torch.load(config.folder / "pack.pt", mmap=True, weights_only=True)
    return Pack(json.loads((config.folder / "pack.json").read_text()), **tensors)


def training_rows(pack: Pack) -> torch.Tensor:
    """The pictures to train on: no held-out family, and of the others not every fortieth part."""
    kept = [
        row for row, entry in enumerate(pack.entries) if not entry["held_out"] and entry["part"] % 40 != 39
    ]
    return torch.tensor(kept)


def sharp_rows(config: TrainingConfig, pack: Pack) -> torch.Tensor:
    """Those of the pictures to train on whose camera has a picture, and so control maps, of full size."""
    entries = pack.entries
    sharp = {maps_name(entry) for entry in entries if entry["size_px"] == config.image_px}
    return torch.tensor([row for row in training_rows(pack).tolist() if maps_name(entries[row]) in sharp])


def read_pixels(config: TrainingConfig, entry: dict[str, Any]) -> torch.Tensor:
    """A picture (3, S, S) in -1..1."""
    with Image.open(picture_path(config, entry)) as image:
        pixels = torch.from_numpy(np.array(image.convert("RGB")))
    return pixels.permute(2, 0, 1).float() / 127.5 - 1


def half_size(config: TrainingConfig, entry: dict[str, Any]) -> torch.Tensor:
    """A picture at half the training size, (1, 3, S/2, S/2), whichever it was rendered at."""
    pixels = read_pixels(config, entry)[None]
    return functional.avg_pool2d(pixels, 2) if pixels.shape[-1] == config.image_px else pixels


def read_control(config: TrainingConfig, name: str) -> torch.Tensor:
    """The control maps of a camera as bytes (8, S, S), or (8, S/2, S/2) where only such were made."""
    return torch.from_numpy(np.load(config.folder / "maps" / f"{name}.npy"))


def _half_control(config: TrainingConfig, name: str) -> torch.Tensor:
    """The same at half the training size, whichever were made."""
    control = read_control(config, name)
    if control.shape[-1] < config.image_px:
        return control
    return functional.avg_pool2d(control.float(), 2).round().to(torch.uint8)


def _fitted(config: TrainingConfig, entries: list[dict[str, Any]]) -> PatchTransform:
    """The transform of the pack that is there, else one fitted anew: latents never change their meaning."""
    made, kept = PatchTransform(config.latent_channels), config.folder / "patches.pt"
    if kept.exists():
        made.load_state_dict(torch.load(kept, weights_only=True))
        return made
    if begun := starting_point(config):
        made.load_state_dict(begun.autoencoder.patches.state_dict())
        return made
    patches = []
    for entry in entries[:: max(1, len(entries) // FITTED_ON)]:
        half = half_size(config, entry)
        patches.append(functional.pixel_unshuffle(half, 8).flatten(2)[0].T)
    seen = torch.cat(patches)
    mean = seen.mean(0)
    variance, basis = torch.linalg.eigh(torch.cov((seen - mean).T))
    basis, variance = basis.flip(1)[:, : config.latent_channels], variance.flip(0)[: config.latent_channels]
    deviation = variance.clamp_min(1e-8).sqrt()
    scale = deviation**-0.5
    scale = scale / ((deviation * scale) ** 2).mean().sqrt()
    made.mean.copy_(mean)
    made.basis.copy_(basis)
    made.scale.copy_(scale)
    return made
