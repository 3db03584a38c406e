"""The doors that people use: the service over its database, HTTP, and the command line."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from mfgviz.client import Client
from mfgviz.errors import MfgvizError, error_of
from mfgviz.runtime import Runtime
from mfgviz.service import Service
from mfgviz.settings import Settings
from mfgviz.wire import JobBody

Answers = list[tuple[int, str]]


class Door(Protocol):
    """Submit, cancel and retry. Errors are `MfgvizError`, whatever the door."""

    def submit(self, asks: Sequence[dict[str, Any]], key: str) -> Answers: ...
    def cancel(self, ids: Sequence[int]) -> None: ...
    def retry(self, ids: Sequence[int]) -> None: ...
    def close(self) -> None: ...


class Keyed:
    """The service, or a client of it: both take keys."""

    def __init__(self, inner: Service | Client) -> None:
        self._inner = inner

    def close(self) -> None:
        """Close the connections."""
        (self._inner.runtime if isinstance(self._inner, Service) else self._inner).close()

    def submit(self, asks: Sequence[dict[str, Any]], key: str) -> Answers:
        """One ask under its key."""
        (ask,) = asks
        answer = self._inner.submit(JobBody.model_validate(ask), key)
        return [(one.job, one.how) for one in answer.items]

    def cancel(self, ids: Sequence[int]) -> None:
        """At once."""
        self._inner.cancel_all(ids)

    def retry(self, ids: Sequence[int]) -> None:
        """All or none."""
        self._inner.retry_all(ids)


class CommandLine:
    """`mfgviz` as a process of its own."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = dict(environment)

    def close(self) -> None:
        """Each command has closed its own."""

    def submit(self, asks: Sequence[dict[str, Any]], key: str) -> Answers:
        """Many asks as lines of a file: all or none. It knows no keys: the same again is joined or reused."""
        del key
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as lines:
            lines.write("\n".join(json.dumps(ask) for ask in asks) + "\n")
            lines.flush()
            told = self._run("jobs", "submit", "--from", lines.name, "--atomic")
        return [(one["job"], one["how"]) for one in told["jobs"]]

    def cancel(self, ids: Sequence[int]) -> None:
        """At once."""
        self._run("jobs", "cancel", *map(str, ids))

    def retry(self, ids: Sequence[int]) -> None:
        """All or none."""
        self._run("jobs", "retry", *map(str, ids))

    def _run(self, *words: str) -> Any:
        done = subprocess.run(
            [sys.executable, "-m", "mfgviz.cli", *words, "--json"],
            env=self._environment, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL,
            timeout=240,
        )  # fmt: skip
        if done.returncode:
            try:
                raise error_of(json.loads(done.stderr.strip().splitlines()[-1])["error"])
            except (IndexError, KeyError, ValueError):
                raise MfgvizError(f"{words} ended with {done.returncode}: {done.stderr}") from None
        return json.loads(done.stdout)


def open_door(kind: str, settings: Settings, api: tuple[str, str], environment: Mapping[str, str]) -> Door:
    """The door of that kind; `api` is the server's address and a token."""
    if kind == "service":
        return Keyed(Service(Runtime(settings), settings.requester))
    if kind == "http":
        return Keyed(Client(*api))
    return CommandLine(environment)
