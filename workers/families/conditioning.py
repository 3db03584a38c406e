"""Control maps and starting images as the tensors that diffusers' models were trained to read.

Each kind of ControlNet and T2I-Adapter learned from one encoding; the polarity matters more than
anything else about it. All results are (B, C, H, W), 0 to 1.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray

from mfgviz.models_folder import CONTROL_KINDS
from workers.families.protocol import FloatMap, Image, Maps

_TO_CAMERA: FloatMap = np.array([0, 0, 1], dtype=np.float32)
_RED_FACES_LEFT: FloatMap = np.array([-1, 1, 1], dtype=np.float32)


def _gray(values: FloatMap) -> FloatMap:
    return np.repeat(values[..., None], 3, axis=2)


def _depth(maps: Maps) -> FloatMap:
    """Near is white, the background black (MiDaS' inverse depth)."""
    return _gray(maps.depth)


def _normal(maps: Maps) -> FloatMap:
    """ControlNet 1.1's (ScanNet's) colours: red faces left, green up, blue the camera; so did 1.0's.

    Ours has x to the right, so red is flipped. The background faces the camera.
    """
    there = np.linalg.norm(maps.normal, axis=2, keepdims=True) > 0.5
    facing: FloatMap = np.where(there, maps.normal, _TO_CAMERA)
    colours: FloatMap = facing * _RED_FACES_LEFT / np.float32(2) + np.float32(0.5)
    return colours


def _lines(maps: Maps) -> FloatMap:
    """White lines on black."""
    return _gray(maps.edges)


def _hard_lines(maps: Maps) -> FloatMap:
    """White lines on black without grey between, as Canny's detector makes them."""
    return _gray((maps.edges > 0.5).astype(np.float32))


def _clay(maps: Maps) -> FloatMap:
    """The part in neutral shading: what tile and recolour models read."""
    return _gray(maps.clay)


ENCODERS: Mapping[str, Callable[[Maps], FloatMap]] = MappingProxyType(
    {
        "depth": _depth,
        "normal": _normal,
        "canny": _hard_lines,
        "lineart": _lines,
        "softedge": _lines,
        "scribble": _hard_lines,
        "mlsd": _hard_lines,
        "clay": _clay,
    }
)
assert tuple(ENCODERS) == CONTROL_KINDS


def encode_control(kind: str, control: Sequence[Maps], channels: int = 3) -> torch.Tensor:
    """The maps of one kind, (B, channels, H, W) in 0 to 1, float32 on the CPU.

    Models that read one channel (T2I-Adapters for lines) get the mean of the three.
    """
    encoded = np.stack([ENCODERS[kind](maps) for maps in control]).clip(0.0, 1.0)
    tensor = torch.from_numpy(np.ascontiguousarray(encoded.transpose(0, 3, 1, 2), dtype=np.float32))
    return tensor.mean(dim=1, keepdim=True) if channels == 1 else tensor


def encode_images(images: Sequence[Image]) -> torch.Tensor:
    """Starting images (B, 3, H, W) in 0 to 1, float32 on the CPU."""
    stacked: NDArray[np.float32] = np.stack(images).astype(np.float32) / 255.0
    return torch.from_numpy(np.ascontiguousarray(stacked.transpose(0, 3, 1, 2)))
