"""`mfgviz batches`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from mfgviz.cli.output import RECORD_ID, Output, Row, command_output, first_of

if TYPE_CHECKING:
    from mfgviz.cli.asking import Wish
    from mfgviz.intake import Ask
    from mfgviz.wire import Batch

COLUMNS = [
    "id",
    "state",
    "source",
    "requester",
    "progress",
    "failed",
    "eta",
    "worker_s",
    "skipped",
    "created_at",
]
POLL_S, SERVER_POLL_S = 0.5, 1.0
BATCH = click.argument("batch_id", type=RECORD_ID)


@click.group()
def batches() -> None:
    """Jobs that were asked for at once, by `jobs submit --bom` or `--query`: show, pause, resume, cancel."""


@batches.command("list")
@click.option("--requester")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@command_output
def list_(out: Output, requester: str | None, limit: int) -> None:
    """List batches, newest first.

    \b
    Example: mfgviz batches list
    """
    doors = out.doors
    found = first_of(
        lambda cursor, most: doors.batches(requester=requester, cursor=cursor, limit=most), limit
    )
    if out.as_json:
        out.json([one.model_dump() for one in found])
        return
    out.rows([_row(one) for one in found], COLUMNS, "No batches. `mfgviz jobs submit --bom` makes one.")


@batches.command()
@BATCH
@command_output
def show(out: Output, batch_id: int) -> None:
    """Show a batch: progress, when the rest will be there, what it cost, and what it left out.

    \b
    Example: mfgviz batches show 3
    """
    _show(out, out.doors.batch(batch_id))


@batches.command()
@BATCH
@command_output
def pause(out: Output, batch_id: int) -> None:
    """Let a batch's jobs wait; those that run end.

    \b
    Example: mfgviz batches pause 3
    """
    _tell(out, out.doors.pause_batch(batch_id))


@batches.command()
@BATCH
@command_output
def resume(out: Output, batch_id: int) -> None:
    """Let a paused batch go on, in turn with what was submitted meanwhile.

    \b
    Example: mfgviz batches resume 3
    """
    _tell(out, out.doors.resume_batch(batch_id))


@batches.command()
@BATCH
@command_output
def cancel(out: Output, batch_id: int) -> None:
    """Cancel all of a batch's jobs that have not ended; jobs of others that it only joined go on.

    \b
    Example: mfgviz batches cancel 3
    """
    _tell(out, out.doors.cancel_batch(batch_id))


@batches.command()
@BATCH
@command_output
def wait(out: Output, batch_id: int) -> None:
    """Wait until a batch is finished, with progress. Exits with 7 if a job failed, with 8 if one was
    cancelled.

    \b
    Example: mfgviz batches wait 3
    """
    finish(out, batch_id)


def submit_batch(out: Output, ask: Ask, wish: Wish, *, wait: bool) -> None:
    """`jobs submit --bom` and `--query`."""
    import msgspec

    from mfgviz import wire
    from mfgviz.client.connection import listed
    from mfgviz.errors import InvalidRequestError

    plain = listed({name: value for name, value in msgspec.to_builtins(ask).items() if name != "revision"})
    assert isinstance(plain, dict)
    over = {"bom": wish.bom, "query": wish.query, "everything": wish.everything}
    made = out.doors.submit_batch(wire.read(wire.BatchBody, {**plain, **over}, InvalidRequestError))
    if wait:
        finish(out, made.id)
        return
    if out.as_json:
        out.json(made.model_dump())
        return
    shown = made.progress
    told = f"Batch {made.id}: {shown.items:,} requests, {shown.jobs:,} new jobs"
    there = shown.done + shown.linked
    told += f", {there:,} there already" if there else ""
    click.echo(told + (f"; left out: {made.skipped_count:,}." if made.skipped_count else "."))
    _tell_skipped(out, made)
    click.echo(f"Next: mfgviz batches wait {made.id}")


def finish(out: Output, batch_id: int) -> None:
    """Wait for a batch.

    Raises:
        BatchNotFoundError: there is no such batch.
        JobFailedError, JobCancelledError: a job of it failed, or was cancelled.
    """
    from mfgviz.cli.waiting import Patience
    from mfgviz.errors import JobCancelledError, JobFailedError

    patience, told = Patience(out.note), ""
    while True:
        batch = patience.ask(lambda: out.doors.batch(batch_id))
        if not out.as_json and (line := _line(batch)) != told:
            out.note(line)
            told = line
        if not batch.progress.running and not batch.progress.queued:
            break
        time.sleep(SERVER_POLL_S if out.is_remote else POLL_S)
    _show(out, batch)
    if batch.progress.failed:
        raise JobFailedError(
            f"{batch.progress.failed:,} of {batch.progress.items:,} requests of batch {batch_id} failed.",
            remedy="`mfgviz jobs list --state failed` shows why; `jobs retry` tries again.",
        )
    if batch.progress.cancelled:
        raise JobCancelledError(f"{batch.progress.cancelled:,} requests of batch {batch_id} were cancelled.")


def _line(batch: Batch) -> str:
    at = batch.progress
    told = f"batch {batch.id}: {at.done + at.linked} of {at.items} ({at.linked} taken over)"
    told += f", {at.running} running" if at.running else ""
    told += f", {at.failed} failed" if at.failed else ""
    told += f", about {at.eta_s:.0f} s left" if at.eta_s else ""
    return told + (", paused" if batch.state == "paused" else "")


def _row(batch: Batch) -> Row:
    at = batch.progress
    return {
        "id": batch.id,
        "state": batch.state,
        "source": " ".join(f"{key} {value}" for key, value in batch.source.items()),
        "requester": batch.requester,
        "progress": f"{at.done + at.linked}/{at.items}",
        "failed": at.failed,
        "eta": f"{at.eta_s:.0f} s" if at.eta_s is not None else None,
        "worker_s": f"{at.worker_s:.1f}",
        "skipped": batch.skipped_count,
        "created_at": batch.created_at,
    }


def _show(out: Output, batch: Batch) -> None:
    if out.as_json:
        out.json(batch.model_dump())
        return
    at = batch.progress
    row = _row(batch)
    del row["progress"], row["failed"]
    out.item({**row, **at.model_dump(exclude={"eta_s", "worker_s"})})
    _tell_skipped(out, batch)


def _tell_skipped(out: Output, batch: Batch) -> None:
    for one in (batch.skipped or ())[:20]:
        out.note(
            f"Left out: {one.reason}"
            if one.revision in one.reason
            else f"Left out: {one.revision}: {one.reason}"
        )
    if batch.skipped_count > 20:
        out.note(f"Left out: and {batch.skipped_count - 20:,} more")


def _tell(out: Output, batch: Batch) -> None:
    at = batch.progress
    words = {"open": "goes on", "paused": "is paused", "cancelled": "is cancelled"}
    left = f"{at.queued} waiting, {at.running} running, {at.done + at.linked} of {at.items} done"
    out.item(batch.model_dump(), f"Batch {batch.id} {words[batch.state]}: {left}.")
