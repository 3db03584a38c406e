"""An upgrade under load: real workers and clients of the version before go on upon the new tables.

The version before is that of the commit before the newest migration, where the checkout has the history. A
next version, with a migration of its own in the rules' style, is made of this one in any case.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import func, select, text

from mfgviz import schema
from mfgviz.database import Database
from mfgviz.doctor import Health, examine
from mfgviz.errors import ContentionError
from mfgviz.records import Attempt, RenderJob, Rendition, Worker
from mfgviz.runtime import Runtime
from mfgviz.settings import Settings
from tests.support.http import HttpServer
from tests.support.servers import Postgres, Redis
from tests.support.workers import WorkerProcess, environment_for, eventually

ROOT = Path(__file__).parent.parent.parent
CODE = ("mfgviz", "workers", "migrations", "plugins")
SAMPLE = ROOT / "mfgviz" / "samples" / "bracket.step"
NEXT = """
import sqlalchemy as sa
from alembic import op

revision = "next"
down_revision = "{head}"
branch_labels = depends_on = None


def upgrade() -> None:
    op.create_table("things", sa.Column("id", sa.Integer(), primary_key=True))
    for table in ("render_jobs", "renditions", "attempts", "events", "workers", "part_revisions"):
        with op.batch_alter_table(table) as batch:
            batch.add_column(sa.Column("remark", sa.String(64)))
            batch.add_column(sa.Column("weight", sa.Integer(), server_default="1", nullable=False))
    with op.get_context().autocommit_block():
        op.create_index("ix_jobs_weight", "render_jobs", ["weight"], postgresql_concurrently=True)


def downgrade() -> None:
    op.drop_table("things")
"""


@dataclass(frozen=True)
class Version:
    """The code of one version, and the service's settings."""

    code: Path
    settings: Settings

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Its command line, running."""
        return subprocess.Popen(
            [sys.executable, "-m", "mfgviz.cli", *arguments, "--json"],
            env=environment_for(self.settings, self.code),
            cwd=self.code,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(self, *arguments: str) -> Any:
        """What it answers."""
        process = self.start(*arguments)
        out, err = process.communicate()
        assert process.returncode == 0, (arguments, err[-2000:])
        return json.loads(out)

    def submit(self, seed: int) -> int:
        """The id of a job for the part there is."""
        (answer,) = self.run("jobs", "submit", "BRK-1@A", "brass", "--seed", str(seed), *SMALL)
        return int(answer["job"])


SMALL = ("--size", "64", "--steps", "2", "--mode", "text")


def before_the_newest_migration(folder: Path) -> Path | None:
    """The code of the commit before the one that the newest migration came with; None without history."""
    script = ScriptDirectory.from_config(schema._config()).get_revision("head")
    assert script is not None
    name = Path(script.path).relative_to(ROOT)

    def git(*arguments: str) -> bytes:
        return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True).stdout

    try:
        added = git("log", "--diff-filter=A", "--format=%H", "--", str(name)).decode().split()
        content = git("archive", f"{added[-1]}^", "--", *CODE, "pyproject.toml") if added else b""
    except (OSError, subprocess.CalledProcessError):
        return None
    if not content:
        return None
    with tarfile.open(fileobj=io.BytesIO(content)) as archive:
        # Of git's own making; Python has filters from 3.11.4 on, and asks for one from 3.14.
        chosen: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(folder, **chosen)
    return None if (folder / name).exists() else folder


def next_version(folder: Path) -> Path:
    """This code with one migration more."""
    for name in CODE:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    head = ScriptDirectory.from_config(schema._config()).get_current_head()
    (folder / "migrations" / "versions" / "next.py").write_text(NEXT.format(head=head))
    return folder


@pytest.fixture
def settings(postgres: Postgres, redis_server: Redis, tmp_path: Path) -> Iterator[Settings]:
    """A service on PostgreSQL and Redis, its database empty."""
    with postgres.database(empty=True) as url:
        yield Settings(
            data_dir=tmp_path / "data",
            database_url=url,
            broker_url=redis_server.url,
            blob_url=(tmp_path / "blobs").as_uri(),
            requester="ann",
            default_model="tiny",
            lease_s=30.0,
            sweep_interval_s=0.5,
            retry_delay_s=0.2,
        )


@pytest.fixture(params=["history", "synthetic"])
def versions(request: pytest.FixtureRequest, settings: Settings, tmp_path: Path) -> tuple[Version, Version]:
    """The version before and the one after it. Where there is no history, the synthetic one alone runs."""
    folder = tmp_path / "code"
    folder.mkdir()
    if request.param == "synthetic":
        return Version(ROOT, settings), Version(next_version(folder), settings)
    old = before_the_newest_migration(folder)
    if old is None:
        # The synthetic form, once more: this test proves something in every checkout.
        return Version(ROOT, settings), Version(next_version(folder), settings)
    return Version(old, settings), Version(ROOT, settings)


@pytest.fixture
def start(settings: Settings, tmp_path: Path) -> Iterator[Any]:
    """Starts workers of a version; all are stopped at the end."""
    started: list[WorkerProcess] = []

    def begin(version: Version) -> WorkerProcess:
        log = tmp_path / f"worker{len(started)}.log"
        started.append(WorkerProcess(settings, log, code=version.code))
        return started[-1].start()

    yield begin
    for worker in started:
        worker.stop()


@pytest.mark.postgresql
@pytest.mark.stack
def test_the_version_before_goes_on_while_and_after_the_tables_are_changed(
    versions: tuple[Version, Version], settings: Settings, start: Any, tmp_path: Path
) -> None:
    from workers.families.testing import save_tiny_sd15

    old, new = versions
    model = save_tiny_sd15(tmp_path / "tiny")
    old.run("db", "upgrade")
    old.run("models", "add", "tiny", str(model), "--family", "sd15")
    old.run("parts", "add", "BRK-1")
    old.run("revisions", "add", "BRK-1", "A", "--file", str(SAMPLE))
    first = start(old)

    # 1. Clients of the old version submit without a pause, while the tables are changed under them.
    stop, submitted, failures = threading.Event(), list[int](), list[BaseException]()

    def submit(offset: int) -> None:
        seed = offset
        try:
            while not stop.is_set():
                submitted.append(old.submit(seed))
                seed += 2
        except BaseException as error:  # noqa: BLE001 - told by the test
            failures.append(error)

    clients = [threading.Thread(target=submit, args=(offset,)) for offset in (1, 2)]
    for client in clients:
        client.start()
    database = Database(settings.sqlalchemy_url)
    eventually(lambda: len(submitted) >= 2 or failures, 240, "the first jobs")
    assert failures == []
    before = schema.state(database).current
    migration = new.start("db", "upgrade")
    out, err = migration.communicate()
    assert migration.returncode == 0, err
    assert json.loads(out)["current"] != before
    at = len(submitted)
    eventually(lambda: len(submitted) >= at + 2 or failures, 240, "jobs after the migration")
    stop.set()
    for client in clients:
        client.join()
    assert failures == []

    # 2. Both side by side, then each alone; one of the old version that begins only now among them.
    second = start(new)
    submitted += [new.submit(10_001), old.submit(10_002)]
    wait_for(database, submitted)
    first.stop()
    submitted.append(old.submit(10_003))
    wait_for(database, submitted)
    assert worker_of(database, submitted[-1]) == second.name
    second.stop()
    third = start(old)
    submitted.append(new.submit(10_004))
    wait_for(database, submitted)
    assert worker_of(database, submitted[-1]) == third.name

    # 3. Nothing was lost, nothing failed on the way, and nothing was done twice.
    assert len(set(submitted)) == len(submitted)
    with database.read() as session:
        assert session.scalar(select(func.count()).select_from(RenderJob)) == len(submitted)
        assert session.scalar(select(func.count()).select_from(Rendition)) == len(submitted)
        outcomes = set(session.scalars(select(Attempt.outcome)))
        assert outcomes <= {"succeeded", "handed_back"}
        assert session.scalars(select(Worker.name)).all() == [third.name]
    assert new.run("db", "upgrade")["current"] == new.run("db", "current")["head"]
    if old.code == ROOT:
        told = old.run("db", "check", "--verify")
        assert told["problems"] == []
    database.dispose()


def wait_for(database: Database, job_ids: list[int]) -> None:
    def done() -> bool:
        with database.read() as session:
            query = select(RenderJob.id, RenderJob.state, RenderJob.error_message)
            states = {row.id: row for row in session.execute(query.where(RenderJob.id.in_(job_ids)))}
        ended = [row for row in states.values() if row.state in ("failed", "cancelled")]
        assert ended == []
        return all(states[one].state == "succeeded" for one in job_ids)

    eventually(done, 300, "all jobs succeed")


def worker_of(database: Database, job_id: int) -> str:
    with database.read() as session:
        return session.scalars(select(Attempt.worker).where(Attempt.job_id == job_id)).one()


# -- locks -------------------------------------------------------------------------------------------------
@pytest.mark.postgresql
def test_a_migration_that_waits_keeps_nobody_waiting(postgres: Postgres, settings: Settings) -> None:
    """Somebody has read a table and stays in that transaction. The migration cannot have it, and those who
    come after get it all the same, again and again; when the reader leaves, the migration is done."""
    with tempfile.TemporaryDirectory() as place, postgres.database() as url:
        new = Version(next_version(Path(place)), Settings(**{**as_dict(settings), "database_url": url}))
        database = Database(url)
        with database.engine.connect() as reader:
            reader.execute(text("SELECT count(*) FROM render_jobs"))
            migration = new.start("db", "upgrade")
            eventually(lambda: waits(database), 120, "the migration waits")
            for _ in range(5):
                eventually(lambda: waits(database), 60, "it waits again")
                # Behind a lock that waits for ever, this would wait for ever, too.
                with database.begin() as session:
                    session.execute(text("SET LOCAL lock_timeout = '20s'"))
                    session.execute(text("UPDATE render_jobs SET step = 0"))
                    session.scalars(select(RenderJob.id).with_for_update()).all()
            assert migration.poll() is None
            reader.rollback()
        _, err = migration.communicate()
        assert migration.returncode == 0, err
        assert schema.state(database).is_newer
        database.dispose()


@pytest.mark.postgresql
def test_whom_a_migration_meets_crosswise_it_lets_pass(postgres: Postgres, settings: Settings) -> None:
    """A client has one table and waits for another one, which the migration has, and which comes to want the
    first. PostgreSQL ends whoever has waited for a second, which is the client; the migration leaves before.
    """
    with tempfile.TemporaryDirectory() as place, postgres.database() as url:
        new = Version(next_version(Path(place)), Settings(**{**as_dict(settings), "database_url": url}))
        database, failures = Database(url), list[BaseException]()
        with database.engine.connect() as reader, database.engine.connect() as client:

            def update() -> None:
                try:
                    client.execute(text("UPDATE render_jobs SET step = 0"))
                except BaseException as error:  # noqa: BLE001 - told by the test
                    failures.append(error)

            reader.execute(text("LOCK TABLE events IN ACCESS SHARE MODE"))
            migration = new.start("db", "upgrade")
            while True:
                client.execute(text("LOCK TABLE part_revisions IN ROW SHARE MODE"))
                eventually(lambda: waits(database), 120, "the migration waits for the events")
                updating = threading.Thread(target=update)
                updating.start()
                while updating.is_alive() and not waits(database, "RowExclusiveLock"):
                    pass
                if updating.is_alive():
                    break
                client.rollback()  # the migration had stepped back: once more
            reader.rollback()
            updating.join()
            assert failures == []
            client.rollback()
        _, err = migration.communicate()
        assert migration.returncode == 0, err
        assert schema.state(database).is_newer
        database.dispose()


def waits(database: Database, mode: str = "AccessExclusiveLock") -> bool:
    with database.read() as session:
        query = "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = :mode"
        return bool(session.scalar(text(query), {"mode": mode}))


def as_dict(settings: Settings) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in settings.__dataclass_fields__}


@pytest.mark.postgresql
def test_it_gives_up_with_the_reason(postgres: Postgres, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "LOCK_TIMEOUT_MS", 50)
    monkeypatch.setattr(schema, "LOCK_PAUSE_S", 0.01)
    monkeypatch.setattr(schema, "LOCK_TRIES", 3)
    with postgres.database() as url:
        database, other = Database(url), Database(url)
        with other.engine.connect() as reader:
            reader.execute(text("SELECT count(*) FROM render_jobs"))
            with pytest.raises(ContentionError, match="within 3 tries") as caught:
                schema.downgrade(database, "0003")
            assert "pg_stat_activity" in caught.value.remedy
            # What comes after 0006 is of other tables; 0006 is the first to take something from the jobs.
            assert schema.state(database).current == "0006"
        schema.downgrade(database, "0003")
        assert schema.state(database).current == "0003"
        database.dispose()
        other.dispose()


@pytest.mark.postgresql
def test_two_that_migrate_at_once_do_it_once(postgres: Postgres) -> None:
    with postgres.database(empty=True) as url:
        failures: list[BaseException] = []

        def migrate() -> None:
            database = Database(url)
            try:
                schema.upgrade(database)
            except BaseException as error:  # noqa: BLE001 - told by the test
                failures.append(error)
            database.dispose()

        both = [threading.Thread(target=migrate) for _ in range(2)]
        for one in both:
            one.start()
        for one in both:
            one.join()
        assert failures == []
        database = Database(url)
        assert schema.differences(database) == []
        database.dispose()


def test_programs_go_on_upon_newer_tables(empty_database: Database, tmp_path: Path) -> None:
    schema.upgrade(empty_database)
    with empty_database.begin() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert schema.state(empty_database).is_newer
    schema.require_current(empty_database)
    assert schema.upgrade(empty_database).current == "9999"
    settings = Settings(data_dir=tmp_path / "data", database_url=empty_database.url, api_port=0)
    server = HttpServer(settings).start()
    try:
        with urllib.request.urlopen(f"{server.url}/readyz", timeout=30) as answer:
            assert answer.status == 200
    finally:
        server.stop()
    runtime = Runtime(settings)
    found = {one.what: one for one in examine(runtime, {})}["database"]
    runtime.close()
    assert (found.health, "newer version" in found.told) == (Health.WARN, True)
