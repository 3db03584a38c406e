"""How long a picture takes, and how much of what the machine can do at best that is."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from workers.evaluation.cases import Case, EvaluationSet
from workers.evaluation.subjects import Painter
from workers.geometry.maps import control_maps

TRIES = 3
PRODUCT = 2048  # the side of the matrices whose product shows the peak


def speed(painter: Painter, having: EvaluationSet, case: Case, device: torch.device) -> dict[str, Any]:
    """`seconds_512`: from the part's mesh to the picture; `seconds_sampling`: that of the model alone, each
    the best of three; `share_of_peak`: the model's floating point operations in its seconds, as a share of
    what a product of large matrices reaches on the same threads. None for a model that works
    on another device than the CPU."""
    mesh, size = having.mesh(case), painter.size_px
    whole, alone = [], []
    for seed in range(TRIES):
        started = time.monotonic()
        maps = control_maps(mesh, case.camera, size, size)
        painter.paint(case.caption, maps, seed)
        whole.append(time.monotonic() - started)
        alone.append(painter.seconds[-1])
    share = None
    if device.type == "cpu":
        with FlopCounterMode(display=False) as counter:
            painter.paint(case.caption, maps, 0)
        share = round(counter.get_total_flops() / min(alone) / peak_flops(), 3)
    return {
        "seconds_512": round(min(whole), 3) if size == 512 else None,
        "seconds_sampling": round(min(alone), 3),
        "share_of_peak": share,
    }


def peak_flops() -> float:
    """Floating point operations a second of a product of large float32 matrices, the best of three."""
    a, b = torch.randn(2, PRODUCT, PRODUCT)
    took = []
    for _ in range(TRIES):
        started = time.monotonic()
        a @ b
        took.append(time.monotonic() - started)
    return 2 * PRODUCT**3 / min(took)
