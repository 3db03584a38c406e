"""indexes for how numbers and names of parts begin

Rules for this file:
1. Old code runs on the new schema while workers are being replaced: add columns with a server
   default or as nullable; drop or rename only one release after the last code that used them.
2. Works on SQLite and PostgreSQL: change tables with `op.batch_alter_table`.
3. `downgrade` undoes it with rows in the tables; where data would be lost, say which.
4. Indexes on large tables: `postgresql_concurrently=True` inside `op.get_context().autocommit_block()`.
5. No import of `mfgviz.records`: this file must keep meaning what it means today.

In small letters and by code points, so that what begins alike stands together whatever the database's
collation. SQLite reads all parts for a search and sorts them.

Revision ID: 0007
Revises: 0006
Create Date: 2026-11-28 08:00:00.000000
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0007"
down_revision: str | Sequence[str] | None = "0006"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# On PostgreSQL alone: what `mfgviz.schema.POSTGRESQL_INDEXES` names.
INDEXES = (
    ("ix_parts_number_begins", '(lower(number) COLLATE "C"), number'),
    ("ix_parts_name_begins", '(lower(name) COLLATE "C"), number'),
)


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    with op.get_context().autocommit_block():
        for name, over in INDEXES:
            op.drop_index(name, table_name="parts", if_exists=True, postgresql_concurrently=True)
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON parts ({over})")


def downgrade() -> None:
    if op.get_bind().dialect.name == "postgresql":
        for name, _ in INDEXES:
            op.drop_index(name, table_name="parts")
