"""Families of turned and toothed parts. Each makes one solid in mm from random numbers."""

from __future__ import annotations

import math

import numpy as np

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
    revolve,
    ring_of,
    sphere,
    torus,
    turn,
)

Random = np.random.Generator


def around(radius: float, count: int, start: float = 0.0) -> list[Point2]:
    """`count` places on a circle."""
    angles = [start + 2 * math.pi * k / count for k in range(count)]
    return [(radius * math.cos(a), radius * math.sin(a)) for a in angles]


def flange(rng: Random) -> Shape:
    """A bolted flange with a hub and a bore."""
    r, t = rng.uniform(40, 60), rng.uniform(8, 15)
    count, pitch = int(rng.choice([4, 6, 8, 10, 12])), rng.uniform(0.74, 0.82)
    hub, height = r * rng.uniform(0.38, 0.52), rng.uniform(12, 40)
    body = chamfer(cylinder(r, t), rng.uniform(0.8, 2), at_height(t))
    neck = cone(hub * rng.uniform(1.0, 1.2), hub, height, (0, 0, t - 0.1))
    body = fuse(body, chamfer(neck, 1.0, at_height(t - 0.1 + height)))
    body = fillet(
        body, rng.uniform(1, 3), lambda m, _: abs(m[2] - t) < 0.05 and math.hypot(m[0], m[1]) < r * 0.65
    )
    body = drill(body, around(r * pitch, count), rng.uniform(2.8, 4.6))
    return drill(body, [(0, 0)], hub * rng.uniform(0.5, 0.78))


def shaft(rng: Random) -> Shape:
    """A stepped shaft with chamfers and a keyway, lying or standing."""
    profile: list[Point2] = [(0.0, 0.0)]
    z, radii = 0.0, []
    for _ in range(int(rng.integers(3, 6))):
        r, length = rng.uniform(8, 24), rng.uniform(14, 40)
        profile += [(r - 1, z), (r, z + 1), (r, z + length - 1), (r - 1, z + length)]
        radii.append((r, z, length))
        z += length
    body = revolve([*profile, (0.0, z)])
    r, start, length = max(radii, key=lambda one: one[2])
    if rng.random() < 0.7:
        body = cut(body, box(r, r * 0.35, length * 0.6, (r * 1.25, 0, start + length * 0.2)))
    if rng.random() < 0.4:
        body = cut(body, cylinder(radii[-1][0] * 0.35, 20, (0, 0, z - 15)))
    return turn(body, 90, "y") if rng.random() < 0.75 else body


def gear(rng: Random) -> Shape:
    """A spur gear, plain, webbed or with lightening holes."""
    teeth, r, t = int(rng.integers(14, 34)), rng.uniform(35, 55), rng.uniform(8, 22)
    module = 2 * r / teeth
    outline: list[Point2] = []
    for k in range(teeth):
        for at, radius in (
            (-0.29, -1.15),
            (-0.24, -0.3),
            (-0.13, 0.9),
            (0.13, 0.9),
            (0.24, -0.3),
            (0.29, -1.15),
        ):
            angle, size = 2 * math.pi * (k + at) / teeth, r + module * radius
            outline.append((size * math.cos(angle), size * math.sin(angle)))
    body, root, bore = prism(outline, t), r - 1.15 * module, r * rng.uniform(0.15, 0.26)
    kind = rng.integers(0, 3)
    if kind == 0:
        groove = cut(
            cylinder(root * 0.84, t * 0.3, (0, 0, t * 0.75)), cylinder(bore * 1.8, t, (0, 0, t * 0.5))
        )
        body = cut(body, groove, move(groove, 0, 0, -t * 0.8))
    elif kind == 1:
        body = drill(body, around(root * 0.62, int(rng.integers(4, 7))), root * 0.17)
    if rng.random() < 0.5:
        body = fuse(body, chamfer(cylinder(bore * 1.6, t * 1.5), 1, at_height(t * 1.5)))
    body = drill(body, [(0, 0)], bore)
    return cut(body, box(bore * 0.5, bore * 0.6, 200, (0, bore, -50)))


def pulley(rng: Random) -> Shape:
    """A vee-belt pulley with one to three grooves."""
    r, count = rng.uniform(35, 52), int(rng.integers(1, 4))
    w, g, rim = rng.uniform(9, 12), rng.uniform(6, 10), 3.0
    profile: list[Point2] = [(0.0, 0.0)]
    z = 0.0
    for _ in range(count):
        profile += [
            (r, z),
            (r, z + rim),
            (r - g, z + rim + w * 0.3),
            (r - g, z + rim + w * 0.7),
            (r, z + rim + w),
        ]
        z += rim + w
    body = revolve([*profile, (r, z + rim), (0.0, z + rim)])
    total, bore = z + rim, rng.uniform(6, 10)
    if rng.random() < 0.6:
        ring = cut(cylinder((r - g) * 0.82, total, (0, 0, total * 0.6)), cylinder(bore * 1.8, 3 * total))
        body = cut(body, ring)
        body = drill(body, around((r - g) * 0.6, int(rng.integers(3, 7))), (r - g) * 0.13)
    body = fuse(body, cylinder(bore * 1.6, total * rng.uniform(1.0, 1.4)))
    return drill(body, [(0, 0)], bore)


def knob(rng: Random) -> Shape:
    """A fluted control knob."""
    r, h, count = rng.uniform(16, 28), rng.uniform(14, 30), int(rng.integers(6, 20))
    body = fillet(cylinder(r, h), rng.uniform(1.5, 4), at_height(h))
    flute = math.pi * r / count * rng.uniform(0.4, 0.7)
    body = cut(body, *[cylinder(flute, h, (x, y, h * 0.18)) for x, y in around(r * 1.02, count)])
    if rng.random() < 0.5:
        body = fuse(body, chamfer(cylinder(r * 1.2, 3.5), 1, at_height(3.5)))
    if rng.random() < 0.6:
        body = cut(body, box(1.6, r, 4, (0, r * 0.6, h - 1)))
    return body


def elbow(rng: Random) -> Shape:
    """A pipe bend with flanged ends."""
    ring, ro = rng.uniform(38, 55), rng.uniform(13, 20)
    ri, t = ro * rng.uniform(0.7, 0.82), rng.uniform(6, 9)
    rim, angle = ro * rng.uniform(1.6, 1.9), float(rng.choice([45, 90, 90, 90]))

    def ends(radius: float, depth: float, back: float = 0.0) -> list[Shape]:
        first = cylinder(radius, depth, (ring, -depth + back, 0), "y")
        return [first, turn(cylinder(radius, depth, (ring, -back, 0), "y"), angle)]

    body = fuse(torus(ring, ro, angle), *ends(rim, t))
    pitch, count = (rim + ro) / 2, int(rng.choice([4, 6]))
    for k in range(count):
        a = 2 * math.pi * k / count + 0.3
        place = (ring + pitch * math.cos(a), pitch * math.sin(a))
        hole = cylinder((rim - ro) * 0.24, 3 * t, (place[0], -2 * t, place[1]), "y")
        far = turn(cylinder((rim - ro) * 0.24, 2 * t, (place[0], -t * 0.5, place[1]), "y"), angle)
        body = cut(body, hole, far)
    return cut(body, torus(ring, ri, angle), *ends(ri, t + 1, 0.01))


def bolt(rng: Random) -> Shape:
    """A hexagon bolt or cap screw with grooves for a thread."""
    r, length = rng.uniform(5, 9), rng.uniform(30, 70)
    pitch, z = r * rng.uniform(0.25, 0.35), 1.0
    profile: list[Point2] = [(0.0, 0.0), (r * 0.75, 0.0)]
    while z < length * rng.uniform(0.45, 0.9) and len(profile) < 70:
        profile += [(r, z), (r * 0.84, z + pitch / 2)]
        z += pitch
    body = revolve([*profile, (r, z), (r, length), (0.0, length)])
    head = r * 1.3
    if rng.random() < 0.6:
        top = prism(around(r * 1.95, 6), head, length - 0.1)
    else:
        top = chamfer(
            cylinder(r * 1.6, head * 1.3, (0, 0, length - 0.1)), 0.8, at_height(length - 0.1 + head * 1.3)
        )
        top = cut(top, prism(around(r * 0.9, 6), head, length + head * 0.5))
    body = fuse(body, top)
    if rng.random() < 0.5:
        body = fuse(body, cylinder(r * 2.1, 1.8, (0, 0, length - 1.9)))
    return turn(body, 180, "x") if rng.random() < 0.5 else turn(body, 90, "y")


def bushing(rng: Random) -> Shape:
    """A collared sleeve with a cross bore or grooves."""
    r, h = rng.uniform(16, 28), rng.uniform(25, 55)
    collar, t = r * rng.uniform(1.25, 1.6), rng.uniform(4, 9)
    body = chamfer(
        fuse(cylinder(r, h), cylinder(collar, t)), 1.0, lambda m, d: at_height(h)(m, d) or at_height(t)(m, d)
    )
    body = drill(body, [(0, 0)], r * rng.uniform(0.5, 0.75))
    if rng.random() < 0.6:
        body = cut(body, cylinder(r * 0.18, 4 * r, (-2 * r, 0, h * 0.6), "x"))
    return body


def bearing(rng: Random) -> Shape:
    """A ball bearing: two races and a row of balls."""
    r, t = rng.uniform(28, 45), rng.uniform(11, 18)
    bore, count = r * rng.uniform(0.4, 0.5), int(rng.integers(8, 13))
    middle, ball = (r + bore) / 2, (r - bore) * 0.26
    outer = cut(chamfer(cylinder(r, t), 1, at_height(t)), cylinder(middle + ball * 0.7, 3 * t, (0, 0, -t)))
    inner = cut(cylinder(middle - ball * 0.7, t), cylinder(bore, 3 * t, (0, 0, -t)))
    cage = cut(
        cylinder(middle + ball * 0.75, t * 0.3, (0, 0, t * 0.35)),
        cylinder(middle - ball * 0.75, 3 * t, (0, 0, -t)),
    )
    balls = ring_of(lambda x, y: sphere(ball, (x, y, t / 2)), middle, count)
    return fuse(cage, outer, inner, *balls)


def fitting(rng: Random) -> Shape:
    """A pipe fitting: a hexagon between two turned ends."""
    r, hexagon = rng.uniform(9, 15), rng.uniform(1.7, 2.1)
    lower, upper, t = rng.uniform(15, 26), rng.uniform(12, 24), rng.uniform(9, 15)
    profile: list[Point2] = [(0.0, 0.0), (r * 0.9, 0.0)]
    for k in range(int(lower / 2.4)):
        profile += [(r, k * 2.4 + 0.8), (r * 0.88, k * 2.4 + 2.0)]
    body = revolve([*profile, (r * 0.88, lower), (0.0, lower)])
    body = fuse(body, prism(around(r * hexagon, 6), t, lower - 0.1))
    tip = cylinder(r * rng.uniform(0.7, 1.1), upper, (0, 0, lower + t - 0.3))
    body = fuse(body, chamfer(tip, 0.8, at_height(lower + t - 0.3 + upper)))
    return drill(body, [(0, 0)], r * rng.uniform(0.4, 0.6))


def impeller(rng: Random) -> Shape:
    """A disc with swept blades (never trained on)."""
    r, t, count = rng.uniform(38, 50), rng.uniform(4, 6), int(rng.integers(5, 10))
    height, half, sweep = (
        rng.uniform(12, 22),
        rng.uniform(1, 1.6),
        rng.uniform(0.5, 1.0) * float(rng.choice([-1, 1])),
    )
    reach = np.linspace(0.22, 0.97, 12)
    line = np.stack([r * reach * np.cos(sweep * reach), r * reach * np.sin(sweep * reach)], 1)
    along = np.gradient(line, axis=0)
    side = np.stack([-along[:, 1], along[:, 0]], 1) / np.linalg.norm(along, axis=1, keepdims=True)
    ring = np.concatenate([line + side * half, (line - side * half)[::-1]])
    blade = prism([(float(x), float(y)) for x, y in ring], height, t - 0.1)
    hub = r * rng.uniform(0.2, 0.28)
    body = fuse(cylinder(r, t), cone(hub * 1.2, hub, height * 1.2, (0, 0, t - 0.1)))
    body = fuse(body, *[turn(blade, 360 * k / count) for k in range(count)])
    return drill(body, [(0, 0)], hub * 0.5)
