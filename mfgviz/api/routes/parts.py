"""Parts."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

from mfgviz import wire
from mfgviz.api.access import Reader, Submitter, require_for_state
from mfgviz.api.problems import responses
from mfgviz.api.routes.common import PAGE, Cursor, Limit, Number, make_router

router = make_router("parts")


@router.get("/parts")
def list_parts(
    caller: Reader,
    search: Annotated[str, Query(max_length=256, description="Text that number or name holds.")] = "",
    cursor: Cursor = None,
    limit: Limit = PAGE,
) -> wire.Page[wire.Part]:
    """List parts by number; with `search`, first those whose number or name begins with it."""
    return caller.service.parts(search, cursor, limit)


@router.post("/parts", status_code=201, responses=responses(409))
def add_part(caller: Submitter, new: wire.NewPart) -> wire.Part:
    """Add a part."""
    return caller.service.add_part(new)


@router.get("/parts/{number}", responses=responses(404))
def show_part(caller: Reader, number: Number) -> wire.Part:
    """Show a part and the labels of its revisions."""
    return caller.service.part(number)


@router.patch("/parts/{number}", responses=responses(404))
def change_part(caller: Submitter, number: Number, change: wire.PartChange) -> wire.Part:
    """Rename a part, set attributes of it."""
    return caller.service.change_part(number, change)


@router.get("/parts/{number}/revisions", responses=responses(404))
def list_revisions(caller: Reader, number: Number) -> wire.Page[wire.Revision]:
    """List the revisions of a part, oldest first."""
    return wire.Page(items=caller.service.revisions(number))


@router.post("/parts/{number}/revisions", status_code=201, responses=responses(404, 409))
def add_revision(caller: Submitter, number: Number, new: wire.NewRevision) -> wire.Revision:
    """Add a revision to a part. A released or obsolete one needs the scope review."""
    require_for_state(caller, new.state)
    return caller.service.add_revision(number, new)
