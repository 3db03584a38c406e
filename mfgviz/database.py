"""The database: one engine, one way to open a transaction, on SQLite and PostgreSQL.

SQLite runs in WAL mode and opens every write transaction with BEGIN IMMEDIATE, so that two claimers
wait for one another instead of failing half-way.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, make_url, text
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, NoSuchModuleError, OperationalError
from sqlalchemy.orm import Session, sessionmaker
from sqlalchemy.pool import ConnectionPoolEntry

from mfgviz.errors import (
    ContentionError,
    DatabaseNotMigratedError,
    DatabaseUnavailableError,
    InvalidInputError,
    InvalidSettingError,
    MfgvizError,
    StorageUnavailableError,
)
from mfgviz.masking import mask_secret, mask_text
from mfgviz.settings import Settings

SQLITE_BUSY_TIMEOUT_MS = 15_000
TIMEOUT_S = 60.0
# A transaction that holds rows and says nothing for so many of these is ended by the server: its process may
# be gone without a word, and others wait for its rows.
SILENT_TIMES = 5
# SQLSTATE of a deadlock and of a serialization failure.
CONTENTION = ("40P01", "40001")
READ_ONLY = "mfgviz_read_only"
AFTER_COMMIT = "mfgviz_after_commit"
EMITTED = "mfgviz_emitted"


def after_commit(session: Session, callback: Callable[[], object]) -> None:
    """Call `callback` once the session's transaction of `Database.begin` is committed, else never."""
    session.info[AFTER_COMMIT].append(callback)


class Database:
    """Transactions over one database URL. Not connected until the first of them.

    A server that does not answer a statement within `timeout_s` counts as gone.
    """

    def __init__(self, url: str, timeout_s: float = TIMEOUT_S) -> None:
        self.url = url
        try:
            parsed = make_url(url)
            if parsed.get_backend_name() not in ("sqlite", "postgresql"):
                raise InvalidSettingError(
                    f"The database URL {mask_secret(url)} is neither SQLite's nor PostgreSQL's."
                )
            is_sqlite = parsed.get_backend_name() == "sqlite"
            self.engine = _sqlite_engine(url) if is_sqlite else _pg_engine(url, timeout_s)
        except (ArgumentError, NoSuchModuleError, ValueError, TypeError) as error:
            raise InvalidSettingError(
                f"The database URL {mask_secret(url)} cannot be used: {mask_text(str(error), url)}."
            ) from error
        # What is called after each transaction that put events into the outbox.
        self.after_events: Callable[[], object] | None = None
        self._sessions = sessionmaker(self.engine, expire_on_commit=False)

    @classmethod
    def from_settings(cls, settings: Settings) -> Database:
        """The database that the settings name; the embedded one's folder is made."""
        if settings.is_embedded_database:
            try:
                settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            except OSError as error:
                raise StorageUnavailableError.of_folder(settings.data_dir, error) from error
        return cls(settings.sqlalchemy_url, settings.database_timeout_s)

    @property
    def is_sqlite(self) -> bool:
        """Whether this is SQLite."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def begin(self) -> Iterator[Session]:
        """One transaction: committed at the end of the block, rolled back on an error.

        Raises:
            DatabaseUnavailableError: the server does not answer.
            DatabaseNotMigratedError: a table is missing.
        """
        with self._transaction(read_only=False) as session:
            yield session

    @contextmanager
    def read(self) -> Iterator[Session]:
        """One transaction that only reads: on SQLite it waits for no writer. Errors as `begin`."""
        with self._transaction(read_only=True) as session:
            yield session

    @contextmanager
    def _transaction(self, *, read_only: bool) -> Iterator[Session]:
        session = self._sessions()
        callbacks: list[Callable[[], object]] = session.info.setdefault(AFTER_COMMIT, [])
        try:
            with session.begin():
                if read_only:
                    session.connection(execution_options={READ_ONLY: True})
                yield session
            for callback in callbacks:
                callback()
            if session.info.pop(EMITTED, False) and self.after_events is not None:
                self.after_events()
        except DBAPIError as error:
            translated = translate(error, self.url)
            if translated is None:
                raise
            raise translated from error
        except UnicodeEncodeError as error:
            # SQLite's driver says so itself; SQLAlchemy does not wrap it.
            raise InvalidInputError(
                f"A text holds what is not Unicode: {error.reason}.", remedy="Give it as UTF-8."
            ) from error
        finally:
            session.close()

    def ping(self) -> str:
        """The server's version, as proof that it answers."""
        query = "select sqlite_version()" if self.is_sqlite else "show server_version"
        with self.read() as session:
            return f"{self.engine.dialect.name} {session.execute(text(query)).scalar_one()}"

    def dispose(self) -> None:
        """Close all connections."""
        self.engine.dispose()


def translate(error: DBAPIError, url: str) -> MfgvizError | None:
    """Our error for one of the driver's, or None where the driver's own is the best there is."""
    told = mask_text(str(error.orig).strip(), url).rstrip(".")
    where = f"The database {mask_secret(url)}"

    def says(*signs: str) -> bool:
        return any(sign in told for sign in signs)

    full = "Look for free space and permissions there; `mfgviz doctor` tries every service."
    unmigrated = says("no such table", "no such column") or "UndefinedTable" in type(error.orig).__name__
    away = isinstance(error, OperationalError) or error.connection_invalidated
    # The first that holds.
    cases: list[tuple[bool, Callable[[], MfgvizError]]] = [
        (isinstance(error, DataError),
         lambda: InvalidInputError(f"The database refuses a value: {first_line(told)}.")),
        (unmigrated, lambda: DatabaseNotMigratedError(f"{where} has not the tables of this version.")),
        (getattr(error.orig, "sqlstate", "") in CONTENTION, ContentionError),
        (says("invalid connection option", "invalid dsn"),
         lambda: InvalidSettingError(f"{where} cannot be reached: its URL has an {told}.")),
        (says("disk is full", "disk I/O", "readonly database"),
         lambda: DatabaseUnavailableError(f"{where} cannot be written: {told}.", remedy=full)),
        (away, lambda: DatabaseUnavailableError(f"{where} does not answer: {told}.")),
    ]  # fmt: skip
    return next((make() for applies, make in cases if applies), None)


def first_line(text: str) -> str:
    """The first line of what a driver says."""
    return text.splitlines()[0] if text else "no reason given"


def _pg_engine(url: str, timeout_s: float) -> Engine:
    session = {
        "timezone": "UTC",
        "idle_in_transaction_session_timeout": f"{timeout_s * SILENT_TIMES * 1000:.0f}",
        "tcp_keepalives_idle": "30",
        "tcp_keepalives_interval": "10",
        "tcp_keepalives_count": "3",
    }
    engine = create_engine(
        url,
        pool_pre_ping=True,
        pool_size=5,
        max_overflow=10,
        connect_args={
            "connect_timeout": 5,
            "application_name": "mfgviz",
            "options": " ".join(f"-c {name}={value}" for name, value in session.items()),
        },
    )
    event.listen(engine, "do_connect", partial(_connect, timeout_s))
    return engine


def _connect(timeout_s: float, _dialect: Any, _record: Any, args: list[Any], options: dict[str, Any]) -> Any:
    connection = _connection_class().connect(*args, **options)
    connection.timeout_s = timeout_s
    return connection


@cache
def _connection_class() -> Any:
    """psycopg's connection, which would wait for ever where packets vanish: keepalives find out a dead host,
    but neither a server that hangs nor something between that takes all and hands on nothing."""
    import psycopg

    class PatientConnection(psycopg.Connection[Any]):
        timeout_s: float | None = None

        def wait(self, gen: Any, *args: Any, **options: Any) -> Any:
            return super().wait(self._within_time(gen), *args, **options)

        def _within_time(self, gen: Generator[Any, Any, Any]) -> Generator[Any, Any, Any]:
            """What `gen` asks for and gets, until it has ended or the time is over."""
            heard, ready = time.monotonic(), None
            while True:
                try:
                    wanted = gen.send(ready)
                except StopIteration as end:
                    return end.value
                ready = yield wanted
                if ready:
                    heard = time.monotonic()  # a long answer may take longer than that to come
                elif self.timeout_s is not None and time.monotonic() - heard > self.timeout_s:
                    self.pgconn.finish()  # what may still come is nobody's answer any more
                    raise psycopg.OperationalError(f"no answer within {self.timeout_s:g} s")

    return PatientConnection


@contextmanager
def without_time_limit(connection: Connection) -> Iterator[None]:
    """Let statements take as long as they take: a migration may rewrite a large table."""
    driver: Any = connection.connection.driver_connection
    if (limit_s := getattr(driver, "timeout_s", None)) is None:
        yield
        return
    driver.timeout_s = None
    try:
        yield
    finally:
        driver.timeout_s = limit_s


def _sqlite_engine(url: str) -> Engine:
    name = make_url(url).database
    if name and name != ":memory:" and not Path(name).parent.is_dir():
        raise DatabaseUnavailableError(
            f"The database's folder {Path(name).parent} does not exist.", remedy="Make the folder first."
        )
    engine = create_engine(url, connect_args={"timeout": SQLITE_BUSY_TIMEOUT_MS / 1000})

    @event.listens_for(engine, "connect")
    def _configure(connection: Any, _record: ConnectionPoolEntry) -> None:
        # The driver's own transaction handling starts writes late; we begin them ourselves.
        connection.isolation_level = None
        for pragma in (
            "journal_mode=WAL",
            "synchronous=NORMAL",
            "foreign_keys=ON",
            f"busy_timeout={SQLITE_BUSY_TIMEOUT_MS}",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begin(connection: Any) -> None:
        read_only = connection.get_execution_options().get(READ_ONLY, False)
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

    return engine
