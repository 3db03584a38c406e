"""tokens, idempotency keys, prompt templates, reviews and primary images

Rules for this file:
1. Old code runs on the new schema while workers are being replaced: add columns with a server
   default or as nullable; drop or rename only one release after the last code that used them.
2. Works on SQLite and PostgreSQL: change tables with `op.batch_alter_table`.
3. `downgrade` undoes it with rows in the tables; where data would be lost, say which.
   Lost: tokens, idempotency keys, prompt templates, who reviewed a render and which one is primary.
4. Indexes on large tables: `postgresql_concurrently=True` inside `op.get_context().autocommit_block()`.
5. No import of `mfgviz.records`: this file must keep meaning what it means today.

Columns of renditions are added without copying the table, as in 0002.

Revision ID: 0003
Revises: 0002
Create Date: 2026-11-24 23:50:12.102931
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision: str = "0003"
down_revision: str | Sequence[str] | None = "0002"
branch_labels: str | Sequence[str] | None = None
depends_on: str | Sequence[str] | None = None

ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
JSON = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")
MOMENT = sa.DateTime(timezone=True)
NOW = sa.text("CURRENT_TIMESTAMP")


def upgrade() -> None:
    op.create_table(
        "access_tokens",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("requester", sa.String(length=256), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("scopes", JSON, nullable=False),
        sa.Column("secret_digest", sa.String(length=64), nullable=False),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("created_by", sa.String(length=256), nullable=False),
        sa.Column("expires_at", MOMENT, nullable=True),
        sa.Column("revoked_at", MOMENT, nullable=True),
        sa.Column("used_at", MOMENT, nullable=True),
        sa.CheckConstraint(
            "role IN ('viewer', 'engineer', 'approver', 'admin')", name=op.f("ck_access_tokens_role_word")
        ),
        sa.CheckConstraint("length(secret_digest) = 64", name=op.f("ck_access_tokens_digest_sha256")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_access_tokens")),
        sa.UniqueConstraint("name", name=op.f("uq_access_tokens_name")),
        sa.UniqueConstraint("secret_digest", name=op.f("uq_access_tokens_secret_digest")),
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("requester", sa.String(length=256), nullable=False),
        sa.Column("key", sa.String(length=128), nullable=False),
        sa.Column("request_digest", sa.String(length=64), nullable=False),
        sa.Column("answer", JSON, nullable=False),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.PrimaryKeyConstraint("requester", "key", name=op.f("pk_idempotency_keys")),
    )
    op.create_index(op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"])
    op.create_table(
        "prompt_templates",
        sa.Column("id", ID, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("title", sa.String(length=200), nullable=False),
        sa.Column("prompt", sa.String(length=4000), nullable=False),
        sa.Column("negative_prompt", sa.String(length=4000), nullable=False),
        sa.Column("views", JSON, nullable=False),
        sa.Column("sampling", JSON, nullable=False),
        sa.Column("retired", sa.Boolean(), nullable=False),
        sa.Column("created_at", MOMENT, server_default=NOW, nullable=False),
        sa.Column("created_by", sa.String(length=256), nullable=False),
        sa.CheckConstraint("version > 0", name=op.f("ck_prompt_templates_version_positive")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_prompt_templates")),
        sa.UniqueConstraint("name", "version", name=op.f("uq_prompt_templates_name_version")),
    )
    moment = "TIMESTAMP WITH TIME ZONE" if op.get_bind().dialect.name == "postgresql" else "DATETIME"
    for column in (
        "reviewed_by VARCHAR(256)",
        f"reviewed_at {moment}",
        "review_comment VARCHAR(2000)",
        "is_primary BOOLEAN DEFAULT false NOT NULL CONSTRAINT ck_renditions_primary_not_rejected "
        "CHECK (NOT is_primary OR review_state <> 'rejected')",
    ):
        op.execute(f"ALTER TABLE renditions ADD COLUMN {column}")
    with op.get_context().autocommit_block():
        op.create_index(
            "uq_renditions_primary",
            "renditions",
            ["revision_id"],
            unique=True,
            postgresql_where=sa.text("is_primary"),
            sqlite_where=sa.text("is_primary"),
            postgresql_concurrently=True,
        )
        op.create_index(
            "ix_render_jobs_unfinished",
            "render_jobs",
            ["requester", "id"],
            postgresql_where=sa.text("state IN ('queued', 'running')"),
            sqlite_where=sa.text("state IN ('queued', 'running')"),
            postgresql_concurrently=True,
        )


def downgrade() -> None:
    op.drop_index("ix_render_jobs_unfinished", table_name="render_jobs")
    op.drop_index("uq_renditions_primary", table_name="renditions")
    for name in ("is_primary", "review_comment", "reviewed_at", "reviewed_by"):
        op.execute(f"ALTER TABLE renditions DROP COLUMN {name}")
    op.drop_table("prompt_templates")
    op.drop_index(op.f("ix_idempotency_keys_created_at"), table_name="idempotency_keys")
    op.drop_table("idempotency_keys")
    op.drop_table("access_tokens")
