"""Random cameras of the training pictures: the product's standard views and free ones. Lengths in mm."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Direction from the part to the eye, and the picture's upward direction.
STANDARD: dict[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "iso": ((1, -1, 0.81649658), (0, 0, 1)),
    "front": ((0, -1, 0), (0, 0, 1)),
    "back": ((0, 1, 0), (0, 0, 1)),
    "left": ((-1, 0, 0), (0, 0, 1)),
    "right": ((1, 0, 0), (0, 0, 1)),
    "top": ((0, 0, 1), (0, 1, 0)),
    "bottom": ((0, 0, -1), (0, -1, 0)),
}
SHARES = {
    "iso": 0.36,
    "free": 0.43,
    "front": 0.045,
    "back": 0.025,
    "left": 0.03,
    "right": 0.04,
    "top": 0.045,
    "bottom": 0.025,
}


@dataclass(frozen=True, slots=True)
class PictureCamera:
    """A square camera. `height` is the picture's height: mm if orthographic, radians if perspective."""

    view: str
    projection: str
    eye: tuple[float, float, float]
    right: tuple[float, float, float]
    up: tuple[float, float, float]
    forward: tuple[float, float, float]
    height: float

    def as_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)

    @property
    def azimuth(self) -> float:
        """Where the eye stands around z, in radians; for a view from above, below the picture's foot."""
        x, y = -self.forward[0], -self.forward[1]
        if math.hypot(x, y) < 1e-3:
            x, y = -self.up[0], -self.up[1]
        return math.atan2(y, x)


def camera_from_json(values: dict[str, Any]) -> PictureCamera:
    """The camera that `as_json` described."""
    fixed: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return PictureCamera(**fixed)


def draw_camera(rng: np.random.Generator, vertices: NDArray[np.float64]) -> PictureCamera:
    """A camera that frames the vertices (V, 3) with a margin."""
    view = str(rng.choice(list(SHARES), p=np.array(list(SHARES.values())) / sum(SHARES.values())))
    if view == "free":
        azimuth, elevation = rng.uniform(0, 2 * math.pi), math.radians(rng.uniform(15, 55))
        flat = math.cos(elevation)
        back, up = (flat * math.cos(azimuth), flat * math.sin(azimuth), math.sin(elevation)), (0.0, 0.0, 1.0)
    else:
        back, up = STANDARD[view]
    # The product's views are perspective, 30° wide: most of the pictures are near that.
    perspective = rng.random() < 0.8
    angle = math.radians(rng.uniform(26, 34))
    return frame(view, (np.array(back, float), np.array(up, float)), vertices, angle if perspective else None,
                 fill=rng.uniform(0.74, 0.9))  # fmt: skip


def frame(
    view: str, axes: tuple[Array, Array], vertices: NDArray[np.float64], angle: float | None, fill: float
) -> PictureCamera:
    """A camera that looks along -axes[0], axes[1] upwards, so that the part fills `fill` of the picture.

    `angle` is the perspective's full angle in radians; None makes it orthographic.
    """
    back = axes[0] / np.linalg.norm(axes[0])
    right = np.cross(axes[1], back)
    right /= np.linalg.norm(right)
    up = np.cross(back, right)
    points = vertices
    x, y = points @ right, points @ up
    low, high = points.min(0), points.max(0)
    depth = (low + high) @ back / 2
    centre = right * (x.min() + x.max()) / 2 + up * (y.min() + y.max()) / 2 + back * depth
    moved = points - centre
    reach = np.maximum(np.abs(moved @ right), np.abs(moved @ up))
    if angle is None:
        height, distance = float(2 * reach.max() / fill), float(np.linalg.norm(high - low)) * 2
    else:
        height = angle
        distance = float((reach / (fill * math.tan(angle / 2)) + moved @ back).max())
    eye = centre + back * distance
    plain = [tuple(float(v) for v in one) for one in (eye, right, up, -back)]
    projection = "orthographic" if angle is None else "perspective"
    return PictureCamera(view, projection, plain[0], plain[1], plain[2], plain[3], height)  # type: ignore[arg-type]


def pixel_rays(camera: PictureCamera, size_px: int) -> tuple[Array, Array]:
    """Origins and directions (n, n, 3) in mm of the rays through the pixels' centres."""
    place = (np.arange(size_px) + 0.5) / size_px * 2 - 1
    half = camera.height / 2 if camera.projection == "orthographic" else math.tan(camera.height / 2)
    across = place[None, :, None] * half * np.array(camera.right)
    down = -place[:, None, None] * half * np.array(camera.up)
    if camera.projection == "orthographic":
        origins = np.array(camera.eye) + across + down
        return origins, np.broadcast_to(np.array(camera.forward), origins.shape)
    directions = np.array(camera.forward) + across + down
    return np.broadcast_to(np.array(camera.eye), directions.shape), directions
