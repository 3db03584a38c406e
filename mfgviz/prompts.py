"""Prompt templates: `{field}` is filled in from the part, `{a|b}` makes one prompt of each choice.

A choice may hold fields and choices of its own (`{brushed {material}|{matt|glossy} black}`), or nothing
(`{|very} shiny`). Spaces in a row are one, and none is left before a comma where there are choices. Outside
of choices `{{` and `}}` stand for the braces themselves. Fields are the attributes of part and revision (the
revision's win), `number`, `name`, `revision`, and what was read from the CAD file (`colour`, `body_names`,
`extent_x_mm`, …).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import prod

from mfgviz.errors import MissingFieldError, PromptTemplateError

MAX_PROMPTS = 256
MAX_DEPTH = 8
_TOP = re.compile(r"\{\{|\}\}|[{}]")
_INSIDE = re.compile(r"[{}|]")
_BEFORE_STOP = re.compile(r" (?=[,.;:])")


@dataclass(frozen=True, slots=True)
class _Field:
    name: str


@dataclass(frozen=True, slots=True)
class _Choices:
    each: list[_Pieces]


_Pieces = list[str | _Field | _Choices]


def expand_prompt(template: str, fields: Mapping[str, object], of: str = "this revision") -> list[str]:
    """Every prompt that the template stands for, each once, in the order of its choices. `of` says in
    refusals what the fields are of.

    Raises:
        MissingFieldError: a field has no value; names those that have one.
        PromptTemplateError: a brace stands alone, choices are all empty or too deep in one another, or there
            are more than 256 prompts.
    """
    pieces = _Parser(template).parse()
    for name in _fields_in(pieces):
        if fields.get(name) in (None, ""):
            known = ", ".join(sorted(key for key, held in fields.items() if held not in (None, ""))) or "none"
            raise MissingFieldError(
                f"The prompt's field {{{name}}} has no value for {of}.", remedy=f"Fields with one: {known}."
            )
    if (total := _count(pieces)) > MAX_PROMPTS:
        raise PromptTemplateError(
            f"The prompt's choices make {total} prompts; {MAX_PROMPTS} are allowed.", remedy="Leave some out."
        )
    made = [" ".join(one.split()) for one in _expand(pieces, fields)]
    if any(isinstance(piece, _Choices) for piece in pieces):
        made = [_BEFORE_STOP.sub("", one) for one in made]
    return list(dict.fromkeys(made))


def field_names(template: str) -> list[str]:
    """The fields that the template needs, in the order of their first use.

    Raises:
        PromptTemplateError: as `expand_prompt`, but for what the fields hold.
    """
    return list(dict.fromkeys(_fields_in(_Parser(template).parse())))


@dataclass(slots=True)
class _Parser:
    template: str
    _at: int = field(default=0, init=False)

    def parse(self) -> _Pieces:
        """All of the template."""
        pieces: _Pieces = []
        while (found := _TOP.search(self.template, self._at)) is not None:
            pieces.append(self.template[self._at : found.start()])
            self._at = found.end()
            if found.group() == "{":
                pieces.append(self._group(found.start(), 1))
            elif found.group() == "}":
                raise self._alone("}", found.start())
            else:
                pieces.append(found.group()[0])
        return [*pieces, self.template[self._at :]]

    def _group(self, start: int, depth: int) -> _Field | _Choices:
        """What follows an opening brace at `start`, with its closing one."""
        if depth > MAX_DEPTH:
            raise PromptTemplateError(
                f"The prompt's choices are more than {MAX_DEPTH} deep (at character {start + 1}).",
                remedy="Write some of them out.",
            )
        each: list[_Pieces] = [[]]
        while (found := _INSIDE.search(self.template, self._at)) is not None:
            each[-1].append(self.template[self._at : found.start()])
            self._at = found.end()
            if found.group() == "{":
                each[-1].append(self._group(found.start(), depth + 1))
            elif found.group() == "|":
                each.append([])
            else:
                return self._closed(start, [[piece for piece in one if piece != ""] for one in each])
        raise self._alone("{", start)

    def _closed(self, start: int, each: list[_Pieces]) -> _Field | _Choices:
        if len(each) == 1:
            match each[0]:
                case [str(name)] if name.strip():
                    return _Field(name.strip())
                case [] | [str()]:
                    told = "empty braces"
                case _:
                    told = "braces in a field's name"
            raise PromptTemplateError(
                f"The prompt has {told} at character {start + 1}.",
                remedy="Write {field}, {one|other}, or {{ and }} for the braces themselves.",
            )
        if all(isinstance(piece, str) and not piece.strip() for one in each for piece in one):
            raise PromptTemplateError(
                f"The prompt's choices at character {start + 1} are all empty.", remedy="Say one at least."
            )
        return _Choices(each)

    def _alone(self, brace: str, at: int) -> PromptTemplateError:
        remedy = f"Write {brace * 2!r} for it." if brace == "}" else "Close it, or write '{{' for it."
        return PromptTemplateError(f"The prompt has a single {brace!r} at character {at + 1}.", remedy=remedy)


def _fields_in(pieces: _Pieces) -> Iterator[str]:
    for piece in pieces:
        if isinstance(piece, _Field):
            yield piece.name
        elif isinstance(piece, _Choices):
            for one in piece.each:
                yield from _fields_in(one)


def _count(pieces: _Pieces) -> int:
    return prod(sum(map(_count, one.each)) for one in pieces if isinstance(one, _Choices))


def _expand(pieces: _Pieces, fields: Mapping[str, object]) -> list[str]:
    made = [""]
    for piece in pieces:
        match piece:
            case str():
                choices = [piece]
            case _Field(name):
                choices = [str(fields[name])]
            case _Choices(each):
                choices = [text for one in each for text in _expand(one, fields)]
        made = [before + choice for before in made for choice in choices]
    return made
