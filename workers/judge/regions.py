"""What a part's maps hold that can be told by name: through-holes, other holes and pockets, bosses.

A through-hole is a piece of background that the part encloses. Another small patch that edges enclose is a
hole where it lies deeper than what is around it, a boss where it lies nearer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

FloatMap = NDArray[np.float32]
Mask = NDArray[np.bool_]

LEAST_PX = 20
MOST_SHARE = 0.05
EDGE = 0.3
RING_PX = 4
# How much deeper or nearer than its surroundings, as a share of the part's own depth, a patch must lie.
DEPTH_STEP = 0.008


@dataclass(frozen=True, slots=True)
class Feature:
    """A hole or a boss: its kind (through-hole, hole, boss), its pixels, and those of its rim."""

    kind: str
    area: Mask
    rim: Mask

    @property
    def centre(self) -> tuple[float, float]:
        """Row and column of its middle."""
        rows, columns = np.nonzero(self.area)
        return float(rows.mean()), float(columns.mean())


def through_holes(mask: FloatMap, least_px: int = LEAST_PX) -> list[Mask]:
    """Pieces of background that the part encloses, of at least so many pixels."""
    labels, count = ndimage.label(mask < 0.5)
    edge = np.unique(np.concatenate([labels[0], labels[-1], labels[:, 0], labels[:, -1]]))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    return [labels == n for n in range(1, count + 1) if n not in edge and sizes[n] >= least_px]


def find_features(mask: FloatMap, depth: FloatMap, edges: FloatMap) -> list[Feature]:
    """The holes and bosses of maps (H, W), the largest first."""
    found = [Feature("through-hole", area, _around(area, 2)) for area in through_holes(mask)]
    on = mask > 0.5
    labels, count = ndimage.label(on & (edges < EDGE))
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    for number, where in enumerate(ndimage.find_objects(labels), start=1):
        if not LEAST_PX <= sizes[number] <= MOST_SHARE * on.sum():
            continue
        kind = _kind(labels, number, where, (depth, on))
        if kind:
            area = labels == number
            found.append(Feature(kind, area, _around(area, 2)))
    return sorted(found, key=lambda one: -int(one.area.sum()))


def _kind(
    labels: NDArray[np.int32], number: int, where: tuple[slice, slice], maps: tuple[FloatMap, Mask]
) -> str | None:
    depth, on = maps
    pad = RING_PX + 2
    window = tuple(slice(max(0, one.start - pad), one.stop + pad) for one in where)
    area = labels[window] == number
    ring = _around(area, RING_PX) & ~_around(area, 2) & ~area
    if ring.sum() < 8 or (ring & on[window]).sum() < 0.75 * ring.sum():
        return None  # it lies at the outline: a facet, not a hole
    step = float(np.median(depth[window][ring & on[window]]) - np.median(depth[window][area]))
    if abs(step) < DEPTH_STEP:
        return None
    return "hole" if step > 0 else "boss"


def _around(area: Mask, reach: int) -> Mask:
    return np.asarray(ndimage.binary_dilation(area, np.ones((3, 3)), reach) & ~area)
