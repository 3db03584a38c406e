"""What goes over HTTP: each resource with its fields, as the server answers and the client reads.

The CLI's `--json` prints the same fields. Times are UTC; sizes are bytes, lengths mm.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, ValidationError

from mfgviz.errors import InvalidRequestError
from mfgviz.requests import MAX_COUNT, MAX_SEED, MAX_SIDE_PX, MAX_STEPS, MIN_SIDE_PX

T = TypeVar("T")

# One path segment, so no slashes; NUMBER@LABEL.
REFERENCE = r"^[^/\\]+$"

LifecycleWord = Literal["in_work", "in_review", "released", "obsolete", "other"]
JobWord = Literal["queued", "running", "succeeded", "failed", "cancelled"]
ReviewWord = Literal["proposed", "approved", "rejected", "superseded"]
ImageWord = Literal["png", "jpeg", "webp"]
RoleWord = Literal["viewer", "engineer", "approver", "admin"]
ScopeWord = Literal["read", "submit", "review", "admin"]
PriorityWord = Literal["low", "normal", "high"]
Moment = Annotated[
    datetime,
    PlainSerializer(
        lambda moment: moment.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        return_type=str,
        when_used="json",
    ),
    Field(json_schema_extra={"format": "date-time"}),
]
AttributeValue = str | int | float | bool
Attributes = Annotated[
    dict[Annotated[str, Field(max_length=128)], AttributeValue],
    Field(max_length=256, description="Named values; names are of letters, digits and _."),
]
Vector = Annotated[list[float], Field(min_length=3, max_length=3)]
Text = Annotated[str, Field(max_length=4000)]


class _Answer(BaseModel):
    """What the server says."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class _Body(BaseModel):
    """What a client says: nothing that is not known, and no text where a number belongs."""

    model_config = ConfigDict(extra="forbid", strict=True)


B = TypeVar("B", bound=_Body)


def read(kind: type[B], plain: object) -> B:
    """A body from plain values. Raises InvalidRequestError, naming the first field that cannot be used."""
    try:
        return kind.model_validate(plain)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise InvalidRequestError(f"{where} cannot be used: {first['msg']}.") from error


class Page(_Answer, Generic[T]):
    """A part of a list. `next_cursor`, given as `cursor`, brings what follows; it is null at the end."""

    items: list[T]
    next_cursor: str | None = Field(None, description="Where the next page begins.")


class FieldError(_Answer):
    """One field that cannot be used."""

    field: str = Field(description="Where it is, such as `body.width`.")
    message: str


class Problem(_Answer):
    """An error (RFC 9457). `code` is the same that the command line prints."""

    type: str = Field(description="`urn:mfgviz:error:` and the code.")
    title: str
    status: int
    detail: str = Field(description="What went wrong, with the names of what it went wrong with.")
    code: str
    remedy: str = Field("", description="What to do about it.")
    errors: list[FieldError] | None = Field(None, description="Each field that cannot be used.")


class Cause(_Answer):
    """Why something failed."""

    code: str
    message: str


# -- parts and revisions ------------------------------------------------------------------------------
class Part(_Answer):
    """A part."""

    number: str
    name: str
    attributes: dict[str, Any] = Field(description="What is known of it in all its revisions.")
    created_at: Moment
    created_by: str
    revisions: list[str] | None = Field(
        None, description="Labels, oldest first; only where one part is shown."
    )


class NewPart(_Body):
    """A part to be added."""

    number: str = Field(min_length=1, max_length=128)
    name: str = Field("", max_length=512)
    attributes: Attributes = Field(default_factory=dict)


class PartChange(_Body):
    """What shall be different about a part; attributes are set or replaced, others stay."""

    name: str | None = Field(None, max_length=512)
    attributes: Attributes | None = None


class Geometry(_Answer):
    """The CAD file that a revision shows."""

    digest: str = Field(description="Hex SHA-256 of the file's bytes.")
    file_name: str
    size_bytes: int
    state: Literal["stored", "read", "unusable"] = Field(description="Whether it was looked into yet.")
    format: str | None = None
    shape_digest: str | None = Field(None, description="Of the shape, not of the file: a re-export keeps it.")
    error: Cause | None = None


class Revision(_Answer):
    """One revision of a part."""

    revision: str = Field(description="`NUMBER@LABEL`.")
    part: str
    label: str
    name: str = Field(description="The part's name.")
    state: LifecycleWord
    source_state: str | None = Field(None, description="The PLM's own word for the state.")
    iteration: int = Field(description="Counts the CAD files that it has shown.")
    attributes: dict[str, Any]
    part_attributes: dict[str, Any]
    fields: dict[str, Any] = Field(description="What a prompt's {fields} can be filled with.")
    facts: dict[str, Any] = Field(description="What was read from the CAD file.")
    geometry: Geometry | None = None
    primary_render: int | None = Field(None, description="The render that stands for the revision.")
    warnings: list[str] = Field(default_factory=list, description="What an upload had to say of the file.")
    created_at: Moment
    created_by: str


class NewRevision(_Body):
    """A revision to be added to a part."""

    label: str = Field(min_length=1, max_length=64)
    attributes: Attributes = Field(default_factory=dict)
    state: LifecycleWord = "in_work"


class RevisionChange(_Body):
    """A revision as it shall be: what is missing is made, what is given is set, the rest stays."""

    name: str | None = Field(None, max_length=512, description="The part's name.")
    part_attributes: Attributes = Field(default_factory=dict)
    attributes: Attributes = Field(default_factory=dict)


class StateChange(_Body):
    """Where a revision stands from now on."""

    state: LifecycleWord
    source_state: str | None = Field(None, max_length=128)


class Primary(_Body):
    """The render that shall stand for a revision."""

    render: int = Field(ge=1, le=2**63 - 1)


# -- jobs ------------------------------------------------------------------------------------------------
class View(_Body):
    """A camera in part coordinates (mm, Z up). A standard view needs its name alone."""

    name: Literal["iso", "front", "back", "left", "right", "top", "bottom", "custom"] = "iso"
    projection: Literal["orthographic", "perspective"] = "perspective"
    margin: float = Field(0.08, ge=0, le=0.45, description="Share of the frame left free around the part.")
    field_of_view_deg: float = Field(30.0, ge=1, le=120, description="Over the image's shorter side.")
    eye_mm: Vector | None = None
    forward: Vector | None = None
    up: Vector | None = None
    height_mm: float | None = Field(
        None, gt=0, le=1e9, description="Orthographic: what the image's shorter side shows."
    )


ViewWord = Literal["iso", "front", "back", "left", "right", "top", "bottom"]
Side = Annotated[int, Field(ge=MIN_SIDE_PX, le=MAX_SIDE_PX, multiple_of=8)]


class JobBody(_Body):
    """A wish for renders of one revision. What is left out is the template's, else the model's default."""

    revision: str = Field(
        min_length=1, max_length=256, description="`NUMBER@LABEL`, or `NUMBER` for the newest."
    )
    prompt: Text = Field("", description="May hold {fields} and {choices|like|these}.")
    template: str | None = Field(None, max_length=64, description="A template's name.")
    negative_prompt: Text = ""
    views: list[ViewWord | View] | None = Field(None, min_length=1, max_length=32)
    model: str | None = Field(None, max_length=64)
    sampler: str | None = Field(None, max_length=64)
    num_inference_steps: int | None = Field(None, ge=1, le=MAX_STEPS)
    guidance_scale: float | None = Field(None, ge=0, le=50)
    seed: int = Field(0, ge=0, le=MAX_SEED - MAX_COUNT, description="Image k has the seed + k.")
    width: Side | None = None
    height: Side | None = None
    count: int | None = Field(None, ge=1, le=MAX_COUNT)
    mode: Literal["control", "text", "image"] = "control"
    control_scale: float | None = Field(None, ge=0, le=1, description="Geometry strength.")
    image: str | None = Field(
        None, max_length=64, description="Image mode: `clay`, or an uploaded image's digest."
    )
    strength: float = Field(0.7, ge=0.01, le=1, description="Image mode: how far from the starting image.")
    priority: PriorityWord = "normal"
    force: bool = Field(False, description="Render even where the same picture exists.")
    fields: Annotated[
        dict[Annotated[str, Field(max_length=128)], Annotated[str, Field(max_length=1000)]],
        Field(max_length=64),
    ] = Field(default_factory=dict, description="Values for the prompt's fields.")


class Submitted(_Answer):
    """The job that answers a wish."""

    job: int
    how: Literal["new", "joined", "reused"] = Field(
        description="`joined`: the same picture waits already; `reused`: it is done already."
    )


class SubmitAnswer(_Answer):
    """One answer for each view and each prompt that the wish expands to."""

    items: list[Submitted]


class Attempt(_Answer):
    """One execution of a job by one worker."""

    number: int
    worker: str
    outcome: Literal["running", "succeeded", "failed", "cancelled", "lost", "handed_back"]
    error: Cause | None = None
    started_at: Moment
    finished_at: Moment | None = None


class Job(_Answer):
    """A render job."""

    id: int
    revision: str
    state: JobWord
    step: int = Field(description="Sampling steps that are done.")
    total_steps: int
    position: int | None = Field(
        None, description="1 for the next to be served; null where it does not wait."
    )
    told: str | None = Field(
        None, description="In words, why it is where it is; only where one job is shown."
    )
    model: str
    requester: str
    priority: PriorityWord
    prompt: str
    count: int
    attempts_made: int
    max_attempts: int
    cancel_requested: bool
    error: Cause | None = None
    renders: list[int] | None = Field(None, description="Only where one job is shown.")
    notes: list[str] = Field(description="What to know of the pictures, such as a prompt that was cut.")
    attempts: list[Attempt] | None = Field(None, description="Only where one job is shown.")
    request: dict[str, Any] | None = Field(None, description="All that decides the picture.")
    created_at: Moment
    started_at: Moment | None = None
    finished_at: Moment | None = None


class JobEvent(_Answer):
    """Data of a server-sent event `job`: where a job stands now."""

    job: int
    revision: str
    state: JobWord
    step: int
    total_steps: int
    position: int | None = None
    renders: list[int] = Field(default_factory=list)
    error: Cause | None = None


class PreviewEvent(_Answer):
    """Data of a server-sent event `preview`: there is a small picture of what is being sampled."""

    job: int
    step: int
    total_steps: int
    url: str


# -- renders ------------------------------------------------------------------------------------------
class Render(_Answer):
    """A stored image of one revision."""

    id: int
    revision: str
    job: int
    index: int
    seed: int
    width: int
    height: int
    view: str
    model: str
    prompt: str
    is_current: bool = Field(description="Whether it shows the CAD file that the revision has now.")
    is_primary: bool = Field(description="Whether it stands for its revision.")
    review_state: ReviewWord
    reviewed_by: str | None = None
    reviewed_at: Moment | None = None
    review_comment: str | None = None
    fidelity: float | None = Field(
        None, description="How likely a careful person accepts it as this part, 0 to 1."
    )
    fidelity_passed: bool | None = None
    fidelity_notes: list[str] = Field(default_factory=list, description="What is wrong with it, in words.")
    fingerprint: str
    blob_digest: str
    pixel_digest: str
    software: dict[str, Any]
    request: dict[str, Any] = Field(description="All that decides the picture.")
    created_at: Moment
    image_url: str
    thumbnail_url: str


class ReviewBody(_Body):
    """What somebody says of a render."""

    state: Literal["proposed", "approved", "rejected"]
    comment: str | None = Field(None, max_length=2000)


class StoredImage(_Answer):
    """An uploaded starting image, to be named as `image` of a job."""

    digest: str
    width: int
    height: int


# -- the rest -----------------------------------------------------------------------------------------
class ViewInfo(_Answer):
    """A standard view."""

    name: str
    title: str


class Template(_Answer):
    """A named prompt."""

    name: str
    version: int
    title: str
    prompt: str
    negative_prompt: str
    views: list[str]
    sampling: dict[str, Any] = Field(description="Defaults of a job by its own names, such as `count`.")
    fields: list[str] = Field(description="What the prompt needs to be filled in.")
    built_in: bool


class TemplateBody(_Body):
    """A template as it shall be; it becomes the next version of its name."""

    prompt: str = Field(min_length=1, max_length=4000)
    title: str = Field("", max_length=200)
    negative_prompt: Text = ""
    views: list[ViewWord] = Field(["iso"], min_length=1, max_length=7)
    sampling: dict[str, Any] = Field(default_factory=dict, max_length=16)


class ModelInfo(_Answer):
    """A diffusion model that jobs can name."""

    name: str
    family: str
    weights_digest: str
    source: str = Field(description="Its folder's or repository's name, without the path to it.")
    capabilities: dict[str, Any]
    is_default: bool
    created_at: Moment


class WorkerInfo(_Answer):
    """A worker process as it last reported itself."""

    name: str
    alive: bool
    queues: str
    device: str
    loaded_model: str | None
    version: str
    started_at: Moment
    seen_at: Moment


class TokenInfo(_Answer):
    """A token, without its secret."""

    name: str
    requester: str
    role: RoleWord
    scopes: list[ScopeWord]
    created_at: Moment
    created_by: str
    expires_at: Moment | None = None
    revoked_at: Moment | None = None
    used_at: Moment | None = None


class NewTokenBody(_Body):
    """A token to be made."""

    name: str = Field(min_length=1, max_length=128)
    requester: str | None = Field(
        None, max_length=256, description="Whom it speaks for; its name by default."
    )
    role: RoleWord
    scopes: list[ScopeWord] | None = Field(None, min_length=1, description="Narrower than the role's.")
    expires_in_days: float | None = Field(None, gt=0, le=36_500)


class NewTokenAnswer(TokenInfo):
    """A new token; its secret is shown this once."""

    token: str


class Limits(_Answer):
    """What this server takes."""

    geometry_max_bytes: int
    image_max_pixels: int
    requests_per_minute: int
    queued_jobs_max: int


class Me(_Answer):
    """Who the token speaks for, and what the server allows."""

    requester: str
    role: RoleWord
    scopes: list[ScopeWord]
    token: str = Field(description="The token's name.")
    expires_at: Moment | None = None
    server_version: str
    default_model: str
    limits: Limits


class Health(_Answer):
    """How the server is."""

    status: Literal["ok", "unavailable"]
    version: str
    checks: dict[str, str] = Field(default_factory=dict, description="Each service: `ok`, or what is wrong.")


class QueueInfo(_Answer):
    """How many jobs there are in each state."""

    jobs: dict[str, int]
    workers: int = Field(description="Workers that can sample, heard of within the last minute.")
