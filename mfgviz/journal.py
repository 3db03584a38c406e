"""What happened, written in the transaction that made it happen: events for rules, audit for people."""

from __future__ import annotations

import logging
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session, joinedload

from mfgviz import wire
from mfgviz.database import EMITTED
from mfgviz.errors import MfgvizError
from mfgviz.records import AuditEntry, Event, PartRevision, any_of
from mfgviz.vocabulary import EventKind

log = logging.getLogger(__name__)

# The door that somebody came through, where it is not this host's command line: address and token's name.
came_from: ContextVar[dict[str, str] | None] = ContextVar("came_from", default=None)


def audit(
    session: Session, actor: str, action: str, subject: str, details: dict[str, Any] | None = None
) -> None:
    """Note who did what to which thing, and from where."""
    told = {**(details or {}), **door_of()}
    session.add(AuditEntry(actor=actor, action=action, subject=subject[:256], details=told))


def door_of() -> dict[str, Any]:
    """The door that whoever acts came through, for the details of an audit entry."""
    door = came_from.get()
    return {"door": door} if door else {}


def emit(
    session: Session, kind: EventKind, actor: str, payload: dict[str, Any], revision_id: int | None = None
) -> None:
    """Put an event into the outbox; `actor` caused it."""
    session.add(Event(kind=kind.value, revision_id=revision_id, actor=actor, payload=payload))
    session.info[EMITTED] = True


def tell_refusal(
    session: Session,
    kind: EventKind,
    actor: str,
    subject: str,
    error: MfgvizError,
    revision_id: int | None = None,
) -> None:
    """Note that something could not be done, for whoever looks later: as an event, in the audit trail, and in
    the log."""
    tell_of(session, kind, actor, subject, error.as_json(), revision_id)


def tell_of(
    session: Session,
    kind: EventKind,
    actor: str,
    subject: str,
    error: dict[str, str],
    revision_id: int | None = None,
) -> None:
    """The same for an error that is known by its code, message and remedy."""
    subject = _in_one_line(subject)
    told = {"code": error["code"], "message": error["message"][:2000]}
    log.warning("%s: %s: %s", kind.value, subject, _in_one_line(error["message"]))
    audit(session, actor, kind.value, subject, told)
    whole = {"subject": subject[:256], **told, "remedy": error["remedy"][:2000]}
    emit(session, kind, actor, whole, revision_id)


def _in_one_line(text: str) -> str:
    """Without what would begin another line of a log, or steer a terminal: it may come from anybody."""
    return "".join(one if one.isprintable() else "\ufffd" for one in text)


@dataclass(frozen=True, slots=True)
class JournalFilter:
    """Which events or audit entries to list: newest first before an id, or oldest first after one."""

    what: str | None = None
    revision_id: int | None = None
    subject: str | None = None
    before: int | None = None
    after: int | None = None
    limit: int = 50


def list_events(session: Session, wanted: JournalFilter) -> list[Event]:
    """Events of a kind (or of all that begin with it and a dot), of a revision, or all."""
    whole = joinedload(Event.revision).joinedload(PartRevision.part)
    return list(session.scalars(events_query(wanted).options(whole)))


def events_query(wanted: JournalFilter) -> Any:
    """The production query of a page of events."""
    if not wanted.what:
        whole = select(Event)
        mine = whole if wanted.revision_id is None else whole.where(Event.revision_id == wanted.revision_id)
        return _page(mine, Event.id, wanted)
    known = [kind.value for kind in EventKind if kind.startswith(f"{wanted.what}.")]
    ids = select(Event.id)
    if wanted.revision_id is not None:
        ids = ids.where(Event.revision_id == wanted.revision_id)
    pages = (_page(ids.where(Event.kind == kind), Event.id, wanted) for kind in (wanted.what, *known))
    return _page(select(Event).where(Event.id.in_(any_of(pages))), Event.id, wanted)


def list_audit(session: Session, wanted: JournalFilter) -> list[AuditEntry]:
    """Audit entries of an action (or of all that begin with it and a dot), of a subject, or all."""
    query = select(AuditEntry)
    if wanted.what:
        named = AuditEntry.action.startswith(f"{wanted.what}.")
        query = query.where(or_(AuditEntry.action == wanted.what, named))
    if wanted.subject is not None:
        query = query.where(AuditEntry.subject == wanted.subject)
    return list(session.scalars(_page(query, AuditEntry.id, wanted)))


def last_event(session: Session) -> int:
    """The id of the newest event; 0 where there is none."""
    return session.scalar(select(func.max(Event.id))) or 0


def event_of(event: Event) -> wire.EventInfo:
    """An event's record as a resource."""
    return wire.EventInfo(
        id=event.id,
        kind=event.kind,
        revision=event.revision.reference if event.revision else None,
        actor=event.actor,
        payload=event.payload,
        created_at=event.created_at,
        delivered_at=event.delivered_at,
    )


def _page(query: Any, column: InstrumentedAttribute[int], wanted: JournalFilter) -> Any:
    if wanted.after is not None:
        return query.where(column > wanted.after).order_by(column).limit(wanted.limit)
    if wanted.before is not None:
        query = query.where(column < wanted.before)
    return query.order_by(column.desc()).limit(wanted.limit)
