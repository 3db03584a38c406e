"""Batches: each shape and recipe once, everywhere it belongs; paused, resumed and cancelled as a whole."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import select, update

from mfgviz import batches, catalog, jobs
from mfgviz.batches import Over
from mfgviz.database import Database
from mfgviz.errors import (
    BatchNotFoundError,
    IllegalMoveError,
    InvalidFilterError,
    InvalidRequestError,
    MatchesEverythingError,
    RevisionNotFoundError,
)
from mfgviz.jobs import Claimant, Failure, NewRendition
from mfgviz.records import AuditEntry, Batch, BatchItem, Event, RenderJob, Rendition, Worker
from mfgviz.requests import RenderRequest
from mfgviz.settings import Settings
from mfgviz.vocabulary import EventKind, JobState
from tests.unit.bom.conftest import Line, add, quick, take, wipe
from tests.unit.bom.oracle import Catalogue, catalogues

WORKER = Claimant("host:1", max_images=64)
ASK = {"prompt": "steel", "views": ["iso", "front"]}


def make(db: Database, over: Over, actor: str = "ann", **ask: object) -> tuple[int, list[int]]:
    """A batch's id, and its new jobs."""
    with db.begin() as session:
        made = batches.make(session, Settings(), over, {**ASK, **ask}, actor)
        return made.batch.id, made.new_jobs


def render(db: Database, count: int = 1000) -> list[int]:
    """Let a worker finish so many jobs that wait."""
    done: list[int] = []
    while len(done) < count and (claim := jobs.claim(db, Claimant("host:1", max_images=1))) is not None:
        for job in claim.jobs:
            jobs.complete(db, claim, job.id, [NewRendition(0, 0, (512, 512), "c" * 64, "d" * 64, "e" * 64)])
            done.append(job.id)
    return done


def follow(db: Database) -> list[int]:
    """Take the events that wait; the new jobs."""
    with db.begin() as session:
        events = list(session.scalars(select(Event).where(Event.delivered_at.is_(None)).order_by(Event.id)))
        new = batches.follow(session, Settings(), events)
        ids = [event.id for event in events]
        session.execute(update(Event).where(Event.id.in_(ids)).values(delivered_at=events[0].created_at))
        return new


def progress(db: Database, batch_id: int) -> batches.Progress:
    with db.read() as session:
        return batches.progress_of(session, [batch_id])[batch_id]


def counts(db: Database, batch_id: int) -> dict[str, int]:
    """What is not zero."""
    at = progress(db, batch_id)
    words = ("items", "done", "linked", "running", "queued", "failed", "cancelled", "jobs")
    return {word: getattr(at, word) for word in words if getattr(at, word)}


@pytest.fixture
def top(db: Database) -> Database:
    """TOP@C of ASM, of SCR and SC2, which have one shape, and of NOG, which has none."""
    wipe(db)
    shapes = {"TOP@C": "t", "ASM@A": "a", "SCR@A": "s", "SC2@A": "s'", "NOG@A": None}
    lines: Sequence[Line] = [
        ("TOP@C", "ASM", 3), ("ASM@A", "SCR", 4), ("TOP@C", "SC2@A", 2), ("TOP@C", "NOG", 1),
        ("ASM@A", "SC2", 1),
    ]  # fmt: skip
    with db.begin() as session:
        for reference, shape in shapes.items():
            add(session, reference, shape)
        take(session, lines)
    return db


# -- what a batch makes ----------------------------------------------------------------------------------
def test_one_shape_is_rendered_once_and_attached_wherever_it_belongs(top: Database) -> None:
    batch_id, new = make(top, Over("TOP@C"))
    assert len(new) == 6  # three shapes, two views
    assert counts(top, batch_id) == {"items": 8, "queued": 8, "jobs": 6}
    with top.read() as session:
        assert session.get_one(Batch, batch_id).skipped == [
            {"revision": "NOG@A", "code": "geometry", "reason": "NOG@A has no geometry to render."}
        ]
    render(top, 2)
    at = progress(top, batch_id)
    assert (at.done, at.queued, at.is_finished) == (2, 6, False)
    assert at.eta_s is not None
    assert at.worker_s >= 0
    render(top)
    assert follow(top) == []
    assert counts(top, batch_id) == {"items": 8, "done": 6, "linked": 2, "jobs": 6}
    with top.read() as session:
        sc2 = catalog.get_revision(session, "SC2@A")
        linked = session.scalars(select(Rendition).where(Rendition.origin_id.is_not(None))).all()
        assert len(linked) == 2
        leaders = {session.get_one(Rendition, one.origin_id or 0).revision.reference for one in linked}
        (reference,) = {one.revision.reference for one in linked}
        assert {reference, *leaders} == {"SCR@A", sc2.reference}
        for one in linked:
            assert one.job.batch_id == batch_id
            assert one.job.notes == [f"same geometry: taken over from {next(iter(leaders))}"]
            assert one.job.request["geometry_digest"] == one.revision.geometry.digest  # type: ignore[union-attr]


def test_events_that_come_again_link_nothing_twice(top: Database) -> None:
    batch_id, _ = make(top, Over("TOP@C"))
    render(top)
    with top.begin() as session:
        events = list(session.scalars(select(Event).where(Event.kind == EventKind.RENDER_ATTACHED)))
        batches.follow(session, Settings(), events)
        batches.follow(session, Settings(), events)
    assert counts(top, batch_id)["linked"] == 2
    with top.read() as session:
        assert len(session.scalars(select(Rendition)).all()) == 8


def test_the_same_batch_again_reuses_and_links_at_once(top: Database) -> None:
    make(top, Over("SCR@A"))
    render(top)
    batch_id, new = make(top, Over("TOP@C"))
    assert len(new) == 4
    assert counts(top, batch_id) == {"items": 8, "done": 2, "linked": 2, "queued": 4, "jobs": 4}
    again, new = make(top, Over("TOP@C"))
    assert new == []
    assert counts(top, again) == {"items": 8, "done": 4, "queued": 4}
    render(top)
    follow(top)
    assert counts(top, again) == {"items": 8, "done": 8}


def test_attributes_that_the_prompt_uses_are_another_recipe(top: Database) -> None:
    with top.begin() as session:
        for number, finish in (("SCR", "zinc"), ("SC2", "black"), ("ASM", "zinc")):
            part = catalog.get_part(session, number)
            catalog.change_attributes(session, part, {"finish": finish}, "ann")
    batch_id, new = make(top, Over("TOP@C"), prompt="{finish} steel", views=["iso"])
    assert len(new) == 3
    with top.read() as session:
        skipped = session.get_one(Batch, batch_id).skipped
    assert [(one["revision"], one["code"]) for one in skipped] == [
        ("TOP@C", "missing-field"),
        ("NOG@A", "geometry"),
    ]


def test_a_query_goes_over_current_revisions(top: Database) -> None:
    with top.begin() as session:
        add(session, "SCR@B", "u")  # ahead of nothing: A is not released
        add(session, "ASM@B", "v")
        catalog.set_lifecycle_state(
            session, catalog.get_revision(session, "ASM@A"), "released", "ann", needs_approved_image=False
        )  # type: ignore[arg-type]
    query = "part.number in ['SCR', 'ASM', 'NOG']"
    batch_id, _ = make(top, Over(query=query), views=["iso"])
    with top.read() as session:
        items = session.scalars(select(BatchItem).where(BatchItem.batch_id == batch_id)).all()
        jobs_of = [jobs.get(session, one.job_id or 0).revision.reference for one in items]
        assert sorted(jobs_of) == ["ASM@A", "SCR@B"]
        batch = session.get_one(Batch, batch_id)
        assert batch.source == {"query": query}
        assert [one["revision"] for one in batch.skipped] == ["NOG@A"]


@pytest.mark.parametrize(
    ("over", "ask", "kind", "told"),
    [
        ({"query": "1 == 1"}, {}, MatchesEverythingError, "names no field"),
        ({"query": "part.nonsense == 1"}, {}, InvalidFilterError, "nonsense"),
        ({"query": "part.number == 'NIX'"}, {}, InvalidRequestError, "No part fits"),
        ({"query": "part.number == 'NOG'"}, {}, InvalidRequestError, "all 1 .*left out.*no geometry"),
        ({"bom": "TOP@Z"}, {}, RevisionNotFoundError, "no revision 'Z'"),
        ({"bom": "TOP@C"}, {"width": 100}, InvalidRequestError, "width"),
        ({"bom": "TOP@C", "query": "part.number == 'X'"}, {}, InvalidRequestError, "or over a query"),
        ({}, {}, InvalidRequestError, "or over a query"),
    ],
)  # fmt: skip
def test_what_is_refused_makes_nothing(
    over: dict[str, str], ask: dict[str, object], kind: type[Exception], told: str, top: Database
) -> None:
    with pytest.raises(kind, match=told):
        make(top, Over(**over), **ask)
    with top.read() as session:
        assert session.scalar(select(Batch.id)) is None
        assert session.scalar(select(RenderJob.id)) is None


@settings(quick, max_examples=12)
@given(data=st.data(), catalogue=catalogues())
def test_deduplication_is_as_the_oracle_says(db: Database, data: st.DataObject, catalogue: Catalogue) -> None:
    """Any graph, shapes, attributes and pictures that are there already: as many jobs as there are shapes and
    recipes without one, and in the end each revision has its picture."""
    wipe(db)
    shapes = {one: data.draw(st.sampled_from(["a", "a'", "b", "c", None])) for one in catalogue.revisions}
    finishes = {one: data.draw(st.sampled_from(["zinc", "black"])) for one in catalogue.revisions}
    with db.begin() as session:
        for reference, state in catalogue.revisions.items():
            revision = add(session, reference, shapes[reference])
            catalog.change_revision_attributes(session, revision, {"finish": finishes[reference]}, "ann")
            if state != "in_work":
                catalog.set_lifecycle_state(session, revision, state, "ann", needs_approved_image=False)  # type: ignore[arg-type]
        if catalogue.lines:
            take(session, catalogue.lines)
    shaped = [one for one in catalogue.revisions if shapes[one]]
    recipe = {one: (str(shapes[one])[0], finishes[one]) for one in shaped}
    prompt = {"prompt": "{finish}", "views": ["iso"]}
    there = data.draw(st.lists(st.sampled_from(shaped), unique=True, max_size=2)) if shaped else []
    for reference in there:
        query = f"revision.reference == '{reference}'"
        if catalogue.current(reference.partition("@")[0]) == reference:
            make(db, Over(query=query), **prompt)
    queued = data.draw(st.booleans())
    if not queued:
        render(db)
    asked = {one for one in there if catalogue.current(one.partition("@")[0]) == one}
    root = data.draw(st.sampled_from(sorted(catalogue.revisions)))
    wanted = {root, *(child for _, child, _ in catalogue.tree(root) if "@" in child)} & set(shaped)
    if not wanted:
        with pytest.raises(InvalidRequestError, match="Nothing can be rendered"):
            make(db, Over(root), **prompt)
        return
    batch_id, new = make(db, Over(root), **prompt)
    had = {recipe[one] for one in asked & wanted}
    assert len(new) == len({recipe[one] for one in wanted} - had)
    assert progress(db, batch_id).items == len(wanted)
    render(db)
    if session_has_events(db):
        assert follow(db) == []
    at = progress(db, batch_id)
    assert at.done + at.linked == at.items == len(wanted)
    with db.read() as session:
        for reference in wanted:
            revision = catalog.get_revision(session, reference)
            made = session.scalars(select(Rendition).where(Rendition.revision_id == revision.id)).all()
            assert len(made) == 1, reference
            origin = session.get(Rendition, made[0].origin_id) if made[0].origin_id else None
            if origin is not None:
                assert recipe[origin.revision.reference] == recipe[reference]


def session_has_events(db: Database) -> bool:
    with db.read() as session:
        return session.scalar(select(Event.id).where(Event.delivered_at.is_(None)).limit(1)) is not None


# -- as a whole --------------------------------------------------------------------------------------------
def test_a_paused_batch_is_not_served_and_shares_with_what_came_meanwhile(top: Database) -> None:
    batch_id, new = make(top, Over("TOP@C"))
    claim = jobs.claim(top, Claimant("host:1", max_images=1))
    assert claim is not None
    with top.begin() as session:
        assert jobs.hold(session, batch_id, "ann").state == "paused"
    assert not jobs.has_work(top)
    assert jobs.claim(top, WORKER) is None
    # One that runs is not stopped; if it must be tried again, it waits with the others.
    broken = Failure("broken-image", "not a picture", retryable=True)
    assert jobs.fail(top, claim, claim.jobs[0].id, broken) is JobState.QUEUED
    assert jobs.claim(top, WORKER) is None
    with top.begin() as session:
        session.add(Worker(name="host:1", queues="gpu", device="cpu", version="1"))
        session.flush()
        report = jobs.why(session, new[-1])
        assert report.position is None
        assert report.told == f"Its batch is paused; `mfgviz batches resume {batch_id}` lets it go on."
    other, _ = make(top, Over(query="part.number == 'SCR'"), "bob", prompt="brass", views=["iso"])
    with top.begin() as session:
        assert jobs.release(session, batch_id, "ann").state == "open"
    served = render(top)
    assert len(served) == 7
    with top.read() as session:
        # They share turns from now on, instead of the old ones coming first.
        assert other in [jobs.get(session, job_id).batch_id for job_id in served[:2]]
        audited = session.scalars(
            select(AuditEntry.action).where(AuditEntry.subject == f"batch {batch_id}").order_by(AuditEntry.id)
        ).all()
    assert audited == ["batch.submitted", "batch.paused", "batch.resumed"]


def test_a_failed_job_that_is_retried_in_a_paused_batch_waits_with_it(top: Database) -> None:
    batch_id, _ = make(top, Over("SCR@A"), views=["iso"])
    claim = jobs.claim(top, WORKER)
    assert claim is not None
    jobs.fail(top, claim, claim.jobs[0].id, Failure("render", "no", retryable=False))
    assert counts(top, batch_id) == {"items": 1, "failed": 1, "jobs": 1}
    with top.begin() as session:
        jobs.hold(session, batch_id, "ann")
        jobs.retry(session, claim.jobs[0].id, "ann")
    assert jobs.claim(top, WORKER) is None
    with top.begin() as session:
        jobs.release(session, batch_id, "ann")
    assert render(top) == [claim.jobs[0].id]


def test_cancel_ends_waiting_and_running_jobs_and_links_no_more(top: Database) -> None:
    batch_id, new = make(top, Over("TOP@C"))
    claim = jobs.claim(top, Claimant("host:1", max_images=1))
    assert claim is not None
    running = claim.jobs[0].id
    with top.begin() as session:
        jobs.cancel_batch(session, batch_id, "ann")
    assert jobs.claim(top, WORKER) is None
    assert jobs.heartbeat(top, claim, 1, 8).cancel_requested == {running}
    assert counts(top, batch_id) == {"items": 8, "running": 1, "cancelled": 7, "jobs": 6}
    jobs.confirm_cancel(top, claim, running)
    assert counts(top, batch_id) == {"items": 8, "cancelled": 8, "jobs": 6}
    with top.begin() as session:
        for job_id in new:
            jobs.retry(session, job_id, "ann")
    assert len(render(top)) == 6
    follow(top)
    assert counts(top, batch_id)["cancelled"] == 2  # the two that would have been taken over
    with top.begin() as session, pytest.raises(IllegalMoveError, match=f"Batch {batch_id} is cancelled"):
        jobs.release(session, batch_id, "ann")


def test_moves_are_guarded(top: Database) -> None:
    batch_id, _ = make(top, Over("SCR@A"))
    with top.begin() as session, pytest.raises(IllegalMoveError, match="is open and cannot become open"):
        jobs.release(session, batch_id, "ann")
    with top.begin() as session:
        jobs.hold(session, batch_id, "ann")
    with top.begin() as session, pytest.raises(IllegalMoveError, match="is paused and cannot become paused"):
        jobs.hold(session, batch_id, "ann")
    with top.begin() as session:
        jobs.cancel_batch(session, batch_id, "ann")
    for change in (jobs.hold, jobs.release, jobs.cancel_batch):
        with top.begin() as session, pytest.raises(IllegalMoveError, match="is cancelled and cannot"):
            change(session, batch_id, "ann")
    with top.begin() as session, pytest.raises(BatchNotFoundError):
        jobs.hold(session, 10**6, "ann")


def test_a_job_that_was_only_joined_is_not_the_batchs_to_hold_or_cancel(top: Database) -> None:
    theirs, (job_id,) = make(top, Over("SCR@A"), "bob", views=["iso"])
    mine, new = make(top, Over("TOP@C"), "ann", views=["iso"])
    assert job_id not in new
    with top.begin() as session:
        jobs.hold(session, mine, "ann")
    claim = jobs.claim(top, WORKER)
    assert claim is not None
    assert [job.id for job in claim.jobs] == [job_id]
    with top.begin() as session:
        jobs.cancel_batch(session, mine, "ann")
    assert not jobs.heartbeat(top, claim, 1, 8).cancel_requested
    jobs.complete(top, claim, job_id, [NewRendition(0, 0, (512, 512), "c" * 64, "d" * 64, "e" * 64)])
    follow(top)
    assert counts(top, theirs) == {"items": 1, "done": 1, "jobs": 1}
    assert counts(top, mine) == {"items": 4, "done": 1, "cancelled": 3, "jobs": 2}


def test_what_waits_for_pictures_that_were_rejected_is_rendered_itself(top: Database) -> None:
    batch_id, _ = make(top, Over("TOP@C"), views=["iso"])
    render(top)
    with top.begin() as session:
        session.execute(update(Rendition).values(review_state="rejected"))
    new = follow(top)
    assert len(new) == 1
    assert render(top) == new
    assert counts(top, batch_id) == {"items": 4, "done": 4, "jobs": 4}


def test_what_waits_for_rejected_pictures_waits_in_a_paused_batch_and_is_rendered_once(top: Database) -> None:
    with top.begin() as session:
        for number in ("SC3", "SC4"):
            add(session, f"{number}@A", "s")
    batch_id, _ = make(
        top, Over(query="part.number in ['SCR', 'SC2', 'SC3', 'SC4']"), views=["iso"], prompt="brass"
    )
    alike = [item for item in items_of(top, batch_id) if item.leader_id is not None]
    assert len(alike) >= 2
    claim = jobs.claim(top, Claimant("host:1", max_images=64))
    assert claim is not None
    with top.begin() as session:
        jobs.hold(session, batch_id, "ann")
    for job in claim.jobs:
        jobs.complete(top, claim, job.id, [NewRendition(0, 0, (512, 512), "c" * 64, "d" * 64, "e" * 64)])
    with top.begin() as session:
        session.execute(update(Rendition).values(review_state="rejected"))
    assert follow(top) == []
    assert jobs.claim(top, WORKER) is None  # it is paused
    with top.read() as session:
        waiting = (RenderJob.batch_id == batch_id) & (RenderJob.state == JobState.QUEUED)
        held = session.scalars(select(RenderJob).where(waiting, RenderJob.held)).all()
    assert len(held) == 1
    with top.begin() as session:
        jobs.release(session, batch_id, "ann")
    assert render(top) == [held[0].id]
    follow(top)
    at = progress(top, batch_id)
    assert (at.items, at.done + at.linked, at.queued) == (4, 4, 0)


def test_what_somebody_else_queued_meanwhile_is_waited_for(top: Database) -> None:
    batch_id, _ = make(top, Over("TOP@C"), views=["iso"])
    (waiting,) = [item for item in items_of(top, batch_id) if item.leader_id is not None]
    with top.begin() as session:
        request = RenderRequest.from_json(waiting.request)
        (bobs,) = jobs.submit(session, [jobs.Submission(waiting.revision_id, request)], "bob")
    claim = jobs.claim(top, WORKER)
    assert claim is not None
    for job in claim.jobs:
        if job.id == bobs.job_id:
            jobs.hand_back(top, claim, job.id)
        else:
            jobs.complete(top, claim, job.id, [NewRendition(0, 0, (512, 512), "c" * 64, "d" * 64, "e" * 64)])
    follow(top)
    assert counts(top, batch_id)["queued"] == 1
    render(top)
    follow(top)
    at = progress(top, batch_id)
    assert at.done + at.linked == at.items


def test_one_part_that_makes_no_prompt_is_left_out_by_name(top: Database) -> None:
    with top.begin() as session:
        part = catalog.get_part(session, "SCR")
        catalog.change_attributes(session, part, {"note": "x" * 3995}, "ann")
        catalog.change_attributes(session, catalog.get_part(session, "ASM"), {"note": "short"}, "ann")
    query = "part.number in ['SCR', 'ASM']"
    batch_id, _ = make(top, Over(query=query), views=["iso"], prompt="steel, {note}")
    with top.read() as session:
        (skipped,) = session.get_one(Batch, batch_id).skipped
    assert skipped["revision"].startswith("SCR@")
    assert "4000 are read" in skipped["reason"]
    with pytest.raises(InvalidRequestError, match="4000 are read"):
        make(top, Over(query="part.number == 'SCR'"), prompt="steel, {note}")


def items_of(db: Database, batch_id: int) -> list[BatchItem]:
    with db.read() as session:
        return list(session.scalars(select(BatchItem).where(BatchItem.batch_id == batch_id)))
