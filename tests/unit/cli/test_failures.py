"""What goes wrong gets a name, a remedy, an exit code, and no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest
from PIL import Image

from mfgviz import part_search, samples
from mfgviz.cli.output import Output, duration, plain
from mfgviz.runtime import Runtime
from tests.support.commands import Run

PROGRAM = [sys.executable, "-c", "from mfgviz.cli import main; main()"]


def test_usage_errors_are_json_where_json_is_asked_for(run: Run) -> None:
    for words in (["nonsense"], ["jobs", "submit"], ["jobs", "show", "x"], ["jobs", "show", "9" * 30]):
        answer = run(*words, "--json")
        assert (answer.code, answer.error["code"]) == (2, "usage")
        assert answer.out == ""


def test_what_nobody_foresaw_is_told_without_a_traceback(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("redis://:hunter2@host/0 fell over\nand more")

    monkeypatch.setattr(part_search, "list_parts", broken)
    answer = run("parts", "list", "--json")
    assert (answer.code, answer.error["code"]) == (1, "unexpected")
    assert "RuntimeError" in answer.error["message"]
    assert "MFGVIZ_LOG_LEVEL=DEBUG" in answer.error["remedy"]
    assert "hunter2" not in answer.err
    assert "Traceback" not in run("parts", "list").err
    monkeypatch.setenv("MFGVIZ_LOG_LEVEL", "DEBUG")
    loud = run("parts", "list")
    assert loud.code == 1
    assert "Traceback" in loud.err


@pytest.mark.parametrize("kind", [KeyboardInterrupt, click.Abort])
def test_an_interrupt_exits_with_130(
    run: Run, monkeypatch: pytest.MonkeyPatch, kind: type[BaseException]
) -> None:
    def stopped(*_: object, **__: object) -> None:
        raise kind

    monkeypatch.setattr(part_search, "list_parts", stopped)
    assert run("parts", "list").code == 130


@pytest.mark.both_doors
def test_text_that_is_no_unicode_is_refused(run: Run) -> None:
    assert run("parts", "show", "\udcff").code in (3, 5)
    assert run("parts", "add", "P-2", "--name", "\udcff", "--json").error["code"] == "invalid-input"
    assert run("jobs", "submit", "BRK-1@A", "\udcff").code == 5


def test_a_broker_that_is_down_is_a_warning(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MFGVIZ_LOG_LEVEL", "WARNING")
    answer = run("jobs", "submit", "BRK-1@A", "steel", "--json")
    assert answer.code == 0
    assert [one["how"] for one in answer.json] == ["new"]


def test_a_database_that_is_down_is_named_without_its_password(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MFGVIZ_DATABASE_URL", "postgresql+psycopg://u:hunter2@127.0.0.1:1/x")
    answer = run("parts", "list", "--json")
    assert (answer.code, answer.error["code"]) == (6, "database-unavailable")
    assert "hunter2" not in answer.err


def test_colors_stay_away_where_they_are_not_wanted(monkeypatch: pytest.MonkeyPatch) -> None:
    pty = pytest.importorskip("pty")

    def err_on_a_terminal(**extra: str) -> str:
        ours, theirs = pty.openpty()
        env = {k: v for k, v in os.environ.items() if k != "NO_COLOR"} | {"TERM": "xterm"} | extra
        env["MFGVIZ_DATABASE_URL"] = "nonsense://"
        subprocess.run([*PROGRAM, "parts", "list"], stderr=theirs, stdout=theirs, env=env, check=False)
        os.close(theirs)
        text = os.read(ours, 10_000).decode()
        os.close(ours)
        return text

    assert "\x1b[31mError" in err_on_a_terminal()
    plainly = err_on_a_terminal(NO_COLOR="1")
    assert "Error: " in plainly
    assert "\x1b" not in plainly


def test_completion_completes_commands_and_options() -> None:
    def complete(words: str, at: int) -> list[str]:
        env = {**os.environ, "_MFGVIZ_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(at)}
        told = subprocess.run(PROGRAM, env=env, capture_output=True, text=True, check=False).stdout
        return [line.partition(",")[2] for line in told.splitlines()]

    assert complete("mfgviz par", 1) == ["parts"]
    assert complete("mfgviz jobs su", 2) == ["submit"]
    assert "--guidance-scale" in complete("mfgviz jobs submit --gui", 3)


def test_the_completion_script_says_how_to_install_it(run: Run) -> None:
    assert run("completion", "zsh").out.startswith("# To install it: ")
    assert "fish" in run("completion", "fish", "--json").json["install"]


# -- how things are shown ---------------------------------------------------------------------------------
def test_values_are_shown_as_people_read_them() -> None:
    moment = datetime(2026, 11, 24, 12, 0, 5, 999, tzinfo=UTC)
    assert plain(moment) == "2026-11-24T12:00:05Z"
    assert [plain(value) for value in (None, "", [], {}, True, [1, "a"], {"a": 1})] == [
        "-", "-", "-", "-", "yes", "1, a", "a=1",
    ]  # fmt: skip
    assert plain("a\tb\nc\x1b[31m") == "a b c\ufffd[31m"
    spans = [0.44, 12, 59.6, 185, 7800]
    assert [duration(timedelta(seconds=s)) for s in spans] == [
        "0.4 s", "12 s", "60 s", "3 min 05 s", "2 h 10 min",
    ]  # fmt: skip


@pytest.mark.both_doors
def test_a_terminal_gets_tables(run: Run, monkeypatch: pytest.MonkeyPatch, runtime: Runtime) -> None:
    monkeypatch.setattr(Output, "is_terminal", property(lambda self: not self.as_json))
    monkeypatch.setenv("COLUMNS", "200")
    assert run("parts", "list").out.splitlines()[0].split() == [
        "number",
        "name",
        "attributes",
        "created",
        "at",
    ]
    assert "No jobs." in run("jobs", "list").out
    queued = run("jobs", "submit", "BRK-1@A", "steel [red]")
    assert "Queued job 1." in queued.out
    assert "steel [red]" in run("jobs", "list").out
    assert "Joined" in run("jobs", "submit", "BRK-1@A", "steel [red]").out
    assert "request.prompt" in run("jobs", "show", "1").out


# -- single asks ------------------------------------------------------------------------------------------
@pytest.mark.both_doors
def test_a_picture_starts_from_a_file_clay_or_nothing(run: Run, runtime: Runtime, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), "red").save(tmp_path / "start.jpg")
    (job,) = run("jobs", "submit", "BRK-1@A", "steel", "--image", str(tmp_path / "start.jpg"), "--json").json
    how = run("jobs", "show", str(job["job"]), "--json").json["request"]["conditioning"]
    assert how["mode"] == "image"
    assert runtime.blobs.get(how["image"]).startswith(b"\x89PNG")
    (clay,) = run("jobs", "submit", "BRK-1@A", "steel", "--image", "clay", "--mode", "image", "--json").json
    assert run("jobs", "show", str(clay["job"]), "--json").json["request"]["conditioning"]["image"] == "clay"
    for words in (["--mode", "text", "--image", "clay"], ["--mode", "image"]):
        assert run("jobs", "submit", "BRK-1@A", "x", *words, "--json").error["code"] == "invalid-request"
    (tmp_path / "broken.png").write_bytes(b"\x89PNG")
    broken = run("jobs", "submit", "BRK-1@A", "x", "--image", str(tmp_path / "broken.png"), "--json")
    assert broken.error["code"] == "image-unreadable"


@pytest.mark.both_doors
def test_a_camera_comes_from_a_file(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "camera.json"
    path.write_text('{"eye_mm": [0, -300, 50], "forward": [0, 1, 0], "up": [0, 0, 1]}')
    words = ["jobs", "submit", "BRK-1@A", "steel", "--camera", str(path), "--json"]
    (job,) = run(*words, "--margin", "0.2").json
    view = run("jobs", "show", str(job["job"]), "--json").json["request"]["view"]
    assert (view["name"], view["margin"], view["eye_mm"]) == ("custom", 0.2, [0, -300, 50])
    for text in ("[]", "{", '{"eye_mm": [0, 0]}', '{"eye_mm": [0,0,0], "forward": [0,0,1], "up": [0,0,1]}'):
        path.write_text(text)
        assert run(*words).error["code"] == "invalid-request"
    path.unlink()
    assert run(*words).error["code"] == "input-file-not-found"


@pytest.mark.both_doors
def test_a_finished_job_does_not_keep_the_others_from_being_cancelled(run: Run, rendered: int) -> None:
    del rendered  # its job, 1, has succeeded
    run("jobs", "submit", "BRK-1@A", "{a|b}")
    answer = run("jobs", "cancel", "2", "1", "3", "--json")
    assert (answer.code, answer.error["code"]) == (4, "illegal-move")
    assert [one["state"] for one in answer.json] == ["cancelled", "succeeded", "cancelled"]


def test_a_broker_url_that_cannot_be_used_is_said_before_anything_is_queued(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    for url in ("foo://x", "redis://h:notaport/0"):
        monkeypatch.setenv("MFGVIZ_BROKER_URL", url)
        answer = run("jobs", "submit", "BRK-1@A", "steel", "--json")
        assert (answer.code, answer.error["code"]) == (5, "invalid-setting")
    monkeypatch.setenv("MFGVIZ_BROKER_URL", "redis://127.0.0.1:1/notadb")
    assert run("jobs", "submit", "BRK-1@A", "steel", "--json").code == 0
    monkeypatch.delenv("MFGVIZ_BROKER_URL")
    assert [one["state"] for one in run("jobs", "list", "--json").json] == ["queued"]


def test_a_data_folder_that_cannot_be_made_is_named(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MFGVIZ_DATA_DIR", "/proc/nowhere")
    for words in (["parts", "list"], ["up"]):
        answer = run(*words, "--json")
        assert (answer.code, answer.error["code"]) == (6, "storage-unavailable"), words
        assert "/proc/nowhere" in answer.error["message"]


@pytest.mark.both_doors
def test_what_a_mode_does_not_use_makes_no_other_picture(run: Run) -> None:
    def job(*words: str) -> int:
        return int(run("jobs", "submit", "BRK-1@A", "steel", *words, "--json").json[0]["job"])

    assert job() == job("--strength", "0.2")
    assert job("--mode", "text") == job("--mode", "text", "--view", "top", "--control-scale", "0.5")


@pytest.mark.both_doors
def test_a_starting_image_is_clay_or_stored(run: Run, tmp_path: Path) -> None:
    lines = [
        {"revision": "BRK-1@A", "prompt": "x", "mode": "image", "image": image}
        for image in ("clay", "../../etc/passwd", "deadbeef", "0" * 64)
    ]
    (tmp_path / "jobs.jsonl").write_text("\n".join(map(json.dumps, lines)))
    answer = run("jobs", "submit", "--from", str(tmp_path / "jobs.jsonl"), "--json")
    assert answer.code == 5
    assert [one["line"] for one in answer.json["rejected"]] == [2, 3, 4]


@pytest.mark.both_doors
def test_several_jobs_are_cancelled_and_retried_all_or_none(run: Run) -> None:
    run("jobs", "submit", "BRK-1@A", "{a|b}")
    assert run("jobs", "cancel", "1", "999").code == 3
    assert run("jobs", "show", "1", "--json").json["state"] == "queued"
    assert run("jobs", "cancel", "1", "2").code == 0
    assert run("jobs", "retry", "1", "999").code == 3
    assert run("jobs", "show", "1", "--json").json["state"] == "cancelled"
    assert [one["job"] for one in run("jobs", "retry", "1", "2", "--json").json] == [1, 2]


@pytest.mark.both_doors
def test_revisions_come_in_a_state_are_released_and_retired(run: Run) -> None:
    assert (
        run("revisions", "add", "BRK-1", "B", "--state", "in_review", "--json").json["state"] == "in_review"
    )
    assert run("revisions", "release", "BRK-1@B", "--json").json["state"] == "released"
    assert run("revisions", "obsolete", "BRK-1@B", "--json").json["state"] == "obsolete"
    assert run("revisions", "release", "BRK-1@B").code == 4
    assert run("revisions", "add", "BRK-1", "C", "--state", "nonsense").code == 2


def test_maps_are_of_a_view_or_a_camera_and_of_a_size_that_can_be(run: Run, tmp_path: Path) -> None:
    camera = tmp_path / "camera.json"
    camera.write_text(json.dumps({"eye_mm": [0, 0, 500], "forward": [0, 0, -1], "up": [0, 1, 0]}))
    run("parts", "add", "REAL-1")
    run("revisions", "add", "REAL-1", "A", "--file", str(Path(samples.__path__[0]) / "flange.step"))
    folder = tmp_path / "maps"
    words = ["revisions", "maps", "REAL-1@A", "--out", str(folder), "--json"]
    made = run(*words, "--camera", str(camera), "--size", "96x64")
    assert [row["map"] for row in made.json][-1] == "sheet"
    with Image.open(folder / "depth.png") as image:
        assert image.size == (96, 64)
    for size in ("0", "100000", "65"):
        assert run(*words, "--size", size).error["code"] == "out-of-bounds-size"
    camera.write_text(json.dumps({"eye_mm": [0, 0, 500], "forward": [0, 0, 1], "up": [0, 1, 0]}))
    away = run(*words, "--camera", str(camera))
    assert away.error["code"] == "nothing-in-view"
    assert "The part lies between (-60, " in away.error["remedy"]
    camera.write_text('{"eye_mm": [0, 0, 500]}')
    assert run(*words, "--camera", str(camera)).error["code"] == "invalid-request"
