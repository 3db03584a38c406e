"""What is set in the dock, the job it asks for, and the way back: a render's settings into the dock."""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from . import prompts

MAX_SEED = 2**63 - 1
NEW_SEEDS = 2**31
_BAD_IN_WORD = re.compile(r"[@/\\\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\ufeff]")
LONGEST = {"part number": 128, "revision": 64}


@dataclass(frozen=True)
class Identity:
    """The part revision that renders are attached to."""

    number: str
    revision: str

    @property
    def reference(self) -> str:
        """As the API writes it."""
        return f"{self.number}@{self.revision}"

    def objection(self) -> str:
        """Which of the two cannot be used: `part number`, `revision`, or nothing."""
        for what, word in (("part number", self.number), ("revision", self.revision)):
            unfit = not word or word != word.strip() or word in (".", "..") or _BAD_IN_WORD.search(word)
            if unfit or len(word) > LONGEST[what]:
                return what
        return ""


@dataclass(frozen=True)
class Wishes:
    """All that the dock says of a picture but the camera of *Render this view*."""

    prompt: str
    negative_prompt: str = ""
    fields: Mapping[str, str] = field(default_factory=dict)
    model: str = ""
    view: str = "iso"
    side_px: int = 512
    count: int = 1
    seed: int | None = None  # None: another one each time
    control_scale: float = 1.0

    def objection(self, server_fields: Mapping[str, object]) -> list[str]:
        """Fields of the prompt that have no value."""
        return prompts.missing(self.plain_prompt, self.fields, server_fields)

    @property
    def plain_prompt(self) -> str:
        """The prompt without fields that may be empty and are."""
        return prompts.without_empty(self.prompt, self.fields)


def job_body(
    identity: Identity, wishes: Wishes, view: str | Mapping[str, Any], size: tuple[int, int]
) -> dict[str, Any]:
    """The body of POST /jobs."""
    seed = wishes.seed if wishes.seed is not None else random.randrange(NEW_SEEDS)
    used = set(prompts.fields_in(wishes.plain_prompt)) | set(prompts.fields_in(wishes.negative_prompt))
    body: dict[str, Any] = {
        "revision": identity.reference,
        "prompt": wishes.plain_prompt,
        "views": [view if isinstance(view, str) else dict(view)],
        "seed": min(seed, MAX_SEED - wishes.count),
        "width": size[0],
        "height": size[1],
        "count": wishes.count,
        "control_scale": wishes.control_scale,
    }
    fields = {key: value for key, value in wishes.fields.items() if value and key in used}
    for key, value in (
        ("negative_prompt", wishes.negative_prompt.strip()), ("model", wishes.model), ("fields", fields)
    ):  # fmt: skip
        if value:
            body[key] = value
    return body


def settings_of(render: Mapping[str, Any], now: Wishes) -> Wishes:
    """The dock as it was for this very picture: one image, its own seed, locked."""
    request = render.get("request") or {}
    sampling = request.get("sampling") or {}
    conditioning = request.get("conditioning") or {}
    view = str((request.get("view") or {}).get("name") or now.view)
    width, height = int(render.get("width") or 0), int(render.get("height") or 0)
    return replace(
        now,
        prompt=escaped(str(request.get("prompt") or render.get("prompt") or now.prompt)),
        negative_prompt=escaped(str(request.get("negative_prompt") or "")),
        model=str((request.get("model") or {}).get("name") or render.get("model") or now.model),
        view=now.view if view == "custom" else view,
        side_px=round((width * height) ** 0.5) if width and height else now.side_px,
        count=1,
        seed=int(render.get("seed", sampling.get("seed", 0))),
        control_scale=float(conditioning.get("control_scale", now.control_scale)),
    )


def variation_of(render: Mapping[str, Any], count: int) -> dict[str, Any]:
    """The body of POST /jobs for more pictures like this one, with other seeds."""
    request = render.get("request") or {}
    sampling, conditioning = request.get("sampling") or {}, request.get("conditioning") or {}
    view = request.get("view") or {}
    body: dict[str, Any] = {
        "revision": render["revision"],
        "prompt": escaped(str(request.get("prompt") or render.get("prompt") or "")),
        "views": [custom if (custom := _custom(view)) else str(view.get("name") or "iso")],
        "seed": random.randrange(NEW_SEEDS),
        "count": count,
        "width": int(render["width"]),
        "height": int(render["height"]),
    }
    for key, value in (
        ("negative_prompt", escaped(str(request.get("negative_prompt") or ""))),
        ("model", (request.get("model") or {}).get("name")),
        ("sampler", sampling.get("sampler")),
        ("num_inference_steps", sampling.get("num_inference_steps")),
        ("guidance_scale", sampling.get("guidance_scale")),
        ("mode", conditioning.get("mode")),
        ("control_scale", conditioning.get("control_scale")),
        ("image", conditioning.get("image")),
        ("strength", conditioning.get("strength") if conditioning.get("image") else None),
    ):
        if value not in (None, ""):
            body[key] = value
    return body


def fingerprint(geometry_digest: str, body: Mapping[str, Any]) -> str:
    """Tells whether a save asks for anything new: the shape and the wishes, not the random seed."""
    plain = {key: value for key, value in body.items() if key != "seed"}
    written = json.dumps([geometry_digest, plain], sort_keys=True)
    return hashlib.sha256(written.encode()).hexdigest()


def escaped(prompt: str) -> str:
    """A prompt after templating as a template again."""
    return prompt.replace("{", "{{").replace("}", "}}")


def _custom(view: Mapping[str, Any]) -> dict[str, Any] | None:
    if view.get("name") != "custom":
        return None
    keys = ["name", "projection", "eye_mm", "forward", "up"]
    keys.append("height_mm" if view.get("projection") == "orthographic" else "field_of_view_deg")
    return {key: view[key] for key in keys if view.get(key) is not None}
