"""Events, the audit trail, rules and what they did, as they go over HTTP."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from mfgviz.wire.core import Answer, Moment


class EventInfo(Answer):
    """Something that happened to a part revision or its renders, or that went wrong."""

    id: int
    kind: str = Field(description="Such as revision.released; `mfgviz events kinds` lists them all.")
    revision: str | None = Field(description="The revision that it happened to, where there is one.")
    actor: str = Field(description="Who caused it.")
    payload: dict[str, Any]
    created_at: Moment
    delivered_at: Moment | None = Field(description="When all that follows from it was done.")


class AuditInfo(Answer):
    """Who did what to which thing, when, and through which door."""

    id: int
    actor: str
    action: str
    subject: str
    details: dict[str, Any]
    created_at: Moment
