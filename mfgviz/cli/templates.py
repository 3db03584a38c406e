"""`mfgviz templates`."""

from __future__ import annotations

from typing import Any

import click

from mfgviz.cli.output import Output, command_output, parse_pairs
from mfgviz.vocabulary import STANDARD_VIEWS

COLUMNS = ["name", "version", "title", "prompt", "views", "fields", "built_in"]


@click.group()
def templates() -> None:
    """Named prompts with fields and views; `jobs submit --template NAME` uses one."""


@templates.command("list")
@command_output
def list_(out: Output) -> None:
    """List the templates, each in its newest version.

    \b
    Example: mfgviz templates list
    """
    out.rows([one.model_dump() for one in out.doors.templates()], COLUMNS)


@templates.command()
@click.argument("name")
@click.option("--version", type=click.IntRange(1), help="An older version.")
@command_output
def show(out: Output, name: str, version: int | None) -> None:
    """Show a template.

    \b
    Example: mfgviz templates show hero
    """
    out.item(out.doors.template(name, version).model_dump())


@templates.command()
@click.argument("name")
@click.argument("prompt")
@click.option("--title", default="", help="What people read in a list.")
@click.option("--negative-prompt", default="")
@click.option(
    "--view", "views", multiple=True, type=click.Choice(STANDARD_VIEWS), help="A view; repeat it. [iso]"
)
@click.option(
    "--set",
    "sampling",
    multiple=True,
    callback=parse_pairs,
    metavar="KEY=VALUE",
    help="A default of the jobs, such as count=2 or width=768; repeat it.",
)
@command_output
def save(out: Output, name: str, prompt: str, views: tuple[str, ...], **options: Any) -> None:
    """Save a template; under a name that is there already, as its next version.

    \b
    Example: mfgviz templates save hero "{material}, studio light, white background" --view iso --set count=2
    """
    from mfgviz import wire

    body = wire.read(wire.TemplateBody, {**options, "prompt": prompt, "views": list(views) or ["iso"]})
    saved = out.doors.save_template(name, body)
    out.item(saved.model_dump(), f"Saved {name}, version {saved.version}.")


@templates.command()
@click.argument("name")
@command_output
def retire(out: Output, name: str) -> None:
    """Offer a template no more; its versions stay for the jobs that used them.

    \b
    Example: mfgviz templates retire hero
    """
    out.doors.retire_template(name)
    out.item({"retired": name}, f"Retired {name}.")
