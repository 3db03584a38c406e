"""Each migration leaves the code of the version before running: it adds, and takes nothing away.

Read from what it really says to PostgreSQL. A migration that is the second step of a removal (nothing has
used it for a release) says so with `REMOVES = "what, and since when"`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from alembic.script import Script, ScriptDirectory
from sqlalchemy import event, inspect

from mfgviz import schema
from mfgviz.database import Database
from tests.support.servers import Postgres

# Those that were there before this test; they are in use and are not changed any more.
LANDED = {"0001", "0002", "0003", "0004"}
LARGE = {
    "parts", "part_revisions", "geometries", "render_jobs", "attempts", "renditions", "events",
    "audit_entries", "batch_items", "webhook_deliveries", "bom_lines", "rule_runs",
}  # fmt: skip
TAKES_AWAY = (
    (r"^\s*DROP TABLE (?!_alembic_tmp)", "drops a table"),
    (r"^\s*ALTER TABLE \S+ DROP COLUMN", "drops a column"),
    (r"\bRENAME\b", "renames"),
    (r"ALTER COLUMN \S+ TYPE", "changes a column's type"),
    (r"ALTER COLUMN \S+ SET NOT NULL", "demands values that old code does not write"),
    (r"^\s*(DELETE|TRUNCATE)\b(?!.*alembic_version)", "deletes rows"),
)
MIGRATIONS = list(ScriptDirectory.from_config(schema._config()).walk_revisions())


def objections(statements: list[str], tables: set[str]) -> list[str]:
    """What in the statements would stop the code of the version before, or everybody; `tables` were there."""
    told = []
    for statement in (" ".join(one.split()) for one in statements):
        told += [f"{what}: {statement}" for sign, what in TAKES_AWAY if re.search(sign, statement, re.I)]
        added = re.match(r"ALTER TABLE (\S+) ADD COLUMN (.*)", statement, re.I)
        if added and "NOT NULL" in added[2].upper() and "DEFAULT" not in added[2].upper():
            told.append(f"old code writes no such column, and it has no default: {statement}")
        index = re.match(r"CREATE (?:UNIQUE )?INDEX (CONCURRENTLY )?.* ON (\S+) ", statement, re.I)
        if index and index[2] in tables & LARGE and not index[1]:
            told.append(f"keeps others from writing while the index is made: {statement}")
    return told


@contextmanager
def listened(database: Database) -> Iterator[list[str]]:
    """What is said to the database meanwhile."""
    said: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_others: object) -> None:
        said.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    try:
        yield said
    finally:
        event.remove(database.engine, "before_cursor_execute", note)


@pytest.mark.postgresql
@pytest.mark.parametrize("migration", MIGRATIONS, ids=lambda one: one.revision)
def test_it_takes_nothing_from_the_version_before(migration: Script, postgres: Postgres) -> None:
    with postgres.database(empty=True) as url:
        database = Database(url)
        if migration.down_revision:
            schema.upgrade(database, str(migration.down_revision))
        tables = set(inspect(database.engine).get_table_names())
        with listened(database) as said:
            schema.upgrade(database, migration.revision)
        database.dispose()
    assert any("CREATE" in one or "ALTER" in one for one in said), "nothing was seen"
    found = objections(said, tables)
    if migration.revision in LANDED:
        found = [one for one in found if not one.startswith("keeps others")]
    removes = getattr(migration.module, "REMOVES", "")
    assert removes or found == []


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TABLE rules",
        "ALTER TABLE parts DROP COLUMN name",
        "ALTER TABLE parts RENAME COLUMN name TO title",
        "ALTER TABLE parts RENAME TO articles",
        "ALTER TABLE parts ALTER COLUMN name TYPE INTEGER",
        "ALTER TABLE parts ALTER COLUMN name SET NOT NULL",
        "ALTER TABLE parts ADD COLUMN mass FLOAT NOT NULL",
        "DELETE FROM parts",
        "CREATE INDEX ix_parts_name ON parts (name)",
    ],
)
def test_what_would_stop_old_code_is_seen(statement: str) -> None:
    assert len(objections([statement], {"parts", "rules"})) == 1


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE parts ADD COLUMN mass FLOAT",
        "ALTER TABLE parts ADD COLUMN mass FLOAT DEFAULT 0 NOT NULL",
        "CREATE INDEX CONCURRENTLY ix_parts_name ON parts (name)",
        "CREATE TABLE things (id INTEGER NOT NULL)",
        "CREATE INDEX ix_things ON things (id)",
        "DELETE FROM alembic_version WHERE version_num = '0004'",
    ],
)
def test_what_is_added_is_let_pass(statement: str) -> None:
    assert objections([statement], {"parts", "rules"}) == []
