"""Bills of material, where parts are used, and batches."""

from __future__ import annotations

from typing import Annotated, Any

from anyio import to_thread
from fastapi import Query, Request

from mfgviz import wire
from mfgviz.api.access import Caller, Reader, Submitter
from mfgviz.api.limits import too_large
from mfgviz.api.problems import responses
from mfgviz.api.routes.common import PAGE, Cursor, Limit, RecordId, make_router
from mfgviz.bom import MAX_BYTES

router = make_router("bom", 404)
batches = make_router("batches", 404)

Of = Annotated[
    str, Query(min_length=1, max_length=256, description="`NUMBER@LABEL`, or `NUMBER` (see there).")
]
Depth = Annotated[int | None, Query(ge=1, le=100, description="So many levels at most.")]
_UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.put("/bom/lines", openapi_extra=_UPLOAD, responses=responses(413))
async def import_bom(
    caller: Submitter,
    request: Request,
    name: Annotated[
        str, Query(min_length=1, max_length=255, description="What messages call it.")
    ] = "the body",
) -> wire.BomImport:
    """Take in bills of material: CSV with the head parent,child,quantity[,position], or a JSON object a line.
    Each parent in it gets exactly its lines there, all or none; the same file again changes nothing."""
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > MAX_BYTES:
            raise too_large(MAX_BYTES)
    return await to_thread.run_sync(caller.service.import_bom, bytes(content), name)


@router.get("/bom")
def show_bom(caller: Reader, of: Of, depth: Depth = None) -> wire.Bom:
    """Show what a revision is made of, line below line; `NUMBER` alone is the newest revision."""
    return caller.service.bom(of, depth)


@router.get("/where-used")
def where_used(
    caller: Reader,
    of: Of,
    depth: Depth = None,
    limit: Annotated[int, Query(ge=1, le=10_000, description="How many at most.")] = 1000,
) -> wire.WhereUsed:
    """Show in which revisions a part is, the nearest first; `NUMBER` alone is it in all its revisions."""
    return caller.service.where_used(of, depth, limit)


@batches.post("/batches", status_code=201)
def submit_batch(caller: Submitter, body: wire.BatchBody) -> wire.Batch:
    """Ask for renders of everything in a bill of material, or of all that a query finds: each shape and
    recipe is rendered once, and attached wherever it belongs."""
    return caller.service.submit_batch(body, caller.server.runtime.settings.queued_jobs_max)


@batches.get("/batches")
def list_batches(
    caller: Reader,
    requester: Annotated[str | None, Query(min_length=1, max_length=256)] = None,
    cursor: Cursor = None,
    limit: Limit = PAGE,
) -> wire.Page[wire.Batch]:
    """List batches, newest first."""
    return caller.service.batches(requester=requester, cursor=cursor, limit=limit)


@batches.get("/batches/{batch_id}")
def show_batch(caller: Reader, batch_id: RecordId) -> wire.Batch:
    """Show a batch: progress, cost, and what it left out."""
    return caller.service.batch(batch_id)


@batches.post("/batches/{batch_id}/pause", responses=responses(409))
def pause_batch(caller: Submitter, batch_id: RecordId) -> wire.Batch:
    """Let a batch's jobs wait; those that run end. Another one's needs the scope admin."""
    _require_own(caller, batch_id)
    return caller.service.pause_batch(batch_id)


@batches.post("/batches/{batch_id}/resume", responses=responses(409))
def resume_batch(caller: Submitter, batch_id: RecordId) -> wire.Batch:
    """Let a paused batch go on. Another one's needs the scope admin."""
    _require_own(caller, batch_id)
    return caller.service.resume_batch(batch_id)


@batches.post("/batches/{batch_id}/cancel", responses=responses(409))
def cancel_batch(caller: Submitter, batch_id: RecordId) -> wire.Batch:
    """Cancel all of a batch's jobs that have not ended; jobs that it only joined go on. Another one's needs
    the scope admin."""
    _require_own(caller, batch_id)
    return caller.service.cancel_batch(batch_id)


def _require_own(caller: Caller, batch_id: int) -> None:
    caller.require_own_thing(f"Batch {batch_id}", caller.service.batch_owner(batch_id))
