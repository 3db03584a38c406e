"""Submitting jobs: rows first, one doorbell after the commit.

The order of service is fixed here. Each job gets a `turn` within its priority; a requester's next turn
follows their last, but never lies before the turns now being served (start-time fair queueing: Goyal, Vin
and Cheng, 1996). Whoever submits a thousand jobs fills a thousand turns, and whoever then submits one
shares the first of these instead of waiting behind all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import Select, insert, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mfgviz.errors import InvalidRequestError
from mfgviz.jobs.turns import take_turns
from mfgviz.records import RenderJob
from mfgviz.requests import RenderRequest
from mfgviz.vocabulary import FidelityPolicy, JobState, Priority

How = Literal["new", "joined", "reused"]
Row = dict[str, Any]
Key = tuple[int, str, int]  # revision, fingerprint, fidelity retries
# Pictures that one statement asks for: each binds two values, and databases bind so many at most.
ASKED_AT_ONCE = 5_000
# Our advisory locks are this plus a revision's id, of which revisions share some: a server has room for a few
# thousand.
LOCK_SPACE, LOCKS = 0x6D66 << 40, 1024
_LOCKS = text("SELECT count(pg_advisory_xact_lock(key)) FROM unnest(cast(:keys AS bigint[])) AS key")


@dataclass(frozen=True, slots=True)
class Submission:
    """One request for one revision. A forced one is rendered even where the same picture exists.

    The policy says what becomes of a picture that does not show its part. One that may be tried again with
    more geometry strength may end as another picture than its request alone says: it is joined and reused
    among its like only.
    """

    revision_id: int
    request: RenderRequest
    priority: Priority = Priority.NORMAL
    forced: bool = False
    max_attempts: int = 3
    fidelity_policy: FidelityPolicy = FidelityPolicy.MARK
    fidelity_retries: int = 0
    batch_id: int | None = None

    def __post_init__(self) -> None:
        if (self.fidelity_policy is FidelityPolicy.RETRY) != (self.fidelity_retries > 0):
            raise InvalidRequestError(
                f"{self.fidelity_retries} fidelity retries do not go with the policy {self.fidelity_policy}.",
                remedy="Retries, one at least, belong to the policy retry, and only there.",
            )


@dataclass(frozen=True, slots=True)
class Submitted:
    """The job that answers a submission: a new one, one that waits already, or one that is done."""

    job_id: int
    how: How


def submit(session: Session, submissions: Sequence[Submission], requester: str) -> list[Submitted]:
    """Queue the submissions in one transaction; answers come in their order.

    A request that waits or runs already on that revision is joined; one that succeeded is reused; neither
    costs the requester a turn.
    """
    lock_revisions(session, {submission.revision_id for submission in submissions})
    plan = _plan(session, submissions, requester)
    try:
        with session.begin_nested():
            ids = _insert(session, plan.rows)
    except IntegrityError:
        # Somebody queued one of these pictures again between our look and our insert: join theirs.
        plan = _plan(session, submissions, requester)
        ids = _insert(session, plan.rows)
    seen: set[int] = set()
    for place, row in plan.places.items():
        plan.answers[place] = Submitted(ids[row], "joined" if row in seen else "new")
        seen.add(row)
    return [plan.answers[place] for place in range(len(submissions))]


def known(session: Session, submissions: Sequence[Submission]) -> dict[int, Submitted]:
    """The job that a submission would be answered with, by its place, where there is one already."""
    jobs = _known_jobs(session, submissions)
    found: dict[int, Submitted] = {}
    for place, one in enumerate(submissions):
        job = jobs.get((one.revision_id, one.request.fingerprint(), one.fidelity_retries))
        if job is not None and not one.forced:
            found[place] = job
    return found


def lock_revisions(session: Session, revision_ids: set[int]) -> None:
    """Let submits for the same revisions pass one after the other, where the database would else find that
    two of them wait for each other's rows. (SQLite has one writer anyway.)"""
    if session.get_bind().dialect.name == "postgresql":
        wanted = sorted({revision_id % LOCKS for revision_id in revision_ids})
        session.execute(_LOCKS, {"keys": [LOCK_SPACE + number for number in wanted]})


@dataclass(slots=True)
class _Plan:
    """The rows to insert, and for each submission its answer, or the row that will be its answer."""

    rows: list[Row] = field(default_factory=list)
    answers: dict[int, Submitted] = field(default_factory=dict)
    places: dict[int, int] = field(default_factory=dict)


def _plan(session: Session, submissions: Sequence[Submission], requester: str) -> _Plan:
    known, plan = _known_jobs(session, submissions), _Plan()
    row_of: dict[Key, int] = {}
    for place, submission in enumerate(submissions):
        key = (submission.revision_id, submission.request.fingerprint(), submission.fidelity_retries)
        if not submission.forced and key in known:
            plan.answers[place] = known[key]
        elif not submission.forced and key in row_of:
            plan.places[place] = row_of[key]
        else:
            plan.places[place] = row_of[key] = len(plan.rows)
            plan.rows.append(_row(submission, requester, key[1]))
    turns = take_turns(session, requester, Counter(row["priority"] for row in plan.rows))
    for row in plan.rows:
        row["turn"] = next(turns[row["priority"]])
    return plan


def _row(submission: Submission, requester: str, fingerprint: str) -> Row:
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
        "total_steps": request.sampling.num_inference_steps,
        "max_attempts": submission.max_attempts,
        "fidelity_policy": submission.fidelity_policy.value,
        "fidelity_retries": submission.fidelity_retries,
        "batch_id": submission.batch_id,
    }


def _insert(session: Session, rows: list[Row]) -> list[int]:
    if not rows:
        return []
    statement = insert(RenderJob).returning(RenderJob.id, sort_by_parameter_order=True)
    return list(session.scalars(statement, rows))


def known_jobs_query(revision_ids: set[int], fingerprints: set[str]) -> Select[int, int, str, int, str]:
    """The production query for jobs of these pictures that wait, run or succeeded, the newest last."""
    return (
        select(
            RenderJob.id,
            RenderJob.revision_id,
            RenderJob.fingerprint,
            RenderJob.fidelity_retries,
            RenderJob.state,
        )
        .where(
            RenderJob.revision_id.in_(revision_ids),
            RenderJob.fingerprint.in_(fingerprints),
            RenderJob.state.in_((JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED)),
        )
        .order_by(RenderJob.id)
    )


def _known_jobs(session: Session, submissions: Sequence[Submission]) -> dict[Key, Submitted]:
    """The newest job of each asked key that waits, runs or succeeded."""
    wanted = [s for s in submissions if not s.forced]
    known: dict[Key, Submitted] = {}
    for at in range(0, len(wanted), ASKED_AT_ONCE):
        some = wanted[at : at + ASKED_AT_ONCE]
        query = known_jobs_query({s.revision_id for s in some}, {s.request.fingerprint() for s in some})
        for job_id, revision_id, fingerprint, retries, state in session.execute(query):
            how: How = "reused" if state == JobState.SUCCEEDED else "joined"
            key = (revision_id, fingerprint, retries)
            if key not in known or known[key].job_id < job_id:
                known[key] = Submitted(job_id, how)
    return known
