"""Workers that are stopped hand their jobs back in time, whatever they are at: real processes and signals."""

from __future__ import annotations

import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
import redis as redis_client
from sqlalchemy import select

from mfgviz import jobs, models
from mfgviz.records import Attempt, RenderJob, Rendition, Worker
from mfgviz.runtime import Runtime
from mfgviz.settings import Settings
from mfgviz.vocabulary import AttemptOutcome, JobState, Mode
from tests.integration.conftest import StartWorker
from tests.integration.test_crashes import ASK, submit
from tests.support import rough_family
from tests.support.servers import Redis
from tests.support.workers import WorkerProcess, eventually

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

SLOW = replace(ASK, prompt="slow", num_inference_steps=1000)
HANGS = replace(ASK, prompt="hang")
LOADS = replace(ASK, model="slowly")
DRAWS = replace(ASK, mode=Mode.CONTROL)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Leases so long that no test sees one run out."""
    return replace(settings, default_model="rough", lease_s=600.0, shutdown_grace_s=6.0)


@pytest.fixture
def rough(runtime: Runtime, rough: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """A model that loads for ever, too."""
    spec = rough_family.save_rough(tmp_path / "slowly", loads_for_ever=True)
    with runtime.db.begin() as session:
        models.add_model(session, spec, rough_family.FAMILY.inspect(spec).as_json(), "ann")
    return rough


def samples(runtime: Runtime, job_id: int) -> None:
    def has_stepped() -> bool:
        with runtime.db.read() as session:
            job = jobs.get(session, job_id)
        return job.state == JobState.RUNNING and job.step >= 1

    eventually(has_stepped, 60, "the job's first step")


def hangs(worker: WorkerProcess) -> None:
    eventually(lambda: rough_family.HANGS in worker.log.read_text(), 60, "what hangs")


def ends(worker: WorkerProcess) -> int:
    """Its exit code; well before anybody would kill it."""
    assert worker.process is not None
    return worker.process.wait(60)


def is_handed_back(runtime: Runtime, redis_server: Redis, job_id: int) -> None:
    with runtime.db.read() as session:
        job = jobs.get(session, job_id)
        assert (job.state, job.attempts_made, job.error_code) == (JobState.QUEUED, 0, "shutdown")
        assert [one.outcome for one in job.attempts] == [AttemptOutcome.HANDED_BACK]
        assert session.scalars(select(Worker)).all() == []
    with redis_client.Redis(unix_socket_path=str(redis_server.socket)) as client:
        assert client.llen("mfgviz:gpu"), "nobody was told that the job waits"


@pytest.mark.parametrize(
    ("ask", "number"),
    [
        pytest.param(SLOW, signal.SIGTERM, id="sampling"),
        pytest.param(SLOW, signal.SIGQUIT, id="sampling, SIGQUIT"),
        pytest.param(HANGS, signal.SIGTERM, id="a step that hangs"),
        pytest.param(HANGS, signal.SIGQUIT, id="a step that hangs, SIGQUIT"),
        pytest.param(LOADS, signal.SIGTERM, id="loading a model"),
        pytest.param(DRAWS, signal.SIGTERM, id="making maps"),
    ],
)
def test_a_stopped_worker_hands_its_job_back_and_ends(
    runtime: Runtime,
    rough: dict[str, str],
    redis_server: Redis,
    start_worker: StartWorker,
    ask: object,
    number: signal.Signals,
) -> None:
    hang = {rough_family.HANG_MAPS: "1"} if ask is DRAWS else {}
    worker = start_worker("gpu", environment={**rough, **hang})
    (job_id,) = submit(runtime, ask)  # type: ignore[arg-type]
    if ask is SLOW:
        samples(runtime, job_id)
    else:
        hangs(worker)
    assert worker.process is not None
    worker.process.send_signal(number)
    assert ends(worker) >= 0, "it was killed"
    is_handed_back(runtime, redis_server, job_id)


def test_a_second_signal_hands_the_job_back_at_once(
    runtime: Runtime, rough: dict[str, str], redis_server: Redis, start_worker: StartWorker
) -> None:
    worker = start_worker("gpu", environment=rough, shutdown_grace_s=3600.0)
    (job_id,) = submit(runtime, HANGS)
    hangs(worker)
    assert worker.process is not None
    worker.process.send_signal(signal.SIGTERM)
    eventually(lambda: "Warm shutdown" in worker.log.read_text(), 60, "the first signal")
    worker.process.send_signal(signal.SIGTERM)
    assert ends(worker) == 0
    is_handed_back(runtime, redis_server, job_id)


def test_a_signal_while_the_process_ends_is_not_a_crash(
    runtime: Runtime, rough: dict[str, str], start_worker: StartWorker
) -> None:
    worker = start_worker("gpu", environment=rough)
    (job_id,) = submit(runtime, ASK)

    def is_done() -> bool:
        with runtime.db.read() as session:
            return jobs.get(session, job_id).state == JobState.SUCCEEDED

    eventually(is_done, 60, "the job's end")
    assert worker.process is not None
    worker.process.send_signal(signal.SIGTERM)

    def has_said_goodbye() -> bool:
        with runtime.db.read() as session:
            return session.scalar(select(Worker.name)) is None

    eventually(has_said_goodbye, 60, "the worker's goodbye")
    while worker.process.poll() is None:
        worker.process.send_signal(signal.SIGTERM)
        time.sleep(0.01)
    assert worker.process.returncode == 0


def test_a_rolling_restart_under_load_loses_nothing_and_counts_nothing(
    runtime: Runtime, rough: dict[str, str], start_worker: StartWorker
) -> None:
    workers = [start_worker(environment=rough) for _ in range(3)]
    ids: list[int] = []
    for worker in workers:
        old = worker.name
        ids += submit(runtime, *(replace(ASK, prompt="slow", seed=len(ids) + n) for n in range(12)))
        eventually(lambda old=old: is_busy(runtime, old), 60, f"{old} being busy")
        assert worker.process is not None
        worker.process.send_signal(signal.SIGTERM)
        while worker.process.poll() is None:
            ids += submit(runtime, replace(ASK, seed=len(ids)))
        assert worker.process.returncode == 0
        worker.start()
        ids += submit(runtime, replace(ASK, seed=len(ids)))

    def left() -> set[str]:
        with runtime.db.read() as session:
            return set(session.scalars(select(RenderJob.state).where(RenderJob.state != JobState.SUCCEEDED)))

    eventually(lambda: not left(), 240, "the end of all jobs")
    with runtime.db.read() as session:
        assert len(set(ids)) == len(ids) == len(session.scalars(select(RenderJob.id)).all())
        assert {job.attempts_made for job in session.scalars(select(RenderJob))} == {1}
        outcomes = list(session.scalars(select(Attempt.outcome)))
        assert set(outcomes) == {AttemptOutcome.SUCCEEDED, AttemptOutcome.HANDED_BACK}
        assert sorted(session.scalars(select(Rendition.job_id))) == sorted(ids)


def is_busy(runtime: Runtime, worker: str) -> bool:
    with runtime.db.read() as session:
        running = select(Attempt.id).where(
            Attempt.worker == worker, Attempt.outcome == AttemptOutcome.RUNNING
        )
        return session.scalar(running.limit(1)) is not None
