"""Turns: the fair order between requesters, within a priority (see `submission`)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlalchemy import func, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from mfgviz.jobs.queries import IS_READY
from mfgviz.records import NextTurn, RenderJob, Requester, utcnow


def take_turns(session: Session, requester: str, counts: Mapping[int, int]) -> dict[int, Iterator[int]]:
    """So many turns of each priority for the requester; theirs are locked until the transaction ends."""
    dialect = session.get_bind().dialect.name
    build = postgresql.insert if dialect == "postgresql" else sqlite.insert
    greatest = func.greatest if dialect == "postgresql" else func.max
    session.execute(build(Requester).values(name=requester).on_conflict_do_nothing())
    turns: dict[int, Iterator[int]] = {}
    # In one order for all, so that two submits of one requester do not wait for each other.
    for priority, count in sorted(counts.items()):
        now = _turn_now(session, priority)
        statement = build(NextTurn).values(requester=requester, priority=priority, turn=now + count)
        upsert = statement.on_conflict_do_update(
            index_elements=[NextTurn.requester, NextTurn.priority],
            set_={"turn": greatest(NextTurn.turn, now) + count},
        ).returning(NextTurn.turn)
        end = session.execute(upsert).scalar_one()
        turns[priority] = iter(range(end - count, end))
    return turns


def _turn_now(session: Session, priority: int) -> int:
    """The turn that a priority is at: the first that could be served, or past all that were given."""
    waiting = (
        select(RenderJob.turn)
        .where(
            IS_READY,
            RenderJob.priority == priority,
            RenderJob.available_at <= utcnow(),
        )
        .order_by(RenderJob.turn, RenderJob.id)
        .limit(1)
    )
    first = session.scalar(waiting)
    if first is not None:
        return first
    return session.scalar(select(func.max(NextTurn.turn)).where(NextTurn.priority == priority)) or 0
