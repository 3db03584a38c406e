"""What happened, written in the transaction that made it happen: events for rules, audit for people."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Any

from sqlalchemy.orm import Session

from mfgviz.records import AuditEntry, Event

# The door that somebody came through, where it is not this host's command line: address and token's name.
came_from: ContextVar[dict[str, str] | None] = ContextVar("came_from", default=None)


def audit(
    session: Session, actor: str, action: str, subject: str, details: dict[str, Any] | None = None
) -> None:
    """Note who did what to which thing, and from where."""
    door = came_from.get()
    told = {**(details or {}), **({"door": door} if door else {})}
    session.add(AuditEntry(actor=actor, action=action, subject=subject[:256], details=told))


def emit(session: Session, kind: str, revision_id: int, payload: dict[str, Any]) -> None:
    """Put an event into the outbox."""
    session.add(Event(kind=kind, revision_id=revision_id, payload=payload))
