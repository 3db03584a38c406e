"""Submitting jobs: rows first, one doorbell after the commit.

The order of service is fixed here. Each job gets a `turn` within its priority; a requester's next turn
follows their last, but never lies before the turns now being served (start-time fair queueing: Goyal, Vin
and Cheng, 1996). Whoever submits a thousand jobs fills a thousand turns, and whoever then submits one
shares the first of these instead of waiting behind all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import func, insert, literal_column, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mfgviz.records import NextTurn, RenderJob, Requester
from mfgviz.requests import RenderRequest
from mfgviz.vocabulary import JobState, Priority

How = Literal["new", "joined", "reused"]


@dataclass(frozen=True, slots=True)
class Submission:
    """One request for one revision. A forced one is rendered even where the same picture exists."""

    revision_id: int
    request: RenderRequest
    priority: Priority = Priority.NORMAL
    forced: bool = False
    max_attempts: int = 3


@dataclass(frozen=True, slots=True)
class Submitted:
    """The job that answers a submission: a new one, one that waits already, or one that is done."""

    job_id: int
    how: How


def submit(session: Session, submissions: Sequence[Submission], requester: str) -> list[Submitted]:
    """Queue the submissions in one transaction; answers come in their order.

    A request that waits or runs already on that revision is joined; one that succeeded is reused.
    """
    plan = _plan(session, submissions, requester)
    try:
        with session.begin_nested():
            ids = _insert(session, plan.rows)
    except IntegrityError:
        # Somebody queued one of these pictures between our look and our insert: join theirs.
        plan = _plan(session, submissions, requester)
        ids = _insert(session, plan.rows)
    seen: set[int] = set()
    for place, row in plan.places.items():
        plan.answers[place] = Submitted(ids[row], "joined" if row in seen else "new")
        seen.add(row)
    return [plan.answers[place] for place in range(len(submissions))]


@dataclass(slots=True)
class _Plan:
    """The rows to insert, and for each submission its answer, or the row that will be its answer."""

    rows: list[dict[str, object]] = field(default_factory=list)
    answers: dict[int, Submitted] = field(default_factory=dict)
    places: dict[int, int] = field(default_factory=dict)


def _plan(session: Session, submissions: Sequence[Submission], requester: str) -> _Plan:
    turns = _take_turns(session, requester, submissions)
    known, plan = _known_jobs(session, submissions), _Plan()
    row_of: dict[tuple[int, str], int] = {}
    for place, submission in enumerate(submissions):
        key = (submission.revision_id, submission.request.fingerprint())
        if not submission.forced and key in known:
            plan.answers[place] = known[key]
        elif not submission.forced and key in row_of:
            plan.places[place] = row_of[key]
        else:
            plan.places[place] = row_of[key] = len(plan.rows)
            plan.rows.append(_row(submission, requester, next(turns[submission.priority]), key[1]))
    return plan


def _row(submission: Submission, requester: str, turn: int, fingerprint: str) -> dict[str, object]:
    request = submission.request
    return {
        "revision_id": submission.revision_id,
        "requester": requester,
        "request": request.as_json(),
        "fingerprint": fingerprint,
        "batch_key": request.batch_key(),
        "model_name": request.model.name,
        "images": request.sampling.count,
        "forced": submission.forced,
        "priority": int(submission.priority),
        "turn": turn,
        "total_steps": request.sampling.num_inference_steps,
        "max_attempts": submission.max_attempts,
    }


def _insert(session: Session, rows: list[dict[str, object]]) -> list[int]:
    if not rows:
        return []
    statement = insert(RenderJob).returning(RenderJob.id, sort_by_parameter_order=True)
    return list(session.scalars(statement, rows))


def _known_jobs(session: Session, submissions: Sequence[Submission]) -> dict[tuple[int, str], Submitted]:
    """The newest job of each asked (revision, fingerprint) that waits, runs or succeeded."""
    wanted = [s for s in submissions if not s.forced]
    if not wanted:
        return {}
    query = (
        select(RenderJob.id, RenderJob.revision_id, RenderJob.fingerprint, RenderJob.state)
        .where(
            RenderJob.revision_id.in_({s.revision_id for s in wanted}),
            RenderJob.fingerprint.in_({s.request.fingerprint() for s in wanted}),
            RenderJob.state.in_((JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED)),
        )
        .order_by(RenderJob.id)
    )
    known: dict[tuple[int, str], Submitted] = {}
    for job_id, revision_id, fingerprint, state in session.execute(query):
        how: How = "reused" if state == JobState.SUCCEEDED else "joined"
        known[revision_id, fingerprint] = Submitted(job_id, how)
    return known


def _take_turns(
    session: Session, requester: str, submissions: Sequence[Submission]
) -> dict[Priority, Iterator[int]]:
    """As many turns of each priority as there are submissions of it; locks the requester's rows."""
    dialect = session.get_bind().dialect.name
    build = postgresql.insert if dialect == "postgresql" else sqlite.insert
    greatest = func.greatest if dialect == "postgresql" else func.max
    session.execute(build(Requester).values(name=requester).on_conflict_do_nothing())
    turns: dict[Priority, Iterator[int]] = {}
    # In one order for all, so that two submits of one requester do not wait for each other.
    for priority, count in sorted(Counter(one.priority for one in submissions).items()):
        serving = _turn_now(session, priority)
        statement = build(NextTurn).values(requester=requester, priority=priority, turn=serving + count)
        upsert = statement.on_conflict_do_update(
            index_elements=[NextTurn.requester, NextTurn.priority],
            set_={"turn": greatest(NextTurn.turn, serving) + count},
        ).returning(NextTurn.turn)
        end = session.execute(upsert).scalar_one()
        turns[priority] = iter(range(end - count, end))
    return turns


def _turn_now(session: Session, priority: Priority) -> int:
    """The turn that a priority is at: the first that waits, or past all that were given."""
    waiting = (
        select(RenderJob.turn)
        .where(RenderJob.state == literal_column("'queued'"), RenderJob.priority == int(priority))
        .order_by(RenderJob.turn, RenderJob.id)
        .limit(1)
    )
    first = session.scalar(waiting)
    if first is not None:
        return first
    return session.scalar(select(func.max(NextTurn.turn)).where(NextTurn.priority == int(priority))) or 0
