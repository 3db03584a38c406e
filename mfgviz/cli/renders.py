"""`mfgviz renders`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mfgviz.cli.output import RECORD_ID, Output, Row, command_output, first_of
from mfgviz.errors import MfgvizError, UnavailableError
from mfgviz.vocabulary import ReviewState

if TYPE_CHECKING:
    from mfgviz.records import Rendition
    from mfgviz.wire import Page, Render

VERDICTS = {"approve": "approved", "reject": "rejected", "propose": "proposed"}


@click.group()
def renders() -> None:
    """List, export, review, verify and replay renders."""


@renders.command("list")
@click.argument("reference", required=False)
@click.option(
    "--review-state", type=click.Choice([one.value for one in ReviewState]), help="Only those that are so."
)
@click.option("--stale", is_flag=True, help="Only those that show something which was released anew.")
@click.option("--limit", default=200, show_default=True, type=click.IntRange(1, 10_000))
@command_output
def list_(out: Output, reference: str | None, review_state: str | None, stale: bool, limit: int) -> None:
    """List renders, of one revision or of all, newest first; `current` ones show the CAD file that their
    revision has now.

    \b
    Example: mfgviz renders list BRK-0042@A
             mfgviz renders list --review-state proposed
             mfgviz renders list --stale
    """
    doors = out.doors

    def page(cursor: str | None, most: int) -> Page[Render]:
        return doors.renders(
            revision=reference, review_state=review_state, stale=stale, cursor=cursor, limit=most
        )

    rows = [_row(one) for one in first_of(page, limit)]
    columns = [
        "id",
        "revision",
        "job",
        "view",
        "seed",
        "size",
        "model",
        "current",
        "fidelity",
        "verdict",
        "review_state",
        "is_primary",
        "prompt",
    ]
    if stale:
        columns = ["id", "revision", "job", "view", "stale_since", "stale_reason", "is_primary", "prompt"]
        out.rows(rows, columns, "No stale renders.")
        return
    out.rows(rows, columns, "No renders yet. `mfgviz jobs submit` asks for some.")


@renders.command()
@click.option(
    "--stale", is_flag=True, required=True, help="Those that show something which was released anew."
)
@click.option("--revision", metavar="REVISION", help="Of that revision alone.")
@click.option("--wait", is_flag=True, help="Wait for the jobs, with progress.")
@command_output
def rerender(out: Output, stale: bool, revision: str | None, wait: bool) -> None:
    """Ask for stale renders again, by the same requests; the old ones stay.

    What waits already, or was made again since, is left out.

    \b
    Example: mfgviz renders rerender --stale --revision TOP-100@C
    """
    del stale
    from mfgviz import wire

    answers = out.doors.rerender_stale(wire.read(wire.RerenderBody, {"revision": revision})).items
    ids = [one.job for one in answers]
    if wait and ids:
        from mfgviz.cli.waiting import finish

        finish(out, ids, None)
        return
    rows = [{"job": one.job, "how": one.how} for one in answers]
    out.rows(rows, ["job", "how"], "Nothing to do: what is stale waits, or was made again.")


@renders.command()
@click.argument("render_id", type=RECORD_ID)
@command_output
def show(out: Output, render_id: int) -> None:
    """Show a render and everything needed to make it again.

    \b
    Example: mfgviz renders show 3 --json
    """
    one = out.doors.render(render_id)
    item = {**_row(one), "blob_digest": one.blob_digest, "pixel_digest": one.pixel_digest}
    item |= {"fidelity_details": one.fidelity_details, "control_scale": one.control_scale}
    item |= {"software": one.software, "request": one.request, "fingerprint": one.fingerprint}
    out.item(item)


@renders.command()
@click.argument("render_ids", type=RECORD_ID, nargs=-1, required=True)
@click.option("--out", "target", type=click.Path(path_type=Path), required=True, help="A file, or a folder.")
@click.option("--format", "extension", type=click.Choice(["png", "jpeg", "webp"]), help="For a folder.")
@command_output
def export(out: Output, render_ids: tuple[int, ...], target: Path, extension: str | None) -> None:
    """Write renders as PNG, JPEG or WebP; the record and the synthetic-media mark stay inside.

    \b
    Example: mfgviz renders export 3 --out bracket.png
    """
    from mfgviz import renditions
    from mfgviz.cli.waiting import export_to, file_name

    is_file = bool(target.suffix) and not target.is_dir()
    if is_file and len(render_ids) > 1:
        if target.suffix.lower() in renditions.FORMATS:
            raise click.UsageError("Several renders need a folder as --out.")
        is_file = False
    if is_file and extension and renditions.FORMATS.get(target.suffix.lower()) != extension:
        raise click.UsageError(f"--format {extension} and the file {target} do not go together.")
    found = [out.doors.render(render_id) for render_id in render_ids]  # all are there before one is written
    rows = []
    for one in found:
        path = target if is_file else target / file_name(one, extension or "png")
        file = str(export_to(out.doors, one, path))
        rows.append(
            {"render": one.id, "file": file, "fidelity": one.fidelity, "verdict": one.fidelity_verdict}
        )
    out.rows(rows, ["render", "file"])
    for one in found:
        if one.fidelity_verdict == "marked":
            told = "; ".join(one.fidelity_notes[:3])
            known = f"Note: render {one.id} may not show its part (fidelity {one.fidelity:.2f})."
            out.note(f"{known} {told}".strip())


@renders.command()
@click.argument("render_id", type=RECORD_ID)
@click.argument("verdict", type=click.Choice(list(VERDICTS)))
@click.option("--comment", help="Why, in words.")
@command_output
def review(out: Output, render_id: int, verdict: str, comment: str | None) -> None:
    """Approve a render, reject it, or propose it again; as `approve` and `reject` do for several.

    \b
    Example: mfgviz renders review 3 reject --comment "The bore is missing."
    """
    from mfgviz import wire

    body = wire.read(wire.ReviewBody, {"state": VERDICTS[verdict], "comment": comment})
    one = out.doors.review(render_id, body)
    out.item(_row(one), _told(one))


@renders.command()
@click.argument("render_ids", type=RECORD_ID, nargs=-1, required=True)
@click.option("--comment", help="Why, in words.")
@command_output
def approve(out: Output, render_ids: tuple[int, ...], comment: str | None) -> None:
    """Approve renders; one whose revision has no primary image becomes that.

    \b
    Example: mfgviz renders approve 3 4
    """
    _review_all(out, render_ids, "approved", comment)


@renders.command()
@click.argument("render_ids", type=RECORD_ID, nargs=-1, required=True)
@click.option("--comment", help="Why, in words.")
@command_output
def reject(out: Output, render_ids: tuple[int, ...], comment: str | None) -> None:
    """Reject renders; they stand for their revisions no more, and no other one does instead.

    \b
    Example: mfgviz renders reject 3 4 --comment "The bore is missing."
    """
    _review_all(out, render_ids, "rejected", comment)


def _review_all(out: Output, render_ids: tuple[int, ...], state: str, comment: str | None) -> None:
    """Each in its turn; those that are refused stop no other one, and are the command's error at the end."""
    from mfgviz import wire

    body = wire.read(wire.ReviewBody, {"state": state, "comment": comment})
    rows, refused = [], []
    for render_id in dict.fromkeys(render_ids):
        try:
            one = out.doors.review(render_id, body)
        except UnavailableError:
            raise
        except MfgvizError as error:
            refused.append(error)
            continue
        rows.append(_row(one))
        if not out.as_json:
            click.echo(_told(one))
    if out.as_json:
        out.json(rows)
    if refused:
        told = " ".join(error.message for error in refused)
        number = f"{len(refused)} of {len(rows) + len(refused)} renders not {state}. " if rows else ""
        raise type(refused[0])(number + told, remedy=refused[0].remedy)


def _told(one: Render) -> str:
    stands = f", and stands for {one.revision}" if one.is_primary else ""
    stale = f" It is stale: {one.stale_reason}" if one.stale_since and one.review_state == "approved" else ""
    return f"Render {one.id} of {one.revision} is {one.review_state}{stands}.{stale}"


@renders.command()
@click.argument("render_id", type=RECORD_ID)
@command_output
def primary(out: Output, render_id: int) -> None:
    """Let a render stand for its revision, in place of the one that did. One that is only proposed is
    approved by that, where you may review.

    \b
    Example: mfgviz renders primary 3
    """
    out.doors.set_primary(out.doors.render(render_id).revision, render_id)
    one = out.doors.render(render_id)
    out.item(_row(one), f"Render {render_id} stands for {one.revision} now.")


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
    how = "its pixels are unchanged" if verdict.identical else "the unchanged JPEG of an export"
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
@click.argument("render_id", type=RECORD_ID)
@click.option("--wait/--no-wait", default=True, show_default=True, help="Wait, and compare.")
@command_output
def replay(out: Output, render_id: int, wait: bool) -> None:
    """Render again by the record, and compare with the original; exits with 4 if they differ.

    \b
    Example: mfgviz renders replay 3
    """
    from mfgviz import jobs, models, renditions
    from mfgviz.cli.waiting import raise_for, watch_safely
    from mfgviz.jobs import Submission
    from mfgviz.queue import TASK_RENDER
    from mfgviz.vocabulary import Priority

    runtime = out.runtime
    with runtime.db.begin() as session:
        original = renditions.get(session, render_id)
        request = renditions.replay_request(original)
        models.require_weights(session, request.model)
        asked = Submission(original.revision_id, request, Priority.HIGH, True, runtime.settings.max_attempts)
        (answer,) = jobs.submit(session, [asked], out.actor)
    runtime.doorbell.ring(TASK_RENDER, [answer.job_id])
    if not wait:
        out.item({"original": render_id, "job": answer.job_id}, f"Queued job {answer.job_id}.")
        return
    watch_safely(out, [answer.job_id])
    raise_for(out, [answer.job_id])
    with runtime.db.read() as session:
        (again,) = renditions.of_job(session, answer.job_id)
    _tell_comparison(out, original, again)


def _tell_comparison(out: Output, original: Rendition, again: Rendition) -> None:
    """Raises ReplayDiffersError."""
    from mfgviz import renditions
    from mfgviz.errors import ReplayDiffersError

    found = renditions.compare(out.runtime.blobs, original, again)
    item = {
        "original": original.id,
        "replayed": again.id,
        "identical": found.identical,
        "psnr_db": None if found.identical else round(found.psnr_db, 2),
        "max_levels": found.max_levels,
        "software_then": original.software,
        "software_now": again.software,
    }
    if found.identical:
        out.item(item, f"Render {again.id} is bit-equal to render {original.id}.")
        return
    if out.as_json:
        out.json(item)
    changed = sorted(set(original.software.items()) ^ set(again.software.items()))
    software = ", ".join(sorted({name for name, _ in changed}))
    raise ReplayDiffersError(
        f"Render {again.id} differs from render {original.id}: PSNR {found.psnr_db:.1f} dB, "
        f"at most {found.max_levels} of 255 levels."
        + (f" Other versions now: {software}." if software else " The software is the same.")
    )


def _row(one: Render) -> Row:
    return {
        "id": one.id,
        "revision": one.revision,
        "job": one.job,
        "index": one.index,
        "view": one.view,
        "seed": one.seed,
        "size": f"{one.width}x{one.height}",
        "model": one.model,
        "current": one.is_current,
        "fidelity": None if one.fidelity is None else round(one.fidelity, 4),
        "verdict": one.fidelity_verdict,
        "review_state": one.review_state,
        "reviewed_by": one.reviewed_by,
        "reviewed_at": one.reviewed_at,
        "review_comment": one.review_comment,
        "is_primary": one.is_primary,
        "stale_since": one.stale_since,
        "stale_reason": one.stale_reason,
        "linked_from": one.linked_from,
        "prompt": one.prompt,
        "created_at": one.created_at,
    }
