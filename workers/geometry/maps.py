"""Control maps: what the camera sees of the true geometry, at the picture's own size.

Rays are cast through a grid finer than the image (Embree, through embreex), edges are found there, and
all is averaged down, so the maps are antialiased. The same input gives the same bits.
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from workers.geometry.camera import Camera
from workers.geometry.casting import Caster, Hits, in_bands
from workers.geometry.mesh import Mesh

if TYPE_CHECKING:
    from PIL.Image import Image

FloatMap = NDArray[np.float32]

MAPS_VERSION = 2
SUPERSAMPLE = 2
# A crease is a change of B-rep face at which the surface turns by more than this.
CREASE_DEG = 12.0
FAR_DEPTH = 0.1
OCCLUSION_RAYS = 12
SHADOW_RAYS = 32
# Ambient occlusion looks this far, as a share of the part's diagonal.
OCCLUSION_REACH = 0.35
# Key light, fill light and light from above of the clay pass, in camera space (x right, y up, z back).
CLAY_LIGHTS = (((-0.5, 0.7, 0.6), 0.55), ((0.7, 0.2, 0.7), 0.25))


@dataclass(frozen=True, slots=True)
class ControlMaps:
    """The maps of one view, float32, rows from the top.

    depth (H, W): 1 at the part's nearest point, 0.1 at its farthest, 0 on the background.
    normal (H, W, 3): in camera space (x right, y up, z to the camera), unit on the part, 0 elsewhere.
    edges (H, W) 0..1: silhouette, occlusion and creases.
    mask (H, W) 0..1: how much of the pixel the part covers.
    clay (H, W) 0..1: neutral shading, the background white with the part's contact shadow.
    occlusion (H, W) 0..1: 1 is open.
    """

    depth: FloatMap
    normal: FloatMap
    edges: FloatMap
    mask: FloatMap
    clay: FloatMap
    occlusion: FloatMap

    def to_bytes(self) -> bytes:
        """The maps as an npz archive of 16-bit values; nothing in it is a pickle."""
        out = io.BytesIO()
        packed = {name: _pack(value) for name, value in self.items()}
        np.savez(out, allow_pickle=False, version=np.int32(MAPS_VERSION), **packed)
        return out.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes) -> ControlMaps:
        """Read maps back. Raises ValueError where they are not of this version."""
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            if int(archive["version"]) != MAPS_VERSION:
                raise ValueError(f"maps of version {archive['version']}")
            return cls(**{one.name: _unpack(archive[one.name]) for one in fields(cls)})

    def items(self) -> list[tuple[str, FloatMap]]:
        """Name and array of each map."""
        return [(one.name, getattr(self, one.name)) for one in fields(self)]

    def to_png(self, name: str) -> bytes:
        """One map as a PNG for people: depth in 16 bits, normals as colours, the rest grey."""
        from PIL import Image

        value = getattr(self, name)
        if name == "normal":
            image = Image.fromarray(np.rint((value * 0.5 + 0.5) * 255).astype(np.uint8))
        elif name == "depth":
            image = Image.fromarray(np.rint(value * 65535).astype(np.uint16))
        else:
            image = Image.fromarray(np.rint(value * 255).astype(np.uint8))
        out = io.BytesIO()
        image.save(out, "PNG")
        return out.getvalue()

    def sheet(self) -> Image:
        """All maps side by side."""
        from PIL import Image

        shown = [self.normal * 0.5 + 0.5, self.depth, 1 - self.edges, self.mask, self.clay, self.occlusion]
        rgb = [np.repeat(one[..., None], 3, 2) if one.ndim == 2 else one for one in shown]
        rows = [np.concatenate(rgb[:3], 1), np.concatenate(rgb[3:], 1)]
        return Image.fromarray(np.rint(np.concatenate(rows, 0) * 255).astype(np.uint8))


def control_maps(
    mesh: Mesh, camera: Camera, width: int, height: int, supersample: int = SUPERSAMPLE
) -> ControlMaps:
    """The maps of a mesh seen by a camera, for a picture of that size (px)."""
    caster = Caster(mesh)
    fine = caster.look(camera, width * supersample, height * supersample)
    edges = find_edges(fine, camera)
    edges = ndimage.maximum_filter(edges, size=2).astype(np.float32)
    mask = _shrink(fine.hit.astype(np.float32), supersample)
    occlusion = ambient_occlusion(caster, fine, camera, supersample, mesh.diagonal_mm)
    normal = _shrink(fine.normal, supersample)
    length = np.linalg.norm(normal, axis=2, keepdims=True)
    normal = np.where(length > 0.05, normal / np.maximum(length, 1e-6), 0).astype(np.float32)
    depth = _shrink_over(_relative_depth(fine), fine.hit, supersample)
    shadow = contact_shadow(caster, camera, (height, width), mesh)
    return ControlMaps(
        depth=depth,
        normal=normal,
        edges=np.clip(_shrink(edges, supersample) * 1.6, 0, 1).astype(np.float32),
        mask=mask,
        clay=_clay(normal, occlusion, mask, shadow),
        occlusion=np.where(mask > 0, occlusion, 1).astype(np.float32),
    )


def find_edges(hits: Hits, camera: Camera) -> NDArray[np.bool_]:
    """Feature edges on the fine grid: where part meets background, where a nearer surface ends before a
    farther one (the step in depth is more than the tangent planes explain), and where B-rep faces meet at
    an angle. Triangles of one face never show."""
    found = np.zeros(hits.face.shape, bool)
    near = float(np.min(hits.depth_mm)) if hits.hit.any() else 1.0
    pixel = camera.pixel_mm(hits.face.shape[0], near)
    limit = math.cos(math.radians(CREASE_DEG))
    for axis in (0, 1):
        a: tuple[slice, ...] = (slice(None, -1), slice(None)) if axis == 0 else (slice(None), slice(None, -1))
        b: tuple[slice, ...] = (slice(1, None), slice(None)) if axis == 0 else (slice(None), slice(1, None))
        both = hits.hit[a] & hits.hit[b]
        depth_a, depth_b = np.where(both, hits.depth_mm[a], 0), np.where(both, hits.depth_mm[b], 0)
        normal_a, normal_b = hits.normal[a], hits.normal[b]
        along = 1 - axis  # a step along rows changes y, along columns x
        slopes = [np.abs(n[..., along]) / np.maximum(np.abs(n[..., 2]), 0.05) for n in (normal_a, normal_b)]
        steps = np.abs(depth_a - depth_b) > pixel * (2.5 * np.maximum(*slopes) + 3.0)
        creases = (hits.face[a] != hits.face[b]) & (np.einsum("hwc,hwc->hw", normal_a, normal_b) < limit)
        found[a] |= (hits.hit[a] != hits.hit[b]) | (both & (steps | creases))
    return found


# -- shading -----------------------------------------------------------------------------------------------
def ambient_occlusion(caster: Caster, fine: Hits, camera: Camera, every: int, diagonal_mm: float) -> FloatMap:
    """How open the surface is at one pixel of each block of the fine grid: the share of rays over the
    hemisphere that get away.

    Every pixel uses the same few directions, turned by a pattern that repeats each 4 by 4 pixels and is then
    averaged out again (Landis, Production-Ready Global Illumination, 2002, for the term).
    """
    picked = slice(every // 2, None, every)
    inside = fine.hit[picked, picked]
    points = camera.points(fine.depth_mm, every)[inside]
    normals = fine.normal[picked, picked][inside]
    rows, columns = np.nonzero(inside)
    twist = ((rows % 4) * 4 + columns % 4)[:, None] / 16.0
    open_share = np.zeros(len(points), np.float32)

    def look_around(part: slice) -> None:
        world = normals[part] @ np.stack([camera.right, camera.up, camera.back])
        origins = points[part] + world * diagonal_mm * 1e-4
        tangent = np.cross(world, np.where(np.abs(world[:, 2:]) < 0.9, [[0, 0, 1.0]], [[1.0, 0, 0]]))
        tangent /= np.maximum(np.linalg.norm(tangent, axis=1, keepdims=True), 1e-9)
        other = np.cross(world, tangent)
        for ray in range(OCCLUSION_RAYS):
            height_share = (ray + 0.5) / OCCLUSION_RAYS
            radius, lift = math.sqrt(height_share), math.sqrt(1 - height_share)
            angle = 2 * math.pi * (ray * 0.618034 + twist[part])
            direction = radius * (np.cos(angle) * tangent + np.sin(angle) * other) + lift * world
            open_share[part] += ~caster.blocked(origins, direction, diagonal_mm * OCCLUSION_REACH)

    in_bands(look_around, len(points), 1 << 16)
    occlusion = np.ones(inside.shape, np.float32)
    occlusion[inside] = open_share / OCCLUSION_RAYS
    weight = inside.astype(np.float32)
    blurred = ndimage.uniform_filter(occlusion * weight, 4) / np.maximum(
        ndimage.uniform_filter(weight, 4), 1e-3
    )
    return np.where(inside, np.clip(blurred, 0, 1), 1).astype(np.float32)


def contact_shadow(caster: Caster, camera: Camera, shape: tuple[int, int], mesh: Mesh) -> FloatMap:
    """How dark the floor is (H, W) 0..1 where the part stands on it; 0 where no floor is seen.

    Looked up at a quarter of the size: a soft shadow has no detail.
    """
    height, width = max(8, shape[0] // 4), max(8, shape[1] // 4)
    origins, directions = camera.rays(width, height)
    floor = float(mesh.bounds[0, 2]) - mesh.diagonal_mm * 1e-4
    falling = directions[:, 2] < -1e-3
    reach = np.where(falling, (floor - origins[:, 2]) / np.where(falling, directions[:, 2], -1), 0)
    seen = falling & (reach > 0)
    points = origins[seen] + directions[seen] * reach[seen, None]
    dark = np.zeros(height * width, np.float32)
    rows, columns = np.divmod(np.flatnonzero(seen), width)
    twist = ((rows % 4) * 4 + columns % 4) / 16.0
    blocked = np.zeros(len(points))
    for ray in range(SHADOW_RAYS):
        height_share = (ray + 0.5) / SHADOW_RAYS
        angle = 2 * math.pi * (ray * 0.618034 + twist)
        radius, lift = math.sqrt(height_share), math.sqrt(1 - height_share)
        rays = np.stack([radius * np.cos(angle), radius * np.sin(angle), np.full(len(angle), lift)], axis=1)
        blocked += caster.blocked(points, rays, mesh.diagonal_mm * OCCLUSION_REACH)
    dark[seen] = blocked / SHADOW_RAYS
    # As with occlusion, the pattern of turned directions is averaged out again.
    small = ndimage.gaussian_filter(ndimage.uniform_filter(dark.reshape(height, width), 4), 1.0)
    zoomed = ndimage.zoom(
        small, (shape[0] / height, shape[1] / width), order=1, grid_mode=True, mode="nearest"
    )
    return np.clip(zoomed, 0, 1).astype(np.float32)


def _clay(normal: FloatMap, occlusion: FloatMap, mask: FloatMap, shadow: FloatMap) -> FloatMap:
    lit = np.full(mask.shape, 0.22, np.float32) + 0.12 * np.clip(normal[..., 1], 0, 1)
    for direction, strength in CLAY_LIGHTS:
        unit = np.array(direction, np.float32) / np.linalg.norm(direction)
        lit += strength * np.clip(normal @ unit, 0, 1)
    part = np.clip(lit * (0.35 + 0.65 * occlusion), 0, 1)
    ground = 1 - 0.7 * shadow
    return np.clip(mask * part + (1 - mask) * ground, 0, 1).astype(np.float32)


# -- sizes --------------------------------------------------------------------------------------------------
def _relative_depth(hits: Hits) -> FloatMap:
    if not hits.hit.any():
        return np.zeros(hits.face.shape, np.float32)
    seen = hits.depth_mm[hits.hit]
    near, far = float(seen.min()), float(seen.max())
    scaled = 1 - (np.where(hits.hit, hits.depth_mm, far) - near) / max(far - near, 1e-9) * (1 - FAR_DEPTH)
    return np.where(hits.hit, scaled, 0).astype(np.float32)


def _shrink(fine: NDArray[Any], by: int) -> FloatMap:
    """Means over blocks of `by` by `by` pixels."""
    total = np.zeros((fine.shape[0] // by, fine.shape[1] // by, *fine.shape[2:]), np.float32)
    for row in range(by):
        for column in range(by):
            total += fine[row::by, column::by]
    total /= by * by
    return total


def _shrink_over(fine: FloatMap, hit: NDArray[np.bool_], by: int) -> FloatMap:
    """Means over the hit pixels of each block, so that depth does not fade at the silhouette."""
    weight = _shrink(hit.astype(np.float32), by)
    return np.where(weight > 0, _shrink(fine * hit, by) / np.maximum(weight, 1e-6), 0).astype(np.float32)


def _pack(value: FloatMap) -> NDArray[np.int16]:
    return np.rint(np.clip(value, -1, 1) * 32767).astype(np.int16)


def _unpack(value: NDArray[np.int16]) -> FloatMap:
    return (value.astype(np.float32) / 32767).astype(np.float32)
