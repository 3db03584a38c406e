"""`mfgviz parts`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mfgviz.cli.output import Output, Row, command_output, first_of, parse_pairs, rejected_row, scalar

if TYPE_CHECKING:
    from mfgviz.wire import Part

ATTRIBUTES = click.option(
    "--attr",
    "attributes",
    multiple=True,
    callback=parse_pairs,
    metavar="KEY=VALUE",
    help="An attribute; repeat it.",
)


@click.group()
def parts() -> None:
    """Add, list, change and import parts."""


@parts.command()
@click.argument("number")
@click.option("--name", default="", help="What people call it.")
@ATTRIBUTES
@command_output
def add(out: Output, number: str, name: str, attributes: dict[str, Any]) -> None:
    """Add a part.

    \b
    Example: mfgviz parts add BRK-0042 --name "Motor bracket" --attr material="aluminium 6082"
    """
    from mfgviz import wire

    new = wire.read(wire.NewPart, {"number": number, "name": name, "attributes": attributes})
    out.item(
        _row(out.doors.add_part(new)),
        f"Added part {number}. Next: mfgviz revisions add {number} A --file PART.step",
    )


@parts.command("list")
@click.option("--search", default="", help="Only parts with this in number or name.")
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 10_000))
@click.option("--after", default="", help="Only parts after the one with this number: the next page.")
@command_output
def list_(out: Output, search: str, limit: int, after: str) -> None:
    """List parts by number; with --search, first those that begin with the text.

    \b
    Example: mfgviz parts list --search bracket
    """
    from mfgviz.wire import cursor_after

    doors = out.doors
    start = cursor_after(after) if after else None
    found = first_of(lambda cursor, most: doors.parts(search, cursor, most), limit, start)
    rows = [_row(part) for part in found]
    out.rows(rows, ["number", "name", "attributes", "created_at"], "No parts. `mfgviz parts add` adds one.")


@parts.command()
@click.argument("number")
@command_output
def show(out: Output, number: str) -> None:
    """Show a part and its revisions.

    \b
    Example: mfgviz parts show BRK-0042
    """
    part = out.doors.part(number)
    out.item({**_row(part), "revisions": part.revisions or []})


@parts.command("set")
@click.argument("number")
@ATTRIBUTES
@command_output
def set_(out: Output, number: str, attributes: dict[str, Any]) -> None:
    """Set attributes of a part.

    \b
    Example: mfgviz parts set BRK-0042 --attr finish=brushed
    """
    from mfgviz import wire

    change = wire.read(wire.PartChange, {"attributes": attributes})
    out.item(
        _row(out.doors.change_part(number, change)), f"Set {', '.join(attributes) or 'nothing'} of {number}."
    )


@parts.command("import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--atomic", is_flag=True, help="Import all lines or none.")
@click.option("--update", is_flag=True, help="Give parts that are there already the new values.")
@command_output
def import_(out: Output, file: Path, atomic: bool, update: bool) -> None:
    """Import parts from a CSV file: columns number, name, and any attributes.

    \b
    Example: mfgviz parts import parts.csv --atomic
    """
    from mfgviz.bulk import PartImporter, read_csv
    from mfgviz.cli.sending import refuse_atomic, send_parts

    if out.is_remote and atomic:
        refuse_atomic()
    with out.progress("importing", None) as advance:
        lines = read_csv(file, scalar)
        if out.is_remote:
            report = send_parts(out, lines, advance, update=update)
        else:
            importer = PartImporter(out.runtime.db, out.actor, update)
            report = importer.run(lines, atomic=atomic, advance=advance)
    counts = {"imported": report.accepted - report.updated, "updated": report.updated}
    told = f"Imported {counts['imported']} parts" + (f", updated {report.updated}" if update else "")
    out.item(
        {**counts, "rejected": [rejected_row(one) for one in report.rejected]},
        f"{told}; {len(report.rejected)} lines could not be used.",
    )
    report.raise_if_rejected(file)


def _row(part: Part) -> Row:
    return {
        "number": part.number,
        "name": part.name,
        "attributes": part.attributes,
        "created_at": part.created_at,
        "created_by": part.created_by,
    }
