"""`mfgviz revisions diff`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mfgviz.cli.output import Output, Row, command_output, plain

if TYPE_CHECKING:
    from mfgviz.wire import Hole, HoleChange, RevisionDiff

COLUMNS = ["what", "name", "change", "before", "after"]
SHAPES = {"same": "unchanged", "changed": "changed", "unknown": "cannot be compared"}
HOLES_SHOWN = 50


@click.command()
@click.argument("before", metavar="REVISION")
@click.argument("after", metavar="REVISION")
@click.option("--image", type=click.Path(path_type=Path), help="Draw both shapes over one another: FILE.png.")
@command_output
def diff(out: Output, before: str, after: str, image: Path | None) -> None:
    """Say what changed from one revision to another: shape, sizes, holes, attributes, files. Saving a file
    again changes no shape.

    \b
    Example: mfgviz revisions diff BRK-0042@A BRK-0042@B --image diff.png
    """
    found = out.doors.revision_diff(before, after)
    if image is not None:
        from mfgviz.errors import InvalidInputError
        from mfgviz.renditions import write_file

        if image.suffix.lower() != ".png":
            raise InvalidInputError(f"{image} has the extension {image.suffix!r}.", remedy="It is a .png.")
        write_file(image, out.doors.revision_diff_image(before, after))
    if out.as_json:
        out.json(found.model_dump() | ({"image": str(image)} if image else {}))
        return
    out.rows(list(_rows(found)), COLUMNS)
    for note in found.notes:
        out.note(f"Note: {note}")
    if image is not None:
        out.note(f"Wrote {image}.")


def _rows(found: RevisionDiff) -> Iterator[Row]:
    yield {
        "what": "shape",
        "name": f"{found.before.revision} to {found.after.revision}",
        "change": SHAPES[found.shape],
    }
    for value in found.facts:
        row = {"what": "fact", "name": value.name, "change": _by(value.before, value.after)}
        yield row | {"before": _numbers(value.before), "after": _numbers(value.after)}
    for number, hole in enumerate(found.holes[:HOLES_SHOWN], 1):
        yield {"what": "hole", "name": number, "change": _hole_change(hole)} | {
            "before": _hole(hole.before),
            "after": _hole(hole.after),
        }
    if len(found.holes) > HOLES_SHOWN:
        yield {
            "what": "hole",
            "name": "…",
            "change": f"{len(found.holes) - HOLES_SHOWN} more; --json has all",
        }
    for one in found.attributes:
        yield {"what": f"{one.of} attribute", "name": one.name, "change": one.change} | {
            "before": one.before,
            "after": one.after,
        }
    for value in found.files:
        if value.name != "geometry_digest":
            yield {"what": "file", "name": value.name, "before": value.before, "after": value.after}


def _by(before: Any, after: Any) -> str | None:
    """How far a number went, and as a share where that says more."""
    numbers = int | float
    if not isinstance(before, numbers) or not isinstance(after, numbers):
        return None
    apart = after - before
    share = f" ({apart / before:+.2%})" if before and isinstance(before, float) else ""
    return f"{apart:+.6g}{share}"


def _hole_change(hole: HoleChange) -> str:
    if hole.distance_mm is None or hole.moved_by_mm is None:
        return hole.change
    return f"moved by {hole.distance_mm:.4g} mm ({', '.join(f'{value:.4g}' for value in hole.moved_by_mm)})"


def _hole(hole: Hole | None) -> str | None:
    if hole is None:
        return None
    return f"Ø {hole.diameter_mm:.6g} x {hole.depth_mm:.6g} at {_numbers(hole.position_mm)}"


def _numbers(value: Any) -> str:
    if isinstance(value, list) and value and all(isinstance(one, float) for one in value):
        return f"({', '.join(f'{one:.6g}' for one in value)})"
    return plain(value)
