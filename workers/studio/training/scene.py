"""One picture by path tracing: mitsuba scene, denoising, tone map.

Dr.Jit compiles a kernel for each structure of a scene; numbers that vary from picture to picture live in
mesh attributes and textures of fixed size, never in literals, so that all pictures share one kernel.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

os.environ.setdefault("DRJIT_LIBLLVM_PATH", "/usr/lib/x86_64-linux-gnu/libLLVM.so.19.1")

import mitsuba as mi

from workers.studio.training.cameras import PictureCamera, pixel_rays
from workers.studio.training.looks import Array, Surface
from workers.studio.training.meshes import SceneMesh

mi.set_variant("llvm_ad_rgb")
mi.set_log_level(mi.LogLevel.Error)

FLOOR_HALF = 40.0  # scene units; the part's bounding sphere has radius 1
FADE = (2.6, 6.0)  # distances from the part between which the floor becomes the backdrop


@dataclass(frozen=True, slots=True)
class Look:
    """All that is not geometry: surface, environment map, floor texture with its roughness and turn."""

    surface: Surface
    environment: Array
    floor: Array
    floor_roughness: float
    floor_turn: float


@dataclass(frozen=True, slots=True)
class Quality:
    """Size and samples of a picture."""

    size_px: int
    samples: int
    seed: int


def path_trace(mesh: SceneMesh, camera: PictureCamera, look: Look, quality: Quality) -> NDArray[np.uint8]:
    """The finished picture, sRGB (n, n, 3)."""
    has_floor = camera.forward[2] < -0.02
    scene = mi.load_dict(_scene(mesh, camera, look, quality, has_floor=has_floor))
    raw = np.array(mi.render(scene, spp=quality.samples, seed=quality.seed & 0x7FFFFFFF))
    colour, alpha, albedo, normal = raw[..., :3], raw[..., 3:4], raw[..., 4:7], raw[..., 7:10]
    clean = _denoise(np.minimum(colour, 20), np.clip(albedo, 0, 1), normal)
    backdrop = _backdrop(look, quality.size_px)
    seen = np.clip(alpha, 0, 1)
    picture = clean + (1 - seen) * backdrop
    if has_floor:
        fade = _floor_fade(mesh, camera, quality.size_px)
        part = _part_cover(raw)
        picture = picture * (1 - fade * (1 - part)) + backdrop * fade * (1 - part)
    return (tone_map(picture) * 255 + 0.5).astype(np.uint8)


def tone_map(light: Array) -> Array:
    """Linear light to sRGB 0 to 1: straight up to 0.8, then a shoulder that never clips hard."""
    x = np.maximum(light, 0)
    x = np.where(x < 0.8, x, 0.8 + 0.2 * (1 - np.exp(-(x - 0.8) / 0.2 * 0.9)))
    return np.clip(
        np.where(x <= 0.0031308, 12.92 * x, 1.055 * np.maximum(x, 1e-6) ** (1 / 2.4) - 0.055), 0, 1
    )


def _scene(
    mesh: SceneMesh, camera: PictureCamera, look: Look, quality: Quality, *, has_floor: bool
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "type": "scene",
        "part": _part(mesh, look.surface),
        "light": {
            "type": "envmap",
            "bitmap": mi.Bitmap(np.ascontiguousarray(look.environment)),
            # mitsuba's maps have y up: turned so that z is up and azimuth 0 is +x
            "to_world": mi.ScalarTransform4f().rotate([0, 0, 1], 180).rotate([1, 0, 0], 90)
            @ mi.ScalarTransform4f().rotate([0, 1, 0], -90),
        },
        "sensor": _sensor(mesh, camera, quality),
        "integrator": {
            "type": "aov",
            "aovs": "al:albedo,nn:sh_normal,pp:position",
            "img": {"type": "path", "max_depth": 5, "hide_emitters": True},
        },
    }
    if has_floor:
        made["floor"] = _floor(look)
    return made


def _texture(values: Array) -> dict[str, Any]:
    data = values if values.ndim == 3 else values[..., None]
    bitmap = mi.Bitmap(np.ascontiguousarray(data, np.float32))
    return {"type": "bitmap", "bitmap": bitmap, "raw": True, "wrap_mode": "repeat"}


def _attribute(name: str) -> dict[str, str]:
    return {"type": "mesh_attribute", "name": f"vertex_{name}"}


def _part(mesh: SceneMesh, surface: Surface) -> Any:
    bsdf = {
        "type": "twosided",
        "inside": {
            "type": "principled",
            "base_color": _texture(surface.colour),
            "roughness": _texture(np.clip(surface.roughness, 0.04, 1)),
            "metallic": _attribute("metal"),
            "specular": 0.5,
            "clearcoat": _attribute("coat"),
            "clearcoat_gloss": 0.9,
        },
    }
    count = len(mesh.vertices)
    faces = np.arange(count, dtype=np.uint32)
    made = _mesh("part", bsdf, (mesh.vertices, mesh.normals, mesh.uv), faces)
    made.add_attribute("vertex_metal", 1, np.full(count, surface.metallic, np.float32))
    made.add_attribute("vertex_coat", 1, np.full(count, surface.clearcoat, np.float32))
    return made


def _floor(look: Look) -> Any:
    bsdf = {
        "type": "principled",
        "base_color": _texture(look.floor),
        "roughness": _attribute("rough"),
        "specular": 0.4,
    }
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32) * FLOOR_HALF
    turn = np.array(
        [
            [np.cos(look.floor_turn), -np.sin(look.floor_turn)],
            [np.sin(look.floor_turn), np.cos(look.floor_turn)],
        ]
    )
    places = np.concatenate([corners, np.zeros((4, 1))], 1).astype(np.float32)
    up = np.tile(np.array([0, 0, 1], np.float32), (4, 1))
    uv = (corners @ turn / 2.6 + 0.37).astype(np.float32)
    made = _mesh("floor", bsdf, (places, up, uv), np.array([0, 1, 2, 0, 2, 3], np.uint32))
    made.add_attribute("vertex_rough", 1, np.full(4, look.floor_roughness, np.float32))
    return made


def _mesh(
    name: str, bsdf: dict[str, Any], corners: tuple[Array, Array, Array], faces: NDArray[np.uint32]
) -> Any:
    properties = mi.Properties()
    properties["bsdf"] = mi.load_dict(bsdf)
    made = mi.Mesh(name, len(corners[0]), len(faces) // 3, props=properties,
                   has_vertex_normals=True, has_vertex_texcoords=True)  # fmt: skip
    values = mi.traverse(made)
    values["vertex_positions"], values["vertex_normals"], values["vertex_texcoords"] = (
        c.ravel() for c in corners
    )
    values["faces"] = faces
    values.update()
    return made


def _sensor(mesh: SceneMesh, camera: PictureCamera, quality: Quality) -> dict[str, Any]:
    origin = (np.array(camera.eye) - mesh.centre) * mesh.scale
    target = origin + np.array(camera.forward)
    look_at = mi.ScalarTransform4f().look_at(
        origin=origin.tolist(), target=target.tolist(), up=list(camera.up)
    )
    made: dict[str, Any] = {
        "film": {"type": "hdrfilm", "width": quality.size_px, "height": quality.size_px,
                 "rfilter": {"type": "box"}, "pixel_format": "rgba"},
        "sampler": {"type": "independent", "sample_count": quality.samples},
        "near_clip": 0.01,
        "far_clip": 1000.0,
    }  # fmt: skip
    if camera.projection == "orthographic":
        half = camera.height * mesh.scale / 2
        return made | {
            "type": "orthographic",
            "to_world": look_at @ mi.ScalarTransform4f().scale([half, half, 1]),
        }
    return made | {"type": "perspective", "fov": float(np.degrees(camera.height)), "to_world": look_at}


def _denoise(colour: Array, albedo: Array, normal: Array) -> Array:
    import mitsuba_oidn as oidn

    ready = [np.ascontiguousarray(one, np.float32) for one in (colour, albedo, normal)]
    return np.asarray(oidn.denoise(ready[0], ready[1], ready[2], hdr=True))


def _backdrop(look: Look, size_px: int) -> Array:
    """What stands behind the part where no floor is: the floor's lit mean, a little darker upwards."""
    area = np.cos((np.arange(look.environment.shape[0]) + 0.5) / look.environment.shape[0] * np.pi).clip(0)
    weight = (area * np.sin((np.arange(len(area)) + 0.5) / len(area) * np.pi))[:, None, None]
    light = (look.environment * weight).sum((0, 1)) / (weight.sum() * look.environment.shape[1])
    height = np.linspace(0.97, 1.0, size_px, dtype=np.float32)[:, None, None]
    return np.broadcast_to(look.floor.mean((0, 1)) * light * height, (size_px, size_px, 3)).astype(np.float32)


def _floor_fade(mesh: SceneMesh, camera: PictureCamera, size_px: int) -> Array:
    """0 near the part to 1 far away, by where each pixel's ray meets the floor, (n, n, 1)."""
    origins, directions = pixel_rays(camera, size_px)
    start = (origins - mesh.centre) * mesh.scale
    down = np.minimum(directions[..., 2], -1e-4)
    place = start[..., :2] - directions[..., :2] * (start[..., 2] / down)[..., None]
    far = np.clip((np.linalg.norm(place, axis=-1) - FADE[0]) / (FADE[1] - FADE[0]), 0, 1)
    return (far * far * (3 - 2 * far))[..., None].astype(np.float32)


def _part_cover(raw: Array) -> Array:
    """How much of each pixel is the part and not the floor, from the mean height of what was hit."""
    return (raw[..., 12:13] > 1e-3).astype(np.float32)
