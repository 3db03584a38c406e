"""The workers' own reports: which processes there are, and when each was last heard of.

A report also says which process of which system it comes from. So a worker that died on the spot is known
to be dead by the next one that runs on the same system, without waiting for its leases to run out.
"""

from __future__ import annotations

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from mfgviz import __version__
from mfgviz.records import Worker, utcnow
from mfgviz.settings import Settings

FORGET_AFTER_S = 7 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """What a worker says of itself."""

    name: str
    queues: tuple[str, ...]
    device: str
    loaded_model: str | None
    process: str | None = None


def worker_name(settings: Settings, pid: int) -> str:
    """host:pid; host:system:pid where the host was named, since containers on it may share process ids."""
    named = [settings.worker_host] if settings.worker_host else []
    return ":".join([*named, os.uname().nodename, str(pid)])


def this_process() -> str | None:
    """Boot, namespaces, process id and start time of this process; None where the system is no Linux."""
    pid = os.getpid()
    state = _state_and_start(pid)
    with suppress(OSError):
        return f"{_system()} {pid} {state[1]}" if state else None
    return None


def gone(session: Session) -> list[str]:
    """The workers whose process was on this system and is not there any more: known to be dead."""
    try:
        system = _system()
    except OSError:
        return []
    query = select(Worker.name, Worker.process).where(
        Worker.process.startswith(f"{system} ", autoescape=True)
    )
    return [row.name for row in session.execute(query) if not _lives(str(row.process))]


def bury(session: Session, names: list[str]) -> None:
    """Forget workers that are known to be dead."""
    session.execute(delete(Worker).where(Worker.name.in_(names)))


def _system() -> str:
    """What process ids and start times are counted in: a boot, and the namespaces of a container. OSError."""
    boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    namespaces = (str(Path("/proc/self/ns", kind).readlink()) for kind in ("pid", "time"))
    return " ".join([boot, *namespaces])


def _lives(process: str) -> bool:
    """Whether that process of this system is there, and is the same one. In doubt it is."""
    *_, pid, start = process.split(" ")
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return False
    except (OSError, ValueError):
        return True  # of another user
    found = _state_and_start(int(pid))
    return found is None or (found[1] == start and found[0] not in "ZX")


def _state_and_start(pid: int) -> tuple[str, str] | None:
    """Letter of its state, and start time in clock ticks since the boot: fields 3 and 22 in proc(5)."""
    try:
        # The second field, a program's name in parentheses, may hold anything.
        fields = (
            Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        )
    except OSError:
        return None
    return fields[0], fields[19]


def report(session: Session, told: WorkerReport) -> None:
    """Note that the worker is alive."""
    build = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    values = {
        "queues": ",".join(told.queues),
        "device": told.device,
        "loaded_model": told.loaded_model,
        "version": __version__,
        "process": told.process,
    }
    statement = build(Worker).values(name=told.name, **values)
    session.execute(
        statement.on_conflict_do_update(index_elements=[Worker.name], set_={**values, "seen_at": utcnow()})
    )


def say_goodbye(session: Session, name: str) -> None:
    """The worker has stopped, and those that were not heard of for a week are forgotten."""
    session.execute(delete(Worker).where((Worker.name == name) | (Worker.seen_at < utcnow(-FORGET_AFTER_S))))


def list_workers(session: Session) -> list[Worker]:
    """All workers that reported themselves and did not say goodbye, the last heard of first."""
    return list(session.scalars(select(Worker).order_by(Worker.seen_at.desc())))
