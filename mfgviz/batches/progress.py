"""Where batches stand: how many pictures are there, when the rest will be, and what they cost."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import Select, and_, case, func, or_, select
from sqlalchemy.orm import Session, aliased

from mfgviz.records import Attempt, Batch, BatchItem, RenderJob, seconds_between, utcnow
from mfgviz.vocabulary import BatchState, JobState


@dataclass(frozen=True, slots=True)
class Progress:
    """Items by where they stand. `linked` ones have the pictures of another revision; those that wait for
    such pictures are queued.

    `jobs` were made for the batch itself. `worker_s` is the time, in seconds, that workers spent on these so
    far; `eta_s` how long the rest takes if it goes on as before, None while nobody can say.
    """

    items: int = 0
    done: int = 0
    linked: int = 0
    running: int = 0
    queued: int = 0
    failed: int = 0
    cancelled: int = 0
    jobs: int = 0
    worker_s: float = 0.0
    eta_s: float | None = None

    @property
    def is_finished(self) -> bool:
        """Whether nothing of it will change by itself."""
        return not self.running and not self.queued


WORDS = {
    JobState.SUCCEEDED: "done",
    JobState.RUNNING: "running",
    JobState.QUEUED: "queued",
    JobState.FAILED: "failed",
    JobState.CANCELLED: "cancelled",
}


def list_batches(
    session: Session, requester: str | None = None, before: int | None = None, limit: int = 50
) -> list[Batch]:
    """Batches, the newest first, before that id."""
    query = select(Batch).order_by(Batch.id.desc()).limit(limit)
    if requester is not None:
        query = query.where(Batch.requester == requester)
    return list(session.scalars(query if before is None else query.where(Batch.id < before)))


def progress_of(session: Session, batch_ids: Collection[int]) -> dict[int, Progress]:
    """Where each batch stands."""
    counts: dict[int, dict[str, int]] = {batch_id: {} for batch_id in batch_ids}
    for batch_id, word, count in session.execute(_items(batch_ids)):
        counts[batch_id][word] = count
    costs = _costs(session, batch_ids)
    paces = _paces(session, batch_ids)
    found: dict[int, Progress] = {}
    for batch_id, words in counts.items():
        made, unfinished, per_job_s = paces.get(batch_id, (0, 0, None))
        found[batch_id] = Progress(
            **words,
            items=sum(words.values()),
            jobs=made,
            worker_s=costs.get(batch_id, 0.0),
            eta_s=None if per_job_s is None or not unfinished else per_job_s * unfinished,
        )
    return found


def finished(progress: Progress) -> int:
    """How many items have ended, well or not."""
    return progress.items - progress.running - progress.queued


def _items(batch_ids: Collection[int]) -> Select[int, str, int]:
    own, leader = aliased(RenderJob), aliased(RenderJob)
    state = func.coalesce(own.state, leader.state)
    word = case(
        (and_(BatchItem.job_id.is_not(None), BatchItem.leader_id.is_not(None)), "linked"),
        (and_(BatchItem.job_id.is_(None), Batch.state == BatchState.CANCELLED), "cancelled"),
        (and_(BatchItem.job_id.is_(None), state.in_((JobState.SUCCEEDED, JobState.RUNNING))), "queued"),
        *((state == one, told) for one, told in WORDS.items()),
    )
    return (
        select(BatchItem.batch_id, word.label("word"), func.count())
        .join(Batch, Batch.id == BatchItem.batch_id)
        .outerjoin(own, own.id == BatchItem.job_id)
        .outerjoin(leader, leader.id == BatchItem.leader_id)
        .where(BatchItem.batch_id.in_(batch_ids))
        .group_by(BatchItem.batch_id, "word")
    )


def _costs(session: Session, batch_ids: Collection[int]) -> dict[int, float]:
    """Worker seconds by batch; jobs that were sampled together took their time together."""
    lease = (
        select(
            RenderJob.batch_id,
            func.min(Attempt.started_at).label("began"),
            func.max(func.coalesce(Attempt.finished_at, utcnow())).label("ended"),
        )
        .join(RenderJob, RenderJob.id == Attempt.job_id)
        .where(RenderJob.batch_id.in_(batch_ids))
        .group_by(RenderJob.batch_id, Attempt.lease_token)
        .subquery()
    )
    took = func.sum(seconds_between(lease.c.began, lease.c.ended))
    rows = session.execute(select(lease.c.batch_id, took).group_by(lease.c.batch_id))
    return {row[0]: max(0.0, float(row[1])) for row in rows}


def _paces(session: Session, batch_ids: Collection[int]) -> dict[int, tuple[int, int, float | None]]:
    """Of each batch how many jobs it made, how many have not ended, and how long one has taken so far."""
    is_over = RenderJob.state.in_((JobState.SUCCEEDED, JobState.FAILED)) & RenderJob.started_at.is_not(None)
    waits = RenderJob.state.in_((JobState.QUEUED, JobState.RUNNING))
    span = seconds_between(func.min(RenderJob.started_at), func.max(case((is_over, RenderJob.finished_at))))
    linked = select(BatchItem.job_id).where(
        BatchItem.batch_id.in_(batch_ids), BatchItem.leader_id.is_not(None), BatchItem.job_id.is_not(None)
    )
    rows = session.execute(
        select(
            RenderJob.batch_id,
            func.count(),
            func.sum(case((waits, 1), else_=0)),
            func.sum(case((is_over, 1), else_=0)),
            span,
            func.max(case((or_(RenderJob.held, Batch.state != BatchState.OPEN), 1), else_=0)),
        )
        .join(Batch, Batch.id == RenderJob.batch_id)
        .where(RenderJob.batch_id.in_(batch_ids), RenderJob.id.not_in(linked))
        .group_by(RenderJob.batch_id)
    )
    found: dict[int, tuple[int, int, float | None]] = {}
    for batch_id, made, unfinished, over, span_s, stopped in rows:
        pace = None if not over or stopped or span_s is None else max(0.0, float(span_s)) / over
        found[batch_id] = (made, int(unfinished), pace)
    return found
