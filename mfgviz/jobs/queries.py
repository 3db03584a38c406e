"""Reading jobs: one, many, and why one is waiting."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Select, and_, func, literal_column, select, text, tuple_, union_all
from sqlalchemy.orm import Session, joinedload, selectinload

from mfgviz.errors import JobNotFoundError
from mfgviz.records import PartRevision, RenderJob, Worker, any_of, utcnow
from mfgviz.vocabulary import FINAL_STATES, QUEUE_GPU, JobState

WORKER_SILENCE_S = 60.0
SHOWN_AHEAD = 5
# So many are counted; what is more is estimated, or said to be more.
COUNTED_AHEAD, COUNTED_FINAL = 2_500, 10_000
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
    """Why a job is where it is. `position` is 1 for the next to be served, None if it does not wait; above
    COUNTED_AHEAD it is that place at least."""

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
    whole = joinedload(RenderJob.revision).joinedload(PartRevision.part)
    return list(session.scalars(jobs_query(wanted).options(whole)))


def jobs_query(wanted: JobFilter) -> Select[RenderJob]:
    """The production query of a page of jobs."""
    ids = select(RenderJob.id).order_by(RenderJob.id.desc()).limit(wanted.limit)
    for column, value in (
        (RenderJob.state, wanted.state),
        (RenderJob.revision_id, wanted.revision_id),
        (RenderJob.requester, wanted.requester),
    ):
        if value is not None:
            ids = ids.where(column == value)
    if wanted.before is not None:
        ids = ids.where(RenderJob.id < wanted.before)
    if wanted.requester is not None and wanted.state is None and wanted.revision_id is None:
        ids = any_of(ids.where(RenderJob.state == state) for state in JobState)
    return select(RenderJob).where(RenderJob.id.in_(ids)).order_by(RenderJob.id.desc()).limit(wanted.limit)


def state_counts(session: Session) -> dict[str, int]:
    """How many jobs there are in each state. On PostgreSQL, final states with more than COUNTED_FINAL jobs
    are estimated, for the past grows without end."""
    estimates: dict[str, int] = {}
    if session.get_bind().dialect.name == "postgresql":
        estimates = {row.state: int(row.jobs) for row in session.execute(_ESTIMATES)}
    counts = {}
    for state in JobState:
        jobs = select(RenderJob.id).where(RenderJob.state == state)
        is_estimated = state in FINAL_STATES and estimates.get(state, 0) > COUNTED_FINAL
        if is_estimated:
            jobs = jobs.limit(COUNTED_FINAL)
        count = session.scalar(select(func.count()).select_from(jobs.subquery())) or 0
        counts[state.value] = (
            max(count, estimates[state]) if count == COUNTED_FINAL and is_estimated else count
        )
    return counts


# From the statistics that the planner has of the table, as its last ANALYZE left them.
_ESTIMATES = text("""
SELECT word AS state, frequency * reltuples AS jobs
FROM pg_stats, pg_class,
     unnest(most_common_vals::text::text[], most_common_freqs) AS common (word, frequency)
WHERE pg_class.oid = 'render_jobs'::regclass AND attname = 'state'
  AND schemaname = relnamespace::regnamespace::text AND tablename = relname
""")


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
    return why_of(session, get(session, job_id))


def why_of(session: Session, job: RenderJob) -> WaitReport:
    """The same of a job as `get` answers it."""
    job_id, state = job.id, JobState(job.state)
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
    ahead = session.scalar(ahead_query(job.priority, job.turn, job.id)) or 0
    front = (
        select(RenderJob.id)
        .where(IS_READY, RenderJob.available_at <= utcnow())
        .order_by(RenderJob.priority.desc(), RenderJob.turn, RenderJob.id)
        .limit(min(ahead, SHOWN_AHEAD))
    )
    first = tuple(session.scalars(front))
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
    return (session.scalar(ahead_query(at.priority, at.turn, job_id)) or 0) + 1


def ahead_query(priority: int, turn: int, job_id: int) -> Select[int]:
    """The production query for how many jobs are served before that place, COUNTED_AHEAD at most: two ranges
    of the index that holds the order of service, each read in that order and no further."""

    def waiting(before: ColumnElement[bool]) -> Select[int]:
        ids = select(RenderJob.id).where(IS_READY, RenderJob.available_at <= utcnow(), before)
        ids = ids.order_by(RenderJob.priority.desc(), RenderJob.turn, RenderJob.id).limit(COUNTED_AHEAD)
        return select(ids.subquery().c.id)

    same = and_(RenderJob.priority == priority, tuple_(RenderJob.turn, RenderJob.id) < (turn, job_id))
    both = union_all(waiting(RenderJob.priority > priority), waiting(same)).subquery()
    return select(func.count()).select_from(select(both).limit(COUNTED_AHEAD).subquery())


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
        most = f"{COUNTED_AHEAD:,} or more" if ahead >= COUNTED_AHEAD else f"{ahead}"
        first = "1 job is" if ahead == 1 else f"{most} jobs are"
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
