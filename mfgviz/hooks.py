"""Inbound hooks: where another system tells of part revisions, and whether a message is truly its own."""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mfgviz import signing
from mfgviz.catalog import check_word
from mfgviz.errors import (
    DuplicateHookError,
    HookDisabledError,
    HookNotFoundError,
    InvalidInputError,
    InvalidSecretError,
    MessageReplayedError,
    MessageTooOldError,
    MfgvizError,
    WrongSignatureError,
)
from mfgviz.journal import audit, tell_refusal
from mfgviz.mapping import HookMapping, read_mapping
from mfgviz.records import InboundHook, InboundMessage, utcnow
from mfgviz.settings import MAX_REQUESTER
from mfgviz.vocabulary import EventKind

log = logging.getLogger(__name__)

# A message that came is remembered for so long. Where no timestamp is signed, an older copy could come again.
REMEMBERED_DAYS = 30
SHORTEST_SECRET, LONGEST_SECRET = 16, 256
LONGEST_ID = 256
# Equal refusals of one hook are noted so often, and counted between.
NOTED_EVERY_S = 60.0
UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class NewHook:
    """An inbound hook to be added; it acts for `requester`.

    Raises:
        InvalidInputError, InvalidMappingError, InvalidSecretError: it cannot be used.
    """

    name: str
    mapping: dict[str, Any]
    requester: str
    secret: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_word("hook's name", self.name, 128)
        if not 0 < len(self.requester.strip()) <= MAX_REQUESTER:
            raise InvalidInputError(f"A requester has 1 to {MAX_REQUESTER} characters.")
        mapping = read_mapping(self.mapping)
        if self.secret is None:
            return
        if mapping.signature.scheme == "standard":
            signing.key_of(self.secret)
        elif not SHORTEST_SECRET <= len(self.secret) <= LONGEST_SECRET or not self.secret.isprintable():
            raise InvalidSecretError(
                f"The secret has not {SHORTEST_SECRET} to {LONGEST_SECRET} printable characters.",
                remedy="Leave it out for a good one.",
            )


@dataclass(frozen=True, slots=True)
class Message:
    """What came to a hook: its headers by their names in lower case, and its body."""

    headers: Mapping[str, str]
    body: bytes
    at: float = field(default_factory=time.time)


# -- hooks --------------------------------------------------------------------------------------------------
def add_hook(session: Session, new: NewHook, actor: str) -> tuple[InboundHook, str]:
    """Add a hook; the hook and its secret. Raises DuplicateHookError."""
    secret = new.secret or signing.new_secret()
    hook = InboundHook(
        name=new.name, secret=secret, mapping=new.mapping, requester=new.requester, created_by=actor,
        enabled=True,
    )  # fmt: skip
    try:
        with session.begin_nested():
            session.add(hook)
    except IntegrityError as error:
        raise DuplicateHookError(f"There is an inbound hook {new.name!r} already.") from error
    audit(session, actor, "hook.added", new.name, {"requester": new.requester, "mapping": new.mapping})
    return hook, secret


def get_hook(session: Session, name: str) -> InboundHook:
    """The hook of that name. Raises HookNotFoundError."""
    hook = session.scalar(select(InboundHook).where(InboundHook.name == name))
    if hook is None:
        raise HookNotFoundError(f"There is no inbound hook {name!r}.")
    return hook


def list_hooks(session: Session) -> list[InboundHook]:
    """All hooks, by name."""
    return list(session.scalars(select(InboundHook).order_by(InboundHook.name)))


def remove_hook(session: Session, name: str, actor: str) -> None:
    """Take no messages there any more. Raises HookNotFoundError."""
    hook = get_hook(session, name)
    session.execute(delete(InboundHook).where(InboundHook.id == hook.id))
    audit(session, actor, "hook.removed", name)


def enable_hook(session: Session, name: str, actor: str, *, enabled: bool) -> InboundHook:
    """Let a hook take messages, or not. Raises HookNotFoundError."""
    hook = get_hook(session, name)
    if hook.enabled != enabled:
        hook.enabled = enabled
        audit(session, actor, "hook.enabled" if enabled else "hook.disabled", name)
    return hook


def rotate(session: Session, name: str, actor: str) -> tuple[InboundHook, str]:
    """Give a hook a new secret, at once; the hook and the secret. Raises HookNotFoundError."""
    hook = get_hook(session, name)
    hook.secret = signing.new_secret()
    audit(session, actor, "hook.rotated", name)
    return hook, hook.secret


# -- messages ---------------------------------------------------------------------------------------------
def check_message(hook: InboundHook, mapping: HookMapping, message: Message) -> str:
    """Make sure of who sent a message, and when; the digest that tells it from others.

    Raises:
        WrongSignatureError: it is not signed with the hook's secret.
        MessageTooOldError: it is, but not within `signing.TOLERANCE_S` of now.
        HookDisabledError: it is, but the hook takes none.
    """
    how = mapping.signature
    if how.scheme == "standard":
        message_id = _header(message, signing.ID_HEADER)
        timestamp = _header(message, signing.TIME_HEADER)
        content = signing.content_of(message_id, timestamp, message.body)
        given = _header(message, signing.SIGNATURE_HEADER)
        good = signing.is_signed(given, signing.mac(signing.key_of(hook.secret), content))
        identity = message_id.encode()
    else:
        timestamp = _header(message, how.timestamp_header) if how.timestamp_header else ""
        content = f"{timestamp}.".encode() + message.body if how.timestamp_header else message.body
        given = _header(message, how.header)
        wanted = signing.mac(hook.secret.encode(), content)
        good = given.startswith(how.prefix) and signing.is_same(
            given.removeprefix(how.prefix), wanted, how.encoding
        )
        identity = content
    if not good:
        raise WrongSignatureError(f"The message is not signed with the secret of the hook {hook.name!r}.")
    if how.scheme == "standard" or how.timestamp_header:
        _check_time(timestamp, message.at)
    if not hook.enabled:
        raise HookDisabledError(f"The inbound hook {hook.name!r} is disabled.")
    return hashlib.sha256(identity).hexdigest()


def remember(session: Session, hook: InboundHook, digest: str) -> None:
    """Note a message in the transaction that does what it asks for. Raises MessageReplayedError."""
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    row = {"hook_id": hook.id, "digest": digest}
    added = dialect.insert(InboundMessage).values(row).on_conflict_do_nothing()
    if session.scalar(added.returning(InboundMessage.hook_id)) is None:
        raise MessageReplayedError(f"That message came to the hook {hook.name!r} before.")


def forget_old(session: Session) -> int:
    """Drop what is remembered of old messages; of how many."""
    old = InboundMessage.received_at < utcnow(-REMEMBERED_DAYS * 86_400)
    return len(session.scalars(delete(InboundMessage).where(old).returning(InboundMessage.digest)).all())


def mapping_of(hook: InboundHook) -> HookMapping:
    """The hook's mapping, which was checked when it was added."""
    return msgspec.convert(hook.mapping, HookMapping)


class Refusals:
    """Notes what hooks refuse, without letting a flood of it fill the database: equal ones of a hook once a
    minute, with how many there were between. One process's own; `clock` counts seconds."""

    KEPT = 1000

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, threading.Lock()
        self._noted: dict[tuple[str, str], tuple[float, int]] = {}

    def is_due(self, hook: str, code: str) -> int | None:
        """How many equal ones were not noted since the last that was, where one may be noted now."""
        now = self._clock()
        with self._lock:
            last, skipped = self._noted.get((hook, code), (now - NOTED_EVERY_S, 0))
            if now - last < NOTED_EVERY_S:
                self._noted[hook, code] = (last, skipped + 1)
                return None
            if len(self._noted) >= self.KEPT:
                self._noted.clear()
            self._noted[hook, code] = (now, 0)
            return skipped


def note_refusal(session: Session, hook: str, actor: str, error: MfgvizError, skipped: int) -> None:
    """Note that a message was refused, and how many more were like it."""
    more = f" ({skipped:,} more like it were not noted.)" if skipped else ""
    told = type(error)(error.message + more, remedy=error.remedy)
    tell_refusal(session, EventKind.HOOK_REFUSED, actor, hook, told)


def _header(message: Message, name: str) -> str:
    found = message.headers.get(name.lower(), "")
    if not 0 < len(found) <= LONGEST_ID * 8:
        raise WrongSignatureError(f"The message has no header {name}.")
    return found


def _check_time(timestamp: str, now: float) -> None:
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) < 13):
        raise MessageTooOldError("The message's timestamp is no number of seconds since 1970 UTC.")
    apart = now - int(timestamp)
    if abs(apart) > signing.TOLERANCE_S:
        told = "old" if apart > 0 else "of the future"
        raise MessageTooOldError(
            f"The message's timestamp is {abs(apart):.0f} s {told}; {signing.TOLERANCE_S} s are allowed."
        )
