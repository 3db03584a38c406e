"""What is known of a dropped file, kept beside it: for people, and for the next start."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from mfgviz.errors import NoRegularFileError
from plugins.plm.dropped import STATUS_MAX_BYTES, Entry, read_small, write_whole


class Version(BaseModel):
    """Which version of a file and its sidecar was looked at: sizes (bytes) and times (ns since 1970)."""

    model_config = ConfigDict(frozen=True)

    kind: str = "file"
    size: int = 0
    mtime_ns: int = 0
    sidecar: tuple[str, int, int] | None = None

    @classmethod
    def of(cls, entry: Entry, sidecar: Entry | None) -> Version:
        """As it lies there now. What is no file has one version."""
        if entry.kind != "file":
            return cls(kind=entry.kind)
        beside = (sidecar.kind, sidecar.size, sidecar.mtime_ns) if sidecar else None
        return cls(size=entry.size, mtime_ns=entry.mtime_ns, sidecar=beside)


class Picture(BaseModel):
    """A render that was written back."""

    render: int
    file: str
    digest: str


class Status(BaseModel):
    """What became of a file."""

    version: Literal[1] = 1
    file: str
    state: Literal["taken", "refused"]
    revision: str | None = None
    iteration: int | None = None
    error: dict[str, str] | None = None
    jobs: dict[str, str] = {}
    pictures: list[Picture] = []
    is_unread: bool = False
    digest: str | None = None
    wanted: str | None = None
    seen: Version
    updated_at: str = ""


def load(path: Path) -> Status | None:
    """What was kept; None where nothing was, or nothing that can be used: then the file is looked at
    again."""
    with suppress(OSError, NoRegularFileError, ValueError, RecursionError, ValidationError):
        content = read_small(path, STATUS_MAX_BYTES)
        status = Status.model_validate(json.loads(content or b"{}"))
        return status if all(job.isascii() and job.isdigit() for job in status.jobs) else None
    return None


def save(path: Path, error_path: Path, status: Status) -> None:
    """Keep it, and beside it for people what went wrong, if anything did. Raises OSError."""
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    told = status.model_copy(update={"updated_at": now}).model_dump(mode="json")
    write_whole(path, (json.dumps(told, indent=2) + "\n").encode())
    if status.error is None:
        with suppress(FileNotFoundError):
            error_path.unlink()
        return
    lines = [f"{status.file}: {status.error.get('message', '')}", status.error.get("remedy", ""), f"({now})"]
    write_whole(error_path, ("\n".join(filter(None, lines)) + "\n").encode("utf-8", "backslashreplace"))
