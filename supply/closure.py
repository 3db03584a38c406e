"""The installed distributions that an extra of mfgviz needs, by its own word and theirs."""

from __future__ import annotations

import re
from importlib.metadata import Distribution, PackageNotFoundError, distribution

from packaging.requirements import Requirement

ROOT = "mfgviz"
SHIPPED = frozenset({"worker", "local"})


def key_of(name: str) -> str:
    """A name as the index compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def needs(found: Distribution, extras: frozenset[str]) -> dict[str, frozenset[str]]:
    """What it needs here with these extras of its own: keys, and the extras that it asks of each."""
    wanted: dict[str, frozenset[str]] = {}
    for line in found.requires or ():
        one = Requirement(line)
        if one.marker is None or any(one.marker.evaluate({"extra": extra}) for extra in extras or {""}):
            key = key_of(one.name)
            wanted[key] = wanted.get(key, frozenset()) | frozenset(one.extras)
    return wanted


def closure(extras: frozenset[str] = SHIPPED) -> dict[str, tuple[Distribution, list[str]]]:
    """mfgviz and all that it needs with these extras: each with the keys of what it needs itself. What is not
    installed, an extra's extra that is not for this platform, is left out."""
    waiting: list[tuple[str, frozenset[str]]] = [(ROOT, extras)]
    found: dict[str, tuple[Distribution, list[str]]] = {}
    asked: dict[str, frozenset[str]] = {}
    while waiting:
        key, wished = waiting.pop()
        known = asked.get(key)
        if known is not None and wished <= known:
            continue
        asked[key] = wished | (known or frozenset())
        try:
            one = distribution(key)
        except PackageNotFoundError:
            continue
        wanted = needs(one, asked[key] | {""})
        found[key] = (one, sorted(wanted))
        waiting += wanted.items()
    return {key: (one, [need for need in wants if need in found]) for key, (one, wants) in found.items()}
