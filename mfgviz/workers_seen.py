"""The workers' own reports: which processes there are, and when each was last heard of."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from mfgviz import __version__
from mfgviz.records import Worker, utcnow

FORGET_AFTER_S = 7 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """What a worker says of itself."""

    name: str
    queues: tuple[str, ...]
    device: str
    loaded_model: str | None


def report(session: Session, told: WorkerReport) -> None:
    """Note that the worker is alive."""
    build = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
    values = {
        "queues": ",".join(told.queues),
        "device": told.device,
        "loaded_model": told.loaded_model,
        "version": __version__,
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
