"""indexes for a million parts and ten million renders

Rules for this file:
1. Old code runs on the new schema while workers are being replaced: add columns with a server
   default or as nullable; drop or rename only one release after the last code that used them.
2. Works on SQLite and PostgreSQL: change tables with `op.batch_alter_table`.
3. `downgrade` undoes it with rows in the tables; where data would be lost, say which.
4. Indexes on large tables: `postgresql_concurrently=True` inside `op.get_context().autocommit_block()`.
5. No import of `mfgviz.records`: this file must keep meaning what it means today.

Searches of parts go by pairs and triples of characters. `pg_trgm` would do the same, but is not on every
server; a function of plain SQL is. Leases lose their index: with it every heartbeat wrote into all indexes of
the jobs, while the sweep finds the few running ones by their state. The room left in new pages of the jobs
lets PostgreSQL keep a heartbeat's row where it is.

Indexes that are made concurrently are there, or half there, when this file was stopped: each is made anew.

Revision ID: 0006
Revises: 0005
Create Date: 2026-11-28 04:00:00.000000
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op

revision: str = "0006"
down_revision: str | Sequence[str] | None = "0005"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

# name, table, columns, the rows that it is of
INDEXES: tuple[tuple[str, str, list[str], str | None], ...] = (
    ("ix_geometries_stored", "geometries", ["id"], "state = 'stored'"),
    ("ix_render_jobs_requester_state_id", "render_jobs", ["requester", "state", "id"], None),
    ("ix_renditions_review_state_id", "renditions", ["review_state", "id"], None),
    ("ix_rule_runs_rule_id_id", "rule_runs", ["rule_id", "id"], None),
    (
        "ix_webhook_deliveries_finished_at",
        "webhook_deliveries",
        ["finished_at"],
        "finished_at IS NOT NULL",
    ),
    (
        "ix_webhook_deliveries_webhook_id_state_id",
        "webhook_deliveries",
        ["webhook_id", "state", "id"],
        None,
    ),
)
# The substrings of those lengths, in small letters as ILIKE makes them. An index drops those that come twice.
GRAMS = """
CREATE OR REPLACE FUNCTION mfgviz_grams(told text, sizes int[]) RETURNS text[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE AS $$
SELECT array_agg(substr(low, at, size))
FROM lower(told) AS low, unnest(sizes) AS size, generate_series(1, length(low) - size + 1) AS at
$$
"""
# On PostgreSQL alone: what `mfgviz.schema.POSTGRESQL_INDEXES` names.
GIN = (
    ("ix_parts_grams", "mfgviz_grams(number || E'\\n' || name, '{2,3}')"),
    ("ix_parts_attributes", "attributes jsonb_path_ops"),
)


def upgrade() -> None:
    is_postgresql = op.get_bind().dialect.name == "postgresql"
    if is_postgresql:
        op.execute(GRAMS)
        op.execute("ALTER TABLE render_jobs SET (fillfactor = 80)")
    with op.get_context().autocommit_block():
        for name, table, columns, condition in INDEXES:
            which = None if condition is None else sa.text(condition)
            op.drop_index(name, table_name=table, if_exists=True, postgresql_concurrently=True)
            op.create_index(
                name, table, columns, postgresql_where=which, sqlite_where=which, postgresql_concurrently=True
            )
        if is_postgresql:
            for name, over in GIN:
                op.drop_index(name, table_name="parts", if_exists=True, postgresql_concurrently=True)
                op.execute(f"CREATE INDEX CONCURRENTLY {name} ON parts USING gin ({over})")
            # Nobody plans by their frequencies, and gathering them would take most of an ANALYZE.
            op.execute("ALTER INDEX ix_parts_grams ALTER COLUMN 1 SET STATISTICS 0")
        op.drop_index(
            "ix_render_jobs_lease_until",
            table_name="render_jobs",
            if_exists=True,
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    running = sa.text("state = 'running'")
    op.create_index(
        "ix_render_jobs_lease_until",
        "render_jobs",
        ["lease_until"],
        postgresql_where=running,
        sqlite_where=running,
    )
    if op.get_bind().dialect.name == "postgresql":
        for name, _ in GIN:
            op.drop_index(name, table_name="parts")
        op.execute("DROP FUNCTION mfgviz_grams(text, int[])")
        op.execute("ALTER TABLE render_jobs RESET (fillfactor)")
    for name, table, _, _ in INDEXES:
        op.drop_index(name, table_name=table)
