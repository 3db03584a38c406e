"""How another system's JSON is read: where part, revision and state stand in it, and how it is signed. Pure.

A path is a JSON pointer (RFC 6901, `/item/number`), or names with dots between them (`item.number`); numbers
count places in lists from 0.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec

from mfgviz.errors import InvalidMappingError, InvalidMessageError, MappingMissError
from mfgviz.vocabulary import LifecycleState

Scalar = str | int | float | bool
MAX_ITEMS, MAX_PATH = 64, 256


class Signing(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """How messages are signed: as Standard Webhooks says, or as a header of the sender's own.

    With scheme `hmac` the header holds `prefix` and the HMAC-SHA256 in that encoding, keyed with the secret's
    characters, of what `signed` says.
    """

    scheme: Literal["standard", "hmac"] = "standard"
    header: str = "X-Hub-Signature-256"
    prefix: str = "sha256="
    encoding: Literal["hex", "base64"] = "hex"
    timestamp_header: str | None = None
    signed: Literal["body", "timestamp.body"] = "body"


class Where(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Where the part's number, the revision's label and so on stand."""

    part: str
    revision: str
    state: str | None = None
    name: str | None = None


class HookMapping(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A hook's mapping, as its file holds it."""

    revision: Where
    signature: Signing = Signing()
    states: dict[str, str] = {}
    when: dict[str, Scalar | list[Scalar]] = {}
    attributes: dict[str, str] = {}
    part_attributes: dict[str, str] = {}


@dataclass(frozen=True, slots=True)
class News:
    """What a message says of a part revision, in our words. `source_state` is the sender's own."""

    number: str
    label: str
    name: str | None = None
    state: LifecycleState | None = None
    source_state: str | None = None
    attributes: dict[str, Scalar] = field(default_factory=dict)
    part_attributes: dict[str, Scalar] = field(default_factory=dict)


def read_mapping(plain: object) -> HookMapping:
    """Check a mapping.

    Raises:
        InvalidMappingError: a field is missing, unknown, of the wrong kind, or could never be found.
    """
    try:
        mapping = msgspec.convert(plain, HookMapping)
    except msgspec.ValidationError as error:
        raise InvalidMappingError(f"The mapping cannot be used: {error}.") from error
    sizes = (mapping.states, mapping.when, mapping.attributes, mapping.part_attributes)
    if any(len(one) > MAX_ITEMS for one in sizes):
        raise InvalidMappingError(f"The mapping has a table of more than {MAX_ITEMS} lines.")
    where = mapping.revision
    named = (one for one in (where.part, where.revision, where.state, where.name) if one is not None)
    attributes = (*mapping.attributes.values(), *mapping.part_attributes.values())
    for path in (*named, *mapping.when, *attributes):
        steps_of(path)
    for name in (*mapping.attributes, *mapping.part_attributes):
        if not name.isidentifier():
            raise InvalidMappingError(f"The attribute name {name!r} cannot be used.")
    known = {state.value for state in LifecycleState}
    if wrong := sorted(set(mapping.states.values()) - known):
        raise InvalidMappingError(
            f"There is no state {wrong[0]!r}.", remedy=f"States are {', '.join(sorted(known))}."
        )
    if any(not 0 < len(word.strip()) <= 128 for word in mapping.states):
        raise InvalidMappingError("A state of the other system has 1 to 128 characters.")
    if mapping.states and where.state is None:
        raise InvalidMappingError("The mapping has [states], but does not say where the state stands.")
    _check_signing(mapping.signature)
    return mapping


def _check_signing(signing: Signing) -> None:
    if (signing.timestamp_header is None) != (signing.signed == "body"):
        raise InvalidMappingError(
            "A timestamp protects nothing unless it is signed, and cannot be signed unless it is sent.",
            remedy='Give timestamp_header together with signed = "timestamp.body", or neither.',
        )
    for name in filter(None, (signing.header, signing.timestamp_header)):
        if not (name.isascii() and name.replace("-", "").replace("_", "").isalnum()):
            raise InvalidMappingError(f"{name[:80]!r} cannot be the name of a header.")


def steps_of(path: str) -> tuple[str, ...]:
    """The names that a path goes through. Raises InvalidMappingError."""
    if not path or len(path) > MAX_PATH:
        raise InvalidMappingError(f"A path has 1 to {MAX_PATH} characters.")
    if path.startswith("/"):
        return tuple(one.replace("~1", "/").replace("~0", "~") for one in path[1:].split("/"))
    steps = tuple(path.split("."))
    if not all(steps):
        raise InvalidMappingError(f"The path {path!r} has an empty name in it.")
    return steps


def read_message(body: bytes) -> dict[str, Any]:
    """The JSON object that a message is. Raises InvalidMessageError."""

    def refuse(word: str) -> object:
        raise InvalidMessageError(f"The message holds {word}, which is no JSON.")

    try:
        plain = json.loads(body.decode("utf-8"), parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        told = str(error)[:200] if isinstance(error, json.JSONDecodeError) else type(error).__name__
        raise InvalidMessageError(f"The message is no JSON: {told}.") from error
    if not isinstance(plain, dict):
        raise InvalidMessageError("The message is JSON, but no object.")
    return plain


def find(message: object, path: str) -> object:
    """What stands at a path; None where nothing does."""
    at = message
    for step in steps_of(path):
        if isinstance(at, dict):
            at = at.get(step)
        elif isinstance(at, list) and step.isascii() and step.isdigit() and len(step) < 6:
            at = at[int(step)] if int(step) < len(at) else None
        else:
            return None
    return at


def applies(mapping: HookMapping, message: Mapping[str, Any]) -> bool:
    """Whether the message is one that the hook acts on."""
    return all(
        any(_same(find(message, path), one) for one in (wanted if isinstance(wanted, list) else [wanted]))
        for path, wanted in mapping.when.items()
    )


def read_news(mapping: HookMapping, message: Mapping[str, Any]) -> News:
    """What a message says. Raises MappingMissError where something that is looked for is not there."""
    where = mapping.revision
    state, source_state = None, None
    if where.state is not None:
        source_state = _text(message, where.state, "state")
        word = mapping.states.get(source_state, source_state)
        if word not in set(LifecycleState):
            known = ", ".join(sorted(mapping.states)) or "none"
            raise MappingMissError(
                f"The message's state {source_state[:80]!r} is none that the mapping knows ({known})."
            )
        state = LifecycleState(word)
    return News(
        number=_text(message, where.part, "part number"),
        label=_text(message, where.revision, "revision"),
        name=None if where.name is None else _text(message, where.name, "name"),
        state=state,
        source_state=source_state,
        attributes=_values(message, mapping.attributes),
        part_attributes=_values(message, mapping.part_attributes),
    )


def _text(message: object, path: str, what: str) -> str:
    found = find(message, path)
    if isinstance(found, int) and not isinstance(found, bool):
        found = str(found)
    if not isinstance(found, str) or not found.strip():
        raise MappingMissError(f"The message has no {what} at {path!r}.")
    return found.strip()


def _values(message: object, paths: Mapping[str, str]) -> dict[str, Scalar]:
    """The attributes that are there; null and what is missing sets nothing."""
    values: dict[str, Scalar] = {}
    for name, path in paths.items():
        found = find(message, path)
        if found is None:
            continue
        if not isinstance(found, str | int | float | bool):
            raise MappingMissError(f"What the message has at {path!r} for {name} is no plain value.")
        values[name] = found
    return values


def _same(found: object, wanted: Scalar) -> bool:
    return isinstance(found, bool) == isinstance(wanted, bool) and found == wanted
