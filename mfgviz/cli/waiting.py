"""Waiting for jobs: live progress on a terminal, a line a change in a pipe."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from mfgviz import jobs, renditions
from mfgviz.cli.output import Output
from mfgviz.errors import JobCancelledError, JobFailedError
from mfgviz.jobs.queries import live_workers
from mfgviz.records import Rendition
from mfgviz.runtime import Runtime
from mfgviz.vocabulary import FINAL_STATES, JobState

POLL_S = 0.2
Report = Callable[["Progress"], None]


@dataclass(frozen=True, slots=True)
class Progress:
    """A job as it stands; `position` in the queue while it waits."""

    job_id: int
    state: JobState
    step: int
    total_steps: int
    position: int | None = None
    error: str | None = None


def wait_for(
    runtime: Runtime, ids: list[int], report: Report, alive: Callable[[], None] | None = None
) -> None:
    """Report every change of the jobs until all are finished. `alive` is called at each look."""
    told: dict[int, Progress] = {}
    while True:
        with runtime.db.read() as session:
            now = [_look(session, job_id) for job_id in ids]
        for one in now:
            if told.get(one.job_id) != one:
                told[one.job_id] = one
                report(one)
        if all(one.state in FINAL_STATES for one in now):
            return
        if alive is not None:
            alive()
        time.sleep(POLL_S)


def _look(session: Any, job_id: int) -> Progress:
    job = jobs.get(session, job_id)
    state = JobState(job.state)
    position = jobs.why(session, job_id).position if state is JobState.QUEUED else None
    return Progress(job_id, state, job.step, job.total_steps, position, job.error_message)


def finish(out: Output, ids: list[int], folder: Path | None) -> None:
    """Wait for the jobs, export their pictures where asked, and fail if one of them failed.

    Raises:
        JobFailedError, JobCancelledError: one of them did not succeed.
    """
    runtime = out.runtime
    with runtime.db.read() as session:
        for job_id in ids:
            jobs.get(session, job_id)
        if not live_workers(session):
            out.note("No worker is running. Run `mfgviz up` in another terminal; the jobs are safe and wait.")
    try:
        watch(out, ids)
    except KeyboardInterrupt:
        out.note(f"The jobs go on. To stop them: mfgviz jobs cancel {' '.join(map(str, ids))}")
        raise
    rows = _results(out, ids, folder)
    columns = ["job", "render", "file"] if folder else ["job", "render", "revision"]
    out.rows(rows, columns)
    for row in rows:
        for note in row["notes"]:
            out.note(f"Note: {note}")
    _raise_for(out, ids)
    if rows and not folder and out.is_terminal:
        click.echo(f"Next: mfgviz renders export {rows[0]['render']} --out render.png")


def watch(out: Output, ids: list[int], alive: Callable[[], None] | None = None) -> None:
    """Show the jobs' progress until all are finished."""
    if out.is_terminal:
        _watch_live(out, ids, alive)
    elif out.as_json:
        wait_for(out.runtime, ids, lambda _one: None, alive)
    else:
        wait_for(out.runtime, ids, lambda one: out.note(line_of(one)), alive)


def line_of(one: Progress) -> str:
    """A job's progress in a line."""
    if one.state is JobState.QUEUED:
        return f"job {one.job_id}: queued, position {one.position}"
    if one.state is JobState.RUNNING:
        return f"job {one.job_id}: step {one.step} of {one.total_steps}"
    return f"job {one.job_id}: {one.state}" + (f": {one.error}" if one.state is JobState.FAILED else "")


def _watch_live(out: Output, ids: list[int], alive: Callable[[], None] | None) -> None:
    from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[told]}"),
        TimeElapsedColumn(),
    )
    with Bars(*columns) as bars:
        tasks = {job_id: bars.add_task(f"job {job_id}", total=1, told="") for job_id in ids}

        def report(one: Progress) -> None:
            told = line_of(one).split(": ", 1)[1]
            total = max(one.total_steps, 1)
            done = total if one.state is JobState.SUCCEEDED else one.step
            bars.update(tasks[one.job_id], completed=done, total=total, told=told)

        wait_for(out.runtime, ids, report, alive)


def _results(out: Output, ids: list[int], folder: Path | None) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    with out.runtime.db.read() as session:
        for job_id in ids:
            notes = jobs.get(session, job_id).notes
            for one in renditions.of_job(session, job_id):
                reference = one.revision.reference
                row: dict[str, Any] = {
                    "job": job_id,
                    "render": one.id,
                    "revision": reference,
                    "seed": one.seed,
                }
                rows.append({**row, "notes": notes, "rendition": one})
    for row in rows:
        rendition: Rendition = row.pop("rendition")
        if folder:
            name = f"{rendition.revision.reference.replace('@', '_')}_{rendition.id}.png"
            row["file"] = str(renditions.export(out.runtime.blobs, rendition, folder / name))
    return rows


def _raise_for(out: Output, ids: list[int]) -> None:
    with out.runtime.db.read() as session:
        found = [jobs.get(session, job_id) for job_id in ids]
    failed = [job for job in found if job.state == JobState.FAILED]
    if failed:
        raise JobFailedError(
            f"Job {failed[0].id} failed ({failed[0].error_code}): {failed[0].error_message}",
            remedy=f"`mfgviz jobs show {failed[0].id}` tells more; `jobs retry` tries again.",
        )
    if cancelled := [job for job in found if job.state == JobState.CANCELLED]:
        raise JobCancelledError(f"Job {cancelled[0].id} was cancelled.")
