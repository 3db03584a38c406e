"""The camera of a 3D view, as numbers."""

from __future__ import annotations

from typing import Any

from ..core.camera import Frame, Pose


def pose_of(view: Any) -> Pose:
    """Its position, direction, and how much it shows."""
    node = view.getCameraNode()
    eye = tuple(node.position.getValue().getValue())
    turned = tuple(node.orientation.getValue().getValue())
    if hasattr(node, "heightAngle"):
        return Pose(eye, turned, height_angle_rad=float(node.heightAngle.getValue()))
    return Pose(eye, turned, height_mm=float(node.height.getValue()))


def frame_of(placement: Any) -> Frame:
    """A placement, as numbers."""
    base, turned = placement.Base, placement.Rotation.Q
    return Frame((base.x, base.y, base.z), tuple(turned))


def aspect_of(view: Any) -> float:
    """Width over height of the view as it is on the screen."""
    width, height = view.getSize()
    return width / height if width and height else 1.0
