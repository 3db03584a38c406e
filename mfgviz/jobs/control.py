"""What people and the clock do with jobs: cancel, retry, and sweep up after lost messages and workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from sqlalchemy import Row, Select, case, func, literal_column, or_, select, update
from sqlalchemy.orm import Session

from mfgviz.database import Database
from mfgviz.errors import (
    BrokerUnavailableError,
    IllegalMoveError,
    JobCrashesWorkersError,
    WorkerLostError,
)
from mfgviz.jobs.queries import IS_READY, get, host_of
from mfgviz.jobs.turns import take_turns
from mfgviz.journal import audit, emit
from mfgviz.queue import TASK_RENDER, Doorbell
from mfgviz.records import Attempt, RenderJob, utcnow
from mfgviz.vocabulary import QUEUE_GPU, AttemptOutcome, EventKind, JobState

# Of a running job whose worker is not there any more: id, lease token, whether it may be tried again, whether
# it was cancelled, whether it ran beside others, crashes so far, the host of the last.
LostQuery: TypeAlias = Select[int, str | None, bool, bool, bool, int, str | None]
LostRow: TypeAlias = Row[int, str | None, bool, bool, bool, int, str | None]
SWEEP_LIMIT = 500
# Enough messages to wake every idle worker; each worker rings on for the rest.
RING_AT_MOST = 64


@dataclass(frozen=True, slots=True)
class SweepReport:
    """What a sweep did: jobs taken from dead workers, those of them given up, and messages sent."""

    requeued: int
    given_up: int
    rung: int


@dataclass(frozen=True, slots=True)
class LostEnd:
    """What becomes of a job that was lost with a worker of that host; `crashes` tells of those it is blamed
    for."""

    state: JobState
    host: str
    crashes: str = ""


def cancel(session: Session, job_id: int, actor: str) -> JobState:
    """Cancel a job: at once if it waits, within one sampling step if it runs; the state it is in now.

    Raises:
        JobNotFoundError: there is no such job.
        IllegalMoveError: it has succeeded or failed.
    """
    cancelled = session.scalar(
        update(RenderJob)
        .where(RenderJob.id == job_id, RenderJob.state == JobState.QUEUED)
        .values(state=JobState.CANCELLED, cancel_requested=True, finished_at=utcnow())
        .returning(RenderJob.id)
        .execution_options(synchronize_session=False)
    )
    if cancelled is None:
        session.execute(
            update(RenderJob)
            .where(RenderJob.id == job_id, RenderJob.state == JobState.RUNNING)
            .values(cancel_requested=True)
            .execution_options(synchronize_session=False)
        )
    job = get(session, job_id)
    if job.state in (JobState.SUCCEEDED, JobState.FAILED):
        raise IllegalMoveError(f"Job {job_id} has {job.state} already; there is nothing to cancel.")
    audit(session, actor, "job.cancelled", f"job {job_id}")
    return JobState(job.state)


def retry(session: Session, job_id: int, actor: str, attempts: int = 3) -> None:
    """Queue a failed or cancelled job again, with that many new attempts.

    Raises:
        JobNotFoundError: there is no such job.
        IllegalMoveError: it waits, runs or has succeeded, or the same request waits already.
    """
    job = get(session, job_id)
    if job.state not in (JobState.FAILED, JobState.CANCELLED):
        raise IllegalMoveError(f"Job {job_id} is {job.state}; only failed and cancelled jobs are retried.")
    twin = session.scalar(
        select(RenderJob.id).where(
            RenderJob.revision_id == job.revision_id,
            RenderJob.fingerprint == job.fingerprint,
            RenderJob.fidelity_retries == job.fidelity_retries,
            RenderJob.state.in_((JobState.QUEUED, JobState.RUNNING)),
        )
    )
    if twin is not None and not job.forced:
        raise IllegalMoveError(f"Job {twin} asks for the same picture and is not finished.")
    # A turn of its own time: an old one would draw the turns of newcomers back to it.
    (turn,) = take_turns(session, job.requester, {job.priority: 1})[job.priority]
    queued = session.scalar(
        update(RenderJob)
        .where(RenderJob.id == job_id, RenderJob.state == job.state)
        .values(
            crashes=0,
            avoid_host=None,
            turn=turn,
            state=JobState.QUEUED,
            cancel_requested=False,
            finished_at=None,
            rung_at=None,
            step=0,
            available_at=utcnow(),
            max_attempts=RenderJob.attempts_made + attempts,
        )
        .returning(RenderJob.id)
        .execution_options(synchronize_session=False)
    )
    if queued is None:
        raise IllegalMoveError(f"Job {job_id} was retried by somebody else just now.")
    audit(session, actor, "job.retried", f"job {job_id}")


def close_attempts(session: Session, attempt_ids: Collection[int]) -> int:
    """End attempts that are open though their jobs do not run under their leases; how many there were."""
    holds = (
        select(RenderJob.id)
        .where(
            RenderJob.id == Attempt.job_id,
            RenderJob.state == JobState.RUNNING,
            RenderJob.lease_token == Attempt.lease_token,
        )
        .exists()
    )
    closed = session.scalars(
        update(Attempt)
        .where(Attempt.id.in_(attempt_ids), Attempt.outcome == AttemptOutcome.RUNNING, ~holds)
        .values(
            outcome=AttemptOutcome.LOST,
            finished_at=utcnow(),
            error_code="worker-lost",
            error_message="It was left open.",
        )
        .returning(Attempt.id)
        .execution_options(synchronize_session=False)
    )
    return len(closed.all())


def sweep(db: Database, doorbell: Doorbell | None, gone: Sequence[str] = ()) -> SweepReport:
    """Take jobs from workers that died, and ring for jobs whose messages may be lost.

    Leases of the workers named by `gone`, which are known to be dead, are not waited for.
    Safe to run anywhere, any number of times, at the same time.
    """
    with db.begin() as session:
        requeued, given_up = _take_back(session, gone)
    return SweepReport(requeued, given_up, _ring_again(db, doorbell) if doorbell else 0)


def overdue_query() -> LostQuery:
    """The production query for jobs whose lease has run out, the longest first."""
    return (
        _running_query()
        .where(RenderJob.lease_until < utcnow())
        .order_by(RenderJob.lease_until)
        .limit(SWEEP_LIMIT)
    )


def orphans_query(gone: Sequence[str]) -> LostQuery:
    """The production query for jobs of workers that are known to be dead, whatever their leases say."""
    theirs = select(Attempt.id).where(
        Attempt.job_id == RenderJob.id,
        Attempt.lease_token == RenderJob.lease_token,
        Attempt.worker.in_(gone),
    )
    return _running_query().where(theirs.exists()).limit(SWEEP_LIMIT)


def _running_query() -> LostQuery:
    return (
        select(
            RenderJob.id,
            RenderJob.lease_token,
            (RenderJob.attempts_made < RenderJob.max_attempts).label("attempts_left"),
            RenderJob.cancel_requested,
            RenderJob.shares_lease,
            RenderJob.crashes,
            RenderJob.avoid_host,
        )
        .where(RenderJob.state == literal_column("'running'"))
        .with_for_update(skip_locked=True)
    )


def _take_back(session: Session, gone: Sequence[str]) -> tuple[int, int]:
    """How many were queued again, and how many given up."""
    queries = [overdue_query(), *([orphans_query(gone)] if gone else [])]
    lost = {row.id: row for query in queries for row in session.execute(query)}
    if not lost:
        return 0, 0
    hosts = _close_lost(session, lost)
    alike: dict[LostEnd, list[int]] = {}
    for job in lost.values():
        alike.setdefault(_end_of(job, hosts.get(job.id, "")), []).append(job.id)
    counts: Counter[JobState] = Counter()
    for end, ids in alike.items():
        _end_lost(session, end, ids)
        counts[end.state] += len(ids)
    return counts[JobState.QUEUED], counts[JobState.FAILED]


def _close_lost(session: Session, ids: Collection[int]) -> dict[int, str]:
    """End the attempts of jobs that were lost; the hosts that they were on."""
    cause = WorkerLostError()
    closed = session.execute(
        update(Attempt)
        .where(
            Attempt.job_id == RenderJob.id,
            Attempt.lease_token == RenderJob.lease_token,
            RenderJob.id.in_(ids),
        )
        .values(
            outcome=AttemptOutcome.LOST,
            finished_at=utcnow(),
            error_code=cause.code,
            error_message=cause.message,
        )
        .returning(Attempt.job_id, Attempt.worker)
        .execution_options(synchronize_session=False)
    )
    return {row.job_id: host_of(row.worker) for row in closed}


def _end_of(job: LostRow, host: str) -> LostEnd:
    """Queue it again, to be run alone and on another host first; or give it up, where it is to blame."""
    if job.cancel_requested:
        return LostEnd(JobState.CANCELLED, host)
    repeated = job.crashes > 0 and not job.shares_lease
    if job.shares_lease or (job.attempts_left and not (repeated and job.avoid_host != host)):
        return LostEnd(JobState.QUEUED, host)
    if not repeated:
        return LostEnd(JobState.FAILED, host)
    hosts = " and ".join(sorted({host, job.avoid_host or host}))
    return LostEnd(
        JobState.FAILED, host, f"Workers died {job.crashes + 1} times when they ran it, on {hosts}."
    )


def _end_lost(session: Session, end: LostEnd, ids: Collection[int]) -> None:
    """Move lost jobs that end alike.

    Who is lost in a batch is not counted an attempt: one of its neighbours may have crashed the worker.
    """
    cause = JobCrashesWorkersError(end.crashes) if end.crashes else WorkerLostError()
    moved: dict[str, Any] = {"finished_at": utcnow()}
    if end.state is JobState.QUEUED:
        moved = {"step": 0, "rung_at": None, "available_at": utcnow()}
        moved["attempts_made"] = RenderJob.attempts_made - case((RenderJob.shares_lease, 1), else_=0)
    ended = session.execute(
        update(RenderJob)
        .where(RenderJob.id.in_(ids), RenderJob.state == JobState.RUNNING)
        .values(
            state=end.state,
            lease_token=None,
            lease_until=None,
            crashes=RenderJob.crashes + 1,
            avoid_host=end.host,
            error_code=cause.code,
            error_message=f"{cause.message} {cause.remedy}".strip(),
            **moved,
        )
        .returning(RenderJob.id, RenderJob.requester, RenderJob.revision_id)
        .execution_options(synchronize_session=False)
    ).all()
    if end.state is JobState.FAILED:
        for job in ended:
            told = {"job": job.id, "code": cause.code}
            emit(session, EventKind.JOB_FAILED, job.requester, told, job.revision_id)


def _ring_again(db: Database, doorbell: Doorbell) -> int:
    """Bring the number of waiting messages up to the number of waiting jobs, or to RING_AT_MOST."""
    with db.read() as session:
        waiting = session.scalars(
            select(RenderJob.id)
            .where(IS_READY, RenderJob.available_at <= utcnow())
            .order_by(RenderJob.priority.desc(), RenderJob.turn, RenderJob.id)
            .limit(RING_AT_MOST)
        ).all()
    if not waiting:
        return 0
    try:
        missing = len(waiting) - doorbell.waiting(QUEUE_GPU)
    except BrokerUnavailableError:
        return 0
    ids = list(waiting[: max(0, missing)])
    if not ids or not doorbell.ring(TASK_RENDER, ids):
        return 0
    with db.begin() as session:
        session.execute(
            update(RenderJob)
            .where(
                RenderJob.id.in_(ids), or_(RenderJob.rung_at.is_(None), RenderJob.state == JobState.QUEUED)
            )
            .values(rung_at=func.coalesce(RenderJob.rung_at, utcnow()))
            .execution_options(synchronize_session=False)
        )
    return len(ids)
