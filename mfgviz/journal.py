"""What happened, written in the transaction that made it happen: events for rules, audit for people."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from mfgviz.records import AuditEntry, Event


def audit(
    session: Session, actor: str, action: str, subject: str, details: dict[str, Any] | None = None
) -> None:
    """Note who did what to which thing."""
    session.add(AuditEntry(actor=actor, action=action, subject=subject[:256], details=details or {}))


def emit(session: Session, kind: str, revision_id: int, payload: dict[str, Any]) -> None:
    """Put an event into the outbox."""
    session.add(Event(kind=kind, revision_id=revision_id, payload=payload))
