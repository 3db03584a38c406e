"""What connectors bring, and what changed from one revision to another."""

from __future__ import annotations

import json
from typing import Annotated, Any

from anyio import to_thread
from fastapi import Query, Request, Response

from mfgviz import wire
from mfgviz.api.access import Reader, Submitter, require_for_state
from mfgviz.api.problems import responses
from mfgviz.api.routes.common import IfNoneMatch, Reference, etag_of, kept, make_router
from mfgviz.api.routes.revisions import BINARY, LOOKING, FileName, received
from mfgviz.errors import InvalidInputError
from mfgviz.service import check_file_name

router = make_router("connectors", 404)

Other = Annotated[
    str, Query(alias="with", min_length=1, max_length=256, description="The revision to compare with.")
]
_PNG: dict[int | str, dict[str, Any]] = {
    200: {"content": {"image/png": {}}, "description": "The picture."},
    304: {"description": "Known."},
}


@router.put("/revisions/{reference}/intake", openapi_extra=BINARY, responses=responses(409, 413))
async def take_in_revision(
    caller: Submitter,
    reference: Reference,
    request: Request,
    file_name: FileName,
    intake: Annotated[str, Query(max_length=5000, description="A RevisionIntake as JSON.")] = "{}",
) -> wire.Revision:
    """Make a part and its revision where they are missing, set the attributes that are given, let the
    revision show the CAD file (the request's body) and move it to the state: all of that, or nothing. To make
    it released or obsolete needs the scope review."""
    new = wire.read(wire.RevisionIntake, _json(intake))
    if new.state is not None:
        require_for_state(caller, new.state)
    file = check_file_name(file_name)
    caller.service.check_takeable(reference)
    async with received(caller, request, file) as path:
        return await to_thread.run_sync(caller.service.take_in, reference, new, path, file, limiter=LOOKING)


def _json(text: str) -> object:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidInputError("intake is no JSON.", remedy='Such as {"name": "Bracket"}.') from error


@router.post("/refusals", status_code=204, response_class=Response)
def report_refusal(caller: Submitter, refusal: wire.Refusal) -> None:
    """Note that a connector could not use something, as an event, in the audit trail and in the log."""
    caller.service.report_refusal(refusal)


@router.get("/revisions/{reference}/diff")
async def diff_revisions(caller: Reader, reference: Reference, other: Other) -> wire.RevisionDiff:
    """Say what changed from this revision to another one: shape, sizes, holes, attributes and files."""
    return await to_thread.run_sync(caller.service.revision_diff, reference, other, limiter=LOOKING)


@router.get("/revisions/{reference}/diff/image", response_class=Response, responses=_PNG)
async def diff_image(
    caller: Reader, reference: Reference, other: Other, if_none_match: IfNoneMatch = None
) -> Response:
    """Both shapes laid over one another in four views: what only this revision has is red, what only the
    other one has green. A host without the worker side cannot draw it."""
    content = await to_thread.run_sync(caller.service.revision_diff_image, reference, other, limiter=LOOKING)
    return kept(content, "image/png", etag_of(content), if_none_match, forever=False)
