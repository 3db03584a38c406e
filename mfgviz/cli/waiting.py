"""Waiting for jobs: live progress on a terminal, a line a change in a pipe."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mfgviz.cli.output import Output, Row
from mfgviz.errors import JobCancelledError, JobFailedError, JobNotFoundError, UnavailableError
from mfgviz.vocabulary import FINAL_STATES, QUEUE_GPU
from mfgviz.wire import JobEvent, Render

if TYPE_CHECKING:
    from mfgviz.cli.output import Doors

POLL_S = 0.2
# A look over HTTP counts against what the token may ask in a minute.
SERVER_POLL_S = 0.5
# A position costs a count over the queue: it is asked for less often, and not for a crowd.
POSITIONS_EVERY_S = 1.0
ONE_BY_ONE = 20
# How long a database or a server may be away before the waiting ends, and how often it is tried.
AWAY_S = 60.0
AGAIN_S = 0.5

Report = Callable[[JobEvent], None]
R = TypeVar("R")


@dataclass(slots=True)
class Patience:
    """Bears with a service that has answered before and is away for a while."""

    note: Callable[[str], None]
    has_answered: bool = False

    def ask(self, question: Callable[[], R]) -> R:
        """The answer, as soon as there is one. Raises UnavailableError where it is away for too long."""
        away_since: float | None = None
        while True:
            try:
                answer = question()
            except UnavailableError as error:
                if away_since is None:
                    away_since = time.monotonic()
                    if self.has_answered:
                        self.note(f"{error.message} It is tried again; the jobs go on.")
                if not self.has_answered or time.monotonic() - away_since > AWAY_S:
                    raise
                time.sleep(AGAIN_S)
            else:
                self.has_answered = True
                return answer


def wait_for(
    out: Output, ids: Iterable[int], report: Report, alive: Callable[[], None] | None = None
) -> None:
    """Report every change of the jobs until all are finished. `alive` is called at each look."""
    doors, patience = out.doors, Patience(out.note)
    pending, told = set(ids), dict[int, JobEvent]()
    positions: dict[int, int | None] = {}
    count_at = 0.0
    while pending:
        counts = len(pending) <= ONE_BY_ONE and time.monotonic() >= count_at
        now = patience.ask(lambda: doors.standings(pending, positions=counts))  # noqa: B023 - called at once
        if counts:
            positions = {one.job: one.position for one in now}
            count_at = time.monotonic() + POSITIONS_EVERY_S
        for one in now:
            at = positions.get(one.job) if one.state == "queued" else None
            seen = one.model_copy(update={"position": at})
            if told.get(one.job) != seen:
                told[one.job] = seen
                report(seen)
        pending = {one.job for one in now if one.state not in FINAL_STATES}
        if not pending:
            return
        if alive is not None:
            alive()
        time.sleep(SERVER_POLL_S if out.is_remote else POLL_S)


def finish(out: Output, ids: list[int], folder: Path | None) -> None:
    """Wait for the jobs, export their pictures where asked, and fail if one of them failed.

    Raises:
        JobNotFoundError: there is no such job.
        JobFailedError, JobCancelledError: one of them did not succeed.
    """
    missing = set(ids) - {one.job for one in out.doors.standings(ids)}
    if missing:
        raise JobNotFoundError(f"There is no job {', '.join(map(str, sorted(missing)[:8]))}.")
    watch_safely(out, ids)
    rows = _results(out, ids, folder)
    out.rows(rows, ["job", "render", "file"] if folder else ["job", "render", "revision"])
    for note in dict.fromkeys(note for row in rows for note in row["notes"]):
        out.note(f"Note: {note}")
    raise_for(out, ids)
    if rows and not folder and out.is_terminal:
        click.echo(f"Next: mfgviz renders export {rows[0]['render']} --out render.png")


def watch_safely(out: Output, ids: list[int]) -> None:
    """As `watch`; says so where no worker runs, and how to stop the jobs where Ctrl-C ends the waiting."""
    has_worker = any(one.alive and QUEUE_GPU in one.queues.split(",") for one in out.doors.workers())
    if not has_worker and any(one.state not in FINAL_STATES for one in out.doors.standings(ids)):
        remedy = "Start one there" if out.is_remote else "Run `mfgviz up` in another terminal"
        out.note(f"No worker is running. {remedy}; the jobs are safe and wait.")
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
        wait_for(out, ids, lambda _one: None, alive)
    else:
        wait_for(out, ids, lambda one: out.note(f"job {one.job}: {line_of(one)}"), alive)


def line_of(one: JobEvent) -> str:
    """A job's progress in a few words."""
    if one.state == "queued":
        return "queued" + (f", position {one.position}" if one.position else "")
    if one.state == "running":
        return f"step {one.step} of {one.total_steps}"
    return one.state + (f": {one.error.message}" if one.state == "failed" and one.error else "")


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
        wait_for(out, ids, report, alive)


def _one_bar_each(bars: Any, ids: list[int]) -> Report:
    tasks = {job_id: bars.add_task(f"job {job_id}", total=1, told="") for job_id in ids}

    def report(one: JobEvent) -> None:
        total = max(one.total_steps, 1)
        done = total if one.state == "succeeded" else one.step
        bars.update(tasks[one.job], completed=done, total=total, told=line_of(one))

    return report


def _one_bar(bars: Any, count: int) -> Report:
    task = bars.add_task(f"{count} jobs", total=count, told="")
    states: dict[int, str] = {}

    def report(one: JobEvent) -> None:
        states[one.job] = one.state
        kinds = list(states.values())
        done = sum(kind in FINAL_STATES for kind in kinds)
        failed = kinds.count("failed")
        told = f"{done} done, {kinds.count('running')} running" + (f", {failed} failed" if failed else "")
        bars.update(task, completed=done, told=told)

    return report


def _results(out: Output, ids: list[int], folder: Path | None) -> list[Row]:
    rows: list[Row] = []
    for job in _in_order(out, ids):
        if not job.renders:
            continue
        found = out.doors.renders(job=job.job, limit=len(job.renders)).items
        for one in sorted(found, key=lambda one: one.index):
            row = {"job": one.job, "render": one.id, "revision": one.revision, "seed": one.seed}
            rows.append({**row, "notes": job.notes})
            if folder:
                rows[-1]["file"] = str(export_to(out.doors, one, folder / file_name(one)))
    return rows


def _in_order(out: Output, ids: list[int]) -> list[JobEvent]:
    by_id = {one.job: one for one in out.doors.standings(ids)}
    return [by_id[job_id] for job_id in ids if job_id in by_id]


def export_to(doors: Doors, render: Render, target: Path) -> Path:
    """Write a render as PNG, JPEG or WebP, by the target's extension, its record and mark kept.

    Raises:
        InvalidInputError: the extension is none of these.
        StorageUnavailableError: the target cannot be written; no half file is left.
    """
    from mfgviz import renditions

    image_format = renditions.format_of(target)
    return renditions.write_file(target, doors.image(render.id, image_format))


def file_name(render: Render, extension: str = "png") -> str:
    """What a render's file is called in a folder of exports."""
    return f"{render.revision.replace('@', '_')}_{render.id}.{extension}"


def raise_for(out: Output, ids: list[int]) -> None:
    """Raises JobFailedError or JobCancelledError where one of the finished jobs did not succeed."""
    found = _in_order(out, ids)
    failed = [one for one in found if one.state == "failed"]
    cancelled = [one for one in found if one.state == "cancelled"]
    if failed:
        first, others = failed[0], len(failed) - 1
        why = f"({first.error.code}): {first.error.message}" if first.error else "for no cause that is known."
        more = f" ({others} more of {len(ids)} failed.)" if others else ""
        raise JobFailedError(
            f"Job {first.job} failed {why}{more}",
            remedy=f"`mfgviz jobs show {first.job}` tells more; `jobs retry` tries again.",
        )
    if cancelled:
        more = f", and {len(cancelled) - 1} more" if len(cancelled) > 1 else ""
        raise JobCancelledError(f"Job {cancelled[0].job} was cancelled{more}.")
