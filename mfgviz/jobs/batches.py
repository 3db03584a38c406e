"""What is done to the jobs of a batch, to all at once: hold them back, let them go on, cancel them."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Update, and_, func, select, update
from sqlalchemy.orm import Session

from mfgviz.errors import BatchNotFoundError, IllegalMoveError
from mfgviz.jobs.turns import take_turns
from mfgviz.journal import audit
from mfgviz.records import Batch, RenderJob, utcnow
from mfgviz.vocabulary import BATCH_MOVES, BatchState, JobState


def get_batch(session: Session, batch_id: int) -> Batch:
    """The batch. Raises BatchNotFoundError."""
    batch = session.get(Batch, batch_id, populate_existing=True)
    if batch is None:
        raise BatchNotFoundError(f"There is no batch {batch_id}.")
    return batch


def hold(session: Session, batch_id: int, actor: str) -> Batch:
    """Pause a batch: its jobs that wait are not served, those that run end, and are not tried again until
    it goes on. Raises BatchNotFoundError, IllegalMoveError."""
    batch = _move(session, batch_id, BatchState.PAUSED)
    held = _jobs(RenderJob.batch_id == batch_id, RenderJob.state != JobState.SUCCEEDED).values(held=True)
    ids = session.scalars(held.where(~RenderJob.held).returning(RenderJob.id)).all()
    audit(session, actor, "batch.paused", f"batch {batch_id}", {"held": len(ids)})
    return batch


def release(session: Session, batch_id: int, actor: str) -> Batch:
    """Let a paused batch go on, with turns of now: its old ones would come before all that was submitted
    meanwhile. Raises BatchNotFoundError, IllegalMoveError."""
    batch = _move(session, batch_id, BatchState.OPEN)
    mine = and_(RenderJob.batch_id == batch_id, RenderJob.held)
    waiting = and_(mine, RenderJob.state == JobState.QUEUED)
    turns = session.execute(
        select(RenderJob.priority, func.min(RenderJob.turn), func.max(RenderJob.turn))
        .where(waiting)
        .group_by(RenderJob.priority)
    ).all()
    new = take_turns(
        session, batch.requester, {priority: last - first + 1 for priority, first, last in turns}
    )
    for priority, first, _ in turns:
        later = RenderJob.turn + (next(new[priority]) - first)
        session.execute(_jobs(waiting, RenderJob.priority == priority).values(turn=later))
    # Nobody rings for jobs that are held: the sweep, or whoever lets them go, does so now.
    freed = _jobs(mine).values(held=False, rung_at=None)
    ids = session.scalars(freed.returning(RenderJob.id)).all()
    audit(session, actor, "batch.resumed", f"batch {batch_id}", {"freed": len(ids)})
    return batch


def cancel_batch(session: Session, batch_id: int, actor: str) -> Batch:
    """Cancel all of a batch's jobs that have not ended: waiting ones at once, running ones within a step;
    what waits to be taken over is not. Jobs that it only joined go on.

    Raises:
        BatchNotFoundError: there is no such batch.
        IllegalMoveError: it is cancelled already.
    """
    batch = _move(session, batch_id, BatchState.CANCELLED)
    mine = RenderJob.batch_id == batch_id
    ended = {"state": JobState.CANCELLED, "cancel_requested": True, "finished_at": utcnow()}
    waiting = _jobs(mine, RenderJob.state == JobState.QUEUED).values(ended).returning(RenderJob.id)
    cancelled = list(session.scalars(waiting))
    running = _jobs(mine, RenderJob.state == JobState.RUNNING).values(cancel_requested=True)
    stopping = session.scalars(running.returning(RenderJob.id)).all()
    # One that ran for the first statement may have been handed back before the second.
    cancelled += session.scalars(waiting)
    # One that is retried by itself later is not held by a batch that is no more.
    session.execute(_jobs(and_(mine, RenderJob.held)).values(held=False))
    told = {"cancelled": len(cancelled), "stopping": len(stopping)}
    audit(session, actor, "batch.cancelled", f"batch {batch_id}", told)
    return batch


def hold_job(session: Session, job_id: int) -> None:
    """Keep a waiting job from being served, as those of its batch are."""
    session.execute(_jobs(RenderJob.id == job_id, RenderJob.state == JobState.QUEUED).values(held=True))


def queued_jobs(session: Session, batch_id: int, limit: int) -> list[int]:
    """The first of a batch's jobs that wait, as they will be served."""
    query = select(RenderJob.id).where(RenderJob.batch_id == batch_id, RenderJob.state == JobState.QUEUED)
    return list(session.scalars(query.order_by(RenderJob.turn, RenderJob.id).limit(limit)))


def _move(session: Session, batch_id: int, to: BatchState) -> Batch:
    """Move a batch by one guarded UPDATE. Raises BatchNotFoundError, IllegalMoveError."""
    allowed = [state for state, moves in BATCH_MOVES.items() if to in moves]
    moved = session.scalar(
        update(Batch)
        .where(Batch.id == batch_id, Batch.state.in_(allowed))
        .values(state=to)
        .returning(Batch.id)
        .execution_options(synchronize_session=False)
    )
    batch = get_batch(session, batch_id)
    if moved is None:
        raise IllegalMoveError(
            f"Batch {batch_id} is {batch.state} and cannot become {to}.",
            remedy="`mfgviz batches show` tells where it stands.",
        )
    return batch


def _jobs(*which: ColumnElement[bool]) -> Update:
    return update(RenderJob).where(*which).execution_options(synchronize_session=False)
