"""What people say beside a CAD file, in a JSON file of its name: of the part, and of renders wanted."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from mfgviz import wire
from mfgviz.errors import InvalidSidecarError
from plugins.plm.dropped import SIDECAR_MAX_BYTES, read_small, shown


class Sidecar(wire.RevisionIntake):
    """The JSON file beside a CAD file: what else is known of the part, and which renders are wanted."""

    template: str | None = Field(None, min_length=1, max_length=64)
    prompt: str | None = Field(None, min_length=1, max_length=4000)
    views: list[wire.ViewWord] | None = Field(None, min_length=1, max_length=7)
    count: int | None = Field(None, ge=1, le=16)


@dataclass(frozen=True, slots=True)
class Wish:
    """The renders that every file's revision is to get, unless its sidecar says others."""

    template: str | None
    prompt: str | None
    views: tuple[str, ...] | None

    def with_sidecar(self, sidecar: Sidecar) -> dict[str, Any]:
        """The fields of the job body; empty where nobody asks for renders. Raises InvalidSidecarError."""
        says = sidecar.template is not None or sidecar.prompt is not None
        template, prompt = (sidecar.template, sidecar.prompt) if says else (self.template, self.prompt)
        views = sidecar.views or (None if says else self.views)
        if template is None and prompt is None:
            if sidecar.views or sidecar.count:
                raise InvalidSidecarError(
                    "The sidecar names views or a count, but neither template nor prompt.",
                    remedy="Add one of them, or leave the choice to rules.",
                )
            return {}
        asked = {"template": template, "prompt": prompt, "views": list(views) if views else None}
        asked["count"] = sidecar.count  # type: ignore[assignment] # values of several kinds
        return {key: value for key, value in asked.items() if value is not None}


def read_sidecar(path: Path) -> Sidecar:
    """The JSON file beside a CAD file. Raises InvalidSidecarError, NoRegularFileError, OSError."""
    content = read_small(path, SIDECAR_MAX_BYTES)
    if content is None:
        raise InvalidSidecarError(f"{shown(path.name)} is longer than {SIDECAR_MAX_BYTES:,} bytes.")
    try:
        plain = json.loads(content, parse_constant=_no_number)
    except (ValueError, RecursionError) as error:
        raise InvalidSidecarError(
            f"{shown(path.name)} is no JSON: {error}.",
            remedy='Such as {"name": "Bracket", "attributes": {"finish": "brushed"}}.',
        ) from error
    try:
        return wire.read(Sidecar, plain, InvalidSidecarError)
    except InvalidSidecarError as error:
        known = ", ".join(Sidecar.model_fields)
        raise InvalidSidecarError(
            f"{shown(path.name)}: {error.message}", remedy=f"It is a JSON object of: {known}."
        ) from error


def _no_number(word: str) -> float:
    raise ValueError(f"{word} is no number")
