"""Part revisions, the CAD files that they show, and the render that stands for each."""

from __future__ import annotations

import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path as FilePath
from typing import Annotated, Any

from anyio import CapacityLimiter, open_file, to_thread
from fastapi import Query, Request, Response

from mfgviz import wire
from mfgviz.api.access import Caller, Reader, Reviewer, Submitter, require_for_state
from mfgviz.api.limits import too_large
from mfgviz.api.problems import responses
from mfgviz.api.routes.common import PAGE, Cursor, IfNoneMatch, Limit, Number, Reference, kept, make_router
from mfgviz.errors import EmptyGeometryError, InvalidInputError
from mfgviz.service import check_file_name
from mfgviz.vocabulary import Scope

router = make_router("revisions", 404)

# A CAD file is looked into by a process of its own; more of them at a time would only be slower.
LOOKS_AT_ONCE = 2
LOOKING = CapacityLimiter(LOOKS_AT_ONCE)
FileName = Annotated[str, Query(min_length=1, max_length=255, description="Its extension says the format.")]
BINARY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_FILE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {}}, "description": "The file."},
    304: {"description": "Known."},
}


@router.get("/revisions/{reference}")
def show_revision(caller: Reader, reference: Reference) -> wire.Revision:
    """Show a revision, what its CAD file holds, and the fields that prompts can use."""
    return caller.service.revision(reference)


@router.put("/revisions/{reference}", responses={**responses(409), 201: {"model": wire.Revision}})
def put_revision(
    caller: Submitter, reference: Reference, change: wire.RevisionChange, response: Response
) -> wire.Revision:
    """Make a part and its revision where they are missing, and set the attributes that are given."""
    revision, made = caller.service.put_revision(reference, change)
    response.status_code = 201 if made else 200
    return revision


@router.put("/revisions/{reference}/geometry", openapi_extra=BINARY, responses=responses(409, 413))
async def put_geometry(
    caller: Submitter,
    reference: Reference,
    request: Request,
    file_name: FileName,
) -> wire.Revision:
    """Let a revision show another CAD file: the request's body, as it is. A file that cannot be used, is too
    large or breaks off leaves nothing behind; the one that the revision shows already changes nothing."""
    name = check_file_name(file_name)
    await to_thread.run_sync(caller.service.check_attachable, reference)
    async with received(caller, request, name) as path:
        return await to_thread.run_sync(caller.service.attach, reference, path, name, limiter=LOOKING)


@router.post(
    "/parts/{number}/revisions/geometry",
    status_code=201,
    openapi_extra=BINARY,
    responses=responses(409, 413),
)
async def add_revision_with_geometry(
    caller: Submitter,
    number: Number,
    request: Request,
    label: Annotated[str, Query(min_length=1, max_length=64, description="The revision's label.")],
    file_name: FileName,
    state: Annotated[wire.LifecycleWord, Query(description="Where it stands.")] = "in_work",
    attributes: Annotated[str, Query(max_length=16_384, description="A JSON object.")] = "{}",
) -> wire.Revision:
    """Add a revision to a part together with the CAD file that it shows, the request's body: with a file that
    cannot be used nothing is added. A released or obsolete one needs the scope review."""
    require_for_state(caller, state)
    name = check_file_name(file_name)
    new = wire.read(wire.NewRevision, {"label": label, "state": state, "attributes": _object(attributes)})
    await to_thread.run_sync(caller.service.check_addable, number, label)
    async with received(caller, request, name) as path:
        return await to_thread.run_sync(caller.service.add_revision, number, new, path, name, limiter=LOOKING)


def _object(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError("attributes is no JSON.", remedy='Such as {"finish": "brushed"}.') from error


@asynccontextmanager
async def received(caller: Caller, request: Request, name: str) -> AsyncIterator[FilePath]:
    """A request's body as a file of that name's kind, for as long as the block runs."""
    with tempfile.TemporaryDirectory(prefix="mfgviz-upload-") as folder:
        path = FilePath(folder) / f"part{FilePath(name).suffix.lower()}"
        await receive(request, path, caller.server.runtime.settings.geometry_max_bytes)
        yield path


async def receive(request: Request, path: FilePath, most: int) -> None:
    """Write a request's body to a file as it comes in. Raises UploadTooLargeError, EmptyGeometryError."""
    length = request.headers.get("content-length", "0")
    if length.isdigit() and int(length) > most:
        raise too_large(most)
    got = 0
    async with await open_file(path, "wb") as file:
        async for chunk in request.stream():
            got += len(chunk)
            if got > most:
                raise too_large(most)
            await file.write(chunk)
    if not got:
        raise EmptyGeometryError("The body of the request is empty.", remedy="Send the CAD file as the body.")


@router.get("/revisions/{reference}/geometry", response_class=Response, responses=_FILE)
def get_geometry(caller: Reader, reference: Reference, if_none_match: IfNoneMatch = None) -> Response:
    """The CAD file that a revision shows."""
    content, told = caller.service.geometry(reference)
    return kept(content, "application/octet-stream", f'"{told.digest}"', if_none_match, forever=False)


@router.post("/revisions/{reference}/state", responses=responses(409))
def set_state(caller: Reviewer, reference: Reference, change: wire.StateChange) -> wire.Revision:
    """Move a revision through its lifecycle; a released one does not change any more. The server may be set
    to release none without an approved image."""
    return caller.service.set_state(reference, change)


@router.get("/revisions/{reference}/renders")
def list_revision_renders(
    caller: Reader, reference: Reference, cursor: Cursor = None, limit: Limit = PAGE
) -> wire.Page[wire.Render]:
    """List the renders of a revision, newest first."""
    return caller.service.renders(revision=reference, cursor=cursor, limit=limit)


@router.put("/revisions/{reference}/primary", responses=responses(409))
def set_primary(caller: Submitter, reference: Reference, body: wire.Primary) -> wire.Revision:
    """Let a render stand for its revision. One that is only proposed is approved by that, which needs the
    scope review; so does a released revision. The server's setting `approval` may ask for another reviewer
    than the render's author, or for none."""
    _require_for_primary(caller, reference)
    may_review = Scope.REVIEW in caller.holder.scopes
    return caller.service.set_primary(reference, body.render, may_review=may_review)


@router.delete("/revisions/{reference}/primary")
def clear_primary(caller: Submitter, reference: Reference) -> wire.Revision:
    """Let no render stand for a revision."""
    _require_for_primary(caller, reference)
    return caller.service.clear_primary(reference)


def _require_for_primary(caller: Caller, reference: str) -> None:
    require_for_state(caller, caller.service.revision(reference).state)
