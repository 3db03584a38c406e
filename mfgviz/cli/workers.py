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
    from mfgviz import workers_seen
    from mfgviz.jobs.queries import live_workers

    with out.runtime.db.read() as session:
        alive = {worker.name for queue in ("gpu", "cpu") for worker in live_workers(session, queue)}
        rows = [
            {
                "name": worker.name,
                "alive": worker.name in alive,
                "queues": worker.queues,
                "device": worker.device,
                "loaded_model": worker.loaded_model,
                "version": worker.version,
                "started_at": worker.started_at,
                "seen_at": worker.seen_at,
            }
            for worker in workers_seen.list_workers(session)
        ]
    columns = ["name", "alive", "queues", "device", "loaded_model", "version", "seen_at"]
    out.rows(rows, columns, "No worker has reported itself. Run `mfgviz up`.")
