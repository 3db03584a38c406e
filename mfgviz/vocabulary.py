"""The words that records, commands and messages share, and the table of allowed moves. Pure."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class LifecycleState(StrEnum):
    """Where a part revision stands; the PLM's own word is kept beside it as `source_state`."""

    IN_WORK = "in_work"
    IN_REVIEW = "in_review"
    RELEASED = "released"
    OBSOLETE = "obsolete"
    OTHER = "other"


class JobState(StrEnum):
    """Where a render job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class AttemptOutcome(StrEnum):
    """How one execution of a job ended; `running` while it has not."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    HANDED_BACK = "handed_back"


class ReviewState(StrEnum):
    """What people said of a rendition."""

    PROPOSED = "proposed"
    APPROVED = "approved"
    REJECTED = "rejected"
    SUPERSEDED = "superseded"


class Approval(StrEnum):
    """What a picture needs before it stands for its revision: anybody's approval, that of somebody other
    than its author, or none."""

    ANY = "any"
    OTHER = "other"
    OFF = "off"


class Scope(StrEnum):
    """What a token lets its holder do."""

    READ = "read"
    SUBMIT = "submit"
    REVIEW = "review"
    ADMIN = "admin"


class Role(StrEnum):
    """Who the holder of a token is; `ROLE_SCOPES` says what they may do."""

    VIEWER = "viewer"
    ENGINEER = "engineer"
    APPROVER = "approver"
    ADMIN = "admin"


class Priority(IntEnum):
    """The higher is served first."""

    LOW = 0
    NORMAL = 10
    HIGH = 20


class Projection(StrEnum):
    """How a camera maps space to the image."""

    ORTHOGRAPHIC = "orthographic"
    PERSPECTIVE = "perspective"


class Mode(StrEnum):
    """What conditions the picture besides the prompt."""

    TEXT = "text"
    CONTROL = "control"
    IMAGE = "image"


class FidelityPolicy(StrEnum):
    """What becomes of a picture that does not show its part: it is kept, kept and marked, or tried again."""

    ACCEPT = "accept"
    MARK = "mark"
    RETRY = "retry"


class FidelityVerdict(StrEnum):
    """Whether a picture shows its part; `accepted` ones do not, and were wanted all the same."""

    PASSED = "passed"
    MARKED = "marked"
    ACCEPTED = "accepted"
    NOT_JUDGED = "not_judged"


class GeometryState(StrEnum):
    """Whether the CAD file was looked into yet."""

    STORED = "stored"
    READ = "read"
    UNUSABLE = "unusable"


class RuleOutcome(StrEnum):
    """What a rule did about an event that it applies to."""

    SUBMITTED = "submitted"
    REUSED = "reused"
    NOTHING = "nothing"
    FAILED = "failed"


class BatchState(StrEnum):
    """Whether a batch's jobs may be served."""

    OPEN = "open"
    PAUSED = "paused"
    CANCELLED = "cancelled"


class DeliveryState(StrEnum):
    """Where an event on its way to a webhook stands."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"


class EventKind(StrEnum):
    """What is told of: first what happened to revisions and renders, then what went wrong without anybody
    waiting for the answer."""

    REVISION_CREATED = "revision.created"
    REVISION_IN_WORK = "revision.in_work"
    REVISION_IN_REVIEW = "revision.in_review"
    REVISION_RELEASED = "revision.released"
    REVISION_OBSOLETED = "revision.obsoleted"
    REVISION_OTHER = "revision.other"
    REVISION_STALE = "revision.stale"
    GEOMETRY_ATTACHED = "geometry.attached"
    RENDER_ATTACHED = "render.attached"
    RENDER_PROPOSED = "render.proposed"
    RENDER_APPROVED = "render.approved"
    RENDER_REJECTED = "render.rejected"
    RENDER_SUPERSEDED = "render.superseded"
    JOB_FAILED = "job.failed"
    EVENT_FAILED = "event.failed"
    RULE_FAILED = "rule.failed"
    RULE_REFUSED = "rule.refused"
    RELEASE_REFUSED = "release.refused"
    TEMPLATE_REFUSED = "template.refused"
    BOM_REFUSED = "bom.refused"
    HOOK_REFUSED = "hook.refused"
    FILE_REFUSED = "file.refused"
    WEBHOOK_DEAD = "webhook.dead"
    SCHEDULE_FAILED = "schedule.failed"


STATE_EVENTS: dict[LifecycleState, EventKind] = {
    LifecycleState.IN_WORK: EventKind.REVISION_IN_WORK,
    LifecycleState.IN_REVIEW: EventKind.REVISION_IN_REVIEW,
    LifecycleState.RELEASED: EventKind.REVISION_RELEASED,
    LifecycleState.OBSOLETE: EventKind.REVISION_OBSOLETED,
    LifecycleState.OTHER: EventKind.REVISION_OTHER,
}
FINAL_STATES = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})
FROZEN_STATES = frozenset({LifecycleState.RELEASED, LifecycleState.OBSOLETE})

JOB_MOVES: dict[JobState, frozenset[JobState]] = {
    JobState.QUEUED: frozenset({JobState.RUNNING, JobState.CANCELLED}),
    JobState.RUNNING: frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED, JobState.QUEUED}),
    JobState.SUCCEEDED: frozenset(),
    JobState.FAILED: frozenset({JobState.QUEUED}),
    JobState.CANCELLED: frozenset({JobState.QUEUED}),
}

LIFECYCLE_MOVES: dict[LifecycleState, frozenset[LifecycleState]] = {
    LifecycleState.IN_WORK: frozenset(
        {LifecycleState.IN_REVIEW, LifecycleState.RELEASED, LifecycleState.OBSOLETE, LifecycleState.OTHER}
    ),
    LifecycleState.IN_REVIEW: frozenset(
        {LifecycleState.IN_WORK, LifecycleState.RELEASED, LifecycleState.OBSOLETE, LifecycleState.OTHER}
    ),
    LifecycleState.RELEASED: frozenset({LifecycleState.OBSOLETE}),
    LifecycleState.OBSOLETE: frozenset(),
    LifecycleState.OTHER: frozenset(
        {LifecycleState.IN_WORK, LifecycleState.IN_REVIEW, LifecycleState.RELEASED, LifecycleState.OBSOLETE}
    ),
}

BATCH_MOVES: dict[BatchState, frozenset[BatchState]] = {
    BatchState.OPEN: frozenset({BatchState.PAUSED, BatchState.CANCELLED}),
    BatchState.PAUSED: frozenset({BatchState.OPEN, BatchState.CANCELLED}),
    BatchState.CANCELLED: frozenset(),
}

# What people may say of a render. Another CAD file on its revision moves proposed and approved ones to
# superseded, and the former file moves those back to proposed (`mfgviz.reviews`).
REVIEW_MOVES: dict[ReviewState, frozenset[ReviewState]] = {
    ReviewState.PROPOSED: frozenset({ReviewState.APPROVED, ReviewState.REJECTED}),
    ReviewState.APPROVED: frozenset({ReviewState.PROPOSED, ReviewState.REJECTED}),
    ReviewState.REJECTED: frozenset({ReviewState.PROPOSED, ReviewState.APPROVED}),
    ReviewState.SUPERSEDED: frozenset(),
}

ROLE_SCOPES: dict[Role, tuple[Scope, ...]] = {
    Role.VIEWER: (Scope.READ,),
    Role.ENGINEER: (Scope.READ, Scope.SUBMIT),
    Role.APPROVER: (Scope.READ, Scope.SUBMIT, Scope.REVIEW),
    Role.ADMIN: (Scope.READ, Scope.SUBMIT, Scope.REVIEW, Scope.ADMIN),
}

STANDARD_VIEWS = ("iso", "front", "back", "left", "right", "top", "bottom")
CUSTOM_VIEW = "custom"

SAMPLERS = (
    "ddpm",
    "ddim",
    "plms",
    "euler",
    "euler_a",
    "heun",
    "dpmpp_2m",
    "dpmpp_2m_karras",
    "unipc",
    "lcm",
)

FAMILIES = ("studio", "sd15", "sdxl")

# The formats that CAD files are read in, by the extension of a file's name.
CAD_FORMATS = {
    ".step": "step", ".stp": "step", ".p21": "step", ".iges": "iges", ".igs": "iges", ".brep": "brep",
    ".brp": "brep", ".stl": "stl", ".obj": "obj", ".ply": "ply", ".glb": "glb", ".3mf": "3mf",
    ".fcstd": "fcstd",
}  # fmt: skip

QUEUE_GPU = "gpu"
QUEUE_CPU = "cpu"
