"""Renders: look, fetch, review; and starting images."""

from __future__ import annotations

from typing import Annotated, Any

from anyio import to_thread
from fastapi import Query, Request, Response

from mfgviz import wire
from mfgviz.api.access import Reader, Reviewer, Submitter
from mfgviz.api.limits import too_large
from mfgviz.api.problems import responses
from mfgviz.api.routes.common import (
    PAGE,
    Cursor,
    IfNoneMatch,
    Limit,
    RecordId,
    is_known,
    kept,
    make_router,
)

router = make_router("renders", 404)
images = make_router("renders")

IMAGE_MAX_BYTES = 64 << 20
_IMAGE: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}}
            for kind in ("image/png", "image/jpeg", "image/webp")
        },
        "description": "The picture.",
    },
    304: {"description": "The client has it."},
}
_UPLOAD: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            kind: {"schema": {"type": "string", "format": "binary"}}
            for kind in ("image/png", "image/jpeg", "image/webp")
        },
    }
}


@router.get("/renders")
def list_renders(
    caller: Reader,
    revision: Annotated[str | None, Query(min_length=1, max_length=256)] = None,
    job: Annotated[int | None, Query(ge=1, le=2**63 - 1)] = None,
    review_state: Annotated[wire.ReviewWord | None, Query()] = None,
    stale: Annotated[
        bool, Query(description="Only those that show something which was released anew.")
    ] = False,
    cursor: Cursor = None,
    limit: Limit = PAGE,
) -> wire.Page[wire.Render]:
    """List renders, newest first."""
    return caller.service.renders(
        revision=revision, job=job, review_state=review_state, stale=stale, cursor=cursor, limit=limit
    )


@router.post("/rerenders", status_code=201)
def rerender_stale(caller: Submitter, body: wire.RerenderBody) -> wire.SubmitAnswer:
    """Ask for stale renders again, by the same requests; what waits or was made again since is left out."""
    return caller.service.rerender_stale(body, caller.server.runtime.settings.queued_jobs_max)


@router.get("/renders/{render_id}")
def show_render(caller: Reader, render_id: RecordId) -> wire.Render:
    """Show a render and everything needed to make it again."""
    return caller.service.render(render_id)


@router.get("/renders/{render_id}/image", response_class=Response, responses=_IMAGE)
def render_image(
    caller: Reader,
    render_id: RecordId,
    image_format: Annotated[wire.ImageWord, Query(alias="format", description="The file's format.")] = "png",
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The picture, its record and synthetic-media mark inside."""
    etag = f'"{caller.service.render(render_id).blob_digest[:32]}-{image_format}"'
    if is_known(etag, if_none_match):
        return kept(b"", "", etag, if_none_match, forever=True)
    content = caller.service.image(render_id, image_format)
    return kept(content, f"image/{image_format}", etag, if_none_match, forever=True)


@router.get("/renders/{render_id}/thumbnail", response_class=Response, responses=_IMAGE)
def render_thumbnail(caller: Reader, render_id: RecordId, if_none_match: IfNoneMatch = None) -> Response:
    """The picture as a JPEG of 256 px at most."""
    etag = f'"{caller.service.render(render_id).blob_digest[:32]}-thumbnail"'
    content = b"" if is_known(etag, if_none_match) else caller.service.thumbnail(render_id)
    return kept(content, "image/jpeg", etag, if_none_match, forever=True)


@router.post("/renders/{render_id}/review", responses=responses(409))
def review_render(caller: Reviewer, render_id: RecordId, body: wire.ReviewBody) -> wire.Render:
    """Approve a render, reject it, or take that back. An approved one stands for its revision where none
    does; the server may be set to refuse approvals by the render's own author."""
    return caller.service.review(render_id, body)


@images.post("/images", status_code=201, openapi_extra=_UPLOAD, responses=responses(413))
async def store_image(caller: Submitter, request: Request) -> wire.StoredImage:
    """Store a starting image (PNG, JPEG or WebP, the request's body) for jobs in image mode."""
    length = request.headers.get("content-length", "0")
    if length.isdigit() and int(length) > IMAGE_MAX_BYTES:
        raise too_large(IMAGE_MAX_BYTES)
    content = bytearray()
    async for chunk in request.stream():
        content += chunk
        if len(content) > IMAGE_MAX_BYTES:
            raise too_large(IMAGE_MAX_BYTES)
    return await to_thread.run_sync(caller.service.store_image, bytes(content))
