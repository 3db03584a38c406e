"""What went wrong, in words: the server's problem documents, and a network that does not answer."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from enum import Enum


class Kind(Enum):
    """What a person can do about it."""

    UNREACHABLE = "unreachable"  # wait, or start the server
    UNAUTHENTICATED = "unauthenticated"  # another token
    FORBIDDEN = "forbidden"  # another role
    CONFLICT = "conflict"  # another revision
    REFUSED = "refused"  # change what is asked
    BUSY = "busy"  # ask again later
    SERVER = "server"  # the server's own fault
    CANCELLED = "cancelled"  # nothing


@dataclass(frozen=True)
class Problem:
    """One failure. `told` is a sentence, `remedy` a sentence or nothing; `code` is the API's."""

    kind: Kind
    told: str
    remedy: str = ""
    code: str = ""
    status: int = 0
    retry_after_s: float | None = None
    fields: tuple[tuple[str, str], ...] = field(default=())

    @property
    def may_pass(self) -> bool:
        """Whether the same request may succeed later, so that it is worth keeping."""
        return self.kind in (Kind.UNREACHABLE, Kind.UNAUTHENTICATED, Kind.BUSY, Kind.SERVER)

    def sentences(self) -> str:
        """Everything there is to say, for a person."""
        said = [self.told, *(f"{name}: {message}" for name, message in self.fields), self.remedy]
        return " ".join(one.strip() for one in said if one.strip())


def problem_of(status: int, body: bytes, retry_after: str = "") -> Problem:
    """What an answer with an error status says. Never raises: servers in between write anything."""
    try:
        told = json.loads(body)
    except ValueError:
        told = None
    if not isinstance(told, dict) or not (told.get("detail") or told.get("title")):
        return Problem(
            _kind(status), f"The server answered with status {status}, without a reason.", status=status
        )
    wrong = told.get("errors")
    fields = tuple(
        (str(one.get("field", "")), str(one.get("message", "")))
        for one in (wrong if isinstance(wrong, list) else [])
        if isinstance(one, dict)
    )
    return Problem(
        kind=_kind(status),
        told=str(told.get("detail") or told.get("title")),
        remedy=str(told.get("remedy") or ""),
        code=str(told.get("code") or ""),
        status=status,
        retry_after_s=float(retry_after) if retry_after.isascii() and retry_after.isdigit() else None,
        fields=fields,
    )


def _kind(status: int) -> Kind:
    named = {
        401: Kind.UNAUTHENTICATED,
        403: Kind.FORBIDDEN,
        409: Kind.CONFLICT,
        429: Kind.BUSY,
        502: Kind.UNREACHABLE,
        503: Kind.UNREACHABLE,
        504: Kind.UNREACHABLE,
    }
    return named.get(status, Kind.SERVER if status >= 500 else Kind.REFUSED)
