"""What people say of renders, which one stands for its revision, and the gate between the two.

Whatever changes a render here takes its revision's row first, so that reviews, choices and new CAD files of
one revision follow one another. With the setting `approval` on, these hold at the end of each transaction: a
primary image is approved, by somebody who may approve it, and shows the CAD file that its revision has; an
approved picture shows that file too.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Update, select, update
from sqlalchemy.orm import Session, joinedload

from mfgviz.errors import ApprovalRequiredError, IllegalMoveError, NoApprovedImageError
from mfgviz.journal import audit, emit
from mfgviz.records import Geometry, PartRevision, RenderJob, Rendition, utcnow
from mfgviz.vocabulary import REVIEW_MOVES, Approval, EventKind, ReviewState

# Why a rendition is stale whose picture the blob store has lost.
LOST = "its picture is lost"
# Revisions asked for at once: databases take so many values in a statement.
IDS_AT_ONCE = 5000


@dataclass(frozen=True, slots=True)
class Reviewer:
    """Who reviews or chooses a picture, under which setting, and whether they may review at all."""

    actor: str
    approval: Approval = Approval.ANY
    may_review: bool = True

    @property
    def is_gated(self) -> bool:
        """Whether a primary image must be approved."""
        return self.approval is not Approval.OFF


def take(session: Session, revision: PartRevision) -> None:
    """Hold the revision's row until the transaction ends, and see it as it is now."""
    seen = ["state", "iteration", "geometry_id"]
    session.refresh(revision, seen, with_for_update={"key_share": True})
    session.expire(revision, ["geometry"])


def is_current(rendition: Rendition) -> bool:
    """Whether it shows the CAD file that its revision has now."""
    geometry = rendition.revision.geometry
    return geometry is not None and rendition.job.request["geometry_digest"] == geometry.digest


def primary_of(session: Session, revision_id: int) -> int | None:
    """The id of the rendition that stands for a revision, or None."""
    return session.scalar(select(Rendition.id).where(_primary_of(revision_id)))


def review(
    session: Session, rendition: Rendition, state: ReviewState, reviewer: Reviewer, comment: str | None = None
) -> None:
    """Approve a rendition, reject it, or take that back. An approved one stands for its revision where none
    does; one that is not approved any more stands for it no more.

    Raises:
        IllegalMoveError: it was superseded, or shows another CAD file than the revision has.
        ApprovalRequiredError: somebody else must approve it.
    """
    _take(session, rendition)
    current = ReviewState(rendition.review_state)
    if state not in REVIEW_MOVES[current]:
        remedy = "Attach the CAD file that it shows again." if current is ReviewState.SUPERSEDED else None
        raise IllegalMoveError(
            f"Render {rendition.id} is {current} and cannot become {state}.", remedy=remedy
        )
    if state is not ReviewState.REJECTED:
        _require_current(rendition, f"become {state}")
    stands = rendition.is_primary
    if state is ReviewState.APPROVED:
        _require_another(session, rendition, reviewer, reviewer.actor)
        stands = stands or (reviewer.is_gated and primary_of(session, rendition.revision_id) is None)
    elif state is ReviewState.REJECTED or reviewer.is_gated:
        stands = False
    _say(session, rendition, _Verdict(state, comment, stands), reviewer)


def set_primary(session: Session, rendition: Rendition, reviewer: Reviewer) -> None:
    """Let a rendition stand for its revision, in place of the one that did. Where it is only proposed and
    must be approved, this approves it.

    Raises:
        IllegalMoveError: it is rejected or superseded, or shows another CAD file than the revision has.
        ApprovalRequiredError: it must be approved first, by somebody who may; or by somebody else.
    """
    _take(session, rendition)
    state = ReviewState(rendition.review_state)
    if state in (ReviewState.REJECTED, ReviewState.SUPERSEDED):
        raise IllegalMoveError(f"Render {rendition.id} is {state}: it cannot stand for its revision.")
    _require_current(rendition, "stand for it")
    approves = reviewer.is_gated and state is ReviewState.PROPOSED
    if approves and not reviewer.may_review:
        raise ApprovalRequiredError(
            f"Render {rendition.id} is proposed; it must be approved before it stands for "
            f"{rendition.revision.reference}.",
            remedy=f"Ask somebody who may review to look at it: mfgviz renders approve {rendition.id}",
        )
    if reviewer.is_gated:
        by = reviewer.actor if approves else rendition.reviewed_by
        _require_another(session, rendition, reviewer, by)
    if approves:
        _say(session, rendition, _Verdict(ReviewState.APPROVED, None, stands=True), reviewer)
    elif not rendition.is_primary:
        _let_stand(session, rendition, reviewer.actor)
        _move(session, rendition, {"is_primary": True})


def clear_primary(session: Session, revision: PartRevision, actor: str) -> None:
    """Let no rendition stand for the revision."""
    take(session, revision)
    if _change(session, _primary_of(revision.id), {"is_primary": False}):
        audit(session, actor, "render.primary_cleared", revision.reference)


def follow_geometry(session: Session, revision: PartRevision, digest: str, actor: str) -> None:
    """The revision, whose row is held, shows that CAD file now: pictures of others are superseded unless they
    were rejected, and those of this file that were superseded are proposed again."""
    shows = RenderJob.request["geometry_digest"].as_string() == digest
    of_file = select(RenderJob.id).where(RenderJob.revision_id == revision.id, shows)
    was_primary = primary_of(session, revision.id)
    gone = _change(
        session,
        Rendition.review_state.in_((ReviewState.PROPOSED, ReviewState.APPROVED))
        & (Rendition.revision_id == revision.id)
        & Rendition.job_id.not_in(of_file),
        {"review_state": ReviewState.SUPERSEDED, "is_primary": False},
    )
    back = _change(
        session,
        (Rendition.review_state == ReviewState.SUPERSEDED)
        & (Rendition.revision_id == revision.id)
        & Rendition.job_id.in_(of_file),
        {
            "review_state": ReviewState.PROPOSED,
            "reviewed_by": None,
            "reviewed_at": None,
            "review_comment": None,
        },
    )
    if gone:
        cleared = was_primary if was_primary in gone else None
        _tell(session, EventKind.RENDER_SUPERSEDED, revision, actor, {"renders": gone, "primary": cleared})
    if back:
        _tell(session, EventKind.RENDER_PROPOSED, revision, actor, {"renders": back})


def note_lost(session: Session, ids: Collection[int], actor: str) -> None:
    """The pictures of these renditions are gone: they are stale, and stand for no revision."""
    lost = select(Rendition).where(Rendition.id.in_(ids), Rendition.stale_reason.is_distinct_from(LOST))
    for one in session.scalars(lost.options(joinedload(Rendition.revision)).order_by(Rendition.id)):
        _take(session, one)
        was_primary = one.is_primary
        values = {"is_primary": False, "stale_at": utcnow(), "stale_reason": LOST}
        _change(session, Rendition.id == one.id, values)
        told = {"render": one.id, "primary": was_primary, "was_stale": one.stale_at is not None}
        audit(session, actor, "render.lost", one.revision.reference, told)


def note_found(session: Session, ids: Collection[int], actor: str) -> None:
    """The lost pictures of these renditions are there again. An approved one stands for its revision again
    where none does."""
    found = select(Rendition).where(Rendition.id.in_(ids), Rendition.stale_reason == LOST)
    for one in session.scalars(found.options(joinedload(Rendition.revision)).order_by(Rendition.id)):
        _take(session, one)
        stands = one.review_state == ReviewState.APPROVED and primary_of(session, one.revision_id) is None
        values = {"is_primary": stands, "stale_at": None, "stale_reason": None}
        _change(session, Rendition.id == one.id, values)
        audit(session, actor, "render.found", one.revision.reference, {"render": one.id, "primary": stands})


def unseat(session: Session, ids: Collection[int], actor: str) -> None:
    """Let renditions stand for nothing which were rejected or superseded and did so all the same."""
    wrong = Rendition.review_state.in_((ReviewState.REJECTED, ReviewState.SUPERSEDED))
    query = select(Rendition).where(Rendition.id.in_(ids), wrong, Rendition.is_primary)
    for one in session.scalars(query.options(joinedload(Rendition.revision)).order_by(Rendition.id)):
        _take(session, one)
        _change(session, (Rendition.id == one.id) & wrong, {"is_primary": False})
        audit(session, actor, "render.primary_cleared", one.revision.reference, {"render": one.id})


def attach(
    session: Session, renditions: Sequence[Rendition], geometry_digest: str, actor: str, told: dict[str, Any]
) -> list[int]:
    """Add new pictures of a CAD file to their revision, as they arrive there; their ids. `told` goes into the
    event besides these."""
    arrival = (renditions[0].revision_id, geometry_digest)
    state = arrivals(session, [arrival])[arrival]
    for one in renditions:
        one.review_state = state
    session.add_all(renditions)
    session.flush()
    ids = [one.id for one in renditions]
    tell_attached(session, arrival[0], actor, {**told, "renders": ids}, state)
    return ids


def arrivals(session: Session, pictures: Collection[tuple[int, str]]) -> dict[tuple[int, str], ReviewState]:
    """How pictures arrive at revisions, by the revision's id and the digest of the CAD file they show: as
    proposals, or superseded where the revision shows another file by now. It keeps its file until the
    transaction ends."""
    shown: dict[int, str | None] = {}
    ids = sorted({revision_id for revision_id, _ in pictures})
    for at in range(0, len(ids), IDS_AT_ONCE):
        shown |= _held_files(session, ids[at : at + IDS_AT_ONCE])
    return {
        (revision_id, digest): ReviewState.PROPOSED
        if shown[revision_id] in (None, digest)
        else ReviewState.SUPERSEDED
        for revision_id, digest in pictures
    }


def _held_files(session: Session, revision_ids: Sequence[int]) -> dict[int, str | None]:
    """Revisions' CAD files, by their digests, held until the transaction ends."""
    # One table alone: what is joined to a row that was waited for is not looked up again.
    held = (
        select(PartRevision.id, PartRevision.geometry_id)
        .where(PartRevision.id.in_(revision_ids))
        .order_by(PartRevision.id)
        .with_for_update(read=True)
    )
    files = {row.id: row.geometry_id for row in session.execute(held)}
    query = select(Geometry.id, Geometry.digest).where(Geometry.id.in_(set(files.values())))
    digests = {row.id: row.digest for row in session.execute(query)}
    return {revision_id: digests.get(file) for revision_id, file in files.items()}


def tell_attached(
    session: Session, revision_id: int, actor: str, told: dict[str, Any], state: ReviewState
) -> None:
    """Tell of pictures that arrived so; `told` holds the ids of these `renders`."""
    emit(session, EventKind.RENDER_ATTACHED, actor, told, revision_id)
    if state is ReviewState.SUPERSEDED:
        late = {"renders": told["renders"], "primary": None}
        emit(session, EventKind.RENDER_SUPERSEDED, actor, late, revision_id)


def require_approved_image(session: Session, revision: PartRevision) -> None:
    """Refuse a revision without an approved picture of its CAD file. Raises NoApprovedImageError."""
    query = (
        select(Rendition.id)
        .join(Rendition.job)
        .join(PartRevision, PartRevision.id == Rendition.revision_id)
        .join(PartRevision.geometry)
        .where(
            Rendition.revision_id == revision.id,
            Rendition.review_state == ReviewState.APPROVED,
            RenderJob.request["geometry_digest"].as_string() == Geometry.digest,
        )
        .limit(1)
    )
    if session.scalar(query) is None:
        raise NoApprovedImageError(
            f"{revision.reference} has no approved image of its CAD file, and is not released without one.",
            remedy=f"`mfgviz renders list {revision.reference}` shows its renders; "
            "`mfgviz renders approve ID` approves one.",
        )


def authors(session: Session, rendition: Rendition) -> set[str]:
    """Who had it made: the requester of its job, and of the job of the picture that it was taken from."""
    ids = [one for one in (rendition.id, rendition.origin_id) if one is not None]
    query = select(RenderJob.requester).join(Rendition, Rendition.job_id == RenderJob.id)
    return set(session.scalars(query.where(Rendition.id.in_(ids))))


def _take(session: Session, rendition: Rendition) -> None:
    take(session, rendition.revision)
    session.refresh(rendition, _SEEN)


_SEEN = ["review_state", "reviewed_by", "reviewed_at", "review_comment", "is_primary", "stale_at"]


def _require_current(rendition: Rendition, what: str) -> None:
    if not is_current(rendition):
        reference = rendition.revision.reference
        raise IllegalMoveError(
            f"Render {rendition.id} shows another CAD file than {reference} has now: it cannot {what}.",
            remedy="Render the present file, or attach the former one again.",
        )


def _require_another(session: Session, rendition: Rendition, reviewer: Reviewer, by: str | None) -> None:
    """Refuse an approval by the picture's author where the setting asks for somebody else's."""
    if reviewer.approval is Approval.OTHER and (by is None or by in authors(session, rendition)):
        raise ApprovalRequiredError(
            f"Render {rendition.id} was made for {by}: with the setting approval = other, somebody else must "
            "approve it.",
            remedy=f"Ask another reviewer to look at it: mfgviz renders approve {rendition.id}",
        )


@dataclass(frozen=True, slots=True)
class _Verdict:
    state: ReviewState
    comment: str | None
    stands: bool


def _say(session: Session, rendition: Rendition, verdict: _Verdict, reviewer: Reviewer) -> None:
    if verdict.stands and not rendition.is_primary:
        _let_stand(session, rendition, reviewer.actor)
    before, reference = rendition.review_state, rendition.revision.reference
    values = {
        "review_state": verdict.state,
        "reviewed_by": reviewer.actor,
        "reviewed_at": utcnow(),
        "review_comment": verdict.comment or None,
        "is_primary": verdict.stands,
    }
    _move(session, rendition, values)
    told: dict[str, Any] = {"render": rendition.id, "comment": verdict.comment, "primary": verdict.stands}
    if rendition.stale_at is not None:
        told["stale"] = True
    details = {**told, "from": before, "to": verdict.state}
    audit(session, reviewer.actor, "render.reviewed", reference, details)
    kind = EventKind(f"render.{verdict.state}")
    emit(session, kind, reviewer.actor, {"revision": reference, **told}, rendition.revision_id)


def _let_stand(session: Session, rendition: Rendition, actor: str) -> None:
    """Make room for it: no other one stands for its revision."""
    _change(session, _primary_of(rendition.revision_id), {"is_primary": False})
    audit(session, actor, "render.made_primary", rendition.revision.reference, {"render": rendition.id})


def _move(session: Session, rendition: Rendition, values: dict[str, Any]) -> None:
    as_seen = (Rendition.id == rendition.id) & (Rendition.review_state == rendition.review_state)
    if not _change(session, as_seen, values):
        raise IllegalMoveError(f"Render {rendition.id} was changed by somebody else just now.")
    session.refresh(rendition, _SEEN)


def _tell(
    session: Session, kind: EventKind, revision: PartRevision, actor: str, told: dict[str, Any]
) -> None:
    audit(session, actor, kind.value, revision.reference, told)
    emit(session, kind, actor, {"revision": revision.reference, **told}, revision.id)


def _primary_of(revision_id: int) -> ColumnElement[bool]:
    return (Rendition.revision_id == revision_id) & Rendition.is_primary


def _change(session: Session, which: ColumnElement[bool], values: dict[str, Any]) -> list[int]:
    """The ids of the renditions that were changed, in order."""
    statement: Update = update(Rendition).where(which).values(**values)
    statement = statement.execution_options(synchronize_session=False)
    return sorted(session.scalars(statement.returning(Rendition.id)))
