"""Fixtures that all tests share. With CI=true a skipped test is a failure."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from mfgviz import schema
from mfgviz.database import Database
from mfgviz.storage import BlobStore
from tests.support.servers import Postgres, Redis

BACKENDS = [pytest.param("sqlite"), pytest.param("postgresql", marks=pytest.mark.postgresql)]


def pytest_configure() -> None:
    """Tests see no settings of the person who runs them, and no hub."""
    for name in [name for name in os.environ if name.startswith("MFGVIZ_")]:
        del os.environ[name]
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as `workers` does, where a test imports torch first
    runtime = Path(tempfile.gettempdir()) / f"mfgviz-tests-{os.getuid()}"
    runtime.mkdir(mode=0o700, exist_ok=True)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(runtime))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """On CI nothing may be skipped: what a test needs is installed by `make test`."""
    del item, call
    outcome = yield
    report = outcome.get_result()  # type: ignore[attr-defined]
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("CI") == "true":
        report.outcome = "failed"
        report.longrepr = f"skipped on CI: {report.longrepr}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The PostgreSQL server of this test run."""
    with tempfile.TemporaryDirectory(prefix="mfgviz-pg-") as folder:
        server = Postgres(Path(folder))
        yield server
        server.close()


@pytest.fixture
def redis_server() -> Iterator[Redis]:
    """A Redis-compatible server of this test's own. In /tmp: a socket's path is short."""
    with tempfile.TemporaryDirectory(prefix="mfgviz-r-") as folder:
        server = Redis(Path(folder))
        server.start()
        yield server
        server.stop()


@pytest.fixture(params=BACKENDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a migrated database of this test's own, on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'test.db'}"
        db = Database(url)
        schema.upgrade(db)
        db.dispose()
        yield url
    else:
        with request.getfixturevalue("postgres").database() as url:
            yield url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """That database."""
    db = Database(database_url)
    yield db
    db.dispose()


@pytest.fixture(params=BACKENDS)
def empty_database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database without any table."""
    if request.param == "sqlite":
        db = Database(f"sqlite:///{tmp_path / 'test.db'}")
        yield db
        db.dispose()
    else:
        with request.getfixturevalue("postgres").database(empty=True) as url:
            db = Database(url)
            yield db
            db.dispose()


@pytest.fixture
def blobs(tmp_path: Path) -> BlobStore:
    """A blob store in a folder of this test's own."""
    return BlobStore((tmp_path / "blobs").as_uri())
