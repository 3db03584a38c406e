"""Renders taken over from another revision that shows the same shape, instead of rendering them again.

A link is a job that has succeeded without an attempt, with renditions of the same blobs: all that is done
with renders (review, primary image, export) is done with them as with any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from mfgviz.jobs.submission import Submission
from mfgviz.jobs.turns import take_turns
from mfgviz.journal import emit
from mfgviz.records import RenderJob, Rendition, utcnow
from mfgviz.vocabulary import EventKind, JobState, Priority, ReviewState

UNCHANGED = "unchanged geometry"


@dataclass(frozen=True, slots=True)
class Link:
    """A submission that is answered with the pictures of a succeeded job, `origin_id`."""

    submission: Submission
    origin_id: int
    requester: str
    note: str
    batch_id: int | None = None


def usable_origins(session: Session, job_ids: Sequence[int]) -> set[int]:
    """Those of the jobs that have pictures to take over: all there, none rejected or stale."""
    query = (
        select(RenderJob.id)
        .join(Rendition, Rendition.job_id == RenderJob.id)
        .where(
            RenderJob.id.in_(job_ids),
            RenderJob.state == JobState.SUCCEEDED,
            Rendition.review_state != ReviewState.REJECTED,
            Rendition.stale_at.is_(None),
        )
        .group_by(RenderJob.id, RenderJob.images)
        .having(func.count() == RenderJob.images)
    )
    return set(session.scalars(query))


def link(session: Session, wanted: Link) -> int:
    """Give the revision a succeeded job with the origin's pictures, as proposals; the job's id."""
    take_turns(session, wanted.requester, {})
    submission = wanted.submission
    request = submission.request
    job = RenderJob(
        revision_id=submission.revision_id,
        requester=wanted.requester,
        request=request.as_json(),
        fingerprint=request.fingerprint(),
        batch_key=request.batch_key(),
        model_name=request.model.name,
        images=request.sampling.count,
        priority=int(Priority.LOW),
        turn=0,
        state=JobState.SUCCEEDED,
        finished_at=utcnow(),
        step=request.sampling.num_inference_steps,
        total_steps=request.sampling.num_inference_steps,
        fidelity_policy=submission.fidelity_policy.value,
        fidelity_retries=submission.fidelity_retries,
        notes=[wanted.note],
        batch_id=wanted.batch_id,
    )
    session.add(job)
    session.flush()
    job_id = job.id
    origins = session.scalars(
        select(Rendition).where(Rendition.job_id == wanted.origin_id).order_by(Rendition.index)
    )
    rows = [
        Rendition(
            revision_id=submission.revision_id,
            job_id=job_id,
            index=one.index,
            seed=one.seed,
            width=one.width,
            height=one.height,
            blob_digest=one.blob_digest,
            thumbnail_digest=one.thumbnail_digest,
            pixel_digest=one.pixel_digest,
            software=one.software,
            fidelity=one.fidelity,
            fidelity_verdict=one.fidelity_verdict,
            fidelity_details=one.fidelity_details,
            control_scale=one.control_scale,
            origin_id=one.origin_id or one.id,
        )
        for one in origins
    ]
    session.add_all(rows)
    session.flush()
    told = {"job": job_id, "renders": [row.id for row in rows], "linked_from": wanted.origin_id}
    emit(session, EventKind.RENDER_ATTACHED, wanted.requester, told, submission.revision_id)
    return job_id
