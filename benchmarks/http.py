"""The HTTP API with 100,000 jobs queued on PostgreSQL: submitting, and 200 listeners to events."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx
import psutil
from sqlalchemy import text

from benchmarks import queue
from benchmarks.servers import Servers
from mfgviz import jobs, tokens
from mfgviz.database import Database
from mfgviz.jobs import Claimant
from mfgviz.live import Live, Told
from mfgviz.local import environment_of, stop_process
from mfgviz.settings import Settings
from mfgviz.tokens import NewToken
from mfgviz.vocabulary import Role

SUBMITS = 600
WARM_UP = 50
LISTENERS = 200
MESSAGES = 500
MESSAGES_PER_S = 20
START_S = 60.0


@dataclass
class Served:
    """`mfgviz serve` as a process of its own, and a token for it."""

    url: str
    token: str
    process: subprocess.Popen[bytes]

    @property
    def memory_mb(self) -> float:
        """What the process holds."""
        return psutil.Process(self.process.pid).memory_info().rss / 2**20


def run(servers: Servers) -> dict[str, float]:
    """Latency of a submit in ms; events lost, their delay in ms, and the server's growth in MB."""
    db = servers.fresh_database()
    try:
        revision_ids = queue._fill(db)
        queue._queue_many(db, revision_ids)
        settings = Settings(
            data_dir=servers.path / "http",
            database_url=db.url,
            broker_url=servers.redis_url,
            blob_url=(servers.path / "blobs").as_uri(),
            requester="bench",
            requests_per_minute=1_000_000,
        )
        with _serve(settings, db) as served:
            return {**_submits(served), **_listeners(served, settings, db)}
    finally:
        db.dispose()


@contextmanager
def _serve(settings: Settings, db: Database) -> Iterator[Served]:
    with db.begin() as session:
        _, secret = tokens.create_token(session, NewToken("bench", "bench", Role.ADMIN), "bench")
    process = subprocess.Popen(
        [sys.executable, "-m", "mfgviz.cli", "serve", "--port", "0", "--json"],
        env={**os.environ, **environment_of(settings)},
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        url = json.loads(process.stdout.readline())["api"]
        deadline = time.monotonic() + START_S
        while True:
            try:
                httpx.get(f"{url}/healthz").raise_for_status()
                break
            except httpx.HTTPError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield Served(url, secret, process)
    finally:
        stop_process(process, 20)


def _submits(served: Served) -> dict[str, float]:
    """One request after another over one connection, each for a new picture, each with a key."""
    took_ms = []
    headers = {"Authorization": f"Bearer {served.token}"}
    with httpx.Client(base_url=served.url, headers=headers) as client:
        for number in range(WARM_UP + SUBMITS):
            body = {"revision": f"PN-{number % queue.PARTS:05d}@A", "prompt": "{material}", "seed": number}
            started = time.perf_counter()
            answer = client.post("/api/v1/jobs", json=body, headers={"Idempotency-Key": uuid.uuid4().hex})
            took_ms.append((time.perf_counter() - started) * 1000)
            assert answer.status_code == 201, answer.text
    took_ms = sorted(took_ms[WARM_UP:])
    return {
        "http_submit_p50_ms": took_ms[len(took_ms) // 2],
        "http_submit_p99_ms": took_ms[int(len(took_ms) * 0.99)],
    }


def _listeners(served: Served, settings: Settings, db: Database) -> dict[str, float]:
    """200 clients listen to one requester's jobs while a worker tells of 500 steps, 20 a second."""
    with db.begin() as session:
        session.execute(text("UPDATE render_jobs SET priority = 20 WHERE requester = 'bench'"))
    claim = jobs.claim(db, Claimant("bench:1", max_images=1, lease_s=3600))
    assert claim is not None
    assert claim.jobs[0].requester == "bench"
    return asyncio.run(_listen(served, Live(settings), claim.jobs[0].id))


async def _listen(served: Served, live: Live, job_id: int) -> dict[str, float]:
    heard = [0] * LISTENERS
    delays_ms: list[float] = []
    sent_at: dict[int, float] = {}
    ready, done = asyncio.Semaphore(0), asyncio.Event()
    headers = {"Authorization": f"Bearer {served.token}"}
    limits = httpx.Limits(max_connections=None)

    async def listener(number: int, client: httpx.AsyncClient) -> None:
        async with client.stream("GET", "/api/v1/events", timeout=60) as answer:
            expected = 1
            async for line in answer.aiter_lines():
                if line.startswith(": mfgviz"):
                    ready.release()
                if not line.startswith("data: "):
                    continue
                event = json.loads(line[6:])
                if event["job"] == job_id and event["step"] == expected:
                    heard[number] = expected
                    if number % 20 == 0:
                        delays_ms.append((time.perf_counter() - sent_at[expected]) * 1000)
                    expected += 1
                if expected > MESSAGES or done.is_set():
                    return

    async def worker(first: int, last: int) -> None:
        for step in range(first, last + 1):
            sent_at[step] = time.perf_counter()
            await asyncio.to_thread(live.tell, [Told(job_id, "bench", step, MESSAGES)])
            await asyncio.sleep(1 / MESSAGES_PER_S)

    async with httpx.AsyncClient(base_url=served.url, headers=headers, limits=limits) as client:
        tasks = [asyncio.create_task(listener(number, client)) for number in range(LISTENERS)]
        for _ in range(LISTENERS):
            await asyncio.wait_for(ready.acquire(), 60)
        await asyncio.sleep(2)
        await worker(1, MESSAGES // 2)
        half_mb = served.memory_mb  # all connections have had their buffers by now
        await worker(MESSAGES // 2 + 1, MESSAGES)
        await asyncio.wait(tasks, timeout=60)
        done.set()
        after_mb = served.memory_mb
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    delays_ms.sort()
    return {
        "events_sent": float(LISTENERS * MESSAGES),
        "events_lost": float(LISTENERS * MESSAGES - sum(heard)),
        "event_delay_p95_ms": delays_ms[int(len(delays_ms) * 0.95)] if delays_ms else float("nan"),
        "server_growth_mb": after_mb - half_mb,
    }
