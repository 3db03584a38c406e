"""Render jobs: submit, look, cancel, retry, and their events."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from anyio import to_thread
from fastapi import Depends, Header, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import Field

from mfgviz import wire
from mfgviz.api.access import Reader, Submitter
from mfgviz.api.events import POSITIONS_AT_ONCE, Subscription
from mfgviz.api.problems import responses
from mfgviz.api.routes.common import PAGE, Cursor, IfNoneMatch, Limit, RecordId, kept, make_router

router = make_router("jobs")

Key = Annotated[
    str | None,
    Header(
        min_length=1,
        max_length=128,
        pattern=r"^[\x21-\x7e]+$",
        description="A new random text for each new request. The same request with the same key again, "
        "within a day, is answered the same and queues nothing.",
    ),
]
LastEventId = Annotated[
    str | None,
    Header(max_length=64, alias="Last-Event-ID", description="The id of the last event that came."),
]
_JPEG: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}},
        "description": "A JPEG.",
    },
    304: {"description": "The client has it."},
}
_STREAM: dict[int | str, dict[str, Any]] = {
    200: {
        "content": {"text/event-stream": {"schema": {"type": "string"}}},
        "description": "Events, as they come.",
    }
}
_EVENTS = (
    "`job` events say where a job stands now (JobEvent), `preview` events that there is a small picture of "
    "what is sampled (PreviewEvent). An event's id, sent as `Last-Event-ID`, brings what has happened since."
)


@router.post("/jobs", status_code=201, responses=responses(404, 409))
def submit_jobs(caller: Submitter, body: wire.JobBody, idempotency_key: Key = None) -> wire.SubmitAnswer:
    """Ask for renders of a revision: one job for each view and each prompt that the choices expand to. A
    request for a picture that waits already joins it, one for a picture that is there is answered by it."""
    most = caller.server.runtime.settings.queued_jobs_max
    return caller.service.submit(body, idempotency_key, most)


@router.get("/jobs", responses=responses(404))
def list_jobs(
    caller: Reader,
    state: Annotated[wire.JobWord | None, Query()] = None,
    revision: Annotated[str | None, Query(min_length=1, max_length=256)] = None,
    requester: Annotated[str | None, Query(min_length=1, max_length=256)] = None,
    cursor: Cursor = None,
    limit: Limit = PAGE,
) -> wire.Page[wire.Job]:
    """List jobs, newest first."""
    return caller.service.jobs(
        state=state, revision=revision, requester=requester, cursor=cursor, limit=limit
    )


@router.post("/queue/cancel", responses=responses(404))
def cancel_jobs(caller: Submitter, body: wire.JobIds) -> wire.Page[wire.JobEvent]:
    """Cancel jobs, all in one transaction; where each stands then. Those that have ended stay as they are."""
    caller.require_own(*body.jobs)
    return wire.Page(items=caller.service.cancel_all(body.jobs))


@router.post("/queue/retry", responses=responses(404, 409))
def retry_jobs(caller: Submitter, body: wire.JobIds) -> wire.Page[wire.JobEvent]:
    """Queue failed or cancelled jobs again: all of them or none."""
    caller.require_own(*body.jobs)
    return wire.Page(items=caller.service.retry_all(body.jobs))


@router.get("/standings")
def list_standings(
    caller: Reader,
    job: Annotated[
        list[Annotated[int, Field(ge=1, le=2**63 - 1)]],
        Query(min_length=1, max_length=500, description="A job's id; repeat it."),
    ],
    positions: Annotated[bool, Query(description="Count places in the queue: of 50 jobs at most.")] = False,
) -> wire.Page[wire.JobEvent]:
    """Where jobs stand, by id; those that are not there are left out."""
    counted = positions and len(job) <= POSITIONS_AT_ONCE
    return wire.Page(items=caller.service.standings(job, positions=counted))


@router.get("/jobs/{job_id}/why", responses=responses(404))
def why_job(caller: Reader, job_id: RecordId) -> wire.JobWait:
    """Why a job is where it is: its position, what is ahead, which workers could take it."""
    return caller.service.why(job_id)


@router.get("/jobs/{job_id}", responses=responses(404))
def show_job(caller: Reader, job_id: RecordId) -> wire.Job:
    """Show a job, its attempts and renders, and why it is where it is."""
    return caller.service.job(job_id)


@router.post("/jobs/{job_id}/cancel", responses=responses(404, 409))
def cancel_job(caller: Submitter, job_id: RecordId) -> wire.Job:
    """Cancel a job: at once if it waits, within one sampling step if it runs. Another one's needs the scope
    admin."""
    caller.require_own(job_id)
    return caller.service.cancel(job_id)


@router.post("/jobs/{job_id}/retry", responses=responses(404, 409))
def retry_job(caller: Submitter, job_id: RecordId) -> wire.Job:
    """Queue a failed or cancelled job again. Another one's needs the scope admin."""
    caller.require_own(job_id)
    return caller.service.retry(job_id)


@router.get("/jobs/{job_id}/preview", response_class=Response, responses={**responses(404), **_JPEG})
def job_preview(
    caller: Reader,
    job_id: RecordId,
    if_none_match: IfNoneMatch = None,
    step: Annotated[int | None, Query(ge=0, description="Ignored; it keeps addresses apart.")] = None,
) -> Response:
    """A small picture of what is being sampled, of its last step that had one."""
    del step
    at, jpeg = caller.service.preview(job_id)
    return kept(jpeg, "image/jpeg", f'"{job_id}-{at}"', if_none_match, forever=False)


async def _one(caller: Reader, job_id: RecordId, last_event_id: LastEventId = None) -> Subscription:
    await to_thread.run_sync(caller.service.owner, job_id)
    wanted = Subscription(caller.holder.token_id, job_id=job_id)
    caller.server.hub.check_room(wanted, last_event_id)
    return wanted


async def _all(caller: Reader, last_event_id: LastEventId = None) -> Subscription:
    wanted = Subscription(caller.holder.token_id, requester=caller.holder.requester)
    caller.server.hub.check_room(wanted, last_event_id)
    return wanted


@router.get(
    "/jobs/{job_id}/events",
    response_class=StreamingResponse,
    responses={**responses(404), **_STREAM},
    description=f"What happens to one job, until it has ended. {_EVENTS}",
)
async def job_events(
    caller: Reader, wanted: Annotated[Subscription, Depends(_one)], last_event_id: LastEventId = None
) -> StreamingResponse:
    """What happens to one job, until it has ended."""
    return _stream(caller.server.hub.listen(wanted, last_event_id))


@router.get(
    "/events",
    response_class=StreamingResponse,
    responses=_STREAM,
    description=f"What happens to all jobs of the token's requester. {_EVENTS}",
)
async def all_events(
    caller: Reader, wanted: Annotated[Subscription, Depends(_all)], last_event_id: LastEventId = None
) -> StreamingResponse:
    """What happens to all jobs of the token's requester."""
    return _stream(caller.server.hub.listen(wanted, last_event_id))


def _stream(events: AsyncIterator[bytes]) -> StreamingResponse:
    # X-Accel-Buffering: nginx hands events on at once.
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    return StreamingResponse(events, media_type="text/event-stream", headers=headers)
