"""Reading jobs: one, many, and why one is waiting."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, and_, func, literal_column, or_, select
from sqlalchemy.orm import Session, joinedload, selectinload

from mfgviz.errors import JobNotFoundError
from mfgviz.records import PartRevision, RenderJob, Worker, utcnow
from mfgviz.vocabulary import QUEUE_GPU, JobState

WORKER_SILENCE_S = 60.0
SHOWN_AHEAD = 5
# SQLite binds 32,766 values to a statement at most.
IDS_AT_ONCE = 10_000


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs to list; newest first, before that id."""

    state: JobState | None = None
    revision_id: int | None = None
    requester: str | None = None
    before: int | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class WaitReport:
    """Why a job is where it is. `position` is 1 for the next to be served, None if it does not wait."""

    job_id: int
    state: JobState
    position: int | None
    ahead: tuple[int, ...]
    running: tuple[int, ...]
    not_before: datetime | None
    workers: tuple[str, ...]
    told: str


# In literals, so that the planner can prove the partial indexes over them.
IS_READY = and_(RenderJob.state == literal_column("'queued'"), ~RenderJob.held)
IS_UNFINISHED = RenderJob.state.in_((literal_column("'queued'"), literal_column("'running'")))


def get(session: Session, job_id: int) -> RenderJob:
    """The job, its revision and part loaded. Raises JobNotFoundError."""
    query = (
        select(RenderJob)
        .where(RenderJob.id == job_id)
        .options(
            joinedload(RenderJob.revision).joinedload(PartRevision.part),
            selectinload(RenderJob.attempts),
            selectinload(RenderJob.renditions),
        )
        .execution_options(populate_existing=True)
    )
    job = session.scalar(query)
    if job is None:
        raise JobNotFoundError(f"There is no job {job_id}.")
    return job


def list_jobs(session: Session, wanted: JobFilter) -> list[RenderJob]:
    """Jobs that fit the filter, newest first."""
    query = select(RenderJob).order_by(RenderJob.id.desc()).limit(wanted.limit)
    query = query.options(joinedload(RenderJob.revision).joinedload(PartRevision.part))
    for column, value in (
        (RenderJob.state, wanted.state),
        (RenderJob.revision_id, wanted.revision_id),
        (RenderJob.requester, wanted.requester),
    ):
        if value is not None:
            query = query.where(column == value)
    if wanted.before is not None:
        query = query.where(RenderJob.id < wanted.before)
    return list(session.scalars(query))


def state_counts(session: Session) -> dict[str, int]:
    """How many jobs there are in each state."""
    rows = session.execute(select(RenderJob.state, func.count()).group_by(RenderJob.state))
    found = {state: count for state, count in rows}  # noqa: C416 - a Result is no mapping
    return {state.value: found.get(state.value, 0) for state in JobState}


def live_workers(session: Session, queue: str = QUEUE_GPU) -> list[Worker]:
    """Workers of that queue that reported themselves within the last minute."""
    query = select(Worker).where(Worker.seen_at > utcnow(-WORKER_SILENCE_S)).order_by(Worker.name)
    return [worker for worker in session.scalars(query) if queue in worker.queues.split(",")]


def host_of(worker: str) -> str:
    """The host in a worker's name."""
    return worker.partition(":")[0]


def has_other_hosts(session: Session, host: str, queue: str = QUEUE_GPU) -> bool:
    """Whether a worker of that queue lives on another host."""
    return any(host_of(worker.name) != host for worker in live_workers(session, queue))


def why(session: Session, job_id: int) -> WaitReport:
    """Why the job waits, or what became of it. Raises JobNotFoundError."""
    job = get(session, job_id)
    state = JobState(job.state)
    workers = tuple(worker.name for worker in live_workers(session))
    running = tuple(
        session.scalars(
            select(RenderJob.id)
            .where(RenderJob.state == literal_column("'running'"))
            .order_by(RenderJob.id)
            .limit(20)
        )
    )
    if state is not JobState.QUEUED:
        return WaitReport(job_id, state, None, (), running, None, workers, _told_of(job))
    if job.held:
        return WaitReport(job_id, state, None, (), running, None, workers, _told_of_held(job))
    waiting = _waiting_before(job.priority, job.turn, job.id)
    ahead = session.scalar(select(func.count()).where(waiting)) or 0
    order = (RenderJob.priority.desc(), RenderJob.turn, RenderJob.id)
    first = tuple(session.scalars(select(RenderJob.id).where(waiting).order_by(*order).limit(SHOWN_AHEAD)))
    now = session.scalar(select(utcnow()))
    not_before = job.available_at if now is not None and job.available_at > now else None
    told = _told_of_waiting(job, ahead, not_before, workers)
    return WaitReport(job_id, state, ahead + 1, first, running, not_before, workers, told)


def position_of(session: Session, job_id: int) -> int | None:
    """1 for the next to be served; None for a job that does not wait, is held, or is not there."""
    at = session.execute(
        select(RenderJob.priority, RenderJob.turn).where(RenderJob.id == job_id, IS_READY)
    ).one_or_none()
    if at is None:
        return None
    waiting = _waiting_before(at.priority, at.turn, job_id)
    return (session.scalar(select(func.count()).where(waiting)) or 0) + 1


def _waiting_before(priority: int, turn: int, job_id: int) -> ColumnElement[bool]:
    """The jobs that are served before that place."""
    before = or_(
        RenderJob.priority > priority,
        and_(RenderJob.priority == priority, RenderJob.turn < turn),
        and_(RenderJob.priority == priority, RenderJob.turn == turn, RenderJob.id < job_id),
    )
    return and_(IS_READY, RenderJob.available_at <= utcnow(), before)


def _told_of_waiting(
    job: RenderJob, ahead: int, not_before: datetime | None, workers: tuple[str, ...]
) -> str:
    if not workers:
        return "No worker has reported itself within the last minute. Run `mfgviz up`, or start a worker."
    if not_before is not None:
        cause = f" after: {job.error_message}" if job.error_message else ""
        return f"It is tried again at {not_before:%H:%M:%S} UTC{cause}"
    if job.avoid_host and any(host_of(worker) != job.avoid_host for worker in workers):
        return f"It went wrong on {job.avoid_host}: other hosts are asked first."
    if ahead:
        first = "1 job is" if ahead == 1 else f"{ahead} jobs are"
        return f"{first} served first; {len(workers)} worker(s) could take it."
    return f"It is the next to be served; {len(workers)} worker(s) could take it."


def _told_of_held(job: RenderJob) -> str:
    return f"Its batch is paused; `mfgviz batches resume {job.batch_id}` lets it go on."


def _told_of(job: RenderJob) -> str:
    if job.state == JobState.RUNNING:
        worker = job.attempts[-1].worker if job.attempts else "a worker"
        stopping = " It was asked to stop." if job.cancel_requested else ""
        return f"{worker} is at step {job.step} of {job.total_steps}.{stopping}"
    if job.state == JobState.FAILED:
        return f"It failed after {job.attempts_made} attempt(s): {job.error_message}"
    return f"It has {job.state}." if job.state == JobState.SUCCEEDED else "It was cancelled."
