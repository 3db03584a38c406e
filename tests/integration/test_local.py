"""`mfgviz up` and `mfgviz demo` as people run them: programs of their own, with the bundled model."""

from __future__ import annotations

import getpass
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from PIL import Image

from mfgviz.client import Client
from mfgviz.errors import ServerUnavailableError
from tests.integration.conftest import SAMPLE
from tests.support.commands import Answer
from tests.support.workers import eventually

PROGRAM = [sys.executable, "-c", "from mfgviz.cli import main; main()"]
ENDS_S = 60


def run(folder: Path, *words: str) -> Answer:
    done = subprocess.run(
        [*PROGRAM, *words, "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "MFGVIZ_DATA_DIR": str(folder)},
        cwd=folder.parent,
    )
    return Answer(done.returncode, done.stdout, done.stderr)


class Up:
    """A running `mfgviz up`."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.process = subprocess.Popen(
            [*PROGRAM, "up", "--json", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "MFGVIZ_DATA_DIR": str(folder), "MFGVIZ_API_PORT": "0"},
        )
        assert self.process.stdout is not None
        told = self.process.stdout.readline()
        assert told, self.process.communicate()[1]
        self.told = json.loads(told)
        self.family = psutil.Process(self.process.pid).children(recursive=True)

    def end(self, how: signal.Signals) -> int:
        """Its exit code; all that it started has ended too."""
        self.process.send_signal(how)
        self.process.communicate(timeout=ENDS_S)
        _, alive = psutil.wait_procs(self.family, timeout=ENDS_S)
        assert alive == []
        return self.process.returncode


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "data"


@pytest.fixture
def up(folder: Path) -> Iterator[Up]:
    running = Up(folder)
    yield running
    if running.process.poll() is None:
        running.end(signal.SIGTERM)


def test_up_renders_until_ctrl_c_and_leaves_no_process_behind(up: Up, folder: Path) -> None:
    assert len(up.family) >= 3
    second = run(folder, "up")
    assert (second.code, second.error["code"]) == (4, "already-running")
    assert str(up.process.pid) in second.error["message"]
    assert run(folder, "parts", "add", "BRK-1", "--attr", "material=steel").code == 0
    assert run(folder, "revisions", "add", "BRK-1", "A", "--file", str(SAMPLE)).code == 0
    asked = run(folder, "jobs", "submit", "BRK-1@A", "{material}", "--size", "64", "--wait", "--out", "made")
    assert asked.code == 0, asked.err
    with Image.open(folder.parent / asked.json[0]["file"]) as image:
        assert image.size == (64, 64)
    checked = run(folder, "doctor")
    assert checked.code == 0, checked.out
    assert {one["what"]: one["health"] for one in checked.json}["workers"] == "ok"
    assert up.end(signal.SIGINT) == 0


def test_up_serves_the_api_and_lets_its_user_in(up: Up, folder: Path) -> None:
    with Client(up.told["connect"]) as client:
        me = client.me()
        assert (me.role, me.requester) == ("admin", getpass.getuser())
        assert client.queue().workers == 1
    kept = folder / "api-token"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert kept.read_text().strip() == up.told["token"]
    assert up.told["token"] not in "".join(log.read_text() for log in (folder / "logs").iterdir())
    api = next(one for one in up.family if "serve" in one.cmdline())
    api.kill()

    def is_back() -> bool:
        try:
            with Client(up.told["connect"]) as client:
                return client.me().role == "admin"
        except ServerUnavailableError:
            return False

    eventually(is_back, 60, "the API, started again on its port")
    up.family += psutil.Process(up.process.pid).children(recursive=True)
    assert up.end(signal.SIGTERM) == 0
    again = Up(folder)
    assert again.told["token"] == up.told["token"]
    assert again.end(signal.SIGINT) == 0


def test_when_up_is_killed_its_children_end_and_it_starts_again(up: Up, folder: Path) -> None:
    assert up.end(signal.SIGKILL) == -signal.SIGKILL
    again = Up(folder)
    assert again.told["state"] == "running"
    assert again.end(signal.SIGTERM) == 0


def test_up_takes_cad_files_from_the_folder_that_it_watches(folder: Path, tmp_path: Path) -> None:
    drop = tmp_path / "drop"
    drop.mkdir()
    watching = Up(folder, "--watch", str(drop))
    try:
        assert watching.told["watched"] == str(drop)
        small = ["--set", "width=64", "--set", "height=64"]
        assert run(folder, "templates", "save", "small", "steel", *small).code == 0
        (drop / "BRK-7_A.json").write_text('{"template": "small"}')
        (drop / "BRK-7_A.step").write_bytes(SAMPLE.read_bytes())
        eventually((drop / "BRK-7_A.iso.png").exists, 120, "the picture beside the file")
        verified = run(folder, "renders", "verify", str(drop / "BRK-7_A.iso.png"))
        assert (verified.code, verified.json["revision"]) == (0, "BRK-7@A")
        told = [one for one in watching.family if "connectors" in one.cmdline()]
        assert len(told) == 1
    finally:
        assert watching.end(signal.SIGINT) == 0


def test_the_demo_makes_a_new_picture_each_time(tmp_path: Path) -> None:
    words = ["demo", "--data-dir", "demo", "--prompt", "red paint"]
    first, second = run(tmp_path / "x", *words), run(tmp_path / "x", *words)
    assert (first.code, second.code) == (0, 0), first.err + second.err
    assert (first.json["revision"], first.json["seed"], second.json["seed"]) == ("BRK-0042@A", 7, 8)
    for answer in (first, second):
        with Image.open(tmp_path / answer.json["file"]) as image:
            assert image.size == (512, 512)
            assert "mfgviz" in image.text  # type: ignore[attr-defined]
    told = run(tmp_path / "demo", "renders", "verify", second.json["file"])
    assert (told.code, told.json["revision"]) == (0, "BRK-0042@A")
