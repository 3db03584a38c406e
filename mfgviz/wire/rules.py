"""Rules and what they did, as they go over HTTP."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from mfgviz.wire.core import Answer, Body, Cause, Moment

OutcomeWord = Literal["submitted", "reused", "nothing", "failed"]
HowWord = Literal["new", "joined", "reused", "linked"]


class Rule(Answer):
    """What an event shall cause."""

    name: str = Field(description="Its name.")
    on: str = Field(description="The kind of event.")
    where: str | None = Field(description="The condition; null applies to all.")
    ask: dict[str, Any] = Field(description="What is asked for, as fields of a job's body.")
    enabled: bool = Field(description="Whether it applies.")
    version: int = Field(description="Goes up with each change.")
    created_at: Moment = Field(description="When it was added.")
    created_by: str = Field(description="Who added it.")


class NewRule(Body):
    """A rule to be added."""

    name: str = Field(min_length=1, max_length=256, description="A name of its own.")
    on: str = Field(max_length=64, description="The kind of event, such as revision.released.")
    where: str | None = Field(
        None, max_length=2000, description="Such as part.attributes.category == 'bracket'."
    )
    ask: dict[str, Any] = Field(description="Fields of a job's body but revision and force.")
    everything: bool = Field(False, description="That it may apply to every event of its kind.")


class RuleChange(Body):
    """Whether a rule applies."""

    enabled: bool = Field(description="Whether it applies.")


class RuleJob(Answer):
    """A job that answers a rule; in a test, null where it would have to be made."""

    job: int | None = Field(description="Its number.")
    how: HowWord = Field(description="Whether it is new, was there, or takes pictures over.")
    view: str | None = Field(None, description="Only in a test.")
    prompt: str | None = Field(None, description="Only in a test.")
    taken_over_from: str | None = Field(None, description="The revision whose pictures it takes over.")


class RuleTest(Answer):
    """What a rule would do now, were its event to happen to a revision."""

    rule: str = Field(description="The rule's name.")
    revision: str = Field(description="The revision that it was tried on.")
    applies: bool = Field(description="Whether it is enabled and its condition holds.")
    outcome: OutcomeWord = Field(description="In one word.")
    told: str = Field(description="In words.")
    values: dict[str, Any] = Field(description="What the fields of its condition are there.")
    jobs: list[RuleJob] = Field(description="The jobs that would answer it.")
    error: Cause | None = Field(None, description="What would be in its way.")


class RuleRun(Answer):
    """What a rule did about an event."""

    rule: str = Field(description="The rule's name.")
    event: int = Field(description="The event's number.")
    revision: str | None = Field(description="The revision that the event is about.")
    outcome: OutcomeWord = Field(description="In one word.")
    told: str = Field(description="In words.")
    jobs: list[RuleJob] = Field(description="The jobs that answer it.")
    error: Cause | None = Field(None, description="Why it failed.")
    created_at: Moment = Field(description="When.")
