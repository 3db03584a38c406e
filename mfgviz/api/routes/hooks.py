"""Where other systems tell of part revisions. There is no token here: each message is signed."""

from __future__ import annotations

from typing import Annotated, Any

from anyio import to_thread
from fastapi import APIRouter, Path, Request

from mfgviz import hooks, journal, wire
from mfgviz.api.access import Server, server_of
from mfgviz.api.limits import JSON_MAX_BYTES, too_large
from mfgviz.api.problems import responses
from mfgviz.errors import MfgvizError, UnauthenticatedError, UnavailableError
from mfgviz.hooks import UNKNOWN, Message
from mfgviz.service import Service

router = APIRouter(tags=["hooks"], responses=responses(400, 401, 404, 409, 413, 422, 429, 503))
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "JSON as the hook's mapping reads it; its signature is in a header.",
        "content": {"application/json": {"schema": {"type": "object"}}},
    },
    "security": [],
}


@router.post("/hooks/{name}", openapi_extra=BODY)
async def receive(
    request: Request,
    name: Annotated[str, Path(min_length=1, max_length=128, pattern=r"^[^\x00-\x1f\x7f]+$")],
) -> wire.Received:
    """Take a message of another system, signed with the hook's secret."""
    server = server_of(request)
    address = request.client.host if request.client else UNKNOWN
    server.rate.take(hash((address, "hooks")), f"The address {address}")
    journal.came_from.set({"door": "hook", "address": address, "hook": name})
    try:
        body = await _body(request)
        message = Message({key.lower(): one for key, one in request.headers.items()}, body)
        return await to_thread.run_sync(_receive, server, name, message)
    except MfgvizError as error:
        if not isinstance(error, UnavailableError):
            await to_thread.run_sync(_note, server, name, error)
        raise


async def _body(request: Request) -> bytes:
    """The body. Raises UploadTooLargeError before more than what is allowed is held."""
    length = request.headers.get("content-length", "0")
    if length.isdigit() and int(length) > JSON_MAX_BYTES:
        raise too_large(JSON_MAX_BYTES)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > JSON_MAX_BYTES:
            raise too_large(JSON_MAX_BYTES)
    return bytes(body)


def _receive(server: Server, name: str, message: Message) -> wire.Received:
    hook = Service(server.runtime, UNKNOWN).inbound_hook(name)
    return Service(server.runtime, hook.requester, server.later).receive(hook, message)


def _note(server: Server, name: str, error: MfgvizError) -> None:
    """Note a refusal; those of hooks that are none all as of one."""
    try:
        with server.runtime.db.read() as session:
            known = {one.name: one.requester for one in hooks.list_hooks(session)}
        skipped = server.refusals.is_due(name if name in known else UNKNOWN, error.code)
        if skipped is None:
            return
        actor = UNKNOWN if isinstance(error, UnauthenticatedError) else known.get(name, UNKNOWN)
        with server.runtime.db.begin() as session:
            hooks.note_refusal(session, name, actor, error, skipped)
    except UnavailableError as away:
        hooks.log.warning("hook %s: %s could not be noted: %s", name, error.code, away.message)
