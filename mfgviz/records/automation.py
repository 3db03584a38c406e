"""Events, rules, bills of material, batches, schedules and webhooks."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ForeignKey,
    Index,
    String,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from mfgviz.records.base import Record, created, primary


class Rule(Record):
    """What an event shall cause: filter, template, views. `mfgviz.rules` reads it."""

    __tablename__ = "rules"

    id: Mapped[int] = primary()
    name: Mapped[str] = mapped_column(String(256), unique=True)
    event_kind: Mapped[str] = mapped_column(String(64))
    condition: Mapped[str | None] = mapped_column(String(4000))
    template: Mapped[dict[str, Any]]
    enabled: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = created()
    created_by: Mapped[str] = mapped_column(String(256))


class Event(Record):
    """Something that happened, written in the transaction that made it happen (the outbox)."""

    __tablename__ = "events"
    __table_args__ = (
        Index(
            "ix_events_undelivered",
            "id",
            postgresql_where=text("delivered_at IS NULL"),
            sqlite_where=text("delivered_at IS NULL"),
        ),
    )

    id: Mapped[int] = primary()
    kind: Mapped[str] = mapped_column(String(64))
    revision_id: Mapped[int | None] = mapped_column(
        ForeignKey("part_revisions.id", ondelete="CASCADE"), index=True
    )
    payload: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = created()
    delivered_at: Mapped[datetime | None]
