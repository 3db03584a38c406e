"""Backups of the embedded installation: under load, killed, on a full disk; and restoring them."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from mfgviz import backup, blob_garbage, catalog, jobs, schema
from mfgviz.catalog import StoredFile
from mfgviz.errors import (
    AlreadyRunningError,
    InvalidBackupError,
    InvalidInputError,
    NewerBackupError,
    NotEmptyError,
    StorageUnavailableError,
)
from mfgviz.local import drop_lock, take_lock
from mfgviz.records import AuditEntry, Geometry, Part, Record, RenderJob
from mfgviz.runtime import Runtime
from mfgviz.settings import Settings
from mfgviz.vocabulary import JobState
from tests.support.installation import fill, manifest, mfgviz, names_in, program, submit

MANY = 400


def counts(runtime: Runtime) -> dict[str, int]:
    """How many rows the tables have, the audit trail left out."""
    with runtime.db.read() as session:
        return {
            table.name: session.scalar(select(func.count()).select_from(table)) or 0
            for table in Record.metadata.sorted_tables
            if table.name != "audit_entries"
        }


def unnamed(runtime: Runtime) -> set[str]:
    """Blobs that rows name and that are not there, each that is there checked against its digest."""
    with runtime.db.read() as session:
        digests = set(blob_garbage.referenced(session))
    missing = {digest for digest in digests if not runtime.blobs.exists(digest)}
    for digest in digests - missing:
        runtime.blobs.get(digest)
    return missing


def opened(data_dir: Path) -> Runtime:
    return Runtime(Settings(data_dir=data_dir, requester="ann"))


@pytest.fixture
def copies(tmp_path: Path) -> Path:
    """A folder for backups, not there yet."""
    return tmp_path / "copies"


@pytest.fixture
def made(runtime: Runtime, copies: Path) -> backup.Manifest:
    """A backup of the installation."""
    return backup.backup(runtime, "ann", copies).manifest


def test_what_was_backed_up_comes_back(runtime: Runtime, copies: Path, tmp_path: Path) -> None:
    with runtime.db.begin() as session:
        revision = catalog.add_revision(session, "BRK-1", "B", "ann")
    waiting = submit(runtime, revision.id, "c" * 64)
    assert jobs.claim(runtime.db, jobs.Claimant("host:1", lease_s=0.01))
    runtime.blobs.put(b"nothing refers to it")

    done = backup.backup(runtime, "ann", copies)
    assert copies.stat().st_mode & 0o777 == 0o700
    assert done.manifest.rows["parts"] == 1
    assert (done.copied, done.kept, done.manifest.missing_blobs) == (3, 0, 0)

    answer = mfgviz("db", "restore", str(copies), data_dir=tmp_path / "new")
    assert answer.code == 0, answer.err
    assert answer.json["copied"] == 3
    again = opened(tmp_path / "new")
    assert counts(again) == counts(runtime)
    assert unnamed(again) == set()
    assert schema.differences(again.db) == []
    # What ran when the backup was made is taken from the worker that is not there.
    time.sleep(0.02)
    assert jobs.sweep(again.db, None).requeued == 1
    with again.db.read() as session:
        assert session.get_one(RenderJob, waiting).state == JobState.QUEUED
        told = set(session.scalars(select(AuditEntry.action)))
    assert "database.restored" in told
    again.close()


def test_a_second_backup_copies_new_blobs_alone_and_old_ones_go(runtime: Runtime, copies: Path) -> None:
    backup.backup(runtime, "ann", copies)
    fill(runtime, "BRK-22")
    second = backup.backup(runtime, "ann", copies, keep=2)
    assert (second.copied, second.kept) == (2, 3)
    with runtime.db.begin() as session:
        for table in ("events", "renditions", "attempts", "render_jobs"):
            session.execute(text(f"DELETE FROM {table}"))
    third = backup.backup(runtime, "ann", copies, keep=2)
    assert len(third.dropped) == 1
    assert third.removed == 0, "the second one needs them"
    fourth = backup.backup(runtime, "ann", copies, keep=1)
    assert names_in(copies) == [fourth.manifest.name]
    assert fourth.removed == 4
    assert backup.restore(runtime.settings, "ann", copies, dry_run=True).unusable == []


def test_it_is_whole_while_everybody_writes(runtime: Runtime, copies: Path, tmp_path: Path) -> None:
    stop, stored = threading.Event(), []

    def write(who: int) -> None:
        own = opened(runtime.settings.data_dir)
        while not stop.is_set():
            number = f"P-{who}-{len(stored)}"
            content = f"solid {number}".encode()
            digest = own.blobs.put(content)
            with own.db.begin() as session:
                catalog.add_part(session, catalog.NewPart(number), "ann")
                revision = catalog.add_revision(session, number, "A", "ann")
                file = StoredFile(digest, len(content), "a.stl")
                catalog.attach_geometry(session, revision, file, "ann")
            stored.append(number)
        own.close()

    writers = [threading.Thread(target=write, args=(who,)) for who in range(3)]
    for writer in writers:
        writer.start()
    made, before = [], 0
    for _ in range(4):
        while len(stored) < before + 20:
            time.sleep(0.01)
        before = len(stored)
        made.append((before, backup.backup(runtime, "ann", copies).manifest))
    stop.set()
    for writer in writers:
        writer.join()

    for at_least, one in made:
        assert one.missing_blobs == 0
        place = tmp_path / one.name
        backup.restore(Settings(data_dir=place), "ann", copies, one.name)
        again = opened(place)
        with again.db.read() as session:
            parts, files = (
                session.scalar(select(func.count()).select_from(k)) or 0 for k in (Part, Geometry)
            )
            assert session.execute(text("PRAGMA foreign_key_check")).all() == []
            assert session.execute(text("PRAGMA integrity_check")).all() == [("ok",)]
        assert parts == files >= at_least
        assert unnamed(again) == set()
        again.close()


def test_a_blob_that_was_condemned_is_backed_up(runtime: Runtime, copies: Path) -> None:
    with runtime.db.read() as session:
        digest = session.scalars(select(Geometry.digest)).one()
    runtime.blobs.condemn(digest, backup.datetime.now(backup.UTC).date())
    assert backup.backup(runtime, "ann", copies).manifest.missing_blobs == 0


def test_what_the_installation_lacks_is_told_and_the_rest_is_backed_up(
    runtime: Runtime, copies: Path, tmp_path: Path
) -> None:
    with runtime.db.read() as session:
        digest = session.scalars(select(Geometry.digest)).one()
    path = runtime.settings.data_dir / "blobs" / digest[:2] / digest[2:4] / digest
    path.write_bytes(b"rotten")
    answer = mfgviz("db", "backup", str(copies), data_dir=runtime.settings.data_dir)
    assert (answer.code, answer.error["code"]) == (4, "incomplete-backup")
    assert digest in answer.error["message"]
    assert answer.json["missing"] == [digest]
    restored = backup.restore(Settings(data_dir=tmp_path / "new"), "ann", copies)
    assert (restored.copied, restored.manifest.missing_blobs) == (2, 1)


@pytest.mark.parametrize("force", [False, True])
def test_an_installation_is_kept(runtime: Runtime, copies: Path, made: backup.Manifest, force: bool) -> None:
    fill(runtime, "BRK-333")
    before = counts(runtime)
    runtime.close()
    arguments = ("db", "restore", str(copies), *(["--force"] if force else []))
    answer = mfgviz(*arguments, data_dir=runtime.settings.data_dir)
    if not force:
        assert (answer.code, answer.error["code"]) == (4, "not-empty")
        assert counts(runtime) == before
        return
    assert answer.code == 0, answer.err
    assert counts(runtime)["parts"] == 1
    aside = opened(Path(answer.json["aside"]))
    assert counts(aside) == before
    # Its blobs are its own: collecting those here takes none from there.
    with runtime.db.read() as session:
        needed = set(blob_garbage.referenced(session))
    for digest in set(runtime.blobs.digests()) - needed:
        runtime.blobs.delete(digest)
    assert unnamed(aside) == set()
    aside.close()


def test_a_fresh_installation_is_in_nobodys_way(
    runtime: Runtime, copies: Path, made: backup.Manifest, tmp_path: Path
) -> None:
    fresh = opened(tmp_path / "fresh")
    schema.upgrade(fresh.db)
    fresh.close()
    assert backup.restore(fresh.settings, "ann", copies).aside is not None
    assert counts(fresh) == counts(runtime)
    fresh.close()


def test_a_damaged_database_is_replaced_by_force_and_kept(
    runtime: Runtime, copies: Path, made: backup.Manifest
) -> None:
    runtime.close()
    place = runtime.settings.data_dir / "mfgviz.db"
    place.write_bytes(b"no database" * 1000)
    with pytest.raises(NotEmptyError):
        backup.restore(runtime.settings, "ann", copies)
    done = backup.restore(runtime.settings, "ann", copies, force=True)
    assert done.aside is not None
    assert (done.aside / "mfgviz.db").read_bytes() == b"no database" * 1000
    assert counts(runtime)["parts"] == 1


def test_a_damaged_blob_is_replaced_by_the_backups(
    runtime: Runtime, copies: Path, made: backup.Manifest
) -> None:
    with runtime.db.read() as session:
        digest = session.scalars(select(Geometry.digest)).one()
    runtime.close()
    path = runtime.settings.data_dir / "blobs" / digest[:2] / digest[2:4] / digest
    path.write_bytes(b"rotten")
    done = backup.restore(runtime.settings, "ann", copies, force=True)
    assert (done.copied, done.kept) == (1, 2)
    assert unnamed(runtime) == set()


def test_nothing_is_restored_under_a_running_program(
    runtime: Runtime, copies: Path, made: backup.Manifest
) -> None:
    place = runtime.settings.data_dir
    runtime.close()
    hold = "import sys,sqlite3; c=sqlite3.connect(sys.argv[1]); c.execute('select * from parts').fetchall();"
    other = subprocess.Popen(
        [
            sys.executable,
            "-c",
            hold + "print('open', flush=True); sys.stdin.read()",
            str(place / "mfgviz.db"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        with pytest.raises(AlreadyRunningError, match=r"have .* open"):
            backup.restore(runtime.settings, "ann", copies, force=True)
        assert other.stdin is not None
        other.stdin.close()
    lock = take_lock(runtime.settings)
    with pytest.raises(AlreadyRunningError, match="running on"):
        backup.restore(runtime.settings, "ann", copies, force=True)
    drop_lock(lock)
    assert backup.restore(runtime.settings, "ann", copies, force=True).aside is not None


def test_a_backup_of_an_older_version_is_migrated(runtime: Runtime, copies: Path, tmp_path: Path) -> None:
    older = schema.downgrade(runtime.db, "0003")
    assert older.current == "0003"
    runtime.close()
    answer = mfgviz("db", "backup", str(copies), data_dir=runtime.settings.data_dir)
    # The audit trail is as old as this version's, so the entry can be written.
    assert answer.code == 0, answer.err
    assert answer.json["migration"] == "0003"
    assert answer.json["blobs"] == 3
    restored = backup.restore(Settings(data_dir=tmp_path / "new"), "ann", copies)
    again = opened(tmp_path / "new")
    assert restored.migration == schema.state(again.db).head
    again.close()


def change(copies: Path, name: str, **values: object) -> None:
    path = copies / f"{name}.json"
    path.write_text(json.dumps(manifest(copies, name) | values))


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("damage", "error", "told"),
    [
        (lambda copies, name: change(copies, name, migration="9999"), NewerBackupError, "9999"),
        (
            lambda copies, name: (copies / f"{name}.json").write_text("{}"),
            InvalidBackupError,
            "cannot be read",
        ),
        (lambda copies, name: flip(copies / f"{name}.db"), InvalidBackupError, "is damaged"),
        (lambda copies, name: flip(copies / f"{name}.blobs"), InvalidBackupError, "is damaged"),
        (lambda copies, name: (copies / f"{name}.db").unlink(), InvalidBackupError, "cannot be read"),
        (lambda copies, name: flip(next((copies / "blobs").glob("*/*/*"))), InvalidBackupError, "1 blobs"),
        (lambda copies, name: next((copies / "blobs").glob("*/*/*")).unlink(), InvalidBackupError, "1 blobs"),
        (lambda copies, name: (copies / f"{name}.json").unlink(), InvalidBackupError, "no backup that was"),
        (lambda copies, name: (copies / backup.MARK).unlink(), InvalidBackupError, "no folder of backups"),
    ],
)
def test_a_damaged_backup_is_refused_and_nothing_is_changed(
    copies: Path,
    made: backup.Manifest,
    tmp_path: Path,
    damage: Callable[[Path, str], object],
    error: type[Exception],
    told: str,
) -> None:
    damage(copies, made.name)
    target = Settings(data_dir=tmp_path / "new")
    with pytest.raises(error, match=told):
        backup.restore(target, "ann", copies)
    assert not (tmp_path / "new" / "mfgviz.db").exists()
    answer = mfgviz("db", "restore", str(copies), "--dry-run", data_dir=tmp_path / "new")
    assert answer.code == error.exit_code  # type: ignore[attr-defined]


def test_a_backup_without_a_blob_is_restored_where_one_insists(
    copies: Path, made: backup.Manifest, tmp_path: Path
) -> None:
    gone = next((copies / "blobs").glob("*/*/*"))
    gone.unlink()
    answer = mfgviz("db", "restore", str(copies), "--incomplete", data_dir=tmp_path / "new")
    assert answer.code == 0
    assert answer.json["unusable"] == [gone.name]
    again = opened(tmp_path / "new")
    assert unnamed(again) == {gone.name}
    again.close()


def test_others_folders_are_left_alone(runtime: Runtime, tmp_path: Path) -> None:
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    (theirs / "thesis.txt").write_text("mine")
    mode = theirs.stat().st_mode
    with pytest.raises(InvalidBackupError, match="other things"):
        backup.backup(runtime, "ann", theirs)
    assert [path.name for path in theirs.iterdir()] == ["thesis.txt"]
    assert theirs.stat().st_mode == mode
    with pytest.raises(InvalidInputError, match="lies in the data folder"):
        backup.backup(runtime, "ann", runtime.settings.data_dir / "copies")
    other = Runtime(replace(runtime.settings, database_url=f"sqlite:///{tmp_path / 'x.db'}"))
    with pytest.raises(InvalidInputError, match="embedded installation") as caught:
        backup.backup(other, "ann", tmp_path / "copies")
    assert "pg_dump" in caught.value.remedy


def test_two_at_a_time_are_one_too_many(runtime: Runtime, copies: Path) -> None:
    backup.backup(runtime, "ann", copies)
    with backup._our_folder(copies), pytest.raises(AlreadyRunningError, match="Another backup"):
        backup.backup(runtime, "ann", copies)


def with_many_blobs(runtime: Runtime) -> None:
    digests = [runtime.blobs.put(b"%d" % number * 2000) for number in range(MANY)]
    with runtime.db.begin() as session:
        session.add_all([Geometry(digest=one, size_bytes=9, file_name="a.stl") for one in digests])


def killed_after(process: subprocess.Popen[str], done: Callable[[], int], enough: int) -> None:
    """Kill it as soon as it has done so much; a process that is quicker has ended well."""
    while process.poll() is None and done() < enough:
        time.sleep(0.002)
    process.kill()
    process.communicate()


@pytest.mark.parametrize("enough", [1, MANY // 2, MANY + 3])
def test_a_backup_that_is_killed_harms_no_other(
    runtime: Runtime, copies: Path, made: backup.Manifest, tmp_path: Path, enough: int
) -> None:
    with_many_blobs(runtime)
    process = program("db", "backup", str(copies), data_dir=runtime.settings.data_dir)
    killed_after(process, lambda: sum(1 for _ in (copies / "blobs").glob("*/*/*")) - made.blobs, enough)
    assert backup.restore(Settings(data_dir=tmp_path / "first"), "ann", copies, made.name).unusable == []
    again = backup.backup(runtime, "ann", copies)
    assert again.manifest.blobs == MANY + 3
    assert again.kept >= min(enough, MANY)
    assert not list(copies.glob(".partial*"))
    assert backup.restore(Settings(data_dir=tmp_path / "last"), "ann", copies).unusable == []


@pytest.mark.parametrize("enough", [1, MANY // 2, MANY])
def test_a_restore_that_is_killed_leaves_what_was_there(
    runtime: Runtime, copies: Path, tmp_path: Path, enough: int
) -> None:
    with_many_blobs(runtime)
    backup.backup(runtime, "ann", copies)
    other = opened(tmp_path / "other")
    schema.upgrade(other.db)
    fill(other, "BRK-22")
    before = counts(other)
    other.close()
    blobs = other.settings.data_dir / "blobs"
    process = program("db", "restore", str(copies), "--force", data_dir=other.settings.data_dir)
    killed_after(process, lambda: sum(1 for _ in blobs.glob("*/*/*")) - 3, enough)
    if process.returncode != 0:
        assert counts(other) == before
        assert unnamed(other) == set()
        other.close()
        backup.restore(other.settings, "ann", copies, force=True)
    assert counts(other) == counts(runtime)
    assert unnamed(other) == set()
    assert not list(other.settings.data_dir.glob(".partial*"))
    other.close()


def test_where_there_is_no_room_it_says_so_and_the_earlier_one_is_whole(
    runtime: Runtime, copies: Path, made: backup.Manifest, tmp_path: Path
) -> None:
    with runtime.db.begin() as session:
        session.add_all([Part(number=f"X-{n}", name="x" * 500, created_by="ann") for n in range(4000)])
    size = (runtime.settings.data_dir / "mfgviz.db").stat().st_size
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, limits[1]))
    try:
        with pytest.raises(StorageUnavailableError, match=str(copies)):
            backup.backup(runtime, "ann", copies)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert names_in(copies) == [made.name]
    assert not list(copies.glob(".partial*")), "what is of no use takes no room"
    assert backup.restore(Settings(data_dir=tmp_path / "new"), "ann", copies).copied == 3
