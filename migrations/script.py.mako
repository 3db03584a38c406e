"""${message}

Rules for this file:
1. Old code runs on the new schema while workers are being replaced: add columns with a server
   default or as nullable; drop or rename only one release after the last code that used them.
2. Works on SQLite and PostgreSQL: change tables with `op.batch_alter_table`.
3. `downgrade` undoes it with rows in the tables; where data would be lost, say which.
4. Indexes on large tables: `postgresql_concurrently=True` inside `op.get_context().autocommit_block()`, last
   in its migration: what stands before such a block is committed by it, and cannot be tried again.
   All else is tried again where a table is in use: it waits a quarter of a second for a lock, lets others pass.
5. No import of `mfgviz.records`: this file must keep meaning what it means today.

Revision ID: ${up_revision}
Revises: ${down_revision | comma,n}
Create Date: ${create_date}
"""

from collections.abc import Sequence

import sqlalchemy as sa
from alembic import op
${imports if imports else ""}

# Rule 1's second step only, in a release after the last code that used it: REMOVES = "what, and since when".
revision: str = ${repr(up_revision)}
down_revision: str | Sequence[str] | None = ${repr(down_revision)}
branch_labels: str | Sequence[str] | None = ${repr(branch_labels)}
depends_on: str | Sequence[str] | None = ${repr(depends_on)}


def upgrade() -> None:
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    ${downgrades if downgrades else "pass"}
