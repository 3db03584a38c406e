"""Submitting jobs: rows first, one doorbell after the commit.

The order of service is fixed here. Each job gets a `turn`; a requester's next turn follows their
last, but never lies before the turns now being served (start-time fair queueing: Goyal, Vin and
Cheng, 1996). Whoever submits a thousand jobs fills a thousand turns, and whoever then submits one
shares the first of these instead of waiting behind all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy import func, insert, literal_column, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mfgviz.records import RenderJob, Requester
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
    turn = _take_turns(session, requester, submissions)
    plan = _plan(session, submissions, requester, turn)
    try:
        with session.begin_nested():
            ids = _insert(session, plan.rows)
    except IntegrityError:
        # Somebody queued one of these pictures between our look and our insert: join theirs.
        plan = _plan(session, submissions, requester, turn)
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


def _plan(session: Session, submissions: Sequence[Submission], requester: str, turn: int) -> _Plan:
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
            plan.rows.append(_row(submission, requester, turn + len(plan.rows), key[1]))
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


def _take_turns(session: Session, requester: str, submissions: Sequence[Submission]) -> int:
    """The first of as many turns as there are submissions. Locks the requester's row until commit."""
    queued = RenderJob.state == literal_column("'queued'")
    # Turns are compared within a priority; the lowest waiting turn of any is a safe "now".
    serving = session.scalar(
        select(RenderJob.turn)
        .where(queued)
        .order_by(RenderJob.priority.desc(), RenderJob.turn, RenderJob.id)
        .limit(1)
    )
    if serving is None:
        serving = session.scalar(select(func.max(Requester.next_turn))) or 0
    dialect = session.get_bind().dialect.name
    build = postgresql.insert if dialect == "postgresql" else sqlite.insert
    statement = build(Requester).values(name=requester, next_turn=serving + len(submissions))
    greatest = func.greatest if dialect == "postgresql" else func.max
    upsert = statement.on_conflict_do_update(
        index_elements=[Requester.name],
        set_={"next_turn": greatest(Requester.next_turn, serving) + len(submissions)},
    ).returning(Requester.next_turn)
    return session.execute(upsert).scalar_one() - len(submissions)
