"""What connectors bring, as it goes over HTTP."""

from __future__ import annotations

from pydantic import Field

from mfgviz.wire.core import Answer, Attributes, Body, LifecycleWord


class RevisionIntake(Body):
    """A revision as a connector has it: what is missing is made, what is given is set, the rest stays."""

    name: str | None = Field(None, max_length=512, description="The part's name.")
    part_attributes: Attributes = Field(default_factory=dict)
    attributes: Attributes = Field(default_factory=dict)
    state: LifecycleWord | None = Field(None, description="Where the revision stands.")
    source_state: str | None = Field(None, max_length=128, description="The PLM's own word for the state.")


class Refusal(Body):
    """Something that a connector could not use."""

    subject: str = Field(min_length=1, max_length=256, description="What it was, such as a file's name.")
    code: str = Field(pattern=r"^[a-z][a-z0-9-]{0,63}$", description="The error's stable name.")
    message: str = Field(max_length=2000, description="What is wrong with it.")
    remedy: str = Field("", max_length=2000, description="What to do about it.")


class ConnectorOption(Answer):
    """Something that can be said to a connector."""

    name: str = Field(description="As in `--set NAME=VALUE`.")
    doc: str = Field(description="What it says.")
    default: str = Field("", description="What holds where it is not said.")
    required: bool = Field(False, description="Whether it must be said.")


class ConnectorInfo(Answer):
    """A connector that is installed on a host."""

    name: str = Field(description="As in `mfgviz connectors run NAME`.")
    title: str = Field(description="What it connects to.")
    source: str = Field(description="The package that brings it, and the object in it.")
    options: list[ConnectorOption] = Field(description="What can be said to it.")
    error: str | None = Field(None, description="Why it cannot be used.")
