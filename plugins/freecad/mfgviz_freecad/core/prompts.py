"""Prompts as they are written in the dock: presets, `{field}`s, and which of those have no value."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")
RECENT = 12


@dataclass(frozen=True)
class Preset:
    """A prompt to begin with. `template` is its name on the server, empty for a built-in one."""

    title: str
    prompt: str
    negative_prompt: str = ""
    template: str = ""


BUILT_IN = (
    Preset("Studio, white background", "{material}, {appearance}, studio light, white background"),
    Preset("Catalogue, soft shadow", "{material}, {appearance}, soft studio light, light grey background"),
    Preset("Brushed metal", "brushed {material}, studio light, white background"),
    Preset("Painted", "{appearance} paint, studio light, white background"),
    Preset("Dark background", "{material}, {appearance}, rim light, dark background"),
)


def fields_in(prompt: str) -> list[str]:
    """The names of the fields, in order, each once. `{a|b}` is a choice, not a field."""
    names = (found.group(1) for found in _TOKEN.finditer(prompt))
    return list(dict.fromkeys(name.strip() for name in names if name and "|" not in name and name.strip()))


def without_empty(prompt: str, fields: Mapping[str, str], optional: tuple[str, ...] = ("appearance",)) -> str:
    """The prompt with optional fields that have no value left out, and the comma that went with them."""
    for name in optional:
        if not fields.get(name, "").strip():
            prompt = re.sub(r"\{\s*" + re.escape(name) + r"\s*\}\s*,?\s*", "", prompt)
    return re.sub(r"\s+,", ",", re.sub(r",\s*,", ", ", prompt)).strip().strip(",").strip()


def missing(prompt: str, fields: Mapping[str, str], server_fields: Mapping[str, object]) -> list[str]:
    """Fields of the prompt that neither the dock nor the server has a value for."""
    known = {**server_fields, **{key: value for key, value in fields.items() if value}}
    return [name for name in fields_in(prompt) if known.get(name) in (None, "")]


def with_recent(recent: list[str], prompt: str) -> list[str]:
    """The recent prompts, this one first."""
    return [prompt, *(one for one in recent if one != prompt)][:RECENT]
