"""`mfgviz events` and `mfgviz audit`."""

from __future__ import annotations

import time
from typing import Any

import click

from mfgviz.cli.output import Output, command_output
from mfgviz.vocabulary import EventKind

EVENT_COLUMNS = ["id", "created_at", "kind", "revision", "actor", "told"]
AUDIT_COLUMNS = ["id", "created_at", "actor", "action", "subject", "from", "told"]
TAIL_EVERY_S = 1.0
# What is told of the door that somebody came through.
DOOR = ("door", "host", "address", "token", "hook", "schedule")
LIMIT = click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True)
KIND = click.option("--kind", help="Of that kind alone; `render` is all of `render.`.")
REVISION = click.option("--revision", metavar="REVISION", help="Of that revision alone.")


@click.group()
def events() -> None:
    """What happened to revisions and renders, and what went wrong while nobody waited for it."""


@events.command("list")
@KIND
@REVISION
@LIMIT
@command_output
def list_(out: Output, kind: str | None, revision: str | None, limit: int) -> None:
    """List events, newest first.

    \b
    Example: mfgviz events list --kind revision.released
    """
    found = out.doors.event_log(kind=kind, revision=revision, limit=limit).items
    out.rows([_event(one.model_dump(), out) for one in found], EVENT_COLUMNS)


@events.command()
@KIND
@REVISION
@click.option("--after", type=click.IntRange(0), help="Begin behind that event; else with the next.")
@click.option("--limit", type=click.IntRange(1), help="Leave after so many.")
@command_output
def tail(out: Output, kind: str | None, revision: str | None, after: int | None, limit: int | None) -> None:
    """Show events as they happen, one a line, until Ctrl-C.

    \b
    Example: mfgviz events tail --kind render
    """
    last = out.doors.last_event() if after is None else after
    shown = 0
    while True:
        found = out.doors.event_log(kind=kind, revision=revision, after=last, limit=500).items
        for one in found:
            out.line(_event(one.model_dump(), out), EVENT_COLUMNS)
            last, shown = one.id, shown + 1
            if shown == limit:
                return
        if not found:
            time.sleep(TAIL_EVERY_S)


@events.command()
@command_output
def kinds(out: Output) -> None:
    """List the kinds of events there are.

    \b
    Example: mfgviz events kinds
    """
    out.rows([{"kind": kind.value} for kind in EventKind], ["kind"])


@click.group()
def audit() -> None:
    """Who did what, when and from where."""


@audit.command("list")
@click.option("--action", help="That action alone; `render` is all of `render.`.")
@click.option("--subject", help="Of that thing alone, such as a revision.")
@LIMIT
@command_output
def list_audit(out: Output, action: str | None, subject: str | None, limit: int) -> None:
    """List the audit trail, newest first.

    \b
    Example: mfgviz audit list --subject BRK-0042@A
    """
    found = out.doors.audit_trail(action=action, subject=subject, limit=limit).items
    out.rows([_entry(one.model_dump(), out) for one in found], AUDIT_COLUMNS)


def _event(event: dict[str, Any], out: Output) -> dict[str, Any]:
    """With what a person reads of the payload, where a person reads."""
    return event if out.as_json else event | {"told": _told(event["payload"], "revision")}


def _entry(entry: dict[str, Any], out: Output) -> dict[str, Any]:
    if out.as_json:
        return entry
    door = entry["details"].get("door", {})
    where = " ".join(str(door[key]) for key in DOOR if key in door)
    return entry | {"from": where or "command line", "told": _told(entry["details"], "door")}


def _told(details: dict[str, Any], beside: str) -> str:
    return ", ".join(f"{key} {value}" for key, value in details.items() if key != beside and value)
