"""Webhooks, inbound hooks and schedules, as they go over HTTP."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from mfgviz.wire.core import Answer, AttributeValue, Body, Moment

DeliveryWord = Literal["pending", "delivered", "dead"]
Name = Annotated[str, Field(min_length=1, max_length=128, description="Unique, for people.")]


class WebhookInfo(Answer):
    """An address that is told of events, without its secret."""

    name: str = Field(description="Unique, for people.")
    url: str = Field(description="What is posted to.")
    kinds: list[str] = Field(description="Kinds of events; `render` is all of `render.`.")
    enabled: bool = Field(description="Whether anything is sent.")
    pending: int = Field(description="Deliveries on their way.")
    delivered: int = Field(description="Deliveries that arrived.")
    dead: int = Field(description="Deliveries that were given up.")
    created_at: Moment = Field(description="When it was added.")
    created_by: str = Field(description="Who added it.")


class NewWebhookBody(Body):
    """A webhook to be added."""

    name: Name
    url: str = Field(min_length=1, max_length=2000, description="What is posted to: https://…")
    kinds: list[Annotated[str, Field(max_length=64)]] = Field(
        min_length=1, max_length=64, description="Kinds of events; `render` is all of `render.`."
    )
    secret: str | None = Field(
        None, max_length=256, description="whsec_ and 24 to 64 bytes as base64; made where it is left out."
    )


class NewWebhookAnswer(WebhookInfo):
    """A new webhook; its secret is shown this once."""

    secret: str = Field(description="What its messages are signed with.")


class EnabledBody(Body):
    """Whether it shall work."""

    enabled: bool = Field(description="False stops it, and forgets nothing.")


class WebhookTest(Answer):
    """What became of a message that was sent to try a webhook out."""

    webhook: str = Field(description="Its name.")
    delivered: bool = Field(description="Whether the receiver took it.")
    status: int | None = Field(None, description="What the receiver answered.")
    error: str | None = Field(None, description="Why it was not delivered.")
    took_ms: int | None = Field(None, description="How long the receiver took, milliseconds.")


class DeliveryInfo(Answer):
    """An event on its way to a webhook."""

    id: int = Field(description="Its number.")
    event: int = Field(description="The event's id.")
    kind: str = Field(description="The event's kind.")
    state: DeliveryWord = Field(description="Where it stands.")
    tries: int = Field(description="How often it was sent.")
    status: int | None = Field(None, description="What the receiver answered last.")
    error: str | None = Field(None, description="Why the last try failed.")
    created_at: Moment = Field(description="When it was put on its way.")
    next_at: Moment | None = Field(None, description="When it is sent again at the earliest.")
    finished_at: Moment | None = Field(None, description="When it arrived or was given up.")


class ReplayBody(Body):
    """Which deliveries are sent again: one event's, or all that are dead."""

    event: int | None = Field(None, ge=1, le=2**63 - 1, description="The event's id; null is all dead ones.")


class Replayed(Answer):
    """How many deliveries are on their way again."""

    webhook: str = Field(description="Its name.")
    deliveries: int = Field(description="How many.")


class HookInfo(Answer):
    """A place where another system tells of part revisions, without its secret."""

    name: str = Field(description="Unique, for people, and the end of its address.")
    path: str = Field(description="Where messages are posted to.")
    requester: str = Field(description="Whom it acts for.")
    enabled: bool = Field(description="Whether it takes messages.")
    mapping: dict[str, Any] = Field(description="How the other system's JSON is read.")
    created_at: Moment = Field(description="When it was added.")
    created_by: str = Field(description="Who added it.")


class NewHookBody(Body):
    """An inbound hook to be added."""

    name: Name
    requester: str = Field(min_length=1, max_length=256, description="Whom it acts for, such as plm.")
    mapping: dict[str, Any] = Field(description="How the other system's JSON is read; see docs/webhooks.md.")
    secret: str | None = Field(None, max_length=256, description="Made where it is left out.")


class NewHookAnswer(HookInfo):
    """An inbound hook with its new secret, which is shown this once."""

    secret: str = Field(description="What its messages are to be signed with.")


class Received(Answer):
    """What was done for a message."""

    revision: str | None = Field(None, description="`NUMBER@LABEL`; null where the message was none of ours.")
    state: str | None = Field(None, description="The revision's state now.")
    created: bool = Field(False, description="Whether the revision is new.")
    ignored: bool = Field(False, description="Whether the mapping's conditions left the message out.")


class ScheduleInfo(Answer):
    """Something that is done at set times."""

    name: str = Field(description="Unique, for people.")
    task: str = Field(description="What is done.")
    cron: str = Field(description="When, in UTC: minute, hour, day of month, month, day of week.")
    arguments: dict[str, Any] = Field(description="The task's arguments; others have their defaults.")
    enabled: bool = Field(description="Whether it is done.")
    next_at: Moment = Field(description="When it is due next.")
    last_at: Moment | None = Field(None, description="When it was last begun.")
    last_outcome: str = Field(
        description="How that ended: never, due (it waits for a worker), running, succeeded or failed."
    )
    last_message: str | None = Field(None, description="That in words.")
    last_error_code: str | None = Field(None, description="The code of the error that it failed with.")
    created_at: Moment = Field(description="When it was added.")
    created_by: str = Field(description="Who added it, and whom it acts for.")


class NewScheduleBody(Body):
    """A schedule to be added."""

    name: Name
    task: str = Field(max_length=64, description="What is done; GET /schedule-tasks lists the tasks.")
    cron: str = Field(max_length=128, description="When, in UTC, such as `0 3 * * *`.")
    arguments: dict[Annotated[str, Field(max_length=64)], AttributeValue] = Field(
        default_factory=dict, max_length=32, description="The task's arguments."
    )


class TaskArgument(Answer):
    """An argument of a task."""

    name: str = Field(description="Its name.")
    kind: str = Field(description="What it is: str, int, float or bool.")
    default: AttributeValue | None = Field(description="Where it is left out.")
    required: bool = Field(description="Whether it must be given.")
    told: str = Field(description="What it means.")


class ScheduleTask(Answer):
    """Something that schedules can do."""

    name: str = Field(description="What schedules call it.")
    told: str = Field(description="What it does.")
    arguments: list[TaskArgument] = Field(description="What it takes.")
