"""Approve, supersede, choose, reject and release at the same moment, on PostgreSQL: the gate holds."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from sqlalchemy import select

from mfgviz import catalog, jobs, renditions, reviews
from mfgviz.catalog import StoredFile
from mfgviz.database import Database
from mfgviz.errors import MfgvizError
from mfgviz.jobs import Claim, Claimant, Submission
from mfgviz.records import AuditEntry, Event, PartRevision, RenderJob, Rendition
from mfgviz.reviews import Reviewer, is_current
from mfgviz.vocabulary import Approval, LifecycleState, ReviewState
from tests.support.servers import Postgres
from tests.unit.core.test_reviews import FILES, add_revision, attach, choose, picture, render, request, say

THREADS, ACTIONS, ROUNDS, LIMIT_S = 4, 3, 40, 8.0


@pytest.fixture
def database(postgres: Postgres) -> Iterator[Database]:
    with postgres.database() as url:
        db = Database(url)
        yield db
        db.dispose()


class Round:
    """One revision, some renders of it, a job that is under way, and threads that do things to all these."""

    def __init__(self, database: Database, seed: int) -> None:
        self.database, self.seed = database, seed
        self.number = f"P-{seed}"
        self.chance = random.Random(seed)
        self.revision_id = add_revision(database, self.number)
        self.renders = [render(database, self.number, author) for author in ("ann", "ann", "bob")]
        with database.begin() as session:
            asked = Submission(self.revision_id, request(FILES[0]), forced=True)
            jobs.submit(session, [asked], "ann")
        self.claim = jobs.claim(database, Claimant("host:1", max_images=1))
        self.refused: Counter[str] = Counter()
        self.broken: list[BaseException] = []

    def run(self) -> None:
        start = threading.Barrier(THREADS)
        plans = [[self.chance.randrange(10**6) for _ in range(ACTIONS)] for _ in range(THREADS)]
        plans[0].append(-1)
        threads = [threading.Thread(target=self.act, args=(start, plan)) for plan in plans]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive(), f"seed {self.seed}: a thread waits for ever"
        assert not self.broken, f"seed {self.seed}: {self.broken!r}"

    def act(self, start: threading.Barrier, plan: list[int]) -> None:
        start.wait(30)
        for number in plan:
            try:
                self.do(random.Random(number), number)
            except MfgvizError as error:
                self.refused[error.code] += 1
            except BaseException as error:  # noqa: BLE001 - the test's own thread tells of it
                self.broken.append(error)

    def do(self, chance: random.Random, number: int) -> None:
        one = chance.choice(self.renders)
        reviewer = Reviewer(chance.choice(("ann", "bob", "eve")), Approval.OTHER)
        if number < 0:
            self.complete(self.claim)
            return
        match chance.randrange(6):
            case 0 | 1:
                say(self.database, one, "approved", reviewer)
            case 2:
                say(self.database, one, chance.choice(("rejected", "proposed")), reviewer)
            case 3:
                choose(self.database, one, reviewer)
            case 4:
                attach(self.database, self.number, chance.choice(FILES[:2]))
            case _:
                self.release()

    def complete(self, claim: Claim | None) -> None:
        assert claim is not None
        jobs.complete(self.database, claim, claim.jobs[0].id, [picture()])

    def release(self) -> None:
        with self.database.begin() as session:
            revision = catalog.get_revision(session, f"{self.number}@A")
            state = LifecycleState.IN_REVIEW if revision.state == "in_work" else LifecycleState.RELEASED
            catalog.set_lifecycle_state(session, revision, state, "eve", needs_approved_image=True)

    def check(self) -> None:
        told = f"seed {self.seed}"
        with self.database.read() as session:
            ids = session.scalars(select(Rendition.id).where(Rendition.revision_id == self.revision_id))
            rows = [renditions.get(session, one) for one in ids]
            assert len(rows) == len(self.renders) + 1, told
            assert sum(row.is_primary for row in rows) <= 1, told
            for row in rows:
                assert is_current(row) or row.review_state in ("rejected", "superseded"), (told, row.id)
                assert row.review_state != "superseded" or not is_current(row), (told, row.id)
                if row.is_primary:
                    assert row.review_state == "approved", (told, row.id)
                if row.review_state == "approved":
                    assert row.reviewed_by not in (None, row.job.requester), (told, row.id)
            mine = Event.revision_id == self.revision_id
            counts = Counter(session.scalars(select(Event.kind).where(mine)))
            trail = session.scalars(
                select(AuditEntry).where(
                    AuditEntry.subject == f"{self.number}@A", AuditEntry.action == "render.reviewed"
                )
            )
            reviewed = Counter(entry.details["to"] for entry in trail)
            assert counts["render.approved"] == reviewed["approved"], told
            assert counts["render.rejected"] == reviewed["rejected"], told
            assert counts["revision.released"] <= 1, told


def test_whatever_comes_first_no_picture_stands_that_may_not(database: Database) -> None:
    until = time.monotonic() + LIMIT_S
    refused: Counter[str] = Counter()
    begin = random.SystemRandom().randrange(10**6)
    print(f"seeds from {begin}")
    rounds = 0
    while rounds < ROUNDS and time.monotonic() < until:
        one = Round(database, begin + rounds)
        one.run()
        one.check()
        refused.update(one.refused)
        rounds += 1
    print(f"{rounds} rounds, refused: {dict(refused)}")
    assert refused["illegal-move"] > 0
    with database.read() as session:
        revisions = session.scalars(select(PartRevision.id)).all()
        assert len(session.scalars(select(RenderJob.id)).all()) == 4 * len(revisions)


@pytest.mark.parametrize("first", ["approve", "attach"])
def test_one_waits_for_the_other(database: Database, first: str) -> None:
    """The second transaction begins while the first is open, and sees all of it when that has ended."""
    add_revision(database, "BRK-1")
    one = render(database, "BRK-1")
    stored = StoredFile(FILES[1], 10, "b.step")
    refused: list[MfgvizError] = []

    def second() -> None:
        try:
            if first == "attach":
                say(database, one, "approved", Reviewer("bob"))
            else:
                attach(database, "BRK-1", FILES[1])
        except MfgvizError as error:
            refused.append(error)

    waits = threading.Thread(target=second)
    with database.begin() as session:
        rendition = renditions.get(session, one)
        if first == "attach":
            catalog.attach_geometry(session, rendition.revision, stored, "ann")
        else:
            reviews.review(session, rendition, ReviewState.APPROVED, Reviewer("bob"))
        waits.start()
        waits.join(0.3)
        assert waits.is_alive()  # it waits for the revision's row
    waits.join(30)
    with database.read() as session:
        row = renditions.get(session, one)
        assert (row.review_state, row.is_primary) == ("superseded", False)
    assert len(refused) == (first == "attach")
