"""The database's tables, brought to this version by the migrations that come with mfgviz."""

from __future__ import annotations

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
from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from mfgviz import models, toolbox
from mfgviz.database import READ_ONLY, Database, translate, without_time_limit
from mfgviz.errors import DatabaseNotMigratedError, InvalidInputError
from mfgviz.models_folder import ModelSpec, find_source
from mfgviz.records import Record

# Foreign keys of columns that were added to tables there were.
ADDED_KEYS = {("render_jobs", "batch_id"), ("renditions", "origin_id")}
MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"


@dataclass(frozen=True, slots=True)
class SchemaState:
    """Which migration the database is at (None: empty) and which is this version's."""

    current: str | None
    head: str

    @property
    def is_current(self) -> bool:
        """Whether the tables are those of this version."""
        return self.current == self.head


def upgrade(db: Database, revision: str = "head") -> SchemaState:
    """Bring the tables to that migration; one transaction each. Errors as `Database.begin`."""
    return _run(db, lambda config: command.upgrade(config, revision))


def downgrade(db: Database, revision: str) -> SchemaState:
    """Take migrations back, down to that one (`base`: all). Errors as `Database.begin`."""
    return _run(db, lambda config: command.downgrade(config, revision))


def state(db: Database) -> SchemaState:
    """Where the database stands."""
    with _connect(db, read_only=True) as connection:
        return _state(connection)


def require_current(db: Database) -> None:
    """Raises DatabaseNotMigratedError unless the tables are those of this version."""
    found = state(db)
    if not found.is_current:
        where = "has no tables yet" if found.current is None else f"is at migration {found.current}"
        raise DatabaseNotMigratedError(f"The database {where}; this version needs {found.head}.")


def differences(db: Database) -> list[str]:
    """How the tables differ from the records' classes, in words; empty if they do not."""
    with _connect(db, read_only=True) as connection, warnings.catch_warnings():
        # SQLite cannot tell what an index over an expression is made of.
        warnings.filterwarnings("ignore", "autogenerate skipping.*ix_render_jobs_ready", UserWarning)
        options = {"compare_server_default": False, "include_object": _can_be_compared}
        context = MigrationContext.configure(connection, opts=options)
        return [str(difference) for difference in compare_metadata(context, Record.metadata)]


def _can_be_compared(thing: Any, _name: Any, kind: str, *_others: Any) -> bool:
    """Not foreign keys of columns that were added to a table of SQLite, whose options cannot be read back."""
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
        translated = translate(error, db.url)
        if translated is None:
            raise
        raise translated from error


def _run(db: Database, action: Callable[[Config], None]) -> SchemaState:
    with _connect(db) as connection:
        config = _config()
        config.attributes["connection"] = connection
        try:
            with without_time_limit(connection):
                action(config)
        except CommandError as error:
            raise InvalidInputError(f"The migration cannot be run: {error}.") from error
        connection.commit()
        return _state(connection)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    return config


def _state(connection: Connection) -> SchemaState:
    head = ScriptDirectory.from_config(_config()).get_current_head()
    return SchemaState(MigrationContext.configure(connection).get_current_revision(), str(head))
