"""The database's tables, brought to this version by the migrations that come with mfgviz."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util.exc import CommandError
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import DBAPIError

from mfgviz import models, toolbox
from mfgviz.database import READ_ONLY, Database, translate, without_time_limit
from mfgviz.errors import ContentionError, DatabaseNotMigratedError, InvalidInputError
from mfgviz.models_folder import ModelSpec, find_source
from mfgviz.records import Record

# Foreign keys of columns that were added to tables there were.
ADDED_KEYS = {("render_jobs", "batch_id"), ("renditions", "origin_id")}
# Indexes over expressions or of kinds that only PostgreSQL has, and that the records' classes do not name.
POSTGRESQL_INDEXES = {
    "ix_parts_attributes",
    "ix_parts_grams",
    "ix_parts_name_begins",
    "ix_parts_number_begins",
}
MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"
# Whoever waits for a lock on a table of PostgreSQL keeps all others waiting behind it. So a migration waits
# for a moment only, lets them pass, and tries again. The moment is far less than deadlock_timeout (a
# second): after that PostgreSQL ends one of two that wait for one another, and that would be the client, who
# came first.
LOCK_TIMEOUT_MS, LOCK_PAUSE_S, LOCK_TRIES = 250, 1.0, 100
# SQLSTATE of a lock that was not got in time, and of a deadlock.
BUSY = ("55P03", "40P01")
# "mfgviz", as a number: one migrates at a time.
ONE_AT_A_TIME = 0x6D666776697A

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class SchemaState:
    """Which migration the database is at (None: empty) and which is this version's. A newer version's, which
    this one does not know, `is_newer`."""

    current: str | None
    head: str
    is_newer: bool = False

    @property
    def is_current(self) -> bool:
        """Whether the tables are those of this version."""
        return self.current == self.head


def upgrade(db: Database, revision: str = "head") -> SchemaState:
    """Bring the tables to that migration; one transaction each. What a newer version has brought further
    stays as it is. Errors as `Database.begin`.

    Raises:
        ContentionError: others held a table for too long; what was done until then is done.
    """
    found = state(db)
    if found.is_newer and revision == "head":
        return found
    return _run(db, lambda config: command.upgrade(config, revision))


def downgrade(db: Database, revision: str) -> SchemaState:
    """Take migrations back, down to that one (`base`: all). Errors as `Database.begin`."""
    return _run(db, lambda config: command.downgrade(config, revision))


def state(db: Database) -> SchemaState:
    """Where the database stands."""
    with _connect(db, read_only=True) as connection:
        return _state(connection)


def require_current(db: Database) -> None:
    """Raises DatabaseNotMigratedError unless the tables are those of this version, or of a newer one: each
    version's code runs on the tables of the next, or nothing could be started while it is being replaced."""
    found = state(db)
    if found.is_newer:
        log.warning("the database is at migration %s of a newer version", found.current)
    elif not found.is_current:
        where = "has no tables yet" if found.current is None else f"is at migration {found.current}"
        raise DatabaseNotMigratedError(f"The database {where}; this version needs {found.head}.")


def differences(db: Database) -> list[str]:
    """How the tables differ from the records' classes, in words; empty if they do not."""
    with _connect(db, read_only=True) as connection, warnings.catch_warnings():
        # SQLite cannot tell what an index over an expression is made of.
        warnings.filterwarnings("ignore", "autogenerate skipping.*ix_render_jobs_ready", UserWarning)
        options = {"compare_server_default": False, "include_object": _can_be_compared}
        context = MigrationContext.configure(connection, opts=options)
        found = [str(difference) for difference in compare_metadata(context, Record.metadata)]
        return found + [f"there is no usable index {name}" for name in _missing_indexes(connection)]


def _missing_indexes(connection: Connection) -> list[str]:
    """Those of PostgreSQL's own that are not there, or that were not made to their end."""
    if connection.dialect.name != "postgresql":
        return []
    there = text("SELECT indexrelid::regclass::text FROM pg_index WHERE indisvalid")
    return sorted(POSTGRESQL_INDEXES - set(connection.scalars(there)))


def _can_be_compared(thing: Any, name: Any, kind: str, *_others: Any) -> bool:
    """Not foreign keys of columns that were added to a table of SQLite, whose options cannot be read back;
    not what `_missing_indexes` looks for."""
    if kind == "index":
        return name not in POSTGRESQL_INDEXES
    if kind != "foreign_key_constraint":
        return True
    columns = {(thing.table.name, column) for column in thing.column_keys}
    return not columns & ADDED_KEYS


def register_bundled_model(db: Database, actor: str) -> bool:
    """Record the studio model that comes with mfgviz; False where the worker side is not installed."""
    spec = models.bundled_spec()
    if not toolbox.is_available() or not find_source(spec.source).is_dir():
        return False
    with db.read() as session:
        if models.is_recorded(session, spec):
            return True
    seen = toolbox.run_tool("inspect-model", {"spec": spec.as_json()})
    with db.begin() as session:
        models.refresh_model(session, ModelSpec.from_json(seen["spec"]), seen["capabilities"], actor)
    return True


@contextmanager
def _connect(db: Database, *, read_only: bool = False) -> Iterator[Connection]:
    try:
        with db.engine.connect().execution_options(**{READ_ONLY: read_only}) as connection:
            yield connection
    except DBAPIError as error:
        is_busy = getattr(error.orig, "sqlstate", "") in BUSY
        translated = None if is_busy else translate(error, db.url)
        if translated is None:
            raise
        raise translated from error


def knows(migration: str) -> bool:
    """Whether it is one of this version's migrations."""
    return migration in {one.revision for one in ScriptDirectory.from_config(_config()).walk_revisions()}


def _run(db: Database, action: Callable[[Config], None]) -> SchemaState:
    for attempt in range(1, LOCK_TRIES + 1):
        try:
            with _connect(db) as connection, without_time_limit(connection), _patient(connection):
                return _migrate(connection, action)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", "") not in BUSY:
                raise
            log.warning("a table is in use: the migration lets others pass (%d of %d)", attempt, LOCK_TRIES)
            time.sleep(LOCK_PAUSE_S)
    raise ContentionError(
        f"A migration did not get a lock within {LOCK_TRIES} tries: a long transaction holds the table.",
        remedy="End what pg_stat_activity shows with an old xact_start, then run it again.",
    )


def _wait_longer(_connection: Any, cursor: Any, statement: str, *_others: Any) -> None:
    """An index that is made concurrently may wait as long as it takes: nobody waits behind it. Nor may what
    follows in that migration be tried again, for what preceded is committed by then."""
    if "CONCURRENTLY" in statement:
        cursor.execute("SET lock_timeout = 0")
    elif "alembic_version" in statement:
        cursor.execute(f"SET lock_timeout = {LOCK_TIMEOUT_MS}")


def _migrate(connection: Connection, action: Callable[[Config], None]) -> SchemaState:
    config = _config()
    config.attributes["connection"] = connection
    try:
        action(config)
    except CommandError as error:
        raise InvalidInputError(f"The migration cannot be run: {error}.") from error
    connection.commit()
    return _state(connection)


@contextmanager
def _patient(connection: Connection) -> Iterator[None]:
    """On PostgreSQL: nobody else migrates meanwhile, and no lock is waited for longer than a moment."""
    if connection.dialect.name != "postgresql":
        yield
        return

    def say(*statements: str) -> None:
        for statement in statements:
            connection.execute(text(statement))
        connection.commit()

    say(f"SET lock_timeout = {LOCK_TIMEOUT_MS}", f"SELECT pg_advisory_lock({ONE_AT_A_TIME})")
    event.listen(connection, "before_cursor_execute", _wait_longer)
    try:
        yield
    finally:
        event.remove(connection, "before_cursor_execute", _wait_longer)
        connection.rollback()
        say(f"SELECT pg_advisory_unlock({ONE_AT_A_TIME})", "RESET lock_timeout")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def _state(connection: Connection) -> SchemaState:
    head = str(ScriptDirectory.from_config(_config()).get_current_head())
    current = MigrationContext.configure(connection).get_current_revision()
    return SchemaState(current, head, current is not None and not knows(current))
