"""From a view to a camera: where the eye is, and which ray each pixel sees.

Angles of a standard view: azimuth around Z from +X, elevation above the floor. `front` looks along +Y,
so that X runs to the right; `iso` looks from front right above.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mfgviz.requests import View
from mfgviz.vocabulary import CUSTOM_VIEW, Projection

# azimuth and elevation in degrees
STANDARD_DIRECTIONS = {
    "iso": (-45.0, 30.0),
    "front": (-90.0, 0.0),
    "back": (90.0, 0.0),
    "right": (0.0, 0.0),
    "left": (180.0, 0.0),
    "top": (-90.0, 90.0),
    "bottom": (-90.0, -90.0),
}

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Camera:
    """A pinhole or parallel camera in part coordinates, mm.

    `right`, `up` and `back` (away from what is looked at) are unit vectors. `half_width` and
    `half_height` are half the image's extent: in mm for a parallel camera, as tangents of the half
    angle for a pinhole.
    """

    eye_mm: Floats
    right: Floats
    up: Floats
    back: Floats
    projection: Projection
    half_width: float
    half_height: float

    def rays(self, width: int, height: int, rows: slice = slice(None)) -> tuple[Floats, Floats]:
        """Origins and unit directions, (N, 3) each, row by row from the top left; of those rows alone."""
        offset = self._offsets(*_pixel_grid(width, height, rows))
        if self.projection is Projection.ORTHOGRAPHIC:
            return self.eye_mm + offset, np.broadcast_to(-self.back, offset.shape)
        directions = offset - self.back
        directions /= np.sqrt(np.einsum("ij,ij->i", directions, directions))[:, None]
        return np.broadcast_to(self.eye_mm, directions.shape), directions

    def points(self, depth_mm: Floats, every: int = 1) -> Floats:
        """What lies at those depths (H, W) of the whole image, for each pixel or one of a block of `every` by
        `every`: (H/every, W/every, 3) in part coordinates. An infinite depth counts as 0."""
        height, width = depth_mm.shape
        picked = slice(every // 2, None, every)
        x, y = _pixel_grid(width, height, picked, picked)
        depth = depth_mm[picked, picked]
        depth = np.where(np.isfinite(depth), depth, 0.0)
        offset = self._offsets(x, y).reshape(*depth.shape, 3)
        if self.projection is Projection.ORTHOGRAPHIC:
            return self.eye_mm + offset - depth[..., None] * self.back
        return self.eye_mm + (offset - self.back) * depth[..., None]

    def _offsets(self, x: Floats, y: Floats) -> Floats:
        """Across the image from its centre, (N, 3), for places from -1 to 1."""
        across = np.outer(np.tile(x * self.half_width, len(y)), self.right)
        return across + np.outer(np.repeat(y * self.half_height, len(x)), self.up)

    def project(self, points: Floats) -> Floats:
        """Points (N, 3) to (N, 3): x and y from -1 to 1 across the image, and depth before the eye in mm."""
        relative = points - self.eye_mm
        depth = -(relative @ self.back)
        across = np.stack([relative @ self.right, relative @ self.up], axis=1)
        if self.projection is Projection.PERSPECTIVE:
            across = across / np.maximum(depth, 1e-12)[:, None]
        return np.column_stack([across / [self.half_width, self.half_height], depth])

    def pixel_mm(self, height: int, depth_mm: float) -> float:
        """The height of a pixel at that depth."""
        extent = 2 * self.half_height / height
        return extent if self.projection is Projection.ORTHOGRAPHIC else extent * depth_mm

    @property
    def elevation_deg(self) -> float:
        """How far above the floor the camera looks from."""
        return math.degrees(math.asin(max(-1.0, min(1.0, float(self.back[2])))))


def _pixel_grid(
    width: int, height: int, rows: slice = slice(None), columns: slice = slice(None)
) -> tuple[Floats, Floats]:
    """The centres of the pixels' columns and rows, from -1 to 1, y up."""
    x = (np.arange(width) + 0.5) / width * 2 - 1
    y = 1 - (np.arange(height) + 0.5) / height * 2
    return x[columns], y[rows]


def make_camera(view: View, points: Floats, width: int, height: int) -> Camera:
    """The camera of a view for an image of that size; a standard view is framed around `points` (N, 3)."""
    if view.name == CUSTOM_VIEW:
        return _custom(view, width, height)
    azimuth, elevation = map(math.radians, STANDARD_DIRECTIONS[view.name])
    back = np.array(
        [
            math.cos(elevation) * math.cos(azimuth),
            math.cos(elevation) * math.sin(azimuth),
            math.sin(elevation),
        ]
    )
    right = np.array([-math.sin(azimuth), math.cos(azimuth), 0.0])
    up = np.cross(back, right)
    low, high = points.min(0), points.max(0)
    relative = points - (low + high) / 2
    x, y, z = relative @ right, relative @ up, relative @ back
    fill = 1 - 2 * view.margin
    aspect = np.array([max(1.0, width / height), max(1.0, height / width)])
    if view.projection is Projection.ORTHOGRAPHIC:
        middle = np.array([(x.min() + x.max()) / 2, (y.min() + y.max()) / 2])
        half = max(np.ptp(x) / 2 / aspect[0], np.ptp(y) / 2 / aspect[1], 1e-6) / fill
        distance = float(z.max()) + float(np.linalg.norm(high - low))
        eye = (low + high) / 2 + right * middle[0] + up * middle[1] + back * distance
        return Camera(eye, right, up, back, view.projection, half * aspect[0], half * aspect[1])
    tangents = math.tan(math.radians(view.field_of_view_deg / 2)) * aspect
    offset = _pinhole_offset(np.stack([x, y]), z, tangents * fill)
    eye = (low + high) / 2 + right * offset[0] + up * offset[1] + back * offset[2]
    return Camera(eye, right, up, back, view.projection, float(tangents[0]), float(tangents[1]))


def _pinhole_offset(across: Floats, z: Floats, tangents: Floats) -> Floats:
    """The nearest eye from which every point is inside the frame: (x, y, z) from the centre, in mm.

    On each axis the frame's two sides are planes through the eye; a point is inside when
    |a - e| ≤ t (d - z). The outermost points of each side give the least distance d and the offset e.
    """
    outer = across + tangents[:, None] * z
    inner = -across + tangents[:, None] * z
    distance = float(((outer.max(1) + inner.max(1)) / (2 * tangents)).max())
    middle = (outer.max(1) - inner.max(1)) / 2
    return np.array([middle[0], middle[1], distance])


def _custom(view: View, width: int, height: int) -> Camera:
    """The view's own camera. Its extent is over the image's shorter side."""
    assert view.eye_mm is not None
    assert view.forward is not None
    assert view.up is not None
    back = -np.asarray(view.forward, float) / np.linalg.norm(view.forward)
    right = np.cross(np.asarray(view.up, float), back)
    right /= np.linalg.norm(right)
    parallel = view.projection is Projection.ORTHOGRAPHIC and view.height_mm is not None
    half = (
        view.height_mm / 2
        if parallel and view.height_mm
        else math.tan(math.radians(view.field_of_view_deg / 2))
    )
    shorter = min(width, height)
    return Camera(
        np.asarray(view.eye_mm, float),
        right,
        np.cross(back, right),
        back,
        view.projection,
        half * width / shorter,
        half * height / shorter,
    )
