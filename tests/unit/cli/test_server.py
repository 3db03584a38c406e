"""Commands that ask a server: what is the same through either door, and what a server does to them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from mfgviz import samples
from mfgviz.cli import waiting
from mfgviz.cli.output import Output
from mfgviz.runtime import Runtime
from tests.support.commands import Run
from tests.support.http import HttpServer, make_token
from tests.support.workers import eventually
from tests.unit.cli.test_waiting import paint, worker

SAMPLE = Path(samples.__path__[0]) / "flange.step"
both_doors = pytest.mark.both_doors
HERE_ALONE = [
    ["db", "current"], ["db", "check"], ["db", "upgrade"], ["up"], ["serve"], ["demo"],
    ["revisions", "maps", "BRK-1@A"], ["renders", "verify", "x.png"], ["renders", "replay", "1"],
    ["models", "add", "x", "y", "--family", "sd15"], ["models", "check", "studio"],
    ["models", "remove", "studio"],
]  # fmt: skip


# -- through either door --------------------------------------------------------------------------------
@both_doors
def test_parts_and_jobs_are_paged(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mfgviz.cli.output.PAGE", 2)
    for number in range(5):
        run("parts", "add", f"P-{number}")
    numbers = [one["number"] for one in run("parts", "list", "--json").json]
    assert numbers == ["BRK-1", *(f"P-{number}" for number in range(5))]
    after = run("parts", "list", "--after", "P-1", "--limit", "3", "--json").json
    assert [one["number"] for one in after] == ["P-2", "P-3", "P-4"]
    run("jobs", "submit", "BRK-1@A", "{a|b|c|d|e}")
    assert [one["id"] for one in run("jobs", "list", "--json").json] == [5, 4, 3, 2, 1]
    before = run("jobs", "list", "--before", "4", "--limit", "2", "--json").json
    assert [one["id"] for one in before] == [3, 2]
    assert run("jobs", "list", "--state", "failed", "--json").json == []
    assert len(run("jobs", "list", "--revision", "BRK-1@A", "--requester", "ann", "--json").json) == 5
    assert run("jobs", "list", "--revision", "BRK-1@Z").code == 3


@both_doors
def test_a_cad_file_goes_in_whole_or_not_at_all(run: Run, tmp_path: Path) -> None:
    bad = tmp_path / "bad.step"
    bad.write_text("ISO-10303-21;\nHEADER;\n")
    refused = run("revisions", "add", "BRK-1", "B", "--file", str(bad), "--json")
    assert (refused.code, refused.error["code"]) == (5, "unreadable-geometry")
    missing = run("revisions", "add", "BRK-1", "B", "--file", str(tmp_path / "none.step"), "--json")
    assert (missing.code, missing.error["code"]) == (3, "geometry-not-found")
    assert [one["revision"] for one in run("revisions", "list", "BRK-1", "--json").json] == ["BRK-1@A"]
    words = ["--file", str(SAMPLE), "--attr", "finish=raw", "--state", "released", "--json"]
    added = run("revisions", "add", "BRK-1", "B", *words).json
    assert (added["file"], added["state"], added["geometry_state"]) == ("flange.step", "released", "read")
    twice = run("revisions", "add", "BRK-1", "B", *words)
    assert (twice.code, twice.error["code"]) == (4, "duplicate-revision")
    assert run("revisions", "add", "NONE", "A", *words).code == 3
    shown = run("revisions", "show", "BRK-1@B", "--json").json
    assert (shown["fields"]["finish"], shown["attributes"]) == ("raw", {"finish": "raw"})
    assert shown["facts"]["extent_z_mm"] > 0
    attached = run("revisions", "attach", "BRK-1@A", "--file", str(SAMPLE), "--json").json
    assert (attached["iteration"], attached["file"]) == (2, "flange.step")
    assert run("revisions", "attach", "BRK-1@A", "--file", str(bad)).code == 5


@both_doors
def test_a_template_says_what_is_left_out(run: Run) -> None:
    assert (
        run(
            "templates", "save", "two", "{material}, {mood} light", "--view", "top", "--view", "left",
            "--set", "count=2", "--set", "control_scale=0.5",
        ).code == 0
    )  # fmt: skip
    assert run("jobs", "submit", "BRK-1@A", "--template", "two").code == 5  # nobody said the mood
    words = ["jobs", "submit", "BRK-1@A", "--template", "two", "--field", "mood=soft", "--json"]
    jobs = [run("jobs", "show", str(one["job"]), "--json").json["request"] for one in run(*words).json]
    assert [job["view"]["name"] for job in jobs] == ["top", "left"]
    assert {job["prompt"] for job in jobs} == {"steel, soft light"}
    assert {job["sampling"]["count"] for job in jobs} == {2}
    assert {job["conditioning"]["control_scale"] for job in jobs} == {0.5}
    (own,) = run(*words, "--view", "iso", "--count", "1").json
    shown = run("jobs", "show", str(own["job"]), "--json").json
    assert (shown["request"]["view"]["name"], shown["images"]) == ("iso", 1)
    framed = [one["job"] for one in run(*words, "--margin", "0.2").json]
    views = [run("jobs", "show", str(job), "--json").json["request"]["view"] for job in framed]
    assert [(view["name"], view["margin"]) for view in views] == [("top", 0.2), ("left", 0.2)]
    missing = run("jobs", "submit", "BRK-1@A", "--template", "none", "--json")
    assert (missing.code, missing.error["code"]) == (3, "template-not-found")
    assert run("jobs", "submit", "BRK-1@A").code == 2


@both_doors
def test_renders_are_listed_shown_and_exported(run: Run, rendered: int, tmp_path: Path) -> None:
    (row,) = run("renders", "list", "BRK-1@A", "--json").json
    assert (row["id"], row["seed"], row["prompt"], row["size"]) == (rendered, 3, "steel", "64x64")
    assert (row["current"], row["is_primary"], row["review_state"]) == (True, False, "proposed")
    shown = run("renders", "show", str(rendered), "--json").json
    assert shown["software"]["torch"] == "2"
    path = tmp_path / "a.jpg"
    assert run("renders", "export", str(rendered), "--out", str(path)).code == 0
    assert path.read_bytes().startswith(b"\xff\xd8")
    assert run("renders", "show", "999").code == 3


@both_doors
def test_renders_are_reviewed_and_stand_for_their_revision(run: Run, rendered: int) -> None:
    one = str(rendered)
    told = run("renders", "review", one, "approve", "--comment", "As drawn.", "--json").json
    assert (told["review_state"], told["reviewed_by"], told["review_comment"]) == (
        "approved",
        "ann",
        "As drawn.",
    )
    assert told["is_primary"] is True  # nothing stood for its revision before
    assert run("revisions", "show", "BRK-1@A", "--json").json["primary_render"] == rendered
    assert run("revisions", "clear-primary", "BRK-1@A", "--json").json["primary_render"] is None
    assert run("renders", "review", one, "propose").code == 0
    told = run("renders", "primary", one, "--json").json  # who may review approves by choosing
    assert (told["is_primary"], told["review_state"]) == (True, "approved")
    assert run("renders", "review", one, "reject").out == f"Render {one} of BRK-1@A is rejected.\n"
    refused = run("renders", "primary", one, "--json")
    assert (refused.code, refused.error["code"]) == (4, "illegal-move")
    assert run("renders", "review", one, "propose").code == 0
    assert run("renders", "review", one, "perhaps").code == 2
    assert run("renders", "review", "999", "approve").code == 3
    assert run("renders", "primary", "999").code == 3


@both_doors
def test_several_renders_are_reviewed_at_once(run: Run, rendered: int) -> None:
    one = str(rendered)
    assert [row["id"] for row in run("renders", "list", "--review-state", "proposed", "--json").json] == [
        rendered
    ]
    assert (
        run("renders", "approve", one).out
        == f"Render {one} of BRK-1@A is approved, and stands for BRK-1@A.\n"
    )
    assert run("renders", "list", "--review-state", "proposed", "--json").json == []
    refused = run("renders", "reject", "999", one, "--comment", "No.", "--json")
    assert [(row["id"], row["review_state"], row["is_primary"]) for row in refused.json] == [
        (rendered, "rejected", False)
    ]
    assert (refused.code, refused.error["code"]) == (3, "rendition-not-found")
    assert refused.error["message"] == "1 of 2 renders not rejected. There is no render 999."


@both_doors
def test_why_a_job_waits_is_told(run: Run) -> None:
    run("jobs", "submit", "BRK-1@A", "{a|b}")
    told = run("jobs", "why", "2", "--json").json
    assert (told["job_id"], told["state"], told["position"], told["ahead"]) == (2, "queued", 2, [1])
    assert (told["running"], told["workers"], told["not_before"]) == ([], [], None)
    assert run("jobs", "why", "99").code == 3


@both_doors
def test_models_and_workers_are_told_of(run: Run) -> None:
    (model,) = run("models", "list", "--json").json
    assert (model["name"], model["native_size_px"], model["source"]) == ("studio", 512, "x")
    assert run("models", "show", "studio", "--json").json["default_steps"] == 8
    assert run("models", "show", "none").code == 3
    assert run("workers", "list", "--json").json == []


@both_doors
def test_lines_of_a_file_go_in_as_far_as_they_can(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "jobs.jsonl"
    path.write_text(
        '{"revision": "BRK-1@A", "prompt": "brass", "views": ["top"]}\n'
        "{not json\n"
        '{"revision": "X@A", "prompt": "x"}\n'
        '{"revision": "BRK-1@A", "template": "hero"}\n'
    )
    answer = run("jobs", "submit", "--from", str(path), "--json")
    assert (answer.code, answer.json["accepted_lines"], len(answer.json["jobs"])) == (5, 2, 2)
    assert [(one["line"], one["code"]) for one in answer.json["rejected"]] == [
        (2, "invalid-input"),
        (3, "part-not-found"),
    ]
    again = run("jobs", "submit", "--from", str(path), "--json").json
    assert [one["how"] for one in again["jobs"]] == ["joined", "joined"]


# -- what needs the server's own host ----------------------------------------------------------------------
@pytest.mark.parametrize("words", HERE_ALONE, ids=" ".join)
def test_what_works_on_this_host_alone_says_so(
    run: Run, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MFGVIZ_SERVER_URL", "http://127.0.0.1:1")
    answer = run(*words, "--json")
    assert (answer.code, answer.error["code"]) == (5, "invalid-input")
    assert f"`mfgviz {' '.join(words[:2])}` works on this host's" in answer.error["message"]
    assert "without --server" in answer.error["remedy"]


def test_all_or_none_of_a_file_is_for_the_servers_host(run: Run, server: HttpServer, tmp_path: Path) -> None:
    (tmp_path / "parts.csv").write_text("number\nP-1\n")
    (tmp_path / "jobs.jsonl").write_text('{"revision": "BRK-1@A", "prompt": "x"}\n')
    for words in (["parts", "import", "parts.csv"], ["jobs", "submit", "--from", "jobs.jsonl"]):
        refused = run(*words[:-1], str(tmp_path / words[-1]), "--atomic", "--json")
        assert (refused.code, refused.error["code"]) == (5, "invalid-input")
        assert "Leave --atomic out" in refused.error["remedy"]
    assert run("parts", "show", "P-1").code == 3


# -- servers that are none, tokens that open nothing --------------------------------------------------------
@pytest.fixture
def stranger() -> Iterator[str]:
    """The address of a web server that knows nothing of mfgviz."""

    class Pages(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(502 if "/jobs" in self.path else 200)
            self.end_headers()
            self.wfile.write(b"<html>It works!</html>")

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Pages) as pages:
        thread = threading.Thread(target=pages.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{pages.server_port}"
        pages.shutdown()
        thread.join()


def test_a_server_is_named_on_the_command_line(run: Run, server: HttpServer, runtime: Runtime) -> None:
    del os.environ["MFGVIZ_SERVER_URL"]
    assert run("--server", server.url, "parts", "list", "--json").json[0]["number"] == "BRK-1"
    with_token = f"{server.url}/#token={make_token(runtime, 'viewer', 'eve')}"
    os.environ["MFGVIZ_TOKEN"] = "for another server"
    told = run("--server", with_token, "doctor", "--json")
    assert "'eve token' speaks for eve" in next(one["told"] for one in told.json if one["what"] == "token")
    assert "list of processes" in told.err


@pytest.mark.parametrize(
    "url", ["ftp://host", "host:8737", "http://", "http://h:port", "http://[::1", "/tmp"]
)
def test_what_is_no_address_is_refused(run: Run, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MFGVIZ_SERVER_URL", url)
    answer = run("parts", "list", "--json")
    assert (answer.code, answer.error["code"]) == (5, "unknown-server")
    assert "mfgviz up" in answer.error["remedy"]


def test_a_port_where_nobody_listens_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MFGVIZ_SERVER_URL", "http://127.0.0.1:1/#token=mfgv_secret")
    answer = run("parts", "list", "--json")
    assert (answer.code, answer.error["code"]) == (6, "server-unavailable")
    assert "http://127.0.0.1:1 does not answer" in answer.error["message"]
    assert "mfgviz serve" in answer.error["remedy"]
    assert "secret" not in answer.err


def test_another_web_server_is_not_taken_for_one(run: Run, stranger: str) -> None:
    answer = run("--server", stranger, "parts", "list", "--json")
    assert (answer.code, answer.error["code"]) == (5, "unknown-server")
    in_front = run("--server", stranger, "jobs", "list", "--json")
    assert (in_front.code, in_front.error["code"]) == (6, "server-unavailable")


@pytest.mark.parametrize(
    ("token", "remedy"),
    [
        ("", "MFGVIZ_TOKEN"),
        ("mfgv_" + "x" * 43, "tokens create"),
        ("mfgv_sécret", "Copy it again"),
        ("mfgv_secret\nX-Evil: 1", "Copy it again"),
    ],
)
def test_a_token_that_opens_nothing_is_refused(
    run: Run, server: HttpServer, token: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MFGVIZ_TOKEN", token)
    answer = run("parts", "list", "--json")
    assert (answer.code, answer.error["code"]) == (9, "unauthenticated")
    assert remedy in answer.error["remedy"]
    assert "secret" not in answer.err
    assert "sécret" not in answer.err


def test_what_a_token_may_not_do_is_said(
    run: Run, server: HttpServer, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MFGVIZ_TOKEN", make_token(runtime, "engineer", "bob"))
    run("jobs", "submit", "BRK-1@A", "steel")
    words = ["revisions", "add", "BRK-1", "B", "--state", "released"]
    for refused in (run("tokens", "list", "--json"), run("revisions", "release", "BRK-1@A", "--json"),
                    run(*words, "--json"), run(*words, "--file", str(SAMPLE), "--json")):  # fmt: skip
        assert (refused.code, refused.error["code"]) == (9, "forbidden")
        assert "Ask an admin" in refused.error["remedy"]
    monkeypatch.setenv("MFGVIZ_TOKEN", make_token(runtime, "engineer", "eve"))
    run("jobs", "submit", "BRK-1@A", "brass")
    assert run("jobs", "cancel", "2", "1", "--json").error["code"] == "forbidden"  # all or none
    assert [one["state"] for one in run("jobs", "list", "--json").json] == ["queued", "queued"]
    assert run("jobs", "cancel", "2").code == 0
    lines = Path(os.environ["MFGVIZ_DATA_DIR"]) / "lines.csv"
    lines.write_text("number\nP-1\nP-2\n")
    monkeypatch.setenv("MFGVIZ_TOKEN", make_token(runtime, "viewer", "vic"))
    stopped = run("parts", "import", str(lines), "--json")
    assert (stopped.code, stopped.error["code"]) == (9, "forbidden")
    assert stopped.error["message"].startswith("Line 2 could not be sent, 0 went in before it.")


def test_the_token_is_never_shown(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MFGVIZ_SERVER_URL", "http://host:8737/#token=plain-secret")
    for token in ("hunter2", "mfgv_hunter2", "a:hunter2@b"):
        monkeypatch.setenv("MFGVIZ_TOKEN", token)
        shown = {one["name"]: one["value"] for one in run("config", "show", "--json").json}
        assert (shown["token"], shown["server_url"]) == ("***", "http://host:8737/#token=***")
    monkeypatch.delenv("MFGVIZ_TOKEN")
    assert {one["name"]: one["value"] for one in run("config", "show", "--json").json}["token"] == ""


# -- doctor ---------------------------------------------------------------------------------------------
def test_the_doctor_looks_at_the_server(
    run: Run, server: HttpServer, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    well = run("doctor", "--json")
    found = {one["what"]: one for one in well.json}
    assert well.code == 0
    assert [found[what]["health"] for what in ("server", "server's services", "token", "workers")] == [
        "ok", "ok", "ok", "warn",
    ]  # fmt: skip
    assert "speaks for ann (admin: " in found["token"]["told"]
    monkeypatch.setenv("MFGVIZ_TOKEN", "mfgv_none")
    ill = run("doctor", "--json")
    assert ill.code == 6
    assert {one["what"]: one["health"] for one in ill.json}["token"] == "fail"
    server.stop()
    gone = run("doctor")
    assert gone.code == 6
    assert "does not answer" in gone.out


# -- a server that goes away --------------------------------------------------------------------------------
def test_a_server_that_goes_away_for_a_while_is_waited_for(
    run: Run, server: HttpServer, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "SERVER_POLL_S", 0.02)
    run("jobs", "submit", "BRK-1@A", "steel")
    looked, noted, finished = (threading.Event() for _ in range(3))
    look, note = waiting.wait_for, Output.note

    def wait_for(*arguments: Any) -> None:
        looked.set()
        look(*arguments)

    def tell(output: Output, text: str) -> None:
        note(output, text)
        if "does not answer" in text:
            noted.set()

    def restart() -> None:
        looked.wait()
        time.sleep(2.0)
        server.stop()
        noted.wait(60)
        server.start()
        with worker(runtime, paint()):
            finished.wait(60)

    monkeypatch.setattr(waiting, "wait_for", wait_for)
    monkeypatch.setattr(Output, "note", tell)
    thread = threading.Thread(target=restart)
    thread.start()
    try:
        answer = run("jobs", "wait", "1")
    finally:
        for event in (looked, noted, finished):
            event.set()
        thread.join()
    assert answer.code == 0, answer.err
    assert "does not answer" in answer.err
    assert "It is tried again; the jobs go on." in answer.err
    assert answer.out == "1\t1\tBRK-1@A\n"


def test_a_server_that_stays_away_ends_the_waiting(
    run: Run, server: HttpServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "AWAY_S", 0.5)
    run("jobs", "submit", "BRK-1@A", "steel")
    monkeypatch.setattr(waiting, "SERVER_POLL_S", 0.02)
    stopping = threading.Timer(3.0, server.stop)
    stopping.start()
    answer = run("jobs", "wait", "1", "--json")
    stopping.join()
    assert (answer.code, answer.error["code"]) == (6, "server-unavailable")


def test_too_many_requests_are_sent_more_slowly(
    run: Run, server: HttpServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server.stop()
    server.settings = replace(server.settings, requests_per_minute=120)
    server.start()
    path = tmp_path / "parts.csv"
    path.write_text("number\n" + "".join(f"P-{number}\n" for number in range(16)))
    answer = run("parts", "import", str(path), "--json")
    assert (answer.code, answer.json["imported"]) == (0, 16)


def test_an_interrupt_leaves_the_jobs_to_the_server(run: Run, server: HttpServer, tmp_path: Path) -> None:
    program = [sys.executable, "-c", "from mfgviz.cli import main; main()"]
    with (tmp_path / "err").open("wb") as err:
        process = subprocess.Popen(
            [*program, "jobs", "submit", "BRK-1@A", "steel", "--wait"],
            stdout=subprocess.DEVNULL,
            stderr=err,
            # A shell that runs the tests in the background has them ignore it, and all that they start.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )
    eventually(lambda: "queued, position 1" in (tmp_path / "err").read_text(), 60)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert "The jobs go on. To stop them: mfgviz jobs cancel 1" in (tmp_path / "err").read_text()
    assert run("jobs", "show", "1", "--json").json["state"] == "queued"


@both_doors
def test_templates_are_tried_listed_by_version_and_read_from_files(run: Run, tmp_path: Path) -> None:
    long = tmp_path / "shop.txt"
    long.write_text("{brushed|anodised black} {material},\n  studio light\n")
    assert run("templates", "save", "shop", "--file", str(long), "--view", "iso", "--view", "top").code == 0
    told = run("templates", "preview", "shop", "BRK-1@A", "--json").json
    assert (told["jobs"], told["images"], told["revision"]) == (4, 4, "BRK-1@A")
    shown = run("templates", "preview", "shop", "BRK-1@A", "--field", "material=brass")
    assert shown.out.splitlines()[:2] == [
        "iso\tbrushed brass, studio light",
        "iso\tanodised black brass, studio light",
    ]
    assert shown.err.startswith(
        "4 jobs, 4 images of BRK-1@A with shop (version 1), model studio: sampler ddim"
    )
    run("templates", "save", "shop", "{finish}")
    refused = run("templates", "preview", "shop", "BRK-1@A", "--json")
    assert (refused.code, refused.error["code"]) == (5, "missing-field")
    assert "the template shop (version 2) needs" in refused.error["message"]
    assert "material" in refused.error["remedy"]
    versions = run("templates", "list", "--versions", "shop", "--json").json
    assert [(one["version"], one["created_by"]) for one in versions] == [(2, "ann"), (1, "ann")]
    assert run("templates", "show", "shop", "--version", "1", "--json").json["prompt"].startswith("{brushed|")
    assert run("templates", "preview", "nothing", "BRK-1@A").code == 3
    assert run("templates", "save", "shop").code == 2
    assert run("templates", "save", "shop", "x", "--file", str(long)).code == 2
    long.write_bytes(b"\xff\xfe")
    assert run("templates", "save", "shop", "--file", str(long)).code == 5
