"""`mfgviz jobs watch`: what runs and what waits, as it goes on."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import click

from mfgviz.cli.output import Output, command_output, plain

if TYPE_CHECKING:
    from mfgviz.cli.waiting import Patience
    from mfgviz.wire import JobEvent

POLL_S = 0.5
SERVER_POLL_S = 1.0
SHOWN_JOBS = 30


@dataclass(slots=True)
class Queue:
    """One look after another at the queue; `changed` are the jobs that moved since the last."""

    out: Output
    counts: dict[str, int] = field(default_factory=dict)
    workers: int = 0
    jobs: list[JobEvent] = field(default_factory=list)
    changed: list[JobEvent] = field(default_factory=list)
    _patience: Patience | None = None
    _seen: dict[int, JobEvent] = field(default_factory=dict)

    @property
    def is_idle(self) -> bool:
        """Whether nothing runs or waits."""
        return not self.counts["running"] and not self.counts["queued"]

    def look(self) -> None:
        """Read the queue again."""
        if self._patience is None:
            from mfgviz.cli.waiting import Patience

            self._patience = Patience(self.out.note)
        self._patience.ask(self._look)

    def _look(self) -> None:
        doors = self.out.doors
        told, self.jobs = doors.queue(), doors.unfinished()
        self.counts, self.workers = told.jobs, told.workers
        gone = set(self._seen) - {one.job for one in self.jobs}
        ended = doors.standings(gone) if gone else []
        self.changed = [one for one in (*ended, *self.jobs) if self._seen.get(one.job) != one]
        self._seen = {one.job: one for one in self.jobs}


@click.command()
@click.option("--until-idle", is_flag=True, help="End when nothing runs or waits.")
@command_output
def watch(out: Output, until_idle: bool) -> None:
    """Show what runs and what waits, as it goes on; Ctrl-C ends the watching, not the jobs.

    In a pipe each change is a line: job, state, step, steps. With --json each is a JSON object.

    \b
    Example: mfgviz jobs watch --until-idle
    """
    queue = Queue(out)
    with _shown(out, queue) as show:
        while True:
            queue.look()
            show()
            if until_idle and queue.is_idle:
                return
            time.sleep(SERVER_POLL_S if out.is_remote else POLL_S)


@contextmanager
def _shown(out: Output, queue: Queue) -> Iterator[Any]:
    """A function that shows the queue's last look."""
    if not out.is_terminal:
        yield lambda: _print_changes(out, queue)
        return
    from rich.live import Live

    with Live(auto_refresh=False) as live:
        yield lambda: live.update(_table(queue), refresh=True)


def _print_changes(out: Output, queue: Queue) -> None:
    for one in queue.changed:
        row = {"job": one.job, "state": one.state, "step": one.step, "total_steps": one.total_steps}
        if out.as_json:
            click.echo(json.dumps({**row, "error": _error(one)}, ensure_ascii=False))
        else:
            click.echo("\t".join(map(plain, row.values())))


def _table(queue: Queue) -> Any:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    table = Table("job", "state", "progress", "note", box=None, pad_edge=False)
    for one in queue.jobs[:SHOWN_JOBS]:
        progress = f"{one.step}/{one.total_steps}"
        table.add_row(str(one.job), one.state, progress, Text(plain(_error(one))))
    told = ", ".join(f"{count} {state}" for state, count in queue.counts.items() if count) or "no jobs"
    more = queue.counts["running"] + queue.counts["queued"] - min(len(queue.jobs), SHOWN_JOBS)
    lines: list[Any] = [Text(f"{told}; {queue.workers} worker(s)"), table]
    return Group(*lines, *([Text(f"and {more} more")] if more > 0 else []))


def _error(one: JobEvent) -> str | None:
    return one.error.message if one.error else None
