"""The main job through a real worker process and a real broker, and what happens when things break."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from sqlalchemy import select

from mfgviz import jobs, renditions
from mfgviz.intake import Ask, Lookup, prepare
from mfgviz.queue import TASK_READ_GEOMETRY, TASK_RENDER
from mfgviz.records import Attempt, Geometry, Worker
from mfgviz.requests import View
from mfgviz.runtime import Runtime
from mfgviz.vocabulary import FINAL_STATES, AttemptOutcome, GeometryState, JobState, Mode
from tests.integration.conftest import StartWorker
from tests.support.servers import Redis
from tests.support.workers import eventually

# The first and the hardest test run on both databases, the rest on one.
ON_POSTGRESQL = pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)

QUICK = Ask(
    revision="BRK-1@A",
    prompt="{material}, studio light",
    mode=Mode.IMAGE,
    image="clay",
    width=64,
    height=64,
    num_inference_steps=4,
)
# Long enough to be interrupted: the tiny model makes some hundred steps a second.
SLOW = replace(QUICK, mode=Mode.TEXT, image=None, num_inference_steps=1000, sampler="ddim", count=4)


def submit(runtime: Runtime, *asks: Ask, ring: bool = True) -> list[int]:
    with runtime.db.begin() as session:
        lookup = Lookup(session, "tiny")
        wanted = [one for ask in asks for one in prepare(lookup, ask)]
        ids = [answer.job_id for answer in jobs.submit(session, wanted, "ann")]
    if ring:
        runtime.doorbell.ring(TASK_RENDER, ids)
    return ids


def state(runtime: Runtime, job_id: int) -> JobState:
    with runtime.db.read() as session:
        return JobState(jobs.get(session, job_id).state)


def reaches(runtime: Runtime, job_id: int, wanted: JobState, limit_s: float = 90.0) -> None:
    def is_there() -> bool:
        with runtime.db.read() as session:
            job = jobs.get(session, job_id)
        assert job.state == wanted or job.state not in FINAL_STATES, f"{job.state}: {job.error_message}"
        return job.state == wanted

    eventually(is_there, limit_s, f"job {job_id} becoming {wanted}")


def samples_now(runtime: Runtime, job_id: int) -> None:
    def is_sampling() -> bool:
        with runtime.db.read() as session:
            job = jobs.get(session, job_id)
        assert job.state not in FINAL_STATES, f"{job.state}: {job.error_message}"
        return job.state == JobState.RUNNING and job.step > 0

    eventually(is_sampling, 90, f"job {job_id} sampling")


def test_from_submit_to_a_verified_render(
    runtime: Runtime, start_worker: StartWorker, tmp_path: object
) -> None:
    start_worker()
    ids = submit(runtime, *(replace(QUICK, seed=seed, count=2) for seed in range(0, 6, 2)))
    for job_id in ids:
        reaches(runtime, job_id, JobState.SUCCEEDED)
    with runtime.db.read() as session:
        made = [one for job_id in ids for one in renditions.of_job(session, job_id)]
        assert [one.seed for one in made] == [0, 1, 2, 3, 4, 5]
        assert len({one.pixel_digest for one in made}) == 6
        path = renditions.export(runtime.blobs, made[0], tmp_path / "out.png")  # type: ignore[operator]
        verdict = renditions.verify(session, runtime.blobs, path)
        assert (verdict.reference, verdict.identical) == ("BRK-1@A", True)
        assert verdict.record is not None
        assert verdict.record["request"]["prompt"] == "steel, studio light"


@ON_POSTGRESQL
def test_a_replay_is_bit_equal(runtime: Runtime, start_worker: StartWorker) -> None:
    start_worker()
    (first,) = submit(runtime, replace(QUICK, seed=5, count=3))
    reaches(runtime, first, JobState.SUCCEEDED)
    with runtime.db.begin() as session:
        original = renditions.of_job(session, first)[1]
        again = jobs.Submission(original.revision_id, renditions.replay_request(original), forced=True)
        (answer,) = jobs.submit(session, [again], "bob")
    runtime.doorbell.ring(TASK_RENDER, [answer.job_id])
    reaches(runtime, answer.job_id, JobState.SUCCEEDED)
    with runtime.db.read() as session:
        (replayed,) = renditions.of_job(session, answer.job_id)
        assert renditions.compare(runtime.blobs, original, replayed).identical


@ON_POSTGRESQL
def test_jobs_survive_a_broker_that_is_down_and_one_that_forgets(
    runtime: Runtime, redis_server: Redis, start_worker: StartWorker
) -> None:
    redis_server.stop()
    (while_down,) = submit(runtime, replace(QUICK, seed=1))
    assert state(runtime, while_down) is JobState.QUEUED
    redis_server.start()
    (forgotten,) = submit(runtime, replace(QUICK, seed=2))
    redis_server.flush()
    start_worker()
    reaches(runtime, while_down, JobState.SUCCEEDED)
    reaches(runtime, forgotten, JobState.SUCCEEDED)


def test_a_killed_worker_s_job_runs_again_elsewhere(runtime: Runtime, start_worker: StartWorker) -> None:
    first = start_worker()
    (job_id,) = submit(runtime, SLOW)
    samples_now(runtime, job_id)
    first.kill()
    start_worker()

    def attempts() -> list[str]:
        with runtime.db.read() as session:
            query = select(Attempt.outcome).where(Attempt.job_id == job_id).order_by(Attempt.number)
            return list(session.scalars(query))

    eventually(lambda: len(attempts()) > 1 and attempts()[0] == AttemptOutcome.LOST, 60, "the second attempt")
    with runtime.db.begin() as session:
        jobs.cancel(session, job_id, "ann")
    reaches(runtime, job_id, JobState.CANCELLED)


@ON_POSTGRESQL
def test_a_stopping_worker_hands_its_job_back_uncounted(runtime: Runtime, start_worker: StartWorker) -> None:
    worker = start_worker()
    (job_id,) = submit(runtime, SLOW)
    samples_now(runtime, job_id)
    worker.stop()
    with runtime.db.read() as session:
        job = jobs.get(session, job_id)
        assert (job.state, job.attempts_made) == (JobState.QUEUED, 0)
        assert [one.outcome for one in job.attempts] == [AttemptOutcome.HANDED_BACK]
        assert session.scalars(select(Worker)).all() == []


@ON_POSTGRESQL
def test_a_running_job_is_cancelled_and_the_next_one_runs(
    runtime: Runtime, start_worker: StartWorker
) -> None:
    start_worker()
    (slow,) = submit(runtime, SLOW)
    samples_now(runtime, slow)
    (next_one,) = submit(runtime, QUICK)
    with runtime.db.begin() as session:
        jobs.cancel(session, slow, "ann")
    reaches(runtime, slow, JobState.CANCELLED, 10)
    reaches(runtime, next_one, JobState.SUCCEEDED)


@ON_POSTGRESQL
def test_a_job_that_cannot_be_rendered_fails_with_its_cause_and_the_others_do_not(
    runtime: Runtime, start_worker: StartWorker
) -> None:
    good, bad = submit(runtime, replace(QUICK, seed=1), replace(QUICK, seed=2), ring=False)
    with runtime.db.begin() as session:
        job = jobs.get(session, bad)
        image = {**job.request["conditioning"], "image": "f" * 64}
        job.request = {**job.request, "conditioning": image}
        job.max_attempts = 1
    runtime.doorbell.ring(TASK_RENDER, [good])
    start_worker()
    reaches(runtime, good, JobState.SUCCEEDED)
    reaches(runtime, bad, JobState.FAILED)
    with runtime.db.read() as session:
        assert jobs.get(session, bad).error_code == "blob-not-found"


@ON_POSTGRESQL
def test_a_camera_that_looks_away_fails_the_job_and_one_that_cuts_the_part_says_so(
    runtime: Runtime, start_worker: StartWorker
) -> None:
    away = View("custom", eye_mm=(0, 0, 500), forward=(0, 0, 1), up=(0, 1, 0))
    near = View("custom", eye_mm=(150, -120, 90), forward=(-1, 1, -0.5), up=(0, 0, 1), field_of_view_deg=8)
    blind, cut = submit(runtime, replace(QUICK, views=(away,)), replace(QUICK, views=(near,)))
    start_worker()
    reaches(runtime, blind, JobState.FAILED)
    reaches(runtime, cut, JobState.SUCCEEDED)
    with runtime.db.read() as session:
        assert jobs.get(session, blind).error_code == "nothing-in-view"
        assert jobs.get(session, blind).attempts_made == 1
        notes = jobs.get(session, cut).notes
        # Random weights draw no part, and fidelity says so, too.
        others = [note for note in notes if not note.startswith("Image 0 may not show the part")]
        assert others == ["The part reaches beyond the frame."]


@ON_POSTGRESQL
def test_a_stored_file_is_read_by_a_cpu_worker(runtime: Runtime, start_worker: StartWorker) -> None:
    with runtime.db.begin() as session:
        geometry = session.scalars(select(Geometry)).one()
        geometry.state, geometry.facts, geometry.shape_digest = GeometryState.STORED, {}, None
        geometry_id = geometry.id
    start_worker("cpu")
    runtime.doorbell.ring(TASK_READ_GEOMETRY, [geometry_id])

    def facts() -> dict[str, object]:
        with runtime.db.read() as session:
            return dict(session.get_one(Geometry, geometry_id).facts)

    assert eventually(facts, 60)["extent_x_mm"]


def test_the_example_command_of_the_readme_starts_a_worker() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "celery", "-A", "workers.app", "inspect", "--help"],
        capture_output=True,
        text=True,
        check=False,
        env={"MFGVIZ_DEVICE": "toaster", "PATH": "/usr/bin"},
    )
    assert done.returncode != 0
    assert "toaster" in done.stderr + done.stdout
