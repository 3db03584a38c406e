"""From light to the values of a picture."""

from __future__ import annotations

import numpy as np

from workers.studio.training.looks import Array


def tone_map(light: Array) -> Array:
    """Linear light to sRGB 0 to 1: straight up to 0.8, then a shoulder that never clips hard."""
    x = np.maximum(light, 0)
    x = np.where(x < 0.8, x, 0.8 + 0.2 * (1 - np.exp(-(x - 0.8) / 0.2 * 0.9)))
    return np.clip(
        np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 1e-6) ** (1 / 2.4) - 0.055), 0, 1
    )
