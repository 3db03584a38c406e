"""Control maps that take no mesh."""

from __future__ import annotations

import numpy as np

from workers.geometry.maps import ControlMaps


def ball(size_px: int = 64) -> ControlMaps:
    """The maps of a ball, without a mesh."""
    place = (np.arange(size_px, dtype=np.float32) + 0.5) / size_px * 2 - 1
    x, y = np.meshgrid(place, -place)
    square = x**2 + y**2
    mask = (square < 0.49).astype(np.float32)
    height = np.sqrt(np.clip(0.49 - square, 0, 1)) / 0.7
    normal = np.stack([x / 0.7, y / 0.7, height], 2).astype(np.float32) * mask[..., None]
    edges = (np.abs(np.sqrt(square) - 0.7) < 0.04).astype(np.float32)
    ones = np.ones_like(mask)
    return ControlMaps(
        depth=(height * mask).astype(np.float32), normal=normal, edges=edges, mask=mask,
        clay=ones - 0.4 * mask, occlusion=ones,
    )  # fmt: skip
