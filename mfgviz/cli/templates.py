"""`mfgviz templates`."""

from __future__ import annotations

from typing import IO, Any

import click

from mfgviz.cli.output import Output, command_output, parse_pairs
from mfgviz.errors import InvalidInputError
from mfgviz.vocabulary import STANDARD_VIEWS

COLUMNS = ["name", "version", "title", "prompt", "views", "fields", "built_in"]


@click.group()
def templates() -> None:
    """Named prompts with fields and views; `jobs submit --template NAME` uses one."""


@templates.command("list")
@click.option("--versions", "name", metavar="NAME", help="All versions of that one, newest first.")
@command_output
def list_(out: Output, name: str | None) -> None:
    """List the templates, each in its newest version, or all versions of one.

    \b
    Example: mfgviz templates list
             mfgviz templates list --versions hero
    """
    found = out.doors.templates() if name is None else out.doors.template_versions(name)
    columns = COLUMNS if name is None else ["version", "retired", "created_at", "created_by", *COLUMNS[2:]]
    out.rows([one.model_dump() for one in found], columns)


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
@click.argument("reference", metavar="REVISION")
@click.option(
    "--field",
    "fields",
    multiple=True,
    callback=parse_pairs,
    metavar="KEY=VALUE",
    help="A value for a field of it; repeat it.",
)
@click.option("--model", help="Of that model; it has a say in sizes and steps.")
@command_output
def preview(out: Output, name: str, reference: str, fields: dict[str, Any], model: str | None) -> None:
    """Show the jobs that a template would make of a revision: every view and every prompt.

    \b
    Example: mfgviz templates preview hero BRK-0042@A --field material="brushed aluminium"
    """
    from mfgviz import wire

    told = {
        "revision": reference,
        "model": model,
        "fields": {key: str(value) for key, value in fields.items()},
    }
    found = out.doors.preview_template(name, wire.read(wire.PreviewBody, told))
    if out.as_json:
        out.json(found.model_dump())
        return
    out.rows([one.model_dump() for one in found.items], ["view", "prompt"])
    sampling = ", ".join(f"{key} {value}" for key, value in found.sampling.items())
    jobs = "1 job" if found.jobs == 1 else f"{found.jobs} jobs"
    images = "1 image" if found.images == 1 else f"{found.images} images"
    out.note(
        f"{jobs}, {images} of {found.revision} with {found.template} (version {found.version}), "
        f"model {found.model}: {sampling}."
    )


@templates.command()
@click.argument("name")
@click.argument("prompt", required=False)
@click.option(
    "--file",
    type=click.File(encoding="utf-8"),
    help="The prompt's file, for a long one; - reads it from stdin.",
)
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
def save(
    out: Output,
    name: str,
    prompt: str | None,
    file: IO[str] | None,
    views: tuple[str, ...],
    **options: Any,
) -> None:
    """Save a template; under a name that is there already, as its next version.

    \b
    Example: mfgviz templates save hero "{material}, studio light, white background" --view iso --set count=2
             mfgviz templates save hero --file hero.txt
    """
    from mfgviz import wire

    if (prompt is None) == (file is None):
        raise click.UsageError("Give the prompt, or --file with its file.")
    if file is not None:
        prompt = _read(file)
    body = wire.read(wire.TemplateBody, {**options, "prompt": prompt, "views": list(views) or ["iso"]})
    saved = out.doors.save_template(name, body)
    out.item(saved.model_dump(), f"Saved {name}, version {saved.version}.")


def _read(file: IO[str]) -> str:
    try:
        return file.read()
    except UnicodeDecodeError as error:
        raise InvalidInputError(f"{file.name} is no UTF-8 text: {error.reason}.") from error


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
