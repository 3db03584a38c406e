"""Whether shapes are where they should be: outlines from two colours of one seed, and open holes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from workers.geometry.maps import ControlMaps
from workers.judge.depths import on_one_scale
from workers.judge.regions import through_holes

Image = NDArray[Any]  # (H, W, 3), sRGB 0..1
Mask = NDArray[np.bool_]

# A hole as wide as this, as the diameter of a circle of its area, is large enough to be looked through.
HOLE_PX = 8.0
# Surfaces whose normals differ more than this, in any direction, are turned another way.
TURNED = 0.2


def relative_difference(first: Image, second: Image) -> NDArray[np.float64]:
    """How far two pictures lie apart as a share of their brightness: |a - b| / (a + b), the largest
    channel's.

    Relative, because a red part throws a red glow on the floor: that changes the floor by a few percent of
    its brightness, and the part by nearly all of its own.
    """
    apart = np.abs(first - second) / (first + second + 0.04)
    return np.asarray(apart.max(-1), float)


def otsu(values: NDArray[Any], bins: int = 128) -> float:
    """The threshold that parts values into two classes of least variance (Otsu 1979)."""
    counts, edges = np.histogram(values, bins)
    middles = (edges[1:] + edges[:-1]) / 2
    below = np.cumsum(counts)
    above = below[-1] - below
    sums = np.cumsum(counts * middles)
    with np.errstate(divide="ignore", invalid="ignore"):
        apart = (sums / below - (sums[-1] - sums) / above) ** 2 * below * above
    return float(edges[1:][int(np.nanargmax(apart[:-1]))])


def differing(first: Image, second: Image) -> Mask:
    """Where two pictures of one seed in two colours differ: the part, as it was drawn."""
    apart = relative_difference(first, second)
    return np.asarray(apart > otsu(apart))


def iou(found: Mask, true: Mask) -> float:
    """Intersection over union."""
    return float((found & true).sum() / max(1, (found | true).sum()))


def boundary_f1(found: Mask, true: Mask, within_px: int = 1) -> float:
    """How well two masks' outlines meet."""
    outlines = [mask & ~ndimage.binary_erosion(mask) for mask in (found, true)]
    near = [ndimage.binary_dilation(one, np.ones((3, 3)), within_px) for one in outlines]
    precision = (outlines[0] & near[1]).sum() / max(1, outlines[0].sum())
    recall = (outlines[1] & near[0]).sum() / max(1, outlines[1].sum())
    return float(2 * precision * recall / max(1e-9, precision + recall))


def open_holes(found: Mask, mask: NDArray[np.float32]) -> tuple[int, int]:
    """How many through-holes of at least HOLE_PX are not drawn as part, and how many there are.

    A hole is open where most of its inside shows what is behind it, which has no colour of the part's.
    """
    holes = through_holes(mask, round(np.pi / 4 * HOLE_PX**2))
    insides = [ndimage.binary_erosion(hole) for hole in holes]
    insides = [inside if inside.any() else hole for inside, hole in zip(insides, holes, strict=True)]
    return sum(bool(found[inside].mean() < 0.5) for inside in insides), len(holes)


def has_more(first: ControlMaps, second: ControlMaps) -> bool:
    """Whether the second of two shapes, seen by one camera, is the first with something added.

    Where the surfaces differ, it is nearer or reaches farther out in more pixels than not: an inner corner
    that is filled, not an outer edge that is rounded off.
    """
    on = [one.mask > 0.5 for one in (first, second)]
    both = on[0] & on[1]
    turned = both & (np.abs(first.normal - second.normal).max(-1) > TURNED)
    nearer = second.depth > on_one_scale(first.depth, second.depth, both & ~turned)
    more = (nearer & turned).sum() + (on[1] & ~on[0]).sum()
    less = (~nearer & turned).sum() + (on[0] & ~on[1]).sum()
    return bool(more > less)
