"""Waiting for jobs: live progress on a terminal, a line a change in a pipe."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mfgviz import jobs, renditions
from mfgviz.cli.output import Output, Row
from mfgviz.errors import JobCancelledError, JobFailedError, JobNotFoundError
from mfgviz.jobs import JobProgress
from mfgviz.jobs.queries import live_workers
from mfgviz.vocabulary import FINAL_STATES, JobState

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from mfgviz.records import Rendition
    from mfgviz.runtime import Runtime

POLL_S = 0.2
# A position costs a count over the queue: it is asked for less often, and not for a crowd.
POSITIONS_EVERY_S = 1.0
ONE_BY_ONE = 20


@dataclass(frozen=True, slots=True)
class Progress:
    """A job as it stands; `position` in the queue while it waits, None where nobody counted."""

    job: JobProgress
    position: int | None = None


Report = Callable[[Progress], None]


def wait_for(
    runtime: Runtime, ids: Iterable[int], report: Report, alive: Callable[[], None] | None = None
) -> None:
    """Report every change of the jobs until all are finished. `alive` is called at each look."""
    pending, told = set(ids), dict[int, Progress]()
    positions: dict[int, int | None] = {}
    count_at = 0.0
    while True:
        with runtime.db.read() as session:
            now = jobs.progress(session, pending)
            if time.monotonic() >= count_at:
                positions = _positions(session, now)
                count_at = time.monotonic() + POSITIONS_EVERY_S
        for one in now:
            seen = Progress(one, positions.get(one.job_id) if one.state is JobState.QUEUED else None)
            if told.get(one.job_id) != seen:
                told[one.job_id] = seen
                report(seen)
        pending = {one.job_id for one in now if one.state not in FINAL_STATES}
        if not pending:
            return
        if alive is not None:
            alive()
        time.sleep(POLL_S)


def _positions(session: Session, now: list[JobProgress]) -> dict[int, int | None]:
    waiting = [one.job_id for one in now if one.state is JobState.QUEUED]
    if len(waiting) > ONE_BY_ONE:
        return {}
    return {job_id: jobs.why(session, job_id).position for job_id in waiting}


def finish(out: Output, ids: list[int], folder: Path | None) -> None:
    """Wait for the jobs, export their pictures where asked, and fail if one of them failed.

    Raises:
        JobNotFoundError: there is no such job.
        JobFailedError, JobCancelledError: one of them did not succeed.
    """
    with out.runtime.db.read() as session:
        missing = set(ids) - {one.job_id for one in jobs.progress(session, ids)}
    if missing:
        raise JobNotFoundError(f"There is no job {', '.join(map(str, sorted(missing)[:8]))}.")
    watch_safely(out, ids)
    rows = _results(out, ids, folder)
    out.rows(rows, ["job", "render", "file"] if folder else ["job", "render", "revision"])
    for note in dict.fromkeys(note for row in rows for note in row["notes"]):
        out.note(f"Note: {note}")
    _raise_for(out, ids)
    if rows and not folder and out.is_terminal:
        click.echo(f"Next: mfgviz renders export {rows[0]['render']} --out render.png")


def watch_safely(out: Output, ids: list[int]) -> None:
    """As `watch`; says so where no worker runs, and how to stop the jobs where Ctrl-C ends the waiting."""
    with out.runtime.db.read() as session:
        idle = not live_workers(session) and any(
            one.state not in FINAL_STATES for one in jobs.progress(session, ids)
        )
    if idle:
        out.note("No worker is running. Run `mfgviz up` in another terminal; the jobs are safe and wait.")
    try:
        watch(out, ids)
    except KeyboardInterrupt:
        shown = " ".join(map(str, ids[:ONE_BY_ONE])) + (" …" if len(ids) > ONE_BY_ONE else "")
        out.note(f"The jobs go on. To stop them: mfgviz jobs cancel {shown}")
        raise


def watch(out: Output, ids: list[int], alive: Callable[[], None] | None = None) -> None:
    """Show the jobs' progress until all are finished."""
    if out.is_terminal:
        _watch_live(out, ids, alive)
    elif out.as_json:
        wait_for(out.runtime, ids, lambda _one: None, alive)
    else:
        wait_for(out.runtime, ids, lambda one: out.note(f"job {one.job.job_id}: {line_of(one)}"), alive)


def line_of(one: Progress) -> str:
    """A job's progress in a few words."""
    job = one.job
    if job.state is JobState.QUEUED:
        return "queued" + (f", position {one.position}" if one.position else "")
    if job.state is JobState.RUNNING:
        return f"step {job.step} of {job.total_steps}"
    return f"{job.state}" + (f": {job.error}" if job.state is JobState.FAILED else "")


def _watch_live(out: Output, ids: list[int], alive: Callable[[], None] | None) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[told]}", markup=False),
        TimeElapsedColumn(),
    )
    with Bars(*columns, console=Console(stderr=True)) as bars:
        report = _one_bar_each(bars, ids) if len(ids) <= ONE_BY_ONE else _one_bar(bars, len(ids))
        wait_for(out.runtime, ids, report, alive)


def _one_bar_each(bars: Any, ids: list[int]) -> Report:
    tasks = {job_id: bars.add_task(f"job {job_id}", total=1, told="") for job_id in ids}

    def report(one: Progress) -> None:
        total = max(one.job.total_steps, 1)
        done = total if one.job.state is JobState.SUCCEEDED else one.job.step
        bars.update(tasks[one.job.job_id], completed=done, total=total, told=line_of(one))

    return report


def _one_bar(bars: Any, count: int) -> Report:
    task = bars.add_task(f"{count} jobs", total=count, told="")
    states: dict[int, JobState] = {}

    def report(one: Progress) -> None:
        states[one.job.job_id] = one.job.state
        kinds = list(states.values())
        done = sum(kind in FINAL_STATES for kind in kinds)
        failed = kinds.count(JobState.FAILED)
        told = f"{done} done, {kinds.count(JobState.RUNNING)} running" + (
            f", {failed} failed" if failed else ""
        )
        bars.update(task, completed=done, told=told)

    return report


def _results(out: Output, ids: list[int], folder: Path | None) -> list[Row]:
    found: list[tuple[Row, Rendition]] = []
    with out.runtime.db.read() as session:
        for job_id in ids:
            for one in renditions.of_job(session, job_id):
                row = {"job": job_id, "render": one.id, "revision": one.revision.reference, "seed": one.seed}
                found.append(({**row, "notes": one.job.notes}, one))
    if folder:
        for row, one in found:
            row["file"] = str(renditions.export(out.runtime.blobs, one, folder / file_name(one)))
    return [row for row, _ in found]


def file_name(rendition: Rendition, extension: str = "png") -> str:
    """What a render's file is called in a folder of exports."""
    return f"{rendition.revision.reference.replace('@', '_')}_{rendition.id}.{extension}"


def _raise_for(out: Output, ids: list[int]) -> None:
    """Raises JobFailedError or JobCancelledError where one of the finished jobs did not succeed."""
    with out.runtime.db.read() as session:
        found = jobs.progress(session, ids)
        failed = [one.job_id for one in found if one.state is JobState.FAILED]
        cancelled = [one.job_id for one in found if one.state is JobState.CANCELLED]
        first = jobs.get(session, failed[0]) if failed else None
    if first is not None:
        others = f" ({len(failed) - 1} more of {len(ids)} failed.)" if len(failed) > 1 else ""
        raise JobFailedError(
            f"Job {first.id} failed ({first.error_code}): {first.error_message}{others}",
            remedy=f"`mfgviz jobs show {first.id}` tells more; `jobs retry` tries again.",
        )
    if cancelled:
        others = f", and {len(cancelled) - 1} more" if len(cancelled) > 1 else ""
        raise JobCancelledError(f"Job {cancelled[0]} was cancelled{others}.")
