"""`mfgviz workers`."""

from __future__ import annotations

import click

from mfgviz.cli.output import Output, command_output


@click.group()
def workers() -> None:
    """The workers that reported themselves."""


@workers.command("list")
@command_output
def list_(out: Output) -> None:
    """List workers, the last heard of first.

    \b
    Example: mfgviz workers list
    """
    rows = [worker.model_dump() for worker in out.doors.workers()]
    columns = ["name", "alive", "queues", "device", "loaded_model", "version", "seen_at"]
    out.rows(rows, columns, "No worker has reported itself. Run `mfgviz up`.")
