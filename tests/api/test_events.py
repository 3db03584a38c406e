"""Server-sent events: where jobs stand, as it happens, whatever is lost on the way."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace

import httpx
import pytest

from mfgviz import jobs
from mfgviz.client import Client
from mfgviz.client.connection import parse_events
from mfgviz.errors import JobNotFoundError, NoPreviewError
from mfgviz.jobs import Claimant, Failure
from mfgviz.live import Live, Told
from mfgviz.runtime import Runtime
from mfgviz.settings import Settings
from mfgviz.wire import JobBody, JobEvent, PreviewEvent
from tests.api.conftest import ClientOf
from tests.api.test_resources import pictures, render_one
from tests.support.http import HttpServer, client_of, make_token
from tests.support.servers import Redis
from tests.support.workers import eventually

WISH = JobBody(revision="BRK-1@A", prompt="steel")
Event = JobEvent | PreviewEvent


class Listener:
    """A client that listens in a thread of its own, and what it has heard."""

    def __init__(self, events: Iterator[Event]) -> None:
        self.heard: list[Event] = []
        self.ended = threading.Event()
        self._thread = threading.Thread(target=self._listen, args=[events], daemon=True)
        self._thread.start()

    def _listen(self, events: Iterator[Event]) -> None:
        with suppress(RuntimeError):  # the client is closed: the test is over
            for event in events:
                self.heard.append(event)
            self.ended.set()

    @property
    def jobs(self) -> list[JobEvent]:
        return [event for event in self.heard if isinstance(event, JobEvent)]

    def hears(self, state: str, step: int | None = None) -> None:
        def look() -> bool:
            return any(e.state == state and step in (None, e.step) for e in self.jobs)

        eventually(look, 20, f"{state} {step}; heard {self.heard}")


def submit(client: Client) -> int:
    return client.submit(WISH.model_copy(update={"force": True})).items[0].job


def test_a_job_tells_where_it_stands_until_it_ends(engineer: Client, runtime: Runtime) -> None:
    job_id = submit(engineer)
    listener = Listener(engineer.job_events(job_id))
    listener.hears("queued")
    claim = jobs.claim(runtime.db, Claimant("host:1"))
    assert claim is not None
    live = Live(runtime.settings)
    live.tell([Told(job_id, "engineer")])
    listener.hears("running")
    live.put_preview(job_id, 2, b"\xff\xd8 small")
    for step in (1, 2, 3, 4):
        live.tell([Told(job_id, "engineer", step, 4, preview=step == 2)])
    listener.hears("running", 4)
    (shown,) = [event for event in listener.heard if isinstance(event, PreviewEvent)]
    assert (shown.step, shown.url) == (2, f"/api/v1/jobs/{job_id}/preview?step=2")
    assert engineer.preview(job_id) == (2, b"\xff\xd8 small")
    jobs.complete(runtime.db, claim, job_id, pictures(runtime, claim.jobs[0]))
    live.tell([Told(job_id, "engineer")])
    assert listener.ended.wait(20)
    steps = [event.step for event in listener.jobs if event.state == "running"]
    assert steps[-4:] == [1, 2, 3, 4]  # each, once, in order
    assert (listener.jobs[-1].state, len(listener.jobs[-1].renders)) == ("succeeded", 1)
    live.drop_preview([job_id])
    with pytest.raises(NoPreviewError):
        engineer.preview(job_id)
    with pytest.raises(JobNotFoundError):
        engineer.preview(job_id + 1)
    live.close()


def test_a_requester_hears_of_all_their_jobs_and_no_others(client_for: ClientOf, runtime: Runtime) -> None:
    ann, bob = client_for("engineer", "ann"), client_for("engineer", "bob")
    first = submit(ann)
    listener = Listener(ann.events())
    listener.hears("queued")
    other, second = submit(bob), submit(ann)
    eventually(lambda: any(event.job == second for event in listener.jobs), 20, "the new job")
    eventually(lambda: any(event.position == 1 for event in listener.jobs), 20, "a position")
    ann.cancel(second)
    listener.hears("cancelled")
    assert {event.job for event in listener.jobs} == {first, second}
    assert other not in {event.job for event in listener.jobs}


def test_nothing_is_missed_where_nobody_tells(
    engineer: Client, runtime: Runtime, redis_server: Redis
) -> None:
    job_id = submit(engineer)
    listener = Listener(engineer.job_events(job_id))
    listener.hears("queued")
    redis_server.stop()
    claim = jobs.claim(runtime.db, Claimant("host:1"))
    assert claim is not None
    jobs.heartbeat(runtime.db, claim, 3, 4)
    listener.hears("running", 3)  # from the row alone
    redis_server.start()
    jobs.fail(runtime.db, claim, job_id, Failure("broken-image", "It was black.", retryable=False))
    assert listener.ended.wait(20)
    last = listener.jobs[-1]
    assert (last.state, last.error and last.error.code) == ("failed", "broken-image")


def test_without_a_redis_events_come_from_the_rows(settings: Settings, runtime: Runtime) -> None:
    plain = replace(settings, broker_url="amqp://nowhere.invalid//")
    assert plain.live_redis_url is None
    running = HttpServer(plain).start()
    try:
        with client_of(running, make_token(runtime, "engineer")) as client:
            with runtime.db.begin() as session:
                from mfgviz.intake import Ask, Lookup, prepare

                ask = Ask(revision="BRK-1@A", prompt="brass")
                (one,) = jobs.submit(session, prepare(Lookup(session, "studio"), ask), "engineer")
            listener = Listener(client.job_events(one.job_id))
            listener.hears("queued")
            render_one(runtime)
            assert listener.ended.wait(20)
            assert listener.jobs[-1].state == "succeeded"
    finally:
        running.stop()


def test_a_flushed_redis_goes_on_telling(engineer: Client, runtime: Runtime, redis_server: Redis) -> None:
    job_id = submit(engineer)
    listener = Listener(engineer.job_events(job_id))
    listener.hears("queued")
    assert jobs.claim(runtime.db, Claimant("host:1")) is not None
    live = Live(runtime.settings)
    live.tell([Told(job_id, "engineer", 1, 4)])
    listener.hears("running", 1)
    redis_server.flush()

    def again() -> bool:
        live.tell([Told(job_id, "engineer", 2, 4)])
        return any(event.step == 2 for event in listener.jobs)

    eventually(again, 20, "a step after the flush")
    live.close()


def test_who_comes_back_hears_what_has_ended_meanwhile(
    engineer: Client, server: HttpServer, runtime: Runtime
) -> None:
    first, second = submit(engineer), submit(engineer)
    with engineer._http.stream("GET", "/events") as answer:
        events = parse_events(answer.iter_lines())
        seen = [next(events) for _ in range(2)]
    last_id = seen[-1][2]
    assert last_id
    render_one(runtime)
    engineer.cancel(second)
    with engineer._http.stream("GET", "/events", headers={"Last-Event-ID": last_id}) as answer:
        events = parse_events(answer.iter_lines())
        states = {}
        for _ in range(2):
            event = JobEvent.model_validate_json(next(events)[1])
            states[event.job] = event.state
    assert states == {first: "succeeded", second: "cancelled"}
    with engineer._http.stream("GET", "/events") as answer:  # without the id, only what is open
        assert answer.headers["content-type"].startswith("text/event-stream")


def test_a_server_that_starts_again_is_found_again(
    engineer: Client, server: HttpServer, runtime: Runtime
) -> None:
    job_id = submit(engineer)
    listener = Listener(engineer.job_events(job_id))
    listener.hears("queued")
    server.stop()
    render_one(runtime)
    server.start()
    assert listener.ended.wait(30)
    assert listener.jobs[-1].state == "succeeded"


@pytest.mark.parametrize("last_id", ["x", "1", "-1-1", "1-1-1", "9" * 40 + "-0"])
def test_an_event_id_that_is_none_is_refused(last_id: str, raw: httpx.Client) -> None:
    answer = raw.get("/events", headers={"Last-Event-ID": last_id})
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_job_that_is_not_there_has_no_stream(raw: httpx.Client) -> None:
    answer = raw.get("/jobs/99/events")
    assert (answer.status_code, answer.json()["code"]) == (404, "job-not-found")


def test_garbage_in_the_stream_stops_nobody(engineer: Client, runtime: Runtime, redis_server: Redis) -> None:
    import redis

    from mfgviz.live import STREAM

    job_id = submit(engineer)
    listener = Listener(engineer.job_events(job_id))
    listener.hears("queued")
    with redis.Redis(unix_socket_path=str(redis_server.socket)) as client:
        for content in (
            b"",
            b"[]",
            b"null",
            b'{"job": "x"}',
            b'{"job": 1}',
            b"\xff\xfe",
            b'{"job":1,"step":[]}',
        ):
            client.xadd(STREAM, {"d": content})
        client.xadd(STREAM, {"other": "field"})
    assert jobs.claim(runtime.db, Claimant("host:1")) is not None
    live = Live(runtime.settings)
    live.tell([Told(job_id, "engineer", 1, 4)])
    listener.hears("running", 1)
    live.close()
