"""Stage `patterns`: which patterns a prompt calls for, read off its text states by logistic regression.

The states say what a part is made of and what it stands on; nothing of the pictures is needed to learn how.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.nn import functional

from workers.studio.lookups import Patterns
from workers.studio.training.captions import FLOORS, LIGHTS, caption, random_words
from workers.studio.training.config import TrainingConfig
from workers.studio.training.denoiser import load_denoiser
from workers.studio.training.lookups import pattern_pictures
from workers.studio.training.text import load_text, tokenize

# What of a picture's words calls for each of `pattern_pictures`.
CALLS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("kind", ("wood", "walnut")), ("kind", ("carbon",)), ("kind", ("rust",)),
    ("floor", ("wood", "dark_wood")), ("floor", ("concrete",)), ("floor", ("marble",)),
)  # fmt: skip
SCENES = 0.15  # share of the captions that name no material
STEPS, DECAY = 900, 1e-5


def patterns_path(config: TrainingConfig) -> Path:
    """Where the fitted patterns are."""
    return config.folder / "patterns.pt"


def fit_patterns(config: TrainingConfig, count: int = 4000) -> tuple[float, float]:
    """Fit on so many captions, and save; of a quarter as many others, the share of calls that are heard and
    the share of the rest that are imagined."""
    pictures, amplitude = pattern_pictures()
    patterns = Patterns(len(pictures), config.text_width)
    patterns.pictures.copy_(pictures)
    patterns.amplitude.copy_(amplitude)
    rng = np.random.default_rng([config.seed, 17])
    states, wanted = _captions(config, rng, count)
    optimizer = torch.optim.Adam(patterns.called.parameters(), lr=0.02)
    for _ in range(STEPS):
        loss = functional.binary_cross_entropy_with_logits(patterns.read(states), wanted)
        loss = loss + DECAY * patterns.called.weight.square().sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    torch.save(patterns.state_dict(), patterns_path(config))
    states, wanted = _captions(config, rng, count // 4)
    with torch.no_grad():
        heard = patterns.read(states) > 0
    right, imagined = heard[wanted > 0.5].float().mean(), heard[wanted < 0.5].float().mean()
    return float(right), float(imagined)


def _captions(
    config: TrainingConfig, rng: np.random.Generator, count: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """States (N, 2, width) of random captions, and what they call for, (N, P)."""
    texts, wanted = [], []
    for _ in range(count):
        entry = random_words(rng)
        words = dict(entry["words"])
        if rng.random() < SCENES:
            words["kind"] = None
            scene = [_some(rng, LIGHTS[words["light"]]), _some(rng, FLOORS[words["floor"]])]
            which = int(rng.integers(4))
            words["floor"] = words["floor"] if which > 1 else None
            texts.append(["", scene[0], scene[1], ", ".join(scene)][which])
        else:
            texts.append(caption(entry, rng))
        wanted.append([float(words[name] in those) for name, those in CALLS])
    return caption_states(config, texts), torch.tensor(wanted)


def caption_states(config: TrainingConfig, texts: list[str]) -> torch.Tensor:
    """States (N, 2, width) of captions, such that their last and their mean are those of all tokens."""
    tokenizer, encoder = load_text(config)[0], load_denoiser(config).text
    found = []
    with torch.no_grad():
        for first in range(0, len(texts), 64):
            states = encoder(tokenize(tokenizer, texts[first : first + 64], config.text_tokens))[0]
            last, mean = states[:, -1], states.mean(1)
            found.append(torch.stack([2 * mean - last, last], 1))
    return torch.cat(found)


def _some(rng: np.random.Generator, phrases: tuple[str, ...]) -> str:
    return str(phrases[int(rng.integers(len(phrases)))])
