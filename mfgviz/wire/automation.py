"""Events, the audit trail, rules and what they did, as they go over HTTP."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from mfgviz.wire.core import Answer, Moment


class EventInfo(Answer):
    """Something that happened to a part revision or its renders, or that went wrong."""

    id: int = Field(description="Its number; later events have higher ones.")
    kind: str = Field(description="Such as revision.released; `mfgviz events kinds` lists them all.")
    revision: str | None = Field(description="The revision that it happened to, where there is one.")
    actor: str = Field(description="Who caused it.")
    payload: dict[str, Any] = Field(description="What there is to know of it.")
    created_at: Moment = Field(description="When it happened.")
    delivered_at: Moment | None = Field(description="When all that follows from it was done.")


class AuditInfo(Answer):
    """Who did what to which thing, when, and through which door."""

    id: int = Field(description="Its number; later entries have higher ones.")
    actor: str = Field(description="Who did it.")
    action: str = Field(description="What was done, such as render.reviewed.")
    subject: str = Field(description="To which thing: a revision, a part, a job, a rule.")
    details: dict[str, Any] = Field(description="How, and under `door` from where.")
    created_at: Moment = Field(description="When.")
