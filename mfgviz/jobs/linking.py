"""Renders taken over from another revision that shows the same shape, instead of rendering them again.

A link is a job that has succeeded without an attempt, with renditions of the same blobs: all that is done
with renders (review, primary image, export) is done with them as with any.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.orm import Session

from mfgviz import reviews
from mfgviz.jobs.submission import Submission
from mfgviz.jobs.turns import take_turns
from mfgviz.records import RenderJob, Rendition, utcnow
from mfgviz.vocabulary import JobState, Priority, ReviewState

UNCHANGED = "unchanged geometry"
# What a rendition that is taken over has of the one that it is taken over from.
_COPIED = (
    "index", "seed", "width", "height", "blob_digest", "thumbnail_digest", "pixel_digest", "software",
    "fidelity", "fidelity_verdict", "fidelity_details", "control_scale",
)  # fmt: skip


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
    return link_all(session, [wanted])[0]


def link_all(session: Session, wanted: Sequence[Link]) -> list[int]:
    """As `link`, for many at once; the jobs' ids in their order."""
    for requester in {one.requester for one in wanted}:
        take_turns(session, requester, {})
    statement = insert(RenderJob).returning(RenderJob.id, sort_by_parameter_order=True)
    now = session.scalar(select(utcnow()))
    rows = [{**_job_row(one), "finished_at": now} for one in wanted]
    job_ids = list(session.scalars(statement, rows)) if rows else []
    origins = _renditions_of(session, {one.origin_id for one in wanted})
    places = [
        (link, job_id, origin)
        for link, job_id in zip(wanted, job_ids, strict=True)
        for origin in origins[link.origin_id]
    ]
    states = reviews.arrivals(session, {_arrival(one) for one in wanted})
    copies = [
        {**_row(link, job_id, origin), "review_state": states[_arrival(link)]}
        for link, job_id, origin in places
    ]
    made = insert(Rendition).returning(Rendition.id, sort_by_parameter_order=True)
    renders: dict[int, list[int]] = {job_id: [] for job_id in job_ids}
    for (_, job_id, _), render_id in zip(
        places, session.scalars(made, copies) if copies else (), strict=True
    ):
        renders[job_id].append(render_id)
    for one, job_id in zip(wanted, job_ids, strict=True):
        told = {"job": job_id, "renders": renders[job_id], "linked_from": one.origin_id}
        revision_id = one.submission.revision_id
        reviews.tell_attached(session, revision_id, one.requester, told, states[_arrival(one)])
    session.flush()
    return job_ids


def _arrival(wanted: Link) -> tuple[int, str]:
    return wanted.submission.revision_id, wanted.submission.request.geometry_digest


def _job_row(wanted: Link) -> dict[str, Any]:
    submission, request = wanted.submission, wanted.submission.request
    return {
        "revision_id": submission.revision_id,
        "requester": wanted.requester,
        "request": request.as_json(),
        "fingerprint": request.fingerprint(),
        "batch_key": request.batch_key(),
        "model_name": request.model.name,
        "images": request.sampling.count,
        "priority": int(Priority.LOW),
        "turn": 0,
        "state": JobState.SUCCEEDED,
        "step": request.sampling.num_inference_steps,
        "total_steps": request.sampling.num_inference_steps,
        "fidelity_policy": submission.fidelity_policy.value,
        "fidelity_retries": submission.fidelity_retries,
        "notes": [wanted.note],
        "batch_id": wanted.batch_id,
    }


def _renditions_of(session: Session, job_ids: set[int]) -> dict[int, list[Rendition]]:
    found: dict[int, list[Rendition]] = {job_id: [] for job_id in job_ids}
    query = select(Rendition).where(Rendition.job_id.in_(job_ids)).order_by(Rendition.index)
    for one in session.scalars(query):
        found[one.job_id].append(one)
    return found


def _row(wanted: Link, job_id: int, origin: Rendition) -> dict[str, Any]:
    own = {
        "revision_id": wanted.submission.revision_id,
        "job_id": job_id,
        "origin_id": origin.origin_id or origin.id,
    }
    return own | {name: getattr(origin, name) for name in _COPIED}
