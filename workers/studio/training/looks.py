"""Appearances: surface, light and floor of one picture, as plain arrays. Colours are linear RGB.

Every look is drawn from few, named kinds with little jitter: what a caption does not say should vary
little, so that the denoiser's mean prediction is a sharp picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.float32]
Random = np.random.Generator

TEXTURE_PX = 256

PAINTS: dict[str, tuple[int, int, int]] = {
    "red": (190, 20, 22), "blue": (22, 60, 170), "green": (20, 120, 50), "yellow": (238, 186, 15),
    "orange": (235, 95, 10), "white": (236, 236, 232), "black": (20, 20, 22), "grey": (120, 122, 125),
    "purple": (95, 35, 140), "turquoise": (20, 150, 150), "navy": (12, 24, 70), "pink": (225, 110, 150),
}  # fmt: skip
ANODISED: dict[str, tuple[int, int, int]] = {
    "black": (28, 28, 31), "red": (190, 20, 24), "blue": (25, 70, 185), "green": (30, 130, 60),
    "gold": (205, 150, 50), "purple": (100, 40, 150), "orange": (225, 95, 20),
}  # fmt: skip
METALS: dict[str, tuple[float, float, float]] = {
    "aluminium": (0.77, 0.775, 0.785), "steel": (0.50, 0.51, 0.525), "brass": (0.87, 0.62, 0.22),
    "copper": (0.90, 0.43, 0.27), "bronze": (0.60, 0.36, 0.16), "titanium": (0.46, 0.43, 0.40),
    "chrome": (0.74, 0.76, 0.79), "gold": (1.0, 0.71, 0.25),
}  # fmt: skip
FINISHES: dict[str, tuple[str, ...]] = {
    "aluminium": ("brushed", "brushed", "polished", "machined", "blasted", "plain"),
    "steel": ("brushed", "polished", "machined", "plain"),
    "brass": ("polished", "brushed", "plain"),
    "copper": ("polished", "brushed", "plain"),
    "bronze": ("polished", "plain"),
    "titanium": ("brushed", "blasted", "plain"),
}
ROUGHNESS = {"polished": 0.13, "brushed": 0.3, "machined": 0.24, "blasted": 0.5, "plain": 0.34}
KINDS: dict[str, float] = {
    "aluminium": 16, "steel": 11, "brass": 8, "copper": 5, "bronze": 3, "titanium": 3, "chrome": 4, "gold": 3,
    "cast_iron": 4, "rust": 7, "galvanised": 3, "anodised": 11, "powder": 14, "paint": 8, "plastic": 12,
    "rubber": 3,
}  # fmt: skip
LIGHTS: dict[str, float] = {"studio": 46, "soft": 16, "sun": 12, "dramatic": 12, "warm": 14}
FLOORS: dict[str, float] = {
    "white": 34, "light_grey": 12, "dark_grey": 12, "black": 11, "wood": 17, "concrete": 8, "blue": 6,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Surface:
    """A material: base colour (n, n, 3) and roughness (n, n) textures, and three scalars 0 to 1."""

    names: dict[str, str | None]
    colour: Array
    roughness: Array
    metallic: float
    specular: float = 0.5
    clearcoat: float = 0.0


def linear(srgb: tuple[int, int, int]) -> Array:
    """sRGB bytes as linear light (IEC 61966-2-1)."""
    c = np.asarray(srgb, np.float32) / 255
    return np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4).astype(np.float32)


def pick(rng: Random, weights: dict[str, float]) -> str:
    """One key by its weight."""
    values = np.array(list(weights.values()))
    return str(rng.choice(list(weights), p=values / values.sum()))


def tiled_noise(rng: Random, cells: tuple[int, int], octaves: int = 4, px: int = TEXTURE_PX) -> Array:
    """Value noise 0 to 1 that repeats at the borders, (px, px)."""
    total = np.zeros((px, px), np.float32)
    for octave in range(octaves):
        size = (min(cells[0] << octave, px), min(cells[1] << octave, px))
        grid = rng.random(size)
        zoom = (px / size[0], px / size[1])
        total += ndimage.zoom(grid, zoom, order=1, mode="grid-wrap", grid_mode=True) * 0.5**octave
    total -= total.min()
    return total / total.max()


def flat(value: float) -> Array:
    """A texture of one value."""
    return np.full((TEXTURE_PX, TEXTURE_PX), value, np.float32)


def draw_surface(rng: Random, kind: str | None = None) -> Surface:
    """A material of that kind, or of a random one."""
    kind = kind or pick(rng, KINDS)
    if kind in METALS:
        return _metal(rng, kind)
    if kind == "anodised":
        colour = str(rng.choice(list(ANODISED)))
        return _coat(
            rng, (kind, None, colour), linear(ANODISED[colour]) * 0.9 + 0.012, (0.32, 0.85, 0.5, 0.0)
        )
    if kind in ("powder", "paint", "plastic"):
        colour = str(rng.choice(list(PAINTS)))
        finish = str(rng.choice(["matte", "glossy"])) if kind == "plastic" else None
        rough = {"powder": 0.52, "paint": 0.28}.get(kind, 0.5 if finish == "matte" else 0.14)
        return _coat(
            rng, (kind, finish, colour), linear(PAINTS[colour]), (rough, 0.0, 0.5, float(kind == "paint"))
        )
    return _weathered(rng, kind)


def _metal(rng: Random, kind: str) -> Surface:
    finish = str(rng.choice(FINISHES[kind])) if kind in FINISHES else None
    base = np.asarray(METALS[kind], np.float32) * rng.uniform(0.96, 1.02)
    rough = ROUGHNESS.get(finish or "", 0.08) * rng.uniform(0.9, 1.1)
    streaks = np.full((TEXTURE_PX, TEXTURE_PX), 0.5, np.float32)
    if finish == "brushed":
        streaks = tiled_noise(rng, (128, 1), 2)
    elif finish == "machined":
        streaks = tiled_noise(rng, (64, 2), 2)
    depth = 0.2 if finish == "brushed" else 0.08
    colour = (base * (1 - depth / 2 + depth * streaks[..., None])).astype(np.float32)
    wanted = rough * (0.8 + 0.4 * streaks)
    return Surface({"kind": kind, "finish": finish, "colour": None}, np.clip(colour, 0, 1), wanted, 1.0)


def _coat(
    rng: Random, names: tuple[str, str | None, str], base: Array, numbers: tuple[float, float, float, float]
) -> Surface:
    rough, metallic, specular, clearcoat = numbers
    kind, finish, colour = names
    grain = tiled_noise(rng, (64, 64), 2)[..., None]
    amount = 0.12 if kind == "powder" else 0.03
    texture = np.clip(base * rng.uniform(0.92, 1.08) * (1 - amount / 2 + amount * grain), 0, 0.92)
    named = {"kind": kind, "finish": finish, "colour": colour}
    return Surface(named, texture.astype(np.float32), flat(rough), metallic, specular, clearcoat)


def _weathered(rng: Random, kind: str) -> Surface:
    names: dict[str, str | None] = {"kind": kind, "finish": None, "colour": None}
    if kind == "rust":
        stain = np.clip((tiled_noise(rng, (4, 4), 5) - 0.33) * 7, 0, 1)[..., None]
        fine = tiled_noise(rng, (20, 20), 3)[..., None]
        orange, brown = np.array([0.42, 0.135, 0.03]), np.array([0.13, 0.038, 0.014])
        colour = (1 - stain) * np.array([0.27, 0.23, 0.20]) + stain * (orange * fine + brown * (1 - fine))
        return Surface(names, colour.astype(np.float32), 0.45 + 0.4 * stain[..., 0].astype(np.float32), 0.25)
    if kind == "galvanised":
        patches = np.round(tiled_noise(rng, (10, 10), 2) * 6) / 6
        colour = np.array([0.62, 0.65, 0.68]) * (0.75 + 0.4 * patches[..., None])
        return Surface(names, colour.astype(np.float32), (0.32 + 0.2 * patches).astype(np.float32), 0.9)
    if kind == "cast_iron":
        grain = tiled_noise(rng, (24, 24), 4)
        colour = np.array([0.11, 0.11, 0.115]) * (0.6 + 0.8 * grain[..., None])
        return Surface(names, colour.astype(np.float32), 0.5 + 0.25 * grain, 0.55)
    colour = np.full((TEXTURE_PX, TEXTURE_PX, 3), 0.018, np.float32)
    return Surface(names, colour, flat(0.62), 0.0, 0.3)


# -- light ------------------------------------------------------------------------------------------
ENV_PX = (96, 192)


def _directions() -> tuple[Array, Array]:
    theta = (np.arange(ENV_PX[0]) + 0.5) / ENV_PX[0] * np.pi
    phi = (np.arange(ENV_PX[1]) + 0.5) / ENV_PX[1] * 2 * np.pi
    t, p = np.meshgrid(theta, phi, indexing="ij")
    unit = np.stack([np.sin(t) * np.cos(p), np.sin(t) * np.sin(p), np.cos(t)], -1)
    return unit.astype(np.float32), np.sin(t).astype(np.float32)


DIRECTIONS, SOLID = _directions()


def _panel(azimuth: float, elevation: float, size: tuple[float, float], soft: float = 0.03) -> Array:
    """A softbox seen from the origin: 1 inside, 0 outside, (h, w, 1); `size` as tangents of half angles."""
    axis = np.array(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)]
    )
    right = np.array([-np.sin(azimuth), np.cos(azimuth), 0])
    facing = DIRECTIONS @ axis
    x = (DIRECTIONS @ right) / np.maximum(facing, 1e-3)
    y = (DIRECTIONS @ np.cross(axis, right)) / np.maximum(facing, 1e-3)
    inside = 1.0
    for value, half in ((x, size[0]), (y, size[1])):
        inside = inside / (1 + np.exp(np.clip((np.abs(value) - half) / soft, -30, 30)))
    return np.where(facing > 0.02, inside, 0)[..., None].astype(np.float32)


def draw_light(rng: Random, azimuth: float, name: str | None = None) -> tuple[str, Array]:
    """A named light and its environment map (h, w, 3), z up, for a camera at `azimuth` (radians).

    Scaled so that a white floor reflects the light's own exposure (about 1).
    """
    name = name or pick(rng, LIGHTS)
    jitter = lambda width: float(rng.uniform(-width, width))  # noqa: E731 - three letters of noise
    height = DIRECTIONS[..., 2:]
    left, right, behind = (
        azimuth - 0.9 + jitter(0.15),
        azimuth + 1.2 + jitter(0.2),
        azimuth + np.pi + jitter(0.3),
    )
    if name == "studio":
        env = 0.17 + 0.2 * np.clip(height, -0.2, 1) + _panel(left, 0.7, (0.55, 0.5)) * 7
        env = env + _panel(right, 0.5, (0.4, 0.7)) * 3 + _panel(behind, 0.6, (0.9, 0.25)) * 4.5
        env = env + _panel(azimuth, 1.5, (0.5, 0.4)) * 3
        exposure = 0.98
    elif name == "soft":
        env = 0.8 + 0.5 * np.clip(height, -0.3, 1) + _panel(left, 1.2, (1.2, 1.2), 0.3) * 0.6
        exposure = 0.97
    elif name == "sun":
        sky = np.clip(height * 1.4, 0, 1)
        env = np.array([0.75, 0.78, 0.8]) * (1 - sky) + np.array([0.22, 0.36, 0.62]) * sky
        env = (
            np.where(height > 0, env, np.array([0.16, 0.15, 0.14]))
            + _panel(right, 0.55, (0.7, 0.35), 0.2) * 1.2
        )
        env = (
            env
            + _panel(azimuth - 1.1 + jitter(0.4), 0.8, (0.06, 0.06), 0.01) * np.array([1, 0.94, 0.84]) * 260
        )
        exposure = 1.0
    elif name == "dramatic":
        env = 0.03 + _panel(azimuth + np.pi - 0.6, 0.45, (0.2, 0.7)) * 9 + _panel(right, 0.5, (0.25, 0.6)) * 5
        exposure = 0.4
    else:
        env = np.array([0.22, 0.19, 0.155]) + _panel(left, 0.9, (0.4, 0.4)) * np.array([1, 0.80, 0.57]) * 8
        env = env + _panel(behind, 0.45, (0.5, 0.3)) * np.array([1, 0.82, 0.63]) * 4
        env = env + _panel(right, 0.5, (0.3, 0.6)) * np.array([1, 0.85, 0.68]) * 2.5
        exposure = 0.85
    env = np.maximum(np.broadcast_to(env, (*ENV_PX, 3)), 0.005)
    area = SOLID * (np.pi / ENV_PX[0]) * (2 * np.pi / ENV_PX[1])
    irradiance = (env.mean(-1) * np.clip(DIRECTIONS[..., 2], 0, 1) * area).sum() / np.pi
    return name, (env * (exposure * rng.uniform(0.96, 1.04) / irradiance)).astype(np.float32)


# -- floor ------------------------------------------------------------------------------------------
PLAIN_FLOORS = {
    "white": (0.93, 0.93, 0.93), "light_grey": (0.47, 0.475, 0.48), "dark_grey": (0.12, 0.12, 0.125),
    "black": (0.012, 0.012, 0.013), "blue": (0.05, 0.14, 0.36),
}  # fmt: skip
WOODS = ((0.42, 0.24, 0.11), (0.34, 0.18, 0.08), (0.52, 0.34, 0.18))


def draw_floor(rng: Random, name: str | None = None) -> tuple[str, Array, float]:
    """A named floor: its colour texture (n, n, 3) and its roughness."""
    name = name or pick(rng, FLOORS)
    if name in PLAIN_FLOORS:
        rough = 0.45 if name in ("black", "dark_grey") else 0.75
        texture = np.broadcast_to(np.asarray(PLAIN_FLOORS[name], np.float32), (TEXTURE_PX, TEXTURE_PX, 3))
        return name, np.ascontiguousarray(texture), rough
    if name == "concrete":
        grain = tiled_noise(rng, (8, 8), 6)
        return name, (np.array([0.36, 0.35, 0.33]) * (0.7 + 0.5 * grain)[..., None]).astype(np.float32), 0.85
    base, grain, planks = np.array(WOODS[rng.integers(0, 3)]), tiled_noise(rng, (3, 48), 3), 5
    place = np.arange(TEXTURE_PX) * planks
    tone = rng.uniform(0.8, 1.15, planks)[place // TEXTURE_PX][None, :]
    gap = 1 - 0.7 * ((place % TEXTURE_PX) < planks)[None, :]
    return name, np.clip(base * ((0.65 + 0.5 * grain) * tone * gap)[..., None], 0, 1).astype(np.float32), 0.5
