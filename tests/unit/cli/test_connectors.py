"""`connectors`, through either door, and `up --watch`'s setting."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mfgviz import toolbox
from mfgviz.errors import InvalidSettingError
from mfgviz.local import LocalStack
from mfgviz.runtime import Runtime
from mfgviz.service import Service
from tests.support.commands import Run
from tests.support.connectors import step
from tests.support.workers import eventually
from tests.unit.cli.test_server import SAMPLE

both_doors = pytest.mark.both_doors


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    folder = tmp_path / "drop"
    folder.mkdir()
    return folder


@both_doors
def test_a_folder_is_looked_at_once(run: Run, drop: Path, door: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolbox, "is_available", lambda: False)
    (drop / "P_A.step").write_bytes(step("p"))
    (drop / "nonsense.step").write_bytes(step("n"))
    words = ["connectors", "run", "folder", "--set", f"folder={drop}", "--set", "settle_s=0.05"]
    words += ["--set", "interval_s=0.05", "--once", "--json"]
    answer = run(*words)
    assert answer.code == 0, answer.err
    told = [json.loads(line) for line in answer.out.splitlines()]
    assert [(one["what"], one["subject"]) for one in told] == [
        ("taken", "P_A.step"), ("refused", "nonsense.step"),
    ]  # fmt: skip
    assert run("revisions", "show", "P@A", "--json").json["file"] == "P_A.step"
    (entry,) = run("audit", "list", "--action", "file.refused", "--json").json
    expected = "http" if door == "server" else "connector folder"
    assert (entry["actor"], entry["details"]["door"]["door"]) == ("ann", expected)
    assert run("events", "list", "--kind", "file", "--json").json[0]["payload"]["code"] == "invalid-file-name"
    assert run(*words).out == ""


def test_which_there_are_and_what_can_be_said(run: Run, tmp_path: Path) -> None:
    (listed,) = [one for one in run("connectors", "list", "--json").json if one["name"] == "folder"]
    assert [one["name"] for one in listed["options"]][:2] == ["folder", "template"]
    assert "settle_s" in run("connectors", "show", "folder").out
    assert run("connectors", "show", "none", "--json").error["code"] == "connector-not-found"
    assert run("connectors", "run", "folder", "--json").error["code"] == "invalid-input"
    for wrong in ("folder", "=x", f"folder={tmp_path / 'none'}", "colour=red"):
        assert run("connectors", "run", "folder", "--once", "--set", wrong, "--json").code in (2, 5), wrong


def test_it_runs_until_it_is_stopped(runtime: Runtime, drop: Path) -> None:
    """A program of its own, on a real STEP file."""
    command = [sys.executable, "-c", "from mfgviz.cli import main; main()", "connectors", "run", "folder"]
    command += ["--set", f"folder={drop}", "--set", "settle_s=0.1", "--set", "interval_s=0.1", "--json"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen(command, text=True, env={**os.environ}, **pipes) as process:  # type: ignore[call-overload]
        service = Service(runtime, "ann")
        (drop / "HS_A.step").write_bytes(SAMPLE.read_bytes())
        eventually(lambda: service.parts("HS").items, 60)
        process.send_signal(signal.SIGINT)
        told, noted = process.communicate(timeout=30)
    assert process.returncode == 0, noted
    assert json.loads(told.splitlines()[0]) == {"what": "taken", "subject": "HS_A.step", "told": "HS@A"}
    assert service.revision("HS@A").facts["hole_count"] > 0


def test_up_watches_no_folder_that_is_not_there(runtime: Runtime, tmp_path: Path) -> None:
    settings = replace(runtime.settings, watch_folder=str(tmp_path / "none"))
    with pytest.raises(InvalidSettingError, match="no folder"), LocalStack(settings, print, api=True):
        pass
