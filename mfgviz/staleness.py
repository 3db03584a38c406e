"""Renders that show something which was released anew: of all assemblies above it, marked stale."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace

from sqlalchemy import ColumnElement, and_, func, or_, select, update
from sqlalchemy.orm import Session, aliased, contains_eager, joinedload

from mfgviz import bom
from mfgviz.errors import InvalidRequestError
from mfgviz.jobs import Submission
from mfgviz.journal import audit, emit
from mfgviz.records import BomLine, Event, Geometry, Part, PartRevision, RenderJob, Rendition, utcnow
from mfgviz.requests import RenderRequest
from mfgviz.settings import Settings
from mfgviz.vocabulary import (
    FROZEN_STATES,
    EventKind,
    FidelityPolicy,
    GeometryState,
    JobState,
    LifecycleState,
    Priority,
)

MAX_REQUESTS = 10_000


@dataclass(frozen=True, slots=True)
class _Replaced:
    """Lines that now show another shape, and why their renders are stale."""

    lines: ColumnElement[bool]
    reason: str


def follow(session: Session, _settings: Settings, events: Sequence[Event]) -> list[int]:
    """Mark what a release makes stale: renders of all revisions above it that were there at that moment.

    A line that pins this very revision showed it before, too. The shape before is that of the revision which
    the line pins; else of the part's latest earlier revision that was released; else of its latest earlier
    one. Where there is none, or it is the same shape, nothing is stale.
    """
    releases = [
        (event, event.revision)
        for event in events
        if event.kind == EventKind.REVISION_RELEASED
        and event.revision is not None
        and _is_usable(event.revision.geometry)
    ]
    if not releases:
        return []
    bom.lock(session)
    listed = _listed(session, {revision.part_id for _, revision in releases})
    for event, revision in releases:
        if revision.part_id in listed:
            for replaced in _replaced(session, revision):
                _mark(session, event, replaced)
    return []


def _listed(session: Session, part_ids: set[int]) -> set[int]:
    """Those of the parts that a bill of material lists."""
    query = select(BomLine.child_part_id).where(BomLine.child_part_id.in_(part_ids)).distinct()
    return set(session.scalars(query))


def _is_usable(geometry: Geometry | None) -> bool:
    return geometry is not None and geometry.state != GeometryState.UNUSABLE


def _differs(one: Geometry, other: Geometry) -> bool:
    """Whether two files show other shapes; files that were not looked into are their bytes."""
    if one.id == other.id:
        return False
    return one.shape_digest is None or one.shape_digest != other.shape_digest


def _replaced(session: Session, released: PartRevision) -> Iterator[_Replaced]:
    query = select(PartRevision).where(
        PartRevision.part_id == released.part_id, PartRevision.id != released.id
    )
    others = list(session.scalars(query.options(joinedload(PartRevision.geometry)).order_by(PartRevision.id)))
    usable = [one for one in others if _is_usable(one.geometry)]
    earlier = [one for one in usable if one.id < released.id]
    were_released = [one for one in earlier if LifecycleState(one.state) in FROZEN_STATES]
    before = (were_released or earlier)[-1:]
    for one in usable:
        means = [BomLine.child_id == one.id, *([BomLine.child_id.is_(None)] if one in before else [])]
        if _differs(_geometry(released), _geometry(one)):
            lines = and_(BomLine.child_part_id == released.part_id, or_(*means))
            reason = f"{released.reference} was released in place of {released.part.number}@{one.label}"
            yield _Replaced(lines, reason)


def _geometry(revision: PartRevision) -> Geometry:
    assert revision.geometry is not None
    return revision.geometry


def _mark(session: Session, event: Event, replaced: _Replaced) -> None:
    """Mark renders by one statement, however many they are; tell it once for each revision that had some."""
    up = bom.ancestors(replaced.lines)
    # What was taken over shows what its origin showed.
    origin = aliased(Rendition)
    drawn = select(origin.created_at).where(origin.id == Rendition.origin_id).scalar_subquery()
    made_at = func.coalesce(drawn, Rendition.created_at)
    fresh = and_(Rendition.stale_at.is_(None), made_at <= event.created_at)
    rows = session.execute(
        select(PartRevision.id, Part.number, PartRevision.label, func.count())
        .select_from(up)
        .join(PartRevision, PartRevision.id == up.c.id)
        .join(Part, Part.id == PartRevision.part_id)
        .join(Rendition, Rendition.revision_id == PartRevision.id)
        .where(PartRevision.state != LifecycleState.OBSOLETE, fresh)
        .group_by(PartRevision.id, Part.number, PartRevision.label)
        .order_by(PartRevision.id)
    ).all()
    if not rows:
        return
    for chunk in bom.chunks([row.id for row in rows]):
        # As reviews do: the revisions first, in one order.
        held = select(PartRevision.id).where(PartRevision.id.in_(chunk)).order_by(PartRevision.id)
        session.execute(held.with_for_update(key_share=True))
        session.execute(
            update(Rendition)
            .where(Rendition.revision_id.in_(chunk), fresh)
            .values(stale_at=utcnow(), stale_reason=replaced.reason)
            .execution_options(synchronize_session=False)
        )
    for revision_id, number, label, count in rows:
        told = {"revision": f"{number}@{label}", "because": replaced.reason, "renders": count}
        emit(session, EventKind.REVISION_STALE, event.actor, told, revision_id)
    assert event.revision is not None
    told = {"because": replaced.reason, "revisions": len(rows), "renders": sum(row[3] for row in rows)}
    audit(session, event.actor, "renders.marked_stale", event.revision.reference, told)


# -- making them again --------------------------------------------------------------------------------------
def outdated(session: Session, max_attempts: int, revision_id: int | None = None) -> list[Submission]:
    """What to submit so that stale renders, of all revisions or of one, are made again: the same requests,
    for the CAD file that the revision shows now, forced. What waits already or was made again since, and what
    is obsolete, is left out.

    Raises:
        InvalidRequestError: they are more than may be asked for at once.
    """
    wanted: dict[tuple[int, str, int], Submission] = {}
    for job in _stale_jobs(session, revision_id):
        assert job.revision.geometry is not None
        request = RenderRequest.from_json(job.request)
        request = replace(request, geometry_digest=job.revision.geometry.digest)
        wanted[job.revision_id, request.fingerprint(), job.fidelity_retries] = Submission(
            revision_id=job.revision_id,
            request=request,
            priority=Priority(job.priority),
            forced=True,
            max_attempts=max_attempts,
            fidelity_policy=FidelityPolicy(job.fidelity_policy),
            fidelity_retries=job.fidelity_retries,
        )
    for key in _fresh(session, wanted):
        wanted.pop(key, None)
    return list(wanted.values())


def _stale_jobs(session: Session, revision_id: int | None) -> list[RenderJob]:
    query = (
        select(RenderJob)
        .join(RenderJob.revision)
        .join(PartRevision.geometry)
        .where(
            RenderJob.id.in_(select(Rendition.job_id).where(Rendition.stale_at.is_not(None))),
            PartRevision.state != LifecycleState.OBSOLETE,
            Geometry.state != GeometryState.UNUSABLE,
        )
        .options(contains_eager(RenderJob.revision).contains_eager(PartRevision.geometry))
        .order_by(RenderJob.id)
        .limit(MAX_REQUESTS + 1)
    )
    if revision_id is not None:
        query = query.where(RenderJob.revision_id == revision_id)
    found = list(session.scalars(query))
    if len(found) > MAX_REQUESTS:
        raise InvalidRequestError(
            f"The stale renders are of more than {MAX_REQUESTS:,} jobs.",
            remedy="Choose a revision; a rule on revision.stale renders them as they become so.",
        )
    return found


def _fresh(session: Session, keys: Collection[tuple[int, str, int]]) -> Iterator[tuple[int, str, int]]:
    """Those of the pictures that wait, or that are there and not stale."""
    is_there = (
        select(Rendition.id).where(Rendition.job_id == RenderJob.id, Rendition.stale_at.is_(None)).exists()
    )
    for chunk in bom.chunks({key[0] for key in keys}):
        query = select(RenderJob.revision_id, RenderJob.fingerprint, RenderJob.fidelity_retries).where(
            RenderJob.revision_id.in_(chunk),
            or_(
                RenderJob.state.in_((JobState.QUEUED, JobState.RUNNING)),
                and_(RenderJob.state == JobState.SUCCEEDED, is_there),
            ),
        )
        for row in session.execute(query):
            yield row.revision_id, row.fingerprint, row.fidelity_retries
