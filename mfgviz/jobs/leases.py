"""What a worker does with jobs: claim a batch, renew its lease, and end it one way or another.

A claim takes the first jobs in the order of service (priority, turn, id) that fit into one batch.
Rows that another claimer is looking at are skipped, not waited for, so claimers never queue behind
one another.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, TypeAlias

from sqlalchemy import (
    ColumnElement,
    Insert,
    Row,
    Select,
    and_,
    func,
    insert,
    literal,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Session

from mfgviz import reviews
from mfgviz.database import Database
from mfgviz.errors import (
    IllegalMoveError,
    InvalidInputError,
    LeaseLostError,
    MfgvizError,
    OutOfMemoryError,
)
from mfgviz.jobs.queries import IS_READY, has_other_hosts, host_of
from mfgviz.journal import emit
from mfgviz.records import Attempt, RenderJob, Rendition, utcnow
from mfgviz.requests import RenderRequest
from mfgviz.vocabulary import JOB_MOVES, AttemptOutcome, EventKind, FidelityPolicy, FidelityVerdict, JobState

# What a claim looks at of a waiting job: id, priority, model, batch key, images, crashes, available_at, now.
WaitingQuery: TypeAlias = Select[int, int, str, str, int, int, datetime, datetime]
WaitingRow: TypeAlias = Row[int, int, str, str, int, int, datetime, datetime]

# How far a claim looks past the first job: for batch mates, and for the model it has loaded.
CLAIM_WINDOW = 32
# A job that has waited this long is served next, whatever model is loaded.
AFFINITY_PATIENCE_S = 30.0
# A job that other hosts should try first is left to them for this long.
AVOID_PATIENCE_S = 60.0
# So soon after a service is back, jobs that waited for it are tried again.
PUT_OFF_MOST_S = 60.0


@dataclass(frozen=True, slots=True)
class Claimant:
    """Who claims, and what suits them. With `avoiding`, the claimant's host, jobs that went wrong there are
    left to others for a while: set it where there are others."""

    worker: str
    max_images: int = 4
    loaded_model: str | None = None
    lease_s: float = 60.0
    avoiding: str | None = None


@dataclass(frozen=True, slots=True)
class ClaimedJob:
    """One job of a claim, with all that is needed to render it."""

    id: int
    revision_id: int
    attempt: int
    request: RenderRequest
    requester: str = ""
    fidelity_policy: FidelityPolicy = FidelityPolicy.MARK
    fidelity_retries: int = 0


@dataclass(frozen=True, slots=True)
class Claim:
    """A batch of compatible jobs under one lease token."""

    token: str
    lease_s: float
    jobs: tuple[ClaimedJob, ...]
    host: str = ""


@dataclass(frozen=True, slots=True)
class HeartbeatReply:
    """What became of the claim's jobs meanwhile: whom to stop for, and what is not ours any more."""

    held: frozenset[int]
    cancel_requested: frozenset[int]


@dataclass(frozen=True, slots=True)
class NewRendition:
    """An image that is stored and waits to be attached."""

    index: int
    seed: int
    size_px: tuple[int, int]
    blob_digest: str
    thumbnail_digest: str
    pixel_digest: str
    software: dict[str, Any] = field(default_factory=dict)
    fidelity: float | None = None
    fidelity_verdict: FidelityVerdict = FidelityVerdict.NOT_JUDGED
    fidelity_details: dict[str, Any] | None = None
    control_scale: float | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why an attempt failed, and whether it may be tried again, after how long; `elsewhere`: once, on
    another host, where there is one."""

    code: str
    message: str
    retryable: bool
    delay_s: float = 0.0
    elsewhere: bool = False

    @classmethod
    def of(cls, error: MfgvizError, delay_s: float) -> Failure:
        """The failure that an error of ours stands for."""
        message = f"{error.message} {error.remedy}".strip()
        return cls(error.code, message, error.retryable, delay_s, isinstance(error, OutOfMemoryError))


def claim_window(size: int = CLAIM_WINDOW, avoiding: str | None = None) -> WaitingQuery:
    """The production query of a claim: the front of the queue, row locks taken, locked rows skipped.

    The state is a literal, so that the planner can prove the partial index
    `ix_render_jobs_ready` from a prepared statement too; that index is already in the order asked
    for, so PostgreSQL reads `size` rows of it and sorts nothing. The requests themselves, which are
    long, are read for the chosen jobs alone. Jobs that avoid the host are few: each has crashed there.
    """
    suits = (
        literal_column("true")
        if avoiding is None
        else or_(
            RenderJob.avoid_host.is_(None),
            RenderJob.avoid_host != avoiding,
            RenderJob.available_at <= utcnow(-AVOID_PATIENCE_S),
        )
    )
    return (
        select(
            RenderJob.id,
            RenderJob.priority,
            RenderJob.model_name,
            RenderJob.batch_key,
            RenderJob.images,
            RenderJob.crashes,
            RenderJob.available_at,
            utcnow().label("now"),
        )
        .where(IS_READY, RenderJob.available_at <= utcnow(), suits)
        .order_by(RenderJob.priority.desc(), RenderJob.turn, RenderJob.id)
        .limit(size)
        .with_for_update(skip_locked=True)
    )


def claim(db: Database, claimant: Claimant) -> Claim | None:
    """Take the next batch, or None where nothing waits."""
    while True:
        taken = _take(db, claimant)
        if taken is None or taken.jobs:
            return taken


def _take(db: Database, claimant: Claimant) -> Claim | None:
    """One batch; without a job where none of its requests could be read."""
    with db.begin() as session:
        waiting = session.execute(claim_window(avoiding=claimant.avoiding)).all()
        if not waiting:
            return None
        batch = _choose(waiting, claimant)
        token = secrets.token_hex(16)
        _move(JobState.QUEUED, JobState.RUNNING)
        taken = session.execute(
            update(RenderJob)
            .where(RenderJob.id.in_(batch), RenderJob.state == JobState.QUEUED)
            .values(
                state=JobState.RUNNING,
                lease_token=token,
                lease_until=utcnow(claimant.lease_s),
                attempts_made=RenderJob.attempts_made + 1,
                shares_lease=len(batch) > 1,
                step=0,
                started_at=utcnow(),
                error_code=None,
                error_message=None,
            )
            .returning(
                RenderJob.id,
                RenderJob.revision_id,
                RenderJob.attempts_made,
                RenderJob.request,
                RenderJob.requester,
                RenderJob.fidelity_policy,
                RenderJob.fidelity_retries,
            )
            .execution_options(synchronize_session=False)
        )
        rows = sorted(taken, key=lambda row: batch.index(row.id))
        session.execute(_open_attempts(token, claimant.worker))
        claimed = Claim(token, claimant.lease_s, (), host_of(claimant.worker))
        jobs = tuple(job for row in rows if (job := _read(session, claimed, row)) is not None)
    return replace(claimed, jobs=jobs)


def _read(
    session: Session, claim: Claim, row: Row[int, int, int, dict[str, Any], str, str, int]
) -> ClaimedJob | None:
    """The claimed job of a row; one whose request another version wrote ends here, or it would be claimed
    for ever and nothing behind it."""
    try:
        request = RenderRequest.from_json(row.request)
    except InvalidInputError as error:
        failure = Failure.of(error, 0.0)
        _end(session, claim, row.id, JobState.FAILED, AttemptOutcome.FAILED, failure)
        told = {"job": row.id, "code": failure.code}
        emit(session, EventKind.JOB_FAILED, row.requester, told, row.revision_id)
        return None
    return ClaimedJob(
        row.id,
        row.revision_id,
        row.attempts_made,
        request,
        row.requester,
        FidelityPolicy(row.fidelity_policy),
        row.fidelity_retries,
    )


def _open_attempts(token: str, worker: str) -> Insert:
    """One more attempt for each job under the token. Handed-back attempts have numbers too."""
    last = select(func.max(Attempt.number)).where(Attempt.job_id == RenderJob.id).scalar_subquery()
    rows = select(
        RenderJob.id,
        func.coalesce(last, 0) + 1,
        literal(worker),
        literal(token),
        literal(AttemptOutcome.RUNNING.value),
    ).where(RenderJob.lease_token == token)
    return insert(Attempt).from_select(["job_id", "number", "worker", "lease_token", "outcome"], rows)


def has_work(db: Database) -> bool:
    """Whether a claim would find something now."""
    with db.read() as session:
        query = (
            select(RenderJob.id)
            .where(IS_READY, RenderJob.available_at <= utcnow())
            .order_by(RenderJob.priority.desc(), RenderJob.turn, RenderJob.id)
            .limit(1)
        )
        return session.scalar(query) is not None


def heartbeat(db: Database, claim: Claim, step: int, total_steps: int) -> HeartbeatReply:
    """Renew the lease on all jobs of the claim and note their progress."""
    with db.begin() as session:
        rows = session.execute(
            update(RenderJob)
            .where(_held(claim))
            .values(lease_until=utcnow(claim.lease_s), step=step, total_steps=total_steps)
            .returning(RenderJob.id, RenderJob.cancel_requested)
            .execution_options(synchronize_session=False)
        ).all()
    return _reply(rows)


def look(db: Database, claim: Claim) -> HeartbeatReply:
    """What a heartbeat would answer, without renewing the lease: it writes nothing."""
    with db.read() as session:
        return _reply(session.execute(select(RenderJob.id, RenderJob.cancel_requested).where(_held(claim))))


def _reply(rows: Iterable[Row[int, bool]]) -> HeartbeatReply:
    cancelled = {row.id: row.cancel_requested for row in rows}
    return HeartbeatReply(
        held=frozenset(cancelled),
        cancel_requested=frozenset(job_id for job_id, is_cancelled in cancelled.items() if is_cancelled),
    )


def complete(
    db: Database, claim: Claim, job_id: int, renditions: Sequence[NewRendition], notes: Sequence[str] = ()
) -> list[int]:
    """Attach the images and end the job, in one transaction; the ids of the renditions.

    `notes` are what people should know of the pictures, such as a prompt that was cut.

    Raises:
        LeaseLostError: the job is not this claim's any more; nothing is attached.
    """
    with db.begin() as session:
        revision_id, requester = _end(session, claim, job_id, JobState.SUCCEEDED, AttemptOutcome.SUCCEEDED)
        session.execute(update(RenderJob).where(RenderJob.id == job_id).values(notes=list(notes)))
        rows = [
            Rendition(
                revision_id=revision_id,
                job_id=job_id,
                index=new.index,
                seed=new.seed,
                width=new.size_px[0],
                height=new.size_px[1],
                blob_digest=new.blob_digest,
                thumbnail_digest=new.thumbnail_digest,
                pixel_digest=new.pixel_digest,
                software=new.software,
                fidelity=new.fidelity,
                fidelity_verdict=new.fidelity_verdict,
                fidelity_details=new.fidelity_details,
                control_scale=new.control_scale,
            )
            for new in sorted(renditions, key=lambda one: one.index)
        ]
        shown = next(job.request.geometry_digest for job in claim.jobs if job.id == job_id)
        return reviews.attach(session, rows, shown, requester, {"job": job_id})


def fail(db: Database, claim: Claim, job_id: int, failure: Failure) -> JobState:
    """End the attempt: queue the job again where that may help, else dead-letter it with its cause.

    Raises:
        LeaseLostError: the job is not this claim's any more.
    """
    with db.begin() as session:
        job = session.scalar(select(RenderJob).where(RenderJob.id == job_id, _held(claim)).with_for_update())
        if job is None:
            raise LeaseLostError(f"Job {job_id} is not held by this worker any more.")
        left = job.attempts_made < job.max_attempts and not job.cancel_requested
        if failure.elsewhere and left and not job.avoid_host and has_other_hosts(session, claim.host):
            state = _requeue(session, claim, job_id, AttemptOutcome.FAILED, failure, avoid_host=claim.host)
        elif failure.retryable and left:
            delay_s = failure.delay_s * 2 ** (job.attempts_made - 1)
            state = _requeue(session, claim, job_id, AttemptOutcome.FAILED, failure, delay_s=delay_s)
        else:
            ended = _end(session, claim, job_id, JobState.FAILED, AttemptOutcome.FAILED, failure)
            told = {"job": job_id, "code": failure.code}
            emit(session, EventKind.JOB_FAILED, ended[1], told, ended[0])
            state = JobState.FAILED
    return state


def confirm_cancel(db: Database, claim: Claim, job_id: int) -> None:
    """The worker has stopped for a cancel. Raises LeaseLostError."""
    with db.begin() as session:
        _end(session, claim, job_id, JobState.CANCELLED, AttemptOutcome.CANCELLED)


def hand_back(db: Database, claim: Claim, job_id: int) -> None:
    """Put the job back where it was, the attempt not counted: the worker stops. Raises LeaseLostError."""
    with db.begin() as session:
        cause = Failure("shutdown", "The worker shut down and handed the job back.", retryable=True)
        _requeue(session, claim, job_id, AttemptOutcome.HANDED_BACK, cause, counted=False)


def put_off(db: Database, claim: Claim, job_id: int, cause: Failure) -> None:
    """Put the job back to wait for a service that is away, each time twice as long up to `PUT_OFF_MOST_S`.
    The attempt is not counted: an outage longer than all attempts would fail the whole queue. A job that was
    cancelled meanwhile is.

    Raises:
        LeaseLostError: the job is not this claim's any more.
    """
    with db.begin() as session:
        job = session.scalar(select(RenderJob).where(RenderJob.id == job_id, _held(claim)).with_for_update())
        if job is None:
            raise LeaseLostError(f"Job {job_id} is not held by this worker any more.")
        if job.cancel_requested:
            _end(session, claim, job_id, JobState.CANCELLED, AttemptOutcome.CANCELLED)
            return
        put_off_before = (
            select(func.count())
            .select_from(Attempt)
            .where(
                Attempt.job_id == job_id,
                Attempt.outcome == AttemptOutcome.HANDED_BACK,
                Attempt.error_code == cause.code,
            )
        )
        times = min(session.scalar(put_off_before) or 0, 16)
        delay_s = min(cause.delay_s * 2**times, PUT_OFF_MOST_S)
        _requeue(session, claim, job_id, AttemptOutcome.HANDED_BACK, cause, delay_s=delay_s, counted=False)


# -- one guarded move each ------------------------------------------------------------------------------
def _choose(waiting: Sequence[WaitingRow], claimant: Claimant) -> list[int]:
    """The first job in order (or the first for the loaded model, among equals), and its batch mates."""
    lead = waiting[0]
    if lead.model_name != claimant.loaded_model:
        waited_s = (lead.now - lead.available_at).total_seconds()
        equals = [job for job in waiting if job.priority == lead.priority]
        suited = next((job for job in equals if job.model_name == claimant.loaded_model), None)
        if suited is not None and waited_s < AFFINITY_PATIENCE_S:
            lead = suited
    batch, images = [lead.id], lead.images
    if lead.crashes:  # whether it is to blame shows when it runs alone, and its neighbours pay for nothing
        return batch
    for job in waiting:
        alike = job is not lead and job.batch_key == lead.batch_key and not job.crashes
        if alike and images + job.images <= claimant.max_images:
            batch.append(job.id)
            images += job.images
    return batch


def _held(claim: Claim) -> ColumnElement[bool]:
    return and_(RenderJob.lease_token == claim.token, RenderJob.state == JobState.RUNNING)


def _move(old: JobState, new: JobState) -> None:
    if new not in JOB_MOVES[old]:
        raise IllegalMoveError(f"A job cannot go from {old} to {new}.")


def _end(
    session: Session,
    claim: Claim,
    job_id: int,
    state: JobState,
    outcome: AttemptOutcome,
    failure: Failure | None = None,
) -> tuple[int, str]:
    """Move a held job to a final state and close its attempt; the id of its revision, and the requester."""
    _move(JobState.RUNNING, state)
    values: dict[str, Any] = {
        "state": state, "lease_token": None, "lease_until": None, "finished_at": utcnow(),
        "error_code": failure and failure.code, "error_message": failure and failure.message[:2000],
    }  # fmt: skip
    if state is JobState.SUCCEEDED:
        values["step"] = RenderJob.total_steps
    ended = session.execute(
        update(RenderJob)
        .where(RenderJob.id == job_id, _held(claim))
        .values(values)
        .returning(RenderJob.revision_id, RenderJob.requester)
        .execution_options(synchronize_session=False)
    ).one_or_none()
    if ended is None:
        raise LeaseLostError(f"Job {job_id} is not held by this worker any more.")
    _close_attempt(session, claim.token, job_id, outcome, failure)
    return ended.revision_id, ended.requester


def _requeue(
    session: Session,
    claim: Claim,
    job_id: int,
    outcome: AttemptOutcome,
    cause: Failure,
    *,
    delay_s: float = 0.0,
    counted: bool = True,
    avoid_host: str | None = None,
) -> JobState:
    _move(JobState.RUNNING, JobState.QUEUED)
    returned = session.scalar(
        update(RenderJob)
        .where(RenderJob.id == job_id, _held(claim))
        .values(
            state=JobState.QUEUED,
            lease_token=None,
            lease_until=None,
            rung_at=None,
            step=0,
            available_at=utcnow(delay_s),
            attempts_made=RenderJob.attempts_made - (0 if counted else 1),
            avoid_host=func.coalesce(avoid_host, RenderJob.avoid_host),
            error_code=cause.code,
            error_message=cause.message[:2000],
        )
        .returning(RenderJob.id)
        .execution_options(synchronize_session=False)
    )
    if returned is None:
        raise LeaseLostError(f"Job {job_id} is not held by this worker any more.")
    _close_attempt(session, claim.token, job_id, outcome, cause)
    return JobState.QUEUED


def _close_attempt(
    session: Session, token: str, job_id: int, outcome: AttemptOutcome, failure: Failure | None
) -> None:
    session.execute(
        update(Attempt)
        .where(Attempt.job_id == job_id, Attempt.lease_token == token)
        .values(
            outcome=outcome,
            finished_at=utcnow(),
            error_code=failure and failure.code,
            error_message=failure and failure.message[:2000],
        )
        .execution_options(synchronize_session=False)
    )
