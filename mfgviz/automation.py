"""What follows from events: each is taken from the outbox once, with all that it causes, in one transaction.

An event that was not taken yet is taken again (at least once); what follows from it is written in the same
transaction, under unique keys (at most once). Several processes may take events at the same time: they skip
what another one has. So nothing here may rely on an order of events.
"""

from __future__ import annotations

import logging
import os
import random
import time
from collections.abc import Callable, Sequence

from sqlalchemy import Select, select, update
from sqlalchemy.orm import Session, contains_eager

from mfgviz import batches, rule_runs, staleness, webhooks
from mfgviz.errors import ContentionError, MfgvizError, UnavailableError
from mfgviz.journal import came_from, tell_refusal
from mfgviz.queue import TASK_RENDER
from mfgviz.records import Event, Geometry, PartRevision, utcnow
from mfgviz.runtime import Runtime
from mfgviz.settings import Settings
from mfgviz.vocabulary import EventKind, GeometryState

log = logging.getLogger(__name__)

EVENTS_AT_ONCE = 100
# An event of a revision whose CAD file nobody has looked into waits for that, so many times, so long.
UNREAD_TRIES, UNREAD_DELAY_S = 20, 15.0
# What goes wrong unforeseen is tried again, so many times, and put aside then.
MOST_TRIES, RETRY_DELAY_S = 5, 10.0
RING_AT_MOST = 64
CONTENTIONS = 5


# What follows from events: each gets all events of a batch, and answers with the ids of jobs that wait now.
Handler = Callable[[Session, Settings, Sequence[Event]], list[int]]
HANDLERS: tuple[Handler, ...] = (staleness.follow, batches.follow, rule_runs.follow, webhooks.follow)


def process(runtime: Runtime, limit: int = EVENTS_AT_ONCE) -> int:
    """Take the events that wait, a batch of `limit` at a time, until none is left; how many there were.

    Raises:
        UnavailableError: a service does not answer; what is left waits.
    """
    door = came_from.set({"door": "automation", "host": os.uname().nodename})
    try:
        return _process(runtime, limit)
    finally:
        came_from.reset(door)


def _process(runtime: Runtime, limit: int) -> int:
    taken, rung = 0, 0
    while True:
        try:
            count, new_jobs = _take_in_peace(runtime, limit)
        except UnavailableError:
            raise
        except Exception as error:  # noqa: BLE001 - whichever event it was, the others go on
            log.warning("a batch of events failed (%s): one after the other now", error)
            count, new_jobs = _one_by_one(runtime, limit)
        taken += count
        if not count:
            return taken
        # Workers who are woken ring on for what more waits.
        ringing = new_jobs[: RING_AT_MOST - rung]
        runtime.doorbell.ring(TASK_RENDER, ringing)
        rung += len(ringing)


def _take_in_peace(runtime: Runtime, limit: int) -> tuple[int, list[int]]:
    """As `_take`; again where the database found that it and somebody else waited for each other."""
    for tried in range(CONTENTIONS):
        try:
            return _take(runtime, limit)
        except ContentionError:
            if tried == CONTENTIONS - 1:
                raise
            time.sleep(random.uniform(0.01, 0.1) * 2**tried)
    raise AssertionError("never reached")


def has_events(session: Session) -> bool:
    """Whether events wait that could be taken."""
    return session.scalar(_waiting(1)) is not None


def wake(session: Session, geometry: Geometry) -> None:
    """A CAD file was looked into: events that waited for that may be taken."""
    revisions = select(PartRevision.id).where(PartRevision.geometry_id == geometry.id)
    waiting = Event.delivered_at.is_(None) & Event.revision_id.in_(revisions)
    session.execute(
        update(Event).where(waiting).values(available_at=None).execution_options(synchronize_session=False)
    )


def _waiting(limit: int) -> Select[int]:
    available = Event.available_at.is_(None) | (Event.available_at <= utcnow())
    return select(Event.id).where(Event.delivered_at.is_(None), available).order_by(Event.id).limit(limit)


def _take(runtime: Runtime, limit: int, only: int | None = None) -> tuple[int, list[int]]:
    """Follow some events, or that one, in one transaction: how many there were, and the jobs that wait."""
    with runtime.db.begin() as session:
        waiting = _waiting(limit) if only is None else _waiting(1).where(Event.id == only)
        ids = list(session.scalars(waiting.with_for_update(skip_locked=True)))
        if not ids:
            return 0, []
        events = _loaded(session, ids)
        unread = {event.id for event in events if _waits_for_its_file(event)}
        ready = [event for event in events if event.id not in unread]
        new_jobs: list[int] = []
        for handler in HANDLERS:
            new_jobs += handler(session, runtime.settings, ready)
        _put_off(session, unread)
        done = update(Event).where(Event.id.in_([event.id for event in ready])).values(delivered_at=utcnow())
        session.execute(done.execution_options(synchronize_session=False))
    return len(ids), new_jobs


def _loaded(session: Session, ids: Sequence[int]) -> list[Event]:
    """Events with their revisions, parts and geometries."""
    query = (
        select(Event)
        .where(Event.id.in_(ids))
        .outerjoin(Event.revision)
        .outerjoin(PartRevision.part)
        .outerjoin(PartRevision.geometry)
        .options(
            contains_eager(Event.revision).options(
                contains_eager(PartRevision.part), contains_eager(PartRevision.geometry)
            )
        )
        .order_by(Event.id)
        .execution_options(populate_existing=True)
    )
    return list(session.scalars(query))


def _waits_for_its_file(event: Event) -> bool:
    geometry = event.revision.geometry if event.revision is not None else None
    return geometry is not None and geometry.state == GeometryState.STORED and event.tries < UNREAD_TRIES


def _put_off(session: Session, ids: set[int]) -> None:
    if ids:
        later = {"available_at": utcnow(UNREAD_DELAY_S), "tries": Event.tries + 1}
        statement = update(Event).where(Event.id.in_(ids)).values(later)
        session.execute(statement.execution_options(synchronize_session=False))


def _one_by_one(runtime: Runtime, limit: int) -> tuple[int, list[int]]:
    with runtime.db.read() as session:
        ids = list(session.scalars(_waiting(limit)))
    new_jobs: list[int] = []
    for event_id in ids:
        try:
            new_jobs += _take(runtime, 1, event_id)[1]
        except UnavailableError:
            raise
        except Exception as error:
            log.exception("event %d", event_id)
            _put_aside(runtime, event_id, error)
    return len(ids), new_jobs


def _put_aside(runtime: Runtime, event_id: int, error: Exception) -> None:
    """Try an event again later; after so many times, no more."""
    with runtime.db.begin() as session:
        event = session.get_one(Event, event_id)
        event.failures += 1
        event.available_at = session.scalar(select(utcnow(RETRY_DELAY_S * 2**event.failures)))
        if event.failures >= MOST_TRIES:
            event.delivered_at = session.scalar(select(utcnow()))
            told = (
                error if isinstance(error, MfgvizError) else MfgvizError(f"{type(error).__name__}: {error}")
            )
            tell_refusal(session, EventKind.EVENT_FAILED, event.actor, f"event {event_id}", told)
