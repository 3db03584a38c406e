"""Depths of two control maps of one camera, brought to one scale.

Each map's depths reach from its own nearest to its own farthest point: a bolt on the nearest face moves all.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

# Depths this far apart, of 1 from nearest to farthest, are another surface's.
DEPTH_STEP = 0.03
# Fewer places that agree tell no scale.
LEAST_TOLD_PX = 12


def on_one_scale(first: NDArray[Any], second: NDArray[Any], told: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The first map's depths (H, W) on the second one's scale, by those of the places `told` that agree."""
    first, second, told = first.astype(float), second.astype(float), told.copy()
    line = np.array([1.0, 0.0])
    for _ in range(3):
        if told.sum() < LEAST_TOLD_PX:
            break
        line = np.polyfit(first[told], second[told], 1) if np.ptp(first[told]) > DEPTH_STEP else line
        told &= np.abs(first * line[0] + line[1] - second) <= DEPTH_STEP
    return np.asarray(first * line[0] + line[1])
