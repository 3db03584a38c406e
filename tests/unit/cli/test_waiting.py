"""Waiting, watching and replaying, while a thread does what a worker does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from mfgviz import jobs, renditions, workers_seen
from mfgviz.cli import waiting, watching
from mfgviz.cli.output import Output
from mfgviz.jobs import Claimant, Failure
from mfgviz.renditions import Made, Shown
from mfgviz.runtime import Runtime
from mfgviz.service import Service
from mfgviz.wire import JobEvent
from mfgviz.workers_seen import WorkerReport
from tests.support.commands import Run

RED = (200, 30, 40)
Work = Callable[[Runtime, jobs.Claim], None]


def paint(color: tuple[int, int, int] = RED) -> Work:
    """A worker that samples two steps and attaches a picture of one color."""

    def work(runtime: Runtime, claim: jobs.Claim) -> None:
        for step in (1, 2):
            jobs.heartbeat(runtime.db, claim, step, 8)
            time.sleep(0.2)
        for job in claim.jobs:
            shown = Shown("BRK-1", "A", job.request, job.request.fingerprint())
            picture = Image.new("RGB", (64, 64), color)
            kept = renditions.store(runtime.blobs, picture, shown, Made(0, 0), {"torch": "2"})
            jobs.complete(runtime.db, claim, job.id, [kept])

    return work


def fail(runtime: Runtime, claim: jobs.Claim) -> None:
    """A worker whose every job fails for good."""
    for job in claim.jobs:
        jobs.fail(runtime.db, claim, job.id, Failure("out-of-memory", "It needs [9] GiB.", retryable=False))


@contextmanager
def worker(runtime: Runtime, work: Work, begin: threading.Event | None = None) -> Iterator[None]:
    """Works off what is queued, as long as the block runs, from when it may begin."""
    stop = threading.Event()
    broken: list[BaseException] = []

    def act() -> None:
        try:
            while begin is not None and not begin.wait(0.01) and not stop.is_set():
                pass
            while not stop.is_set():
                claim = jobs.claim(runtime.db, Claimant("host:1"))
                if claim is None:
                    time.sleep(0.02)
                else:
                    work(runtime, claim)
        except BaseException as error:
            broken.append(error)
            raise

    thread = threading.Thread(target=act)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
    assert not broken


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look often, so that no step goes by unseen."""
    for name in ("POLL_S", "SERVER_POLL_S"):
        monkeypatch.setattr(waiting, name, 0.01)
        monkeypatch.setattr(watching, name, 0.01)


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set as soon as a command looks at the jobs that it waits for."""
    begin, look = threading.Event(), waiting.wait_for

    def wait_for(*arguments: Any) -> None:
        begin.set()
        look(*arguments)

    monkeypatch.setattr(waiting, "wait_for", wait_for)
    return begin


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands believe that a person looks on."""
    monkeypatch.setattr(Output, "is_terminal", property(lambda self: not self.as_json))
    monkeypatch.setenv("COLUMNS", "150")


# -- submit --wait -----------------------------------------------------------------------------------
@pytest.mark.both_doors
def test_waiting_shows_steps_and_exports(
    run: Run, runtime: Runtime, tmp_path: Path, watched: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    said, line_of = threading.Event(), waiting.line_of

    def say(one: JobEvent) -> str:
        line = line_of(one)
        if "step 1 of 8" in line:
            said.set()
        return line

    def work(runtime: Runtime, claim: jobs.Claim) -> None:
        jobs.heartbeat(runtime.db, claim, 1, 8)
        said.wait(60)
        paint()(runtime, claim)

    monkeypatch.setattr(waiting, "line_of", say)
    with worker(runtime, work, watched):
        answer = run("jobs", "submit", "BRK-1@A", "steel", "--wait", "--out", str(tmp_path / "out"))
    assert answer.code == 0
    assert "No worker is running" in answer.err
    assert "step 1 of 8" in answer.err
    assert answer.err.rstrip().endswith("job 1: succeeded")
    (line,) = answer.out.splitlines()
    job, render, path = line.split("\t")
    assert (job, render) == ("1", "1")
    assert Path(path).exists()


@pytest.mark.both_doors
def test_waiting_on_a_terminal_ends_with_what_to_do_next(run: Run, runtime: Runtime, terminal: None) -> None:
    with runtime.db.begin() as session:
        workers_seen.report(session, WorkerReport("host:1", ("gpu",), "cpu", None))
    with worker(runtime, paint()):
        answer = run("jobs", "submit", "BRK-1@A", "steel", "--wait")
    assert answer.code == 0
    assert "No worker" not in answer.err
    assert "job 1" in answer.err
    assert "mfgviz renders export 1" in answer.out


@pytest.mark.both_doors
def test_a_failed_job_is_told_and_exits_with_seven(run: Run, runtime: Runtime, terminal: None) -> None:
    with worker(runtime, fail):
        answer = run("jobs", "submit", "BRK-1@A", "{a|b}", "--wait")
    assert answer.code == 7
    assert "It needs [9] GiB." in answer.err
    assert "1 more of 2 failed" in answer.err
    as_json = run("jobs", "wait", "1", "--json")
    assert (as_json.code, as_json.error["code"], as_json.json) == (7, "job-failed", [])


@pytest.mark.both_doors
def test_lines_of_a_file_are_waited_for_with_one_bar(
    run: Run, runtime: Runtime, terminal: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "ONE_BY_ONE", 2)
    path = tmp_path / "jobs.jsonl"
    path.write_text(
        "".join(f'{{"revision": "BRK-1@A", "prompt": "p{n}"}}\n' for n in range(4)) + "nonsense\n"
    )
    with worker(runtime, fail):
        answer = run("jobs", "submit", "--from", str(path), "--wait")
    assert answer.code == 7
    assert "line 5: It is no JSON" in answer.err
    assert "4 jobs" in answer.err


def test_the_position_is_told_while_a_job_waits(run: Run, runtime: Runtime) -> None:
    run("jobs", "submit", "BRK-1@A", "first")
    seen: list[JobEvent] = []
    run("jobs", "submit", "BRK-1@A", "second")

    def stop() -> None:
        with runtime.db.begin() as session:
            for job_id in (1, 2):
                jobs.cancel(session, job_id, "ann")

    out = Output(_settings=runtime.settings, _doors=Service(runtime, "ann"))
    waiting.wait_for(out, [2], seen.append, alive=stop)
    assert [waiting.line_of(one) for one in seen] == ["queued, position 2", "cancelled"]


@pytest.mark.both_doors
def test_ctrl_c_leaves_the_jobs_running_and_says_how_to_stop_them(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(waiting, "watch", interrupted)
    answer = run("jobs", "submit", "BRK-1@A", "steel", "--wait")
    assert answer.code == 130
    assert "mfgviz jobs cancel 1" in answer.err
    assert run("jobs", "show", "1", "--json").json["state"] == "queued"


@pytest.mark.both_doors
def test_waiting_for_a_job_that_is_not_there_is_refused(run: Run) -> None:
    assert run("jobs", "wait", "999").code == 3


# -- watch ----------------------------------------------------------------------------------------------
@pytest.mark.both_doors
def test_watching_tells_every_change_until_the_queue_is_idle(
    run: Run, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked, look = threading.Event(), watching.Queue.look

    def look_once(queue: watching.Queue) -> None:
        look(queue)
        looked.set()

    monkeypatch.setattr(watching.Queue, "look", look_once)
    run("jobs", "submit", "BRK-1@A", "{a|b}")
    with worker(runtime, paint(), looked):
        answer = run("jobs", "watch", "--until-idle")
    assert answer.code == 0
    states = {tuple(line.split("\t")[:2]) for line in answer.out.splitlines()}
    assert {("1", "succeeded"), ("2", "succeeded")} <= states
    assert run("jobs", "watch", "--until-idle", "--json").out == ""


@pytest.mark.both_doors
def test_watching_on_a_terminal_draws_the_queue(run: Run, runtime: Runtime, terminal: None) -> None:
    run("jobs", "submit", "BRK-1@A", "{a|b}")
    with worker(runtime, paint()):
        answer = run("jobs", "watch", "--until-idle")
    assert answer.code == 0
    assert "2 succeeded; 0 worker(s)" in answer.out


# -- replay ---------------------------------------------------------------------------------------------
def test_a_replay_that_is_bit_equal_says_so(run: Run, runtime: Runtime, rendered: int) -> None:
    with worker(runtime, paint()):
        answer = run("renders", "replay", str(rendered), "--json")
    assert answer.code == 0
    assert (answer.json["identical"], answer.json["replayed"]) == (True, 2)
    assert run("jobs", "show", "2", "--json").json["priority"] == 20


def test_a_replay_that_differs_says_by_how_much(run: Run, runtime: Runtime, rendered: int) -> None:
    with worker(runtime, paint((200, 30, 44))):
        answer = run("renders", "replay", str(rendered), "--json")
    assert (answer.code, answer.error["code"]) == (4, "replay-differs")
    assert (answer.json["identical"], answer.json["max_levels"]) == (False, 4)
    assert "PSNR" in answer.error["message"]


def test_a_replay_need_not_be_waited_for(run: Run, rendered: int) -> None:
    assert run("renders", "replay", str(rendered), "--no-wait", "--json").json == {"original": 1, "job": 2}
    assert run("renders", "replay", "999").code == 3


# -- export ---------------------------------------------------------------------------------------------
@pytest.mark.both_doors
def test_the_format_and_the_file_must_agree(run: Run, rendered: int, tmp_path: Path) -> None:
    one = str(rendered)
    mixed = run("renders", "export", one, "--out", str(tmp_path / "a.png"), "--format", "webp")
    assert mixed.code == 2
    assert run("renders", "export", one, "--out", str(tmp_path / "a.tiff")).code == 5
    assert run("renders", "export", one, "--out", str(tmp_path / "a.jpg"), "--format", "jpeg").code == 0
    assert run("renders", "export", one, "999", "--out", str(tmp_path / "all")).code == 3
    assert not (tmp_path / "all").exists()
    assert run("renders", "export", one, one, "--out", str(tmp_path / "b.png")).code == 2
    folder = run("renders", "export", one, "--out", str(tmp_path / "all"), "--format", "webp", "--json").json
    assert folder[0]["file"].endswith(".webp")
