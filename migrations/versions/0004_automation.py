"""events' actors, rules' runs, bills of material, batches, schedules, webhooks, stale and linked renders

Rules for this file:
1. Old code runs on the new schema while workers are being replaced: add columns with a server
   default or as nullable; drop or rename only one release after the last code that used them.
2. Works on SQLite and PostgreSQL: change tables with `op.batch_alter_table`.
3. `downgrade` undoes it with rows in the tables; where data would be lost, say which.
   Lost: all that the tables hold which it adds, which renders are stale and which were taken over. Jobs that
   were held are served.
4. Indexes on large tables: `postgresql_concurrently=True` inside `op.get_context().autocommit_block()`.
5. No import of `mfgviz.records`: this file must keep meaning what it means today.

Columns are added without copying the tables, as in 0002. The order of service has an index without the jobs
that are held; an old worker claims without it, which is slower and right, and serves held jobs, too.

Revision ID: 0004
Revises: 0003
Create Date: 2026-11-25 03:20:00.000000
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0004"
down_revision: str | Sequence[str] | None = "0003"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
MOMENT = sa.DateTime(timezone=True)
NOW = sa.text("CURRENT_TIMESTAMP")
TABLES = (
    "rule_run_jobs", "rule_runs", "webhook_deliveries", "webhooks", "inbound_messages", "inbound_hooks",
    "schedules", "batch_items", "batches", "bom_lines",
)  # fmt: skip
# table, column, type
COLUMNS = (
    ("events", "actor", "VARCHAR(256) DEFAULT '' NOT NULL"),
    ("events", "available_at", "MOMENT"),
    ("events", "tries", "INTEGER DEFAULT 0 NOT NULL"),
    ("events", "failures", "INTEGER DEFAULT 0 NOT NULL"),
    (
        "render_jobs",
        "batch_id",
        "ID CONSTRAINT fk_render_jobs_batch_id REFERENCES batches (id) ON DELETE RESTRICT",
    ),
    ("render_jobs", "held", "BOOLEAN DEFAULT false NOT NULL"),
    (
        "renditions",
        "origin_id",
        "ID CONSTRAINT fk_renditions_origin_id REFERENCES renditions (id) ON DELETE SET NULL",
    ),
    ("renditions", "stale_at", "MOMENT"),
    ("renditions", "stale_reason", "VARCHAR(512)"),
    ("rules", "version", "INTEGER DEFAULT 1 NOT NULL"),
)
# name, table, columns, the rows that it is of
INDEXES: tuple[tuple[str, str, list[str | sa.TextClause], str | None], ...] = (
    ("ix_events_kind_id", "events", ["kind", "id"], None),
    ("ix_render_jobs_batch_id", "render_jobs", ["batch_id", "id"], "batch_id IS NOT NULL"),
    (
        "ix_render_jobs_ready",
        "render_jobs",
        [sa.text("priority DESC"), "turn", "id"],
        "state = 'queued' AND NOT held",
    ),
    ("ix_renditions_origin_id", "renditions", ["origin_id"], "origin_id IS NOT NULL"),
    ("ix_renditions_stale", "renditions", ["id"], "stale_at IS NOT NULL"),
)


def upgrade() -> None:
    op.create_table(
        "inbound_hooks",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("secret", sa.String(length=256), nullable=False),
        sa.Column("mapping", JSON, nullable=False),
        sa.Column("requester", sa.String(length=256), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("created_by", sa.String(length=256), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_inbound_hooks")),
        sa.UniqueConstraint("name", name=op.f("uq_inbound_hooks_name")),
    )
    op.create_table(
        "schedules",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("task", sa.String(length=64), nullable=False),
        sa.Column("crontab", sa.String(length=128), nullable=False),
        sa.Column("arguments", JSON, nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("next_at", MOMENT, nullable=False),
        sa.Column("last_at", MOMENT, nullable=True),
        sa.Column("last_outcome", sa.String(length=16), server_default="never", nullable=False),
        sa.Column("last_message", sa.String(length=2000), nullable=True),
        sa.Column("last_error_code", sa.String(length=64), nullable=True),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("created_by", sa.String(length=256), nullable=False),
        sa.CheckConstraint(
            "(last_outcome = 'failed') = (last_error_code IS NOT NULL)",
            name=op.f("ck_schedules_failed_with_cause"),
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_schedules")),
        sa.UniqueConstraint("name", name=op.f("uq_schedules_name")),
    )
    op.create_index(op.f("ix_schedules_next_at"), "schedules", ["next_at"])
    op.create_table(
        "webhooks",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("url", sa.String(length=2000), nullable=False),
        sa.Column("secret", sa.String(length=256), nullable=False),
        sa.Column("kinds", JSON, nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("created_by", sa.String(length=256), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhooks")),
        sa.UniqueConstraint("name", name=op.f("uq_webhooks_name")),
    )
    op.create_table(
        "batches",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("requester", sa.String(length=256), nullable=False),
        sa.Column("source", JSON, nullable=False),
        sa.Column("ask", JSON, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("skipped", JSON, nullable=False),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("created_by", sa.String(length=256), nullable=False),
        sa.CheckConstraint("state IN ('open', 'paused', 'cancelled')", name=op.f("ck_batches_state_word")),
        sa.ForeignKeyConstraint(
            ["requester"], ["requesters.name"], name=op.f("fk_batches_requester"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batches")),
    )
    op.create_table(
        "inbound_messages",
        sa.Column("hook_id", ID, nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("received_at", MOMENT, server_default=NOW, nullable=False),
        sa.ForeignKeyConstraint(
            ["hook_id"], ["inbound_hooks.id"], name=op.f("fk_inbound_messages_hook_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("hook_id", "digest", name=op.f("pk_inbound_messages")),
    )
    op.create_index(op.f("ix_inbound_messages_received_at"), "inbound_messages", ["received_at"])
    op.create_table(
        "bom_lines",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("parent_id", ID, nullable=False),
        sa.Column("child_part_id", ID, nullable=False),
        sa.Column("child_id", ID, nullable=True),
        sa.Column("quantity", sa.Double(), nullable=False),
        sa.Column("position", sa.String(length=32), server_default="", nullable=False),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("created_by", sa.String(length=256), nullable=False),
        sa.CheckConstraint("quantity > 0", name=op.f("ck_bom_lines_quantity_positive")),
        sa.ForeignKeyConstraint(
            ["child_id"], ["part_revisions.id"], name=op.f("fk_bom_lines_child_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["child_part_id"], ["parts.id"], name=op.f("fk_bom_lines_child_part_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["parent_id"], ["part_revisions.id"], name=op.f("fk_bom_lines_parent_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_bom_lines")),
        sa.UniqueConstraint(
            "parent_id",
            "child_part_id",
            "position",
            name=op.f("uq_bom_lines_parent_id_child_part_id_position"),
        ),
    )
    op.create_index(op.f("ix_bom_lines_child_id"), "bom_lines", ["child_id"])
    op.create_index(op.f("ix_bom_lines_child_part_id"), "bom_lines", ["child_part_id"])
    op.create_table(
        "batch_items",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("batch_id", ID, nullable=False),
        sa.Column("revision_id", ID, nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("request", JSON, nullable=True),
        sa.Column("leader_id", ID, nullable=True),
        sa.Column("job_id", ID, nullable=True),
        sa.CheckConstraint(
            "job_id IS NOT NULL OR leader_id IS NOT NULL", name=op.f("ck_batch_items_made_somewhere")
        ),
        sa.ForeignKeyConstraint(
            ["batch_id"], ["batches.id"], name=op.f("fk_batch_items_batch_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["render_jobs.id"], name=op.f("fk_batch_items_job_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["leader_id"], ["render_jobs.id"], name=op.f("fk_batch_items_leader_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["revision_id"],
            ["part_revisions.id"],
            name=op.f("fk_batch_items_revision_id"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_batch_items")),
        sa.UniqueConstraint(
            "batch_id",
            "revision_id",
            "fingerprint",
            name=op.f("uq_batch_items_batch_id_revision_id_fingerprint"),
        ),
    )
    op.create_index(op.f("ix_batch_items_job_id"), "batch_items", ["job_id"])
    op.create_index(
        "ix_batch_items_waiting",
        "batch_items",
        ["leader_id"],
        postgresql_where=sa.text("job_id IS NULL"),
        sqlite_where=sa.text("job_id IS NULL"),
    )
    op.create_table(
        "rule_runs",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("rule_id", ID, nullable=False),
        sa.Column("event_id", ID, nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("error_code", sa.String(length=64), nullable=True),
        sa.Column("message", sa.String(length=2000), nullable=True),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.CheckConstraint(
            "outcome <> 'failed' OR error_code IS NOT NULL", name=op.f("ck_rule_runs_failed_with_cause")
        ),
        sa.CheckConstraint(
            "outcome IN ('submitted', 'reused', 'nothing', 'failed')", name=op.f("ck_rule_runs_outcome_word")
        ),
        sa.ForeignKeyConstraint(
            ["event_id"], ["events.id"], name=op.f("fk_rule_runs_event_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["rule_id"], ["rules.id"], name=op.f("fk_rule_runs_rule_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rule_runs")),
        sa.UniqueConstraint("rule_id", "event_id", name=op.f("uq_rule_runs_rule_id_event_id")),
    )
    op.create_index(op.f("ix_rule_runs_event_id"), "rule_runs", ["event_id"])
    op.create_table(
        "webhook_deliveries",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("webhook_id", ID, nullable=False),
        sa.Column("event_id", ID, nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("available_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("error", sa.String(length=2000), nullable=True),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("finished_at", MOMENT, nullable=True),
        sa.CheckConstraint(
            "(state = 'pending') = (finished_at IS NULL)",
            name=op.f("ck_webhook_deliveries_finished_when_final"),
        ),
        sa.CheckConstraint(
            "state IN ('pending', 'delivered', 'dead')", name=op.f("ck_webhook_deliveries_state_word")
        ),
        sa.ForeignKeyConstraint(
            ["event_id"], ["events.id"], name=op.f("fk_webhook_deliveries_event_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["webhook_id"], ["webhooks.id"], name=op.f("fk_webhook_deliveries_webhook_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_deliveries")),
        sa.UniqueConstraint("webhook_id", "event_id", name=op.f("uq_webhook_deliveries_webhook_id_event_id")),
    )
    op.create_index(
        "ix_webhook_deliveries_due",
        "webhook_deliveries",
        ["webhook_id", "available_at"],
        postgresql_where=sa.text("state = 'pending'"),
        sqlite_where=sa.text("state = 'pending'"),
    )
    op.create_index(op.f("ix_webhook_deliveries_event_id"), "webhook_deliveries", ["event_id"])
    op.create_table(
        "rule_run_jobs",
        sa.Column("run_id", ID, nullable=False),
        sa.Column("job_id", ID, nullable=False),
        sa.Column("how", sa.String(length=16), nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id"], ["render_jobs.id"], name=op.f("fk_rule_run_jobs_job_id"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["run_id"], ["rule_runs.id"], name=op.f("fk_rule_run_jobs_run_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("run_id", "job_id", name=op.f("pk_rule_run_jobs")),
    )
    op.create_index(op.f("ix_rule_run_jobs_job_id"), "rule_run_jobs", ["job_id"])

    is_postgresql = op.get_bind().dialect.name == "postgresql"
    moment, reference = ("TIMESTAMP WITH TIME ZONE", "BIGINT") if is_postgresql else ("DATETIME", "INTEGER")
    for table, column, kind in COLUMNS:
        first, _, rest = kind.partition(" ")
        written = {"MOMENT": moment, "ID": reference}.get(first, first)
        op.execute(f"ALTER TABLE {table} ADD COLUMN {column} {written} {rest}")
    with op.get_context().autocommit_block():
        for name, table, columns, condition in INDEXES:
            which = None if condition is None else sa.text(condition)
            op.create_index(
                name, table, columns, postgresql_where=which, sqlite_where=which, postgresql_concurrently=True
            )
    op.drop_index("ix_render_jobs_order", table_name="render_jobs")


def downgrade() -> None:
    queued = sa.text("state = 'queued'")
    op.create_index(
        "ix_render_jobs_order",
        "render_jobs",
        [sa.text("priority DESC"), "turn", "id"],
        postgresql_where=queued,
        sqlite_where=queued,
    )
    for name, table, _, _ in INDEXES:
        op.drop_index(name, table_name=table)
    for table, column, _ in reversed(COLUMNS):
        op.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
    for table in TABLES:
        op.drop_table(table)
