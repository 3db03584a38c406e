"""Light and background that a prompt leaves to the picture's seed: `any light`, `any background`.

The words that stand for them in the end follow from the seed alone, so that a picture can be made again, and
pictures of one prompt and several seeds show one part in several scenes.
"""

from __future__ import annotations

import re

# Where a word stands is part of what a seed means: another order, or one more word, would change every
# picture that was made of it.
LIGHTS = (
    "studio light", "window light", "warm light", "overhead light", "hard sunlight", "soft light",
    "dramatic light", "cool light",
)  # fmt: skip
BACKGROUNDS = (
    "white background", "on a wooden bench", "dark grey background", "on marble", "beige background",
    "on a concrete floor", "black background", "on dark wood", "blue background", "light grey background",
    "on a steel table", "green background",
)  # fmt: skip
_OPEN = re.compile(r"\bany (light|background)\b", re.IGNORECASE)


def drawn(prompt: str, seed: int) -> list[str]:
    """What the seed says for each of `any light` and `any background` in the prompt, in their order."""
    return [_word(found[1], seed) for found in _OPEN.finditer(prompt)]


def spoken(prompt: str, seed: int) -> str:
    """The prompt as the model is told it."""
    return _OPEN.sub(lambda found: _word(found[1], seed), prompt)


def _word(what: str, seed: int) -> str:
    """Seeds side by side have different lights and backgrounds, and all pairs of them come up."""
    if what.lower() == "light":
        return LIGHTS[seed % len(LIGHTS)]
    return BACKGROUNDS[(5 * seed + seed // len(BACKGROUNDS)) % len(BACKGROUNDS)]
