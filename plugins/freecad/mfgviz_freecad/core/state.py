"""What must outlive FreeCAD: jobs that were asked for, and requests that could not be sent yet.

One JSON file; every change reads it again first, so that two FreeCADs do not undo one another.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from . import prompts
from .files import read_json, write_json

FINAL_STATES = frozenset({"succeeded", "failed", "cancelled"})
JOBS_KEPT = 200

Row = TypeVar("Row", "AskedJob", "PendingRequest")


@dataclass(frozen=True)
class Origin:
    """Which object of which document a request came from; what is unknown is empty."""

    document: str = ""  # path of its file
    document_uid: str = ""
    document_label: str = ""
    object_name: str = ""


@dataclass(frozen=True)
class AskedJob:
    """A job on a server, asked for from here."""

    server: str
    job: int
    reference: str
    state: str = "queued"
    asked_at: float = 0.0
    origin: Origin = field(default_factory=Origin)

    @property
    def is_final(self) -> bool:
        """Whether nothing more will happen."""
        return self.state in FINAL_STATES


@dataclass(frozen=True)
class PendingRequest:
    """All that is needed to ask: kept from before the first byte is sent until the server has it.

    `key` is the Idempotency-Key: sent twice, it makes one job. `geometry` is the path of the
    exported file, empty where the revision's present geometry is rendered.
    """

    key: str
    reference: str
    body: dict[str, Any]
    name: str = ""
    part_attributes: dict[str, Any] = field(default_factory=dict)
    geometry: str = ""
    geometry_digest: str = ""
    file_name: str = "part.step"
    asked_at: float = 0.0
    trigger: str = "button"
    origin: Origin = field(default_factory=Origin)
    failure: str = ""


class StateFile:
    """The file; every method leaves it whole on the disk."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path, self._clock = path, clock

    @property
    def has_unfinished(self) -> bool:
        """Whether a job is under way somewhere, or a request waits to be sent."""
        return bool(self.pending()) or any(not job.is_final for job in self._rows("jobs", AskedJob))

    # -- jobs ----------------------------------------------------------------------------------------------
    def jobs(self, server: str) -> list[AskedJob]:
        """The jobs asked of that server, newest first."""
        return [job for job in self._rows("jobs", AskedJob) if job.server == server]

    def remember_job(self, job: AskedJob) -> None:
        """Keep it (or its new state)."""
        held = self._read()
        rows = [one for one in held["jobs"] if (one.get("server"), one.get("job")) != (job.server, job.job)]
        held["jobs"] = [asdict(job), *rows][:JOBS_KEPT]
        self._write(held)

    def note_state(self, server: str, job_id: int, state: str) -> None:
        """A known job's state has changed."""
        held = self._read()
        for one in held["jobs"]:
            if (one.get("server"), one.get("job")) == (server, job_id) and one.get("state") != state:
                one["state"] = state
                self._write(held)
                return

    def forget_job(self, server: str, job_id: int) -> None:
        """The server does not know it any more."""
        held = self._read()
        held["jobs"] = [
            one for one in held["jobs"] if (one.get("server"), one.get("job")) != (server, job_id)
        ]
        self._write(held)

    # -- requests that wait to be sent ---------------------------------------------------------------------
    def pending(self) -> list[PendingRequest]:
        """Oldest first."""
        return self._rows("pending", PendingRequest)

    def keep_pending(self, request: PendingRequest) -> PendingRequest:
        """Keep it until it is dropped."""
        kept = request if request.asked_at else replace(request, asked_at=self._clock())
        held = self._read()
        rows = [one for one in held["pending"] if one.get("key") != kept.key]
        held["pending"] = [*rows, asdict(kept)]
        self._write(held)
        return kept

    def drop_pending(self, key: str) -> None:
        """It arrived, or is not wanted any more; its exported file goes too."""
        held = self._read()
        for one in held["pending"]:
            if one.get("key") == key and one.get("geometry"):
                Path(one["geometry"]).unlink(missing_ok=True)
        held["pending"] = [one for one in held["pending"] if one.get("key") != key]
        self._write(held)

    # -- the rest ------------------------------------------------------------------------------------------
    def recent_prompts(self) -> list[str]:
        """Newest first."""
        return [one for one in self._read()["recent_prompts"] if isinstance(one, str)]

    def note_prompt(self, prompt: str) -> None:
        """It was used."""
        held = self._read()
        held["recent_prompts"] = prompts.with_recent(held["recent_prompts"], prompt)
        self._write(held)

    def last_saved(self, document: str) -> str:
        """What was asked for when that document was last saved: a fingerprint of shape and wishes."""
        return str(self._read()["last_saved"].get(document, ""))

    def note_saved(self, document: str, fingerprint: str) -> None:
        """Remember it."""
        held = self._read()
        held["last_saved"] = {**held["last_saved"], document: fingerprint}
        self._write(held)

    def _read(self) -> dict[str, Any]:
        held = read_json(self._path)
        for key, empty in (("jobs", []), ("pending", []), ("recent_prompts", []), ("last_saved", {})):
            if not isinstance(held.get(key), type(empty)):
                held[key] = empty
        for key in ("jobs", "pending"):
            held[key] = [one for one in held[key] if isinstance(one, dict)]
        return held

    def _write(self, held: dict[str, Any]) -> None:
        write_json(self._path, {**held, "version": 1})

    def _rows(self, key: str, kind: type[Row]) -> list[Row]:
        found = []
        for one in self._read()[key]:
            known = {each.name for each in fields(kind)} & set(one)
            plain = {name: one[name] for name in known}
            origin = plain.get("origin")
            plain["origin"] = Origin(**origin) if isinstance(origin, dict) else Origin()
            try:
                found.append(kind(**plain))
            except TypeError:
                continue
        return found
