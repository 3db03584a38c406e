"""What a release makes stale, beside an oracle in plain Python, and making it again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select
from sqlalchemy.orm import Session

from mfgviz import catalog, jobs, staleness
from mfgviz.database import Database
from mfgviz.records import AuditEntry, Event, PartRevision, RenderJob, Rendition
from mfgviz.settings import Settings
from mfgviz.vocabulary import EventKind, JobState, LifecycleState
from tests.unit.bom.conftest import Line, add, picture, quick, take, wipe
from tests.unit.bom.oracle import Catalogue, catalogues, stale_after


def release(db: Database, reference: str) -> int:
    """Release a revision; the event's id."""
    with db.begin() as session:
        revision = catalog.get_revision(session, reference)
        catalog.set_lifecycle_state(
            session, revision, LifecycleState.RELEASED, "eve", needs_approved_image=False
        )
        return last_event(session, EventKind.REVISION_RELEASED)


def last_event(session: Session, kind: EventKind) -> int:
    session.flush()
    return session.scalars(select(Event.id).where(Event.kind == kind).order_by(Event.id.desc())).first() or 0


def follow(db: Database, *event_ids: int) -> None:
    with db.begin() as session:
        events = list(session.scalars(select(Event).where(Event.id.in_(event_ids)).order_by(Event.id)))
        assert staleness.follow(session, Settings(), events) == []


def stale(db: Database) -> dict[str, str]:
    """The revisions with stale renders, and why they are."""
    with db.read() as session:
        found = session.scalars(select(Rendition).where(Rendition.stale_at.is_not(None)))
        return {one.revision.reference: one.stale_reason or "" for one in found}


def told(db: Database) -> list[tuple[str, dict[str, object], str]]:
    with db.read() as session:
        events = session.scalars(
            select(Event).where(Event.kind == EventKind.REVISION_STALE).order_by(Event.id)
        )
        return [(one.revision.reference, one.payload, one.actor) for one in events if one.revision]


def build(db: Database, shapes: dict[str, str | None], lines: list[Line]) -> None:
    """Revisions of those shapes, each with two renders, and lines."""
    wipe(db)
    with db.begin() as session:
        for reference, shape in shapes.items():
            number = reference.partition("@")[0]
            state = "released" if reference.endswith("A") and number != "TOP" else "in_work"
            revision = add(session, reference, shape, state)
            if shape is not None:
                picture(session, revision, 2)
        take(session, lines)


SHAPES: dict[str, str | None] = {
    "TOP@C": "t", "ASM@A": "a", "SCR@A": "s", "SCR@B": "s", "SCR@C": "u", "OTH@A": "o",
}  # fmt: skip
LINES: list[Line] = [("TOP@C", "ASM", 1), ("ASM@A", "SCR", 4), ("OTH@A", "ASM@A", 1)]


def test_another_shape_makes_all_above_stale_once(db: Database) -> None:
    build(db, SHAPES, LINES)
    event = release(db, "SCR@C")
    follow(db, event)
    reason = "SCR@C was released in place of SCR@A"
    assert stale(db) == dict.fromkeys(("TOP@C", "ASM@A", "OTH@A"), reason)
    events = told(db)
    assert [reference for reference, _, _ in events] == ["TOP@C", "ASM@A", "OTH@A"]
    assert events[0][1:] == ({"revision": "TOP@C", "because": reason, "renders": 2}, "eve")
    follow(db, event)
    assert told(db) == events
    with db.read() as session:
        (entry,) = session.scalars(select(AuditEntry).where(AuditEntry.action == "renders.marked_stale"))
    assert (entry.subject, entry.details) == ("SCR@C", {"because": reason, "revisions": 3, "renders": 6})


@pytest.mark.parametrize("released", ["SCR@B", "OTH@B"])
def test_the_same_shape_and_what_is_used_nowhere_make_nothing_stale(db: Database, released: str) -> None:
    build(db, {**SHAPES, "OTH@B": "p"}, LINES)
    follow(db, release(db, released))
    assert stale(db) == {}
    assert told(db) == []


def test_the_first_revision_makes_nothing_stale(db: Database) -> None:
    build(db, {"TOP@C": "t", "NEW@B": "n"}, [("TOP@C", "NEW", 1)])
    follow(db, release(db, "NEW@B"))
    assert stale(db) == {}


def test_lines_that_pin_a_revision(db: Database) -> None:
    """What pins that very revision showed it before; what pins another shape shows what was replaced."""
    shapes: dict[str, str | None] = {"ONE@B": "x", "TWO@B": "y", "SCR@A": "s", "SCR@B": "u", "TRE@B": "z"}
    build(db, shapes, [("ONE@B", "SCR@B", 1), ("TWO@B", "SCR@A", 1), ("TRE@B", "SCR", 1)])
    follow(db, release(db, "SCR@B"))
    assert set(stale(db)) == {"TWO@B", "TRE@B"}


def test_what_is_attached_afterwards_is_not_stale(db: Database) -> None:
    build(db, SHAPES, LINES)
    follow(db, release(db, "SCR@C"))
    with db.begin() as session:
        new = picture(session, catalog.get_revision(session, "ASM@A"))
    with db.read() as session:
        assert session.get_one(Rendition, new[0].id).stale_at is None


def test_what_was_taken_over_afterwards_shows_what_its_origin_showed(db: Database) -> None:
    build(db, SHAPES, LINES)
    event = release(db, "SCR@C")
    with db.begin() as session:
        (before, *_) = session.scalars(
            select(Rendition).where(Rendition.revision_id == catalog.get_revision(session, "ASM@A").id)
        )
        (linked, *_) = picture(session, catalog.get_revision(session, "ASM@A"))
        linked.origin_id = before.id
    follow(db, event)
    with db.read() as session:
        assert session.get_one(Rendition, linked.id).stale_at is not None


@quick
@given(data=st.data(), catalogue=catalogues())
def test_exactly_what_the_oracle_says_is_stale(
    db: Database, data: st.DataObject, catalogue: Catalogue
) -> None:
    wipe(db)
    shapes = {one: data.draw(st.sampled_from(["a", "a'", "b", "c", None])) for one in catalogue.revisions}
    pictures = {one: data.draw(st.integers(0, 2)) for one in catalogue.revisions}
    open_ones = [one for one, state in catalogue.revisions.items() if state == "in_work"]
    with db.begin() as session:
        for reference, state in catalogue.revisions.items():
            revision = add(session, reference, shapes[reference], state)
            if shapes[reference] and pictures[reference]:
                picture(session, revision, pictures[reference])
        if catalogue.lines:
            take(session, catalogue.lines)
    expected: set[str] = set()
    after = dict(catalogue.revisions)
    for reference in (
        data.draw(st.lists(st.sampled_from(open_ones), unique=True, max_size=3)) if open_ones else ()
    ):
        after[reference] = "released"
        follow(db, release(db, reference))
        expected |= stale_after(Catalogue(dict(after), catalogue.lines), reference, shapes)
    seen = {one for one in expected if shapes[one] and pictures[one]}
    assert set(stale(db)) == seen
    events = told(db)
    assert sorted(one for one, _, _ in events) == sorted(seen)
    assert {one: payload["renders"] for one, payload, _ in events} == {one: pictures[one] for one in seen}


# -- making them again ---------------------------------------------------------------------------------------
def test_stale_renders_are_asked_for_again_once(db: Database) -> None:
    build(db, SHAPES, LINES)
    follow(db, release(db, "SCR@C"))
    with db.begin() as session:
        asm = catalog.get_revision(session, "ASM@A")
        (only,) = staleness.outdated(session, 3, asm.id)
        assert (only.revision_id, only.forced, only.request.prompt) == (asm.id, True, "steel")
        wanted = staleness.outdated(session, 3)
        assert len(wanted) == 3
        answers = jobs.submit(session, wanted, "ann")
        assert {one.how for one in answers} == {"new"}
        assert staleness.outdated(session, 3) == []
    claim = jobs.claim(db, jobs.Claimant("host:1", max_images=64))
    assert claim is not None
    for job in claim.jobs:
        pictures = [
            jobs.NewRendition(n, n, (512, 512), "c" * 64, "d" * 64, "f" * 64)
            for n in range(job.request.sampling.count)
        ]
        jobs.complete(db, claim, job.id, pictures)
    with db.read() as session:
        assert staleness.outdated(session, 3) == []
        fresh = session.scalars(select(Rendition).where(Rendition.pixel_digest == "f" * 64)).all()
        assert len(fresh) == 6
        assert all(one.stale_at is None for one in fresh)


def test_the_file_of_now_is_rendered_and_obsolete_revisions_are_left_out(db: Database) -> None:
    build(db, SHAPES, LINES)
    follow(db, release(db, "SCR@C"))
    with db.begin() as session:
        asm, top = (catalog.get_revision(session, one) for one in ("ASM@A", "TOP@C"))
        catalog.set_lifecycle_state(session, asm, LifecycleState.OBSOLETE, "eve", needs_approved_image=False)
        stored = catalog.StoredFile("9" * 64, 10, "new.step")
        catalog.attach_geometry(session, top, stored, "eve")
    with db.read() as session:
        wanted = {one.revision_id: one for one in staleness.outdated(session, 3)}
        assert asm.id not in wanted
        assert wanted[top.id].request.geometry_digest == "9" * 64
        states = set(session.scalars(select(RenderJob.state)))
        assert states == {JobState.SUCCEEDED}
        assert session.get_one(PartRevision, asm.id).state == LifecycleState.OBSOLETE
