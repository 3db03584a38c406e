"""Server-sent events: what happens to jobs, as it happens.

One `Hub` a server process. It reads the stream that workers tell their progress to (`mfgviz.live`) and looks
at the rows: at once where a message says that one has moved, and once a second for all jobs that somebody
watches, so that nothing depends on a message. An event is where a job stands, never a difference, so one
that comes twice does no harm.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from anyio import CapacityLimiter, to_thread
from sqlalchemy import select

from mfgviz import wire
from mfgviz.errors import InvalidInputError, MfgvizError, TooManyRequestsError
from mfgviz.jobs.queries import IS_UNFINISHED, position_of
from mfgviz.jobs.standing import Standing, standings
from mfgviz.live import STREAM, Told, connect
from mfgviz.masking import mask_text
from mfgviz.records import RenderJob
from mfgviz.runtime import Runtime
from mfgviz.vocabulary import FINAL_STATES

log = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
POSITIONS_EVERY_S = 2.0
POSITIONS_AT_ONCE = 50
QUEUE_EVENTS = 1024
STREAMS_A_TOKEN = 256
JOBS_A_REQUESTER = 500
READ_BLOCK_MS = 1000
KEEP_ALIVE_S = 15.0
READ_AT_ONCE = 500
AGAIN_S = 1.0
CLIENT_RETRY_MS = 2000
EVENT_ID = re.compile(r"(\d{1,15})-(\d{1,15})")
_FINAL = {state.value for state in FINAL_STATES}


@dataclass(slots=True, eq=False)
class Subscription:
    """One listener: of one job, or of all jobs of a requester."""

    token_id: int
    job_id: int | None = None
    requester: str | None = None
    queue: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)
    last: dict[int, wire.JobEvent] = field(default_factory=dict)
    overrun: bool = False

    def wants(self, told: Told) -> bool:
        """Whether a message is about a job that is listened for."""
        return told.job == self.job_id or told.requester == self.requester

    def put(self, event: bytes) -> None:
        """Queue an event. Who reads too slowly is cut off, and reads on from its last event's id."""
        if self.overrun:
            return
        self.overrun = self.queue.qsize() >= QUEUE_EVENTS
        self.queue.put_nowait(None if self.overrun else event)

    def show(self, now: wire.JobEvent, event_id: str, *, always: bool) -> None:
        """Queue where a job stands, if that is news or `always`."""
        before = self.last.get(now.job)
        if now.state == "queued" and now.position is None and before is not None:
            now = now.model_copy(update={"position": before.position})
        if not always and before == now:
            return
        self.last[now.job] = now
        self.put(encode(now, event_id))
        if now.state in _FINAL:
            if self.job_id is not None:
                self.queue.put_nowait(None)
            self._forget_finished()

    def _forget_finished(self) -> None:
        finished = [job_id for job_id, event in self.last.items() if event.state in _FINAL]
        for job_id in finished[:-JOBS_A_REQUESTER]:
            del self.last[job_id]

    def step(self, told: Told, event_id: str) -> None:
        """Queue a step of a job that is known to run, and its preview."""
        before = self.last.get(told.job)
        if before is None or before.state in _FINAL:
            return
        changes = {"state": "running", "step": told.step, "total_steps": told.total_steps, "position": None}
        now = before.model_copy(update=changes)
        self.last[told.job] = now
        self.put(encode(now, event_id))
        if told.preview:
            shown = wire.PreviewEvent(
                job=told.job,
                step=told.step or 0,
                total_steps=told.total_steps or 0,
                url=f"/api/v1/jobs/{told.job}/preview?step={told.step}",
            )
            self.put(encode(shown, event_id))


class Hub:
    """Reads what is told and hands it to those who listen. Lives in the server's event loop."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.url = runtime.settings.live_redis_url
        self.last_id = f"{int(time.time() * 1000)}-0"
        self._subscriptions: set[Subscription] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._limiter: CapacityLimiter | None = None
        self._connected = False
        self._positions_at = 0.0

    async def start(self) -> None:
        """Begin to read and to look."""
        self._limiter = CapacityLimiter(4)
        self._tasks = [asyncio.create_task(self._look())]
        if self.url is not None:
            self._tasks.append(asyncio.create_task(self._read()))

    def release(self) -> None:
        """Let everybody go: their streams end."""
        for one in self._subscriptions:
            one.queue.put_nowait(None)

    async def stop(self) -> None:
        """Read and look no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # -- listening ----------------------------------------------------------------------------------------
    async def listen(self, wanted: Subscription, last_event_id: str | None) -> AsyncIterator[bytes]:
        """Where the jobs stand now, what has happened since that event, and from then on what happens.

        The stream of one job ends when the job does.
        """
        since = _moment(last_event_id) if last_event_id else None
        self._subscriptions.add(wanted)
        try:
            yield f": mfgviz\nretry: {CLIENT_RETRY_MS}\n\n".encode()
            for standing in await self._in_thread(self._first, wanted, since):
                if standing.event.job not in wanted.last:  # what was heard meanwhile is newer
                    wanted.show(standing.event, self.last_id, always=True)
            more = True
            while more:
                try:
                    event = await asyncio.wait_for(wanted.queue.get(), KEEP_ALIVE_S)
                except TimeoutError:
                    yield b": keep-alive\n\n"
                    continue
                waiting = [event]
                while not wanted.queue.empty():
                    waiting.append(wanted.queue.get_nowait())
                more = None not in waiting
                yield b"".join(one for one in waiting if one is not None)
        finally:
            self._subscriptions.discard(wanted)

    def check_room(self, wanted: Subscription, last_event_id: str | None) -> None:
        """Refuse before the stream begins. Raises TooManyRequestsError, InvalidInputError."""
        mine = sum(one.token_id == wanted.token_id for one in self._subscriptions)
        if mine >= STREAMS_A_TOKEN:
            raise TooManyRequestsError(
                f"The token has {mine} event streams open; {STREAMS_A_TOKEN} are allowed.", retry_after_s=10
            )
        if last_event_id:
            _moment(last_event_id)

    def _first(self, wanted: Subscription, since: datetime | None) -> list[Standing]:
        """The jobs to begin with: the one, or those that wait or run, and those that ended since."""
        with self.runtime.db.read() as session:
            if wanted.job_id is not None:
                return standings(session, [wanted.job_id])
            mine = select(RenderJob.id).where(RenderJob.requester == wanted.requester)
            unfinished = mine.where(IS_UNFINISHED).order_by(RenderJob.id)
            ids = list(session.scalars(unfinished.limit(JOBS_A_REQUESTER)))
            if since is not None:
                ended = mine.where(RenderJob.finished_at >= since).order_by(RenderJob.finished_at)
                ids += session.scalars(ended.limit(JOBS_A_REQUESTER))
            return standings(session, ids)

    # -- the stream of messages ----------------------------------------------------------------------------
    async def _read(self) -> None:
        import redis.asyncio
        from redis.exceptions import RedisError

        assert self.url is not None
        while True:
            client = connect(redis.asyncio, self.url, socket_timeout=READ_BLOCK_MS / 1000 + 5)
            try:
                await self._rewind(client)
                self._connected = True
                while True:
                    got = await client.xread({STREAM: self.last_id}, count=READ_AT_ONCE, block=READ_BLOCK_MS)
                    for _, messages in got or ():
                        await self._take(messages)
                    if not got:
                        await self._rewind(client)
            except (RedisError, OSError) as error:
                if self._connected:
                    log.warning("live progress is not heard: %s", mask_text(str(error), self.url))
                self._connected = False
            except MfgvizError as error:
                log.warning("%s", error.message)
            finally:
                with suppress(RedisError, OSError):
                    await client.aclose()
            await asyncio.sleep(AGAIN_S)

    async def _rewind(self, client: Any) -> None:
        """Where the stream ends before the place to read on from: it was flushed, or its clock is behind."""
        newest = await client.xrevrange(STREAM, count=1)
        if newest and _order(newest[0][0].decode()) < _order(self.last_id):
            self.last_id = newest[0][0].decode()

    async def _take(self, messages: list[tuple[bytes, dict[bytes, bytes]]]) -> None:
        """Hand on one batch of messages: steps as they are, moves as the rows say."""
        told = [(key.decode(), Told.read(fields)) for key, fields in messages]
        watched = [(key, one) for key, one in told if one is not None and self._watchers(one)]
        # Where a job moved more than once, its row is shown at the last of these messages.
        moves = {one.job: key for key, one in watched if one.step is None}
        strange = {one.job for _, one in watched if any(one.job not in s.last for s in self._watchers(one))}
        rows = await self._standings(moves.keys() | strange)
        for key, one in watched:
            self.last_id = key
            standing = rows.get(one.job)
            for subscription in self._watchers(one):
                if one.step is not None:
                    if one.job not in subscription.last and standing is not None:
                        subscription.last[one.job] = standing.event
                    subscription.step(one, key)
                elif standing is not None and moves[one.job] == key:
                    subscription.show(standing.event, key, always=True)
        self.last_id = told[-1][0]

    def _watchers(self, told: Told) -> list[Subscription]:
        return [one for one in self._subscriptions if one.wants(told)]

    # -- the rows -----------------------------------------------------------------------------------------
    async def _look(self) -> None:
        """Show what the rows say of all jobs that are watched, whether or not anybody told of it."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if not self._subscriptions:
                continue
            try:
                await self._look_once()
            except MfgvizError as error:
                log.warning("%s", error.message)

    async def _look_once(self) -> None:
        began = time.monotonic()
        with_positions = began >= self._positions_at
        listeners = list(self._subscriptions)
        ids = {one.job_id for one in listeners if one.job_id is not None}
        ids |= {k for one in listeners for k, event in one.last.items() if event.state not in _FINAL}
        requesters = {one.requester for one in listeners if one.requester is not None}
        rows = await self._in_thread(self._watched_rows, ids, requesters, with_positions)
        if with_positions:
            # Counting over a long queue must not become the server's main work.
            self._positions_at = began + max(POSITIONS_EVERY_S, 20 * (time.monotonic() - began))
        if not self._connected:
            self.last_id = f"{int(time.time() * 1000)}-0"
        for standing in rows:
            for one in listeners:
                if one in self._subscriptions and one.wants(Told(standing.event.job, standing.requester)):
                    self._catch_up(one, standing.event)

    def _catch_up(self, subscription: Subscription, now: wire.JobEvent) -> None:
        before = subscription.last.get(now.job)
        if before is not None and before.state == now.state == "running" and self._connected:
            return  # its steps are told
        subscription.show(now, self.last_id, always=False)

    def _watched_rows(
        self, ids: Collection[int], requesters: Collection[str], with_positions: bool
    ) -> list[Standing]:
        with self.runtime.db.read() as session:
            wanted = set(ids)
            for name in requesters:
                mine = select(RenderJob.id).where(RenderJob.requester == name)
                mine = mine.where(IS_UNFINISHED).order_by(RenderJob.id)
                wanted |= set(session.scalars(mine.limit(JOBS_A_REQUESTER)))
            found = standings(session, wanted)
            if not with_positions:
                return found
            queued = [one.event.job for one in found if one.event.state == "queued"][:POSITIONS_AT_ONCE]
            at = {job_id: position_of(session, job_id) for job_id in queued}
        return [
            Standing(one.requester, one.event.model_copy(update={"position": at[one.event.job]}))
            if one.event.job in at
            else one
            for one in found
        ]

    async def _standings(self, ids: Collection[int]) -> dict[int, Standing]:
        if not ids:
            return {}

        def read() -> list[Standing]:
            with self.runtime.db.read() as session:
                return standings(session, ids)

        return {one.event.job: one for one in await self._in_thread(read)}

    async def _in_thread(self, function: Any, *arguments: Any) -> Any:
        return await to_thread.run_sync(function, *arguments, limiter=self._limiter)


_encoded: tuple[wire.JobEvent | wire.PreviewEvent, str, bytes] | None = None


def encode(event: wire.JobEvent | wire.PreviewEvent, event_id: str) -> bytes:
    """An event as it is sent (WHATWG HTML, 9.2.5). The same one for many listeners is encoded once."""
    global _encoded  # noqa: PLW0603 - a cache of one, in one event loop
    if _encoded is None or _encoded[1] != event_id or _encoded[0] != event:
        name = "job" if isinstance(event, wire.JobEvent) else "preview"
        text = f"event: {name}\ndata: {event.model_dump_json()}\nid: {event_id}\n\n"
        _encoded = (event, event_id, text.encode())
    return _encoded[2]


def _order(event_id: str) -> tuple[int, int]:
    first, _, second = event_id.partition("-")
    return int(first), int(second or 0)


def _moment(event_id: str) -> datetime:
    found = EVENT_ID.fullmatch(event_id)
    if found is None:
        raise InvalidInputError(
            f"The Last-Event-ID {event_id[:80]!r} is none of ours.", remedy="Give back the id of an event."
        )
    try:
        return datetime.fromtimestamp(int(found[1]) / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return datetime.now(UTC)
