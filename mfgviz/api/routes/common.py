"""What routes share: paths, queries, routers that document their errors, answers that may be kept."""

from __future__ import annotations

import hashlib
from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Response

from mfgviz.api.problems import responses

ALWAYS = (400, 401, 403, 422, 429, 503)
Reference = Annotated[
    str, Path(min_length=1, max_length=256, description="`NUMBER@LABEL`; `NUMBER` alone is the newest.")
]
Number = Annotated[str, Path(min_length=1, max_length=128, description="The part's number.")]
RecordId = Annotated[int, Path(ge=1, le=2**63 - 1)]
Cursor = Annotated[str | None, Query(max_length=1024, description="`next_cursor` of the page before.")]
Limit = Annotated[int, Query(ge=1, le=500, description="How many at most.")]
IfNoneMatch = Annotated[
    str | None, Header(max_length=1024, description="An ETag that the client has already.")
]
PAGE = 50


def make_router(tag: str, *errors: int) -> APIRouter:
    """A router whose routes may answer with those errors, besides those that any may."""
    return APIRouter(tags=[tag], responses=responses(*sorted({*ALWAYS, *errors})))


def is_known(etag: str, if_none_match: str | None) -> bool:
    """Whether the client has it already."""
    given = [one.strip().removeprefix("W/") for one in (if_none_match or "").split(",")]
    return etag in given or "*" in given


def etag_of(content: bytes) -> str:
    """The ETag of an answer's body."""
    return f'"{hashlib.sha256(content).hexdigest()[:32]}"'


def kept(content: bytes, media_type: str, etag: str, if_none_match: str | None, *, forever: bool) -> Response:
    """A body with its ETag, or 304 where the client has it. What never changes may be kept for a year."""
    age = "private, max-age=31536000, immutable" if forever else "private, no-cache"
    headers = {"ETag": etag, "Cache-Control": age}
    if is_known(etag, if_none_match):
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=media_type, headers=headers)
