"""Colours as people see them: CIELAB, the CIEDE2000 difference, and hue and saturation of named paints."""

from __future__ import annotations

import colorsys
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[Any]

# sRGB of the paints that prompts name; the studio model's own words.
PAINTS: dict[str, tuple[int, int, int]] = {
    "red": (190, 20, 22), "orange": (235, 95, 10), "yellow": (238, 186, 15), "green": (20, 120, 50),
    "turquoise": (20, 150, 150), "blue": (22, 60, 170), "navy": (12, 24, 70), "purple": (95, 35, 140),
    "pink": (225, 110, 150), "white": (236, 236, 232), "grey": (120, 122, 125), "black": (20, 20, 22),
}  # fmt: skip
HUE_TOLERANCE_DEG = 15.0
LEAST_SATURATION = 0.45
# Without a hue of their own: how bright they may look at least and at most, and how little saturated.
GREYS = {"white": (0.62, 1.0), "grey": (0.22, 0.78), "black": (0.0, 0.32)}
MOST_SATURATION_OF_GREY = 0.25
_XYZ = np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750],
                 [0.0193339, 0.1191920, 0.9503041]])  # fmt: skip
_WHITE = np.array([0.95047, 1.0, 1.08883])


def lab(image: Values) -> Values:
    """CIELAB (D65) of sRGB values 0 to 1, (..., 3)."""
    linear = np.where(image <= 0.04045, image / 12.92, ((np.maximum(image, 0) + 0.055) / 1.055) ** 2.4)
    xyz = linear @ _XYZ.T / _WHITE
    f = np.where(xyz > 216 / 24389, np.cbrt(np.maximum(xyz, 1e-9)), (24389 / 27 * xyz + 16) / 116)
    x, y, z = f[..., 0], f[..., 1], f[..., 2]
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], -1)


def delta_e_2000(first: Values, second: Values) -> Values:
    """CIEDE2000 of CIELAB values (..., 3), by the formulas of Sharma, Wu and Dalal (2005)."""
    l1, a1, b1 = np.moveaxis(np.asarray(first, float), -1, 0)
    l2, a2, b2 = np.moveaxis(np.asarray(second, float), -1, 0)
    mean_c7 = ((np.hypot(a1, b1) + np.hypot(a2, b2)) / 2) ** 7
    g = 0.5 * (1 - np.sqrt(mean_c7 / (mean_c7 + 25.0**7)))
    a1, a2 = a1 * (1 + g), a2 * (1 + g)
    c1, c2 = np.hypot(a1, b1), np.hypot(a2, b2)
    h1, h2 = (np.degrees(np.arctan2(b, a)) % 360 for b, a in ((b1, a1), (b2, a2)))
    grey = c1 * c2 == 0
    turn = np.where(grey, 0, (h2 - h1 + 180) % 360 - 180)
    turn = np.where(turn == -180, 180, turn)
    d_l, d_c = l2 - l1, c2 - c1
    d_h = 2 * np.sqrt(c1 * c2) * np.sin(np.radians(turn) / 2)
    mean_l, mean_c = (l1 + l2) / 2, (c1 + c2) / 2
    far = np.abs(h1 - h2) > 180
    mean_h = np.where(grey, h1 + h2, np.where(far, (h1 + h2 + 360) / 2 % 360, (h1 + h2) / 2))
    t = (
        1
        - 0.17 * np.cos(np.radians(mean_h - 30))
        + 0.24 * np.cos(np.radians(2 * mean_h))
        + 0.32 * np.cos(np.radians(3 * mean_h + 6))
        - 0.20 * np.cos(np.radians(4 * mean_h - 63))
    )
    s_l = 1 + 0.015 * (mean_l - 50) ** 2 / np.sqrt(20 + (mean_l - 50) ** 2)
    s_c, s_h = 1 + 0.045 * mean_c, 1 + 0.015 * mean_c * t
    r_c = 2 * np.sqrt(mean_c**7 / (mean_c**7 + 25.0**7))
    r_t = -np.sin(np.radians(60 * np.exp(-(((mean_h - 275) / 25) ** 2)))) * r_c
    l_part, c_part, h_part = d_l / s_l, d_c / s_c, d_h / s_h
    return np.asarray(np.sqrt(np.maximum(l_part**2 + c_part**2 + h_part**2 + r_t * c_part * h_part, 0)))


def lit_colour(image: Values, part: NDArray[np.bool_]) -> tuple[float, float, float]:
    """Hue in degrees, saturation and value of the part's lit pixels: neither its shadows nor its highlights.

    Those whose brightness lies in the upper half of the part's, but not in its top tenth.
    """
    pixels = image[part]
    if not len(pixels):
        return 0.0, 0.0, 0.0
    bright = pixels.max(-1)
    low, high = np.quantile(bright, [0.5, 0.9])
    kept = pixels[(bright >= low) & (bright <= high)]
    r, g, b = np.median(kept, axis=0)
    hue, saturation, value = colorsys.rgb_to_hsv(float(r), float(g), float(b))
    return hue * 360, saturation, value


def obeys_colour(image: Values, part: NDArray[np.bool_], name: str) -> bool:
    """Whether the part is of the named paint: its hue within 15° and its saturation above 0.45; for white,
    grey
    and black its brightness instead."""
    hue, saturation, value = lit_colour(image, part)
    if name in GREYS:
        low, high = GREYS[name]
        return saturation <= MOST_SATURATION_OF_GREY and low <= value <= high
    wanted = colorsys.rgb_to_hsv(*(one / 255 for one in PAINTS[name]))[0] * 360
    turn = abs(math.remainder(hue - wanted, 360))
    return turn <= HUE_TOLERANCE_DEG and saturation > LEAST_SATURATION
