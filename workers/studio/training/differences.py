"""Where two versions of a part differ: in their control maps, and, for a person, in their pictures."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from workers.judge.depths import DEPTH_STEP, on_one_scale
from workers.judge.network import STRIDE

# Pixels of larger maps are counted as if these had so many a side.
COUNTED_PX = 256
# A defect that changes fewer pixels of the maps than this is not planted: nobody would see it.
LEAST_CHANGED_PX = 12
EDGE = 76  # of 255: an edge that counts
NEAR_PX = 3  # an edge within this distance of another is the same one
# How far apart two pictures must be (of 255, over 3 by 3 pixels) for a person to see a difference, ...
VISIBLE_LEVELS = 12
# ... and how far around what differs in the maps it may show, as its rim or shadow.
AROUND_PX = 4
TOUCHING = np.ones((3, 3))


def counted(where: NDArray[np.bool_]) -> int:
    """How many pixels a place of a map (H, W) counts."""
    return int(where.sum() / _of_one(where.shape))


def _of_one(shape: tuple[int, ...]) -> float:
    """How many pixels of a map of that shape count as one."""
    return max(1.0, float(np.prod(shape)) / COUNTED_PX**2)


def changed(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where two packed control maps (8, H, W) show another surface: turned, nearer or farther, or none.

    Pieces of fewer than LEAST_CHANGED_PX pixels are left out: two meshes of one curved face differ by such.
    """
    a, b = (one.astype(np.float32) / np.float32(255) for one in (first, second))
    turned = np.abs(a[:3] - b[:3]).max(0) > 0.1
    apart = turned | (_depth_apart(a, b, ~turned) > DEPTH_STEP) | (np.abs(a[4] - b[4]) > 0.4)
    pieces, _ = ndimage.label(apart, TOUCHING)
    large = np.bincount(pieces.ravel()) >= LEAST_CHANGED_PX * _of_one(apart.shape)
    large[0] = False
    return np.asarray(large[pieces])


def _depth_apart(
    a: NDArray[np.float32], b: NDArray[np.float32], alike: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """How far depths are apart where both maps have the part, on one scale."""
    both = (a[4] > 0.5) & (b[4] > 0.5)
    apart = np.abs(on_one_scale(a[3], b[3], both & alike) - b[3])
    return np.where(both, apart, 0).astype(np.float32)


def visibly_apart(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(H, W): where two pictures (H, W, 3) differ so that a person sees it."""
    apart = first.astype(np.float32) - second
    red, green, blue = (np.abs(ndimage.uniform_filter(apart[..., n], 3)) for n in range(3))
    return np.asarray(np.maximum(np.maximum(red, green), blue) > VISIBLE_LEVELS)


def visible_px(first: NDArray[np.uint8], second: NDArray[np.uint8], where: NDArray[np.bool_]) -> int:
    """In how many pixels of a place, `counted`, and right around it two pictures differ so that a person
    sees it."""
    around = ndimage.binary_dilation(where, TOUCHING, AROUND_PX)
    return counted(visibly_apart(first, second) & around)


def targets(shown: NDArray[np.uint8], told: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the network shall say (3, H/2, W/2) of a picture that shows one part's maps beside another's."""
    edges = [one[5] > EDGE for one in (shown, told)]
    near = [ndimage.maximum_filter(one, 2 * NEAR_PX + 1) for one in edges]
    answers = np.stack([edges[1] & ~near[0], edges[0] & ~near[1], changed(shown, told)])
    answers = ndimage.maximum_filter(answers, (1, 3, 3))
    height, width = answers.shape[1:]
    blocks = answers.reshape(3, height // STRIDE, STRIDE, width // STRIDE, STRIDE)
    return blocks.max((2, 4)).astype(np.float32)


def only_visible(
    answers: NDArray[np.float32], first: NDArray[np.uint8], second: NDArray[np.uint8]
) -> NDArray[np.float32]:
    """Answers of `targets` without the things that the pictures of both versions do not show.

    What is black in the shade looks alike with a bolt and without it: nobody could say so.
    """
    things, count = ndimage.label(answers.max(0) > 0, TOUCHING)
    height, width = things.shape
    apart = visibly_apart(first, second).reshape(height, STRIDE, width, STRIDE).sum((1, 3))
    grown = ndimage.grey_dilation(things, size=(3, 3))
    shown_px = ndimage.sum_labels(apart, grown, np.arange(count + 1))
    shown = shown_px >= LEAST_CHANGED_PX * _of_one((height * STRIDE, width * STRIDE))
    shown[0] = False
    return answers * shown[things]
