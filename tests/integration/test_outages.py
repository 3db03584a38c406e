"""What is away for a while comes back, and costs nobody anything: database, broker, blobs."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mfgviz import jobs
from mfgviz.database import Database
from mfgviz.errors import DatabaseUnavailableError, StorageUnavailableError
from mfgviz.jobs import Claimant
from mfgviz.queue import TASK_RENDER, Doorbell, make_celery
from mfgviz.runtime import Runtime
from mfgviz.settings import Settings
from mfgviz.storage import BlobStore
from mfgviz.vocabulary import QUEUE_CPU, QUEUE_GPU, AttemptOutcome, JobState
from tests.chaos.proxy import Proxy
from tests.integration.conftest import StartWorker
from tests.integration.test_service import ON_POSTGRESQL, SLOW, reaches, samples_now, state, submit
from tests.integration.test_service import QUICK as WITH_MAPS
from tests.support.servers import Postgres, Redis
from tests.support.workers import eventually
from workers import engine as engine_module
from workers.devices import ModelPool, choose_device
from workers.engine import Engine
from workers.lease import LeaseKeeper

QUICK = replace(WITH_MAPS, mode=SLOW.mode, image=None, sampler="ddim")


@pytest.fixture
def proxy(postgres: Postgres) -> Iterator[Proxy]:
    """The network before the PostgreSQL server."""
    made = Proxy(postgres.socket)
    made.start()
    yield made
    made.close()


@pytest.fixture
def engine(runtime: Runtime) -> Engine:
    """A worker's engine in this process."""
    return Engine(runtime, "test:1", ModelPool(choose_device("cpu")))


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=1m", "mfgviz-test", str(folder)]
    if subprocess.run(words, check=False, capture_output=True).returncode:
        pytest.skip("a file system may not be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def held(engine: Engine, claim: jobs.Claim) -> LeaseKeeper:
    """The claim, kept alive while the engine renders it."""
    return LeaseKeeper(engine._runtime.db, claim, engine._limits, engine.stopping)


def render_next_turn(runtime: Runtime, engine: Engine) -> None:
    """Claim the job as soon as it may be tried again, and render it."""
    claim = eventually(lambda: jobs.claim(runtime.db, Claimant("test:1")), 30, "its next turn")
    engine.run(held(engine, claim))


def fill(disk: Path) -> None:
    """Leave no byte."""
    with (disk / "filler").open("wb", buffering=0) as filler, suppress(OSError):
        while True:
            filler.write(bytes(4096))


# -- the database -----------------------------------------------------------------------------------------
def test_a_database_that_is_silent_counts_as_gone_and_is_asked_anew(postgres: Postgres, proxy: Proxy) -> None:
    with postgres.database() as url:
        name = url.rpartition("/t_")[2].partition("?")[0]
        db = Database(f"postgresql+psycopg://postgres@127.0.0.1:{proxy.port}/t_{name}", timeout_s=2.0)
        assert db.ping()
        proxy.stall()
        with pytest.raises(DatabaseUnavailableError, match=r"no answer within 2 s|timeout"):
            db.ping()
        proxy.heal(forget=True)  # connections there were stay silent
        assert db.ping()
        db.dispose()


def test_a_process_that_vanishes_amid_a_transaction_holds_its_rows_no_longer_than_said(
    postgres: Postgres, proxy: Proxy
) -> None:
    from sqlalchemy import text

    with postgres.database() as url:
        name = url.rpartition("/t_")[2].partition("?")[0]
        vanishing = Database(f"postgresql+psycopg://postgres@127.0.0.1:{proxy.port}/t_{name}", timeout_s=1.0)
        other = Database(url)
        lock = text("SELECT pg_advisory_xact_lock(7)")
        with pytest.raises(DatabaseUnavailableError), vanishing.begin() as session:  # noqa: PT012
            session.execute(lock)
            proxy.stall()
            session.execute(text("SELECT 1"))
        with other.begin() as session:
            session.execute(lock)
        other.dispose()
        vanishing.dispose()
        proxy.heal(forget=True)


# -- the broker -------------------------------------------------------------------------------------------
def test_the_doorbell_counts_what_waits(redis_server: Redis) -> None:
    doorbell = Doorbell(Settings(broker_url=redis_server.url))
    assert doorbell.waiting(QUEUE_GPU) == 0
    doorbell.ring(TASK_RENDER, list(range(10)))
    assert doorbell.waiting(QUEUE_GPU) == 10
    assert doorbell.waiting(QUEUE_CPU) == 0
    redis_server.flush()
    assert doorbell.waiting(QUEUE_GPU) == 0
    doorbell.close()


@ON_POSTGRESQL
def test_sweeps_ring_for_what_is_missing_alone(runtime: Runtime) -> None:
    submit(runtime, *(replace(QUICK, seed=seed) for seed in range(5)), ring=False)
    assert jobs.sweep(runtime.db, runtime.doorbell).rung == 5
    assert jobs.sweep(runtime.db, runtime.doorbell).rung == 0
    assert runtime.doorbell.waiting(QUEUE_GPU) == 5


def test_a_worker_tries_to_reach_its_broker_for_ever() -> None:
    assert make_celery(Settings()).conf.broker_connection_max_retries is None


@ON_POSTGRESQL
def test_a_worker_whose_broker_broke_off_amid_a_task_hears_it_again(
    runtime: Runtime, redis_server: Redis, start_worker: StartWorker
) -> None:
    network = Proxy(redis_server.socket)
    network.start()
    try:
        worker = start_worker(broker_url=f"redis://127.0.0.1:{network.port}/0")
        (amid,) = submit(runtime, replace(SLOW, num_inference_steps=200, count=1))
        samples_now(runtime, amid)
        network.cut()
        reaches(runtime, amid, JobState.SUCCEEDED)
        eventually(lambda: "Couldn't ack" in worker.log.read_text(), 30, "its message not being acknowledged")
        network.heal()
        (later,) = submit(runtime, QUICK)
        reaches(runtime, later, JobState.SUCCEEDED)
    finally:
        network.close()


# -- the blobs --------------------------------------------------------------------------------------------
def test_a_full_disk_leaves_no_half_of_a_blob(disk: Path) -> None:
    blobs = BlobStore((disk / "blobs").as_uri())
    kept = blobs.put(b"kept")
    fill(disk)
    os.truncate(disk / "filler", (disk / "filler").stat().st_size - 8192)
    content = os.urandom(40_000)
    with pytest.raises(StorageUnavailableError, match="No space"):
        blobs.put(content)
    assert list(blobs.digests()) == [kept]
    (disk / "filler").unlink()
    assert blobs.get(blobs.put(content)) == content
    left = [path for path in (disk / "blobs").rglob("*") if path.is_file()]
    assert len(left) == 2


@ON_POSTGRESQL
def test_a_full_disk_spends_no_attempt_and_the_job_is_rendered_once_there_is_space(
    runtime: Runtime, engine: Engine, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job_id,) = submit(runtime, QUICK, ring=False)
    runtime.blobs = BlobStore((disk / "blobs").as_uri())  # type: ignore[misc]
    fill(disk)
    monkeypatch.setattr(engine.stopping, "wait", lambda _seconds: False)  # short outages are not waited for
    for times in range(1, 5):  # more often than a job may be tried
        render_next_turn(runtime, engine)
        with runtime.db.read() as session:
            job = jobs.get(session, job_id)
            assert (job.state, job.attempts_made, job.error_code) == ("queued", 0, "storage-unavailable")
            assert [one.outcome for one in job.attempts] == [AttemptOutcome.HANDED_BACK] * times
    (disk / "filler").unlink()
    render_next_turn(runtime, engine)
    assert state(runtime, job_id) is JobState.SUCCEEDED


# -- one of a batch ---------------------------------------------------------------------------------------
@ON_POSTGRESQL
def test_a_cancel_amid_a_batch_ends_that_job_alone(runtime: Runtime, engine: Engine) -> None:
    ask = replace(SLOW, num_inference_steps=200, count=1)
    first, second = submit(runtime, ask, replace(ask, seed=9), ring=False)
    claim = jobs.claim(runtime.db, Claimant("test:1", max_images=4))
    assert claim is not None
    running = threading.Thread(target=engine.run, args=(held(engine, claim),))
    running.start()

    def samples() -> bool:
        with runtime.db.read() as session:
            return jobs.get(session, first).step > 0

    eventually(samples, 60, "sampling")
    with runtime.db.begin() as session:
        jobs.cancel(session, first, "ann")
    running.join()
    assert [state(runtime, one) for one in (first, second)] == [JobState.CANCELLED, JobState.SUCCEEDED]


@ON_POSTGRESQL
def test_an_answer_of_the_database_that_is_lost_costs_the_batch_nothing(
    runtime: Runtime, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = submit(runtime, *(replace(QUICK, seed=seed) for seed in range(3)), ring=False)
    complete, answered = jobs.complete, []

    def unanswered(*arguments: Any) -> list[int]:
        made = complete(*arguments)
        answered.append(made)
        if len(answered) == 1:  # it is done, and nobody hears of it
            raise DatabaseUnavailableError
        return made

    monkeypatch.setattr(engine_module.jobs, "complete", unanswered)
    claim = jobs.claim(runtime.db, Claimant("test:1", max_images=4))
    assert claim is not None
    engine.run(held(engine, claim))
    assert [state(runtime, one) for one in ids] == [JobState.SUCCEEDED] * 3


@ON_POSTGRESQL
def test_a_database_that_is_away_as_a_claim_begins_is_waited_for(
    runtime: Runtime, engine: Engine, postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    (job_id,) = submit(runtime, QUICK, ring=False)
    claim = jobs.claim(runtime.db, Claimant("test:1"))
    assert claim is not None
    opened, tries = engine._open, []

    def away_at_first(claim: jobs.Claim) -> Any:
        tries.append(time.monotonic())
        if len(tries) == 1:
            raise DatabaseUnavailableError
        return opened(claim)

    monkeypatch.setattr(engine, "_open", away_at_first)
    engine.run(held(engine, claim))
    assert state(runtime, job_id) is JobState.SUCCEEDED
