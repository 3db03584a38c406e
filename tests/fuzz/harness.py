"""One file through the product's own reading, in a house that is watched: what must hold of every file."""

from __future__ import annotations

import hashlib
import json
import math
import os
import random
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from mfgviz.errors import (
    GeometryError,
    MfgvizError,
    NothingInViewError,
    TessellationTimeoutError,
    ToolMissingError,
)
from mfgviz.requests import View
from tests.fuzz.mutations import mutated
from workers.geometry import TessellationLimits, control_maps, look_into, make_camera

reading = import_module("workers.geometry.tessellate")  # the package has a function of that name
ROOT = Path(__file__).resolve().parents[2]
LIMITS = TessellationLimits(timeout_s=20, memory_bytes=3 * 2**30, file_bytes=8 * 2**20, triangles=300_000)
MAPS_PX = 32
TITLES = {"step": "step", "iges": "iges", "brep": "brep", "fcstd": "FCStd"}


@dataclass
class Outcome:
    """What became of a file, and what did not hold."""

    code: str
    broken: list[str] = field(default_factory=list)


class Zygote:
    """The forking reader (`zygote.py`) in place of the one that starts anew."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[str] | None = None
        self.answer: dict[str, Any] = {}

    def __call__(self, folder: Path, timeout_s: float) -> int | None:
        """As `tessellate.run_reader`."""
        if self._process is None or self._process.poll() is not None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.fuzz.zygote"],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
                env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            )  # fmt: skip
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{folder}\t{timeout_s}\n")
        self._process.stdin.flush()
        self.answer = json.loads(self._process.stdout.readline())
        code: int | None = self.answer["exit_code"]
        return code

    def close(self) -> None:
        """End it."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(20)
            assert self._process.stdout is not None
            self._process.stdout.close()


class House:
    """A home, a temporary folder and a data folder that must be after every file as they were before, and a
    server on this host that nobody may call."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("home", "tmp", "data", "work"):
            (folder / name).mkdir()
        (folder / "home" / ".bashrc").write_text("# untouched\n")
        (folder / "data" / "mfgviz.db").write_bytes(b"a database")
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.setblocking(False)
        self.address = "{}:{}".format(*self.listener.getsockname())
        self.zygote = Zygote()
        self._before = self._tree()

    @contextmanager
    def lived_in(self) -> Iterator[House]:
        """With HOME and the temporary folder there."""
        old, held = dict(os.environ), tempfile.tempdir
        os.environ.update(HOME=str(self.folder / "home"), TMPDIR=str(self.folder / "tmp"))
        os.environ["MFGVIZ_DATABASE_URL"] = "postgresql://ann:open-sesame@db/mfgviz"
        tempfile.tempdir = str(self.folder / "tmp")
        quick, reading.run_reader = reading.run_reader, self.zygote
        try:
            yield self
        finally:
            reading.run_reader = quick
            self.zygote.close()
            self.listener.close()
            os.environ.clear()
            os.environ.update(old)
            tempfile.tempdir = held

    def check(self, name: str, content: bytes, limits: TessellationLimits = LIMITS) -> Outcome:
        """Read the file of that name and content, and look whether all is as it must be."""
        path = self.folder / "work" / name
        path.write_bytes(content)
        os.utime(path, (0, 0))
        outcome = self._read(path, limits)
        path.unlink()
        if self._tree() != self._before:
            outcome.broken.append(f"files changed: {sorted(set(self._tree()) ^ set(self._before))}")
            self._before = self._tree()
        try:
            self.listener.accept()[0].close()
            outcome.broken.append("it called a server")
        except BlockingIOError:
            pass
        return outcome

    def _read(self, path: Path, limits: TessellationLimits) -> Outcome:
        try:
            read = look_into(path, limits)
        except MfgvizError as error:
            return Outcome(error.code, [*self._processes(limits), *wrong_with(error)])
        except Exception as error:  # noqa: BLE001 - finding these is what it is for
            return Outcome("crash", [f"{type(error).__name__}: {error}"])
        broken = [*self._processes(limits), *wrong_facts(read.facts)]
        try:
            mesh = reading.tessellate(path, limits)
            control_maps(mesh, make_camera(View("iso"), mesh.vertices, MAPS_PX, MAPS_PX), MAPS_PX, MAPS_PX)
        except (NothingInViewError, TessellationTimeoutError):
            pass  # a file that takes nearly all of its time the first time may take more the second
        except MfgvizError as error:
            broken += [f"told, and not meshed: {error.code}: {error}"]
        except Exception as error:  # noqa: BLE001
            broken += [f"maps: {type(error).__name__}: {error}"]
        return Outcome("read", broken)

    def _processes(self, limits: TessellationLimits) -> list[str]:
        answer = self.zygote.answer
        found = []
        if answer.get("orphans"):
            found.append(f"{answer['orphans']} processes left")
        if answer.get("peak_kib", 0) * 1024 > limits.memory_bytes:
            found.append(f"{answer['peak_kib']:,} KiB of memory")
        return found

    def _tree(self) -> list[str]:
        found = []
        for path in sorted(self.folder.rglob("*")):
            content = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
            found.append(f"{path.relative_to(self.folder)} {path.lstat().st_mode} {content}")
        return found


def wrong_with(error: MfgvizError) -> list[str]:
    """What is wrong with a refusal: each names itself and what to do, in one line that may be printed."""
    found = []
    if not isinstance(error, GeometryError | ToolMissingError) or type(error) is GeometryError:
        found.append(f"refused as {type(error).__name__}")
    if not error.remedy:
        found.append(f"no remedy: {error}")
    if len(error.message) > 1000 or not error.message.isprintable():
        found.append(f"not to be printed: {error.message[:300]!r}")
    if any(word in error.message for word in ("Traceback", "site-packages", "mfgviz-")):
        found.append(f"the inside shows: {error.message}")
    return found


def wrong_facts(facts: dict[str, Any]) -> list[str]:
    """What is wrong with facts: each is a number that is one, or text that any database takes."""
    found = []

    def walk(one: Any, where: str) -> None:
        if isinstance(one, dict):
            for key, value in one.items():
                walk(value, f"{where}.{key}")
        elif isinstance(one, list | tuple):
            for value in one:
                walk(value, where)
        elif isinstance(one, float) and not math.isfinite(one):
            found.append(f"{where} is {one}")
        elif isinstance(one, str) and (not one.isprintable() or len(one) > 256):
            found.append(f"{where} is {one[:80]!r}")

    walk(facts, "facts")
    return found


def fuzzed(seed: int, number: int, goods: dict[str, list[bytes]]) -> tuple[str, bytes]:
    """The name and content of one bent file; the same two numbers give the same file."""
    rng = random.Random(f"{seed}:{number}")
    kinds = [kind for kind in sorted(goods) if kind != "fcstd" or rng.random() < 0.25]
    kind = rng.choice(kinds)
    content = mutated(rng, kind, rng.choice(goods[kind]), goods[rng.choice(kinds)])
    if rng.random() < 0.03:  # of another format than its name says
        kind = rng.choice(sorted(goods))
    return f"part.{TITLES.get(kind, kind)}", content
