"""Runs migrations on the connection that `mfgviz.schema` hands over. There is no other door."""

from __future__ import annotations

from typing import Any, Literal

from alembic import context
from sqlalchemy import Connection
from sqlalchemy.sql.elements import ClauseElement

from mfgviz.records import Record, UtcDateTime


def render_item(kind: str, item: object, _autogen: Any) -> str | Literal[False]:
    """Write our own column types into new migrations as plain SQLAlchemy ones."""
    if kind == "type" and isinstance(item, UtcDateTime):
        return "sa.DateTime(timezone=True)"
    return False


def compare_server_default(*_args: ClauseElement | Any) -> bool:
    """Defaults are proven by inserting rows, not by comparing the words of two dialects."""
    return False


connection: Connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Record.metadata,
    render_as_batch=True,
    transaction_per_migration=True,
    render_item=render_item,
    compare_server_default=compare_server_default,
)
with context.begin_transaction():
    context.run_migrations()
