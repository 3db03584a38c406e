"""One picture by path tracing: mitsuba scene, denoising, tone map.

Dr.Jit compiles a kernel for each structure of a scene; numbers that vary from picture to picture live in
mesh attributes and textures of fixed size, never in literals, so that all pictures share one kernel.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

os.environ.setdefault("DRJIT_LIBLLVM_PATH", "/usr/lib/x86_64-linux-gnu/libLLVM.so.19.1")

import mitsuba as mi

from workers.studio.training.cameras import PictureCamera, pixel_rays
from workers.studio.training.looks import Array, Floor, Light, Surface, floor_colour, floor_light
from workers.studio.training.meshes import SceneMesh
from workers.studio.training.scene_tones import tone_map

mi.set_variant("llvm_ad_rgb")
mi.set_log_level(mi.LogLevel.Error)

FLOOR_HALF = 40.0  # scene units; the part's bounding sphere has radius 1
FLOOR_UV = 1024.0  # added to the floor's texture coordinates, that repeat: tells floor from part
FADE = (4.0, 12.0)  # distances from the part between which the floor becomes the backdrop


@dataclass(frozen=True, slots=True)
class Look:
    """All that is not geometry: surfaces, light, floor, and how the floor's pattern is turned."""

    surface: Surface
    light: Light
    floor: Floor
    floor_turn: float
    fittings: Surface | None = None  # of an assembly's bodies but the first

    @property
    def words(self) -> dict[str, str | None]:
        """The names of all of it, as captions take them."""
        named = {"light": self.light.name, "floor": self.floor.name, **self.surface.names}
        if self.fittings:
            named |= {f"fitting_{name}": value for name, value in self.fittings.names.items()}
        return named

    @property
    def floor_gain(self) -> float:
        """What the rendered floor is multiplied by: in the open it is as bright as light and floor say."""
        return self.floor.shown * self.light.exposure / floor_light(self.light.environment)


@dataclass(frozen=True, slots=True)
class Quality:
    """Size and samples of a picture."""

    size_px: int
    samples: int
    seed: int


def use_threads(count: int) -> None:
    """How many threads the path tracer works with."""
    import drjit

    drjit.set_thread_count(count)


def path_trace(
    mesh: SceneMesh,
    camera: PictureCamera,
    look: Look,
    quality: Quality,
    fittings: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """The finished picture, sRGB (n, n, 3). `fittings` (3F,) says which corners have the fittings' surface,
    where the look has one."""
    has_floor = camera.forward[2] < -0.02
    scene = mi.load_dict(_scene(mesh, camera, look, quality, has_floor=has_floor, fittings=fittings))
    raw = np.array(mi.render(scene, spp=quality.samples, seed=quality.seed & 0x7FFFFFFF))
    colour, alpha, albedo, normal = raw[..., :3], raw[..., 3:4], raw[..., 4:7], raw[..., 7:10]
    picture = _denoise(np.minimum(colour, 20), np.clip(albedo, 0, 1), normal)
    backdrop = _backdrop(look, quality.size_px)
    seen = np.clip(alpha, 0, 1)
    if has_floor:
        part = np.clip(seen - raw[..., 10:11] / FLOOR_UV, 0, 1)
        on_floor, fade = seen - part, _floor_fade(mesh, camera, quality.size_px)
        floor = _spread(picture, on_floor)
        # Where part and floor share a pixel, only the floor's share is lit anew and faded.
        wanted = floor * look.floor_gain * (1 - fade) + backdrop * fade
        picture = picture + on_floor * (wanted - floor)
    picture = picture + (1 - seen) * backdrop
    return (tone_map(picture) * 255 + 0.5).astype(np.uint8)


def _spread(picture: Array, weight: Array) -> Array:
    """The picture where the weight is (almost) 1, and elsewhere the mean of such pixels nearby."""
    sure = (weight > 0.98).astype(np.float32)
    size = (3.0, 3.0, 0.0)
    near = ndimage.gaussian_filter(picture * sure, size) / (ndimage.gaussian_filter(sure, size) + 1e-4)
    return np.where(sure > 0, picture, near)


def _scene(
    mesh: SceneMesh,
    camera: PictureCamera,
    look: Look,
    quality: Quality,
    *,
    has_floor: bool,
    fittings: NDArray[np.bool_] | None,
) -> dict[str, Any]:
    made: dict[str, Any] = {
        "type": "scene",
        **_part(mesh, look, fittings),
        "light": {
            "type": "envmap",
            # mitsuba's maps have y up and their columns run the other way round: flipped and turned, z is up
            # and azimuth 0 is +x. Turned alone, x is mirrored, and no lamp hangs on the camera.
            "bitmap": mi.Bitmap(np.ascontiguousarray(look.light.environment[:, ::-1])),
            "to_world": mi.ScalarTransform4f().rotate([1, 0, 0], 90)
            @ mi.ScalarTransform4f().rotate([0, 1, 0], -90),
        },
        "sensor": _sensor(mesh, camera, quality),
        "integrator": {
            "type": "aov",
            "aovs": "al:albedo,nn:sh_normal,tt:uv",
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


def _part(mesh: SceneMesh, look: Look, fittings: NDArray[np.bool_] | None) -> dict[str, Any]:
    if look.fittings is None or fittings is None or not fittings.any():
        return {"part": _body("part", mesh, look.surface)}
    part, fitted = (replace(mesh, vertices=mesh.vertices[some], normals=mesh.normals[some], uv=mesh.uv[some])
                    for some in (~fittings, fittings))  # fmt: skip
    return {"part": _body("part", part, look.surface), "fittings": _body("fittings", fitted, look.fittings)}


def _body(name: str, mesh: SceneMesh, surface: Surface) -> Any:
    inside: dict[str, Any] = {
        "type": "principled",
        "base_color": _texture(surface.colour),
        "roughness": _texture(np.clip(surface.roughness, 0.04, 1)),
        "metallic": _attribute("metal"),
        "specular": 0.5,
        "clearcoat": _attribute("coat"),
        "clearcoat_gloss": 0.9,
        "anisotropic": _attribute("along"),
    }
    # What light passes through has two different sides: a second kernel, for those pictures alone.
    through = surface.transmission > 0
    bsdf = (
        inside | {"spec_trans": _attribute("through")} if through else {"type": "twosided", "inside": inside}
    )
    count = len(mesh.vertices)
    faces = np.arange(count, dtype=np.uint32)
    made = _mesh(name, bsdf, (mesh.vertices, mesh.normals, mesh.uv), faces)
    made.add_attribute("vertex_metal", 1, np.full(count, surface.metallic, np.float32))
    made.add_attribute("vertex_coat", 1, np.full(count, surface.clearcoat, np.float32))
    made.add_attribute("vertex_along", 1, np.full(count, surface.anisotropy, np.float32))
    if through:
        made.add_attribute("vertex_through", 1, np.full(count, surface.transmission, np.float32))
    return made


def _floor(look: Look) -> Any:
    bsdf = {
        "type": "principled",
        "base_color": _texture(look.floor.colour),
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
    uv = (corners @ turn / 2.6 + 0.37 + FLOOR_UV).astype(np.float32)
    made = _mesh("floor", bsdf, (places, up, uv), np.array([0, 1, 2, 0, 2, 3], np.uint32))
    made.add_attribute("vertex_rough", 1, np.full(4, look.floor.roughness, np.float32))
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
    lit = floor_colour(look.light.environment)
    colour = look.floor.colour.mean((0, 1)) * look.floor.shown * look.light.exposure * lit / lit.mean()
    height = np.linspace(0.97, 1.0, size_px, dtype=np.float32)[:, None, None]
    return np.broadcast_to(colour * height, (size_px, size_px, 3)).astype(np.float32)


def _floor_fade(mesh: SceneMesh, camera: PictureCamera, size_px: int) -> Array:
    """0 near the part to 1 far away, by where each pixel's ray meets the floor, (n, n, 1)."""
    origins, directions = pixel_rays(camera, size_px)
    start = (origins - mesh.centre) * mesh.scale
    down = np.minimum(directions[..., 2], -1e-4)
    place = start[..., :2] - directions[..., :2] * (start[..., 2] / down)[..., None]
    far = np.clip((np.linalg.norm(place, axis=-1) - FADE[0]) / (FADE[1] - FADE[0]), 0, 1)
    return (far * far * (3 - 2 * far))[..., None].astype(np.float32)
