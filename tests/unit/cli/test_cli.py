"""The command line, run as people run it, over a real SQLite database."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from PIL import Image

from mfgviz import __version__, cli
from mfgviz.cli import COMMANDS
from mfgviz.cli.reference import commands
from mfgviz.records import Rendition
from mfgviz.runtime import Runtime
from tests.support.commands import Run


# -- the whole ---------------------------------------------------------------------------------------------
def test_help_imports_nothing_heavy() -> None:
    code = "import sys; sys.argv = ['mfgviz', '--help']\nimport mfgviz.cli as c\ntry: c.main()\n"
    code += "except SystemExit: pass\nheavy = 'sqlalchemy celery torch numpy rich PIL'.split()\n"
    code += "print([name for name in heavy if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"
    for name in COMMANDS:
        assert f"  {name} " in done.stdout


@pytest.mark.parametrize(("name", "command"), list(commands()))
def test_every_command_has_an_example_and_json(name: str, command: click.Command) -> None:
    assert any("--json" in option.opts for option in command.params), name
    lines = [line.strip() for line in (command.help or "").splitlines()]
    examples = [line.removeprefix("Example: ") for line in lines if line.startswith("Example: ")]
    assert examples, f"{name} has no example"
    for example in examples:
        words = shlex.split(example)
        if name == "completion":
            words = shlex.split(words[1].removeprefix("$(").removesuffix(")"))
        start = ["mfgviz", *name.split()]
        assert words[: len(start)] == start
        context = click.Context(command, info_name=name)
        command.make_parser(context).parse_args(words[len(start) :])  # its options are real


def test_version_and_completion(run: Run) -> None:
    assert __version__ in run("--version").out
    for shell in ("bash", "zsh", "fish"):
        assert "_MFGVIZ_COMPLETE" in run("completion", shell).out


def test_usage_errors_exit_with_two(run: Run) -> None:
    assert run("nonsense").code == 2
    assert run("jobs", "submit").code == 2
    assert run("jobs", "submit", "BRK-1@A", "x", "--size", "big").code == 2


# -- parts and revisions --------------------------------------------------------------------------------
@pytest.mark.both_doors
def test_parts_are_added_listed_shown_and_changed(run: Run) -> None:
    assert run("parts", "add", "PN-7", "--name", "Motor bracket", "--attr", "mass_g=120", "--json").json[
        "attributes"
    ] == {"mass_g": 120}
    assert [one["number"] for one in run("parts", "list", "--search", "motor", "--json").json] == ["PN-7"]
    assert run("parts", "list").out.splitlines()[1].startswith("PN-7\tMotor bracket\tmass_g=120")
    assert run("parts", "set", "PN-7", "--attr", "finish=brushed").code == 0
    assert run("parts", "show", "PN-7", "--json").json["attributes"]["finish"] == "brushed"


@pytest.mark.both_doors
def test_errors_have_a_code_a_reason_a_remedy_and_an_exit_code(run: Run) -> None:
    twice = run("parts", "add", "BRK-1", "--json")
    assert (twice.code, twice.error["code"]) == (4, "duplicate-part")
    assert "revisions add" in twice.error["remedy"]
    missing = run("parts", "show", "nothing")
    assert missing.code == 3
    assert "There is no part 'nothing'." in missing.err
    for number in ("", "a/b", "x@y", " padded", "a\nb"):
        assert run("parts", "add", number).code == 5


def test_a_csv_goes_in_line_by_line_or_not_at_all(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "parts.csv"
    path.write_text("number,name,material\nP-1,One,steel\nBRK-1,Again,\nP/2,Bad,\nP-3,Three,007\n")
    atomic = run("parts", "import", str(path), "--atomic")
    assert atomic.code == 5
    assert "line 3" in atomic.err
    assert run("parts", "show", "P-1").code == 3
    some = run("parts", "import", str(path), "--json")
    assert (some.code, some.json["imported"]) == (5, 2)
    assert [one["line"] for one in some.json["rejected"]] == [3, 4]
    assert run("parts", "show", "P-3", "--json").json["attributes"] == {"material": "007"}
    assert run("parts", "import", str(tmp_path / "none.csv")).code == 3
    (tmp_path / "no_head.csv").write_text("a,b\n1,2\n")
    assert "no column" in run("parts", "import", str(tmp_path / "no_head.csv")).err


def test_a_real_step_file_is_read_before_anything_is_written(run: Run, tmp_path: Path) -> None:
    bad = tmp_path / "bad.step"
    bad.write_text("ISO-10303-21;\nHEADER;\n")
    refused = run("revisions", "add", "BRK-1", "B", "--file", str(bad), "--json")
    assert (refused.code, refused.error["code"]) == (5, "unreadable-geometry")
    assert [one["revision"] for one in run("revisions", "list", "BRK-1", "--json").json] == ["BRK-1@A"]
    sample = Path(cli.__file__).parent.parent / "samples" / "flange.step"
    assert run("revisions", "add", "BRK-1", "B", "--file", str(sample)).code == 0
    shown = run("revisions", "show", "BRK-1@B", "--json").json
    assert shown["geometry_state"] == "read"
    assert shown["fields"]["extent_z_mm"] > 0
    drawn = run("revisions", "maps", "BRK-1@B", "--size", "96", "--out", str(tmp_path / "maps"), "--json")
    assert {one["map"] for one in drawn.json} == {
        "depth",
        "normal",
        "edges",
        "mask",
        "clay",
        "occlusion",
        "sheet",
    }
    assert all(Path(one["file"]).exists() for one in drawn.json)


@pytest.mark.both_doors
def test_a_released_revision_does_not_change(run: Run) -> None:
    assert run("revisions", "set-state", "BRK-1@A", "released", "--source-state", "Frei").code == 0
    sample = Path(cli.__file__).parent.parent / "samples" / "flange.step"
    frozen = run("revisions", "attach", "BRK-1@A", "--file", str(sample), "--json")
    assert (frozen.code, frozen.error["code"]) == (4, "revision-frozen")
    assert run("revisions", "set-state", "BRK-1@A", "in_work").code == 4


# -- jobs ------------------------------------------------------------------------------------------
@pytest.mark.both_doors
def test_submit_without_a_broker_queues_the_job_and_says_so(run: Run) -> None:
    answer = run(
        "jobs", "submit", "BRK-1@A", "{material}, {red|blue}", "--view", "iso", "--view", "top", "--json"
    )
    assert answer.code == 0
    assert [one["how"] for one in answer.json] == ["new"] * 4
    listed = run("jobs", "list", "--json").json
    assert {one["prompt"] for one in listed} == {"steel, red", "steel, blue"}
    again = run("jobs", "submit", "BRK-1@A", "{material}, red", "--json").json
    assert again[0]["how"] == "joined"


@pytest.mark.both_doors
@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--size", "500"], "out-of-bounds-size"),
        (["--size", "2048"], "out-of-bounds-size"),
        (["--count", "0"], "invalid-request"),
        (["--steps", "-3"], "invalid-request"),
        (["--guidance-scale", "nan"], "invalid-request"),
        (["--control-scale", "2"], "invalid-request"),
        (["--model", "nothing"], "model-not-found"),
        (["--image", "/nowhere.png"], "image-unreadable"),
    ],
)
def test_requests_that_cannot_be_rendered_queue_nothing(run: Run, options: list[str], code: str) -> None:
    answer = run("jobs", "submit", "BRK-1@A", "steel", *options, "--json")
    assert answer.error["code"] == code
    assert answer.code in (3, 5)
    assert run("jobs", "list", "--json").json == []


@pytest.mark.both_doors
def test_a_bad_template_field_names_those_that_exist(run: Run) -> None:
    answer = run("jobs", "submit", "BRK-1@A", "{colour}")
    assert answer.code == 5
    assert "material" in answer.err
    assert run("jobs", "submit", "BRK-1@Z", "x").code == 3
    assert run("jobs", "submit", "NONE@A", "x").code == 3


def test_jobs_from_a_file_go_in_as_far_as_they_can(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "jobs.jsonl"
    lines = [{"revision": "BRK-1@A", "prompt": "brass", "seed": seed} for seed in range(3)]
    text = "\n".join(
        [
            *map(json.dumps, lines),
            "{not json",
            '{"revision": "BRK-1@A"}',
            '{"revision": "X@A", "prompt": "x"}',
        ]
    )
    path.write_text(text + "\n\n")
    refused = run("jobs", "submit", "--from", str(path), "--atomic", "--json")
    assert (refused.code, refused.json["jobs"]) == (5, [])
    assert run("jobs", "list", "--json").json == []
    some = run("jobs", "submit", "--from", str(path), "--json")
    assert (some.code, len(some.json["jobs"])) == (5, 3)
    assert [one["line"] for one in some.json["rejected"]] == [4, 5, 6]
    assert "3 lines" in some.err


@pytest.mark.both_doors
def test_jobs_are_shown_explained_cancelled_and_retried(run: Run) -> None:
    (job,) = run("jobs", "submit", "BRK-1@A", "steel", "--json").json
    number = str(job["job"])
    assert "No worker" in run("jobs", "why", number).out
    assert run("jobs", "show", number, "--json").json["request"]["prompt"] == "steel"
    assert run("jobs", "cancel", number, "--json").json == [{"job": job["job"], "state": "cancelled"}]
    assert run("jobs", "wait", number).code == 8
    assert run("jobs", "retry", number).code == 0
    assert run("jobs", "retry", number).code == 4
    assert run("jobs", "show", "999").code == 3


# -- renders ---------------------------------------------------------------------------------------
def test_renders_are_listed_exported_and_verified(run: Run, rendered: int, tmp_path: Path) -> None:
    (row,) = run("renders", "list", "BRK-1@A", "--json").json
    assert (row["id"], row["seed"], row["prompt"]) == (rendered, 3, "steel")
    for name in ("a.png", "a.webp", "a.jpg"):
        path = str(tmp_path / name)
        assert run("renders", "export", str(rendered), "--out", path).code == 0
        assert f"render {rendered} of BRK-1@A" in run("renders", "verify", path).out
    folder = run("renders", "export", str(rendered), "--out", str(tmp_path / "all"), "--json").json
    assert folder[0]["file"].endswith(f"BRK-1_A_{rendered}.png")
    assert run("renders", "show", str(rendered), "--json").json["software"]["torch"] == "2"
    Image.new("RGB", (8, 8)).save(tmp_path / "foreign.png")
    assert run("renders", "verify", str(tmp_path / "foreign.png")).code == 5
    assert run("renders", "export", "999", "--out", str(tmp_path / "x.png")).code == 3


@pytest.mark.both_doors
def test_waiting_for_a_finished_job_prints_its_renders(run: Run, rendered: int, tmp_path: Path) -> None:
    del rendered
    answer = run("jobs", "wait", "1", "--out", str(tmp_path / "out"), "--json")
    assert answer.code == 0
    assert Path(answer.json[0]["file"]).exists()


# -- the rest --------------------------------------------------------------------------------------
def test_the_database_is_upgraded_checked_and_said_where_it_is(run: Run) -> None:
    assert run("db", "current", "--json").json["is_current"] is True
    checked = run("db", "check")
    assert "The tables are those of this version." in checked.out
    assert (checked.code, "geometry-without-blob (1): 1" in checked.err) == (4, True)
    assert run("db", "downgrade", "base", "--yes").code == 0
    unready = run("parts", "list", "--json")
    assert (unready.code, unready.error["code"]) == (6, "database-not-migrated")
    assert run("db", "downgrade", "nonsense", "--yes").code == 5


def test_config_shows_sources_and_hides_secrets(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MFGVIZ_BROKER_URL", "redis://:hunter2@host/0")
    answer = run("config", "show")
    assert "hunter2" not in answer.out
    assert "MFGVIZ_BROKER_URL" in answer.out
    monkeypatch.setenv("MFGVIZ_LEASE_S", "soon")
    assert run("config", "show").code == 5


def test_models_and_workers_are_listed(run: Run) -> None:
    assert run("models", "list", "--json").json[0]["name"] == "studio"
    assert run("models", "show", "studio", "--json").json["default_steps"] == 8
    assert run("models", "remove", "studio").code == 0
    assert run("models", "show", "studio").code == 3
    assert run("workers", "list", "--json").json == []


def test_a_pickled_model_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "unet").mkdir()
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    (tmp_path / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x04.")
    answer = run("models", "add", "bad", str(tmp_path), "--family", "sd15", "--json")
    assert (answer.code, answer.error["code"]) == (5, "pickled-weights")


def test_doctor_says_what_to_do(run: Run) -> None:
    answer = run("doctor", "--json")
    found = {one["what"]: one for one in answer.json}
    assert found["database"]["health"] == "ok"
    assert found["broker"]["remedy"] == "It runs with `mfgviz up`."
    assert found["models"]["health"] == "fail"
    assert answer.code == 6


def test_how_well_renders_show_their_part_is_shown(run: Run, rendered: int, runtime: Runtime) -> None:
    with runtime.db.begin() as session:
        one = session.get_one(Rendition, rendered)
        one.fidelity, one.fidelity_verdict = 0.0312, "marked"
        one.fidelity_details = {"complaints": ["The hole at (3, 4) is missing."], "tried": [{}, {}]}
    (row,) = run("renders", "list", "BRK-1@A", "--json").json
    assert (row["fidelity"], row["verdict"]) == (0.0312, "marked")
    shown = run("renders", "show", str(rendered), "--json").json
    assert shown["fidelity_details"]["complaints"] == ["The hole at (3, 4) is missing."]
    job = run("jobs", "show", str(row["job"]), "--json").json
    assert (job["fidelity_policy"], job["fidelity_retries"]) == ("mark", 0)
    assert job["fidelity"][0]["verdict"] == "marked"
    assert job["fidelity"][0]["tried"] == 2
    told = run("renders", "export", str(rendered), "--out", str(runtime.settings.data_dir / "a.png"))
    assert "may not show its part (fidelity 0.03). The hole at (3, 4) is missing." in told.err


def test_a_fidelity_policy_is_chosen_and_what_does_not_fit_is_refused(run: Run) -> None:
    ask = ("jobs", "submit", "BRK-1@A", "steel", "--json")
    job = run(*ask, "--fidelity", "retry", "--fidelity-retries", "4").json[0]["job"]
    shown = run("jobs", "show", str(job), "--json").json
    assert (shown["fidelity_policy"], shown["fidelity_retries"]) == ("retry", 4)
    assert run(*ask, "--fidelity", "retry").json[0]["how"] == "new"
    refused = run(*ask, "--fidelity", "mark", "--fidelity-retries", "2")
    assert (refused.code, refused.error["code"]) == (5, "invalid-request")
    assert run(*ask, "--fidelity", "retry", "--fidelity-retries", "99").code == 5
