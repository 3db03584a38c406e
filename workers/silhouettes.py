"""Two shapes laid over one another, as one sheet of four views: what only the first has, what only the
second."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from mfgviz.requests import View
from mfgviz.vocabulary import Projection
from workers.geometry import Camera, Mesh, make_camera
from workers.geometry.casting import Caster, Hits
from workers.geometry.maps import find_edges

VIEWS = ("iso", "front", "top", "right")
CELL_PX, FINE, HEAD_PX, MARGIN_PX, GAP_PX = 560, 2, 92, 28, 16
MARGIN = 0.1
PAPER, FRAME, INK, FAINT = (247, 248, 250), (255, 255, 255), (32, 38, 46), (120, 130, 142)
BOTH, BOTH_EDGE = (205, 210, 217), (120, 129, 141)
BEFORE, BEFORE_EDGE = (236, 112, 99), (176, 35, 24)
AFTER, AFTER_EDGE = (88, 190, 120), (14, 110, 52)
MARK = (38, 84, 190)
MOST_MARKS = 40
RING_PX, NUMBER_PX = 6, 15
# A hole is marked where the view looks into it: the cosine to its axis.
FACING = 0.2

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Mark:
    """A round hole to be pointed at, under the sign that it has in a list; mm."""

    sign: str
    position: Floats
    axis: Floats
    radius_mm: float
    depth_mm: float


@dataclass(frozen=True, slots=True)
class Pair:
    """Two meshes with what people call them, and the holes to be marked."""

    before: Mesh
    after: Mesh
    names: tuple[str, str]
    marks: Sequence[Mark] = ()


def sheet(pair: Pair) -> bytes:
    """Four views of both shapes as PNG: only before red, only after green, both grey, edges likewise.

    All views are parallel, and one camera each sees both, so that a millimetre is as long in both shapes.
    """
    width = 2 * MARGIN_PX + 2 * CELL_PX + GAP_PX
    height = HEAD_PX + 2 * CELL_PX + GAP_PX + MARGIN_PX
    image = Image.new("RGB", (width, height), PAPER)
    draw = ImageDraw.Draw(image)
    _head(draw, pair, width)
    casters = Caster(pair.before), Caster(pair.after)
    points = np.concatenate([pair.before.vertices, pair.after.vertices])
    for number, name in enumerate(VIEWS):
        left = MARGIN_PX + number % 2 * (CELL_PX + GAP_PX)
        top = HEAD_PX + number // 2 * (CELL_PX + GAP_PX)
        camera = make_camera(View(name, Projection.ORTHOGRAPHIC, MARGIN), points, CELL_PX, CELL_PX)
        image.paste(_cell(casters, camera), (left, top))
        draw.rectangle((left, top, left + CELL_PX - 1, top + CELL_PX - 1), outline=(222, 226, 231))
        draw.text((left + 14, top + 11), name, INK, ImageFont.load_default(18))
        _scale_bar(draw, (left, top), camera)
        _marks(draw, (left, top), camera, pair.marks)
    out = io.BytesIO()
    image.quantize(255, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(out, "PNG", optimize=True)
    return out.getvalue()


def _cell(casters: tuple[Caster, Caster], camera: Camera) -> Image.Image:
    """One view of both shapes."""
    side = CELL_PX * FINE
    first, second = (caster.look(camera, side, side) for caster in casters)
    one, other = first.hit, second.hit
    picture = np.empty((side, side, 3), np.float32)
    picture[:] = FRAME
    for where, color in ((one & other, BOTH), (one & ~other, BEFORE), (other & ~one, AFTER)):
        picture[where] = color
    edges = [_edges(hits, camera) for hits in (first, second)]
    # What differs by less than a pixel is drawn as one edge.
    near = [ndimage.maximum_filter(edge, size=3) for edge in edges]
    for where, color in (
        (edges[0] & near[1], BOTH_EDGE),
        (edges[0] & ~near[1], BEFORE_EDGE),
        (edges[1] & ~near[0], AFTER_EDGE),
    ):
        picture[where] = color
    small = picture.reshape(CELL_PX, FINE, CELL_PX, FINE, 3).mean((1, 3))
    return Image.fromarray(np.rint(small).astype(np.uint8))


def _edges(hits: Hits, camera: Camera) -> NDArray[np.bool_]:
    return np.asarray(ndimage.maximum_filter(find_edges(hits, camera), size=2), bool)


def _head(draw: ImageDraw.ImageDraw, pair: Pair, width: int) -> None:
    """What is compared, and what the colours mean."""
    large, small = ImageFont.load_default(24), ImageFont.load_default(17)
    draw.text((MARGIN_PX, 22), " to ".join(_short(name) for name in pair.names), INK, large)
    x = MARGIN_PX
    for color, edge, told in (
        (BOTH, BOTH_EDGE, "both"),
        (BEFORE, BEFORE_EDGE, f"only {_short(pair.names[0])}"),
        (AFTER, AFTER_EDGE, f"only {_short(pair.names[1])}"),
    ):
        draw.rectangle((x, 60, x + 15, 75), fill=color, outline=edge)
        draw.text((x + 24, 57), told, INK, small)
        x += 24 + round(draw.textlength(told, small)) + 28
    if pair.marks and x + 180 < width:
        draw.ellipse((x, 59, x + 16, 75), outline=MARK, width=2)
        draw.text((x + 24, 57), "hole changed", INK, small)


def _scale_bar(draw: ImageDraw.ImageDraw, corner: tuple[int, int], camera: Camera) -> None:
    """A length of 1, 2 or 5 times a power of ten mm, about a fifth of the view."""
    wanted = 2 * camera.half_width / 5
    power = 10.0 ** np.floor(np.log10(wanted))
    length = float(max(step * power for step in (1, 2, 5) if step * power <= wanted))
    pixels = length / (2 * camera.half_width) * CELL_PX
    right, bottom = corner[0] + CELL_PX - 16, corner[1] + CELL_PX - 18
    draw.line((right - pixels, bottom, right, bottom), FAINT, 2)
    for x in (right - pixels, right):
        draw.line((x, bottom - 4, x, bottom + 4), FAINT, 2)
    draw.text(
        (right - pixels / 2, bottom - 6), f"{length:g} mm", FAINT, ImageFont.load_default(14), anchor="mb"
    )


def _marks(draw: ImageDraw.ImageDraw, corner: tuple[int, int], camera: Camera, marks: Sequence[Mark]) -> None:
    """A ring around each hole's mouth, where the view looks into it, and its sign."""
    font = ImageFont.load_default(NUMBER_PX)
    for mark in marks[:MOST_MARKS]:
        facing = float(mark.axis @ camera.back)
        if abs(facing) < FACING:
            continue
        mouth = mark.position + mark.axis * np.copysign(mark.depth_mm / 2, facing)
        x, y, _ = camera.project(mouth[None])[0]
        middle = corner[0] + (x + 1) / 2 * CELL_PX, corner[1] + (1 - y) / 2 * CELL_PX
        ring = max(RING_PX, mark.radius_mm / (2 * camera.half_width) * CELL_PX + RING_PX)
        box = (middle[0] - ring, middle[1] - ring, middle[0] + ring, middle[1] + ring)
        draw.ellipse(box, outline=MARK, width=2)
        at = (middle[0] + ring * 0.72 + 4, middle[1] - ring * 0.72 - 4)
        draw.text(at, mark.sign, MARK, font, anchor="lm", stroke_width=3, stroke_fill=FRAME)


def _short(name: str) -> str:
    return name if len(name) <= 40 else f"{name[:18]}…{name[-18:]}"


def marks_of(changes: Sequence[Mapping[str, Any]]) -> list[Mark]:
    """Where holes changed, by the JSON of `mfgviz.wire.HoleChange`, numbered as they are listed."""
    found = []
    for number, change in enumerate(changes, 1):
        hole = change["after"] or change["before"]
        position, axis = np.array(hole["position_mm"], float), np.array(hole["axis"], float)
        found.append(
            Mark(str(number), position, axis, float(hole["diameter_mm"]) / 2, float(hole["depth_mm"]))
        )
    return found
