"""Rules and what they did, as they go over HTTP."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from mfgviz.wire.core import Answer, Body, Cause, Moment

OutcomeWord = Literal["submitted", "reused", "nothing", "failed"]
HowWord = Literal["new", "joined", "reused", "linked"]


class Rule(Answer):
    """What an event shall cause."""

    name: str
    on: str = Field(description="The kind of event.")
    where: str | None = Field(description="The condition; null applies to all.")
    ask: dict[str, Any] = Field(description="What is asked for, as fields of a job's body.")
    enabled: bool
    version: int
    created_at: Moment
    created_by: str


class NewRule(Body):
    """A rule to be added."""

    name: str = Field(min_length=1, max_length=256)
    on: str = Field(max_length=64, description="The kind of event, such as revision.released.")
    where: str | None = Field(
        None, max_length=2000, description="Such as part.attributes.category == 'bracket'."
    )
    ask: dict[str, Any] = Field(description="Fields of a job's body but revision and force.")
    everything: bool = Field(False, description="That it may apply to every event of its kind.")


class RuleChange(Body):
    """Whether a rule applies."""

    enabled: bool


class RuleJob(Answer):
    """A job that answers a rule; in a test, null where it would have to be made."""

    job: int | None
    how: HowWord
    view: str | None = None
    prompt: str | None = None
    taken_over_from: str | None = None


class RuleTest(Answer):
    """What a rule would do now, were its event to happen to a revision."""

    rule: str
    revision: str
    applies: bool
    outcome: OutcomeWord
    told: str
    values: dict[str, Any] = Field(description="What the fields of its condition are there.")
    jobs: list[RuleJob]
    error: Cause | None = None


class RuleRun(Answer):
    """What a rule did about an event."""

    rule: str
    event: int
    revision: str | None
    outcome: OutcomeWord
    told: str
    jobs: list[RuleJob]
    error: Cause | None = None
    created_at: Moment
