"""Assemblies: a body and what is put into it, as solids of their own. Each maker gives them in mm.

The body comes first; what follows are the fittings, which may be of another material (`fitting_corners`).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from workers.geometry.mesh import Mesh
from workers.studio.training.solids import (
    Point2,
    Shape,
    anywhere,
    at_height,
    box,
    chamfer,
    compound,
    cone,
    cut,
    cylinder,
    drill,
    fillet,
    fuse,
    move,
    prism,
    revolve,
    turn,
    upright,
)
from workers.studio.training.turned import around

Random = np.random.Generator


def hex_bolt(radius: float, grip: float) -> Shape:
    """A hexagon bolt, head up, with a washer on z = 0, below which the shank reaches `grip`."""
    corners = [(1.7 * radius * math.cos(a), 1.7 * radius * math.sin(a)) for a in np.arange(6) * math.pi / 3]
    head = chamfer(prism(corners, 1.4 * radius, 0.35 * radius), 0.15 * radius, at_height(1.75 * radius))
    return fuse(cylinder(2.1 * radius, 0.35 * radius), head, cylinder(radius, grip, (0, 0, -grip)))


def socket_screw(radius: float, grip: float) -> Shape:
    """A socket head cap screw, head up, on z = 0, below which the shank reaches `grip`."""
    corners = [(0.85 * radius * math.cos(a), 0.85 * radius * math.sin(a)) for a in np.arange(6) * math.pi / 3]
    head = chamfer(cylinder(1.7 * radius, 2 * radius), 0.2 * radius, at_height(2 * radius))
    return fuse(cut(head, prism(corners, 2 * radius, radius)), cylinder(radius, grip, (0, 0, -grip)))


def _fastened(body: Shape, places: list[Point2], top: float, grip: float, rng: Random) -> Shape:
    """The body with fasteners of one kind in holes at these places, whose heads lie at `top`."""
    radius = rng.uniform(2.8, 4.4)
    body = drill(body, places, radius * 1.08)
    make = hex_bolt if rng.random() < 0.6 else socket_screw
    one = make(radius, grip)
    return compound(body, *(move(one, x, y, top) for x, y in places))


def bolted_flange(rng: Random) -> Shape:
    """A flange with a neck and a bore, and bolts in its holes."""
    r, t, count = rng.uniform(42, 60), rng.uniform(8, 14), int(rng.choice([4, 6, 8]))
    hub, height = r * rng.uniform(0.32, 0.42), rng.uniform(14, 36)
    body = fuse(chamfer(cylinder(r, t), 1.2, at_height(t)), cone(hub * 1.1, hub, height, (0, 0, t - 0.1)))
    body = drill(body, [(0, 0)], hub * rng.uniform(0.5, 0.75))
    return _fastened(body, around(r * 0.77, count), t, t * 1.4, rng)


def bolted_cover(rng: Random) -> Shape:
    """A lid with a raised middle, screwed down at its corners."""
    w, d, t = rng.uniform(70, 120), rng.uniform(55, 90), rng.uniform(5, 9)
    body = fillet(box(w, d, t), rng.uniform(4, 10), upright)
    raised = fillet(box(w * 0.62, d * 0.62, rng.uniform(6, 16), (0, 0, t - 0.1)), rng.uniform(2, 5), anywhere)
    x, y = w / 2 - 9, d / 2 - 9
    places = [(x, y), (-x, y), (-x, -y), (x, -y)]
    if w > 95:
        places += [(0, y), (0, -y)]
    return _fastened(fuse(body, raised), places, t, t * 1.6, rng)


def bolted_bracket(rng: Random) -> Shape:
    """An angle bracket, bolted to what it stands on."""
    w, d, h, t = rng.uniform(50, 80), rng.uniform(45, 70), rng.uniform(45, 80), rng.uniform(5, 9)
    wall = box(w, t, h, (0, -d / 2 + t / 2, 0))
    rib = prism([(-t / 2, -d / 2 + t), (t / 2, -d / 2 + t), (t / 2, d * 0.1), (-t / 2, d * 0.1)], h * 0.5, t)
    body = fuse(fillet(box(w, d, t), 4, upright), wall, rib)
    body = cut(body, cylinder(rng.uniform(7, 13), 4 * t, (0, -d / 2 - 2 * t, h * 0.72), "y"))
    return _fastened(body, [(-w / 2 + 12, d / 2 - 12), (w / 2 - 12, d / 2 - 12)], t, t * 1.5, rng)


def shaft_in_block(rng: Random) -> Shape:
    """A bearing block with a stepped shaft through it."""
    r, w, length = rng.uniform(9, 15), rng.uniform(62, 90), rng.uniform(22, 34)
    height = r * rng.uniform(2.2, 2.8)
    foot = fillet(box(w, length, rng.uniform(9, 13)), 4, upright)
    stand = box(r * 3.4, length, height, (0, 0, 0))
    body = fuse(foot, stand, cylinder(r * 1.7, length, (0, -length / 2, height), "y"))
    body = cut(body, cylinder(r * 1.01, 3 * length, (0, -1.5 * length, height), "y"))
    body = drill(body, [(-w / 2 + 9, 0), (w / 2 - 9, 0)], 3.5)
    reach, step = length * rng.uniform(1.0, 1.6), r * rng.uniform(0.65, 0.85)
    shank: list[Point2] = [
        (0, -reach), (r - 1.2, -reach), (r, 1.2 - reach), (r, reach), (step, reach), (step, reach * 1.5 - 1),
        (step - 1, reach * 1.5), (0, reach * 1.5),
    ]  # fmt: skip
    return compound(body, move(turn(revolve(shank), -90, "x"), 0, 0, height))


def wheel_on_axle(rng: Random) -> Shape:
    """A grooved wheel on its axle, held by a collar."""
    r, t, axle = rng.uniform(34, 50), rng.uniform(12, 20), rng.uniform(5, 8)
    groove = t * rng.uniform(0.2, 0.3)
    outline: list[Point2] = [
        (0, 0), (r, 0), (r, t / 2 - groove), (r - groove, t / 2), (r, t / 2 + groove), (r, t), (0, t),
    ]  # fmt: skip
    body = drill(revolve(outline), around(r * 0.55, int(rng.integers(3, 7))), r * 0.14)
    body = drill(body, [(0, 0)], axle * 1.01)
    shank = chamfer(cylinder(axle, t * 3, (0, 0, -t)), 1, at_height(2 * t))
    collar = chamfer(cylinder(axle * 1.9, t * 0.45, (0, 0, t)), 0.8, at_height(t * 1.45))
    made = compound(body, fuse(shank, collar))
    return turn(made, 90, "x") if rng.random() < 0.5 else move(made, 0, 0, t)


ASSEMBLIES: dict[str, Callable[[Random], Shape]] = {
    "bolted_flange": bolted_flange,
    "bolted_cover": bolted_cover,
    "bolted_bracket": bolted_bracket,
    "shaft_in_block": shaft_in_block,
    "wheel_on_axle": wheel_on_axle,
}


def fitting_corners(mesh: Mesh) -> NDArray[np.bool_]:
    """Which of the 3 F corners of the mesh's triangles are of fittings. Bodies are read last first."""
    return np.repeat(mesh.body_ids != mesh.body_ids.max(initial=0), 3)
