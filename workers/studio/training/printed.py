"""Families of printed, engraved, perforated and thin-walled parts. Each makes one solid in mm."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from workers.studio.training.prismatic import corners
from workers.studio.training.solids import (
    Point2,
    Shape,
    at_height,
    box,
    chamfer,
    cone,
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
from workers.studio.training.turned import around

Random = np.random.Generator

# Strokes of letters on a 4 x 6 grid, each a run of points: enough to look like writing.
STROKES: dict[str, tuple[tuple[Point2, ...], ...]] = {
    "A": (((0, 0), (2, 6), (4, 0)), ((1, 2.4), (3, 2.4))),
    "E": (((4, 0), (0, 0), (0, 6), (4, 6)), ((0, 3), (3, 3))),
    "F": (((0, 0), (0, 6), (4, 6)), ((0, 3), (3, 3))),
    "H": (((0, 0), (0, 6)), ((4, 0), (4, 6)), ((0, 3), (4, 3))),
    "K": (((0, 0), (0, 6)), ((4, 6), (0, 2.6)), ((1.2, 3.4), (4, 0))),
    "L": (((0, 6), (0, 0), (4, 0)),),
    "M": (((0, 0), (0, 6), (2, 2.5), (4, 6), (4, 0)),),
    "N": (((0, 0), (0, 6), (4, 0), (4, 6)),),
    "T": (((0, 6), (4, 6)), ((2, 6), (2, 0))),
    "V": (((0, 6), (2, 0), (4, 6)),),
    "X": (((0, 0), (4, 6)), ((0, 6), (4, 0))),
    "4": (((3, 0), (3, 6), (0, 2), (4, 2)),),
    "7": (((0, 6), (4, 6), (1.4, 0)),),
}


def letter(name: str, size: float, at: Point2, depth: float, top: float) -> list[Shape]:
    """The bars of a letter `size` mm high, its lower left corner at `at`, reaching `depth` below `top`."""
    unit, bars = size / 6, []
    for run in STROKES[name]:
        for (x0, y0), (x1, y1) in pairwise(run):
            length = math.hypot(x1 - x0, y1 - y0) * unit
            bar = box(length + 0.9 * unit, 0.9 * unit, 2 * depth, (0, 0, top - depth))
            bar = turn(bar, math.degrees(math.atan2(y1 - y0, x1 - x0)))
            bars.append(move(bar, at[0] + (x0 + x1) / 2 * unit, at[1] + (y0 + y1) / 2 * unit))
    return bars


def engraved_plate(rng: Random) -> Shape:
    """A name plate with letters cut into it or standing on it."""
    count, size, t = int(rng.integers(2, 5)), rng.uniform(14, 24), rng.uniform(4, 9)
    pitch = size * 0.95
    x, y = count * pitch + rng.uniform(26, 40), size + rng.uniform(14, 26)
    body = chamfer(fillet(box(x, y, t), rng.uniform(2, 7), upright), 0.8, at_height(t))
    raised = rng.random() < 0.35
    depth = rng.uniform(1.2, 2.2)
    for k, name in enumerate(rng.choice(list(STROKES), count)):
        at = ((k - count / 2) * pitch + 0.14 * pitch, -size / 2)
        bars = letter(str(name), size, at, depth, t)
        body = fuse(body, *bars) if raised else cut(body, *bars)
    return drill(body, [(s * (x / 2 - 7), 0) for s in (-1, 1)], rng.uniform(2.2, 3.4))


def perforated_sheet(rng: Random) -> Shape:
    """A sheet with rows of small holes, flat or with bent edges."""
    nx, ny, step = int(rng.integers(6, 11)), int(rng.integers(4, 7)), rng.uniform(9, 12)
    t, r = rng.uniform(1.6, 3.2), step * rng.uniform(0.26, 0.36)
    x, y = nx * step + 12, ny * step + 12
    body = fillet(box(x, y, t), rng.uniform(1.5, 6), upright)
    if rng.random() < 0.5:
        h = rng.uniform(10, 24)
        body = fuse(box(x, y, t), *[box(x, t, h, (0, s * (y - t) / 2, 0)) for s in (-1, 1)])
    stagger = rng.random() < 0.5
    places = [
        (
            (i - (nx - 1) / 2 + (0.5 if stagger and j % 2 and i < nx - 1 else 0)) * step,
            (j - (ny - 1) / 2) * step,
        )
        for i in range(nx)
        for j in range(ny)
    ]
    return drill(body, places, r)


def printed_bracket(rng: Random) -> Shape:
    """A printed angle: a thick foot, a wall with a pocket, three ribs and bosses around its screws."""
    w, a, b, t = rng.uniform(46, 76), rng.uniform(46, 70), rng.uniform(46, 74), rng.uniform(4, 6)
    foot = fillet(box(a, w, t, (a / 2, 0, 0)), 8, lambda m, d: upright(m, d) and m[0] > a / 2)
    wall = fillet(box(b, w, t, (b / 2, 0, 0)), 8, lambda m, d: upright(m, d) and m[0] > b / 2)
    wall = cut(wall, fillet(box(b * 0.34, w * 0.5, 90, (b * 0.62, 0, -40)), 4, upright))
    body = fuse(foot, move(turn(wall, -90, "y"), t, 0, 0))
    reach = min(a, b) * rng.uniform(0.5, 0.7)
    for y in (-w / 2 + 1.6, 0.0, w / 2 - 1.6):
        rib = prism([(0, 0), (reach, 0), (0, reach)], 3.2)
        body = fuse(body, move(turn(rib, 90, "x"), t * 0.95, y + 1.6, t * 0.95))
    places = [(a * 0.76, s * w * 0.26) for s in (-1, 1)]
    bosses = [chamfer(cylinder(6.2, 4.5, (*p, t - 0.1)), 0.8, at_height(t + 4.4)) for p in places]
    return drill(fuse(body, *bosses), places, rng.uniform(2.2, 3.2))


def honeycomb_panel(rng: Random) -> Shape:
    """A frame filled with hexagonal openings."""
    nx, ny, cell = int(rng.integers(4, 7)), int(rng.integers(3, 5)), rng.uniform(12, 17)
    t, web = rng.uniform(4, 12), rng.uniform(1.8, 3.0)
    dx, dy = cell * math.sqrt(3) / 2 * 1.1547, cell
    x, y = nx * dx + cell * 0.9, (ny + 0.5) * dy + cell * 0.5
    body = fillet(box(x, y, t), rng.uniform(2, 6), upright)
    hexagon = around((cell - web) / math.sqrt(3), 6)
    for i in range(nx):
        for j in range(ny):
            at = ((i - (nx - 1) / 2) * dx * 0.95, (j - (ny - 1) / 2) * dy + (dy / 2 if i % 2 else 0) - dy / 4)
            body = cut(body, move(prism(hexagon, 3 * t, -t), *at))
    return body


def thin_duct(rng: Random) -> Shape:
    """A thin-walled funnel between a round collar and a rectangular flange."""
    r, h, wall = rng.uniform(16, 26), rng.uniform(26, 44), rng.uniform(1.6, 2.6)
    wide = r * rng.uniform(1.5, 2.0)
    outer = fuse(cone(wide, r, h), cylinder(r, rng.uniform(12, 22), (0, 0, h - 0.05)))
    flange = fillet(box(2.5 * wide, 2.3 * wide, 3), 7, upright)
    body = fuse(outer, flange)
    body = cut(
        body, cone(wide - wall, r - wall, h + 0.02, (0, 0, -0.01)), cylinder(r - wall, 99, (0, 0, h - 0.1))
    )
    return drill(body, corners(1.08 * wide, 0.98 * wide), 2.4, depth=60, top=30)


def standoff(rng: Random) -> Shape:
    """Hexagonal spacers with a threaded stud, one or a row on a strip."""
    count, r, h = int(rng.integers(1, 4)), rng.uniform(6, 9), rng.uniform(18, 42)
    pitch, stud = 3.2 * r, r * rng.uniform(0.42, 0.55)
    pieces = []
    for k in range(count):
        post = chamfer(prism(around(r, 6), h), 0.6, at_height(h))
        post = drill(fuse(post, chamfer(cylinder(stud, 9, (0, 0, h - 0.1)), 0.7, at_height(h + 8.9))), [], 1)
        hole = cylinder(stud * 0.85, 12, (0, 0, -0.1))
        pieces.append(move(cut(post, hole) if count == 1 else post, (k - (count - 1) / 2) * pitch))
    if count == 1:
        return turn(pieces[0], 90, "y") if rng.random() < 0.3 else pieces[0]
    strip = fillet(box(count * pitch, 3 * r, 4, (0, 0, -3.9)), 3, upright)
    return fuse(strip, *pieces)


def cable_clip(rng: Random) -> Shape:
    """A saddle: half a ring over two screw tabs."""
    r, w, t = rng.uniform(10, 20), rng.uniform(12, 26), rng.uniform(2.5, 5)
    tab = rng.uniform(12, 20)
    ring = cut(cylinder(r + t, w, (0, -w / 2, 0), "y"), cylinder(r, 2 * w, (0, -w, 0), "y"))
    ring = cut(ring, box(6 * r, 3 * w, 4 * r, (0, 0, -4 * r)))
    feet = box(2 * (r + tab), w, t)
    feet = fillet(feet, min(w, tab) * 0.3, upright)
    feet = cut(feet, box(2 * r, 2 * w, 99, (0, 0, -40)))
    body = fuse(ring, feet)
    return drill(body, [(s * (r + t + tab * 0.45), 0) for s in (-1, 1)], rng.uniform(2, 3.2))


def timing_pulley(rng: Random) -> Shape:
    """A toothed belt pulley between two flanges, with a hub and set screws."""
    teeth, r, w = int(rng.integers(18, 36)), rng.uniform(18, 30), rng.uniform(10, 18)
    body = cylinder(r, w, (0, 0, 2))
    groove = math.pi * r / teeth * 0.5
    body = drill(body, around(r, teeth), groove, depth=w, top=w + 2)
    body = fuse(body, cylinder(r * 1.1, 2.05), cylinder(r * 1.1, 2, (0, 0, w + 1.95)))
    hub = rng.uniform(0.5, 0.65) * r
    body = fuse(body, chamfer(cylinder(hub, 9, (0, 0, w + 3.9)), 0.8, at_height(w + 12.9)))
    body = drill(body, [(0, 0)], hub * rng.uniform(0.4, 0.6))
    return cut(body, cylinder(1.8, 4 * r, (0, 0, w + 8.4), "x"))


def v_block(rng: Random) -> Shape:
    """A block with a vee, side grooves and a relief slot."""
    x, y, h = rng.uniform(50, 90), rng.uniform(40, 60), rng.uniform(34, 50)
    deep = h * rng.uniform(0.36, 0.5)
    body = chamfer(box(x, y, h), 0.8, upright)
    vee = prism([(-deep, 0), (deep, 0), (0, -deep)], 3 * x)
    vee = move(turn(turn(vee, 90, "x"), 90, "z"), -1.5 * x, 0, h)
    body = cut(body, vee, box(2 * x, 3, 2 * deep, (0, 0, h - 1.25 * deep)))
    body = cut(body, *[box(2 * x, 8, 8, (0, s * y / 2, h * 0.35)) for s in (-1, 1)])
    return (
        drill(body, [(s * x * 0.34, 0) for s in (-1, 1)], rng.uniform(2.5, 4)) if rng.random() < 0.6 else body
    )


def grille(rng: Random) -> Shape:
    """A round fan grille: thin rings on four spokes in a square frame."""
    r, t, count = rng.uniform(34, 48), rng.uniform(3, 6), int(rng.integers(3, 6))
    body = fillet(box(2.25 * r, 2.25 * r, t), 6, upright)
    body = cut(body, cylinder(r, 99, (0, 0, -40)))
    for k in range(count):
        outer = r * (k + 0.55) / count
        body = fuse(body, cut(cylinder(outer, t * 0.8), cylinder(outer - 2.2, 99, (0, 0, -40))))
    for angle in (45, 135):
        body = fuse(body, turn(box(2.06 * r, 3.2, t * 0.8), angle))
    return drill(body, corners(0.98 * r, 0.98 * r), 2.6)
