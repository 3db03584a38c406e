"""Anything may lie in the broker: it runs nothing, ends no worker, and is not kept."""

from __future__ import annotations

import base64
import bz2
import json
import lzma
import pickle
import re
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis as redis_client
from celery.contrib.testing.worker import start_worker as start_worker_here
from kombu import compression

from mfgviz import jobs
from mfgviz.queue import TASK_RENDER, make_celery
from mfgviz.runtime import Runtime
from mfgviz.settings import Settings
from mfgviz.vocabulary import JobState
from tests.integration.conftest import StartWorker
from tests.integration.test_crashes import ASK, submit
from tests.support.servers import Redis
from tests.support.workers import WorkerProcess, eventually
from workers.messages import ForgedMessageError, doorbell_in, made_anew

PICKLED = "application/x-python-serialize"
INJECTED = "x\nINJECTED 2026-11-28 ERROR"
BOMB_BYTES = 2**28


class _Touch:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self._path,))


def forged(
    body: bytes | str = b"[[1], {}, {}]",
    content_type: str = "application/json",
    changed: dict[str, object] | None = None,
    **headers: object,
) -> str:
    """A message as Celery would put it into Redis, but for what is said."""
    raw = body.encode() if isinstance(body, str) else body
    header = {"lang": "py", "task": TASK_RENDER, "id": "x", "argsrepr": "", "kwargsrepr": "", **headers}
    properties = {"correlation_id": "x", "delivery_mode": 2, "delivery_tag": "t", "body_encoding": "base64",
                  "delivery_info": {"exchange": "", "routing_key": "gpu"}, "priority": 0}  # fmt: skip
    whole = {"body": base64.b64encode(raw).decode(), "content-encoding": "utf-8", "headers": header,
             "content-type": content_type, "properties": properties}  # fmt: skip
    return json.dumps({**whole, **(changed or {})})


def no_messages() -> dict[str, bytes | str]:
    """Bytes that are not built as a message."""
    return {
        "nothing": b"",
        "words": b"not json at all",
        "no text": b"\xff\xfe\x00\x80",
        "a list": b"[]",
        "null": b"null",
        "a number": b"42",
        "an empty object": b"{}",
        "deep": b"[" * 30_000,
        "very deep": b'{"a":' * 2_000_000,
        "a long number": b"9" * 30_000,
        "ten megabytes": b'"' + b"a" * 10_000_000 + b'"',
        "a type of kombu's": b'{"__type__": "decimal", "__value__": "1e999999999"}',
        "an unknown type": b'{"__type__": "os.system", "__value__": "id"}',
        "no properties": forged(changed={"properties": None}),
        "properties that are a list": forged(changed={"properties": [1, 2]}),
        "no delivery tag": forged(changed={"properties": {"body_encoding": "base64"}}),
        "a body that is no base64": forged(changed={"body": "%%%%"}),
        "a body that is a list": forged(changed={"body": [1]}),
        "headers that are a list": forged(changed={"headers": ["task"]}),
        "no headers": forged(changed={"headers": None}),
        "an encoding there is not": forged(changed={"content-encoding": "klingon"}),
    }


def wrong_messages(trace: Path) -> dict[str, str]:
    """Messages that ask for something else, or in another way."""
    payload = pickle.dumps(_Touch(trace))
    shell = f"touch {trace}"
    embedded = {"callbacks": [{"task": "os.system", "args": [shell]}], "errbacks": [], "chord": None}
    return {
        "a pickle": forged(payload, PICKLED),
        "a pickle by another name": forged(payload, "application/pickle"),
        "a pickle that says it is JSON": forged(payload),
        "YAML": forged(f"!!python/object/apply:os.system ['{shell}']", "application/x-yaml"),
        "msgpack": forged(b"\x93\x91\x01\x80\x80", "application/x-msgpack"),
        "no content type": forged(changed={"content-type": None}),
        "another program": forged(json.dumps([[shell], {}, {}]), task="os.system"),
        "a task of Celery's": forged(json.dumps([[{"task": "os.system"}, [[shell]]], {}]), task="celery.map"),
        "a chord of Celery's": forged(task="celery.chord"),
        "a task with a new line": forged(task=INJECTED),
        "a task that is a list": forged(task=[TASK_RENDER]),
        "no task": forged(task=None),
        "a path": forged('[["../../etc/passwd"], {}, {}]'),
        "a number of 65 bits": forged(f"[[{2**64}], {{}}, {{}}]"),
        "a number below zero": forged("[[-1], {}, {}]"),
        "a broken number": forged("[[1.5], {}, {}]"),
        "not a number": forged("[[NaN], {}, {}]"),
        "true": forged("[[true], {}, {}]"),
        "two numbers": forged("[[1, 2], {}, {}]"),
        "no number": forged("[[], {}, {}]"),
        "a keyword": forged('[[1], {"self": 1}, {}]'),
        "another argument": forged('[[{"job_id": 1}], {}, {}]'),
        "deep arguments": forged("[" * 20_000),
        "ten megabytes of argument": forged('[["' + "a" * 10_000_000 + '"], {}, {}]'),
        "an old protocol": forged(json.dumps({"task": "os.system", "id": "1", "args": [shell]})),
        "callbacks": forged(json.dumps([[1], {}, embedded])),
        "a date far away": forged(eta="2099-01-01T00:00:00+00:00"),
        "a date that is none": forged(eta="tomorrow"),
        "long past": forged(expires="1999-01-01T00:00:00+00:00"),
        "limits": forged(timelimit=[0.001, 0.001]),
        "names for the log": forged(id=INJECTED, shadow=INJECTED, origin=INJECTED, argsrepr=INJECTED),
        "another root": forged(root_id=["x"], parent_id={"a": 1}, group="g", group_index=-1, retries=10**30),
        "an answer to somewhere": forged(reply_to="celery", stamps={"a": [INJECTED]}),
        "back to nowhere": forged(changed={"properties": {"delivery_tag": "t", "body_encoding": "base64",
                                   "delivery_info": {"exchange": "nowhere", "routing_key": "no"}}}),
    }  # fmt: skip


# Of these, the id is used and nothing else.
OURS_IN_DISGUISE = {
    "callbacks", "a date far away", "a date that is none", "long past", "limits", "names for the log",
    "another root", "an answer to somewhere", "back to nowhere", "an encoding there is not",
    "no delivery tag", "no properties", "properties that are a list",
}  # fmt: skip


def bombs() -> dict[str, str]:
    """A few bytes that would unpack to many."""
    zeros = bytes(BOMB_BYTES)
    return {
        "zlib": forged(zlib.compress(zeros[: 2**25], 9), compression="application/x-gzip"),
        "bzip2": forged(bz2.compress(zeros), compression="bzip2"),
        "lzma": forged(lzma.compress(zeros), compression="lzma"),
        "unknown": forged(compression="rar"),
    }


def peak_memory_bytes(worker: WorkerProcess) -> int:
    assert worker.process is not None
    status = Path(f"/proc/{worker.process.pid}/status").read_text(encoding="ascii")
    return int(re.findall(r"VmHWM:\s+(\d+) kB", status)[0]) * 1024


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """The rough model renders at once."""
    return replace(settings, default_model="rough")


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_forged_messages_run_nothing_end_no_worker_and_are_not_kept(
    runtime: Runtime,
    rough: dict[str, str],
    redis_server: Redis,
    start_worker: StartWorker,
    tmp_path: Path,
) -> None:
    trace = tmp_path / "was-run"
    with redis_client.Redis(unix_socket_path=str(redis_server.socket)) as client:
        for number, junk in enumerate(
            (b"junk", b"[1]", forged(task="os.system"), b'[{"headers": 1}, "", "gpu"]')
        ):
            client.hset("mfgviz:unacked", f"forged{number}", junk)
            client.zadd("mfgviz:unacked_index", {f"forged{number}": 0})
        worker = start_worker(environment=rough)
        (first,) = submit(runtime, ASK)
        has_succeeded(runtime, first, "before all")
        eventually(
            lambda: not client.zcard("mfgviz:unacked_index"), 60, "the end of what was forged as taken"
        )
        before = peak_memory_bytes(worker)
        seed = 0
        for name, text in {**no_messages(), **wrong_messages(trace), **bombs()}.items():
            client.lpush("mfgviz:gpu", text)
            (job_id,) = submit(runtime, replace(ASK, seed=(seed := seed + 1)))
            has_succeeded(runtime, job_id, name)
            assert worker.process is not None
            assert worker.process.poll() is None, name
        client.publish("mfgviz:/0.celery.pidbox", forged(json.dumps({"method": "shutdown", "arguments": {}})))
        assert client.pubsub_channels() == []
        assert client.pubsub_numpat() == 0
        for key in ("gpu", "cpu"):
            eventually(lambda key=key: not client.llen(f"mfgviz:{key}"), 60, f"an empty queue {key}")
        eventually(lambda: not client.hlen("mfgviz:unacked"), 60, "nothing unacknowledged")
        assert peak_memory_bytes(worker) - before < BOMB_BYTES * 3 / 4
    assert not trace.exists()
    thrown_away = worker.log.read_text(encoding="utf-8").count("thrown away: a message")
    refused = {**no_messages(), **wrong_messages(trace)}.keys() - OURS_IN_DISGUISE
    assert thrown_away >= len(refused)
    lines = worker.log.read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("INJECTED")] == []
    assert max(map(len, lines)) < 1000
    assert "Traceback (most recent call last)" not in lines


def has_succeeded(runtime: Runtime, job_id: int, after: str) -> None:
    def is_done() -> bool:
        with runtime.db.read() as session:
            job = jobs.get(session, job_id)
        assert job.state != JobState.FAILED, f"after {after}: {job.error_message}"
        return job.state == JobState.SUCCEEDED

    eventually(is_done, 60, f"the job after {after}")


def test_a_message_of_ours_is_read_and_made_anew() -> None:
    headers, body = made_anew(TASK_RENDER, 7)
    assert doorbell_in(headers, "application/json", body) == (TASK_RENDER, 7)
    assert doorbell_in(headers, "application/json", body.decode()) == (TASK_RENDER, 7)


@pytest.mark.parametrize(
    ("headers", "content_type", "body"),
    [
        (None, "application/json", b"[[1], {}, {}]"),
        ({"task": "os.system"}, "application/json", b"[[1], {}, {}]"),
        ({"task": TASK_RENDER}, PICKLED, b"[[1], {}, {}]"),
        ({"task": TASK_RENDER}, "application/json", None),
        ({"task": TASK_RENDER}, "application/json", b"\xff"),
        ({"task": TASK_RENDER}, "application/json", b"[[true], {}, {}]"),
        ({"task": TASK_RENDER}, "application/json", b"[[1], {}]" + b" " * 2**17),
    ],
)
def test_no_message_of_ours_is_refused(headers: object, content_type: object, body: object) -> None:
    with pytest.raises(ForgedMessageError):
        doorbell_in(headers, content_type, body)


def test_other_brokers_messages_are_read_by_the_same_rules(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """kombu's broker in memory stands for RabbitMQ, which hands on bodies as bytes as well."""
    monkeypatch.setattr(compression, "_decoders", {})  # as `guard` does, for this process is not a worker
    app = make_celery(Settings(data_dir=tmp_path))
    app.conf.update(
        broker_url="memory://",
        broker_transport_options={},
        worker_consumer="workers.messages:Consumer",
        worker_enable_remote_control=False,
    )
    seen: list[tuple[int, object]] = []

    @app.task(name=TASK_RENDER, bind=True)
    def render(self: Any, number: int) -> None:
        seen.append(
            (number, {key: self.request.get(key) for key in ("eta", "callbacks", "reply_to", "shadow")})
        )

    trace = tmp_path / "was-run"
    headers = {"task": TASK_RENDER, "id": "x", "lang": "py"}
    link = [{"task": TASK_RENDER, "args": [66]}]
    messages: list[tuple[bytes, str, dict[str, object]]] = [
        (pickle.dumps(_Touch(trace)), PICKLED, headers),
        (b"[[1], {}, {}]", "application/json", {**headers, "task": "os.system"}),
        (b"[[1], {}, {}]", "application/json", {**headers, "task": INJECTED}),
        (b"not json", "application/json", headers),
        (bz2.compress(b"[[2], {}, {}]"), "application/json", {**headers, "compression": "bzip2"}),
        (b'[["3"], {}, {}]', "application/json", headers),
        (json.dumps([[7], {}, {"callbacks": link}]).encode(), "application/json",
         {**headers, "eta": "2099-01-01T00:00:00", "reply_to": "x", "shadow": INJECTED}),
    ]  # fmt: skip
    with (
        start_worker_here(app, pool="threads", perform_ping_check=False),
        app.connection_for_write() as link_up,
    ):
        producer = link_up.Producer(serializer=None)
        for body, content_type, header in messages:
            producer.publish(
                body, "gpu", headers=header, content_type=content_type, content_encoding="binary"
            )
        eventually(lambda: seen, 60, "the one that is ours")
        app.send_task(TASK_RENDER, args=[8], connection=link_up)
        eventually(lambda: len(seen) > 1, 60, "the one after it")
    nothing = {"eta": None, "callbacks": None, "reply_to": None, "shadow": None}
    assert seen == [(7, nothing), (8, nothing)]
    assert not trace.exists()
