"""Where jobs stand, as whoever waits for them sees it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, Select, literal_column, select
from sqlalchemy.orm import Session

from mfgviz import wire
from mfgviz.jobs.queries import IDS_AT_ONCE, IS_READY
from mfgviz.records import Part, PartRevision, RenderJob, Rendition
from mfgviz.vocabulary import JobState

_STANDING = (
    select(
        RenderJob.id, RenderJob.requester, RenderJob.state, RenderJob.step, RenderJob.total_steps,
        RenderJob.error_code, RenderJob.error_message, RenderJob.notes, Part.number, PartRevision.label,
    )
    .join(PartRevision, PartRevision.id == RenderJob.revision_id)
    .join(Part, Part.id == PartRevision.part_id)
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a job stands, and whose it is."""

    requester: str
    event: wire.JobEvent


def standings(session: Session, ids: Iterable[int]) -> list[Standing]:
    """Where these jobs stand, by id; those that are not there are left out."""
    wanted = sorted(set(ids))
    found: list[Standing] = []
    for at in range(0, len(wanted), IDS_AT_ONCE):
        chunk = RenderJob.id.in_(wanted[at : at + IDS_AT_ONCE])
        found += _as_standings(session, session.execute(_STANDING.where(chunk).order_by(RenderJob.id)).all())
    return found


def unfinished(session: Session, limit: int = 200) -> list[Standing]:
    """The jobs that run or wait, the running ones first, as they will be served; held ones are last."""
    found: list[Standing] = []
    for query in unfinished_queries():
        found += _as_standings(session, session.execute(query.limit(limit - len(found))).all())
    return found


def unfinished_queries() -> tuple[Select[*tuple[Any, ...]], ...]:
    """The production queries of `unfinished`. The front of the queue is read from its index; held jobs, which
    no index has, are looked for where that was not enough: among few others, then."""
    order = (RenderJob.priority.desc(), RenderJob.turn, RenderJob.id)
    held = (RenderJob.state == literal_column("'queued'")) & RenderJob.held
    running = RenderJob.state == literal_column("'running'")
    return tuple(_STANDING.where(those).order_by(*order) for those in (running, IS_READY, held))


def _as_standings(session: Session, rows: Sequence[Row[*tuple[Any, ...]]]) -> list[Standing]:
    done = [row.id for row in rows if row.state == JobState.SUCCEEDED]
    renders: dict[int, list[int]] = {}
    if done:
        attached = select(Rendition.job_id, Rendition.id).where(Rendition.job_id.in_(done))
        for job_id, render_id in session.execute(attached.order_by(Rendition.job_id, Rendition.index)):
            renders.setdefault(job_id, []).append(render_id)
    return [
        Standing(
            row.requester,
            wire.JobEvent(
                job=row.id,
                revision=f"{row.number}@{row.label}",
                state=row.state,
                step=row.step,
                total_steps=row.total_steps,
                renders=renders.get(row.id, []),
                notes=row.notes,
                error=wire.Cause(code=row.error_code, message=row.error_message or "")
                if row.error_code
                else None,
            ),
        )
        for row in rows
    ]
