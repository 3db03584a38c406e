"""What a CAD file tells in words and numbers, for prompts and for people."""

from __future__ import annotations

import colorsys
from typing import Any

import numpy as np

from workers.geometry.mesh import Mesh, triangle_normals

# Hues in degrees at which a colour's name ends.
HUES = (
    (15, "red"),
    (45, "orange"),
    (70, "yellow"),
    (165, "green"),
    (200, "turquoise"),
    (260, "blue"),
    (330, "purple"),
    (361, "red"),
)


def describe(mesh: Mesh) -> dict[str, Any]:
    """Names, colours and sizes; all plain JSON values. Lengths are mm, the volume is of a closed surface."""
    low, high = mesh.bounds
    flat = triangle_normals(mesh.vertices, mesh.faces)
    corners = mesh.vertices[mesh.faces] - low
    volume = float(np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])).sum() / 6)
    names = list(dict.fromkeys(body.name for body in mesh.bodies if body.name))
    colours = color_names(mesh)
    size = [round(float(value), 2) for value in high - low]
    return {
        "body_names": names,
        "body_name": names[0] if names else "",
        "body_count": len(mesh.bodies),
        "colours": colours,
        "colour": colours[0] if colours else "",
        "extent_x_mm": size[0],
        "extent_y_mm": size[1],
        "extent_z_mm": size[2],
        "area_mm2": round(float(np.linalg.norm(flat, axis=1).sum() / 2), 1),
        "volume_mm3": round(abs(volume), 1),
        "face_count": len(np.unique(mesh.face_ids)),
        "triangle_count": len(mesh.faces),
    }


def color_names(mesh: Mesh) -> list[str]:
    """The names of the file's colours, the one on the largest area first."""
    if mesh.colors is None:
        return []
    seen = mesh.colors[:, 3] > 0
    area = np.linalg.norm(triangle_normals(mesh.vertices, mesh.faces[seen]), axis=1)
    colors, which = np.unique(mesh.colors[seen, :3], axis=0, return_inverse=True)
    order = np.argsort(-np.bincount(which.reshape(-1), weights=area, minlength=len(colors)))
    return list(dict.fromkeys(color_name(*map(int, colors[index])) for index in order))


def color_name(red: int, green: int, blue: int) -> str:
    """A plain word for an sRGB colour, 0 to 255 each."""
    hue, lightness, saturation = colorsys.rgb_to_hls(red / 255, green / 255, blue / 255)
    if lightness < 0.16:
        return "black"
    if lightness > 0.92:
        return "white"
    if saturation < 0.15:
        return "grey" if lightness < 0.7 else "light grey"
    return next(name for limit, name in HUES if hue * 360 < limit)
