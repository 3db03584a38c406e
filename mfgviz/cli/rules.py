"""`mfgviz rules`."""

from __future__ import annotations

from typing import Any

import click

from mfgviz.cli.output import Output, command_output, parse_pairs
from mfgviz.vocabulary import EventKind

COLUMNS = ["name", "on", "where", "asks_for", "enabled", "created_by"]
JOB_COLUMNS = ["how", "job", "view", "prompt", "taken_over_from"]
RUN_COLUMNS = ["created_at", "rule", "event", "revision", "outcome", "told", "jobs"]


@click.group()
def rules() -> None:
    """What events cause: a rule asks for renders of the revision that an event is about."""


@rules.command()
@click.argument("name")
@click.option(
    "--on", required=True, metavar="EVENT", help=f"The kind of event, such as {EventKind.REVISION_RELEASED}."
)
@click.option("--where", metavar="CONDITION", help="Which revisions: part.attributes.category == 'bracket'.")
@click.option("--all", "everything", is_flag=True, help="It may apply to every event of that kind.")
@click.option("--template", help="The prompt template of its jobs.")
@click.option("--prompt", help="Their prompt, in place of a template's.")
@click.option("--views", metavar="VIEW,…", help="Their views, in place of the template's.")
@click.option("--count", type=click.IntRange(1), help="Pictures a view.")
@click.option("--model", help="The model.")
@click.option("--priority", type=click.Choice(["low", "normal", "high"]), help="Their priority. [low]")
@click.option(
    "--set",
    "others",
    multiple=True,
    callback=parse_pairs,
    metavar="KEY=VALUE",
    help="Another field of a job, such as seed=7 or fidelity_policy=retry; repeat it.",
)
@command_output
def add(
    out: Output,
    name: str,
    on: str,
    where: str | None,
    everything: bool,
    views: str | None,
    others: dict[str, Any],
    **asked: Any,
) -> None:
    """Add a rule. It applies from the next event on.

    \b
    Example: mfgviz rules add heroes --on revision.released --where "revision.label == 'A'" --template hero
    """
    from mfgviz import wire

    ask = {**{key: value for key, value in asked.items() if value is not None}, **others}
    if views is not None:
        ask["views"] = [view.strip() for view in views.split(",") if view.strip()]
    plain = {"name": name, "on": on, "where": where, "ask": ask, "everything": everything}
    made = out.doors.add_rule(wire.read(wire.NewRule, plain))
    out.item(made.model_dump(), f"Added the rule {made.name!r} on {made.on}.")


@rules.command("list")
@command_output
def list_(out: Output) -> None:
    """List the rules.

    \b
    Example: mfgviz rules list
    """
    out.rows([_row(one.model_dump(), out) for one in out.doors.rules()], COLUMNS)


@rules.command()
@click.argument("name")
@command_output
def show(out: Output, name: str) -> None:
    """Show a rule.

    \b
    Example: mfgviz rules show "hero on release"
    """
    out.item(out.doors.rule(name).model_dump())


@rules.command()
@click.argument("name")
@click.option("--revision", required=True, metavar="REVISION", help="NUMBER@LABEL")
@command_output
def test(out: Output, name: str, revision: str) -> None:
    """Tell what a rule would do if its event happened to a revision now, and why not. Changes nothing.

    \b
    Example: mfgviz rules test "hero on release" --revision BRK-0042@B
    """
    found = out.doors.test_rule(name, revision)
    if out.as_json:
        out.json(found.model_dump())
        return
    click.echo(f"{'Applies' if found.applies else 'Does not apply'} to {found.revision}: {found.told}")
    for field, value in found.values.items():
        click.echo(f"  {field} is {value!r}")
    if found.jobs:
        out.rows([one.model_dump() for one in found.jobs], JOB_COLUMNS)


@rules.command()
@click.argument("name")
@command_output
def enable(out: Output, name: str) -> None:
    """Let a rule apply again.

    \b
    Example: mfgviz rules enable "hero on release"
    """
    _change(out, name, enabled=True)


@rules.command()
@click.argument("name")
@command_output
def disable(out: Output, name: str) -> None:
    """Let a rule not apply for now. What happens meanwhile, it does not make up for.

    \b
    Example: mfgviz rules disable "hero on release"
    """
    _change(out, name, enabled=False)


@rules.command()
@click.argument("name")
@command_output
def remove(out: Output, name: str) -> None:
    """Drop a rule; the jobs that it made stay.

    \b
    Example: mfgviz rules remove "hero on release"
    """
    out.doors.remove_rule(name)
    out.item({"removed": name}, f"Removed the rule {name!r}.")


@rules.command()
@click.argument("name", required=False)
@click.option("--limit", type=click.IntRange(1, 500), default=50, show_default=True)
@command_output
def runs(out: Output, name: str | None, limit: int) -> None:
    """List what rules did, or one of them, newest first.

    \b
    Example: mfgviz rules runs "hero on release"
    """
    found = [one.model_dump() for one in out.doors.rule_runs(name, limit)]
    if not out.as_json:
        for one in found:
            one["jobs"] = " ".join(f"{job['job']}:{job['how']}" for job in one["jobs"])
    out.rows(found, RUN_COLUMNS)


def _change(out: Output, name: str, *, enabled: bool) -> None:
    from mfgviz import wire

    changed = out.doors.change_rule(name, wire.RuleChange(enabled=enabled))
    out.item(changed.model_dump(), f"The rule {name!r} is {'enabled' if enabled else 'disabled'}.")


def _row(rule: dict[str, Any], out: Output) -> dict[str, Any]:
    if out.as_json:
        return rule
    told = [f"{key} {','.join(one) if isinstance(one, list) else one}" for key, one in rule["ask"].items()]
    return rule | {"asks_for": ", ".join(told)}
