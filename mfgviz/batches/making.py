"""Making a batch, and linking its pictures as they come.

Each distinct shape and recipe is rendered once, for one revision, the leader; the others get the pictures
linked as soon as they are there. Only `mfgviz.jobs` moves the jobs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import insert, select
from sqlalchemy.orm import Session, contains_eager, joinedload

from mfgviz import bom, catalog, jobs
from mfgviz.contexts import context_of, of_parts
from mfgviz.errors import (
    GeometryError,
    InvalidRequestError,
    MatchesEverythingError,
    PromptTemplateError,
)
from mfgviz.filters import compile_filter
from mfgviz.intake import FidelityDefaults, Lookup, ask_from_json, prepare
from mfgviz.jobs import Link, Submission, Submitted
from mfgviz.jobs.turns import take_turns
from mfgviz.journal import audit
from mfgviz.records import Batch, BatchItem, Event, Part, PartRevision, RenderJob
from mfgviz.requests import RenderRequest
from mfgviz.settings import Settings
from mfgviz.vocabulary import CUSTOM_VIEW, BatchState, EventKind, FidelityPolicy, JobState

MAX_REVISIONS, MAX_PICTURES = 20_000, 50_000
PARTS_AT_ONCE = 1000
ASKED_AT_ONCE = 5000


@dataclass(frozen=True, slots=True)
class Over:
    """Over what a batch goes: a revision and all that is in it, or all parts' current revisions that fit a
    filter; one without a field needs `everything`.

    Raises:
        InvalidRequestError: it is none of both, or both.
        InvalidFilterError, UnknownFieldError: the filter cannot be read.
        MatchesEverythingError: it fits everything, and does not say that this is meant.
    """

    bom: str | None = None
    query: str | None = None
    everything: bool = False

    def __post_init__(self) -> None:
        if (self.bom is None) == (self.query is None):
            raise InvalidRequestError(
                "A batch goes over a bill of material or over a query.", remedy="Give one of both."
            )
        if self.query is not None and not compile_filter(self.query).fields and not self.everything:
            raise MatchesEverythingError(f"The query {self.query!r} names no field.")

    def as_json(self) -> dict[str, Any]:
        """As it is kept with the batch."""
        return {"bom": self.bom} if self.bom is not None else {"query": self.query}


@dataclass(slots=True)
class _Found:
    """The revisions of a batch, and what was left out."""

    revisions: list[PartRevision] = field(default_factory=list)
    skipped: list[dict[str, Any]] = field(default_factory=list)

    def skip(self, reference: str, code: str, reason: str) -> None:
        self.skipped.append({"revision": reference, "code": code, "reason": reason})


@dataclass(frozen=True, slots=True)
class _Picture:
    """What a batch wants on one revision, and the job that answers it already, where there is one."""

    revision: PartRevision
    submission: Submission
    known: Submitted | None = None


@dataclass(slots=True)
class _Group:
    """Pictures of one shape and recipe: one of them makes it, and those that wait for that one."""

    pictures: list[_Picture]
    leader: _Picture | None = None
    leader_job: int | None = None

    @property
    def followers(self) -> list[_Picture]:
        """Those without a job of their own."""
        return [one for one in self.pictures if one.known is None and one is not self.leader]


@dataclass(frozen=True, slots=True)
class Made:
    """A new batch, and its jobs that wait now."""

    batch: Batch
    new_jobs: list[int]


# -- making one -------------------------------------------------------------------------------------------
def make(session: Session, settings: Settings, over: Over, ask: Mapping[str, Any], actor: str) -> Made:
    """Ask for renders of all that a batch goes over. `ask` has the fields of an `intake.Ask` but `revision`.

    Revisions without usable geometry, or without a value for a field of the prompt, are left out and named.

    Raises:
        PartNotFoundError, RevisionNotFoundError: there is no such bill of material.
        InvalidRequestError: nothing is left to render, or it is more than a batch may hold.
        Others as `intake.prepare`, where no revision could be rendered so.
    """
    found = _expand(session, over)
    pictures = _pictures(session, settings, found, ask)
    # Two who ask for the same pictures do so one after the other, and link them once.
    jobs.lock_revisions(session, {one.revision.id for one in pictures})
    groups = _groups(session, pictures)
    batch = Batch(
        requester=actor, source=over.as_json(), ask=dict(ask), skipped=found.skipped, created_by=actor
    )
    take_turns(session, actor, {})  # none yet: it makes the requester known
    session.add(batch)
    session.flush()
    asked = [group for group in groups if group.leader is not None and group.leader.known is None]
    submissions = [replace(one.leader.submission, batch_id=batch.id) for one in asked if one.leader]
    answers = jobs.submit(session, submissions, actor) if submissions else []
    for group, answer in zip(asked, answers, strict=True):
        group.leader_job = answer.job_id
    _write_items(session, batch, groups)
    told = {
        **over.as_json(),
        "revisions": len(found.revisions),
        "jobs": len(answers),
        "skipped": len(found.skipped),
    }
    audit(session, actor, "batch.submitted", f"batch {batch.id}", told)
    session.refresh(batch)
    return Made(batch, [one.job_id for one in answers if one.how == "new"])


def _expand(session: Session, over: Over) -> _Found:
    found = _Found()
    revisions = _in_bom(session, over.bom, found) if over.bom else found_by(session, over.query or "")
    for revision in revisions:
        if len(found.revisions) == MAX_REVISIONS:
            raise InvalidRequestError(f"A batch holds {MAX_REVISIONS:,} revisions at most.")
        found.revisions.append(revision)
    if not found.revisions:
        raise InvalidRequestError("No part fits the query.", remedy="`mfgviz parts list` shows the parts.")
    return found


def _in_bom(session: Session, reference: str, found: _Found) -> Iterator[PartRevision]:
    """The top and every distinct revision below it; parts without a revision are left out."""
    top = catalog.get_revision(session, reference)
    below = bom.contents(session, [top.id])
    for part in sorted({line.part for lines in below.values() for line in lines if line.revision is None}):
        found.skip(part, "revision-not-found", "It has no revision.")
    for chunk in bom.chunks(below):
        loaded = {one.id: one for one in session.scalars(_loaded().where(PartRevision.id.in_(chunk)))}
        yield from (loaded[revision_id] for revision_id in chunk)


def found_by(session: Session, query: str) -> Iterator[PartRevision]:
    """The current revisions of all parts that fit, read by parts."""
    wanted, last = compile_filter(query), 0
    likely = select(Part.id).where(*of_parts(session, wanted)).order_by(Part.id).limit(PARTS_AT_ONCE)
    while True:
        parts = session.scalars(likely.where(Part.id > last)).all()
        if not parts:
            return
        last = parts[-1]
        ids = [current.id for current in bom.current_revisions(session, parts).values()]
        for revision in session.scalars(
            _loaded().where(PartRevision.id.in_(ids)).order_by(PartRevision.part_id)
        ):
            if wanted.matches(context_of(revision)):
                yield revision


def _loaded() -> Any:
    return select(PartRevision).options(joinedload(PartRevision.part), joinedload(PartRevision.geometry))


def _pictures(session: Session, settings: Settings, found: _Found, ask: Mapping[str, Any]) -> list[_Picture]:
    lookup = Lookup(session, settings.default_model, settings.max_attempts, FidelityDefaults.of(settings))
    base = ask_from_json({**ask, "revision": "?"})
    pictures: dict[tuple[int, str, int], _Picture] = {}
    refused: InvalidRequestError | None = None
    for revision in found.revisions:
        lookup.know(revision)
        try:
            submissions = prepare(lookup, replace(base, revision=revision.reference))
        except (GeometryError, PromptTemplateError, InvalidRequestError) as error:
            found.skip(revision.reference, error.code, error.message)
            refused = refused or (error if isinstance(error, InvalidRequestError) else None)
            continue
        for one in submissions:
            key = (revision.id, one.request.fingerprint(), one.fidelity_retries)
            pictures[key] = _Picture(revision, one)
        if len(pictures) > MAX_PICTURES:
            raise InvalidRequestError(
                f"That are more than {MAX_PICTURES:,} pictures.", remedy="Ask for fewer views or parts."
            )
    if not pictures and refused is not None:
        raise refused
    if not pictures:
        first = found.skipped[0]
        raise InvalidRequestError(
            f"Nothing can be rendered: all {len(found.skipped):,} revisions are left out, the first because: "
            f"{first['reason']}",
            remedy="Attach CAD files, or give what the prompt's fields need.",
        )
    return list(pictures.values())


def _groups(session: Session, pictures: Sequence[_Picture]) -> list[_Group]:
    """Pictures by shape and recipe, each group with its leader: one whose job is there, else the first."""
    groups: dict[tuple[str, str, int], _Group] = {}
    known = _known(session, pictures)
    for place, one in enumerate(pictures):
        wanted = one if place not in known else replace(one, known=known[place])
        groups.setdefault(_key(one), _Group([])).pictures.append(wanted)
    done = [one.job_id for one in known.values() if one.how == "reused"]
    usable = {job_id for chunk in bom.chunks(done) for job_id in jobs.usable_origins(session, chunk)}
    for group in groups.values():
        ready = [one for one in group.pictures if one.known and one.known.job_id in usable]
        waiting = [one for one in group.pictures if one.known and one.known.how == "joined"]
        unknown = [one for one in group.pictures if one.known is None]
        group.leader = next(iter((*ready, *waiting, *unknown)), None)
        if group.leader is not None and group.leader.known is not None:
            group.leader_job = group.leader.known.job_id
    return list(groups.values())


def _known(session: Session, pictures: Sequence[_Picture]) -> dict[int, Submitted]:
    found: dict[int, Submitted] = {}
    for at in range(0, len(pictures), ASKED_AT_ONCE):
        submissions = [one.submission for one in pictures[at : at + ASKED_AT_ONCE]]
        found |= {at + place: job for place, job in jobs.known(session, submissions).items()}
    return found


def _key(picture: _Picture) -> tuple[str, str, int]:
    """What pictures must share to be the same; a custom camera stands in its own file's coordinates."""
    request, geometry = picture.submission.request, picture.revision.geometry
    shape = geometry.shape_digest if geometry and request.view.name != CUSTOM_VIEW else None
    recipe = replace(request, geometry_digest=shape or request.geometry_digest).fingerprint()
    return picture.submission.fidelity_policy, recipe, picture.submission.fidelity_retries


def _write_items(session: Session, batch: Batch, groups: Sequence[_Group]) -> None:
    """The batch's items; what can be linked at once is."""
    joined = [group.leader_job for group in groups if group.followers and group.leader_job is not None]
    # Locked, so that none ends between our look at it and our commit: its followers would never learn of it.
    done = set(_succeeded(session, joined))
    usable = {job_id for chunk in bom.chunks(done) for job_id in jobs.usable_origins(session, chunk)}
    linked: list[tuple[_Picture, Link]] = []
    rows: list[dict[str, Any]] = []
    for group in groups:
        followers = group.followers
        for one in group.pictures:
            if one not in followers:
                own = one.known.job_id if one.known else group.leader_job
                rows.append(_item(batch, one, job_id=own))
            elif group.leader_job in usable and group.leader_job is not None and group.leader is not None:
                note = note_of(group.leader.revision.reference)
                linked.append((one, Link(one.submission, group.leader_job, batch.requester, note, batch.id)))
            else:
                rows.append(_item(batch, one, leader_id=group.leader_job))
    made = jobs.link_all(session, [link for _, link in linked])
    for (one, link), job_id in zip(linked, made, strict=True):
        rows.append(_item(batch, one, leader_id=link.origin_id, job_id=job_id))
    for part in bom.chunks(rows, 2000):
        session.execute(insert(BatchItem), part)


def _succeeded(session: Session, job_ids: Sequence[int]) -> Iterator[int]:
    for chunk in bom.chunks(sorted(set(job_ids))):
        query = select(RenderJob.id, RenderJob.state).where(RenderJob.id.in_(chunk)).order_by(RenderJob.id)
        for row in session.execute(query.with_for_update()):
            if row.state == JobState.SUCCEEDED:
                yield row.id


def _item(
    batch: Batch, picture: _Picture, job_id: int | None = None, leader_id: int | None = None
) -> dict[str, Any]:
    request = picture.submission.request
    return {
        "batch_id": batch.id,
        "revision_id": picture.revision.id,
        "fingerprint": request.fingerprint(),
        "request": None if leader_id is None else request.as_json(),
        "leader_id": leader_id,
        "job_id": job_id,
    }


def note_of(reference: str) -> str:
    """What the job says that got another revision's pictures."""
    return f"same geometry: taken over from {reference}"


# -- what follows from pictures -----------------------------------------------------------------------------
def follow(session: Session, settings: Settings, events: Sequence[Event]) -> list[int]:
    """Link pictures that were attached to the revisions that wait for them; the ids of jobs that had to be
    made instead, because what they waited for cannot be taken over."""
    attached = [event for event in events if event.kind == EventKind.RENDER_ATTACHED]
    leaders = {job for event in attached if isinstance(job := event.payload.get("job"), int)}
    if not leaders:
        return []
    query = (
        select(BatchItem, Batch, RenderJob)
        .join(Batch, Batch.id == BatchItem.batch_id)
        .join(RenderJob, RenderJob.id == BatchItem.leader_id)
        .join(RenderJob.revision)
        .join(PartRevision.part)
        .options(contains_eager(RenderJob.revision).contains_eager(PartRevision.part))
        .where(
            BatchItem.leader_id.in_(leaders), BatchItem.job_id.is_(None), Batch.state != BatchState.CANCELLED
        )
        .order_by(BatchItem.id)
        .with_for_update(of=(BatchItem, Batch))
    )
    waiting = [(item, batch, leader) for item, batch, leader in session.execute(query)]
    wanted = [_submission(settings, item, leader) for item, _, leader in waiting]
    jobs.lock_revisions(session, {one.revision_id for one in wanted})
    known = jobs.known(session, wanted)
    usable = jobs.usable_origins(session, sorted({leader.id for _, _, leader in waiting}))
    links: dict[tuple[int, str, int], tuple[list[BatchItem], Link]] = {}
    new_jobs: list[int] = []
    # Where the pictures cannot be taken over, the first who waits for them has them made for all.
    led: dict[tuple[int, int], int] = {}
    for place, (item, batch, leader) in enumerate(waiting):
        if place in known:
            item.job_id, item.leader_id = known[place].job_id, None
        elif leader.id in usable:
            link = Link(
                wanted[place], leader.id, batch.requester, note_of(leader.revision.reference), item.batch_id
            )
            key = (item.revision_id, item.fingerprint, leader.fidelity_retries)
            links.setdefault(key, ([], link))[0].append(item)
        elif (batch.id, leader.id) in led:
            item.leader_id = led[batch.id, leader.id]
        else:
            (answer,) = jobs.submit(session, [wanted[place]], batch.requester)
            item.job_id, item.leader_id = answer.job_id, None
            led[batch.id, leader.id] = answer.job_id
            if answer.how == "new" and batch.state == BatchState.PAUSED:
                jobs.hold_job(session, answer.job_id)
            elif answer.how == "new":
                new_jobs.append(answer.job_id)
    made = jobs.link_all(session, [link for _, link in links.values()])
    for (items, _), job_id in zip(links.values(), made, strict=True):
        for item in items:
            item.job_id = job_id
    session.flush()
    return new_jobs


def _submission(settings: Settings, item: BatchItem, leader: RenderJob) -> Submission:
    return Submission(
        revision_id=item.revision_id,
        request=RenderRequest.from_json(item.request),
        max_attempts=settings.max_attempts,
        fidelity_policy=FidelityPolicy(leader.fidelity_policy),
        fidelity_retries=leader.fidelity_retries,
        batch_id=item.batch_id,
    )
