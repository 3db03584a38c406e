"""Jobs that were lost with their workers; which process a worker is.

Columns only, added without copying the tables, as in 0002. An old worker claims without them: it batches
jobs that should run alone, and takes those that other hosts should try first.

Revision ID: 0005
Revises: 0004
Create Date: 2026-11-28 04:00:00.000000
"""

from collections.abc import Sequence

from alembic import op

revision: str = "0005"
down_revision: str | Sequence[str] | None = "0004"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

COLUMNS = (
    ("render_jobs", "crashes", "INTEGER DEFAULT 0 NOT NULL"),
    ("render_jobs", "avoid_host", "VARCHAR(256)"),
    ("render_jobs", "shares_lease", "BOOLEAN DEFAULT false NOT NULL"),
    ("workers", "process", "VARCHAR(256)"),
)


def upgrade() -> None:
    for table, column, kind in COLUMNS:
        op.execute(f"ALTER TABLE {table} ADD COLUMN {column} {kind}")


def downgrade() -> None:
    for table, column, _ in reversed(COLUMNS):
        op.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
