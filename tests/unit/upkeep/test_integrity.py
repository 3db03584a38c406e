"""`db check`: each kind of damage is planted for real, found, and mended where it can be."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, select, text, update
from sqlalchemy.orm import Session

from mfgviz import catalog, integrity, jobs, reviews
from mfgviz.catalog import StoredFile
from mfgviz.integrity import Checked
from mfgviz.records import (
    Attempt,
    AuditEntry,
    Batch,
    BatchItem,
    BomLine,
    Geometry,
    Model,
    PartRevision,
    RenderJob,
    Rendition,
    Rule,
    utcnow,
)
from mfgviz.reviews import Reviewer
from mfgviz.runtime import Runtime
from mfgviz.settings import Settings
from mfgviz.vocabulary import GeometryState, JobState, ReviewState
from tests.support.installation import STEP, fill, finish, mfgviz, submit

LATER = timedelta(days=30)


@dataclass
class House:
    """An installation on SQLite or PostgreSQL, with a part, a job that has succeeded and its two pictures."""

    runtime: Runtime
    job: int

    def check(self, *, repair: bool = False, verify: bool = False, later: timedelta = timedelta()) -> Checked:
        """What the check finds."""
        now = datetime.now(UTC) + later
        return integrity.check(self.runtime, "ann", repair=repair, verify=verify, now=lambda: now)

    def change(self, statement: object) -> None:
        """Any statement, foreign keys not looked at."""
        with self.runtime.db.engine.connect() as connection:
            if self.runtime.db.is_sqlite:
                connection.exec_driver_sql("COMMIT")
                connection.exec_driver_sql("PRAGMA foreign_keys=OFF")
                connection.exec_driver_sql("PRAGMA ignore_check_constraints=ON")
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            else:
                connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
            connection.execute(statement)  # type: ignore[call-overload]
            connection.commit()
        self.runtime.db.dispose()

    def file(self, digest: str) -> Path:
        """Where the blob is."""
        return Path(self.runtime.settings.blob_url.removeprefix("file://"), digest[:2], digest[2:4], digest)

    def renditions(self) -> list[Rendition]:
        """All of them."""
        with self.runtime.db.read() as session:
            return list(session.scalars(select(Rendition).order_by(Rendition.id)))

    def geometry(self) -> Geometry:
        """The one there is."""
        with self.runtime.db.read() as session:
            return session.scalars(select(Geometry)).one()


@pytest.fixture
def house(database_url: str, tmp_path: Path) -> Iterator[House]:
    """Such an installation."""
    settings = Settings(
        data_dir=tmp_path / "data",
        database_url=database_url,
        blob_url=(tmp_path / "blobs").as_uri(),
        broker_url=f"redis+socket://{tmp_path / 'none.sock'}",
        requester="ann",
    )
    runtime = Runtime(settings)
    yield House(runtime, fill(runtime, images=2))
    runtime.close()


def found(done: Checked) -> dict[str, tuple[int, int]]:
    """How much of each kind was found and mended."""
    return {kind: (one.found, one.mended) for kind, one in done.problems.items()}


def test_a_whole_installation_has_no_problem(house: House) -> None:
    done = house.check(verify=True, later=LATER)
    assert found(done) == {}
    assert done.blobs == 5
    assert done.rows > 10


# -- lost blobs --------------------------------------------------------------------------------------------
def lose(house: House, digest: str, how: str) -> None:
    if how == "gone":
        house.file(digest).unlink()
    else:
        house.file(digest).write_bytes(b"rotten")


@pytest.mark.parametrize("how", ["gone", "rotten"])
def test_a_lost_picture_is_rendered_again_and_is_whole_when_it_is_the_same(house: House, how: str) -> None:
    first, _ = house.renditions()
    with house.runtime.db.begin() as session:
        reviews.review(session, session.get_one(Rendition, first.id), ReviewState.APPROVED, Reviewer("bob"))
    lose(house, first.blob_digest, how)
    verify = how == "rotten"
    before = house.check(verify=verify)
    assert found(before) == {"picture-without-blob": (1, 0)}
    assert before.problems["picture-without-blob"].left == [str(first.id)]
    assert found(house.check(verify=verify, repair=True)) == {"picture-without-blob": (1, 1)}
    shown, other = house.renditions()
    assert (shown.stale_reason, shown.is_primary) == (reviews.LOST, False)
    assert other.stale_reason is None
    # While it is being made nothing is asked for again.
    assert found(house.check(verify=verify, repair=True)) == {"picture-being-made": (1, 0)}
    finish(house.runtime, house.job + 1)
    assert found(house.check(verify=verify, repair=True)) == {"picture-is-back": (1, 1)}
    healed = house.renditions()[0]
    assert (healed.stale_at, healed.stale_reason, healed.is_primary) == (None, None, True)
    assert found(house.check(verify=True)) == {}


def test_a_picture_that_comes_out_otherwise_is_replaced_and_nobody_is_shown_the_broken_one(
    house: House,
) -> None:
    first, _ = house.renditions()
    house.file(first.blob_digest).unlink()
    house.check(repair=True)
    claim = jobs.claim(house.runtime.db, jobs.Claimant("host:1"))
    assert claim is not None
    other = house.runtime.blobs.put(b"another picture")
    images = [jobs.NewRendition(n, n, (64, 64), other, other, other) for n in range(2)]
    jobs.complete(house.runtime.db, claim, house.job + 1, images)
    again = house.check(repair=True)
    assert found(again) == {"picture-replaced": (1, 0)}
    assert again.left == []
    assert house.renditions()[0].stale_reason == reviews.LOST


@pytest.mark.parametrize("what", ["model", "file"])
def test_a_picture_that_cannot_be_made_again_is_told(house: House, what: str) -> None:
    first, _ = house.renditions()
    house.file(first.blob_digest).unlink()
    if what == "model":
        house.change(update(Model).values(weights_digest="e" * 64))
    else:
        house.file(house.geometry().digest).unlink()
    done = house.check(repair=True)
    assert done.problems["picture-without-blob"].mended == 0
    assert done.problems["picture-without-blob"].left == [str(first.id)]
    assert "picture-without-blob" in [one.kind for one in done.left]
    assert house.renditions()[0].stale_reason == reviews.LOST


def test_a_picture_taken_over_is_made_again_where_it_was_made(house: House) -> None:
    with house.runtime.db.begin() as session:
        revision = catalog.add_revision(session, "BRK-1", "B", "ann")
        file = StoredFile(house.geometry().digest, STEP.stat().st_size, "b.step")
        catalog.attach_geometry(session, revision, file, "ann")
        old = jobs.get(session, house.job)
        request = jobs.submission.RenderRequest.from_json(old.request)  # type: ignore[attr-defined]
        jobs.link(session, jobs.Link(jobs.Submission(revision.id, request), house.job, "ann", jobs.UNCHANGED))
    first = house.renditions()[0]
    house.file(first.blob_digest).unlink()
    assert found(house.check(repair=True)) == {"picture-without-blob": (2, 2)}
    with house.runtime.db.read() as session:
        again = session.scalars(select(RenderJob).where(RenderJob.state == JobState.QUEUED)).one()
        assert again.revision_id == jobs.get(session, house.job).revision_id
    finish(house.runtime, again.id)
    assert found(house.check(repair=True)) == {"picture-is-back": (2, 2)}


def test_a_lost_thumbnail_is_made_of_the_picture(house: House) -> None:
    first, _ = house.renditions()
    house.file(first.thumbnail_digest).unlink()
    assert found(house.check()) == {"thumbnail-without-blob": (1, 0)}
    assert found(house.check(repair=True)) == {"thumbnail-without-blob": (1, 1)}
    assert found(house.check(verify=True)) == {}
    house.runtime.blobs.get(house.renditions()[0].thumbnail_digest)


@pytest.mark.parametrize("how", ["gone", "rotten"])
def test_a_lost_cad_file_is_noted_and_mended_by_attaching_it_again(house: House, how: str) -> None:
    lose(house, house.geometry().digest, how)
    done = house.check(repair=True, verify=how == "rotten")
    assert found(done) == {"geometry-without-blob": (1, 0)}
    assert [one.kind for one in done.left] == ["geometry-without-blob"]
    lost = house.geometry()
    assert (lost.state, lost.error_code) == (GeometryState.UNUSABLE, "blob-not-found")
    assert found(house.check(repair=True)) == {"geometry-noted-lost": (1, 0)}
    digest = house.runtime.blobs.put_file(STEP)
    if how == "gone":  # it came back by itself, from a backup
        assert found(house.check(repair=True)) == {"geometry-is-back": (1, 1)}
    else:
        with house.runtime.db.begin() as session:
            revision = catalog.add_revision(session, "BRK-1", "B", "ann")
            catalog.attach_geometry(session, revision, StoredFile(digest, 9, "b.step"), "ann")
    assert (house.geometry().state, house.geometry().error_code) == (GeometryState.STORED, None)
    assert found(house.check(verify=True)) == {}


def test_starting_images_that_are_gone_are_told(house: House) -> None:
    with house.runtime.db.begin() as session:
        session.add(Rule(name="r", event_kind="revision.released", ask={"image": "d" * 64}, created_by="ann"))
    done = house.check(repair=True)
    assert found(done) == {"starting-image-without-blob": (1, 0)}
    assert done.problems["starting-image-without-blob"].left[0].startswith("rules ")


def test_blobs_that_nothing_names_are_condemned_after_the_grace_period(house: House) -> None:
    digest = house.runtime.blobs.put(b"an upload that nobody used")
    assert found(house.check()) == {}
    done = house.check(later=LATER)
    assert found(done) == {"blob-without-row": (1, 0)}
    assert done.left == []
    assert found(house.check(repair=True, later=LATER)) == {"blob-without-row": (1, 1)}
    assert [blob.digest for blob, _ in house.runtime.blobs.condemned()] == [digest]


def test_damaged_blobs_that_nothing_names_are_set_aside(house: House) -> None:
    digest = house.runtime.blobs.put(b"an upload")
    lose(house, digest, "rotten")
    assert found(house.check(verify=True)) == {"damaged-blob": (1, 0)}
    assert found(house.check(verify=True, repair=True)) == {"damaged-blob": (1, 1)}
    assert found(house.check(verify=True)) == {}
    assert house.file(digest).parent.parent.parent.joinpath("damaged", digest).read_bytes() == b"rotten"


def test_a_condemned_blob_that_a_row_names_comes_back(house: House) -> None:
    house.runtime.blobs.condemn(house.geometry().digest, datetime.now(UTC).date())
    assert found(house.check()) == {}
    assert house.file(house.geometry().digest).exists()


# -- rows against rows -------------------------------------------------------------------------------------
def attempts_open(house: House) -> None:
    values = {"outcome": "running", "finished_at": None}
    house.change(update(Attempt).values(values))


def running(house: House, lease_s: float) -> None:
    with house.runtime.db.read() as session:
        revision = jobs.get(session, house.job).revision_id
    submit(house.runtime, revision, house.geometry().digest, prompt="steel")
    assert jobs.claim(house.runtime.db, jobs.Claimant("host:2"))
    house.change(update(RenderJob).where(RenderJob.state == "running").values(lease_until=utcnow(lease_s)))


def running_alone(house: House) -> None:
    running(house, 600)
    closed = {"outcome": "lost", "finished_at": utcnow()}
    house.change(update(Attempt).where(Attempt.outcome == "running").values(closed))


def bom_of_others(house: House) -> None:
    with house.runtime.db.begin() as session:
        other = catalog.add_part(session, catalog.NewPart("SCR-1"), "ann")
        top = catalog.add_part(session, catalog.NewPart("TOP"), "ann")
        parent = catalog.add_revision(session, "TOP", "A", "ann")
        session.flush()
        revision = session.scalars(select(PartRevision).where(PartRevision.label == "A")).first()
        assert revision is not None
        session.add(
            BomLine(
                parent_id=parent.id, child_part_id=other.id, child_id=revision.id, quantity=1, created_by="a"
            )
        )
        session.add(BomLine(parent_id=parent.id, child_part_id=top.id, quantity=1, created_by="a"))


def superseded_primary(house: House) -> None:
    values = {"review_state": "superseded", "is_primary": True}
    house.change(update(Rendition).where(Rendition.index == 0).values(values))


def elsewhere(house: House) -> None:
    with house.runtime.db.begin() as session:
        revision = catalog.add_revision(session, "BRK-1", "B", "ann")
    house.change(update(Rendition).where(Rendition.index == 0).values(revision_id=revision.id))


def no_parent(house: House) -> None:
    house.change(update(Rendition).where(Rendition.index == 0).values(origin_id=4711))


def no_requester(house: House) -> None:
    house.change(text("INSERT INTO next_turns (requester, priority, turn) VALUES ('ghost', 5, 1)"))


@pytest.mark.parametrize(
    ("plant", "kind", "mended"),
    [
        (
            lambda house: house.change(text('DELETE FROM renditions WHERE "index" = 1')),
            "job-without-renders",
            1,
        ),
        (attempts_open, "attempt-without-job", 1),
        (lambda house: running(house, -600), "job-without-worker", 1),
        (running_alone, "job-without-attempt", 0),
        (superseded_primary, "primary-cannot-stand", 1),
        (elsewhere, "render-elsewhere", 0),
        (no_parent, "foreign-key", 0),
        (no_requester, "foreign-key", 0),
    ],
)
def test_rows_that_contradict_one_another(
    house: House, plant: Callable[[House], None], kind: str, mended: int
) -> None:
    plant(house)
    assert found(house.check()) == {kind: (1, 0)}
    done = house.check(repair=True)
    assert found(done) == {kind: (1, mended)}
    assert bool(done.left) is not bool(mended)
    if mended and kind != "job-without-renders":
        assert found(house.check()) == {}


def test_a_job_without_its_renders_is_rendered_again(house: House) -> None:
    house.change(text("DELETE FROM renditions"))
    assert found(house.check(repair=True)) == {"job-without-renders": (1, 1)}
    finish(house.runtime, house.job + 1)
    done = house.check(repair=True)
    assert (found(done), done.left) == ({"job-without-renders": (1, 1)}, [])
    with house.runtime.db.read() as session:
        assert jobs.list_jobs(session, jobs.JobFilter())[0].id == house.job + 1, "it is not asked for again"


def test_renders_of_a_job_that_has_not_succeeded(house: House) -> None:
    failed = {"state": "failed", "error_code": "x"}
    house.change(update(RenderJob).values(failed))
    assert found(house.check(repair=True)) == {"render-of-unfinished-job": (2, 0)}


def test_bills_of_material_of_wrong_parts(house: House) -> None:
    bom_of_others(house)
    assert found(house.check()) == {"bom-line-elsewhere": (1, 0), "bom-line-of-itself": (1, 0)}


def test_a_batchs_picture_that_was_never_linked(house: House) -> None:
    def plant(session: Session) -> None:
        revision = catalog.add_revision(session, "BRK-1", "B", "ann")
        file = StoredFile(house.geometry().digest, 9, "b.step")
        catalog.attach_geometry(session, revision, file, "ann")
        batch = Batch(requester="ann", source={"query": "true"}, ask={}, created_by="ann")
        session.add(batch)
        session.flush()
        leader = jobs.get(session, house.job)
        item = {"batch_id": batch.id, "revision_id": revision.id, "fingerprint": leader.fingerprint}
        session.execute(insert(BatchItem).values(**item, request=leader.request, leader_id=leader.id))

    with house.runtime.db.begin() as session:
        plant(session)
    assert found(house.check()) == {}
    house.change(update(RenderJob).values(finished_at=utcnow(-7200)))
    assert found(house.check(repair=True)) == {"item-not-linked": (1, 1)}
    assert found(house.check()) == {}
    with house.runtime.db.read() as session:
        item = session.scalars(select(BatchItem)).one()
        assert item.job_id is not None
        assert len(jobs.get(session, item.job_id).renditions) == 2
    house.change(update(BatchItem).values(job_id=house.job))
    assert found(house.check()) == {"item-elsewhere": (1, 0)}


# -- as a command ------------------------------------------------------------------------------------------
def test_the_command_tells_and_exits(runtime: Runtime) -> None:
    place = runtime.settings.data_dir
    answer = mfgviz("db", "check", "--verify", data_dir=place)
    assert (answer.code, answer.json["problems"]) == (0, [])
    with runtime.db.read() as session:
        geometry = session.scalars(select(Geometry)).one()
    (place / "blobs" / geometry.digest[:2] / geometry.digest[2:4] / geometry.digest).unlink()
    answer = mfgviz("db", "check", "--repair", data_dir=place)
    assert (answer.code, answer.error["code"]) == (4, "damaged")
    assert f"geometry-without-blob (1): {geometry.id}" in answer.error["message"]
    assert answer.json["problems"][0]["ids"] == [str(geometry.id)]


def test_a_damaged_database_file_is_told(runtime: Runtime, tmp_path: Path) -> None:
    with runtime.db.begin() as session:
        rows = [
            {"actor": f"a{n}", "action": "x" * 60, "subject": "y" * 200, "details": {}} for n in range(999)
        ]
        session.execute(text("CREATE INDEX ix_planted ON audit_entries (actor)"))
        session.execute(insert(AuditEntry), rows)
    runtime.close()
    # Pages of the index are changed for those of the rows: every page is readable, and they disagree.
    with runtime.db.begin() as session:
        session.execute(text("PRAGMA writable_schema=ON"))
        session.execute(text("UPDATE sqlite_master SET rootpage = (SELECT rootpage FROM sqlite_master WHERE "
                             "name = 'ix_events_kind_id') WHERE name = 'ix_planted'"))  # fmt: skip
    runtime.close()
    done = integrity.check(runtime, "ann")
    assert "database-damaged" in [one.kind for one in done.left]


def test_memory_does_not_grow_with_the_rows(runtime: Runtime) -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from mfgviz import integrity\n"
        "from mfgviz.runtime import Runtime\n"
        "from mfgviz.settings import Settings\n"
        "done = integrity.check(Runtime(Settings(data_dir=Path(sys.argv[1]))), 'ann')\n"
        "(peak,) = [one for one in Path('/proc/self/status').read_text().splitlines() if 'VmHWM' in one]\n"
        "print(done.rows, peak.split()[1])\n"
    )

    def look() -> tuple[int, int]:
        command = [sys.executable, "-c", script, str(runtime.settings.data_dir)]
        told = subprocess.run(command, capture_output=True, text=True, check=True)
        rows, peak_kib = told.stdout.split()
        return int(rows), int(peak_kib)

    with runtime.db.read() as session:
        one = session.scalars(select(Rendition)).one()
    copied = {column.name: getattr(one, column.name) for column in Rendition.__table__.columns}
    del copied["id"]

    def add(first: int, last: int) -> None:
        with runtime.db.begin() as session:
            session.execute(insert(Rendition), [{**copied, "index": n} for n in range(first, last)])

    add(1, 20_000)
    few, little = look()
    add(20_000, 220_000)
    many, peak = look()
    assert many > few * 8
    # Pages of what SQLite keeps in its caches, which have a limit; ids and digests alone would be more.
    assert peak - little < 40_000
