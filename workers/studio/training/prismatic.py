"""Families of milled, cast, bent and printed parts. Each makes one solid in mm from random numbers."""

from __future__ import annotations

import math

import numpy as np

from workers.studio.training.solids import (
    Point2,
    Shape,
    anywhere,
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
    ring_of,
    turn,
    upright,
)

Random = np.random.Generator


def corners(x: float, y: float) -> list[Point2]:
    """The four places (±x, ±y)."""
    return [(sx * x, sy * y) for sx in (-1, 1) for sy in (-1, 1)]


def plate(rng: Random) -> Shape:
    """A plate with corner holes and one feature in the middle."""
    x, y, t = rng.uniform(60, 120), rng.uniform(45, 90), rng.uniform(5, 14)
    body = fillet(box(x, y, t), rng.uniform(2, 14), upright)
    body = chamfer(body, rng.uniform(0.5, 1.2), at_height(t))
    middle = rng.integers(0, 4)
    if middle == 0:
        body = drill(body, [(0, 0)], rng.uniform(0.12, 0.28) * y)
    elif middle == 1:
        slot = fillet(box(x * 0.4, y * 0.3, 100, (0, 0, -50)), y * 0.1, upright)
        body = cut(body, slot)
    elif middle == 2:
        radius, height = rng.uniform(0.15, 0.25) * y, rng.uniform(8, 30)
        boss = chamfer(cylinder(radius, height, (0, 0, t - 0.1)), 1.0, at_height(t - 0.1 + height))
        body = drill(fuse(body, boss), [(0, 0)], radius * 0.6)
    else:
        count = int(rng.integers(2, 5))
        slots = [box(x * 0.5, 5, 100, (0, (k - (count - 1) / 2) * 11, -50)) for k in range(count)]
        body = cut(body, *[fillet(slot, 2.4, upright) for slot in slots])
    return drill(body, corners(x / 2 - 10, y / 2 - 9), rng.uniform(2.2, 4.5))


def bracket(rng: Random) -> Shape:
    """An angle bracket with ribs, holes and a bore."""
    w, a, b, t = rng.uniform(40, 80), rng.uniform(50, 90), rng.uniform(45, 90), rng.uniform(5, 11)
    base = fillet(box(a, w, t, (a / 2, 0, 0)), min(w, a) * 0.12, lambda m, d: upright(m, d) and m[0] > a / 2)
    wall = box(b, w, t, (b / 2, 0, 0))
    wall = fillet(wall, w * rng.uniform(0.1, 0.4), lambda m, d: upright(m, d) and m[0] > b / 2)
    wall = drill(wall, [(b * 0.62, 0)], w * rng.uniform(0.12, 0.24))
    wall = move(turn(wall, -90, "y"), t, 0, 0)
    body = fuse(base, wall)
    body = drill(
        body, [(a * 0.72, s * w * 0.28) for s in (-1, 1)], rng.uniform(2.5, 4.5), depth=2 * t, top=1.5 * t
    )
    count = int(rng.integers(0, 3))
    reach = min(a, b) * rng.uniform(0.35, 0.6)
    for k in range(count):
        y = 0.0 if count == 1 else (k - 0.5) * (w - t * 0.8)
        rib = prism([(0, 0), (reach, 0), (0, reach)], t * 0.7)
        body = fuse(body, move(turn(rib, 90, "x"), t * 0.95, y + t * 0.35, t * 0.95))
    return body


def u_bracket(rng: Random) -> Shape:
    """A bent channel with aligned holes in its two cheeks."""
    w, h, d, t = rng.uniform(40, 80), rng.uniform(30, 65), rng.uniform(25, 60), rng.uniform(3, 7)
    body = cut(box(w, d, h), box(w - 2 * t, d + 2, h, (0, 0, t)))
    body = fillet(body, t * 1.2, lambda m, v: abs(v[1]) > 0.99 and m[2] < 1 and abs(m[0]) > w / 2 - 1)
    body = fillet(body, d * 0.3, lambda m, v: abs(v[0]) > 0.99 and m[2] > h - 1)
    body = cut(body, cylinder(d * rng.uniform(0.12, 0.25), 2 * w, (-w, 0, h * 0.66), "x"))
    places = [(0.0, 0.0)] if rng.random() < 0.4 else [(-w * 0.25, 0.0), (w * 0.25, 0.0)]
    return drill(body, places, rng.uniform(2, 4))


def housing(rng: Random) -> Shape:
    """An open box with screw posts, with or without ears and a side bore."""
    x, y, h, t = rng.uniform(70, 120), rng.uniform(50, 85), rng.uniform(22, 50), rng.uniform(3, 5)
    radius = rng.uniform(5, 14)
    outer = fillet(box(x, y, h), radius, upright)
    inner = fillet(box(x - 2 * t, y - 2 * t, h, (0, 0, t)), max(radius - t, 1), upright)
    body = cut(outer, inner)
    posts = corners(x / 2 - t - 5, y / 2 - t - 5)
    body = fuse(body, *[cylinder(5, h - 3 - t, (*p, t - 0.1)) for p in posts])
    body = drill(body, posts, 2, depth=h * 0.6, top=h)
    if rng.random() < 0.6:
        body = cut(body, cylinder(rng.uniform(0.15, 0.28) * h, 200, (0, 0, h * 0.55), "x"))
    if rng.random() < 0.5:
        ears = fillet(box(x + 28, y * 0.45, t + 1), 5, upright)
        ears = drill(cut(ears, box(x - 2, y, 50, (0, 0, -10))), [(s * (x / 2 + 7), 0) for s in (-1, 1)], 2.6)
        body = fuse(body, ears)
    return body


def cover(rng: Random) -> Shape:
    """A lid: a raised panel with louvres or a grid of small holes."""
    x, y, t = rng.uniform(70, 120), rng.uniform(50, 90), rng.uniform(3, 6)
    lid = fillet(box(x, y, t), rng.uniform(4, 12), upright)
    raised = fillet(box(x - 18, y - 18, t + 5), 5, upright)
    body = fuse(lid, fillet(raised, 2, at_height(t + 5)))
    if rng.random() < 0.5:
        step = rng.uniform(7, 10)
        nx, ny = int((x - 40) / step), int((y - 36) / step)
        grid = [((i - (nx - 1) / 2) * step, (j - (ny - 1) / 2) * step) for i in range(nx) for j in range(ny)]
        body = drill(body, grid[:70], step * 0.3)
    else:
        n = int(rng.integers(3, 7))
        slots = [box(x * 0.5, 3.5, 50, (0, (k - (n - 1) / 2) * (y - 36) / n, -5)) for k in range(n)]
        body = cut(body, *slots)
    return drill(body, corners(x / 2 - 5, y / 2 - 5), 2)


def heatsink(rng: Random) -> Shape:
    """A base with straight fins."""
    x, y, t = rng.uniform(50, 100), rng.uniform(45, 80), rng.uniform(4, 9)
    n, h = int(rng.integers(6, 14)), rng.uniform(15, 42)
    thick = x / n * rng.uniform(0.25, 0.45)
    gap = (x - n * thick) / (n - 1)
    gaps = [
        box(gap, 2 * y, h + 1, (-x / 2 + thick + gap / 2 + k * (thick + gap), 0, t)) for k in range(n - 1)
    ]
    body = cut(box(x, y, t + h), *gaps)
    if rng.random() < 0.4:
        body = cut(body, box(2 * x, rng.uniform(5, 9), h + 1, (0, 0, t + h * 0.3)))
    if rng.random() < 0.5:
        ear = fillet(box(x + 26, y * 0.4, t), 4, upright)
        body = drill(fuse(body, ear), [(s * (x / 2 + 7), 0) for s in (-1, 1)], 2.5)
    return body


def block(rng: Random) -> Shape:
    """A fixture block with a vee, a slot or a step, cross bores and screw holes."""
    x, y, h = rng.uniform(40, 80), rng.uniform(40, 90), rng.uniform(30, 60)
    body = chamfer(box(x, y, h), rng.uniform(0.8, 2.5), anywhere)
    kind, depth = rng.integers(0, 3), rng.uniform(0.25, 0.5) * h
    if kind == 0:
        vee = prism([(-depth, 0), (depth, 0), (0, -depth)], 2 * y)
        body = cut(body, move(turn(vee, 90, "x"), 0, y, h + 0.1))
    elif kind == 1:
        body = cut(body, box(x * rng.uniform(0.25, 0.45), 2 * y, h, (0, 0, h - depth)))
    else:
        body = cut(body, box(x, y * 0.5, h, (x * 0.35, y * 0.3, h - depth)))
    if rng.random() < 0.7:
        body = cut(body, cylinder(h * 0.15, 400, (0, -200, h * 0.3), "y"))
    return drill(body, corners(x * 0.38, y * 0.38), rng.uniform(2, 3.5))


def manifold(rng: Random) -> Shape:
    """A hydraulic block with threaded-port counterbores on its faces."""
    n = int(rng.integers(2, 5))
    pitch, d, h = rng.uniform(22, 32), rng.uniform(35, 50), rng.uniform(30, 45)
    x = n * pitch + 10
    body = chamfer(box(x, d, h), 1.2, anywhere)
    for k in range(n):
        at = (k - (n - 1) / 2) * pitch
        body = cut(
            body, cylinder(pitch * 0.22, 25, (at, 0, h - 20)), cylinder(pitch * 0.34, 10, (at, 0, h - 2.5))
        )
        body = cut(body, cylinder(pitch * 0.18, 30, (at, -d / 2 - 1, h * 0.45), "y"))
        body = cut(body, cylinder(pitch * 0.28, 4, (at, -d / 2 - 1, h * 0.45), "y"))
    return cut(body, cylinder(h * 0.18, 2 * x, (-x, 0, h * 0.45), "x"))


def clamp(rng: Random) -> Shape:
    """A split shaft collar block with a slit and a screw bore."""
    r = rng.uniform(10, 20)
    wall, t = r * rng.uniform(0.5, 0.8), rng.uniform(14, 26)
    outer = r + wall
    lug = box(outer * 1.2, outer * 1.1, t, (outer * 0.9, 0, 0))
    body = fuse(cylinder(outer, t), lug)
    body = cut(body, cylinder(r, 200, (0, 0, -50)), box(3 * outer, r * 0.2, 200, (1.5 * outer, 0, -50)))
    body = cut(body, cylinder(t * 0.16, 4 * outer, (outer * 1.2, -2 * outer, t / 2), "y"))
    return chamfer(body, 0.8, lambda m, d: at_height(t)(m, d) or at_height(0)(m, d))


def lever(rng: Random) -> Shape:
    """Two eyes joined by a web."""
    length, r1, r2 = rng.uniform(60, 110), rng.uniform(14, 22), rng.uniform(9, 15)
    t, web = rng.uniform(12, 22), rng.uniform(5, 10)
    outline = [(0.0, -r1 * 0.8), (length, -r2 * 0.8), (length, r2 * 0.8), (0.0, r1 * 0.8)]
    body = fuse(cylinder(r1, t), cylinder(r2, t, (length, 0, 0)), prism(outline, web, (t - web) / 2))
    body = drill(body, [(0, 0)], r1 * rng.uniform(0.45, 0.65))
    body = drill(body, [(length, 0)], r2 * rng.uniform(0.4, 0.6))
    if rng.random() < 0.5:
        slot = prism(
            [(length * 0.35, -3), (length * 0.65, -3), (length * 0.65, 3), (length * 0.35, 3)], 200, -50
        )
        body = cut(body, fillet(slot, 2.9, upright))
    return chamfer(body, 0.8, at_height(t))


def hinge(rng: Random) -> Shape:
    """A hinge leaf with knuckles and countersunk holes."""
    w, length, t = rng.uniform(30, 50), rng.uniform(55, 95), rng.uniform(3, 5)
    n, r = int(rng.choice([3, 5])), rng.uniform(5, 8)
    leaf = fillet(box(w, length, t, (w / 2, 0, 0)), 5, lambda m, d: upright(m, d) and m[0] > w / 2)
    body, knuckle = leaf, length / n
    for k in range(0, n, 2):
        body = fuse(body, cylinder(r, knuckle, (0, -length / 2 + k * knuckle, r), "y"))
    body = cut(body, cylinder(r * 0.5, 2 * length, (0, -length, r), "y"))
    for k in range(1, n, 2):
        body = cut(body, box(r * 2.6, knuckle, 50, (0, -length / 2 + (k + 0.5) * knuckle, -10)))
    return drill(body, [(w * 0.65, s * length * 0.32) for s in (-1, 0, 1)], rng.uniform(2.2, 3.5))


def pillow(rng: Random) -> Shape:
    """A bearing pedestal: a foot, a bored ring and two slots."""
    r, t = rng.uniform(16, 26), rng.uniform(18, 28)
    height, foot = r * rng.uniform(1.5, 1.9), rng.uniform(8, 13)
    width = r * rng.uniform(4.4, 5.2)
    body = fuse(
        box(width, t * 1.2, foot), box(2 * r, t, height), cylinder(r * 1.25, t, (0, -t / 2, height), "y")
    )
    body = cut(body, cylinder(r * rng.uniform(0.6, 0.8), 200, (0, -100, height), "y"))
    return drill(body, [(s * width * 0.41, 0) for s in (-1, 1)], rng.uniform(3.5, 5.5))


def clevis(rng: Random) -> Shape:
    """A fork end with a shank (never trained on)."""
    w, t, gap, length = rng.uniform(22, 34), rng.uniform(7, 10), rng.uniform(12, 22), rng.uniform(35, 55)
    ear = fuse(box(length, t, w, (length / 2, 0, 0)), cylinder(w / 2, t, (length, -t / 2, w / 2), "y"))
    ears = [move(ear, 0, s * (gap + t) / 2, 0) for s in (-1, 1)]
    yoke = box(t * 1.5, gap + 2 * t, w, (0, 0, 0))
    reach = rng.uniform(25, 50)
    shank = cylinder(w * 0.3, reach, (-t * 0.7 - reach, 0, w / 2), "x")
    body = fuse(yoke, *ears, shank)
    return cut(body, cylinder(w * rng.uniform(0.2, 0.28), 200, (length, -100, w / 2), "y"))


def spider(rng: Random) -> Shape:
    """A hub with arms that end in eyes (never trained on)."""
    n, reach, r = int(rng.integers(3, 6)), rng.uniform(40, 60), rng.uniform(13, 18)
    t = rng.uniform(8, 14)
    body = cylinder(r, t * 1.6)
    for k in range(n):
        arm = fuse(box(reach, r * 0.8, t * 0.7, (reach / 2, 0, 0)), cylinder(r * 0.6, t, (reach, 0, 0)))
        body = fuse(body, turn(arm, 360 * k / n))
    eyes = [(reach * math.cos(2 * math.pi * k / n), reach * math.sin(2 * math.pi * k / n)) for k in range(n)]
    return drill(drill(body, eyes, r * 0.3), [(0, 0)], r * 0.5)


def ribbed_base(rng: Random) -> Shape:
    """A printed base plate with crossing ribs and bosses."""
    x, y, t = rng.uniform(60, 100), rng.uniform(55, 90), rng.uniform(4, 7)
    h = rng.uniform(10, 22)
    body = fillet(box(x, y, t), 6, upright)
    bosses = corners(x / 2 - 11, y / 2 - 11)
    ribs = [box(x - 22, 3.5, h, (0, s * (y / 2 - 11), 0)) for s in (-1, 1)]
    ribs += [box(3.5, y - 22, h, (s * (x / 2 - 11), 0, 0)) for s in (-1, 1)]
    body = fuse(body, *ribs, *[cylinder(6, h + 3, (*p, 0)) for p in bosses])
    tower = rng.uniform(9, 14)
    body = fuse(body, cylinder(tower, h * 1.5, (0, 0, 0)))
    holes = ring_of(lambda a, b: cylinder(2, 100, (a, b, -20)), tower + 6, 4, 0.8)
    body = cut(drill(body, bosses, 2.8), *holes)
    return drill(body, [(0, 0)], tower * 0.62)
