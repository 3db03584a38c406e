"""Appearances: surface, light and floor of one picture, as plain arrays. Colours are linear RGB.

Every look is drawn from few, named kinds with little jitter: what a caption does not say should vary
little, so that the denoiser's mean prediction is a sharp picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

Array = NDArray[np.float32]
Random = np.random.Generator

TEXTURE_PX = 256

PAINTS: dict[str, tuple[int, int, int]] = {
    "red": (190, 20, 22), "blue": (22, 60, 170), "green": (12, 155, 72), "yellow": (238, 186, 15),
    "orange": (235, 95, 10), "white": (236, 236, 232), "black": (20, 20, 22), "grey": (120, 122, 125),
    "purple": (110, 25, 165), "turquoise": (20, 150, 150), "navy": (6, 38, 132), "pink": (230, 62, 122),
}  # fmt: skip
TRANSLUCENT: dict[str, tuple[int, int, int]] = {
    "white": (238, 240, 240), "red": (225, 45, 40), "blue": (50, 105, 225), "green": (60, 180, 90),
    "orange": (245, 130, 30), "turquoise": (70, 195, 195),
}  # fmt: skip
ANODISED: dict[str, tuple[int, int, int]] = {
    "black": (28, 28, 31), "red": (190, 20, 24), "blue": (25, 70, 185), "green": (30, 130, 60),
    "gold": (205, 150, 50), "purple": (100, 40, 150), "orange": (225, 95, 20),
}  # fmt: skip
METALS: dict[str, tuple[float, float, float]] = {
    "aluminium": (0.60, 0.61, 0.63), "steel": (0.36, 0.37, 0.39), "brass": (0.78, 0.52, 0.15),
    "copper": (0.80, 0.34, 0.19), "bronze": (0.45, 0.25, 0.10), "titanium": (0.34, 0.315, 0.285),
    "chrome": (0.62, 0.64, 0.68), "gold": (0.95, 0.64, 0.18), "silver": (0.80, 0.79, 0.76),
    "black_oxide": (0.055, 0.056, 0.062), "nickel": (0.58, 0.54, 0.48), "gunmetal": (0.115, 0.122, 0.14),
    "yellow_zinc": (0.62, 0.50, 0.20),
}  # fmt: skip
FINISHES: dict[str, tuple[str, ...]] = {
    "aluminium": ("brushed", "brushed", "brushed", "polished", "machined", "blasted", "plain"),
    "steel": ("brushed", "polished", "machined", "plain"),
    "brass": ("polished", "brushed", "plain"),
    "copper": ("polished", "brushed", "plain"),
    "bronze": ("polished", "plain"),
    "titanium": ("brushed", "blasted", "plain"),
}
ROUGHNESS = {"polished": 0.12, "brushed": 0.26, "machined": 0.21, "blasted": 0.45, "plain": 0.28}
STREAK_DEPTH = {"brushed": 0.3, "machined": 0.16}  # of the colour, from the darkest to the lightest streak
STREAK_DEVIATION = 0.2  # of the streaks' noise, which is 0 to 1
KINDS: dict[str, float] = {
    "aluminium": 22, "steel": 13, "brass": 9, "copper": 7, "bronze": 3, "titanium": 3, "chrome": 4, "gold": 3,
    "silver": 2, "black_oxide": 3, "cast_iron": 3, "cast_aluminium": 3, "rust": 7, "galvanised": 3,
    "anodised": 11, "powder": 12, "paint": 7, "plastic": 11, "rubber": 2, "ceramic": 2, "wood": 9,
    "walnut": 4, "carbon": 6, "translucent": 6, "nickel": 4, "gunmetal": 4, "yellow_zinc": 4,
}  # fmt: skip
# What fittings are made of.
FITTING_KINDS: dict[str, float] = {
    "steel": 8, "galvanised": 3, "black_oxide": 5, "brass": 4, "copper": 2, "yellow_zinc": 2, "chrome": 2,
}  # fmt: skip
LIGHTS: dict[str, float] = {
    "studio": 46, "soft": 13, "sun": 8, "dramatic": 9, "warm": 11, "cool": 5, "overhead": 4, "window": 4,
}  # fmt: skip
FLOORS: dict[str, float] = {
    "white": 36, "light_grey": 11, "dark_grey": 11, "black": 9, "wood": 12, "dark_wood": 4, "concrete": 6,
    "marble": 3, "blue": 4, "beige": 3, "green": 3, "steel_table": 3,
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
    anisotropy: float = 0.0
    transmission: float = 0.0


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


def draw_surface(rng: Random, kind: str | None = None, colour: str | None = None) -> Surface:
    """A material of that kind and colour, or of random ones."""
    kind = kind or pick(rng, KINDS)
    if kind in METALS:
        return _metal(rng, kind)
    if kind == "anodised":
        colour = str(rng.choice(list(ANODISED)))
        return _coat(
            rng, (kind, None, colour), linear(ANODISED[colour]) * 0.9 + 0.012, (0.32, 0.85, 0.5, 0.0)
        )
    if kind in ("powder", "paint", "plastic"):
        colour = colour or str(rng.choice(list(PAINTS)))
        finish = str(rng.choice(["matte", "glossy"])) if kind == "plastic" else None
        rough = {"powder": 0.52, "paint": 0.28}.get(kind, 0.5 if finish == "matte" else 0.14)
        return _coat(
            rng, (kind, finish, colour), linear(PAINTS[colour]), (rough, 0.0, 0.5, float(kind == "paint"))
        )
    makers = {"translucent": _translucent, "wood": _timber, "walnut": _timber, "carbon": _carbon}
    return makers.get(kind, _weathered)(rng, kind)


def metal_roughness(kind: str, finish: str | None) -> float:
    """Of a metal's surface, 0 to 1."""
    own = {"black_oxide": 0.3, "silver": 0.12, "nickel": 0.1, "gunmetal": 0.24, "yellow_zinc": 0.2}
    return own.get(kind, ROUGHNESS.get(finish or "", 0.09))


def draw_favoured(rng: Random, names: tuple[str, ...]) -> Surface:
    """A material of one of these kinds, or a coat in one of these colours of paint."""
    name = str(rng.choice(list(names)))
    if name in PAINTS:
        return draw_surface(rng, str(rng.choice(["paint", "powder", "plastic"])), name)
    return draw_surface(rng, name)


def _metal(rng: Random, kind: str) -> Surface:
    finish = str(rng.choice(FINISHES[kind])) if kind in FINISHES else None
    base = np.asarray(METALS[kind], np.float32)
    rough = metal_roughness(kind, finish)
    streaks = flat(0.5)
    if finish == "brushed":
        streaks = tiled_noise(rng, (96, 1), 2)
    elif finish == "machined":
        streaks = tiled_noise(rng, (48, 1), 1)
    depth = STREAK_DEPTH.get(finish or "", 0.0)
    colour = (base * (1 - depth / 2 + depth * streaks[..., None])).astype(np.float32)
    wanted = rough * (0.85 + 0.3 * streaks)
    names: dict[str, str | None] = {"kind": kind, "finish": finish, "colour": None}
    along = {"brushed": 0.75, "machined": 0.5}.get(finish or "", 0.0)
    return Surface(names, np.clip(colour, 0, 1), wanted, 1.0, anisotropy=along)


def _coat(
    rng: Random, names: tuple[str, str | None, str], base: Array, numbers: tuple[float, float, float, float]
) -> Surface:
    rough, metallic, specular, clearcoat = numbers
    kind, finish, colour = names
    grain = tiled_noise(rng, (64, 64), 2)[..., None]
    amount = 0.12 if kind == "powder" else 0.03
    texture = np.clip(base * rng.uniform(0.97, 1.03) * (1 - amount / 2 + amount * grain), 0, 0.92)
    named = {"kind": kind, "finish": finish, "colour": colour}
    return Surface(named, texture.astype(np.float32), flat(rough), metallic, specular, clearcoat)


def _translucent(rng: Random, kind: str) -> Surface:
    """Frosted plastic that lets light through: it shows what lies behind as a blur of its colour."""
    colour = str(rng.choice(list(TRANSLUCENT)))
    names: dict[str, str | None] = {"kind": kind, "finish": None, "colour": colour}
    base = np.broadcast_to(linear(TRANSLUCENT[colour]), (TEXTURE_PX, TEXTURE_PX, 3))
    return Surface(names, np.ascontiguousarray(base, np.float32), flat(0.32), 0.0, transmission=0.75)


TIMBER = {"wood": (0.50, 0.31, 0.155), "walnut": (0.17, 0.085, 0.045)}


def _timber(rng: Random, kind: str) -> Surface:
    """Oiled wood: year rings as wavy bands along the grain, and fine pores between them."""
    down = (np.arange(TEXTURE_PX) / TEXTURE_PX)[:, None]
    bands = 0.5 + 0.5 * np.sin(2 * np.pi * (5 * down + 0.9 * tiled_noise(rng, (2, 1), 3)))
    pores = tiled_noise(rng, (64, 2), 2)
    tone = 0.62 + 0.38 * bands**0.7 + 0.3 * (pores - 0.5)
    colour = np.clip(np.array(TIMBER[kind]) * tone[..., None], 0, 1).astype(np.float32)
    return Surface({"kind": kind, "finish": None, "colour": None}, colour, flat(0.42), 0.0, 0.5)


WEAVE = 12  # threads in a texture's width


def _carbon(_rng: Random, kind: str) -> Surface:
    """Carbon fibre under clear resin: a twill of bundles that pass over two and under two."""
    place = np.arange(TEXTURE_PX) * WEAVE / TEXTURE_PX
    across, along = (np.floor(place) for _ in range(2))
    over = (along[None, :] + across[:, None]) % 4 < 2
    round_u, round_v = (np.abs(np.sin(np.pi * place)) ** 0.5 for _ in range(2))
    tone = np.where(over, 0.085 * round_u[None, :], 0.03 * round_v[:, None]) + 0.006
    colour = np.repeat(tone[..., None], 3, 2).astype(np.float32)
    return Surface({"kind": kind, "finish": None, "colour": None}, colour, flat(0.35), 0.0, 0.5, 1.0)


def _weathered(rng: Random, kind: str) -> Surface:
    names: dict[str, str | None] = {"kind": kind, "finish": None, "colour": None}
    if kind == "rust":
        return _rust(rng, names)
    if kind == "galvanised":
        patches = np.round(tiled_noise(rng, (8, 8), 2) * 6) / 6
        colour = np.array([0.44, 0.47, 0.50]) * (0.7 + 0.5 * patches[..., None])
        return Surface(names, colour.astype(np.float32), (0.32 + 0.2 * patches).astype(np.float32), 0.9)
    if kind in ("cast_iron", "cast_aluminium"):
        grain = tiled_noise(rng, (32, 32), 3)
        base = np.array([0.10, 0.10, 0.105] if kind == "cast_iron" else [0.40, 0.40, 0.41])
        colour = base * (0.7 + 0.6 * grain[..., None])
        return Surface(names, colour.astype(np.float32), (0.5 + 0.2 * grain).astype(np.float32), 0.6)
    if kind == "ceramic":
        glaze = np.full((TEXTURE_PX, TEXTURE_PX, 3), 0.80, np.float32)
        return Surface(names, glaze, flat(0.3), 0.0, 0.5, 1.0)
    black = np.full((TEXTURE_PX, TEXTURE_PX, 3), 0.018, np.float32)
    return Surface(names, black, flat(0.62), 0.0, 0.3)


def _rust(rng: Random, names: dict[str, str | None]) -> Surface:
    """Orange patches on dark brown, and some bare, darkened steel. The patches are wide enough to be kept."""
    patch = np.clip((tiled_noise(rng, (3, 3), 4) - 0.45) * 6 + 0.5, 0, 1)[..., None]
    bare = np.clip((tiled_noise(rng, (3, 3), 4) - 0.68) * 9, 0, 1)[..., None]
    fine = 0.75 + 0.5 * tiled_noise(rng, (24, 24), 3)[..., None]
    orange, brown = np.array([0.44, 0.145, 0.03]), np.array([0.105, 0.036, 0.018])
    steel = np.array([0.20, 0.185, 0.175])
    colour = ((1 - patch) * brown + patch * orange) * fine * (1 - bare) + bare * steel
    rough = 0.8 - 0.4 * bare[..., 0]
    return Surface(names, colour.astype(np.float32), rough.astype(np.float32), 0.15)


# -- light ------------------------------------------------------------------------------------------
ENV_PX = (96, 192)
RIG_ELEVATION = float(np.pi / 6)  # of the camera, as the lamps see it: the isometric view's


@dataclass(frozen=True, slots=True)
class Light:
    """A named environment map (h, w, 3), z up, and what a white floor facing it should reflect."""

    name: str
    environment: Array
    exposure: float


def _directions() -> tuple[Array, Array]:
    theta = (np.arange(ENV_PX[0]) + 0.5) / ENV_PX[0] * np.pi
    phi = (np.arange(ENV_PX[1]) + 0.5) / ENV_PX[1] * 2 * np.pi
    t, p = np.meshgrid(theta, phi, indexing="ij")
    unit = np.stack([np.sin(t) * np.cos(p), np.sin(t) * np.sin(p), np.cos(t)], -1)
    return unit.astype(np.float32), np.sin(t).astype(np.float32)


DIRECTIONS, SOLID = _directions()


def floor_colour(environment: Array, up: Array | None = None) -> Array:
    """What a white surface facing `up` (default z) reflects of an environment, (3,)."""
    facing = DIRECTIONS[..., 2] if up is None else DIRECTIONS @ up
    area = SOLID * (np.pi / ENV_PX[0]) * (2 * np.pi / ENV_PX[1])
    weight = (np.clip(facing, 0, 1) * area)[..., None]
    return np.asarray((environment * weight).sum((0, 1)) / np.pi, np.float32)


def floor_light(environment: Array, up: Array | None = None) -> float:
    """The mean of `floor_colour`."""
    return float(floor_colour(environment, up).mean())


def light_rig(back: Array, up: Array) -> Array:
    """The lamps' axes as rows: towards the camera, to its right, up.

    They hang on the camera, not in the room, so that what a polished face mirrors follows from its normal
    in camera space, which is all that the networks know. In the isometric view up is the world's.
    """
    sine, cosine = np.sin(RIG_ELEVATION), np.cos(RIG_ELEVATION)
    above, towards = up * cosine + back * sine, back * cosine - up * sine
    return np.stack([towards, np.cross(above, towards), above]).astype(np.float32)


def _panel(
    seen: Array, azimuth: float, elevation: float, size: tuple[float, float], soft: float = 0.05
) -> Array:
    """A softbox: 1 inside, 0 outside, (h, w, 1); `size` as tangents of half angles.

    `seen` (h, w, 3) are the directions in the rig's axes; azimuth 0 is the camera's side.
    """
    axis = np.array(
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)]
    )
    right = np.array([-np.sin(azimuth), np.cos(azimuth), 0])
    facing = seen @ axis
    x = (seen @ right) / np.maximum(facing, 1e-3)
    y = (seen @ np.cross(axis, right)) / np.maximum(facing, 1e-3)
    inside = 1.0
    for value, half in ((x, size[0]), (y, size[1])):
        inside = inside / (1 + np.exp(np.clip((np.abs(value) - half) / soft, -30, 30)))
    return np.where(facing > 0.02, inside, 0)[..., None].astype(np.float32)


def draw_light(rng: Random, back: Array, up: Array, name: str | None = None) -> Light:
    """A named light for a camera with these axes (unit vectors). Nothing of it is left to chance.

    Scaled so that a floor in the isometric view reflects the light's own exposure.
    """
    name = name or pick(rng, LIGHTS)
    rig = light_rig(np.asarray(back, np.float32), np.asarray(up, np.float32))
    lamps, tint, exposure = LAMPS[name]
    environment = np.maximum(lamps(DIRECTIONS @ rig.T) * np.array(tint), 0.004)
    scale = exposure / floor_light(environment, rig[2])
    return Light(name, (environment * scale).astype(np.float32), exposure)


def _studio(seen: Array) -> Array:
    env = 0.10 + 0.12 * np.clip(seen[..., 2:], 0, 1) + _panel(seen, -1.0, 0.75, (0.6, 0.5)) * 4.0
    env = env + _panel(seen, 1.25, 0.35, (0.3, 0.9)) * 2.6 + _panel(seen, 2.75, 0.5, (0.75, 0.28)) * 3.4
    return np.asarray(env + _panel(seen, -2.4, 0.35, (0.25, 0.5)) * 1.6)


def _soft(seen: Array) -> Array:
    sky = 0.55 + 0.7 * np.clip(seen[..., 2:], -0.3, 1)
    return np.asarray(sky + _panel(seen, -0.9, 1.1, (1.1, 1.1), 0.3) * 0.9)


def _sun(seen: Array) -> Array:
    height = seen[..., 2:]
    sky = np.clip(height * 1.4, 0, 1)
    env = np.array([0.75, 0.78, 0.8]) * (1 - sky) + np.array([0.22, 0.36, 0.62]) * sky
    env = np.where(height > 0, env, np.array([0.16, 0.15, 0.14]))
    sun = _panel(seen, -1.15, 0.8, (0.07, 0.07), 0.01) * np.array([1, 0.94, 0.84])
    return np.asarray(env + sun * 200)


def _dramatic(seen: Array) -> Array:
    rims = _panel(seen, 2.6, 0.5, (0.35, 0.8)) * 6 + _panel(seen, -1.6, 0.5, (0.35, 0.7)) * 3.5
    return np.asarray(0.07 + rims)


def _room(seen: Array) -> Array:
    env = 0.16 + 0.1 * np.clip(seen[..., 2:], 0, 1) + _panel(seen, -0.9, 0.9, (0.55, 0.5)) * 5
    env = env + _panel(seen, 2.9, 0.45, (0.6, 0.3)) * 3.5
    return np.asarray(env + _panel(seen, 1.3, 0.45, (0.3, 0.7)) * 2)


def _overhead(seen: Array) -> Array:
    return np.asarray(0.07 + _panel(seen, 3.14, 1.25, (0.55, 0.35)) * 7)


def _window(seen: Array) -> Array:
    return np.asarray(0.13 + _panel(seen, -1.65, 0.4, (0.75, 0.55), 0.03) * np.array([0.93, 0.97, 1.0]) * 6)


# What makes the unscaled environment, its tint, and its exposure.
LAMPS: dict[str, tuple[Callable[[Array], Array], tuple[float, float, float], float]] = {
    "studio": (_studio, (1, 1, 1), 1.0), "soft": (_soft, (1, 1, 1), 1.0), "sun": (_sun, (1, 1, 1), 1.0),
    "dramatic": (_dramatic, (1, 1, 1), 0.45), "warm": (_room, (1, 0.78, 0.53), 0.85),
    "cool": (_room, (0.62, 0.82, 1), 0.85), "overhead": (_overhead, (1, 1, 1), 0.85),
    "window": (_window, (1, 1, 1), 0.8),
}  # fmt: skip


# -- floor ------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Floor:
    """A named floor: colour texture (n, n, 3), roughness, and how much brighter it is shown than it is.

    A white sheet would drown metal in white, a black one in black: parts mirror a grey one, which is then
    shown as white or black, as studios retouch it.
    """

    name: str
    colour: Array
    roughness: float
    shown: float = 1.0


PLAIN_FLOORS = {
    "white": (0.36, 0.36, 0.36), "light_grey": (0.40, 0.405, 0.41), "dark_grey": (0.20, 0.20, 0.208),
    "black": (0.16, 0.16, 0.165), "blue": (0.045, 0.13, 0.34), "beige": (0.62, 0.50, 0.36),
    "green": (0.045, 0.20, 0.11),
}  # fmt: skip
SHOWN = {"white": 2.7, "dark_grey": 0.38, "black": 0.065}
WOODS = {"wood": (0.42, 0.245, 0.115), "dark_wood": (0.125, 0.060, 0.030)}
PLANKS = 4


def draw_floor(rng: Random, name: str | None = None) -> Floor:
    """A named floor. Its pattern is always the same: it lies to the camera as it lay before."""
    name = name or pick(rng, FLOORS)
    fixed = np.random.default_rng(7)
    if name in PLAIN_FLOORS:
        rough = 0.45 if name in ("black", "dark_grey") else 0.75
        texture = np.broadcast_to(np.asarray(PLAIN_FLOORS[name], np.float32), (TEXTURE_PX, TEXTURE_PX, 3))
        return Floor(name, np.ascontiguousarray(texture), rough, SHOWN.get(name, 1.0))
    if name in WOODS:
        return Floor(name, _planks(fixed, np.array(WOODS[name])), 0.5)
    if name == "marble":
        veins = 1 - np.clip(np.abs(tiled_noise(fixed, (3, 3), 4) - 0.5) * 9, 0, 1)
        grey = 0.62 - 0.3 * veins * tiled_noise(fixed, (2, 2), 2)
        return Floor(name, (grey[..., None] * np.array([1, 0.99, 0.97])).astype(np.float32), 0.3, 1.25)
    if name == "steel_table":
        streaks = tiled_noise(fixed, (1, 64), 2)
        return Floor(
            name, (np.array([0.23, 0.235, 0.245]) * (0.8 + 0.4 * streaks)[..., None]).astype(np.float32), 0.3
        )
    grain = tiled_noise(fixed, (5, 5), 5)
    return Floor(
        name, (np.array([0.33, 0.32, 0.30]) * (0.6 + 0.7 * grain)[..., None]).astype(np.float32), 0.85
    )


def _planks(fixed: Random, base: Array) -> Array:
    """Boards along u with grain and dark gaps."""
    grain = tiled_noise(fixed, (2, 32), 3)
    place = np.arange(TEXTURE_PX) * PLANKS
    tone = np.array([0.82, 1.12, 0.94, 1.2])[place // TEXTURE_PX][None, :]
    gap = 1 - 0.75 * ((place % TEXTURE_PX) < 3 * PLANKS)[None, :]
    return np.clip(base * ((0.55 + 0.75 * grain) * tone * gap)[..., None], 0, 1).astype(np.float32)
