"""first tables

Rules for this file:
1. Old code runs on the new schema while workers are being replaced: add columns with a server
   default or as nullable; drop or rename only one release after the last code that used them.
2. Works on SQLite and PostgreSQL: change tables with `op.batch_alter_table`.
3. `downgrade` undoes it with rows in the tables; where data would be lost, say which.
4. Indexes on large tables: `postgresql_concurrently=True` inside `op.get_context().autocommit_block()`.
5. No import of `mfgviz.records`: this file must keep meaning what it means today.

Revision ID: 0001
Revises:
Create Date: 2026-11-24 10:15:01.466537
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0001"
down_revision: str | Sequence[str] | None = None
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None


def upgrade() -> None:
    op.create_table(
        "audit_entries",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("actor", sa.String(length=256), nullable=False),
        sa.Column("action", sa.String(length=64), nullable=False),
        sa.Column("subject", sa.String(length=256), nullable=False),
        sa.Column("details", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("CURRENT_TIMESTAMP"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_entries")),
    )
    with op.batch_alter_table("audit_entries", schema=None) as batch_op:
        batch_op.create_index("ix_audit_entries_subject_id", ["subject", "id"], unique=False)

    op.create_table(
        "geometries",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("size_bytes", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("file_name", sa.String(length=512), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("format", sa.String(length=16), nullable=True),
        sa.Column("shape_digest", sa.String(length=128), nullable=True),
        sa.Column("facts", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("error_code", sa.String(length=64), nullable=True),
        sa.Column("error_message", sa.String(length=2000), nullable=True),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("CURRENT_TIMESTAMP"),
            nullable=False,
        ),
        sa.CheckConstraint("state IN ('stored', 'read', 'unusable')", name=op.f("ck_geometries_state_word")),
        sa.CheckConstraint("length(digest) = 64", name=op.f("ck_geometries_digest_sha256")),
        sa.CheckConstraint("size_bytes > 0", name=op.f("ck_geometries_not_empty")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_geometries")),
        sa.UniqueConstraint("digest", name=op.f("uq_geometries_digest")),
    )
    with op.batch_alter_table("geometries", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_geometries_shape_digest"), ["shape_digest"], unique=False)

    op.create_table(
        "models",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("family", sa.String(length=32), nullable=False),
        sa.Column("weights_digest", sa.String(length=64), nullable=False),
        sa.Column("spec", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("CURRENT_TIMESTAMP"),
            nullable=False,
        ),
        sa.Column("created_by", sa.String(length=256), nullable=False),
        sa.CheckConstraint("length(weights_digest) = 64", name=op.f("ck_models_digest_sha256")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_models")),
        sa.UniqueConstraint("name", name=op.f("uq_models_name")),
    )
    op.create_table(
        "parts",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("number", sa.String(length=128), nullable=False),
        sa.Column("name", sa.String(length=512), nullable=False),
        sa.Column("attributes", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("CURRENT_TIMESTAMP"),
            nullable=False,
        ),
        sa.Column("created_by", sa.String(length=256), nullable=False),
        sa.CheckConstraint("length(trim(number)) > 0", name=op.f("ck_parts_number_given")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_parts")),
        sa.UniqueConstraint("number", name=op.f("uq_parts_number")),
    )
    op.create_table(
        "requesters",
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("CURRENT_TIMESTAMP"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_requesters")),
    )
    op.create_table(
        "next_turns",
        sa.Column("requester", sa.String(length=256), nullable=False),
        sa.Column("priority", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("turn", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(
            ["requester"],
            ["requesters.name"],
            name=op.f("fk_next_turns_requester"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("requester", "priority", name=op.f("pk_next_turns")),
    )
    with op.batch_alter_table("next_turns", schema=None) as batch_op:
        batch_op.create_index("ix_next_turns_priority_turn", ["priority", "turn"], unique=False)

    op.create_table(
        "rules",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("event_kind", sa.String(length=64), nullable=False),
        sa.Column("condition", sa.String(length=4000), nullable=True),
        sa.Column("template", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("enabled", sa.Boolean(), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("CURRENT_TIMESTAMP"),
            nullable=False,
        ),
        sa.Column("created_by", sa.String(length=256), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_rules")),
        sa.UniqueConstraint("name", name=op.f("uq_rules_name")),
    )
    op.create_table(
        "workers",
        sa.Column("name", sa.String(length=256), nullable=False),
        sa.Column("queues", sa.String(length=256), nullable=False),
        sa.Column("device", sa.String(length=256), nullable=False),
        sa.Column("loaded_model", sa.String(length=64), nullable=True),
        sa.Column("version", sa.String(length=64), nullable=False),
        sa.Column(
            "started_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("CURRENT_TIMESTAMP"),
            nullable=False,
        ),
        sa.Column(
            "seen_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("CURRENT_TIMESTAMP"),
            nullable=False,
        ),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_workers")),
    )
    op.create_table(
        "part_revisions",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("part_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("label", sa.String(length=64), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("source_state", sa.String(length=128), nullable=True),
        sa.Column("iteration", sa.Integer(), nullable=False),
        sa.Column("geometry_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("attributes", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("CURRENT_TIMESTAMP"),
            nullable=False,
        ),
        sa.Column("created_by", sa.String(length=256), nullable=False),
        sa.CheckConstraint(
            "state IN ('in_work', 'in_review', 'released', 'obsolete', 'other')",
            name=op.f("ck_part_revisions_state_word"),
        ),
        sa.CheckConstraint("length(trim(label)) > 0", name=op.f("ck_part_revisions_label_given")),
        sa.ForeignKeyConstraint(
            ["geometry_id"],
            ["geometries.id"],
            name=op.f("fk_part_revisions_geometry_id"),
            ondelete="RESTRICT",
        ),
        sa.ForeignKeyConstraint(
            ["part_id"], ["parts.id"], name=op.f("fk_part_revisions_part_id"), ondelete="RESTRICT"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_part_revisions")),
        sa.UniqueConstraint("part_id", "label", name=op.f("uq_part_revisions_part_id_label")),
    )
    with op.batch_alter_table("part_revisions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_part_revisions_geometry_id"), ["geometry_id"], unique=False)

    op.create_table(
        "events",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("kind", sa.String(length=64), nullable=False),
        sa.Column("revision_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("payload", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("CURRENT_TIMESTAMP"),
            nullable=False,
        ),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["revision_id"], ["part_revisions.id"], name=op.f("fk_events_revision_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_events")),
    )
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_events_revision_id"), ["revision_id"], unique=False)
        batch_op.create_index(
            "ix_events_undelivered",
            ["id"],
            unique=False,
            postgresql_where=sa.text("delivered_at IS NULL"),
            sqlite_where=sa.text("delivered_at IS NULL"),
        )

    op.create_table(
        "render_jobs",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("revision_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("requester", sa.String(length=256), nullable=False),
        sa.Column("request", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column("fingerprint", sa.String(length=64), nullable=False),
        sa.Column("batch_key", sa.String(length=32), nullable=False),
        sa.Column("model_name", sa.String(length=64), nullable=False),
        sa.Column("images", sa.Integer(), nullable=False),
        sa.Column("forced", sa.Boolean(), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("turn", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column(
            "available_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("CURRENT_TIMESTAMP"),
            nullable=False,
        ),
        sa.Column("rung_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("lease_token", sa.String(length=32), nullable=True),
        sa.Column("lease_until", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_requested", sa.Boolean(), nullable=False),
        sa.Column("attempts_made", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("step", sa.Integer(), nullable=False),
        sa.Column("total_steps", sa.Integer(), nullable=False),
        sa.Column("error_code", sa.String(length=64), nullable=True),
        sa.Column("error_message", sa.String(length=2000), nullable=True),
        sa.Column("notes", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("CURRENT_TIMESTAMP"),
            nullable=False,
        ),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(state = 'running') = (lease_token IS NOT NULL)"
            " AND (state = 'running') = (lease_until IS NOT NULL)",
            name=op.f("ck_render_jobs_lease_when_running"),
        ),
        sa.CheckConstraint(
            "(state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)",
            name=op.f("ck_render_jobs_finished_when_final"),
        ),
        sa.CheckConstraint(
            "state <> 'failed' OR error_code IS NOT NULL", name=op.f("ck_render_jobs_failed_with_cause")
        ),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')",
            name=op.f("ck_render_jobs_state_word"),
        ),
        sa.CheckConstraint(
            "attempts_made >= 0 AND attempts_made <= max_attempts",
            name=op.f("ck_render_jobs_attempts_bounded"),
        ),
        sa.CheckConstraint(
            "step >= 0 AND total_steps >= 0", name=op.f("ck_render_jobs_progress_not_negative")
        ),
        sa.ForeignKeyConstraint(
            ["requester"], ["requesters.name"], name=op.f("fk_render_jobs_requester"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["revision_id"],
            ["part_revisions.id"],
            name=op.f("fk_render_jobs_revision_id"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_render_jobs")),
    )
    with op.batch_alter_table("render_jobs", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_render_jobs_lease_token"), ["lease_token"], unique=False)
        batch_op.create_index(
            "ix_render_jobs_order",
            [sa.text("priority DESC"), "turn", "id"],
            unique=False,
            postgresql_where=sa.text("state = 'queued'"),
            sqlite_where=sa.text("state = 'queued'"),
        )
        batch_op.create_index(
            "ix_render_jobs_lease_until",
            ["lease_until"],
            unique=False,
            postgresql_where=sa.text("state = 'running'"),
            sqlite_where=sa.text("state = 'running'"),
        )
        batch_op.create_index(
            "ix_render_jobs_revision_id_fingerprint", ["revision_id", "fingerprint"], unique=False
        )
        batch_op.create_index("ix_render_jobs_state_id", ["state", "id"], unique=False)
        batch_op.create_index(
            "uq_render_jobs_pending",
            ["revision_id", "fingerprint"],
            unique=True,
            postgresql_where=sa.text("state IN ('queued', 'running') AND NOT forced"),
            sqlite_where=sa.text("state IN ('queued', 'running') AND NOT forced"),
        )

    op.create_table(
        "attempts",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("job_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String(length=256), nullable=False),
        sa.Column("lease_token", sa.String(length=32), nullable=False),
        sa.Column("outcome", sa.String(length=16), nullable=False),
        sa.Column("error_code", sa.String(length=64), nullable=True),
        sa.Column("error_message", sa.String(length=2000), nullable=True),
        sa.Column(
            "started_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("CURRENT_TIMESTAMP"),
            nullable=False,
        ),
        sa.Column("finished_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "(outcome = 'running') = (finished_at IS NULL)", name=op.f("ck_attempts_finished_when_final")
        ),
        sa.CheckConstraint(
            "outcome IN ('running', 'succeeded', 'failed', 'cancelled', 'lost', 'handed_back')",
            name=op.f("ck_attempts_outcome_word"),
        ),
        sa.ForeignKeyConstraint(
            ["job_id"], ["render_jobs.id"], name=op.f("fk_attempts_job_id"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_attempts")),
        sa.UniqueConstraint("job_id", "number", name=op.f("uq_attempts_job_id_number")),
    )
    op.create_table(
        "renditions",
        sa.Column(
            "id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False
        ),
        sa.Column("revision_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("job_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("index", sa.Integer(), nullable=False),
        sa.Column("seed", sa.BigInteger(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("blob_digest", sa.String(length=64), nullable=False),
        sa.Column("thumbnail_digest", sa.String(length=64), nullable=False),
        sa.Column("pixel_digest", sa.String(length=64), nullable=False),
        sa.Column("review_state", sa.String(length=16), nullable=False),
        sa.Column("software", sa.JSON().with_variant(postgresql.JSONB(), "postgresql"), nullable=False),
        sa.Column(
            "created_at",
            sa.DateTime(timezone=True),
            server_default=sa.text("CURRENT_TIMESTAMP"),
            nullable=False,
        ),
        sa.CheckConstraint(
            "review_state IN ('proposed', 'approved', 'rejected', 'superseded')",
            name=op.f("ck_renditions_review_state_word"),
        ),
        sa.CheckConstraint(
            "length(blob_digest) = 64 AND length(pixel_digest) = 64", name=op.f("ck_renditions_digest_sha256")
        ),
        sa.CheckConstraint("width > 0 AND height > 0", name=op.f("ck_renditions_size_positive")),
        sa.ForeignKeyConstraint(
            ["job_id"], ["render_jobs.id"], name=op.f("fk_renditions_job_id"), ondelete="RESTRICT"
        ),
        sa.ForeignKeyConstraint(
            ["revision_id"],
            ["part_revisions.id"],
            name=op.f("fk_renditions_revision_id"),
            ondelete="RESTRICT",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_renditions")),
        sa.UniqueConstraint("job_id", "index", name=op.f("uq_renditions_job_id_index")),
    )
    with op.batch_alter_table("renditions", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_renditions_pixel_digest"), ["pixel_digest"], unique=False)
        batch_op.create_index("ix_renditions_revision_id_id", ["revision_id", "id"], unique=False)


def downgrade() -> None:
    with op.batch_alter_table("renditions", schema=None) as batch_op:
        batch_op.drop_index("ix_renditions_revision_id_id")
        batch_op.drop_index(batch_op.f("ix_renditions_pixel_digest"))

    op.drop_table("renditions")
    op.drop_table("attempts")
    with op.batch_alter_table("render_jobs", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_render_jobs_order",
            postgresql_where=sa.text("state = 'queued'"),
            sqlite_where=sa.text("state = 'queued'"),
        )
        batch_op.drop_index(
            "uq_render_jobs_pending",
            postgresql_where=sa.text("state IN ('queued', 'running') AND NOT forced"),
            sqlite_where=sa.text("state IN ('queued', 'running') AND NOT forced"),
        )
        batch_op.drop_index("ix_render_jobs_state_id")
        batch_op.drop_index("ix_render_jobs_revision_id_fingerprint")
        batch_op.drop_index(
            "ix_render_jobs_lease_until",
            postgresql_where=sa.text("state = 'running'"),
            sqlite_where=sa.text("state = 'running'"),
        )
        batch_op.drop_index(batch_op.f("ix_render_jobs_lease_token"))

    op.drop_table("render_jobs")
    with op.batch_alter_table("events", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_events_undelivered",
            postgresql_where=sa.text("delivered_at IS NULL"),
            sqlite_where=sa.text("delivered_at IS NULL"),
        )
        batch_op.drop_index(batch_op.f("ix_events_revision_id"))

    op.drop_table("events")
    with op.batch_alter_table("part_revisions", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_part_revisions_geometry_id"))

    op.drop_table("part_revisions")
    op.drop_table("workers")
    op.drop_table("rules")
    with op.batch_alter_table("next_turns", schema=None) as batch_op:
        batch_op.drop_index("ix_next_turns_priority_turn")

    op.drop_table("next_turns")
    op.drop_table("requesters")
    op.drop_table("parts")
    op.drop_table("models")
    with op.batch_alter_table("geometries", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_geometries_shape_digest"))

    op.drop_table("geometries")
    with op.batch_alter_table("audit_entries", schema=None) as batch_op:
        batch_op.drop_index("ix_audit_entries_subject_id")

    op.drop_table("audit_entries")
