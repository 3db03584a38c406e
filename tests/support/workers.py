"""Real worker processes: `celery -A workers.app worker`, as on any host."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from sqlalchemy import select

from mfgviz import workers_seen
from mfgviz.local import environment_of, stop_process
from mfgviz.records import Worker
from mfgviz.runtime import Runtime
from mfgviz.settings import Settings

T = TypeVar("T")
START_S = 120.0


def eventually(look: Callable[[], T | bool | None], limit_s: float = 60.0, what: str = "") -> T:
    """What `look` answers as soon as it is true."""
    deadline = time.monotonic() + limit_s
    while True:
        found = look()
        if found:
            return found  # type: ignore[return-value]
        assert time.monotonic() < deadline, f"not within {limit_s:g} s: {what or look}"
        time.sleep(0.05)


def environment_for(settings: Settings, code: Path | None = None) -> dict[str, str]:
    """The variables of a process with these settings, whose modules come from that folder."""
    where = {} if code is None else {"PYTHONPATH": str(code)}
    return {**os.environ, **environment_of(settings), **where}


@dataclass
class WorkerProcess:
    """A worker process, its log beside it; of the code in another folder, where one is named."""

    settings: Settings
    log: Path
    queues: str = "gpu,cpu"
    environment: dict[str, str] = field(default_factory=dict)
    code: Path | None = None
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> WorkerProcess:
        """Start it and wait until it has reported itself."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", "workers.app", "worker", "-Q", self.queues],
                env={
                    **environment_for(self.settings, self.code),
                    "MFGVIZ_LOG_LEVEL": "INFO",
                    **self.environment,
                },
                cwd=self.code,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        eventually(self.has_reported, START_S, f"the worker's start; see {self.log}")
        return self

    @property
    def name(self) -> str:
        """As the worker names itself."""
        assert self.process is not None
        return workers_seen.worker_name(self.settings, self.process.pid)

    def has_reported(self) -> bool:
        """Whether it is in the table of workers."""
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        runtime = Runtime(self.settings)
        try:
            with runtime.db.read() as session:
                return session.scalar(select(Worker.name).where(Worker.name == self.name)) is not None
        finally:
            runtime.close()

    def kill(self) -> None:
        """SIGKILL."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """SIGTERM, and wait."""
        if self.process is not None:
            stop_process(self.process, 30)
