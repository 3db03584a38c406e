"""Jobs that take their worker with them: real processes that count as two hosts, on PostgreSQL and Redis."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import select

from mfgviz import jobs
from mfgviz.intake import Ask, Lookup, prepare
from mfgviz.queue import TASK_RENDER
from mfgviz.records import Attempt, Event, RenderJob, Rendition, Worker
from mfgviz.runtime import Runtime
from mfgviz.settings import Settings
from mfgviz.vocabulary import FINAL_STATES, AttemptOutcome, EventKind, JobState, Mode
from tests.integration.conftest import StartWorker
from tests.support import rough_family
from tests.support.workers import WorkerProcess, eventually
from workers.devices import ModelPool, choose_device
from workers.engine import Engine

pytestmark = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

ASK = Ask(
    revision="BRK-1@A",
    prompt="steel",
    mode=Mode.TEXT,
    model="rough",
    width=64,
    height=64,
    num_inference_steps=4,
)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Leases so long that no test sees one run out."""
    return replace(settings, default_model="rough", lease_s=600.0)


class Supervisor:
    """Starts workers again that ended by themselves, as systemd does; counts how often."""

    def __init__(self, workers: list[WorkerProcess]) -> None:
        self.workers, self.ended = workers, 0

    def look(self) -> None:
        for worker in self.workers:
            assert worker.process is not None
            if worker.process.poll() is not None:
                self.ended += 1
                worker.start()


def submit(runtime: Runtime, *asks: Ask, ring: bool = True) -> list[int]:
    with runtime.db.begin() as session:
        lookup = Lookup(session, "rough")
        wanted = [one for ask in asks for one in prepare(lookup, ask)]
        ids = [answer.job_id for answer in jobs.submit(session, wanted, "ann")]
    if ring:
        runtime.doorbell.ring(TASK_RENDER, ids)
    return ids


def all_end(runtime: Runtime, ids: list[int], supervisor: Supervisor) -> dict[int, RenderJob]:
    """The jobs once all have ended."""

    def ended() -> dict[int, RenderJob] | None:
        supervisor.look()
        with runtime.db.read() as session:
            found = {job_id: jobs.get(session, job_id) for job_id in ids}
        return found if all(job.state in FINAL_STATES for job in found.values()) else None

    return eventually(ended, 240, "all jobs' ends")


def test_a_job_that_kills_its_worker_is_given_up_after_two_hosts_and_its_neighbours_pay_nothing(
    runtime: Runtime, rough: dict[str, str], start_worker: StartWorker
) -> None:
    asks = [replace(ASK, seed=seed, prompt="die" if seed == 2 else "steel") for seed in range(8)]
    ids = submit(runtime, *asks)  # before there are workers: so the first claim holds four of them
    together = {**rough, rough_family.TOGETHER: "4"}
    hosts = ("east", "west")
    supervisor = Supervisor([start_worker(worker_host=name, environment=together) for name in hosts])
    ended = all_end(runtime, ids, supervisor)
    poison = ended.pop(ids[2])
    assert {job.state for job in ended.values()} == {JobState.SUCCEEDED}
    assert {job.attempts_made for job in ended.values()} == {1}
    assert (poison.state, poison.error_code) == (JobState.FAILED, "job-crashes-workers")
    assert "on east and west" in str(poison.error_message)
    assert "mfgviz jobs retry" in str(poison.error_message)
    assert supervisor.ended == 2
    assert {one.worker.split(":")[0] for one in poison.attempts} == set(hosts)
    with runtime.db.read() as session:
        lost = session.scalars(select(Attempt).where(Attempt.outcome == AttemptOutcome.LOST)).all()
        assert {one.job_id for one in lost} == set(ids[:4])  # the neighbours of the first time, once each
        assert len(lost) == 5
        told = session.scalars(select(Event).where(Event.kind == EventKind.JOB_FAILED)).all()
        assert [one.payload["code"] for one in told] == ["job-crashes-workers"]
        assert len(session.scalars(select(Rendition)).all()) == 7


def test_a_single_host_tries_again_and_then_gives_up(
    runtime: Runtime, rough: dict[str, str], start_worker: StartWorker
) -> None:
    supervisor = Supervisor([start_worker(environment=rough)])
    bad, good = submit(runtime, replace(ASK, prompt="die"), ASK)
    ended = all_end(runtime, [bad, good], supervisor)
    assert (ended[bad].error_code, ended[bad].attempts_made) == ("job-crashes-workers", 3)
    assert (ended[good].state, ended[good].attempts_made) == (JobState.SUCCEEDED, 1)
    assert supervisor.ended == 3


def test_what_needs_more_memory_than_a_worker_may_have_fails_and_the_worker_lives(
    runtime: Runtime, rough: dict[str, str], start_worker: StartWorker
) -> None:
    workers = [
        start_worker(worker_host=name, environment=rough, worker_memory_bytes=3 * 2**30)
        for name in ("east", "west")
    ]
    bad, good = submit(runtime, replace(ASK, prompt="hog"), ASK)
    ended = all_end(runtime, [bad, good], Supervisor(workers))
    assert (ended[bad].state, ended[bad].error_code) == (JobState.FAILED, "out-of-memory")
    assert {one.worker.split(":")[0] for one in ended[bad].attempts} == {"east", "west"}
    assert ended[good].state == JobState.SUCCEEDED
    assert [worker.process and worker.process.poll() for worker in workers] == [None, None]


def test_the_jobs_of_a_dead_worker_of_this_system_do_not_wait_for_its_lease(
    runtime: Runtime, rough: dict[str, str], start_worker: StartWorker
) -> None:
    first = start_worker(environment=rough)
    (job_id,) = submit(runtime, replace(ASK, prompt="slow", num_inference_steps=40))

    def runs() -> bool:
        with runtime.db.read() as session:
            return jobs.get(session, job_id).step > 0

    eventually(runs, 60)
    first.kill()
    second = start_worker(environment=rough)
    job = all_end(runtime, [job_id], Supervisor([second]))[job_id]
    assert [one.outcome for one in job.attempts] == [AttemptOutcome.LOST, AttemptOutcome.SUCCEEDED]
    with runtime.db.read() as session:
        assert session.scalars(select(Worker.name)).all() == [second.name]


@pytest.mark.parametrize(
    "error", [MemoryError("no room"), RuntimeError("DefaultCPUAllocator: can't allocate")]
)
def test_memory_that_runs_out_anywhere_is_told_as_that(runtime: Runtime, error: Exception) -> None:
    failure = Engine(runtime, "east:1", ModelPool(choose_device("cpu")))._failure(error)
    assert (failure.code, failure.retryable, failure.elsewhere) == ("out-of-memory", False, True)
