"""The life of a job, on SQLite and on PostgreSQL."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import select, text, update
from sqlalchemy.exc import IntegrityError

from mfgviz import catalog, jobs
from mfgviz.catalog import NewPart, StoredFile
from mfgviz.database import Database
from mfgviz.errors import (
    IllegalMoveError,
    InvalidRequestError,
    JobCancelledError,
    JobNotFoundError,
    LeaseLostError,
)
from mfgviz.jobs import Claimant, Failure, JobFilter, NewRendition, Submission
from mfgviz.jobs.control import overdue_query
from mfgviz.jobs.leases import HeartbeatReply, claim_window
from mfgviz.jobs.submission import known_jobs_query
from mfgviz.records import Attempt, AuditEntry, Event, RenderJob, Rendition, utcnow
from mfgviz.requests import ModelChoice, RenderRequest, SamplingSettings
from mfgviz.vocabulary import AttemptOutcome, FidelityPolicy, FidelityVerdict, JobState, Priority
from workers import lease
from workers.lease import LeaseKeeper
from workers.limits import Limits

WORKER = Claimant("host:1", max_images=4, lease_s=60)
BROKEN = Failure("broken-image", "not a picture", retryable=True, delay_s=30)


def make_request(
    seed: int = 0, prompt: str = "brass", model: str = "studio", **sampling: int
) -> RenderRequest:
    settings = SamplingSettings("ddim", 8, 2.0, seed=seed, width=256, height=256)
    return RenderRequest(
        "a" * 64, prompt, ModelChoice(model, "b" * 64, "studio"), replace(settings, **sampling)
    )


@pytest.fixture
def revision_id(database: Database) -> int:
    with database.begin() as session:
        catalog.add_part(session, NewPart("BRK-1"), "ann")
        revision = catalog.add_revision(session, "BRK-1", "A", "ann")
        catalog.attach_geometry(session, revision, StoredFile("a" * 64, 10, "b.step"), "ann")
        return revision.id


Submit = Callable[..., list[int]]


@pytest.fixture
def submit(database: Database, revision_id: int) -> Submit:
    def act(*requests: RenderRequest, requester: str = "ann", **options: object) -> list[int]:
        with database.begin() as session:
            asked = [Submission(revision_id, request, **options) for request in requests]  # type: ignore[arg-type]
            return [answer.job_id for answer in jobs.submit(session, asked, requester)]

    return act


def state_of(database: Database, job_id: int) -> JobState:
    with database.read() as session:
        return JobState(jobs.get(session, job_id).state)


def rendition(index: int = 0) -> NewRendition:
    return NewRendition(index, index, (256, 256), "c" * 64, "d" * 64, "e" * 64)


def expire(database: Database, job_id: int) -> None:
    with database.begin() as session:
        session.execute(update(RenderJob).where(RenderJob.id == job_id).values(lease_until=utcnow(-1)))


def claimed_ids(database: Database, claimant: Claimant = WORKER) -> list[int]:
    claim = jobs.claim(database, claimant)
    return [job.id for job in claim.jobs] if claim else []


# -- submit ----------------------------------------------------------------------------------------------
def test_a_job_runs_from_submit_to_its_rendition(database: Database, submit: Submit) -> None:
    (job_id,) = submit(make_request(seed=5))
    claim = jobs.claim(database, WORKER)
    assert claim is not None
    assert [(job.id, job.attempt, job.request) for job in claim.jobs] == [(job_id, 1, make_request(seed=5))]
    assert jobs.heartbeat(database, claim, 3, 8).held == {job_id}
    (rendition_id,) = jobs.complete(database, claim, job_id, [rendition()], ["cut"])
    with database.read() as session:
        job = jobs.get(session, job_id)
        assert (job.state, job.step, job.notes, job.lease_token) == ("succeeded", 8, ["cut"], None)
        assert job.finished_at is not None
        assert job.finished_at.utcoffset() == timedelta(0)
        assert [r.id for r in job.renditions] == [rendition_id]
        assert [a.outcome for a in job.attempts] == [AttemptOutcome.SUCCEEDED]
        kinds = session.scalars(select(Event.kind).order_by(Event.id)).all()
        assert list(kinds)[-1] == "render.attached"


def test_the_same_picture_is_joined_while_it_waits_and_reused_when_it_is_done(
    database: Database, revision_id: int, submit: Submit
) -> None:
    (first,) = submit(make_request())
    assert submit(make_request()) == [first]
    claim = jobs.claim(database, WORKER)
    assert claim is not None
    jobs.complete(database, claim, first, [rendition()])
    with database.begin() as session:
        (again,) = jobs.submit(session, [Submission(revision_id, make_request())], "bob")
        (forced,) = jobs.submit(session, [Submission(revision_id, make_request(), forced=True)], "bob")
    assert (again.job_id, again.how) == (first, "reused")
    assert (forced.how, forced.job_id != first) == ("new", True)


def test_a_request_twice_in_one_submission_is_one_job(database: Database, submit: Submit) -> None:
    first, second, third = submit(make_request(1), make_request(1), make_request(2))
    assert first == second != third


def test_the_database_itself_refuses_a_second_pending_job(
    database: Database, revision_id: int, submit: Submit
) -> None:
    (job_id,) = submit(make_request())
    with database.read() as session:
        first = jobs.get(session, job_id)
    twin = RenderJob(
        revision_id=revision_id,
        requester="ann",
        request=first.request,
        fingerprint=first.fingerprint,
        batch_key="x",
        model_name="studio",
        priority=10,
        turn=1,
    )

    def add_twin() -> None:
        with database.begin() as session:
            session.add(twin)

    with pytest.raises(IntegrityError):
        add_twin()


@pytest.mark.parametrize(
    "change",
    [
        {"state": "running"},  # without a lease
        {"state": "succeeded"},  # without its time
        {"state": "failed", "finished_at": utcnow()},  # without a cause
        {"state": "lost"},  # not a word
        {"attempts_made": 9},
    ],
)
def test_the_database_refuses_states_that_cannot_be(
    database: Database, submit: Submit, change: dict[str, object]
) -> None:
    (job_id,) = submit(make_request())
    with pytest.raises(IntegrityError), database.begin() as session:
        session.execute(update(RenderJob).where(RenderJob.id == job_id).values(**change))


# -- the order of service -----------------------------------------------------------------------------
def test_priority_goes_first_then_turns_are_shared_between_requesters(
    database: Database, submit: Submit
) -> None:
    many = submit(*(make_request(seed, prompt=f"p{seed}") for seed in range(4)), requester="ann")
    (one,) = submit(make_request(9), requester="bob")
    (urgent,) = submit(make_request(10), requester="carl", priority=Priority.HIGH)
    single = replace(WORKER, max_images=1)
    served = [claimed_ids(database, single)[0] for _ in range(6)]
    assert served == [urgent, many[0], one, *many[1:]]


def test_who_comes_late_does_not_wait_behind_turns_that_are_past(database: Database, submit: Submit) -> None:
    submit(*(make_request(seed) for seed in range(6)), requester="ann")
    single = replace(WORKER, max_images=1)
    for _ in range(3):
        claimed_ids(database, single)
    (late,) = submit(make_request(50), requester="bob")
    after = [claimed_ids(database, single)[0] for _ in range(2)]
    assert late in after


def test_a_claim_batches_what_is_alike_and_no_more_than_fits(database: Database, submit: Submit) -> None:
    alike = submit(*(make_request(seed, prompt=f"p{seed}") for seed in range(5)))
    (other,) = submit(make_request(0, num_inference_steps=9), requester="bob")
    assert claimed_ids(database) == alike[:4]
    assert claimed_ids(database) == [other]
    assert claimed_ids(database) == alike[4:]
    assert claimed_ids(database) == []


def test_a_loaded_model_is_preferred_among_equals_only_for_a_while(
    database: Database, submit: Submit
) -> None:
    (old,) = submit(make_request(0, model="sdxl"))
    (loaded,) = submit(make_request(1))
    at_studio = replace(WORKER, loaded_model="studio")
    assert claimed_ids(database, at_studio) == [loaded]
    submit(make_request(2))
    with database.begin() as session:
        session.execute(update(RenderJob).where(RenderJob.id == old).values(available_at=utcnow(-60)))
    assert claimed_ids(database, at_studio) == [old]


def test_many_claimers_never_take_the_same_job(database: Database, submit: Submit) -> None:
    wanted = submit(*(make_request(seed, prompt=f"p{seed}") for seed in range(40)))
    taken: list[int] = []

    def work(number: int) -> None:
        while ids := claimed_ids(database, Claimant(f"host:{number}", max_images=2)):
            taken.extend(ids)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # A claimer that sees only rows that others look at leaves; what is left is one claim away.
    while ids := claimed_ids(database):
        taken.extend(ids)
    assert sorted(taken) == sorted(wanted)


# -- leases, failures, cancels ----------------------------------------------------------------------------
def test_a_late_worker_cannot_complete_and_the_job_is_attached_once(
    database: Database, submit: Submit
) -> None:
    (job_id,) = submit(make_request())
    late = jobs.claim(database, WORKER)
    assert late is not None
    expire(database, job_id)
    assert jobs.sweep(database, None).requeued == 1
    fresh = jobs.claim(database, replace(WORKER, worker="host:2"))
    assert fresh is not None
    assert fresh.jobs[0].attempt == 2
    with pytest.raises(LeaseLostError):
        jobs.complete(database, late, job_id, [rendition()])
    assert jobs.heartbeat(database, late, 1, 8).held == frozenset()
    jobs.complete(database, fresh, job_id, [rendition()])
    with database.read() as session:
        assert len(session.scalars(select(Rendition)).all()) == 1
        assert [a.outcome for a in session.scalars(select(Attempt).order_by(Attempt.number))] == [
            AttemptOutcome.LOST,
            AttemptOutcome.SUCCEEDED,
        ]


def test_a_worker_that_dies_each_time_is_dead_lettered(database: Database, submit: Submit) -> None:
    (job_id,) = submit(make_request(), max_attempts=2)
    for _ in range(2):
        assert claimed_ids(database) == [job_id]
        expire(database, job_id)
        report = jobs.sweep(database, None)
    assert (report.requeued, report.given_up) == (0, 1)
    with database.read() as session:
        job = jobs.get(session, job_id)
        assert (job.state, job.error_code) == ("failed", "job-crashes-workers")


def test_a_retryable_failure_waits_longer_each_time_then_dead_letters_with_its_cause(
    database: Database, submit: Submit
) -> None:
    (job_id,) = submit(make_request(), max_attempts=2)
    claim = jobs.claim(database, WORKER)
    assert claim is not None
    assert jobs.fail(database, claim, job_id, BROKEN) is JobState.QUEUED
    assert claimed_ids(database) == []
    with database.read() as session:
        told = jobs.why(session, job_id)
        assert told.not_before is not None
    with database.begin() as session:
        session.execute(update(RenderJob).values(available_at=utcnow(-1)))
    claim = jobs.claim(database, WORKER)
    assert claim is not None
    assert jobs.fail(database, claim, job_id, BROKEN) is JobState.FAILED
    with database.read() as session:
        job = jobs.get(session, job_id)
        assert (job.error_code, job.error_message, job.attempts_made) == ("broken-image", "not a picture", 2)


def test_what_cannot_succeed_is_not_tried_again(database: Database, submit: Submit) -> None:
    (job_id,) = submit(make_request())
    claim = jobs.claim(database, WORKER)
    assert claim is not None
    assert (
        jobs.fail(database, claim, job_id, Failure("geometry", "empty", retryable=False)) is JobState.FAILED
    )


def test_a_job_handed_back_is_as_if_it_had_not_been_tried(database: Database, submit: Submit) -> None:
    (job_id,) = submit(make_request(), max_attempts=1)
    for _ in range(3):
        claim = jobs.claim(database, WORKER)
        assert claim is not None
        jobs.hand_back(database, claim, job_id)
    with database.read() as session:
        job = jobs.get(session, job_id)
        assert (job.state, job.attempts_made, len(job.attempts)) == ("queued", 0, 3)


def test_cancel_at_once_when_queued_and_by_request_when_running(database: Database, submit: Submit) -> None:
    waiting, running = submit(make_request(1), make_request(2, num_inference_steps=9))
    with database.begin() as session:
        assert jobs.cancel(session, waiting, "ann") is JobState.CANCELLED
    claim = jobs.claim(database, WORKER)
    assert claim is not None
    with database.begin() as session:
        assert jobs.cancel(session, running, "ann") is JobState.RUNNING
    assert jobs.heartbeat(database, claim, 1, 9).cancel_requested == {running}
    jobs.confirm_cancel(database, claim, running)
    assert state_of(database, running) is JobState.CANCELLED


def test_a_look_answers_what_a_heartbeat_does_and_writes_nothing(database: Database, submit: Submit) -> None:
    first, second = submit(make_request(1), make_request(2))
    claim = jobs.claim(database, WORKER)
    assert claim is not None
    assert jobs.look(database, claim) == HeartbeatReply(frozenset({first, second}), frozenset())
    lease = select(RenderJob.id, RenderJob.lease_until, RenderJob.step).order_by(RenderJob.id)
    with database.begin() as session:
        jobs.cancel(session, second, "ann")
        before = session.execute(lease).all()
    assert jobs.look(database, claim) == HeartbeatReply(frozenset({first, second}), frozenset({second}))
    with database.read() as session:
        assert session.execute(lease).all() == before
    expire(database, first)
    jobs.sweep(database, None)
    assert jobs.look(database, claim) == HeartbeatReply(frozenset({second}), frozenset({second}))


@pytest.mark.parametrize(("every_s", "noted"), [(0.0, [1, 2, 3]), (1e9, [1, 1, 1])])
def test_steps_renew_the_lease_now_and_then_and_always_see_a_cancel(
    database: Database, submit: Submit, monkeypatch: pytest.MonkeyPatch, every_s: float, noted: list[int]
) -> None:
    monkeypatch.setattr(lease, "RENEWED_EVERY_S", every_s)
    first, second, third = submit(*map(make_request, range(3)))
    claim = jobs.claim(database, WORKER)
    assert claim is not None
    keeper = LeaseKeeper(database, claim, Limits(60, 60), threading.Event())
    seen = []
    for step in (1, 2, 3):
        keeper.step(step, 8, frozenset({first, second, third}))
        with database.read() as session:
            seen.append(jobs.get(session, first).step)
    assert seen == noted
    with database.begin() as session:
        jobs.cancel(session, second, "ann")
    keeper.step(4, 8, frozenset({first, second, third}))
    assert state_of(database, second) is JobState.CANCELLED
    with pytest.raises(JobCancelledError):
        keeper.step(5, 8, frozenset({second}))
    expire(database, third)
    jobs.sweep(database, None)
    with pytest.raises(LeaseLostError):
        keeper.step(6, 8, frozenset({third}))
    assert keeper.open_jobs == {first}


def test_a_cancelled_job_of_a_dead_worker_is_not_run_again(database: Database, submit: Submit) -> None:
    (job_id,) = submit(make_request())
    claimed_ids(database)
    with database.begin() as session:
        jobs.cancel(session, job_id, "ann")
    expire(database, job_id)
    jobs.sweep(database, None)
    assert state_of(database, job_id) is JobState.CANCELLED


def test_finished_jobs_cannot_be_cancelled_and_only_ended_ones_are_retried(
    database: Database, submit: Submit
) -> None:
    (job_id,) = submit(make_request())
    with database.begin() as session, pytest.raises(IllegalMoveError):
        jobs.retry(session, job_id, "ann")
    claim = jobs.claim(database, WORKER)
    assert claim is not None
    jobs.complete(database, claim, job_id, [rendition()])
    with database.begin() as session, pytest.raises(IllegalMoveError):
        jobs.cancel(session, job_id, "ann")
    with database.begin() as session, pytest.raises(JobNotFoundError):
        jobs.cancel(session, 999, "ann")


def test_a_retried_job_gets_new_attempts_and_keeps_the_old_ones(database: Database, submit: Submit) -> None:
    (job_id,) = submit(make_request(), max_attempts=1)
    claim = jobs.claim(database, WORKER)
    assert claim is not None
    jobs.fail(database, claim, job_id, BROKEN)
    with database.begin() as session:
        jobs.retry(session, job_id, "ann")
    assert claimed_ids(database) == [job_id]
    with database.read() as session:
        assert [a.number for a in jobs.get(session, job_id).attempts] == [1, 2]


def test_a_job_that_many_retry_at_once_is_retried_by_one(database: Database, submit: Submit) -> None:
    (job_id,) = submit(make_request())
    with database.begin() as session:
        jobs.cancel(session, job_id, "ann")
    together, told = threading.Barrier(4), []

    def press() -> None:
        together.wait()
        try:
            with database.begin() as session:
                jobs.retry(session, job_id, "ann")
            told.append("queued")
        except IllegalMoveError as error:
            told.append(error.message)

    presses = [threading.Thread(target=press) for _ in range(4)]
    for one in presses:
        one.start()
    for one in presses:
        one.join()
    assert told.count("queued") == 1, told
    with database.read() as session:
        kept = session.scalars(select(AuditEntry.action).where(AuditEntry.action == "job.retried")).all()
        assert len(kept) == 1


# -- asking ------------------------------------------------------------------------------------------------
def test_why_names_the_position_and_what_is_ahead(database: Database, submit: Submit) -> None:
    first, second, third = submit(*(make_request(seed) for seed in range(3)))
    with database.read() as session:
        told = jobs.why(session, third)
        assert (told.position, told.ahead, told.workers) == (3, (first, second), ())
        assert "No worker" in told.told


def test_listing_filters_and_pages(database: Database, submit: Submit) -> None:
    ids = submit(*(make_request(seed) for seed in range(5)))
    submit(make_request(99), requester="bob")
    with database.read() as session:
        page = jobs.list_jobs(session, JobFilter(requester="ann", limit=2))
        assert [job.id for job in page] == ids[:2:-1]
        rest = jobs.list_jobs(session, JobFilter(requester="ann", before=page[-1].id))
        assert [job.id for job in rest] == ids[2::-1]
        assert jobs.state_counts(session)["queued"] == 6


def test_a_row_that_cannot_be_read_ends_with_its_cause_and_stops_nobody(
    database: Database, submit: Submit
) -> None:
    bad, good = submit(make_request(seed=1), make_request(seed=2))
    with database.begin() as session:
        job = jobs.get(session, bad)
        job.request = {**job.request, "version": 99}
    assert claimed_ids(database) == [good]
    with database.read() as session:
        job = jobs.get(session, bad)
        assert (job.state, job.error_code) == (JobState.FAILED, "invalid-request")
        assert "version 99" in str(job.error_message)
        assert [one.outcome for one in job.attempts] == [AttemptOutcome.FAILED]
    (alone,) = submit(make_request(seed=3))
    with database.begin() as session:
        job = jobs.get(session, alone)
        job.request = {}
    assert claimed_ids(database) == []


def test_a_waiting_job_of_another_priority_does_not_spoil_the_fair_order(
    database: Database, submit: Submit
) -> None:
    submit(*(make_request(seed=seed) for seed in range(40)), requester="alice")
    submit(make_request(seed=99), requester="alice", priority=Priority.HIGH)
    bobs, _ = submit(make_request(seed=100), make_request(seed=101), requester="bob")
    with database.read() as session:
        assert jobs.why(session, bobs).position <= 3  # type: ignore[operator]
    (urgent,) = submit(make_request(seed=102), requester="bob", priority=Priority.HIGH)
    with database.read() as session:
        assert jobs.why(session, urgent).position <= 2  # type: ignore[operator]


def test_what_is_joined_or_reused_costs_no_turn(database: Database, submit: Submit) -> None:
    seeds = [make_request(seed=seed) for seed in range(20)]
    submit(*seeds, requester="alice")
    for _ in range(10):
        submit(*seeds, requester="alice")
    (alices,) = submit(make_request(seed=50), requester="alice")
    submit(*(make_request(seed=seed) for seed in range(100, 140)), requester="bob")
    with database.read() as session:
        assert jobs.why(session, alices).position <= 41  # type: ignore[operator]


def test_a_retried_job_does_not_draw_newcomers_to_its_old_turn(database: Database, submit: Submit) -> None:
    (old,) = submit(make_request(seed=1), requester="alice")
    with database.begin() as session:
        jobs.cancel(session, old, "alice")
    submit(*(make_request(seed=seed) for seed in range(2, 60)), requester="alice")
    while claimed_ids(database):
        pass
    (waiting,) = submit(make_request(seed=99), requester="alice")
    with database.begin() as session:
        jobs.retry(session, old, "alice")
    submit(*(make_request(seed=seed) for seed in range(200, 240)), requester="bob")
    with database.read() as session:
        assert jobs.why(session, waiting).position <= 3  # type: ignore[operator]


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_submits_that_cross_do_not_deadlock(database: Database, revision_id: int) -> None:
    wanted = [Submission(revision_id, make_request(seed=seed)) for seed in range(60)]
    failed: list[Exception] = []
    answers: list[set[int]] = []

    def act(name: str, asked: list[Submission]) -> None:
        try:
            for _ in range(5):
                with database.begin() as session:
                    answers.append({one.job_id for one in jobs.submit(session, asked, name)})
        except Exception as error:  # noqa: BLE001 - a thread's error is looked at below
            failed.append(error)

    threads = [
        threading.Thread(target=act, args=(f"r{number}", wanted[:: 1 if number % 2 else -1]))
        for number in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert all(answer == answers[0] for answer in answers)


# -- speed -----------------------------------------------------------------------------------------------
MANY = 100_000
FILL = """
INSERT INTO render_jobs (revision_id, requester, request, fingerprint, batch_key, model_name, images, forced,
    priority, turn, state, cancel_requested, attempts_made, max_attempts, step, total_steps, notes)
SELECT revision_id, requester, request, lpad(to_hex(n), 64, '0'), batch_key, model_name, images, forced,
    priority, n / 20, state, cancel_requested, 0, max_attempts, 0, total_steps, notes
FROM render_jobs, generate_series(1, :many) AS n
"""


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_the_queries_of_a_long_queue_read_no_table_from_end_to_end(
    database: Database, submit: Submit, revision_id: int
) -> None:
    (first,) = submit(make_request())
    with database.begin() as session:
        session.execute(text(FILL), {"many": MANY})
        session.execute(text("ANALYZE render_jobs"))
    queries = {
        "claim": claim_window(),
        "claim beside others": claim_window(avoiding="host"),
        "known": known_jobs_query({revision_id}, {"0" * 63 + "7"}),
        "overdue": overdue_query(),
    }
    with database.begin() as session:
        for name, query in queries.items():
            compiled = query.compile(database.engine, compile_kwargs={"literal_binds": True})
            plan = "\n".join(session.scalars(text(f"EXPLAIN {compiled}")))
            assert "Seq Scan" not in plan, f"{name}:\n{plan}"
            if name.startswith("claim"):  # the others may sort the few rows that they find
                assert "Sort" not in plan, plan
    assert claimed_ids(database)[0] == first


# -- fidelity ------------------------------------------------------------------------------------------------
def test_a_picture_that_may_be_tried_again_is_another_one_than_one_that_may_not(
    database: Database, submit: Submit
) -> None:
    (marked,) = submit(make_request())
    retry = {"fidelity_policy": FidelityPolicy.RETRY, "fidelity_retries": 2}
    (retried,) = submit(make_request(), **retry)
    assert retried != marked
    assert submit(make_request(), **retry) == [retried]
    assert submit(make_request(), fidelity_policy=FidelityPolicy.ACCEPT) == [marked]
    claim = jobs.claim(database, replace(WORKER, max_images=4))
    assert claim is not None
    assert {(job.id, job.fidelity_policy, job.fidelity_retries) for job in claim.jobs} == {
        (marked, "mark", 0),
        (retried, "retry", 2),
    }


def test_retries_belong_to_their_policy(revision_id: int) -> None:
    for policy, retries in ((FidelityPolicy.RETRY, 0), (FidelityPolicy.MARK, 1)):
        with pytest.raises(InvalidRequestError, match="do not go with"):
            Submission(revision_id, make_request(), fidelity_policy=policy, fidelity_retries=retries)


def test_how_well_a_picture_shows_the_part_is_kept_with_it(database: Database, submit: Submit) -> None:
    (job_id,) = submit(make_request())
    claim = jobs.claim(database, WORKER)
    assert claim is not None
    judged = replace(
        rendition(),
        fidelity=0.25,
        fidelity_verdict=FidelityVerdict.MARKED,
        fidelity_details={"complaints": ["The hole at (3, 4) is missing."]},
        control_scale=0.8,
    )
    jobs.complete(database, claim, job_id, [judged])
    with database.read() as session:
        (kept,) = jobs.get(session, job_id).renditions
        assert (kept.fidelity, kept.fidelity_verdict, kept.control_scale) == (0.25, "marked", 0.8)
        assert kept.fidelity_details == {"complaints": ["The hole at (3, 4) is missing."]}


@pytest.mark.parametrize(
    "changed",
    [
        {"fidelity": 1.5, "fidelity_verdict": FidelityVerdict.PASSED},
        {"fidelity": None, "fidelity_verdict": FidelityVerdict.PASSED},
        {"fidelity": 0.5, "fidelity_verdict": FidelityVerdict.NOT_JUDGED},
        {"control_scale": -0.1},
    ],
)
def test_the_database_refuses_a_fidelity_that_cannot_be(
    database: Database, submit: Submit, changed: dict[str, object]
) -> None:
    (job_id,) = submit(make_request())
    claim = jobs.claim(database, WORKER)
    assert claim is not None
    with pytest.raises(IntegrityError):
        jobs.complete(database, claim, job_id, [replace(rendition(), **changed)])  # type: ignore[arg-type]


def test_a_job_put_off_is_counted_no_attempt_and_waits_longer_each_time(
    database: Database, submit: Submit
) -> None:
    away = Failure("storage-unavailable", "no space", retryable=True, delay_s=0.001)
    (job_id,) = submit(make_request(), max_attempts=1)
    waits = []
    for times in range(1, 4):
        with database.begin() as session:
            session.execute(update(RenderJob).values(available_at=utcnow()))
        claim = jobs.claim(database, WORKER)
        assert claim is not None
        jobs.put_off(database, claim, job_id, away)
        with database.read() as session:
            job = jobs.get(session, job_id)
            assert (job.state, job.attempts_made, job.error_code) == ("queued", 0, "storage-unavailable")
            assert [one.outcome for one in job.attempts] == [AttemptOutcome.HANDED_BACK] * times
            assert job.attempts[-1].finished_at is not None
            waits.append(job.available_at - job.attempts[-1].finished_at)
        away = replace(away, delay_s=10.0)
        with pytest.raises(LeaseLostError):
            jobs.put_off(database, claim, job_id, away)
    assert waits[0] < timedelta(seconds=1)
    assert timedelta(seconds=19) < waits[1] < timedelta(seconds=21)
    assert timedelta(seconds=39) < waits[2] < timedelta(seconds=41)


def test_a_job_that_was_cancelled_is_not_put_off(database: Database, submit: Submit) -> None:
    (job_id,) = submit(make_request())
    claim = jobs.claim(database, WORKER)
    assert claim is not None
    with database.begin() as session:
        jobs.cancel(session, job_id, "ann")
    jobs.put_off(database, claim, job_id, BROKEN)
    with database.read() as session:
        assert jobs.get(session, job_id).state == JobState.CANCELLED
