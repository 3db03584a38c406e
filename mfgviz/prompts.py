"""Prompt templates: `{field}` is filled in from the part, `{a|b}` makes one prompt of each choice.

`{{` and `}}` stand for the braces themselves. Fields are the attributes of part and revision (the
revision's win), `number`, `name`, `revision`, and what was read from the CAD file (`colour`,
`body_names`, `extent_x_mm`, …).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping

from mfgviz.errors import PromptTemplateError

MAX_PROMPTS = 256
_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")


def expand_prompt(template: str, fields: Mapping[str, object]) -> list[str]:
    """Every prompt that the template stands for, in the order of its choices.

    Raises:
        PromptTemplateError: a field does not exist (names those that do), a brace stands alone, or
            there are more than 256 prompts.
    """
    pieces: list[list[str]] = []
    at = 0
    for match in _TOKEN.finditer(template):
        pieces.append([template[at : match.start()]])
        pieces.append(_choices(match, fields))
        at = match.end()
    pieces.append([template[at:]])
    total = 1
    for choices in pieces:
        total *= len(choices)
    if total > MAX_PROMPTS:
        raise PromptTemplateError(
            f"The prompt's choices make {total} prompts; {MAX_PROMPTS} are allowed.", remedy="Leave some out."
        )
    return [" ".join("".join(parts).split()) for parts in itertools.product(*pieces)]


def field_names(template: str) -> list[str]:
    """The fields that the template needs, in the order of their first use.

    Raises:
        PromptTemplateError: a brace stands alone.
    """
    names: dict[str, None] = {}
    for match in _TOKEN.finditer(template):
        if match.group(1) is None:
            _choices(match, {})
        elif "|" not in match.group(1):
            names[match.group(1).strip()] = None
    return list(names)


def _choices(match: re.Match[str], fields: Mapping[str, object]) -> list[str]:
    token = match.group(0)
    if token in ("{{", "}}"):
        return [token[0]]
    if match.group(1) is None:
        raise PromptTemplateError(
            f"The prompt has a single {token!r} at character {match.start() + 1}.",
            remedy=f"Write {token * 2!r} for it.",
        )
    name = match.group(1).strip()
    if "|" in name:
        return [choice.strip() for choice in name.split("|")]
    value = fields.get(name)
    if value in (None, ""):
        known = ", ".join(sorted(key for key, held in fields.items() if held not in (None, ""))) or "none"
        raise PromptTemplateError(
            f"The prompt's field {{{name}}} has no value for this revision.",
            remedy=f"Fields with one: {known}.",
        )
    return [str(value)]
