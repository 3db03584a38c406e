"""`mfgviz revisions`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mfgviz.cli.comparing import diff
from mfgviz.cli.output import Output, Row, command_output
from mfgviz.cli.parts import ATTRIBUTES
from mfgviz.vocabulary import STANDARD_VIEWS, LifecycleState, Projection

if TYPE_CHECKING:
    from mfgviz.wire import Revision


@click.group()
def revisions() -> None:
    """Revisions of parts: CAD files, states, control maps. A revision is named NUMBER@LABEL."""


revisions.add_command(diff)


@revisions.command()
@click.argument("number")
@click.argument("label")
@click.option("--file", type=click.Path(path_type=Path), help="The CAD file that it shows.")
@ATTRIBUTES
@click.option("--state", type=click.Choice([state.value for state in LifecycleState]), default="in_work")
@command_output
def add(
    out: Output, number: str, label: str, file: Path | None, attributes: dict[str, Any], state: str
) -> None:
    """Add a revision to a part, with its CAD file.

    \b
    Example: mfgviz revisions add BRK-0042 A --file bracket.step
    """
    from mfgviz import wire

    new = wire.read(wire.NewRevision, {"label": label, "attributes": attributes, "state": state})
    added = out.doors.add_revision(number, new, file)
    _tell_warnings(out, added)
    reference = f"{number}@{label}"
    out.item(
        _row(added),
        f'Added {reference}. Next: mfgviz jobs submit {reference} "brushed aluminium, studio light" --wait',
    )


@revisions.command()
@click.argument("reference")
@click.option("--file", type=click.Path(path_type=Path), required=True, help="The CAD file that it shows.")
@command_output
def attach(out: Output, reference: str, file: Path) -> None:
    """Let a revision show another CAD file (its next iteration).

    \b
    Example: mfgviz revisions attach BRK-0042@A --file bracket.step
    """
    shown = out.doors.attach(reference, file)
    _tell_warnings(out, shown)
    out.item(_row(shown), f"{shown.revision} shows {file.name} now.")


@revisions.command("list")
@click.argument("number")
@command_output
def list_(out: Output, number: str) -> None:
    """List the revisions of a part.

    \b
    Example: mfgviz revisions list BRK-0042
    """
    rows = [_row(revision) for revision in out.doors.revisions(number)]
    out.rows(
        rows, ["revision", "state", "iteration", "file", "geometry_state", "created_at"], "No revisions."
    )


@revisions.command()
@click.argument("reference")
@command_output
def show(out: Output, reference: str) -> None:
    """Show a revision, what its CAD file holds, and the fields that prompts can use.

    \b
    Example: mfgviz revisions show BRK-0042@A
    """
    revision = out.doors.revision(reference)
    item = {**_row(revision), "fields": revision.fields}
    # Nearly all facts are fields; people need not read them twice.
    out.item({**item, "facts": revision.facts} if out.as_json else item)


@revisions.command("set-state")
@click.argument("reference")
@click.argument("state", type=click.Choice([state.value for state in LifecycleState]))
@click.option("--source-state", help="The PLM's own word for it.")
@command_output
def set_state(out: Output, reference: str, state: str, source_state: str | None) -> None:
    """Move a revision through its lifecycle; released ones do not change any more.

    \b
    Example: mfgviz revisions set-state BRK-0042@A released
    """
    _move(out, reference, LifecycleState(state), source_state)


@revisions.command()
@click.argument("reference")
@command_output
def release(out: Output, reference: str) -> None:
    """Release a revision: from now on it does not change.

    \b
    Example: mfgviz revisions release BRK-0042@A
    """
    _move(out, reference, LifecycleState.RELEASED)


@revisions.command()
@click.argument("reference")
@command_output
def obsolete(out: Output, reference: str) -> None:
    """Say that a revision is not used any more.

    \b
    Example: mfgviz revisions obsolete BRK-0042@A
    """
    _move(out, reference, LifecycleState.OBSOLETE)


def _move(out: Output, reference: str, state: LifecycleState, source_state: str | None = None) -> None:
    from mfgviz import wire

    change = wire.read(wire.StateChange, {"state": state.value, "source_state": source_state})
    moved = out.doors.set_state(reference, change)
    out.item(_row(moved), f"{moved.revision} is {moved.state}.")


@revisions.command("clear-primary")
@click.argument("reference")
@command_output
def clear_primary(out: Output, reference: str) -> None:
    """Let no render stand for a revision; `renders primary` chooses one.

    \b
    Example: mfgviz revisions clear-primary BRK-0042@A
    """
    cleared = out.doors.clear_primary(reference)
    out.item(_row(cleared), f"No render stands for {cleared.revision} now.")


@revisions.command()
@click.argument("reference")
@click.option("--view", default="iso", show_default=True, type=click.Choice(STANDARD_VIEWS))
@click.option("--camera", type=click.Path(path_type=Path), help="JSON file of a custom view.")
@click.option("--projection", default="perspective", type=click.Choice([p.value for p in Projection]))
@click.option("--margin", type=float, default=0.08, help="Free share of the frame on each side.")
@click.option("--size", default="512", show_default=True, help="Pixels: SIDE or WIDTHxHEIGHT.")
@click.option("--out", "folder", type=click.Path(path_type=Path), default=Path("maps"), show_default=True)
@command_output
def maps(out: Output, reference: str, size: str, folder: Path, **framing: Any) -> None:
    """Write the control maps of a view as PNG: depth, normals, edges, mask, clay, occlusion.

    \b
    Example: mfgviz revisions maps BRK-0042@A --view iso --out maps
    """
    import msgspec

    from mfgviz import catalog, toolbox
    from mfgviz.cli.asking import parse_size, read_camera
    from mfgviz.geometry_intake import fetched
    from mfgviz.intake import usable_geometry
    from mfgviz.requests import View, check_size

    out.require_local()
    width, height = parse_size(size)
    check_size(width, height)
    name, camera, projection, margin = (framing[key] for key in ("view", "camera", "projection", "margin"))
    view = read_camera(camera, projection, margin) if camera else View(name, Projection(projection), margin)
    with out.runtime.db.read() as session:
        revision = catalog.get_revision(session, reference)
        digest = usable_geometry(revision)
        file_name = revision.geometry.file_name if revision.geometry else ""
    asked = {"view": msgspec.to_builtins(view), "width": width, "height": height}
    with fetched(out.runtime.blobs, digest, file_name) as path:
        answer = toolbox.run_tool("maps", {**asked, "path": str(path), "out_dir": str(folder.absolute())})
    rows = [{"map": kind, "file": path} for kind, path in answer["files"].items()]
    out.rows(rows, ["map", "file"])


def _tell_warnings(out: Output, revision: Revision) -> None:
    for warning in revision.warnings:
        out.note(f"Note: {warning}")


def _row(revision: Revision) -> Row:
    geometry = revision.geometry
    return {
        "revision": revision.revision,
        "state": revision.state,
        "source_state": revision.source_state,
        "iteration": revision.iteration,
        "attributes": revision.attributes,
        "file": geometry.file_name if geometry else None,
        "geometry_state": geometry.state if geometry else None,
        "geometry_digest": geometry.digest if geometry else None,
        "shape_digest": geometry.shape_digest if geometry else None,
        "geometry_error": geometry.error.message if geometry and geometry.error else None,
        "primary_render": revision.primary_render,
        "created_at": revision.created_at,
        "created_by": revision.created_by,
    }
