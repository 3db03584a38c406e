"""`mfgviz bom`."""

from __future__ import annotations

from pathlib import Path

import click

from mfgviz.cli.output import Output, command_output

DEPTH = click.option("--depth", type=click.IntRange(1, 100), help="So many levels at most.")


@click.group()
def bom() -> None:
    """Bills of material: import, show, where-used."""


@bom.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@command_output
def import_(out: Output, file: Path) -> None:
    """Take in bills of material from a CSV or JSONL file, all of it or nothing.

    The columns are parent, child, quantity and, where a child stands at several places, position. A parent is
    NUMBER@REVISION; a child is NUMBER, for whatever revision is current, or NUMBER@REVISION, for this one.
    Each parent in the file gets exactly its lines there; the same file again changes nothing.

    \b
    Example: mfgviz bom import bom.csv
    """
    from mfgviz.errors import InputFileNotFoundError

    try:
        content = file.read_bytes()
    except OSError as error:
        raise InputFileNotFoundError(f"{file} cannot be read: {error.strerror}.") from error
    done = out.doors.import_bom(content, str(file))
    told = f"{done.lines:,} lines of {done.parents:,} revisions; "
    if done.changed_parents:
        told += f"{done.changed_parents:,} changed: {done.added:,} lines added, {done.removed:,} removed."
    else:
        told += "nothing was changed."
    out.item(done.model_dump(), told)


@bom.command()
@click.argument("reference")
@DEPTH
@command_output
def show(out: Output, reference: str, depth: int | None) -> None:
    """Show what a revision is made of, line below line, with how many of each are in the whole.

    \b
    Example: mfgviz bom show TOP-100@C --depth 2
    """
    found = out.doors.bom(reference, depth)
    if out.as_json:
        out.json(found.model_dump())
        return
    rows = [
        {
            "part": "  " * (row.level - 1) + row.child,
            "quantity": f"{row.quantity:g}",
            "total": f"{row.total:g}",
            "position": row.position,
            "state": row.state or "no revision",
            "pinned": row.pinned,
        }
        for row in found.rows
    ]
    out.rows(rows, ["part", "quantity", "total", "position", "state", "pinned"], "It has no lines.")
    if found.more:
        out.note(f"Only the first {len(rows):,} lines are shown; --depth leaves out the lower ones.")


@bom.command("where-used")
@click.argument("part")
@DEPTH
@click.option("--limit", default=1000, show_default=True, type=click.IntRange(1, 10_000))
@command_output
def where_used(out: Output, part: str, depth: int | None, limit: int) -> None:
    """Show in which revisions a part is, or one of its revisions, and how many of it are in each.

    \b
    Example: mfgviz bom where-used SCR-1
    Example: mfgviz bom where-used SCR-1@C --depth 1
    """
    found = out.doors.where_used(part, depth, limit)
    if out.as_json:
        out.json(found.model_dump())
        return
    rows = [{**one.model_dump(), "total": f"{one.total:g}"} for one in found.uses]
    out.rows(rows, ["level", "revision", "total", "state"], f"{part} is used nowhere.")
    if found.more:
        out.note(f"Only the first {limit:,} are shown; --limit shows more.")
