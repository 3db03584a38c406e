"""Families of sheet metal, profiles and panels. Each makes one solid in mm from random numbers."""

from __future__ import annotations

import numpy as np

from workers.studio.training.prismatic import corners
from workers.studio.training.solids import (
    Point2,
    Shape,
    at_height,
    box,
    chamfer,
    cut,
    cylinder,
    drill,
    fillet,
    fuse,
    move,
    prism,
    turn,
    upright,
)

Random = np.random.Generator


def slot(length: float, width: float, at: Point2, *, along: str = "x") -> Shape:
    """A long hole through everything, centred on `at`."""
    half = (length - width) / 2
    ends = [(at[0] + s * half, at[1]) if along == "x" else (at[0], at[1] + s * half) for s in (-1, 1)]
    x, y = (2 * half, width) if along == "x" else (width, 2 * half)
    return fuse(box(x, y, 1000, (*at, -500)), *[cylinder(width / 2, 1000, (*end, -500)) for end in ends])


def profile(outline: list[Point2], length: float) -> Shape:
    """An outline of (y, z) drawn along x, centred."""
    return move(turn(turn(prism(outline, length), 90, "x"), 90, "z"), -length / 2, 0, 0)


def z_bracket(rng: Random) -> Shape:
    """A sheet bent twice, with holes in both flanges."""
    length, t = rng.uniform(40, 90), rng.uniform(2.5, 5)
    low, high, h = rng.uniform(22, 36), rng.uniform(22, 36), rng.uniform(25, 55)
    body = fuse(
        box(length, low, t, (0, -low / 2 + t / 2, 0)),
        box(length, t, h, (0, 0, 0)),
        box(length, high, t, (0, high / 2 - t / 2, h - t)),
    )
    body = fillet(body, t * 0.9, lambda m, d: abs(d[0]) > 0.99 and abs(abs(m[1]) - t / 2) < 0.1)
    at = [(s * length * 0.3, -low * 0.55) for s in (-1, 1)]
    body = drill(body, [*at, *[(x, high * 0.55) for x, _ in at]], rng.uniform(2.5, 4))
    if rng.random() < 0.5:
        body = cut(body, cylinder(h * 0.18, 60, (0, -30, h / 2), "y"))
    return body


def hat_channel(rng: Random) -> Shape:
    """An omega profile with slotted brims."""
    length, t = rng.uniform(60, 120), rng.uniform(2.5, 4.5)
    w, h, brim = rng.uniform(25, 45), rng.uniform(18, 40), rng.uniform(16, 26)
    lean = rng.uniform(0, 6)
    half = w / 2
    outside: list[Point2] = [(-half - lean - brim, 0), (-half - lean - brim, t), (-half - lean, t),
                             (-half, h), (half, h), (half + lean, t), (half + lean + brim, t),
                             (half + lean + brim, 0), (half + lean - t, 0), (half - t, h - t),
                             (-half + t, h - t), (-half - lean + t, 0)]  # fmt: skip
    body = profile(outside, length)
    body = fillet(body, t * 0.6, lambda m, d: abs(d[0]) > 0.99 and m[2] > t / 2)
    count = int(rng.integers(2, 5))
    places = [((k - (count - 1) / 2) * length / count, s * (half + lean + brim * 0.55))
              for k in range(count) for s in (-1, 1)]  # fmt: skip
    body = cut(body, *[slot(8, 4.2, place) for place in places])
    return drill(body, [(0, 0)], w * 0.2) if rng.random() < 0.6 else body


def tray(rng: Random) -> Shape:
    """A shallow bent tray with flanges outwards and a pattern in its floor."""
    x, y, h, t = rng.uniform(70, 120), rng.uniform(50, 80), rng.uniform(10, 25), rng.uniform(2, 3)
    brim = rng.uniform(9, 14)
    body = fuse(box(x, y, h), fillet(box(x + 2 * brim, y + 2 * brim, t, (0, 0, h - t)), 5, upright))
    inner = fillet(box(x - 2 * t, y - 2 * t, h, (0, 0, t)), 3, upright)
    body = cut(body, inner)
    body = drill(body, corners(x / 2 + brim / 2, y / 2 + brim / 2), 2.2)
    if rng.random() < 0.5:
        return drill(body, corners(x * 0.22, y * 0.2), y * rng.uniform(0.08, 0.14))
    count = int(rng.integers(3, 6))
    return cut(body, *[slot(x * 0.6, 5, (0, (k - (count - 1) / 2) * y * 0.75 / count)) for k in range(count)])


def slotted_angle(rng: Random) -> Shape:
    """A long angle with rows of long holes."""
    length, a, t = rng.uniform(80, 140), rng.uniform(28, 42), rng.uniform(2.5, 5)
    body = fuse(box(length, a, t, (0, a / 2, 0)), box(length, t, a, (0, t / 2, 0)))
    body = fillet(body, t * 0.9, lambda m, d: abs(d[0]) > 0.99 and abs(m[1]) < 1.2 * t and m[2] < 1.2 * t)
    count = int(rng.integers(3, 6))
    tools = [
        slot(length * 0.5 / count, 6, ((k - (count - 1) / 2) * length / count, a * 0.58))
        for k in range(count)
    ]
    standing = [turn(tool, 90, "x") for tool in tools]
    return cut(body, *tools, *standing)


def gusset(rng: Random) -> Shape:
    """A flat triangular plate with holes along two sides."""
    a, b, t = rng.uniform(60, 110), rng.uniform(50, 90), rng.uniform(4, 9)
    body = prism([(0, 0), (a, 0), (a, b * 0.22), (a * 0.25, b), (0, b)], t)
    body = fillet(body, 5, upright)
    body = chamfer(body, 0.6, at_height(t))
    places = [(12, b * f) for f in (0.45, 0.8)] + [(a * f, 10) for f in (0.2, 0.5, 0.85)]
    body = drill(body, places, rng.uniform(2.5, 4))
    body = drill(body, [(a * 0.33, b * 0.36)], b * rng.uniform(0.1, 0.17))
    return turn(body, 90, "x") if rng.random() < 0.4 else body


def panel(rng: Random) -> Shape:
    """A front panel: a display window, round and square cut-outs, handles' holes."""
    x, y, t = rng.uniform(90, 140), rng.uniform(45, 75), rng.uniform(3, 5)
    body = chamfer(fillet(box(x, y, t), 3, upright), 0.6, at_height(t))
    body = cut(body, fillet(box(x * 0.34, y * 0.42, 50, (-x * 0.22, y * 0.1, -20)), 2, upright))
    count = int(rng.integers(2, 5))
    body = drill(body, [(x * (0.08 + 0.11 * k), y * 0.14) for k in range(count)], min(4.5, x * 0.038))
    body = cut(body, *[box(9, 6, 50, (x * (0.08 + 0.11 * k), -y * 0.2, -20)) for k in range(count)])
    body = cut(body, *[slot(9, 5, p) for p in corners(x / 2 - 7, y / 2 - 8)])
    return turn(body, 90, "x") if rng.random() < 0.5 else body


def extrusion(rng: Random) -> Shape:
    """A piece of T-slot profile."""
    w, length = rng.uniform(24, 40), rng.uniform(50, 120)
    body = fillet(box(w, w, length), 1.5, upright)
    opening, depth, inside = w * 0.2, w * 0.09, w * 0.40
    for k in range(4):
        mouth = box(opening, w * 0.3, 500, (0, w / 2 - w * 0.1, -100))
        room = prism([(-inside / 2, w / 2 - depth), (inside / 2, w / 2 - depth), (inside * 0.22, w * 0.24),
                      (-inside * 0.22, w * 0.24)], 500, -100)  # fmt: skip
        body = cut(body, turn(mouth, 90 * k), turn(room, 90 * k))
    body = drill(body, [(0, 0)], w * 0.1)
    return turn(body, 90, "x") if rng.random() < 0.6 else body


def rail(rng: Random) -> Shape:
    """A guide rail with waisted sides and a row of counterbored holes."""
    length, w, h = rng.uniform(80, 140), rng.uniform(16, 26), rng.uniform(14, 24)
    half, waist = w / 2, w * rng.uniform(0.28, 0.38)
    outline: list[Point2] = [(-half, 0), (half, 0), (half, h * 0.35), (waist, h * 0.5), (waist, h * 0.68),
                             (half, h * 0.82), (half * 0.9, h), (-half * 0.9, h), (-half, h * 0.82),
                             (-waist, h * 0.68), (-waist, h * 0.5), (-half, h * 0.35)]  # fmt: skip
    body = profile(outline, length)
    count = int(rng.integers(3, 6))
    places = [((k - (count - 1) / 2) * length / count, 0.0) for k in range(count)]
    body = drill(body, places, w * 0.13)
    return drill(body, places, w * 0.23, depth=h * 0.4, top=h + 0.01)


def carriage(rng: Random) -> Shape:
    """A slide that straddles a rail: a block with a dovetail beneath and screw holes above."""
    x, y, h = rng.uniform(50, 80), rng.uniform(40, 60), rng.uniform(18, 28)
    body = chamfer(box(x, y, h), 1.2, at_height(h))
    w, depth = y * rng.uniform(0.32, 0.42), h * rng.uniform(0.35, 0.5)
    tail = profile([(-w / 2, depth), (-w / 2 - 4, -1), (w / 2 + 4, -1), (w / 2, depth)], 2 * x)
    body = cut(body, tail)
    body = drill(body, corners(x * 0.34, y * 0.36), rng.uniform(2, 3), depth=h * 0.5, top=h + 0.01)
    if rng.random() < 0.5:
        body = cut(body, cylinder(2.5, 20, (x / 2 - 10, 0, h * 0.75), "x"))
    return body


def handle(rng: Random) -> Shape:
    """A bow handle on two feet."""
    length, h, r = rng.uniform(70, 120), rng.uniform(28, 45), rng.uniform(5, 8)
    body = box(length, 2 * r, h)
    body = cut(body, box(length - 4 * r, 10 * r, h - 2 * r, (0, 0, -0.01)))
    body = fillet(body, 2 * r * 0.9, lambda m, d: abs(d[1]) > 0.99 and m[2] > h - 0.1)
    body = fillet(body, r * 0.9, lambda m, d: abs(d[1]) > 0.99 and abs(m[2] - (h - 2 * r)) < 0.1)
    body = fillet(body, r * 0.35, lambda m, _: abs(abs(m[1]) - r) < 0.01 and m[2] > 1)
    feet = [cylinder(r * 1.6, 4, (s * (length / 2 - r), 0, 0)) for s in (-1, 1)]
    return fuse(body, *feet)
