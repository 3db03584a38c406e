"""Stage `mirrors`: the rooms that metal mirrors, and which metal, light and ground a prompt names.

Nothing of the pictures is needed: the lights and metals of the path tracer are known, and the readers are
logistic regressions of captions' text states on what the captions name.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from workers.evaluation.cases import TRUTH_PX, EvaluationSet
from workers.evaluation.colour import delta_e_2000, lab
from workers.evaluation.run import QUICK_CASES
from workers.evaluation.subjects import as_bytes, small
from workers.judge.measures import around_part, edge_scores, ssim
from workers.judge.regions import EDGE
from workers.studio.control import control_tensor
from workers.studio.lookups import LAMP_PX, disc_directions
from workers.studio.mirrors import Mirrors
from workers.studio.pipeline import StudioPipeline
from workers.studio.training.captions import caption, random_words
from workers.studio.training.config import TrainingConfig
from workers.studio.training.looks import (
    DIRECTIONS,
    FINISHES,
    FLOORS,
    LIGHTS,
    METALS,
    SOLID,
    STREAK_DEPTH,
    STREAK_DEVIATION,
    draw_floor,
    draw_light,
    floor_colour,
    light_rig,
    metal_roughness,
)
from workers.studio.training.lookups import CAMERA_BACK, CAMERA_UP
from workers.studio.training.patterns import caption_states
from workers.studio.training.words import read_strangers

LOBES = (0.03, 0.06, 0.1, 0.2)  # GGX widths: squares of the roughness
KINDS = [(kind, finish) for kind in METALS for finish in dict.fromkeys(FINISHES.get(kind, (None,)))]
COUNTS = (len(LIGHTS), len(LOBES), len(FLOORS), len(KINDS))
STRENGTH = 0.8  # by `try_strengths`
STRENGTHS = (0.0, 0.4, 0.6, 0.8, 1.0)
STEPS, DECAY = 900, 1e-5


def mirrors_path(config: TrainingConfig) -> Path:
    """Where the fitted mirrors are."""
    return config.folder / "mirrors.pt"


def mirrored_rooms() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Rooms (L, R * 3, n, n), horizon (R, n, n) and grounds (L, G, 3) as `Mirrors` takes them."""
    rng = np.random.default_rng(0)
    lights = [draw_light(rng, CAMERA_BACK, CAMERA_UP, name) for name in LIGHTS]
    up = light_rig(CAMERA_BACK, CAMERA_UP)[2]
    above = ((DIRECTIONS @ up) > 0)[..., None]
    sources = np.concatenate([light.environment * above for light in lights] + [~above], -1)
    rays = torch.from_numpy(np.ascontiguousarray(DIRECTIONS.reshape(-1, 3)))
    given = torch.from_numpy(np.ascontiguousarray(sources.reshape(len(rays), -1), np.float32))
    area = torch.from_numpy(np.ascontiguousarray(SOLID.reshape(-1)))
    targets = disc_directions().flatten(1).T
    levels = []
    for lobe in LOBES:
        means = []
        for some in targets.split(512):
            cosine = (some @ rays.T).clamp(-1, 1)
            half = (1 + cosine) / 2  # squared cosine between the normal and the half vector
            weight = cosine.clamp_min(0) * area / (half * (lobe**2 - 1) + 1) ** 2
            means.append((weight @ given) / weight.sum(1, keepdim=True))
        levels.append(torch.cat(means).T.reshape(-1, LAMP_PX, LAMP_PX))
    every = torch.stack(levels)
    rooms = every[:, :-1].reshape(len(LOBES), len(lights), 3, LAMP_PX, LAMP_PX).transpose(0, 1)
    floors = [draw_floor(rng, name).colour.mean((0, 1)) for name in FLOORS]
    lit = np.stack([floor_colour(light.environment, up) for light in lights])
    grounds = lit[:, None] * np.stack(floors)[None]
    return rooms.flatten(1, 2).contiguous(), every[:, -1], torch.from_numpy(grounds.astype(np.float32))


def metal_tables() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Tints (M, 3), how the lobes mix (M, R), and the streaks' deviation (M,), of `KINDS`."""
    tints = torch.tensor([METALS[kind] for kind, _ in KINDS])
    lobes = np.log(LOBES)
    place = [np.interp(2 * np.log(metal_roughness(*one)), lobes, np.arange(len(LOBES))) for one in KINDS]
    away = torch.tensor(np.array(place))[:, None] - torch.arange(len(LOBES))
    streaked = [STREAK_DEPTH.get(finish or "", 0.0) * STREAK_DEVIATION for _, finish in KINDS]
    return tints, (1 - away.abs()).clamp_min(0).float(), torch.tensor(streaked)


def fit_mirrors(config: TrainingConfig, count: int = 5000) -> tuple[float, float, float]:
    """Make the rooms, fit the readers on so many captions, and save; of a fifth as many others, the shares
    whose metal (or that there is none), light and ground are read."""
    mirrors = Mirrors(*COUNTS, config.text_width)
    for kept, made in zip(
        (
            mirrors.rooms,
            mirrors.horizon,
            mirrors.grounds,
            mirrors.tints,
            mirrors.roughness,
            mirrors.streaked,
        ),
        (*mirrored_rooms(), *metal_tables()),
        strict=True,
    ):
        kept.copy_(made)
    mirrors.strength.fill_(STRENGTH)
    rng = np.random.default_rng([config.seed, 19])
    states, wanted = _captions(config, rng, count)
    optimizer = torch.optim.Adam(mirrors.read.parameters(), lr=0.02)
    for _ in range(STEPS):
        pairs = zip(mirrors.named(states), wanted.T, strict=True)
        loss = sum((functional.cross_entropy(odds, named) for odds, named in pairs), torch.zeros(()))
        loss = loss + DECAY * mirrors.read.weight.square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.save(mirrors.state_dict(), mirrors_path(config))
    states, wanted = _captions(config, rng, count // 5)
    with torch.no_grad():
        found = torch.stack([odds.argmax(1) for odds in mirrors.named(states)], 1)
    right = (found == wanted).float().mean(0).tolist()
    return right[0], right[1], right[2]


def _captions(
    config: TrainingConfig, rng: np.random.Generator, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """States (N, 2, width) of captions, and the numbers (N, 3) of what they name."""
    texts, wanted, strangers = [], [], read_strangers(config)
    for _ in range(count):
        entry = random_words(rng)
        words = entry["words"]
        texts.append(caption(entry, rng, strangers))
        kind = (words["kind"], words["finish"])
        wanted.append(
            [
                KINDS.index(kind) if kind in KINDS else len(KINDS),
                list(LIGHTS).index(words["light"]),
                list(FLOORS).index(words["floor"]),
            ]
        )
    return caption_states(config, texts), torch.tensor(wanted)


@torch.inference_mode()
def try_strengths(pipeline: StudioPipeline, count: int) -> list[dict[str, float]]:
    """How near so many pictures of metal come to the path tracer's at each strength: one row a strength, of
    means over the parts of the evaluation set that `models evaluate --quick` does not measure."""
    having, network = EvaluationSet(), pipeline.autoencoder
    measured = {case.name for case in having.some(QUICK_CASES)}
    metals = [one for one in having.cases if one.name not in measured and one.words["kind"] in METALS]
    rows: list[list[list[float]]] = []
    for case in metals[:: max(1, len(metals) // count)][:count]:
        maps, large = having.maps(case, TRUTH_PX), having.maps(case, pipeline.config.native_size_px)
        control, states = control_tensor(large), pipeline.encode_prompt(case.caption)
        generator = [torch.Generator().manual_seed(7)]
        given: dict[str, Any] = {"control_image": control, "generator": generator, "output_type": "latent"}
        latents: Any = pipeline(case.caption, return_dict=False, **given)[0]
        rows.append([])
        for strength in STRENGTHS:
            network.mirrors.strength.fill_(strength)
            pixels = (network.decode(latents, control, states)[0] / 2 + 0.5).permute(1, 2, 0)
            made, truth = small(as_bytes(pixels.numpy())), small(case.truth)
            apart = delta_e_2000(lab(made), lab(truth))[maps.mask > 0.9].mean()
            precision, _, f1 = edge_scores(made, maps.edges > EDGE, around_part(maps.mask))
            rows[-1].append([strength, float(apart), ssim(made, truth), precision, f1])
    names = ("strength", "delta_e_part", "ssim", "edge_precision", "edge_f1")
    means = np.mean(rows, 0).round(3).tolist()
    return [dict(zip(names, row, strict=True)) for row in means]
