"""Reviews, primary images and what another CAD file does to them: the rules, against a plain oracle, and who
may approve what."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from sqlalchemy import select

from mfgviz import catalog, jobs, renditions, reviews, schema
from mfgviz.catalog import NewPart, StoredFile
from mfgviz.database import Database
from mfgviz.errors import (
    ApprovalRequiredError,
    IllegalMoveError,
    MfgvizError,
    NoApprovedImageError,
    RevisionFrozenError,
)
from mfgviz.jobs import Claimant, Link, NewRendition, Submission
from mfgviz.records import AuditEntry, Event, Rendition
from mfgviz.requests import ModelChoice, RenderRequest, SamplingSettings
from mfgviz.reviews import Reviewer
from mfgviz.vocabulary import Approval, LifecycleState, ReviewState

FILES = ("a" * 64, "b" * 64, "c" * 64)
PEOPLE = ("ann", "bob")
SAID = (ReviewState.PROPOSED, ReviewState.APPROVED, ReviewState.REJECTED)


def request(file: str, seed: int = 0) -> RenderRequest:
    sampling = SamplingSettings("ddim", 8, 2.0, seed=seed, width=96, height=64)
    return RenderRequest(file, "steel", ModelChoice("studio", "b" * 64, "studio"), sampling)


def picture() -> NewRendition:
    return NewRendition(0, 7, (96, 64), "d" * 64, "e" * 64, "f" * 64, {})


def add_revision(database: Database, number: str, file: str = FILES[0]) -> int:
    with database.begin() as session:
        catalog.add_part(session, NewPart(number), "ann")
        revision = catalog.add_revision(session, number, "A", "ann")
        catalog.attach_geometry(session, revision, StoredFile(file, 10, "b.step"), "ann")
        return revision.id


def render(database: Database, number: str, author: str = "ann", seed: int = 0) -> int:
    """A render of the file that the revision A of that part has now."""
    with database.begin() as session:
        revision = catalog.get_revision(session, f"{number}@A")
        assert revision.geometry is not None
        asked = request(revision.geometry.digest, seed)
        (job,) = jobs.submit(session, [Submission(revision.id, asked, forced=True)], author)
    return finish(database, job.job_id)


def finish(database: Database, job_id: int) -> int:
    claim = jobs.claim(database, Claimant("host:1", max_images=1))
    assert claim is not None
    assert claim.jobs[0].id == job_id
    return jobs.complete(database, claim, job_id, [picture()])[0]


def say(database: Database, render_id: int, state: str, reviewer: Reviewer) -> None:
    with database.begin() as session:
        rendition = renditions.get(session, render_id)
        reviews.review(session, rendition, ReviewState(state), reviewer, "Why.")


def choose(database: Database, render_id: int, reviewer: Reviewer) -> None:
    with database.begin() as session:
        reviews.set_primary(session, renditions.get(session, render_id), reviewer)


def attach(database: Database, number: str, file: str) -> None:
    with database.begin() as session:
        revision = catalog.get_revision(session, f"{number}@A")
        catalog.attach_geometry(session, revision, StoredFile(file, 10, "b.step"), "ann")


def standing(database: Database, *render_ids: int) -> list[tuple[str, bool]]:
    with database.read() as session:
        rows = [renditions.get(session, one) for one in render_ids]
        return [(row.review_state, row.is_primary) for row in rows]


def payloads(database: Database, kind: str) -> list[dict[str, object]]:
    with database.read() as session:
        return list(session.scalars(select(Event.payload).where(Event.kind == kind).order_by(Event.id)))


# -- who may approve what -------------------------------------------------------------------------------
def test_the_first_approved_picture_stands_for_its_revision(database: Database) -> None:
    add_revision(database, "BRK-1")
    one, other = render(database, "BRK-1"), render(database, "BRK-1")
    ann = Reviewer("ann")
    say(database, one, "approved", ann)
    say(database, other, "approved", ann)
    assert standing(database, one, other) == [("approved", True), ("approved", False)]
    assert [told["primary"] for told in payloads(database, "render.approved")] == [True, False]
    choose(database, other, ann)
    assert standing(database, one, other) == [("approved", False), ("approved", True)]
    say(database, other, "proposed", ann)  # taken back: none stands, and no other one does instead
    assert standing(database, one, other) == [("approved", False), ("proposed", False)]
    with database.read() as session:
        told = session.scalars(select(AuditEntry).order_by(AuditEntry.id)).all()
    made = [one.details["render"] for one in told if one.action == "render.made_primary"]
    assert made == [one, other]


def test_choosing_a_proposed_picture_approves_it_where_one_may_review(database: Database) -> None:
    add_revision(database, "BRK-1")
    one = render(database, "BRK-1")
    with pytest.raises(ApprovalRequiredError, match=f"Render {one} is proposed") as caught:
        choose(database, one, Reviewer("eve", may_review=False))
    assert f"mfgviz renders approve {one}" in caught.value.remedy
    assert standing(database, one) == [("proposed", False)]
    choose(database, one, Reviewer("bob"))
    assert standing(database, one) == [("approved", True)]
    (told,) = payloads(database, "render.approved")
    assert (told["render"], told["primary"]) == (one, True)
    with database.read() as session:
        assert renditions.get(session, one).reviewed_by == "bob"
    choose(database, one, Reviewer("eve", may_review=False))  # approved and chosen already: nothing to do


def test_without_the_gate_any_picture_that_is_not_rejected_may_be_chosen(database: Database) -> None:
    add_revision(database, "BRK-1")
    one, other = render(database, "BRK-1"), render(database, "BRK-1")
    eve = Reviewer("eve", Approval.OFF, may_review=False)
    choose(database, one, eve)
    say(database, other, "approved", Reviewer("bob", Approval.OFF))
    assert standing(database, one, other) == [("proposed", True), ("approved", False)]
    # The gate is switched on: what was chosen before is approved by choosing it again.
    choose(database, one, Reviewer("bob"))
    assert standing(database, one) == [("approved", True)]


def test_of_another_means_neither_the_author_nor_that_of_the_picture_it_was_taken_from(
    database: Database,
) -> None:
    add_revision(database, "BRK-1")
    one = render(database, "BRK-1", "ann")
    twin_of = add_revision(database, "BRK-2")
    with database.begin() as session:
        origin = renditions.get(session, one).job_id
        asked = Submission(twin_of, request(FILES[0]))
        linked = jobs.link(session, Link(asked, origin, "bob", jobs.UNCHANGED))
        twin = renditions.of_job(session, linked)[0].id
    gate = Approval.OTHER
    for who, what in (("ann", one), ("ann", twin), ("bob", twin)):
        with pytest.raises(ApprovalRequiredError, match=f"Render {what} was made for {who}"):
            say(database, what, "approved", Reviewer(who, gate))
        with pytest.raises(ApprovalRequiredError, match="somebody else"):
            choose(database, what, Reviewer(who, gate))
    say(database, twin, "approved", Reviewer("eve", gate))
    choose(database, one, Reviewer("bob", gate))
    assert standing(database, one, twin) == [("approved", True)] * 2
    # What its author approved while anybody could does not do any more.
    late = render(database, "BRK-1", "ann")
    say(database, late, "approved", Reviewer("ann"))
    with pytest.raises(ApprovalRequiredError):
        choose(database, late, Reviewer("bob", gate))


def test_what_is_reviewed_stays_with_what_was_said(database: Database) -> None:
    add_revision(database, "BRK-1")
    one = render(database, "BRK-1")
    say(database, one, "approved", Reviewer("bob"))
    with pytest.raises(IllegalMoveError, match="is approved and cannot become approved"):
        say(database, one, "approved", Reviewer("bob"))
    say(database, one, "rejected", Reviewer("bob"))
    with pytest.raises(IllegalMoveError, match="is rejected"):
        choose(database, one, Reviewer("bob"))


def test_a_stale_picture_may_be_approved_and_that_is_noted(database: Database) -> None:
    add_revision(database, "BRK-1")
    one = render(database, "BRK-1")
    with database.begin() as session:
        row = renditions.get(session, one)
        row.stale_at = row.created_at
    say(database, one, "approved", Reviewer("bob"))
    assert standing(database, one) == [("approved", True)]
    assert payloads(database, "render.approved")[0]["stale"] is True


# -- another CAD file ----------------------------------------------------------------------------------------
def test_another_file_supersedes_and_the_former_one_brings_back(database: Database) -> None:
    add_revision(database, "BRK-1")
    bob = Reviewer("bob")
    approved, proposed, rejected = (render(database, "BRK-1") for _ in range(3))
    say(database, approved, "approved", bob)
    say(database, rejected, "rejected", bob)
    attach(database, "BRK-1", FILES[0])  # the same again changes nothing
    assert standing(database, approved) == [("approved", True)]
    attach(database, "BRK-1", FILES[1])
    assert standing(database, approved, proposed, rejected) == [
        ("superseded", False), ("superseded", False), ("rejected", False),
    ]  # fmt: skip
    (told,) = payloads(database, "render.superseded")
    assert (told["renders"], told["primary"]) == ([approved, proposed], approved)
    for state in SAID:
        with pytest.raises(IllegalMoveError, match="superseded"):
            say(database, approved, state, bob)
    with pytest.raises(IllegalMoveError, match="shows another CAD file than BRK-1@A has now"):
        say(database, rejected, "approved", bob)
    with pytest.raises(IllegalMoveError, match="superseded"):
        choose(database, proposed, bob)
    attach(database, "BRK-1", FILES[0])
    assert standing(database, approved, proposed, rejected) == [
        ("proposed", False), ("proposed", False), ("rejected", False),
    ]  # fmt: skip
    assert payloads(database, "render.proposed") == [{"revision": "BRK-1@A", "renders": [approved, proposed]}]
    with database.read() as session:
        assert renditions.get(session, approved).reviewed_by is None
        actions = set(session.scalars(select(AuditEntry.action)))
    assert {"render.superseded", "render.proposed"} <= actions


def test_a_picture_that_comes_after_another_file_is_superseded_at_once(database: Database) -> None:
    revision_id = add_revision(database, "BRK-1")
    with database.begin() as session:
        (job,) = jobs.submit(session, [Submission(revision_id, request(FILES[0]))], "ann")
    attach(database, "BRK-1", FILES[1])
    late = finish(database, job.job_id)
    assert standing(database, late) == [("superseded", False)]
    assert payloads(database, "render.superseded") == [{"renders": [late], "primary": None}]
    attach(database, "BRK-1", FILES[0])
    assert standing(database, late) == [("proposed", False)]


def test_a_revision_is_released_with_an_approved_picture_of_its_file_only(database: Database) -> None:
    add_revision(database, "BRK-1")
    former = render(database, "BRK-1")
    say(database, former, "approved", Reviewer("bob"))
    attach(database, "BRK-1", FILES[1])
    proposed = render(database, "BRK-1")

    def release() -> None:
        with database.begin() as session:
            revision = catalog.get_revision(session, "BRK-1@A")
            state = LifecycleState.RELEASED
            catalog.set_lifecycle_state(session, revision, state, "bob", needs_approved_image=True)

    with pytest.raises(NoApprovedImageError, match="BRK-1@A has no approved image"):
        release()
    assert payloads(database, "revision.released") == []
    say(database, proposed, "approved", Reviewer("bob"))
    release()
    assert len(payloads(database, "revision.released")) == 1


# -- every order of events, against a plain oracle -----------------------------------------------------
@dataclass
class Known:
    """A render as the oracle knows it."""

    file: str
    author: str
    state: str = "proposed"
    by: str | None = None
    is_primary: bool = False


@dataclass
class Oracle:
    """What the rules say, in plain Python."""

    approval: str
    needs_image: bool
    file: str = FILES[0]
    state: str = "in_work"
    renders: dict[int, Known] = field(default_factory=dict)

    def primary(self) -> Known | None:
        return next((one for one in self.renders.values() if one.is_primary), None)

    def refuses_author(self, one: Known, by: str | None) -> bool:
        return self.approval == "other" and by in (None, one.author)

    def review(self, one: Known, state: str, who: str) -> type[MfgvizError] | None:
        if one.state in (state, "superseded"):
            return IllegalMoveError
        if state != "rejected" and one.file != self.file:
            return IllegalMoveError
        if state == "approved" and self.refuses_author(one, who):
            return ApprovalRequiredError
        gated = self.approval != "off"
        if state == "approved":
            one.is_primary = one.is_primary or (gated and self.primary() is None)
        elif state == "rejected" or gated:
            one.is_primary = False
        one.state, one.by = state, who
        return None

    def choose(self, one: Known, who: str, *, may_review: bool) -> type[MfgvizError] | None:
        if one.state in ("rejected", "superseded") or one.file != self.file:
            return IllegalMoveError
        if self.approval != "off":
            if one.state == "proposed" and not may_review:
                return ApprovalRequiredError
            if self.refuses_author(one, who if one.state == "proposed" else one.by):
                return ApprovalRequiredError
            if one.state == "proposed":
                one.state, one.by = "approved", who
        self.clear()
        one.is_primary = True
        return None

    def clear(self) -> None:
        for one in self.renders.values():
            one.is_primary = False

    def attach(self, file: str) -> type[MfgvizError] | None:
        if self.state in ("released", "obsolete"):
            return RevisionFrozenError
        if file != self.file:
            self.file = file
            for one in self.renders.values():
                if one.state == "superseded" and one.file == file:
                    one.state, one.by = "proposed", None
                elif one.state in ("proposed", "approved") and one.file != file:
                    one.state, one.is_primary = "superseded", False
        return None

    def move(self, state: str) -> type[MfgvizError] | None:
        if state == self.state:
            return None
        if self.state == "obsolete" or (self.state == "released" and state != "obsolete"):
            return IllegalMoveError
        approved = any(one.state == "approved" and one.file == self.file for one in self.renders.values())
        if state == "released" and self.needs_image and not approved:
            return NoApprovedImageError
        self.state = state
        return None


class ReviewMachine(RuleBasedStateMachine):
    """Renders, reviews, choices, files and releases of one revision, in any order."""

    database: Database
    parts = 0

    @initialize(approval=st.sampled_from(["any", "other", "off"]), needs_image=st.booleans())
    def begin(self, approval: str, needs_image: bool) -> None:
        type(self).parts += 1
        self.number = f"P-{self.parts}"
        self.revision_id = add_revision(self.database, self.number)
        self.oracle = Oracle(approval, needs_image)
        self.waiting: list[tuple[int, Known]] = []

    def both(self, act: Callable[[], None], expected: type[MfgvizError] | None) -> None:
        if expected is None:
            act()
        else:
            with pytest.raises(expected):
                act()

    def pick(self, number: int) -> tuple[int, Known]:
        return list(self.oracle.renders.items())[number % len(self.oracle.renders)]

    @rule(author=st.sampled_from(PEOPLE))
    def ask(self, author: str) -> None:
        with self.database.begin() as session:
            asked = Submission(self.revision_id, request(self.oracle.file), forced=True)
            (job,) = jobs.submit(session, [asked], author)
        self.waiting.append((job.job_id, Known(self.oracle.file, author)))

    @precondition(lambda self: self.waiting)
    @rule()
    def render(self) -> None:
        claim = jobs.claim(self.database, Claimant("host:1", max_images=1))
        assert claim is not None
        job_id = claim.jobs[0].id
        known = dict(self.waiting)[job_id]
        self.waiting = [one for one in self.waiting if one[0] != job_id]
        known.state = "proposed" if known.file == self.oracle.file else "superseded"
        self.oracle.renders[jobs.complete(self.database, claim, job_id, [picture()])[0]] = known

    @precondition(lambda self: self.oracle.renders)
    @rule(number=st.integers(0, 9), state=st.sampled_from(SAID), who=st.sampled_from(PEOPLE))
    def review(self, number: int, state: ReviewState, who: str) -> None:
        render_id, known = self.pick(number)
        reviewer = Reviewer(who, Approval(self.oracle.approval))
        expected = self.oracle.review(known, state, who)
        self.both(lambda: say(self.database, render_id, state, reviewer), expected)

    @precondition(lambda self: self.oracle.renders)
    @rule(number=st.integers(0, 9), who=st.sampled_from(PEOPLE), may_review=st.booleans())
    def choose(self, number: int, who: str, may_review: bool) -> None:
        render_id, known = self.pick(number)
        reviewer = Reviewer(who, Approval(self.oracle.approval), may_review)
        expected = self.oracle.choose(known, who, may_review=may_review)
        self.both(lambda: choose(self.database, render_id, reviewer), expected)

    @rule()
    def clear(self) -> None:
        self.oracle.clear()
        with self.database.begin() as session:
            reviews.clear_primary(session, catalog.get_revision(session, f"{self.number}@A"), "ann")

    @rule(file=st.sampled_from(FILES))
    def attach(self, file: str) -> None:
        self.both(lambda: attach(self.database, self.number, file), self.oracle.attach(file))

    @rule(state=st.sampled_from(["in_work", "in_review", "in_review", "released", "obsolete"]))
    def move(self, state: str) -> None:
        def act() -> None:
            with self.database.begin() as session:
                revision = catalog.get_revision(session, f"{self.number}@A")
                needed = self.oracle.needs_image
                wanted = LifecycleState(state)
                catalog.set_lifecycle_state(session, revision, wanted, "ann", needs_approved_image=needed)

        self.both(act, self.oracle.move(state))

    @invariant()
    def agrees(self) -> None:
        with self.database.read() as session:
            rows = session.scalars(select(Rendition).where(Rendition.revision_id == self.revision_id))
            found = {row.id: (row.review_state, row.is_primary) for row in rows}
            state = catalog.get_revision(session, f"{self.number}@A").state
        known = {key: (one.state, one.is_primary) for key, one in self.oracle.renders.items()}
        assert (found, state) == (known, self.oracle.state)
        for one in self.oracle.renders.values():
            assert one.state != "approved" or one.file == self.oracle.file
            if one.is_primary and self.oracle.approval != "off":
                assert one.state == "approved"
                assert not self.oracle.refuses_author(one, one.by)

    def teardown(self) -> None:
        """What still waits is not the next one's."""
        with self.database.begin() as session:
            for job_id, _ in getattr(self, "waiting", ()):
                jobs.cancel(session, job_id, "ann")


@pytest.fixture(scope="module")
def machine_database() -> Iterator[Database]:
    with tempfile.TemporaryDirectory() as folder:
        database = Database(f"sqlite:///{Path(folder) / 'test.db'}")
        schema.upgrade(database)
        yield database
        database.dispose()


def test_every_order_of_events_ends_as_the_oracle_says(machine_database: Database) -> None:
    ReviewMachine.database = machine_database
    ReviewMachine.TestCase.settings = settings(
        max_examples=40, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
    )
    ReviewMachine.TestCase().runTest()
