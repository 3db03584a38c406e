"""How well something tells genuine pictures from defective ones, and the plain measures to compare it
with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

Image = NDArray[Any]  # (H, W, 3), sRGB 0..1
Mask = NDArray[np.bool_]

LUMA = (0.299, 0.587, 0.114)
BLUR_PX = 0.8
WEAK, STRONG = 30 / 255, 75 / 255


def auc(genuine: Sequence[float], defective: Sequence[float]) -> float:
    """Area under the ROC curve: how often a genuine picture scores above a defective one, ties count half."""
    ranks = stats.rankdata([*genuine, *defective])
    count = len(genuine)
    above = ranks[:count].sum() - count * (count + 1) / 2
    return float(above / (count * len(defective)))


def ssim(a: Image, b: Image) -> float:
    """Structural similarity of the grey pictures (Wang et al. 2004), Gaussian window of 1.5 px."""
    x, y = (one.mean(-1) if one.ndim == 3 else one for one in (a, b))

    def blur(one: NDArray[Any]) -> NDArray[Any]:
        return np.asarray(ndimage.gaussian_filter(one, 1.5))

    mean_x, mean_y = blur(x), blur(y)
    var_x, var_y, cov = blur(x * x) - mean_x**2, blur(y * y) - mean_y**2, blur(x * y) - mean_x * mean_y
    top = (2 * mean_x * mean_y + 1e-4) * (2 * cov + 9e-4)
    return float((top / ((mean_x**2 + mean_y**2 + 1e-4) * (var_x + var_y + 9e-4))).mean())


def picture_edges(image: Image) -> Mask:
    """Ridges of the luma's gradient: thinned across, kept by hysteresis (Canny 1986).

    Blur, thresholds and gradient (Sobel's, the sum of its parts' sizes) are those of OpenCV's Canny at 30 and
    75 of 255 after a Gaussian of 0.8 px.
    """
    smooth = ndimage.gaussian_filter(image @ LUMA, BLUR_PX, radius=2)
    dy, dx = ndimage.sobel(smooth, 0), ndimage.sobel(smooth, 1)
    size = np.abs(dx) + np.abs(dy)
    turn = np.round(np.arctan2(dy, dx) / (np.pi / 4)).astype(int) % 4
    ridge = np.zeros(size.shape, bool)
    for number, (row, column) in enumerate(((0, 1), (1, 1), (1, 0), (1, -1))):
        ahead, behind = (np.roll(size, (s * row, s * column), (0, 1)) for s in (1, -1))
        ridge |= (turn == number) & (size >= ahead) & (size > behind)
    weak = ridge & (size > WEAK)
    labels, count = ndimage.label(weak, np.ones((3, 3)))
    strong = np.zeros(count + 1, bool)
    strong[np.unique(labels[weak & (size > STRONG)])] = True
    strong[0] = False
    return np.asarray(strong[labels])


def edge_scores(
    image: Image, true: Mask, among: Mask | None = None, band_px: int = 2
) -> tuple[float, float, float]:
    """Precision, recall and F1 of a picture's edges against the true ones within a band.

    `among` limits where drawn edges count against precision (the part and its rim: floors may have patterns).
    """
    found = picture_edges(image)
    counted = found if among is None else found & among
    near_true, near_found = (ndimage.binary_dilation(one, np.ones((3, 3)), band_px) for one in (true, found))
    precision = float((counted & near_true).sum() / max(1, counted.sum()))
    recall = float((true & near_found).sum() / max(1, true.sum()))
    return precision, recall, 2 * precision * recall / max(1e-9, precision + recall)


def explained_edges(image: Image, true: Mask, truth: Image, among: Mask, band_px: int = 2) -> float:
    """The share of a picture's edges that the true ones or those of the true picture are near: what a shadow
    or a reflection that is really there draws is not invented. The true picture itself has 1."""
    found = picture_edges(image) & among
    near = ndimage.binary_dilation(true | picture_edges(truth), np.ones((3, 3)), band_px)
    return float((found & near).sum() / max(1, found.sum()))


def around_part(mask: NDArray[np.float32], reach_px: int = 3) -> Mask:
    """The part and its rim."""
    return np.asarray(ndimage.binary_dilation(mask > 0.5, np.ones((3, 3)), reach_px))
