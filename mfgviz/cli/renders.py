"""`mfgviz renders`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mfgviz.cli.output import Output, Row, command_output


@click.group()
def renders() -> None:
    """List, export, verify and replay renders."""


@renders.command("list")
@click.argument("reference")
@click.option("--limit", default=200, show_default=True, type=click.IntRange(1, 10_000))
@command_output
def list_(out: Output, reference: str, limit: int) -> None:
    """List the renders of a revision, newest first.

    \b
    Example: mfgviz renders list BRK-0042@A
    """
    from mfgviz import catalog, renditions

    with out.runtime.db.read() as session:
        revision = catalog.get_revision(session, reference)
        rows = [_row(one) for one in renditions.list_renditions(session, revision, limit)]
    columns = ["id", "job", "view", "seed", "size", "model", "review_state", "prompt", "created_at"]
    out.rows(rows, columns, "No renders yet. `mfgviz jobs submit` asks for some.")


@renders.command()
@click.argument("render_id", type=int)
@command_output
def show(out: Output, render_id: int) -> None:
    """Show a render and everything needed to make it again.

    \b
    Example: mfgviz renders show 3 --json
    """
    from mfgviz import renditions

    with out.runtime.db.read() as session:
        one = renditions.get(session, render_id)
        item = {**_row(one), "blob_digest": one.blob_digest, "pixel_digest": one.pixel_digest}
        item |= {"software": one.software, "request": one.job.request, "fingerprint": one.job.fingerprint}
    out.item(item)


@renders.command()
@click.argument("render_ids", type=int, nargs=-1, required=True)
@click.option("--out", "target", type=click.Path(path_type=Path), required=True, help="A file, or a folder.")
@click.option("--format", "extension", type=click.Choice(["png", "jpeg", "webp"]), help="For a folder.")
@command_output
def export(out: Output, render_ids: tuple[int, ...], target: Path, extension: str | None) -> None:
    """Write renders as PNG, JPEG or WebP; the record and the synthetic-media mark stay inside.

    \b
    Example: mfgviz renders export 3 --out bracket.png
    """
    from mfgviz import renditions

    is_file = target.suffix.lower() in renditions.FORMATS and not target.is_dir()
    if is_file and len(render_ids) > 1:
        raise click.UsageError("Several renders need a folder as --out.")
    rows = []
    for render_id in render_ids:
        with out.runtime.db.read() as session:
            one = renditions.get(session, render_id)
        name = f"{one.revision.reference.replace('@', '_')}_{one.id}.{extension or 'png'}"
        path = renditions.export(out.runtime.blobs, one, target if is_file else target / name)
        rows.append({"render": render_id, "file": str(path)})
    out.rows(rows, ["render", "file"])


@renders.command()
@click.argument("file", type=click.Path(path_type=Path))
@command_output
def verify(out: Output, file: Path) -> None:
    """Say whether a file is a render of ours, unchanged, and which revision it shows.

    \b
    Example: mfgviz renders verify bracket.png
    """
    from mfgviz import renditions

    with out.runtime.db.read() as session:
        verdict = renditions.verify(session, out.runtime.blobs, file)
    how = "its pixels are unchanged" if verdict.identical else "a lossy copy of the unchanged picture"
    mark = "" if verdict.marked_synthetic else " Its synthetic-media mark was removed."
    item = {
        "render": verdict.rendition_id,
        "revision": verdict.reference,
        "identical": verdict.identical,
        "marked_synthetic": verdict.marked_synthetic,
        "record": verdict.record,
    }
    out.item(item, f"{file} is render {verdict.rendition_id} of {verdict.reference}: {how}.{mark}")


@renders.command()
@click.argument("render_id", type=int)
@command_output
def replay(out: Output, render_id: int) -> None:
    """Render again by the record, and compare with the original.

    \b
    Example: mfgviz renders replay 3
    """
    from mfgviz import jobs, renditions
    from mfgviz.cli.waiting import _raise_for, watch
    from mfgviz.jobs import Submission
    from mfgviz.queue import TASK_RENDER
    from mfgviz.vocabulary import Priority

    runtime = out.runtime
    with runtime.db.begin() as session:
        original = renditions.get(session, render_id)
        request = renditions.replay_request(original)
        asked = Submission(original.revision_id, request, Priority.HIGH, forced=True)
        (answer,) = jobs.submit(session, [asked], out.actor)
    runtime.doorbell.ring(TASK_RENDER, [answer.job_id])
    watch(out, [answer.job_id])
    _raise_for(out, [answer.job_id])
    with runtime.db.read() as session:
        (again,) = renditions.of_job(session, answer.job_id)
        found = renditions.compare(runtime.blobs, original, again)
    item = {
        "original": render_id,
        "replayed": again.id,
        "identical": found.identical,
        "psnr_db": None if found.identical else round(found.psnr_db, 2),
        "max_levels": found.max_levels,
        "software_then": original.software,
        "software_now": again.software,
    }
    told = (
        f"Render {again.id} is bit-equal to render {render_id}."
        if found.identical
        else f"Render {again.id} differs from render {render_id}: PSNR {found.psnr_db:.1f} dB, "
        f"at most {found.max_levels} of 255 levels. Then {original.software}, now {again.software}."
    )
    out.item(item, told)


def _row(one: Any) -> Row:
    request = one.job.request
    return {
        "id": one.id,
        "revision": one.revision.reference,
        "job": one.job_id,
        "index": one.index,
        "view": request["view"]["name"],
        "seed": one.seed,
        "size": f"{one.width}x{one.height}",
        "model": request["model"]["name"],
        "review_state": one.review_state,
        "prompt": request["prompt"],
        "created_at": one.created_at,
    }
