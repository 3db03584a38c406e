"""The pictures that the decoder looks up: the training lights as mirrored and diffuse lamps, and patterns."""

from __future__ import annotations

import numpy as np
import torch

from workers.studio.lookups import GROUND_PATTERNS, PATTERN_PX, SURFACE_PATTERNS, disc_directions
from workers.studio.training.looks import DIRECTIONS, LAMPS, SOLID, draw_floor, draw_surface, light_rig
from workers.studio.training.scene_tones import tone_map

SHARP, GLOSSY = 400.0, 30.0  # concentration of the mirrored lobe: about 3° and 10° wide
PATTERN_SPREAD = 0.35  # standard deviation
CAMERA_BACK, CAMERA_UP = np.array([0, 0, 1], np.float32), np.array([0, 1, 0], np.float32)
LAYOUTS = tuple(dict.fromkeys(lamps for lamps, _, _ in LAMPS.values()))
MIRRORED, DIFFUSE = 2 * (len(LAYOUTS) + 1), len(LAYOUTS) + 1


def lamp_pictures() -> tuple[torch.Tensor, torch.Tensor]:
    """Each lamp layout above the horizon, and what is below it, as disc pictures.

    Mirrored (M, n, n): all sharp, then all glossy; diffuse (N, n, n). Tone-mapped as the pictures are, since
    that is what they are added to.
    """
    rig = light_rig(CAMERA_BACK, CAMERA_UP)
    above = (DIRECTIONS @ rig[2])[..., None] > 0
    layers = []
    for lamps in LAYOUTS:
        light = lamps(DIRECTIONS @ rig.T)
        grey = np.broadcast_to(light, (*DIRECTIONS.shape[:2], light.shape[-1])).mean(-1)
        level = (grey * np.clip(DIRECTIONS @ rig[2], 0, 1) * SOLID).sum()
        level /= (np.clip(DIRECTIONS @ rig[2], 0, 1) * SOLID).sum()
        layers.append(np.where(above[..., 0], grey / level, 0))
    layers.append(np.where(above[..., 0], 0, 1))
    sources = torch.from_numpy(np.stack(layers, -1).reshape(-1, len(layers)).astype(np.float32))
    found = [_gathered(sources, sharpness) for sharpness in (SHARP, GLOSSY, None)]
    return torch.cat(found[:2]), found[2]


def _gathered(sources: torch.Tensor, sharpness: float | None) -> torch.Tensor:
    """Means of the sources (D, L) around each direction of a disc: (L, n, n). None: over its hemisphere."""
    wanted = disc_directions()
    targets = wanted.flatten(1).T
    area = torch.from_numpy(np.ascontiguousarray(SOLID.reshape(-1)))
    rays = torch.from_numpy(np.ascontiguousarray(DIRECTIONS.reshape(-1, 3)))
    means = []
    for some in targets.split(512):
        cosine = some @ rays.T
        weight = cosine.clamp_min(0) if sharpness is None else torch.exp(sharpness * (cosine - 1))
        weight = weight * area
        means.append((weight @ sources) / weight.sum(1, keepdim=True))
    toned = tone_map(np.asarray(torch.cat(means).numpy() * 0.6, np.float32))
    return torch.from_numpy(toned.astype(np.float32)).T.reshape(-1, *wanted.shape[1:]).contiguous()


def pattern_pictures() -> tuple[torch.Tensor, torch.Tensor]:
    """Wood, weave and rust for the part; boards, clouds and veins for the ground: (6, n, n) around 0.

    And how strong they are in the training pictures, as shares of their brightness, (6,).
    """
    fixed = np.random.default_rng(11)
    surfaces = [draw_surface(fixed, kind).colour for kind in ("wood", "carbon", "rust")]
    grounds = [draw_floor(fixed, name).colour for name in ("wood", "concrete", "marble")]
    assert (len(surfaces), len(grounds)) == (SURFACE_PATTERNS, GROUND_PATTERNS)
    tones = np.stack([tone_map(one).mean(-1) for one in (*surfaces, *grounds)])
    assert tones.shape[-1] == PATTERN_PX
    mean, spread = tones.mean((1, 2), keepdims=True), tones.std((1, 2), keepdims=True)
    made = ((tones - mean) / spread * PATTERN_SPREAD).astype(np.float32)
    strong = (spread / mean).ravel() / PATTERN_SPREAD
    return torch.from_numpy(made), torch.from_numpy(strong.astype(np.float32))
