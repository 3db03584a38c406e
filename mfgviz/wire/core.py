"""Parts, revisions, jobs, renders and what goes with them, as they go over HTTP."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, ValidationError

from mfgviz.errors import InvalidInputError
from mfgviz.requests import MAX_COUNT, MAX_SEED, MAX_SIDE_PX, MAX_STEPS, MIN_SIDE_PX
from mfgviz.settings import MAX_FIDELITY_RETRIES

T = TypeVar("T")

# One path segment, so no slashes; NUMBER@LABEL.
REFERENCE = r"^[^/\\]+$"

LifecycleWord = Literal["in_work", "in_review", "released", "obsolete", "other"]
JobWord = Literal["queued", "running", "succeeded", "failed", "cancelled"]
ReviewWord = Literal["proposed", "approved", "rejected", "superseded"]
ImageWord = Literal["png", "jpeg", "webp"]
RoleWord = Literal["viewer", "engineer", "approver", "admin"]
ScopeWord = Literal["read", "submit", "review", "admin"]
PolicyWord = Literal["accept", "mark", "retry"]
VerdictWord = Literal["passed", "marked", "accepted", "not_judged"]
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


class Answer(BaseModel):
    """What the server says."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class Body(BaseModel):
    """What a client says: nothing that is not known, and no text where a number belongs."""

    model_config = ConfigDict(extra="forbid", strict=True)


B = TypeVar("B", bound=Body)


def read(kind: type[B], plain: object, refusal: type[InvalidInputError] = InvalidInputError) -> B:
    """A body from plain values. Raises `refusal`, naming the first field that cannot be used."""
    try:
        return kind.model_validate(plain)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise refusal(f"{where} cannot be used: {first['msg']}.") from error


def cursor_after(place: str) -> str:
    """The cursor of what follows a place in a list: a part's number, or the id of a job or a render."""
    return base64.urlsafe_b64encode(place.encode("utf-8", "surrogatepass")).decode().rstrip("=")


class Page(Answer, Generic[T]):
    """A part of a list. `next_cursor`, given as `cursor`, brings what follows; it is null at the end."""

    items: list[T] = Field(description="The things themselves.")
    next_cursor: str | None = Field(None, description="Where the next page begins.")


class FieldError(Answer):
    """One field that cannot be used."""

    field: str = Field(description="Where it is, such as `body.width`.")
    message: str = Field(description="What is wrong with it.")


class Problem(Answer):
    """An error (RFC 9457). `code` is the same that the command line prints."""

    type: str = Field(description="`urn:mfgviz:error:` and the code.")
    title: str = Field(description="The kind of error.")
    status: int = Field(description="The HTTP status.")
    detail: str = Field(description="What went wrong, with the names of what it went wrong with.")
    code: str = Field(description="The error's stable name, the same that the command line prints.")
    remedy: str = Field("", description="What to do about it.")
    errors: list[FieldError] | None = Field(None, description="Each field that cannot be used.")


class Cause(Answer):
    """Why something failed."""

    code: str = Field(description="The error's stable name.")
    message: str = Field(description="What went wrong, and what to do.")


# -- parts and revisions ------------------------------------------------------------------------------
class Part(Answer):
    """A part."""

    number: str = Field(description="Unique.")
    name: str = Field(description="What people call it.")
    attributes: dict[str, Any] = Field(description="What is known of it in all its revisions.")
    created_at: Moment = Field(description="When it was added.")
    created_by: str = Field(description="Who added it.")
    revisions: list[str] | None = Field(
        None, description="Labels, oldest first; only where one part is shown."
    )


class NewPart(Body):
    """A part to be added."""

    number: str = Field(
        min_length=1, max_length=128, description="Unique; no @, slashes or control characters."
    )
    name: str = Field("", max_length=512, description="What people call it.")
    attributes: Attributes = Field(default_factory=dict)


class PartChange(Body):
    """What shall be different about a part; attributes are set or replaced, others stay."""

    name: str | None = Field(None, max_length=512, description="What people call it from now on.")
    attributes: Attributes | None = Field(None, description="Those to be set.")


class Geometry(Answer):
    """The CAD file that a revision shows."""

    digest: str = Field(description="Hex SHA-256 of the file's bytes.")
    file_name: str = Field(description="As it came in.")
    size_bytes: int = Field(description="Size of the file.")
    state: Literal["stored", "read", "unusable"] = Field(description="Whether it was looked into yet.")
    format: str | None = Field(None, description="What it was read as: step, iges, stl ….")
    shape_digest: str | None = Field(None, description="Of the shape, not of the file: a re-export keeps it.")
    error: Cause | None = Field(None, description="Why it cannot be used.")


class Revision(Answer):
    """One revision of a part."""

    revision: str = Field(description="`NUMBER@LABEL`.")
    part: str = Field(description="The part's number.")
    label: str = Field(description="Its own name within the part.")
    name: str = Field(description="The part's name.")
    state: LifecycleWord = Field(description="Where it stands in its life.")
    source_state: str | None = Field(None, description="The PLM's own word for the state.")
    iteration: int = Field(description="Counts the CAD files that it has shown.")
    attributes: dict[str, Any] = Field(description="Of this revision.")
    part_attributes: dict[str, Any] = Field(description="Of the part; the revision's win.")
    fields: dict[str, Any] = Field(description="What a prompt's {fields} can be filled with.")
    facts: dict[str, Any] = Field(description="What was read from the CAD file.")
    geometry: Geometry | None = Field(None, description="The CAD file that it shows.")
    primary_render: int | None = Field(None, description="The render that stands for the revision.")
    warnings: list[str] = Field(default_factory=list, description="What an upload had to say of the file.")
    created_at: Moment = Field(description="When it was added.")
    created_by: str = Field(description="Who added it.")


class NewRevision(Body):
    """A revision to be added to a part."""

    label: str = Field(
        min_length=1, max_length=64, description="Such as A; no @, slashes or control characters."
    )
    attributes: Attributes = Field(default_factory=dict)
    state: LifecycleWord = Field("in_work", description="Where it stands at once.")


class RevisionChange(Body):
    """A revision as it shall be: what is missing is made, what is given is set, the rest stays."""

    name: str | None = Field(None, max_length=512, description="The part's name.")
    part_attributes: Attributes = Field(default_factory=dict)
    attributes: Attributes = Field(default_factory=dict)


class StateChange(Body):
    """Where a revision stands from now on."""

    state: LifecycleWord = Field(description="The new state.")
    source_state: str | None = Field(None, max_length=128, description="The PLM's own word for it.")


class Primary(Body):
    """The render that shall stand for a revision."""

    render: int = Field(ge=1, le=2**63 - 1, description="Its id.")


# -- jobs ------------------------------------------------------------------------------------------------
class View(Body):
    """A camera in part coordinates (mm, Z up). A standard view needs its name alone."""

    name: Literal["iso", "front", "back", "left", "right", "top", "bottom", "custom"] = Field(
        "iso", description="A standard view, or `custom` for a camera of its own."
    )
    projection: Literal["orthographic", "perspective"] = Field(
        "perspective", description="How space comes to the image."
    )
    margin: float = Field(0.08, ge=0, le=0.45, description="Share of the frame left free around the part.")
    field_of_view_deg: float = Field(30.0, ge=1, le=120, description="Over the image's shorter side.")
    eye_mm: Vector | None = Field(None, description="Where the camera stands.")
    forward: Vector | None = Field(None, description="Where it looks.")
    up: Vector | None = Field(None, description="What is up in the image.")
    height_mm: float | None = Field(
        None, gt=0, le=1e9, description="Orthographic: what the image's shorter side shows."
    )


ViewWord = Literal["iso", "front", "back", "left", "right", "top", "bottom"]
Side = Annotated[int, Field(ge=MIN_SIDE_PX, le=MAX_SIDE_PX, multiple_of=8)]


class AskBody(Body):
    """What pictures shall be. What is left out is the template's, else the model's default."""

    prompt: Text = Field("", description="May hold {fields} and {choices|like|these}.")
    template: str | None = Field(None, max_length=64, description="A template's name.")
    negative_prompt: Text = Field("", description="What the picture shall not show.")
    views: list[ViewWord | View] | None = Field(
        None, min_length=1, max_length=32, description="Names of standard views, or cameras."
    )
    model: str | None = Field(None, max_length=64, description="A model's name.")
    sampler: str | None = Field(None, max_length=64, description="One of the model's samplers.")
    num_inference_steps: int | None = Field(None, ge=1, le=MAX_STEPS, description="Sampling steps.")
    guidance_scale: float | None = Field(None, ge=0, le=50, description="How strongly the prompt pulls.")
    seed: int = Field(0, ge=0, le=MAX_SEED - MAX_COUNT, description="Image k has the seed + k.")
    width: Side | None = Field(None, description="Pixels, a multiple of 8.")
    height: Side | None = Field(None, description="Pixels, a multiple of 8.")
    count: int | None = Field(None, ge=1, le=MAX_COUNT, description="How many images.")
    mode: Literal["control", "text", "image"] = Field(
        "control",
        description="What holds the picture: the part's geometry, nothing, or a starting image too.",
    )
    control_scale: float | None = Field(None, ge=0, le=1, description="Geometry strength.")
    image: str | None = Field(
        None, max_length=64, description="Image mode: `clay`, or an uploaded image's digest."
    )
    strength: float = Field(0.7, ge=0.01, le=1, description="Image mode: how far from the starting image.")
    priority: PriorityWord = Field("normal", description="The higher is served first.")
    fidelity_policy: PolicyWord | None = Field(
        None,
        description="What becomes of a picture that does not show its part; the server has a default.",
    )
    fidelity_retries: int | None = Field(
        None, ge=1, le=MAX_FIDELITY_RETRIES, description="With `retry`: how often, each with more geometry."
    )
    force: bool = Field(False, description="Render even where the same picture exists.")
    fields: Annotated[
        dict[Annotated[str, Field(max_length=128)], Annotated[str, Field(max_length=1000)]],
        Field(max_length=64),
    ] = Field(default_factory=dict, description="Values for the prompt's fields.")


class JobBody(AskBody):
    """A wish for renders of one revision. What is left out is the template's, else the model's default."""

    revision: str = Field(
        min_length=1, max_length=256, description="`NUMBER@LABEL`, or `NUMBER` for the newest."
    )


class Submitted(Answer):
    """The job that answers a wish."""

    job: int = Field(description="Its id.")
    how: Literal["new", "joined", "reused"] = Field(
        description="`joined`: the same picture waits already; `reused`: it is done already."
    )


class SubmitAnswer(Answer):
    """One answer for each view and each prompt that the wish expands to."""

    items: list[Submitted] = Field(description="In the order of views and prompts.")


class Attempt(Answer):
    """One execution of a job by one worker."""

    number: int = Field(description="Counts from 1.")
    worker: str = Field(description="Host and process that ran it.")
    outcome: Literal["running", "succeeded", "failed", "cancelled", "lost", "handed_back"] = Field(
        description="How it ended."
    )
    error: Cause | None = Field(None, description="Why it failed.")
    started_at: Moment = Field(description="When it began.")
    finished_at: Moment | None = Field(None, description="When it ended.")


class Job(Answer):
    """A render job."""

    id: int = Field(description="Its number.")
    revision: str = Field(description="`NUMBER@LABEL` of what it shows.")
    state: JobWord = Field(description="Where it stands.")
    step: int = Field(description="Sampling steps that are done.")
    total_steps: int = Field(description="All its sampling steps.")
    position: int | None = Field(
        None,
        description="1 for the next to be served; null where it does not wait. 10,001 is that place, or any "
        "later one.",
    )
    told: str | None = Field(
        None, description="In words, why it is where it is; only where one job is shown."
    )
    model: str = Field(description="The model's name.")
    requester: str = Field(description="Who asked for it.")
    priority: PriorityWord = Field(description="The higher is served first.")
    prompt: str = Field(description="After filling in its fields.")
    count: int = Field(description="How many images it makes.")
    attempts_made: int = Field(description="How often it was tried.")
    max_attempts: int = Field(description="How often it may be tried.")
    fidelity_policy: PolicyWord = Field(description="What becomes of a picture that does not show its part.")
    fidelity_retries: int = Field(description="How often such a picture is tried again.")
    cancel_requested: bool = Field(description="Whether it shall stop at its next step.")
    held: bool = Field(False, description="Whether it waits because its batch is paused.")
    batch: int | None = Field(None, description="The batch that it was made for.")
    error: Cause | None = Field(None, description="Why it failed, or was tried again.")
    renders: list[int] | None = Field(None, description="Only where one job is shown.")
    notes: list[str] = Field(description="What to know of the pictures, such as a prompt that was cut.")
    attempts: list[Attempt] | None = Field(None, description="Only where one job is shown.")
    request: dict[str, Any] | None = Field(None, description="All that decides the picture.")
    rules: list[str] | None = Field(None, description="Rules that it answers; only where one job is shown.")
    created_at: Moment = Field(description="When it was queued.")
    started_at: Moment | None = Field(None, description="When it was last begun.")
    finished_at: Moment | None = Field(None, description="When it ended.")


class JobEvent(Answer):
    """Data of a server-sent event `job`: where a job stands now."""

    job: int = Field(description="Its id.")
    revision: str = Field(description="`NUMBER@LABEL`.")
    state: JobWord = Field(description="Where it stands.")
    step: int = Field(description="Sampling steps that are done.")
    total_steps: int = Field(description="All its sampling steps.")
    position: int | None = Field(
        None,
        description="1 for the next to be served; null where it does not wait or nobody counted. 10,001 is "
        "that place, or any later one.",
    )
    renders: list[int] = Field(default_factory=list, description="Ids, where it has succeeded.")
    notes: list[str] = Field(default_factory=list, description="What to know of the pictures.")
    error: Cause | None = Field(None, description="Why it failed.")


class JobWait(Answer):
    """Why a job is where it is."""

    job: int = Field(description="Its id.")
    state: JobWord = Field(description="Where it stands.")
    position: int | None = Field(
        None,
        description="1 for the next to be served; null where it does not wait. 10,001 is that place, or any "
        "later one.",
    )
    ahead: list[int] = Field(description="The first of the jobs that are served before it.")
    running: list[int] = Field(description="Jobs that run now.")
    not_before: Moment | None = Field(None, description="When it is tried again, after an error.")
    workers: list[str] = Field(description="Workers that could take it.")
    told: str = Field(description="All that in words.")


class JobIds(Body):
    """Jobs that something shall be done to at once."""

    jobs: list[Annotated[int, Field(ge=1, le=2**63 - 1)]] = Field(
        min_length=1, max_length=500, description="Their ids."
    )


class PreviewEvent(Answer):
    """Data of a server-sent event `preview`: there is a small picture of what is being sampled."""

    job: int = Field(description="Its id.")
    step: int = Field(description="The step that it is of.")
    total_steps: int = Field(description="All the job's sampling steps.")
    url: str = Field(description="Where the picture is.")


# -- renders ------------------------------------------------------------------------------------------
class Render(Answer):
    """A stored image of one revision."""

    id: int = Field(description="Its number.")
    revision: str = Field(description="`NUMBER@LABEL` of what it shows.")
    job: int = Field(description="The job that made it.")
    index: int = Field(description="Its place among the job's images, from 0.")
    seed: int = Field(description="Of its noise.")
    width: int = Field(description="Pixels.")
    height: int = Field(description="Pixels.")
    view: str = Field(description="Name of the view.")
    model: str = Field(description="Name of the model.")
    prompt: str = Field(description="What was asked for.")
    is_current: bool = Field(description="Whether it shows the CAD file that the revision has now.")
    is_primary: bool = Field(description="Whether it stands for its revision.")
    stale_since: Moment | None = Field(
        None, description="When something that it shows was released anew; null where it is not stale."
    )
    stale_reason: str | None = Field(None, description="What was released in place of what.")
    linked_from: int | None = Field(
        None, description="The render of another revision of the same shape that it was taken over from."
    )
    review_state: ReviewWord = Field(description="What people said of it.")
    reviewed_by: str | None = Field(None, description="Who said so.")
    reviewed_at: Moment | None = Field(None, description="When they did.")
    review_comment: str | None = Field(None, description="In their words.")
    fidelity: float | None = Field(
        None, description="How likely a careful person accepts it as this part, 0 to 1."
    )
    fidelity_verdict: VerdictWord = Field(
        description="`marked` ones do not show the part; `accepted` ones neither, and nobody minds."
    )
    fidelity_details: dict[str, Any] | None = Field(
        None, description="Scores of outline, edges, holes …, 1 is best, and what was tried before."
    )
    control_scale: float | None = Field(None, description="The geometry strength that made it.")
    fidelity_passed: bool | None = Field(
        None, description="Whether that is enough; null where nothing could be judged."
    )
    fidelity_notes: list[str] = Field(default_factory=list, description="What is wrong with it, in words.")
    fingerprint: str = Field(description="Hash of the request: the same fingerprint, the same picture.")
    blob_digest: str = Field(description="Hex SHA-256 of the PNG file.")
    pixel_digest: str = Field(description="Hex SHA-256 of size and pixels.")
    software: dict[str, Any] = Field(description="Versions and device that made it.")
    request: dict[str, Any] = Field(description="All that decides the picture.")
    created_at: Moment = Field(description="When it was attached.")
    image_url: str = Field(description="Where the picture is.")
    thumbnail_url: str = Field(description="Where a small one is.")


class ReviewBody(Body):
    """What somebody says of a render."""

    state: Literal["proposed", "approved", "rejected"] = Field(description="`proposed` takes a review back.")
    comment: str | None = Field(None, max_length=2000, description="For those who read the review.")


class StoredImage(Answer):
    """An uploaded starting image, to be named as `image` of a job."""

    digest: str = Field(description="Hex SHA-256, its name in a job.")
    width: int = Field(description="Pixels.")
    height: int = Field(description="Pixels.")


# -- the rest -----------------------------------------------------------------------------------------
class ViewInfo(Answer):
    """A standard view."""

    name: str = Field(description="What jobs call it.")
    title: str = Field(description="What people call it.")


class Template(Answer):
    """A named prompt."""

    name: str = Field(description="What jobs call it.")
    version: int = Field(description="Counts from 1.")
    title: str = Field(description="What people read in a list.")
    prompt: str = Field(description="With {fields} and {choices|like|these}.")
    negative_prompt: str = Field(description="What the picture shall not show.")
    views: list[str] = Field(description="Names of standard views.")
    sampling: dict[str, Any] = Field(description="Defaults of a job by its own names, such as `count`.")
    fields: list[str] = Field(description="What the prompt needs to be filled in.")
    built_in: bool = Field(description="Whether it comes with mfgviz.")
    retired: bool = Field(False, description="Whether it is offered no more.")
    created_at: Moment | None = Field(None, description="When this version was saved.")
    created_by: str | None = Field(None, description="Who saved it.")


class TemplateBody(Body):
    """A template as it shall be; it becomes the next version of its name."""

    prompt: str = Field(min_length=1, max_length=4000, description="With {fields} and {choices|like|these}.")
    title: str = Field("", max_length=200, description="What people read in a list.")
    negative_prompt: Text = Field("", description="What the picture shall not show.")
    views: list[ViewWord] = Field(["iso"], min_length=1, max_length=7, description="Names of standard views.")
    sampling: dict[str, Any] = Field(
        default_factory=dict,
        max_length=16,
        description="Defaults of a job by its own names, such as `count`.",
    )


class ModelInfo(Answer):
    """A diffusion model that jobs can name."""

    name: str = Field(description="What jobs call it.")
    family: str = Field(description="Its kind, such as sdxl.")
    weights_digest: str = Field(description="Hash of all its weights.")
    source: str = Field(description="Its folder's or repository's name, without the path to it.")
    capabilities: dict[str, Any] = Field(description="Modes, samplers, sizes and defaults.")
    is_default: bool = Field(description="Whether jobs that name none get it.")
    created_at: Moment = Field(description="When it was recorded.")


class WorkerInfo(Answer):
    """A worker process as it last reported itself."""

    name: str = Field(description="Host and process.")
    alive: bool = Field(description="Whether it was heard of within the last minute.")
    queues: str = Field(description="What it takes jobs from.")
    device: str = Field(description="What it samples on.")
    loaded_model: str | None = Field(description="The model in its memory.")
    version: str = Field(description="Of mfgviz there.")
    started_at: Moment = Field(description="When it began.")
    seen_at: Moment = Field(description="When it was last heard of.")


class TokenInfo(Answer):
    """A token, without its secret."""

    name: str = Field(description="Unique, for people.")
    requester: str = Field(description="Whom it speaks for.")
    role: RoleWord = Field(description="What its holder is.")
    scopes: list[ScopeWord] = Field(description="What its holder may do.")
    created_at: Moment = Field(description="When it was made.")
    created_by: str = Field(description="Who made it.")
    expires_at: Moment | None = Field(None, description="When it ends; null for never.")
    revoked_at: Moment | None = Field(None, description="When it was revoked.")
    used_at: Moment | None = Field(None, description="When it was last used, to five minutes.")


class NewTokenBody(Body):
    """A token to be made."""

    name: str = Field(min_length=1, max_length=128, description="Unique, for people.")
    requester: str | None = Field(
        None, max_length=256, description="Whom it speaks for; its name by default."
    )
    role: RoleWord = Field(description="What its holder is.")
    scopes: list[ScopeWord] | None = Field(None, min_length=1, description="Narrower than the role's.")
    expires_in_days: float | None = Field(None, gt=0, le=36_500, description="Never where it is left out.")


class NewTokenAnswer(TokenInfo):
    """A new token; its secret is shown this once."""

    token: str = Field(description="The secret.")


class Limits(Answer):
    """What this server takes."""

    geometry_max_bytes: int = Field(description="Largest CAD file.")
    image_max_pixels: int = Field(description="Largest starting image.")
    requests_per_minute: int = Field(description="For one token.")
    queued_jobs_max: int = Field(description="Unfinished jobs of one requester.")


class Me(Answer):
    """Who the token speaks for, and what the server allows."""

    requester: str = Field(description="Whom the token speaks for.")
    role: RoleWord = Field(description="What they are.")
    scopes: list[ScopeWord] = Field(description="What they may do.")
    token: str = Field(description="The token's name.")
    expires_at: Moment | None = Field(None, description="When the token ends; null for never.")
    server_version: str = Field(description="Of mfgviz.")
    default_model: str = Field(description="The model of jobs that name none.")
    limits: Limits = Field(description="What this server takes.")


class Health(Answer):
    """How the server is."""

    status: Literal["ok", "unavailable"] = Field(description="Whether it can do its work.")
    version: str = Field(description="Of the server.")
    checks: dict[str, str] = Field(default_factory=dict, description="Each service: `ok`, or what is wrong.")


class QueueInfo(Answer):
    """How many jobs there are in each state."""

    jobs: dict[str, int] = Field(
        description="Their number by state. Those of a final state are estimated by PostgreSQL where they "
        "are more than 10,000."
    )
    workers: int = Field(description="Workers that can sample, heard of within the last minute.")
