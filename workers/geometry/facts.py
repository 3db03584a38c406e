"""What a CAD file tells in words and numbers, for prompts and for people."""

from __future__ import annotations

import colorsys
import unicodedata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.geometry.holes import find_holes
from workers.geometry.mesh import Mesh, triangle_normals

# Of a perforated plate the facts name so many holes, the widest; all are counted.
HOLES_NAMED = 300
# Of an assembly the facts name so many bodies; names longer than this are cut.
MOST_NAMES, NAME_CHARACTERS = 1000, 256
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


def describe(mesh: Mesh, holes_named: int = HOLES_NAMED) -> dict[str, Any]:
    """Names, colours, sizes and holes; all plain JSON values. Lengths are mm; the volume and the centre of
    mass are of a closed surface."""
    low, high = mesh.bounds
    flat = triangle_normals(mesh.vertices, mesh.faces)
    corners = mesh.vertices[mesh.faces] - low
    pieces = np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
    volume = float(pieces.sum())
    holes = find_holes(mesh)
    names = list(dict.fromkeys(body.name for body in mesh.bodies if body.name))[:MOST_NAMES]
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
        "low_corner_mm": [round(float(value), 3) + 0.0 for value in low],
        "centre_of_mass_mm": _centre_of_mass(corners, pieces, low),
        "hole_count": len(holes),
        "holes": [hole.as_json() for hole in holes[:holes_named]],
    }


def plain_text(text: str, most: int = NAME_CHARACTERS) -> str:
    """A file's text as it may be stored and printed: no control characters or half pairs, and not longer."""
    kept = "".join(
        " " if unicodedata.category(c) in ("Cc", "Cs", "Cf", "Zl", "Zp") else c for c in text[: 4 * most]
    )
    return " ".join(kept.split())[:most]


def _centre_of_mass(
    corners: NDArray[np.float64], pieces: NDArray[np.float64], low: NDArray[np.float64]
) -> list[float] | None:
    """Of the tetrahedra between the triangles and the lowest corner; None where they enclose nothing."""
    volume = float(pieces.sum())
    if abs(volume) < 1e-6 * float(np.abs(pieces).sum()) or volume == 0:
        return None
    centre = low + (corners.sum(1) / 4 * pieces[:, None]).sum(0) / volume
    return [round(float(value), 3) + 0.0 for value in centre]


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
