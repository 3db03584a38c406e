"""Jobs that are lost with their workers or do not fit there, on SQLite and on PostgreSQL."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace

import pytest
from sqlalchemy import select, update

from mfgviz import jobs, workers_seen
from mfgviz.database import Database
from mfgviz.errors import InvalidSettingError, OutOfMemoryError
from mfgviz.jobs import Claimant, Failure
from mfgviz.jobs.leases import AVOID_PATIENCE_S
from mfgviz.records import Event, RenderJob, Worker, utcnow
from mfgviz.settings import Settings
from mfgviz.vocabulary import EventKind, JobState
from mfgviz.workers_seen import WorkerReport
from tests.unit.core.test_jobs import Submit, claimed_ids, expire, make_request, revision_id, submit

__all__ = ["revision_id", "submit"]

EAST = Claimant("east:1", max_images=4, avoiding="east")
WEST = Claimant("west:1", max_images=4, avoiding="west")
TOO_LARGE = Failure.of(OutOfMemoryError(), 0)


def lose(database: Database, *ids: int) -> jobs.SweepReport:
    for job_id in ids:
        expire(database, job_id)
    return jobs.sweep(database, None)


def row(database: Database, job_id: int) -> RenderJob:
    with database.read() as session:
        return jobs.get(session, job_id)


def seen(database: Database, *names: str, process: str | None = None) -> None:
    with database.begin() as session:
        for name in names:
            workers_seen.report(session, WorkerReport(name, ("gpu",), "CPU", None, process))


def test_who_is_lost_in_a_batch_pays_nothing_and_runs_alone_from_then_on(
    database: Database, submit: Submit
) -> None:
    ids = submit(*(make_request(seed) for seed in range(4)))
    assert claimed_ids(database, EAST) == ids
    assert lose(database, *ids) == jobs.SweepReport(4, 0, 0)
    assert {(row(database, one).attempts_made, row(database, one).crashes) for one in ids} == {(0, 1)}
    (newcomer,) = submit(make_request(9))
    for job_id in ids:
        assert claimed_ids(database, WEST) == [job_id]
    assert claimed_ids(database, WEST) == [newcomer]


def test_a_job_that_crashes_on_two_hosts_is_given_up_with_a_cause_that_says_so(
    database: Database, submit: Submit
) -> None:
    (job_id,) = submit(make_request())
    for claimant, report in ((EAST, (1, 0)), (WEST, (0, 1))):
        assert claimed_ids(database, claimant) == [job_id]
        swept = lose(database, job_id)
        assert (swept.requeued, swept.given_up) == report
    job = row(database, job_id)
    assert (job.state, job.error_code, job.attempts_made) == ("failed", "job-crashes-workers", 2)
    assert "2 times" in str(job.error_message)
    assert "east and west" in str(job.error_message)
    assert [one.error_code for one in job.attempts] == ["worker-lost"] * 2
    with database.read() as session:
        event = session.scalars(select(Event).where(Event.kind == EventKind.JOB_FAILED)).one()
        assert event.payload == {"job": job_id, "code": "job-crashes-workers"}


def test_what_happened_in_company_counts_as_evidence_but_does_not_condemn(
    database: Database, submit: Submit
) -> None:
    poison, innocent = submit(make_request(1), make_request(2))
    for claimant in (EAST, WEST):  # the innocent one is alone for the first time with the third claim
        assert poison in claimed_ids(database, claimant)
        lose(database, poison, *([innocent] if claimant is EAST else []))
    assert row(database, poison).error_code == "job-crashes-workers"
    assert (row(database, innocent).state, row(database, innocent).crashes) == ("queued", 1)


def test_a_lost_job_is_left_to_other_hosts_for_a_while(database: Database, submit: Submit) -> None:
    lost, other = submit(make_request(1, model="a"), make_request(2, model="b"))
    assert claimed_ids(database, replace(EAST, avoiding=None)) == [lost]
    lose(database, lost)
    assert claimed_ids(database, EAST) == [other]
    assert claimed_ids(database, EAST) == []
    with database.begin() as session:
        waited = utcnow(-AVOID_PATIENCE_S - 1)
        session.execute(update(RenderJob).where(RenderJob.id == lost).values(available_at=waited))
    assert claimed_ids(database, EAST) == [lost]


def test_a_single_host_takes_a_lost_job_again_at_once(database: Database, submit: Submit) -> None:
    (lost,) = submit(make_request())
    alone = replace(EAST, avoiding=None)
    for _ in range(2):
        assert claimed_ids(database, alone) == [lost]
        assert lose(database, lost).requeued == 1
    assert claimed_ids(database, alone) == [lost]
    assert lose(database, lost).given_up == 1
    assert row(database, lost).error_code == "job-crashes-workers"


def test_a_retried_job_gets_a_clean_slate(database: Database, submit: Submit) -> None:
    (job_id,) = submit(make_request(1))
    for claimant in (EAST, WEST):
        claimed_ids(database, claimant)
        lose(database, job_id)
    with database.begin() as session:
        jobs.retry(session, job_id, "ann")
    (other,) = submit(make_request(2))
    job = row(database, job_id)
    assert (job.state, job.crashes, job.avoid_host) == ("queued", 0, None)
    assert claimed_ids(database, WEST) in ([job_id, other], [other, job_id])


def test_why_says_that_other_hosts_are_asked_first(database: Database, submit: Submit) -> None:
    (job_id,) = submit(make_request())
    claimed_ids(database, EAST)
    lose(database, job_id)
    seen(database, "east:1", "west:1")
    with database.read() as session:
        assert "east: other hosts are asked first" in jobs.why(session, job_id).told


def test_what_does_not_fit_is_tried_once_on_another_host(database: Database, submit: Submit) -> None:
    (job_id,) = submit(make_request())
    seen(database, "east:1", "west:1")
    claim = jobs.claim(database, EAST)
    assert claim is not None
    assert jobs.fail(database, claim, job_id, TOO_LARGE) is JobState.QUEUED
    assert jobs.claim(database, EAST) is None
    claim = jobs.claim(database, WEST)
    assert claim is not None
    assert jobs.fail(database, claim, job_id, TOO_LARGE) is JobState.FAILED
    job = row(database, job_id)
    assert (job.error_code, job.attempts_made, job.crashes) == ("out-of-memory", 2, 0)


def test_what_does_not_fit_fails_at_once_where_there_is_no_other_host(
    database: Database, submit: Submit
) -> None:
    (job_id,) = submit(make_request())
    seen(database, "east:1", "east:2")
    claim = jobs.claim(database, EAST)
    assert claim is not None
    assert jobs.fail(database, claim, job_id, TOO_LARGE) is JobState.FAILED


def test_jobs_of_workers_that_are_known_to_be_dead_are_taken_back_at_once(
    database: Database, submit: Submit
) -> None:
    mine, theirs = submit(make_request(1, model="a"), make_request(2, model="b"))
    assert claimed_ids(database, EAST) == [mine]
    assert claimed_ids(database, WEST) == [theirs]
    assert jobs.sweep(database, None, ["east:1"]) == jobs.SweepReport(1, 0, 0)
    assert (row(database, mine).state, row(database, theirs).state) == ("queued", "running")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells which process is which")
def test_a_worker_is_known_to_be_dead_only_where_its_process_can_be_looked_for(database: Database) -> None:
    here = workers_seen.this_process()
    assert here is not None
    system, _, start = here.rpartition(" ")
    system = system.rpartition(" ")[0]
    child = subprocess.Popen(["sleep", "600"])
    their_start = _start_of(child.pid)
    seen(database, "h:alive", process=here)
    seen(database, "h:child", process=f"{system} {child.pid} {their_start}")
    seen(database, "h:reused", process=f"{system} {os.getpid()} {int(start) - 1}")
    seen(database, "h:init", process=f"{system} 1 {_start_of(1)}")
    seen(database, "h:container", process=f"another-boot pid:[1] time:[1] {2**22 - 1} 1")
    seen(database, "h:old")
    with database.read() as session:
        assert workers_seen.gone(session) == ["h:reused"]
    child.kill()
    with database.begin() as session:  # a zombie now: nobody has waited for it
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert sorted(workers_seen.gone(session)) == ["h:child", "h:reused"]
        workers_seen.bury(session, workers_seen.gone(session))
    child.wait()
    with database.read() as session:
        assert sorted(session.scalars(select(Worker.name))) == ["h:alive", "h:container", "h:init", "h:old"]


def _start_of(pid: int) -> str:
    found = workers_seen._state_and_start(pid)
    assert found is not None
    return found[1]


def test_a_named_host_is_the_first_word_of_its_workers_names() -> None:
    named, plain = Settings(worker_host="rack-7.lab"), Settings()
    assert jobs.host_of(workers_seen.worker_name(named, 7)) == "rack-7.lab"
    assert workers_seen.worker_name(named, 7) == f"rack-7.lab:{os.uname().nodename}:7"
    assert workers_seen.worker_name(plain, 7) == f"{os.uname().nodename}:7"
    with pytest.raises(InvalidSettingError, match="worker_host"):
        Settings(worker_host="a:b")
    with pytest.raises(InvalidSettingError, match="worker_memory_bytes"):
        Settings(worker_memory_bytes=-1)
