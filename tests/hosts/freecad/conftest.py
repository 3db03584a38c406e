"""A whole service (`mfgviz up`), and FreeCAD in a window of its own under Xvfb that plays a scene."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from plugins import build_freecad

ROOT = Path(__file__).parent.parent.parent.parent
SCENES = Path(__file__).parent / "scenes"
SHOTS = ROOT / "var" / "freecad-screenshots"
SAMPLE = ROOT / "mfgviz" / "samples" / "bracket.step"
NEEDED = ("freecad", "xvfb-run", "xauth")
SCENE_S = 480
ENDS_S = 60

Play = Callable[..., "Result"]


@dataclass
class Result:
    """What a scene saw, and the longest gaps of the event loop: label → [wall, processor] in seconds."""

    seen: dict[str, Any]
    gaps: dict[str, list[float]]
    log: str


@dataclass
class Service:
    """`mfgviz up` on a port of its own, with the bundled model."""

    folder: Path
    port: int
    variables: Mapping[str, str] = field(default_factory=dict)
    process: subprocess.Popen[str] | None = None
    told: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where the API is."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def connect(self) -> str:
        """The connect string it printed."""
        return str(self.told["connect"])

    @property
    def token(self) -> str:
        """The token in it."""
        return self.connect.partition("#token=")[2]

    @property
    def environment(self) -> dict[str, str]:
        """For commands that work on the same data."""
        return {
            **os.environ,
            "MFGVIZ_DATA_DIR": str(self.folder),
            "MFGVIZ_API_PORT": str(self.port),
            **self.variables,
        }

    def start(self) -> Service:
        """Start it; it has a worker when it answers."""
        self.process = subprocess.Popen(
            [sys.executable, "-c", "from mfgviz.cli import main; main()", "up", "--json"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        self.told = json.loads(line)
        return self

    def end(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it and all that it started."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.communicate(timeout=ENDS_S)
            self.process = None

    def get(self, path: str, *, raw: bool = False) -> Any:
        """GET of the API."""
        content = self._open(path)
        return content if raw else json.loads(content)

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        """POST to the API."""
        return json.loads(self._open(path, json.dumps(body).encode()))

    def _open(self, path: str, body: bytes | None = None) -> bytes:
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/api/v1{path}", body, headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            return bytes(answer.read())

    def revision(self, reference: str) -> Any:
        """A revision, or None."""
        try:
            return self.get(f"/revisions/{quote(reference, safe='')}")
        except urllib.error.HTTPError as error:
            if error.code == 404:
                return None
            raise

    def renders(self, reference: str) -> list[Any]:
        """Its renders, newest first."""
        return list(self.get(f"/revisions/{quote(reference, safe='')}/renders")["items"])

    def run(self, *words: str) -> Any:
        """An `mfgviz` command on the same data."""
        done = subprocess.run(
            [sys.executable, "-c", "from mfgviz.cli import main; main()", *words, "--json"],
            capture_output=True,
            text=True,
            check=False,
            env=self.environment,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(scope="session")
def freecad() -> Path:
    """FreeCAD's program. Where it may not be installed these tests are skipped."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{', '.join(missing)} not installed: apt-get install freecad xvfb xauth")
    return Path(str(shutil.which("freecad")))


@pytest.fixture(scope="session")
def service(freecad: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One service for all scenes that leave it running."""
    del freecad
    running = Service(tmp_path_factory.mktemp("service") / "data", free_port()).start()
    yield running
    running.end()


def user_folder(folder: Path) -> Path:
    """A FreeCAD user folder with the add-on as it is packed, and nothing else."""
    shutil.unpack_archive(build_freecad.build(folder / "dist"), folder / "home" / "Mod")
    return folder / "home"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """FreeCAD's user folder."""
    return user_folder(tmp_path)


@pytest.fixture
def play(freecad: Path, home: Path, tmp_path: Path) -> Play:
    """Plays scenes."""
    return player(freecad, home, tmp_path)


def player(freecad: Path, home: Path, folder: Path) -> Play:
    """Plays a scene in FreeCAD and hands back what it saw. `connect` presets the server and its token."""

    def run(
        name: str, *, connect: str = "", answers: Mapping[str, Callable[[], None]] | None = None, **given: Any
    ) -> Result:
        if connect:
            set_server(home, connect)
        (folder / "result.json").unlink(missing_ok=True)
        environment = {
            **os.environ,
            "FREECAD_USER_HOME": str(home),
            "HOME": str(home),
            "QTWEBENGINE_DISABLE_SANDBOX": "1",
            "LIBGL_ALWAYS_SOFTWARE": "1",
            "LC_ALL": "C.UTF-8",
            "PYTHONPATH": str(SCENES),
            "PYTHONDONTWRITEBYTECODE": "1",
            "MFGVIZ_SCENE_FOLDER": str(folder),
            "MFGVIZ_SCENE_SHOTS": str(SHOTS / name),
            "MFGVIZ_SCENE_GIVEN": json.dumps({**given, "home": str(home)}),
        }
        screen = ["xvfb-run", "-a", "-s", "-screen 0 1920x1080x24 -dpi 96 +extension GLX"]
        output = folder / f"{name}.log"
        with output.open("wb") as stream:
            process = subprocess.Popen(
                [*screen, str(freecad), str(SCENES / f"{name}.py")],
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=folder,
                start_new_session=True,
            )
        try:
            _attend(process, folder, answers or {})
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        log = output.read_text(errors="replace")
        assert (folder / "result.json").exists(), f"FreeCAD ended with {process.returncode}\n{log[-4000:]}"
        result = json.loads((folder / "result.json").read_text())
        assert result["error"] is None, f"{result['error']}\n{log[-3000:]}"
        assert "Traceback" not in log, log[-4000:]
        return Result(result["seen"], result["gaps"], log)

    return run


def _attend(
    process: subprocess.Popen[bytes], folder: Path, answers: Mapping[str, Callable[[], None]]
) -> None:
    """Wait for the scene's end; do what it asks for meanwhile."""
    deadline = time.monotonic() + SCENE_S
    while process.poll() is None:
        assert time.monotonic() < deadline, f"the scene takes more than {SCENE_S} s"
        for asked in folder.glob("ask-*"):
            answers[asked.read_text()]()
            asked.unlink()
        time.sleep(0.05)


def set_server(home: Path, connect: str) -> None:
    """What the settings dialog leaves behind."""
    url, _, token = connect.partition("/#token=")
    folder = home / "mfgviz"
    folder.mkdir(exist_ok=True)
    (folder / "settings.json").write_text(json.dumps({"server_url": url}))
    (folder / "tokens.json").write_text(json.dumps({url: token}))
    (folder / "tokens.json").chmod(0o600)
