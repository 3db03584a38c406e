"""Parts, revisions, jobs, renders, models, people and tokens."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    String,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column, relationship

from mfgviz.records.base import DIGEST, NOW, Id, Record, created, one_of, primary
from mfgviz.vocabulary import (
    AttemptOutcome,
    FidelityPolicy,
    FidelityVerdict,
    GeometryState,
    JobState,
    LifecycleState,
    ReviewState,
    Role,
)


class Part(Record):
    """A part number and what is known of it in all its revisions."""

    __tablename__ = "parts"
    __table_args__ = (CheckConstraint("length(trim(number)) > 0", name="number_given"),)

    id: Mapped[int] = primary()
    number: Mapped[str] = mapped_column(String(128), unique=True)
    name: Mapped[str] = mapped_column(String(512), default="")
    attributes: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = created()
    created_by: Mapped[str] = mapped_column(String(256))
    revisions: Mapped[list[PartRevision]] = relationship(back_populates="part", order_by="PartRevision.id")


class PartRevision(Record):
    """One revision of a part: what a picture hangs on."""

    __tablename__ = "part_revisions"
    __table_args__ = (
        UniqueConstraint("part_id", "label"),
        CheckConstraint("length(trim(label)) > 0", name="label_given"),
        one_of("state", LifecycleState),
    )

    id: Mapped[int] = primary()
    part_id: Mapped[int] = mapped_column(ForeignKey("parts.id", ondelete="RESTRICT"))
    label: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16), default=LifecycleState.IN_WORK)
    source_state: Mapped[str | None] = mapped_column(String(128))
    iteration: Mapped[int] = mapped_column(default=1)
    geometry_id: Mapped[int | None] = mapped_column(
        ForeignKey("geometries.id", ondelete="RESTRICT"), index=True
    )
    attributes: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = created()
    created_by: Mapped[str] = mapped_column(String(256))
    part: Mapped[Part] = relationship(back_populates="revisions")
    geometry: Mapped[Geometry | None] = relationship()

    @property
    def reference(self) -> str:
        """`NUMBER@LABEL`, as people and commands write it."""
        return f"{self.part.number}@{self.label}"


class Geometry(Record):
    """A CAD file that came in, once per content; revisions of the same file share it."""

    __tablename__ = "geometries"
    __table_args__ = (
        CheckConstraint("size_bytes > 0", name="not_empty"),
        CheckConstraint("length(digest) = 64", name="digest_sha256"),
        one_of("state", GeometryState),
        Index(
            "ix_geometries_stored",
            "id",
            postgresql_where=text("state = 'stored'"),
            sqlite_where=text("state = 'stored'"),
        ),
    )

    id: Mapped[int] = primary()
    digest: Mapped[str] = mapped_column(DIGEST, unique=True)
    size_bytes: Mapped[int] = mapped_column(Id)
    file_name: Mapped[str] = mapped_column(String(512))
    state: Mapped[str] = mapped_column(String(16), default=GeometryState.STORED)
    format: Mapped[str | None] = mapped_column(String(16))
    shape_digest: Mapped[str | None] = mapped_column(String(128), index=True)
    facts: Mapped[dict[str, Any]] = mapped_column(default=dict)
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_message: Mapped[str | None] = mapped_column(String(2000))
    created_at: Mapped[datetime] = created()


class Model(Record):
    """A diffusion model that workers can load, under the name that requests use."""

    __tablename__ = "models"
    __table_args__ = (CheckConstraint("length(weights_digest) = 64", name="digest_sha256"),)

    id: Mapped[int] = primary()
    name: Mapped[str] = mapped_column(String(64), unique=True)
    family: Mapped[str] = mapped_column(String(32))
    weights_digest: Mapped[str] = mapped_column(DIGEST)
    spec: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = created()
    created_by: Mapped[str] = mapped_column(String(256))


class Requester(Record):
    """Who submits."""

    __tablename__ = "requesters"

    name: Mapped[str] = mapped_column(String(256), primary_key=True)
    created_at: Mapped[datetime] = created()


class NextTurn(Record):
    """A requester's next turn in the fair order of a priority."""

    __tablename__ = "next_turns"
    __table_args__ = (Index("ix_next_turns_priority_turn", "priority", "turn"),)

    requester: Mapped[str] = mapped_column(
        ForeignKey("requesters.name", ondelete="CASCADE"), primary_key=True
    )
    priority: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    turn: Mapped[int] = mapped_column(Id)


class RenderJob(Record):
    """What was asked for a revision, and where it stands. Only `mfgviz.jobs` moves it."""

    __tablename__ = "render_jobs"
    __table_args__ = (
        one_of("state", JobState),
        CheckConstraint(
            "(state = 'running') = (lease_token IS NOT NULL)"
            " AND (state = 'running') = (lease_until IS NOT NULL)",
            name="lease_when_running",
        ),
        CheckConstraint(
            "(state IN ('succeeded', 'failed', 'cancelled')) = (finished_at IS NOT NULL)",
            name="finished_when_final",
        ),
        CheckConstraint("state <> 'failed' OR error_code IS NOT NULL", name="failed_with_cause"),
        CheckConstraint("attempts_made >= 0 AND attempts_made <= max_attempts", name="attempts_bounded"),
        CheckConstraint("step >= 0 AND total_steps >= 0", name="progress_not_negative"),
        one_of("fidelity_policy", FidelityPolicy),
        CheckConstraint(
            "fidelity_retries >= 0 AND (fidelity_policy = 'retry') = (fidelity_retries > 0)",
            name="fidelity_retries_by_policy",
        ),
        # The same picture is not queued twice on one revision, unless that was asked for. One that may be
        # tried again with more strength is another picture than one that may not.
        Index(
            "uq_render_jobs_pending",
            "revision_id",
            "fingerprint",
            "fidelity_retries",
            unique=True,
            postgresql_where=text("state IN ('queued', 'running') AND NOT forced"),
            sqlite_where=text("state IN ('queued', 'running') AND NOT forced"),
        ),
        Index("ix_render_jobs_revision_id_fingerprint", "revision_id", "fingerprint"),
        Index("ix_render_jobs_state_id", "state", "id"),
        Index("ix_render_jobs_requester_state_id", "requester", "state", "id"),
        Index(
            "ix_render_jobs_batch_id",
            "batch_id",
            "id",
            postgresql_where=text("batch_id IS NOT NULL"),
            sqlite_where=text("batch_id IS NOT NULL"),
        ),
        # What one requester waits for: few rows of many, whoever else has filled the queue.
        Index(
            "ix_render_jobs_unfinished",
            "requester",
            "id",
            postgresql_where=text("state IN ('queued', 'running')"),
            sqlite_where=text("state IN ('queued', 'running')"),
        ),
    )

    id: Mapped[int] = primary()
    revision_id: Mapped[int] = mapped_column(ForeignKey("part_revisions.id", ondelete="RESTRICT"))
    requester: Mapped[str] = mapped_column(ForeignKey("requesters.name", ondelete="RESTRICT"))
    request: Mapped[dict[str, Any]]
    fingerprint: Mapped[str] = mapped_column(DIGEST)
    batch_key: Mapped[str] = mapped_column(String(32))
    model_name: Mapped[str] = mapped_column(String(64))
    images: Mapped[int] = mapped_column(default=1)
    forced: Mapped[bool] = mapped_column(default=False)
    fidelity_policy: Mapped[str] = mapped_column(
        String(16), default=FidelityPolicy.MARK, server_default=FidelityPolicy.MARK.value
    )
    fidelity_retries: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    priority: Mapped[int]
    turn: Mapped[int] = mapped_column(Id)
    state: Mapped[str] = mapped_column(String(16), default=JobState.QUEUED)
    available_at: Mapped[datetime] = mapped_column(server_default=NOW)
    rung_at: Mapped[datetime | None]
    lease_token: Mapped[str | None] = mapped_column(String(32), index=True)
    lease_until: Mapped[datetime | None]
    cancel_requested: Mapped[bool] = mapped_column(default=False)
    attempts_made: Mapped[int] = mapped_column(default=0)
    max_attempts: Mapped[int] = mapped_column(default=3)
    # Attempts that were lost with their worker. Such a job runs alone, and on other hosts than that first.
    crashes: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    avoid_host: Mapped[str | None] = mapped_column(String(256))
    shares_lease: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    batch_id: Mapped[int | None] = mapped_column(ForeignKey("batches.id", ondelete="RESTRICT"))
    held: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    step: Mapped[int] = mapped_column(default=0)
    total_steps: Mapped[int] = mapped_column(default=0)
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_message: Mapped[str | None] = mapped_column(String(2000))
    notes: Mapped[list[str]] = mapped_column(default=list)
    created_at: Mapped[datetime] = created()
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    revision: Mapped[PartRevision] = relationship()
    attempts: Mapped[list[Attempt]] = relationship(back_populates="job", order_by="Attempt.number")
    renditions: Mapped[list[Rendition]] = relationship(back_populates="job", order_by="Rendition.index")


# The order of service: one index scan from the front is a claim, however many jobs are held.
Index(
    "ix_render_jobs_ready",
    RenderJob.priority.desc(),
    RenderJob.turn,
    RenderJob.id,
    postgresql_where=text("state = 'queued' AND NOT held"),
    sqlite_where=text("state = 'queued' AND NOT held"),
)


class Attempt(Record):
    """One execution of a job by one worker."""

    __tablename__ = "attempts"
    __table_args__ = (
        UniqueConstraint("job_id", "number"),
        one_of("outcome", AttemptOutcome),
        CheckConstraint("(outcome = 'running') = (finished_at IS NULL)", name="finished_when_final"),
    )

    id: Mapped[int] = primary()
    job_id: Mapped[int] = mapped_column(ForeignKey("render_jobs.id", ondelete="CASCADE"))
    number: Mapped[int]
    worker: Mapped[str] = mapped_column(String(256))
    lease_token: Mapped[str] = mapped_column(String(32))
    outcome: Mapped[str] = mapped_column(String(16), default=AttemptOutcome.RUNNING)
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_message: Mapped[str | None] = mapped_column(String(2000))
    started_at: Mapped[datetime] = mapped_column(server_default=NOW)
    finished_at: Mapped[datetime | None]
    job: Mapped[RenderJob] = relationship(back_populates="attempts")


class Rendition(Record):
    """A stored image of one revision, with everything needed to make it again.

    `fidelity` is the probability, 0 to 1, that a careful person would accept it as a picture of the part;
    null where nothing could be judged, for the reason in `fidelity_details`. `control_scale` is the
    geometry strength it was made with, which may be more than its request asks for; null in rows of older
    versions. `origin_id` is the rendition that this one was taken over from, of a revision with the same
    shape. It is stale since `stale_at` where something that it shows was released anew.
    """

    __tablename__ = "renditions"
    __table_args__ = (
        UniqueConstraint("job_id", "index"),
        one_of("review_state", ReviewState),
        CheckConstraint("width > 0 AND height > 0", name="size_positive"),
        CheckConstraint("length(blob_digest) = 64 AND length(pixel_digest) = 64", name="digest_sha256"),
        CheckConstraint("fidelity IS NULL OR (fidelity >= 0 AND fidelity <= 1)", name="fidelity_probability"),
        CheckConstraint(
            "fidelity_verdict IN ('passed', 'marked', 'accepted', 'not_judged')"
            " AND (fidelity IS NULL) = (fidelity_verdict = 'not_judged')",
            name="fidelity_verdict_word",
        ),
        CheckConstraint(
            "control_scale IS NULL OR (control_scale >= 0 AND control_scale <= 1)", name="control_scale_share"
        ),
        Index("ix_renditions_revision_id_id", "revision_id", "id"),
        Index("ix_renditions_review_state_id", "review_state", "id"),
        # A revision has one primary image at most.
        Index(
            "uq_renditions_primary",
            "revision_id",
            unique=True,
            postgresql_where=text("is_primary"),
            sqlite_where=text("is_primary"),
        ),
        CheckConstraint("NOT is_primary OR review_state <> 'rejected'", name="primary_not_rejected"),
        Index(
            "ix_renditions_stale",
            "id",
            postgresql_where=text("stale_at IS NOT NULL"),
            sqlite_where=text("stale_at IS NOT NULL"),
        ),
        Index(
            "ix_renditions_origin_id",
            "origin_id",
            postgresql_where=text("origin_id IS NOT NULL"),
            sqlite_where=text("origin_id IS NOT NULL"),
        ),
    )

    id: Mapped[int] = primary()
    revision_id: Mapped[int] = mapped_column(ForeignKey("part_revisions.id", ondelete="RESTRICT"))
    job_id: Mapped[int] = mapped_column(ForeignKey("render_jobs.id", ondelete="RESTRICT"))
    index: Mapped[int]
    seed: Mapped[int] = mapped_column(BigInteger)
    width: Mapped[int]
    height: Mapped[int]
    blob_digest: Mapped[str] = mapped_column(DIGEST)
    thumbnail_digest: Mapped[str] = mapped_column(DIGEST)
    pixel_digest: Mapped[str] = mapped_column(DIGEST, index=True)
    review_state: Mapped[str] = mapped_column(String(16), default=ReviewState.PROPOSED)
    reviewed_by: Mapped[str | None] = mapped_column(String(256))
    reviewed_at: Mapped[datetime | None]
    review_comment: Mapped[str | None] = mapped_column(String(2000))
    is_primary: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    fidelity: Mapped[float | None]
    fidelity_verdict: Mapped[str] = mapped_column(
        String(16), default=FidelityVerdict.NOT_JUDGED, server_default=FidelityVerdict.NOT_JUDGED.value
    )
    fidelity_details: Mapped[dict[str, Any] | None]
    control_scale: Mapped[float | None]
    origin_id: Mapped[int | None] = mapped_column(ForeignKey("renditions.id", ondelete="SET NULL"))
    stale_at: Mapped[datetime | None]
    stale_reason: Mapped[str | None] = mapped_column(String(512))
    software: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = created()
    revision: Mapped[PartRevision] = relationship()
    job: Mapped[RenderJob] = relationship(back_populates="renditions")


class Worker(Record):
    """A worker process as it last reported itself."""

    __tablename__ = "workers"

    name: Mapped[str] = mapped_column(String(256), primary_key=True)
    queues: Mapped[str] = mapped_column(String(256))
    device: Mapped[str] = mapped_column(String(256))
    loaded_model: Mapped[str | None] = mapped_column(String(64))
    version: Mapped[str] = mapped_column(String(64))
    # By which a process of the same system can tell whether this one lives; null where none can.
    process: Mapped[str | None] = mapped_column(String(256))
    started_at: Mapped[datetime] = mapped_column(server_default=NOW)
    seen_at: Mapped[datetime] = mapped_column(server_default=NOW)


class PromptTemplate(Record):
    """A named prompt with fields, views and sampler settings. A change is the next version; old ones stay."""

    __tablename__ = "prompt_templates"
    __table_args__ = (
        UniqueConstraint("name", "version"),
        CheckConstraint("version > 0", name="version_positive"),
    )

    id: Mapped[int] = primary()
    name: Mapped[str] = mapped_column(String(64))
    version: Mapped[int]
    title: Mapped[str] = mapped_column(String(200), default="")
    prompt: Mapped[str] = mapped_column(String(4000))
    negative_prompt: Mapped[str] = mapped_column(String(4000), default="")
    views: Mapped[list[str]] = mapped_column(default=list)
    sampling: Mapped[dict[str, Any]] = mapped_column(default=dict)
    retired: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = created()
    created_by: Mapped[str] = mapped_column(String(256))


class AccessToken(Record):
    """A key to the HTTP API. Only the hash of its secret is kept; `mfgviz.tokens` says how it is made."""

    __tablename__ = "access_tokens"
    __table_args__ = (
        one_of("role", Role),
        CheckConstraint("length(secret_digest) = 64", name="digest_sha256"),
    )

    id: Mapped[int] = primary()
    name: Mapped[str] = mapped_column(String(128), unique=True)
    requester: Mapped[str] = mapped_column(String(256))
    role: Mapped[str] = mapped_column(String(16))
    scopes: Mapped[list[str]]
    secret_digest: Mapped[str] = mapped_column(DIGEST, unique=True)
    created_at: Mapped[datetime] = created()
    created_by: Mapped[str] = mapped_column(String(256))
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    used_at: Mapped[datetime | None]


class IdempotencyKey(Record):
    """What was answered to a submit that came with a key: the same submit again is the same answer."""

    __tablename__ = "idempotency_keys"

    requester: Mapped[str] = mapped_column(String(256), primary_key=True)
    key: Mapped[str] = mapped_column(String(128), primary_key=True)
    request_digest: Mapped[str] = mapped_column(DIGEST)
    answer: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(server_default=NOW, index=True)


class AuditEntry(Record):
    """Who did what, when, and through which door."""

    __tablename__ = "audit_entries"
    __table_args__ = (Index("ix_audit_entries_subject_id", "subject", "id"),)

    id: Mapped[int] = primary()
    actor: Mapped[str] = mapped_column(String(256))
    action: Mapped[str] = mapped_column(String(64))
    subject: Mapped[str] = mapped_column(String(256))
    details: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[datetime] = created()
