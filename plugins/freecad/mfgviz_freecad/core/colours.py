"""Words for colours, for the prompt."""

from __future__ import annotations

from collections.abc import Iterable

_NAMED = {
    "black": (0.05, 0.05, 0.05), "dark grey": (0.25, 0.25, 0.25), "grey": (0.5, 0.5, 0.5),
    "light grey": (0.8, 0.8, 0.8), "white": (0.97, 0.97, 0.97), "red": (0.85, 0.1, 0.1),
    "dark red": (0.45, 0.05, 0.05), "orange": (0.95, 0.5, 0.05), "yellow": (0.95, 0.85, 0.1),
    "green": (0.1, 0.65, 0.15), "dark green": (0.03, 0.3, 0.08), "light green": (0.55, 0.9, 0.5),
    "turquoise": (0.1, 0.75, 0.7), "blue": (0.1, 0.25, 0.85), "dark blue": (0.03, 0.07, 0.4),
    "light blue": (0.5, 0.75, 0.95), "violet": (0.5, 0.15, 0.75), "pink": (0.95, 0.55, 0.75),
    "magenta": (0.9, 0.1, 0.8), "brown": (0.4, 0.22, 0.1), "beige": (0.88, 0.8, 0.62),
    "gold": (0.83, 0.67, 0.2),
}  # fmt: skip
# What FreeCAD paints a new shape with: nobody chose it.
_UNCHOSEN = ((0.8, 0.8, 0.8), (0.333, 0.333, 0.333))
MOST = 3


def colour_name(rgb: tuple[float, float, float]) -> str:
    """The nearest word for a colour of three parts from 0 to 1."""
    return min(_NAMED, key=lambda name: _distance(_NAMED[name], rgb))


def appearance(colours: Iterable[tuple[float, float, float]]) -> str:
    """The words for a shape's colours, those of most faces first; empty where nobody chose one."""
    counted: dict[str, int] = {}
    for rgb in colours:
        if all(_distance(rgb, plain) > 0.0004 for plain in _UNCHOSEN):
            name = colour_name(rgb)
            counted[name] = counted.get(name, 0) + 1
    names = sorted(counted, key=lambda name: -counted[name])[:MOST]
    return " and ".join(names) if len(names) < 3 else f"{names[0]}, {names[1]} and {names[2]}"


def _distance(one: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    # Redmean: near enough to how different two colours look.
    red = (one[0] + other[0]) / 2
    weights = (2 + red, 4.0, 3 - red)
    return sum(weights[i] * (one[i] - other[i]) ** 2 for i in range(3)) / 9
