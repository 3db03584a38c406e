"""`mfgviz schedules`."""

from __future__ import annotations

from typing import Any

import click

from mfgviz.cli.output import Output, command_output, parse_pairs

COLUMNS = [
    "name",
    "task",
    "cron",
    "arguments",
    "enabled",
    "next_at",
    "last_at",
    "last_outcome",
    "last_message",
]


@click.group()
def schedules() -> None:
    """What is done at set times, by whichever worker is first to see that it is due."""


@schedules.command()
@click.argument("name")
@click.option("--task", required=True, help="What is done; `mfgviz schedules tasks` lists the tasks.")
@click.option(
    "--cron", required=True, help='When, in UTC: minute hour day month weekday, such as "0 3 * * *".'
)
@click.option(
    "--set",
    "arguments",
    multiple=True,
    callback=parse_pairs,
    metavar="KEY=VALUE",
    help="An argument of the task; repeat it.",
)
@command_output
def add(out: Output, name: str, task: str, cron: str, arguments: dict[str, Any]) -> None:
    """Add a schedule. It acts for whoever adds it.

    \b
    Example: mfgviz schedules add blobs --task collect-blobs --cron "30 3 * * 0" --set grace_days=14
    """
    from mfgviz import wire

    plain = {"name": name, "task": task, "cron": cron, "arguments": arguments}
    made = out.doors.add_schedule(wire.read(wire.NewScheduleBody, plain))
    out.item(made.model_dump(), f"Added {made.name!r}; next at {made.next_at:%Y-%m-%d %H:%M} UTC.")


@schedules.command("list")
@command_output
def list_(out: Output) -> None:
    """List the schedules.

    \b
    Example: mfgviz schedules list
    """
    out.rows([one.model_dump() for one in out.doors.schedules()], COLUMNS, "No schedules.")


@schedules.command()
@command_output
def tasks(out: Output) -> None:
    """List what schedules can do, and the arguments of each.

    \b
    Example: mfgviz schedules tasks
    """
    found = out.doors.schedule_tasks()
    if out.as_json:
        out.json([one.model_dump() for one in found])
        return
    rows = [
        {"task": task.name, "argument": one.name, "default": "needed" if one.required else one.default,
         "meaning": one.told}
        for task in found
        for one in task.arguments
    ]  # fmt: skip
    out.rows(rows, ["task", "argument", "default", "meaning"])


@schedules.command()
@click.argument("name")
@command_output
def show(out: Output, name: str) -> None:
    """Show a schedule and how it last ended.

    \b
    Example: mfgviz schedules show catalogue
    """
    out.item(out.doors.schedule(name).model_dump())


@schedules.command()
@click.argument("name")
@command_output
def remove(out: Output, name: str) -> None:
    """Drop a schedule.

    \b
    Example: mfgviz schedules remove catalogue
    """
    out.doors.remove_schedule(name)
    out.item({"removed": name}, f"Removed the schedule {name!r}.")


@schedules.command()
@click.argument("name")
@command_output
def enable(out: Output, name: str) -> None:
    """Do it again, from its next time on.

    \b
    Example: mfgviz schedules enable catalogue
    """
    _set_enabled(out, name, enabled=True)


@schedules.command()
@click.argument("name")
@command_output
def disable(out: Output, name: str) -> None:
    """Do it no more for now.

    \b
    Example: mfgviz schedules disable catalogue
    """
    _set_enabled(out, name, enabled=False)


@schedules.command("run-now")
@click.argument("name")
@command_output
def run_now(out: Output, name: str) -> None:
    """Let a worker do it now, too; its next time stays.

    \b
    Example: mfgviz schedules run-now catalogue
    """
    due = out.doors.run_schedule(name)
    out.item(due.model_dump(), f"{name!r} waits for a worker. Next: mfgviz schedules show {name}")


def _set_enabled(out: Output, name: str, *, enabled: bool) -> None:
    from mfgviz import wire

    changed = out.doors.enable_schedule(name, wire.EnabledBody(enabled=enabled))
    out.item(changed.model_dump(), f"The schedule {name!r} is {'enabled' if enabled else 'disabled'}.")
