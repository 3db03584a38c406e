"""What happened: events and the audit trail."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from mfgviz import wire
from mfgviz.api.access import Admin, Reader
from mfgviz.api.problems import responses
from mfgviz.api.routes.common import PAGE, Cursor, Limit, make_router

router = make_router("chronicle")

Word = Annotated[str | None, Query(max_length=256)]


@router.get("/event-log", responses=responses(404))
def list_events(
    caller: Reader,
    kind: Annotated[
        str | None, Query(max_length=64, description="Of that kind; `render` is all of `render.`.")
    ] = None,
    revision: Word = None,
    after: Annotated[
        int | None, Query(ge=0, le=2**63 - 1, description="Those behind that id, oldest first.")
    ] = None,
    cursor: Cursor = None,
    limit: Limit = PAGE,
) -> wire.Page[wire.EventInfo]:
    """List what happened to revisions and renders, newest first."""
    return caller.service.event_log(kind=kind, revision=revision, after=after, cursor=cursor, limit=limit)


@router.get("/audit")
def list_audit(
    caller: Admin, action: Word = None, subject: Word = None, cursor: Cursor = None, limit: Limit = PAGE
) -> wire.Page[wire.AuditInfo]:
    """List who did what, when and from where, newest first."""
    return caller.service.audit_trail(action=action, subject=subject, cursor=cursor, limit=limit)
