"""The camera of a 3D view as the API takes it, and the picture's size for it.

Coin's cameras look along their own -Z with +Y up; `height` and `heightAngle` are over the shorter
side of the viewport, which is the API's rule too.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Tuple

Vector = Tuple[float, float, float]

MIN_SIDE_PX, MAX_SIDE_PX = 64, 4096
MIN_ANGLE_DEG, MAX_ANGLE_DEG = 1.0, 120.0


@dataclass(frozen=True)
class Pose:
    """A camera in the document's coordinates, mm. One of `height_mm` and `height_angle_rad` is set."""

    eye_mm: Vector
    quaternion: tuple[float, float, float, float]  # x, y, z, w
    height_mm: float | None = None
    height_angle_rad: float | None = None


@dataclass(frozen=True)
class Frame:
    """Where the part's own coordinates lie in the document: a rotation (x, y, z, w), then a shift in mm."""

    shift_mm: Vector = (0.0, 0.0, 0.0)
    quaternion: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 1.0)

    def into(self, point: Vector) -> Vector:
        """A point of the document in the part's coordinates."""
        x, y, z = self.shift_mm
        return self.turn((point[0] - x, point[1] - y, point[2] - z))

    def turn(self, direction: Vector) -> Vector:
        """A direction of the document in the part's coordinates."""
        x, y, z, w = self.quaternion
        return rotate((-x, -y, -z, w), direction)


def rotate(quaternion: Sequence[float], v: Vector) -> Vector:
    """The vector turned by the unit quaternion (x, y, z, w)."""
    x, y, z, w = quaternion
    tx, ty, tz = 2 * (y * v[2] - z * v[1]), 2 * (z * v[0] - x * v[2]), 2 * (x * v[1] - y * v[0])
    return (
        v[0] + w * tx + y * tz - z * ty,
        v[1] + w * ty + z * tx - x * tz,
        v[2] + w * tz + x * ty - y * tx,
    )


def custom_view(pose: Pose, frame: Frame) -> dict[str, object]:
    """The API's custom view: what this camera sees of a part that lies there."""
    view: dict[str, object] = {
        "name": "custom",
        "eye_mm": list(frame.into(pose.eye_mm)),
        "forward": list(frame.turn(rotate(pose.quaternion, (0.0, 0.0, -1.0)))),
        "up": list(frame.turn(rotate(pose.quaternion, (0.0, 1.0, 0.0)))),
    }
    if pose.height_mm is not None:
        return {**view, "projection": "orthographic", "height_mm": pose.height_mm}
    angle = math.degrees(pose.height_angle_rad or math.radians(45.0))
    angle = min(max(angle, MIN_ANGLE_DEG), MAX_ANGLE_DEG)
    return {**view, "projection": "perspective", "field_of_view_deg": angle}


def picture_size(
    aspect: float, side_px: int, *, multiple: int = 8, max_pixels: int | None = None
) -> tuple[int, int]:
    """Width and height of about `side_px`² pixels in that aspect, in the model's multiples and limits."""
    aspect = min(max(aspect, 1 / 8), 8.0)
    area = float(side_px) ** 2
    if max_pixels:
        area = min(area, float(max_pixels))
    multiple = max(multiple, 8)
    ideal = (math.sqrt(area * aspect), math.sqrt(area / aspect))
    width, height = (_fit(one, multiple) for one in ideal)
    while max_pixels and width * height > max_pixels and max(width, height) > 2 * multiple:
        if width >= height:
            width -= multiple
        else:
            height -= multiple
    return width, height


def _fit(side: float, multiple: int) -> int:
    low, high = -(-MIN_SIDE_PX // multiple), MAX_SIDE_PX // multiple
    return min(max(round(side / multiple), low), high) * multiple
