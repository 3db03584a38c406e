"""More families of turned, toothed and cast parts. Each makes one solid in mm from random numbers."""

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
    cone,
    cut,
    cylinder,
    drill,
    fillet,
    fuse,
    move,
    prism,
    revolve,
    sphere,
    torus,
    turn,
    upright,
)
from workers.studio.training.turned import around

Random = np.random.Generator


def polar(steps: list[tuple[float, float]]) -> list[Point2]:
    """Places of (angle in turns, radius)."""
    return [(r * math.cos(2 * math.pi * a), r * math.sin(2 * math.pi * a)) for a, r in steps]


def sprocket(rng: Random) -> Shape:
    """A chain wheel with round tooth gaps and a hub."""
    count, r, t = int(rng.integers(11, 26)), rng.uniform(36, 52), rng.uniform(4, 8)
    pitch = 2 * math.pi * r / count
    body = chamfer(cylinder(r + pitch * 0.28, t), t * 0.18, anywhere)
    body = drill(body, around(r, count), pitch * 0.31)
    hub = r * rng.uniform(0.3, 0.42)
    body = fuse(body, chamfer(cylinder(hub, t * 2.4), 1, at_height(t * 2.4)))
    if rng.random() < 0.6:
        body = drill(body, around(r * 0.66, int(rng.integers(4, 7))), r * 0.12)
    return drill(body, [(0, 0)], hub * 0.55)


def ratchet(rng: Random) -> Shape:
    """A wheel with slanted teeth."""
    count, r, t = int(rng.integers(10, 22)), rng.uniform(32, 48), rng.uniform(6, 14)
    depth = r * rng.uniform(0.12, 0.2)
    steps = [one for k in range(count) for one in ((k / count, r), ((k + 0.08) / count, r - depth))]
    body = prism(polar(steps), t)
    body = drill(body, [(0, 0)], r * rng.uniform(0.18, 0.3))
    if rng.random() < 0.7:
        body = drill(body, around(r * 0.54, int(rng.integers(3, 7))), r * 0.11)
    return body


def rack(rng: Random) -> Shape:
    """A straight toothed bar with fixing holes."""
    count, module, w = int(rng.integers(8, 18)), rng.uniform(2.2, 3.6), rng.uniform(12, 24)
    pitch, h = math.pi * module, rng.uniform(10, 16)
    top: list[Point2] = []
    for k in range(count):
        x = (k - count / 2) * pitch
        top += [
            (x, h),
            (x + pitch * 0.2, h + 2 * module),
            (x + pitch * 0.5, h + 2 * module),
            (x + pitch * 0.7, h),
        ]
    end = count * pitch / 2
    body = turn(prism([(-end, 0), *top, (end, h), (end, 0)], w), 90, "x")
    holes = [(s * end * 0.6, h * 0.5) for s in (-1, 1)]
    return cut(body, *[cylinder(h * 0.2, 100, (x, -60, z), "y") for x, z in holes])


def bevel_gear(rng: Random) -> Shape:
    """A cone with straight teeth and a hub."""
    count, r, h = int(rng.integers(14, 26)), rng.uniform(30, 44), rng.uniform(14, 22)
    top = r * rng.uniform(0.5, 0.65)
    body = cone(r, top, h)
    groove = 2 * math.pi * r / count
    tool = prism(
        [
            (r * 1.3, -groove * 0.42),
            (r * 1.3, groove * 0.42),
            (top * 0.3, groove * 0.10),
            (top * 0.3, -groove * 0.10),
        ],
        8,
    )
    lean = math.degrees(math.atan2(h, r - top))
    tool = move(turn(move(tool, -r, 0, -4.2), lean, "y"), r, 0, 0)
    body = cut(body, *[turn(tool, 360 * k / count) for k in range(count)])
    body = fuse(body, cylinder(r * 0.9, 4, (0, 0, -3.9)), cylinder(r * 0.5, 12, (0, 0, -14)))
    return drill(body, [(0, 0)], r * 0.2)


def handwheel(rng: Random) -> Shape:
    """A rim on spokes around a hub (never trained on)."""
    r, tube, count = rng.uniform(40, 58), rng.uniform(5, 7), int(rng.integers(3, 6))
    hub, h = r * rng.uniform(0.22, 0.3), rng.uniform(16, 26)
    body = fuse(move(torus(r, tube), 0, 0, h * 0.6), cylinder(hub, h))
    spokes = [
        turn(cylinder(tube * 0.62, r, (0, 0, h * 0.55), "x"), 360 * k / count + 17) for k in range(count)
    ]
    return drill(fuse(body, *spokes), [(0, 0)], hub * 0.45)


def hex_nut(rng: Random) -> Shape:
    """A hexagon nut, plain, flanged or slotted."""
    r, t = rng.uniform(12, 24), rng.uniform(9, 20)
    body = prism(around(r, 6), t)
    if rng.random() < 0.4:
        body = cut(body, cut(cylinder(2 * r, t), cone(r * 1.08, r * 0.92, t)))
    if rng.random() < 0.5:
        body = fuse(body, cylinder(r * 1.25, t * 0.2))
    body = drill(body, [(0, 0)], r * 0.5)
    grooves = [
        cut(cylinder(r * 0.56, 0.8, (0, 0, z)), cylinder(r * 0.4, 9, (0, 0, z - 1)))
        for z in np.arange(1.2, t - 1, 2.0)
    ]
    body = cut(body, *grooves)
    if rng.random() < 0.35:
        body = cut(body, *[turn(box(3 * r, r * 0.22, t, (0, 0, t * 0.72)), 60 * k) for k in range(3)])
    return body


def wing_nut(rng: Random) -> Shape:
    """A hub with two wings."""
    r, h, t = rng.uniform(9, 14), rng.uniform(12, 18), rng.uniform(4, 6)
    body = cone(r * 1.2, r, h)
    for s in (0, 180):
        wing = fuse(
            box(r * 2, t, h * 0.8, (r * 1.4, 0, h * 0.25)),
            cylinder(h * 0.55, t, (r * 2.4, -t / 2, h * 0.85), "y"),
        )
        body = fuse(body, turn(wing, s))
    return drill(body, [(0, 0)], r * 0.55)


def eye_bolt(rng: Random) -> Shape:
    """A ring on a collar and a threaded shank."""
    r, tube = rng.uniform(16, 24), rng.uniform(4.5, 7)
    shank, length = tube * rng.uniform(0.9, 1.2), rng.uniform(25, 45)
    ring = move(turn(torus(r, tube), 90, "x"), 0, 0, length + 4 + r + tube * 0.7)
    steps: list[Point2] = [(0.0, 0.0)]
    for k in range(int(length * 0.7 / 2.4)):
        steps += [(shank, k * 2.4 + 0.6), (shank * 0.85, k * 2.4 + 1.8)]
    body = revolve([*steps, (shank, length * 0.72), (shank, length), (0.0, length)])
    collar = chamfer(cylinder(shank * 2.0, 5, (0, 0, length)), 1, anywhere)
    body = fuse(body, collar, ring)
    return turn(body, 90, "y") if rng.random() < 0.4 else body


def jaw_coupling(rng: Random) -> Shape:
    """Half a coupling with three jaws and a clamping screw."""
    r, h, jaw = rng.uniform(20, 34), rng.uniform(18, 34), rng.uniform(8, 14)
    body = chamfer(cylinder(r, h), 1, anywhere)
    for k in range(3):
        wedge = prism([(0, 0), *polar([(a / 48, 1.6 * r) for a in range(9)])], 100, h - 0.05)
        piece = cut(cylinder(r, jaw, (0, 0, h - 0.05)), cylinder(r * 0.45, 90, (0, 0, h - 20)))
        whole = cylinder(2 * r, 100, (0, 0, h - 1))
        keep = cut(piece, cut(whole, turn(wedge, 120 * k)))
        body = fuse(body, keep)
    body = drill(body, [(0, 0)], r * rng.uniform(0.3, 0.42))
    return cut(body, cylinder(2.5, 3 * r, (0, -1.5 * r, h * 0.4), "y"))


def cam(rng: Random) -> Shape:
    """A disc cam: two circles and their tangents, with a keyed bore."""
    r, nose, reach = rng.uniform(20, 30), rng.uniform(7, 12), rng.uniform(22, 36)
    t = rng.uniform(9, 16)
    lean = math.acos((r - nose) / reach)
    outline = [(r * math.cos(lean), r * math.sin(lean)),
               (reach + nose * math.cos(lean), nose * math.sin(lean)),
               (reach + nose * math.cos(lean), -nose * math.sin(lean)),
               (r * math.cos(lean), -r * math.sin(lean))]  # fmt: skip
    body = fuse(cylinder(r, t), cylinder(nose, t, (reach, 0, 0)), prism(outline, t))
    body = chamfer(body, 0.7, at_height(t))
    if rng.random() < 0.6:
        body = fuse(body, cylinder(r * 0.62, t * 1.6))
    body = drill(body, [(0, 0)], r * 0.36)
    return cut(body, box(r * 0.2, r * 0.5, 200, (0, r * 0.3, -50)))


def crank(rng: Random) -> Shape:
    """An arm with a boss, and a turning grip at its end."""
    length, r, t = rng.uniform(60, 100), rng.uniform(11, 16), rng.uniform(8, 12)
    grip = rng.uniform(30, 48)
    body = fuse(
        cylinder(r, t * 1.8),
        box(length, r * 1.1, t, (length / 2, 0, 0)),
        cylinder(r * 0.85, t, (length, 0, 0)),
    )
    neck = revolve(
        [(0, 0), (r * 0.5, 0), (r * 0.65, grip * 0.3), (r * 0.55, grip * 0.75), (r * 0.6, grip), (0, grip)]
    )
    body = fuse(body, move(neck, length, 0, t - 0.1))
    body = fillet(body, 1, lambda m, _: abs(m[2] - t) < 0.01 and 2 * r < m[0] < length - 2 * r)
    return cut(body, box(r * 0.9, r * 0.9, 200, (0, 0, -50)))


def piston(rng: Random) -> Shape:
    """A piston with ring grooves and a pin bore."""
    r, h = rng.uniform(24, 36), rng.uniform(38, 60)
    body = chamfer(cylinder(r, h), 1, at_height(h))
    for k in range(3):
        ring = cut(cylinder(r + 1, 2.2, (0, 0, h - 6 - 5 * k)), cylinder(r * 0.93, 9, (0, 0, h - 9 - 5 * k)))
        body = cut(body, ring)
    body = cut(body, cylinder(r * 0.86, h * 0.55, (0, 0, -0.1)))
    body = cut(body, cylinder(r * 0.24, 4 * r, (0, -2 * r, h * 0.36), "y"))
    return cut(body, *[box(2 * r, r * 0.8, h * 0.3, (0, s * r * 1.2, -0.1)) for s in (-1, 1)])


def connecting_rod(rng: Random) -> Shape:
    """A rod between a large and a small eye, with a groove along it (never trained on)."""
    length, big, small = rng.uniform(75, 110), rng.uniform(18, 25), rng.uniform(10, 14)
    t = rng.uniform(12, 18)
    beam = prism(
        [(0, -big * 0.55), (length, -small * 0.6), (length, small * 0.6), (0, big * 0.55)], t * 0.7, t * 0.15
    )
    body = fuse(cylinder(big, t), cylinder(small, t, (length, 0, 0)), beam)
    groove = prism([(big * 1.15, -big * 0.22), (length - small * 1.3, -small * 0.25),
                    (length - small * 1.3, small * 0.25), (big * 1.15, big * 0.22)], t, t * 0.6)  # fmt: skip
    body = cut(body, groove)
    ears = box(big * 0.7, big * 2.9, t * 0.8, (-big * 0.1, 0, t * 0.1))
    body = fuse(body, ears)
    return drill(drill(body, [(0, 0)], big * 0.7), [(length, 0)], small * 0.58)


def motor_body(rng: Random) -> Shape:
    """A motor: a cylinder with cooling ribs, a square flange and a shaft."""
    r, h, count = rng.uniform(24, 34), rng.uniform(40, 70), int(rng.integers(12, 24))
    ribs = [turn(box(6, 2.2, h * 0.8, (r + 1.5, 0, h * 0.1)), 360 * k / count) for k in range(count)]
    body = fuse(cylinder(r, h), *ribs)
    flange = fillet(box(2.3 * r, 2.3 * r, 6, (0, 0, h - 0.1)), 5, upright)
    flange = drill(flange, [(sx * r * 0.95, sy * r * 0.95) for sx in (-1, 1) for sy in (-1, 1)], 2.5)
    body = fuse(body, flange, cylinder(r * 0.5, 3, (0, 0, h + 5)), cylinder(r * 0.16, 22, (0, 0, h + 5)))
    return turn(body, 90, "y") if rng.random() < 0.55 else body


def tee(rng: Random) -> Shape:
    """A pipe tee with three flanged or beaded ends."""
    r, reach = rng.uniform(12, 18), rng.uniform(34, 46)
    rim, t = r * rng.uniform(1.35, 1.8), rng.uniform(5, 8)
    run = cylinder(r, 2 * reach, (-reach, 0, 0), "x")
    branch = cylinder(r, reach)
    body = fuse(run, branch, cylinder(rim, t, (0, 0, reach - t)), cylinder(rim, t, (-reach, 0, 0), "x"),
                cylinder(rim, t, (reach - t, 0, 0), "x"))  # fmt: skip
    bore = r * rng.uniform(0.68, 0.8)
    body = cut(body, cylinder(bore, 4 * reach, (-2 * reach, 0, 0), "x"), cylinder(bore, 2 * reach))
    if rim > 1.5 * r:
        places = around((rim + r) / 2, 4, 0.785)
        body = drill(body, places, (rim - r) * 0.24, depth=t + 1, top=reach + 0.5)
    return body


def fan(rng: Random) -> Shape:
    """An axial fan: twisted blades on a hub (never trained on)."""
    r, hub, h, count = rng.uniform(40, 52), rng.uniform(13, 18), rng.uniform(14, 20), int(rng.integers(4, 8))
    lean, half = rng.uniform(30, 48), rng.uniform(9, 13)
    body = fillet(cylinder(hub, h), 3, at_height(h))
    blade = fillet(
        box(r - hub * 0.7, 2 * half, 2.2, ((r + hub * 0.7) / 2, 0, -1.1)),
        half * 0.7,
        lambda m, d: upright(m, d) and m[0] > r - 1,
    )
    blade = move(turn(blade, lean, "x"), 0, 0, h / 2)
    body = fuse(body, *[turn(blade, 360 * k / count) for k in range(count)])
    return drill(body, [(0, 0)], hub * 0.3)


def nozzle(rng: Random) -> Shape:
    """A turned nozzle with a hexagon and a tapered tip."""
    r, h = rng.uniform(12, 20), rng.uniform(16, 28)
    tip, bore = r * rng.uniform(0.25, 0.4), r * rng.uniform(0.1, 0.2)
    body = fuse(prism(around(r * 1.25, 6), h * 0.6), cylinder(r * 0.85, h * 0.5, (0, 0, h * 0.6 - 0.1)))
    body = fuse(
        body, cone(r * 0.85, tip, h * 0.9, (0, 0, h * 1.05)), cylinder(r * 0.75, h * 0.5, (0, 0, -h * 0.45))
    )
    groove = cut(cylinder(r, 2, (0, 0, h * 0.75)), cylinder(r * 0.75, 9, (0, 0, h * 0.6)))
    return drill(cut(body, groove), [(0, 0)], bore)


def thumb_screw(rng: Random) -> Shape:
    """A screw with a fluted head."""
    r, h, count = rng.uniform(12, 18), rng.uniform(7, 12), int(rng.integers(18, 30))
    shank, length = r * rng.uniform(0.28, 0.38), rng.uniform(22, 44)
    head = chamfer(cylinder(r, h), 1, anywhere)
    head = drill(head, around(r * 1.03, count), math.pi * r / count * 0.5)
    steps: list[Point2] = [(0.0, 0.0)]
    for k in range(int(length / 2.2)):
        steps += [(shank, k * 2.2 + 0.5), (shank * 0.84, k * 2.2 + 1.6)]
    thread = revolve([*steps, (shank * 0.84, length), (0.0, length)])
    body = fuse(move(head, 0, 0, length + 3), cylinder(r * 0.55, 3.3, (0, 0, length - 0.1)), thread)
    return turn(body, 90, "y") if rng.random() < 0.6 else turn(body, 180, "x")


def hose_barb(rng: Random) -> Shape:
    """A hose connector: barbs, a hexagon, a thread."""
    r, count, t = rng.uniform(7, 11), int(rng.integers(3, 6)), rng.uniform(7, 11)
    step, length = r * 0.75, rng.uniform(14, 22)
    steps: list[Point2] = [(0.0, 0.0)]
    for k in range(int(length / 2.4)):
        steps += [(r * 1.15, k * 2.4 + 0.6), (r, k * 2.4 + 1.8)]
    barbs = [
        one
        for k in range(count)
        for one in ((r * 1.05, length + t + k * step), (r * 0.78, length + t + (k + 1) * step - 0.2))
    ]
    body = revolve([*steps, (r, length), (r, length + t - 0.1), *barbs, (0.0, barbs[-1][1])])
    body = fuse(body, chamfer(prism(around(r * 1.9, 6), t, length), 0.6, at_height(length + t)))
    body = drill(body, [(0, 0)], r * 0.5)
    return turn(body, 90, "y") if rng.random() < 0.5 else body


def valve_body(rng: Random) -> Shape:
    """A cast valve: a ball between two flanges, with a neck and a square bonnet."""
    r, reach = rng.uniform(18, 26), rng.uniform(38, 50)
    rim, t = r * rng.uniform(1.15, 1.4), rng.uniform(6, 9)
    body = fuse(sphere(r), cylinder(r * 0.72, 2 * reach, (-reach, 0, 0), "x"))
    body = fuse(body, cylinder(rim, t, (-reach, 0, 0), "x"), cylinder(rim, t, (reach - t, 0, 0), "x"))
    bonnet = fillet(box(r * 1.5, r * 1.5, 7, (0, 0, r * 1.35)), 4, upright)
    bonnet = drill(bonnet, [(sx * r * 0.55, sy * r * 0.55) for sx in (-1, 1) for sy in (-1, 1)], 2)
    body = fuse(body, cylinder(r * 0.6, r * 1.5), bonnet, cylinder(r * 0.2, r * 0.8, (0, 0, r * 1.5)))
    return cut(body, cylinder(r * 0.5, 4 * reach, (-2 * reach, 0, 0), "x"))


def ball_joint(rng: Random) -> Shape:
    """A rod end: a ball in a ring on a threaded shank."""
    r, t = rng.uniform(14, 20), rng.uniform(11, 15)
    ring = cut(cylinder(r, t, (0, 0, -t / 2)), cylinder(r * 0.68, 50, (0, 0, -25)))
    ball = cut(sphere(r * 0.72), cylinder(r * 0.36, 60, (0, 0, -30)))
    ball = cut(ball, box(90, 90, 40, (0, 0, t * 0.62)), box(90, 90, 40, (0, 0, -t * 0.62 - 40)))
    shank, length = t * 0.42, rng.uniform(30, 45)
    body = fuse(
        ring,
        ball,
        chamfer(
            cylinder(shank, length, (r * 0.85, 0, 0), "x"), 0.8, lambda m, _: m[0] > r * 0.85 + length - 0.1
        ),
    )
    return move(body, 0, 0, r) if rng.random() < 0.5 else turn(body, 90, "x")


def pedestal(rng: Random) -> Shape:
    """A turned stack: a base disc, a waist and a cup, as feet and pedestals have."""
    r, h = rng.uniform(26, 40), rng.uniform(30, 60)
    waist, cup = r * rng.uniform(0.3, 0.45), r * rng.uniform(0.55, 0.8)
    body = fuse(cylinder(r, h * 0.12), cone(r * 0.8, waist, h * 0.3, (0, 0, h * 0.11)))
    body = fuse(body, cylinder(waist, h * 0.4, (0, 0, h * 0.35)), cone(waist, cup, h * 0.25, (0, 0, h * 0.7)))
    body = chamfer(body, 0.8, at_height(h * 0.12))
    body = drill(body, around(r * 0.88, int(rng.integers(3, 7))), r * 0.05)
    return drill(body, [(0, 0)], waist * 0.6, depth=h * 0.5, top=h)
