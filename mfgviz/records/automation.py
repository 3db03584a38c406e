"""Events, rules, bills of material, batches, schedules and webhooks."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column, relationship

from mfgviz.records.base import DIGEST, NOW, JsonValue, Record, created, one_of, primary
from mfgviz.records.core import Part, PartRevision
from mfgviz.vocabulary import BatchState, DeliveryState, RuleOutcome


class Rule(Record):
    """What an event shall cause: a condition on what it is about, and what to ask for.

    `ask` holds the fields of an `mfgviz.intake.Ask` but its revision. `version` goes up with each change.
    """

    __tablename__ = "rules"

    id: Mapped[int] = primary()
    name: Mapped[str] = mapped_column(String(256), unique=True)
    event_kind: Mapped[str] = mapped_column(String(64))
    condition: Mapped[str | None] = mapped_column(String(4000))
    ask: Mapped[dict[str, Any]] = mapped_column("template")
    enabled: Mapped[bool] = mapped_column(default=True)
    version: Mapped[int] = mapped_column(default=1, server_default=text("1"))
    created_at: Mapped[datetime] = created()
    created_by: Mapped[str] = mapped_column(String(256))


class Event(Record):
    """Something that happened, written in the transaction that made it happen (the outbox).

    `actor` caused it. It is delivered once `mfgviz.automation` has done what follows from it, not before
    `available_at`. It was put off so many times (`tries`), and went wrong so many (`failures`).
    """

    __tablename__ = "events"
    __table_args__ = (
        Index(
            "ix_events_undelivered",
            "id",
            postgresql_where=text("delivered_at IS NULL"),
            sqlite_where=text("delivered_at IS NULL"),
        ),
        Index("ix_events_kind_id", "kind", "id"),
    )

    id: Mapped[int] = primary()
    kind: Mapped[str] = mapped_column(String(64))
    revision_id: Mapped[int | None] = mapped_column(
        ForeignKey("part_revisions.id", ondelete="CASCADE"), index=True
    )
    actor: Mapped[str] = mapped_column(String(256), default="", server_default="")
    payload: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = created()
    available_at: Mapped[datetime | None]
    tries: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    failures: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    delivered_at: Mapped[datetime | None]
    revision: Mapped[PartRevision | None] = relationship()


class RuleRun(Record):
    """What one rule did about one event; there is one at most."""

    __tablename__ = "rule_runs"
    __table_args__ = (
        UniqueConstraint("rule_id", "event_id"),
        one_of("outcome", RuleOutcome),
        CheckConstraint("outcome <> 'failed' OR error_code IS NOT NULL", name="failed_with_cause"),
        Index("ix_rule_runs_rule_id_id", "rule_id", "id"),
    )

    id: Mapped[int] = primary()
    rule_id: Mapped[int] = mapped_column(ForeignKey("rules.id", ondelete="CASCADE"))
    event_id: Mapped[int] = mapped_column(ForeignKey("events.id", ondelete="CASCADE"), index=True)
    outcome: Mapped[str] = mapped_column(String(16))
    error_code: Mapped[str | None] = mapped_column(String(64))
    message: Mapped[str | None] = mapped_column(String(2000))
    created_at: Mapped[datetime] = created()
    rule: Mapped[Rule] = relationship()
    event: Mapped[Event] = relationship()
    jobs: Mapped[list[RuleRunJob]] = relationship(order_by="RuleRunJob.job_id")


class RuleRunJob(Record):
    """A job that answers a rule: a new one, or one that was there."""

    __tablename__ = "rule_run_jobs"

    run_id: Mapped[int] = mapped_column(ForeignKey("rule_runs.id", ondelete="CASCADE"), primary_key=True)
    job_id: Mapped[int] = mapped_column(
        ForeignKey("render_jobs.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    how: Mapped[str] = mapped_column(String(16))


class BomLine(Record):
    """A part that a revision of an assembly is made of, `quantity` of it. A line may pin the child's
    revision; one that does not means the part, whatever is current."""

    __tablename__ = "bom_lines"
    __table_args__ = (
        UniqueConstraint("parent_id", "child_part_id", "position"),
        CheckConstraint("quantity > 0", name="quantity_positive"),
    )

    id: Mapped[int] = primary()
    parent_id: Mapped[int] = mapped_column(ForeignKey("part_revisions.id", ondelete="CASCADE"))
    child_part_id: Mapped[int] = mapped_column(ForeignKey("parts.id", ondelete="RESTRICT"), index=True)
    child_id: Mapped[int | None] = mapped_column(
        ForeignKey("part_revisions.id", ondelete="RESTRICT"), index=True
    )
    quantity: Mapped[float]
    position: Mapped[str] = mapped_column(String(32), default="", server_default="")
    created_at: Mapped[datetime] = created()
    created_by: Mapped[str] = mapped_column(String(256))
    parent: Mapped[PartRevision] = relationship(foreign_keys=[parent_id])
    child_part: Mapped[Part] = relationship()
    child: Mapped[PartRevision | None] = relationship(foreign_keys=[child_id])


class Batch(Record):
    """Jobs that were asked for at once, over a bill of material or a query, and are held and ended at once.

    `source` says over what (`{"bom": "TOP@C"}` or `{"query": "…"}`); `skipped` what had nothing to render,
    and why.
    """

    __tablename__ = "batches"
    __table_args__ = (one_of("state", BatchState),)

    id: Mapped[int] = primary()
    requester: Mapped[str] = mapped_column(ForeignKey("requesters.name", ondelete="RESTRICT"))
    source: Mapped[dict[str, Any]]
    ask: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(String(16), default=BatchState.OPEN)
    skipped: Mapped[list[dict[str, Any]]] = mapped_column(JsonValue, default=list)
    created_at: Mapped[datetime] = created()
    created_by: Mapped[str] = mapped_column(String(256))


class BatchItem(Record):
    """One picture that a batch wants on one revision. Where `leader_id` makes the same picture for another
    revision, it is linked here once that is done, as `job_id`; else `job_id` is the job that makes it."""

    __tablename__ = "batch_items"
    __table_args__ = (
        UniqueConstraint("batch_id", "revision_id", "fingerprint"),
        CheckConstraint("job_id IS NOT NULL OR leader_id IS NOT NULL", name="made_somewhere"),
        Index(
            "ix_batch_items_waiting",
            "leader_id",
            postgresql_where=text("job_id IS NULL"),
            sqlite_where=text("job_id IS NULL"),
        ),
    )

    id: Mapped[int] = primary()
    batch_id: Mapped[int] = mapped_column(ForeignKey("batches.id", ondelete="CASCADE"))
    revision_id: Mapped[int] = mapped_column(ForeignKey("part_revisions.id", ondelete="RESTRICT"))
    fingerprint: Mapped[str] = mapped_column(DIGEST)
    request: Mapped[dict[str, Any] | None]
    leader_id: Mapped[int | None] = mapped_column(ForeignKey("render_jobs.id", ondelete="CASCADE"))
    job_id: Mapped[int | None] = mapped_column(ForeignKey("render_jobs.id", ondelete="CASCADE"), index=True)


class Schedule(Record):
    """Something that is done at set times; whichever worker sees first that it is due does it."""

    __tablename__ = "schedules"
    __table_args__ = (
        CheckConstraint(
            "(last_outcome = 'failed') = (last_error_code IS NOT NULL)", name="failed_with_cause"
        ),
    )

    id: Mapped[int] = primary()
    name: Mapped[str] = mapped_column(String(128), unique=True)
    task: Mapped[str] = mapped_column(String(64))
    crontab: Mapped[str] = mapped_column(String(128))
    arguments: Mapped[dict[str, Any]] = mapped_column(default=dict)
    enabled: Mapped[bool] = mapped_column(default=True)
    next_at: Mapped[datetime] = mapped_column(index=True)
    last_at: Mapped[datetime | None]
    last_outcome: Mapped[str] = mapped_column(String(16), default="never", server_default="never")
    last_message: Mapped[str | None] = mapped_column(String(2000))
    last_error_code: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[datetime] = created()
    created_by: Mapped[str] = mapped_column(String(256))


class Webhook(Record):
    """An address that is told of events, signed with `secret`; `kinds` are those it wants."""

    __tablename__ = "webhooks"

    id: Mapped[int] = primary()
    name: Mapped[str] = mapped_column(String(128), unique=True)
    url: Mapped[str] = mapped_column(String(2000))
    secret: Mapped[str] = mapped_column(String(256))
    kinds: Mapped[list[str]]
    enabled: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = created()
    created_by: Mapped[str] = mapped_column(String(256))


class WebhookDelivery(Record):
    """One event on its way to one webhook; there is one at most."""

    __tablename__ = "webhook_deliveries"
    __table_args__ = (
        UniqueConstraint("webhook_id", "event_id"),
        one_of("state", DeliveryState),
        CheckConstraint("(state = 'pending') = (finished_at IS NULL)", name="finished_when_final"),
        Index(
            "ix_webhook_deliveries_finished_at",
            "finished_at",
            postgresql_where=text("finished_at IS NOT NULL"),
            sqlite_where=text("finished_at IS NOT NULL"),
        ),
        Index("ix_webhook_deliveries_webhook_id_state_id", "webhook_id", "state", "id"),
        Index(
            "ix_webhook_deliveries_due",
            "webhook_id",
            "available_at",
            postgresql_where=text("state = 'pending'"),
            sqlite_where=text("state = 'pending'"),
        ),
    )

    id: Mapped[int] = primary()
    webhook_id: Mapped[int] = mapped_column(ForeignKey("webhooks.id", ondelete="CASCADE"))
    event_id: Mapped[int] = mapped_column(ForeignKey("events.id", ondelete="CASCADE"), index=True)
    state: Mapped[str] = mapped_column(String(16), default=DeliveryState.PENDING)
    tries: Mapped[int] = mapped_column(default=0)
    available_at: Mapped[datetime] = mapped_column(server_default=NOW)
    status: Mapped[int | None]
    error: Mapped[str | None] = mapped_column(String(2000))
    created_at: Mapped[datetime] = created()
    finished_at: Mapped[datetime | None]
    webhook: Mapped[Webhook] = relationship()
    event: Mapped[Event] = relationship()


class InboundHook(Record):
    """A place where another system tells of releases, signed with `secret`; `mapping` reads its JSON."""

    __tablename__ = "inbound_hooks"

    id: Mapped[int] = primary()
    name: Mapped[str] = mapped_column(String(128), unique=True)
    secret: Mapped[str] = mapped_column(String(256))
    mapping: Mapped[dict[str, Any]]
    requester: Mapped[str] = mapped_column(String(256))
    enabled: Mapped[bool] = mapped_column(default=True)
    created_at: Mapped[datetime] = created()
    created_by: Mapped[str] = mapped_column(String(256))


class InboundMessage(Record):
    """A message that came to an inbound hook, so that it does not come twice."""

    __tablename__ = "inbound_messages"

    hook_id: Mapped[int] = mapped_column(ForeignKey("inbound_hooks.id", ondelete="CASCADE"), primary_key=True)
    digest: Mapped[str] = mapped_column(DIGEST, primary_key=True)
    received_at: Mapped[datetime] = mapped_column(server_default=NOW, index=True)
