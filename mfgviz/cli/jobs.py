"""`mfgviz jobs`."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mfgviz.cli.output import Output, Row, command_output, parse_pairs
from mfgviz.vocabulary import CUSTOM_VIEW, SAMPLERS, STANDARD_VIEWS, JobState, Mode, Projection

if TYPE_CHECKING:
    from mfgviz.intake import Ask

COLUMNS = ["id", "revision", "state", "progress", "model", "requester", "priority", "prompt", "created_at"]


@click.group()
def jobs() -> None:
    """Submit, watch, cancel and retry render jobs."""


def parse_size(text: str) -> tuple[int, int]:
    """`512` or `768x512` to (width, height) in px. Raises click.BadParameter."""
    found = re.fullmatch(r"(\d{1,6})(?:[xX](\d{1,6}))?", text.strip())
    if not found:
        raise click.BadParameter(f"{text!r} is no size: give SIDE or WIDTHxHEIGHT.", param_hint="--size")
    return int(found[1]), int(found[2] or found[1])


SUBMIT_OPTIONS = [
    click.option(
        "--view", "views", multiple=True, type=click.Choice(STANDARD_VIEWS), help="A view; repeat it."
    ),
    click.option(
        "--camera", type=click.Path(path_type=Path, exists=True), help="JSON file of a custom view."
    ),
    click.option("--projection", type=click.Choice([p.value for p in Projection]), default="perspective"),
    click.option("--margin", type=float, default=0.08, help="Free share of the frame on each side."),
    click.option("--size", help="Pixels: SIDE or WIDTHxHEIGHT; the model's own by default."),
    click.option("--count", type=int, default=1, help="Images, with seeds that follow one another."),
    click.option("--seed", type=int, default=0),
    click.option("--steps", type=int, help="Sampling steps (num_inference_steps)."),
    click.option("--guidance-scale", type=float),
    click.option("--sampler", type=click.Choice(SAMPLERS)),
    click.option("--model", help="A recorded model's name."),
    click.option("--negative-prompt", default=""),
    click.option(
        "--mode", type=click.Choice([m.value for m in Mode]), default="control", help="What holds it."
    ),
    click.option("--image", help="Starting image of image mode: a file, or `clay`."),
    click.option("--strength", type=float, default=0.7, help="How far from the starting image, 0 to 1."),
    click.option("--control-scale", type=float, default=1.0, help="Geometry strength, 0 to 1."),
    click.option("--field", "fields", multiple=True, callback=parse_pairs, metavar="KEY=VALUE"),
    click.option("--priority", type=click.Choice(["low", "normal", "high"]), default="normal"),
    click.option("--force", is_flag=True, help="Render even where the same picture exists."),
]


def _submit_options(function: Any) -> Any:
    for option in reversed(SUBMIT_OPTIONS):
        function = option(function)
    return function


@jobs.command()
@click.argument("reference", required=False)
@click.argument("prompt", required=False)
@_submit_options
@click.option("--from", "source", type=click.Path(path_type=Path, allow_dash=True), help="JSONL file, or -.")
@click.option("--atomic", is_flag=True, help="With --from: all lines or none.")
@click.option("--wait", is_flag=True, help="Wait for the jobs, with progress.")
@click.option(
    "--out", "folder", type=click.Path(path_type=Path), help="With --wait: export the PNG files there."
)
@command_output
def submit(out: Output, reference: str | None, prompt: str | None, **options: Any) -> None:
    """Ask for renders of a revision; the prompt may hold {fields} and {choices|like|these}.

    \b
    Example: mfgviz jobs submit BRK-0042@A "{material}, studio light" --view iso --count 4 --seed 7 --wait
    """
    source, atomic = options.pop("source"), options.pop("atomic")
    wait, folder = options.pop("wait"), options.pop("folder")
    if source is not None:
        _submit_lines(out, source, atomic=atomic)
        return
    if reference is None or prompt is None:
        raise click.UsageError("Give a revision and a prompt, or --from FILE.")
    answers = _submit_ask(out, make_ask(out, reference, prompt, options))
    ids = list(dict.fromkeys(answer.job_id for answer in answers))
    if wait:
        from mfgviz.cli.waiting import finish

        finish(out, ids, folder)
        return
    rows = [{"job": answer.job_id, "how": answer.how} for answer in answers]
    if out.as_json or not out.is_terminal:
        out.rows(rows, ["job", "how"])
    else:
        told = {
            "new": "Queued",
            "joined": "Joined, it waits already:",
            "reused": "Reused, it is done already:",
        }
        for answer in answers:
            click.echo(f"{told[answer.how]} job {answer.job_id}.")
        click.echo(f"Next: mfgviz jobs wait {' '.join(map(str, ids[:8]))}")


def make_ask(out: Output, reference: str, prompt: str, options: dict[str, Any]) -> Ask:
    """The options as an ask; a starting image's file is stored."""
    import msgspec

    from mfgviz.errors import InvalidRequestError
    from mfgviz.intake import Ask
    from mfgviz.requests import View

    projection, margin, camera = options.pop("projection"), options.pop("margin"), options.pop("camera")
    names = options.pop("views") or (() if camera else ("iso",))
    views: list[str | View] = [View(name, Projection(projection), margin) for name in names]
    if camera:
        try:
            views.append(msgspec.convert({"name": CUSTOM_VIEW, **json.loads(camera.read_text())}, View))
        except (ValueError, TypeError, OSError) as error:
            raise InvalidRequestError(f"{camera} is no custom view: {error}.") from error
    size = options.pop("size")
    width, height = parse_size(size) if size else (None, None)
    image = options.pop("image")
    if image not in (None, "clay"):
        image = _store_image(out, Path(image))
    mode = Mode.IMAGE if image else Mode(options.pop("mode"))
    options.pop("mode", None)
    return Ask(
        revision=reference,
        prompt=prompt,
        views=tuple(views),
        width=width,
        height=height,
        mode=mode,
        image=image,
        num_inference_steps=options.pop("steps"),
        fields={key: str(value) for key, value in options.pop("fields").items()},
        **options,
    )


def _store_image(out: Output, path: Path) -> str:
    import io

    from mfgviz import provenance
    from mfgviz.errors import ImageUnreadableError

    if not path.is_file():
        raise ImageUnreadableError(f"There is no image {path}.", remedy="Give a file, or `clay`.")
    clean = io.BytesIO()
    provenance.open_image(path.read_bytes(), str(path)).convert("RGB").save(clean, "PNG")
    return out.runtime.blobs.put(clean.getvalue())


def _submit_ask(out: Output, ask: Ask) -> Any:
    from mfgviz import jobs as core
    from mfgviz.bulk import RING_AT_MOST
    from mfgviz.intake import Lookup, prepare
    from mfgviz.queue import TASK_RENDER

    runtime = out.runtime
    with runtime.db.begin() as session:
        lookup = Lookup(session, runtime.settings.default_model, runtime.settings.max_attempts)
        answers = core.submit(session, prepare(lookup, ask), out.actor)
    runtime.doorbell.ring(TASK_RENDER, [one.job_id for one in answers if one.how == "new"][:RING_AT_MOST])
    return answers


def _submit_lines(out: Output, source: Path, *, atomic: bool) -> None:
    from mfgviz.bulk import BulkSubmitter, open_lines, read_jsonl
    from mfgviz.cli.parts import vars_of

    runtime, settings = out.runtime, out.runtime.settings
    submitter = BulkSubmitter(
        runtime.db, runtime.doorbell, out.actor, settings.default_model, settings.max_attempts
    )
    stream = sys.stdin if str(source) == "-" else open_lines(source)
    with stream, out.progress("submitting", None) as advance:
        report = submitter.submit(read_jsonl(stream), atomic=atomic, advance=advance)
    item = {
        "accepted_lines": report.accepted,
        "jobs": [{"job": one.job_id, "how": one.how} for one in report.jobs],
        "rejected": [vars_of(one) for one in report.rejected],
    }
    new = sum(one.how == "new" for one in report.jobs)
    out.item(
        item, f"Queued {new} new jobs of {report.accepted} lines; {len(report.rejected)} could not be used."
    )
    report.raise_if_rejected(source)


@jobs.command("list")
@click.option("--state", type=click.Choice([state.value for state in JobState]))
@click.option("--revision", "reference", help="Only jobs of this revision.")
@click.option("--requester")
@click.option("--before", type=int, help="Only jobs before this id: the next page.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(1, 10_000))
@command_output
def list_(
    out: Output,
    state: str | None,
    reference: str | None,
    requester: str | None,
    before: int | None,
    limit: int,
) -> None:
    """List jobs, newest first.

    \b
    Example: mfgviz jobs list --state failed
    """
    from mfgviz import catalog
    from mfgviz import jobs as core

    with out.runtime.db.read() as session:
        revision_id = catalog.get_revision(session, reference).id if reference else None
        wanted = core.JobFilter(JobState(state) if state else None, revision_id, requester, before, limit)
        rows = [job_row(job) for job in core.list_jobs(session, wanted)]
    out.rows(rows, COLUMNS, "No jobs.")


@jobs.command()
@click.argument("job_id", type=int)
@command_output
def show(out: Output, job_id: int) -> None:
    """Show a job, its attempts and its renders.

    \b
    Example: mfgviz jobs show 17 --json
    """
    from mfgviz import jobs as core

    with out.runtime.db.read() as session:
        job = core.get(session, job_id)
        attempts = [
            {
                key: getattr(one, key)
                for key in ("number", "worker", "outcome", "error_code", "started_at", "finished_at")
            }
            for one in job.attempts
        ]
        item = {**job_row(job), "renders": [one.id for one in job.renditions], "notes": job.notes}
        out.item(
            {**item, "attempts": attempts, "request": job.request}
            if out.as_json
            else {**item, "attempts": len(attempts)}
        )


@jobs.command()
@click.argument("job_ids", type=int, nargs=-1, required=True)
@command_output
def cancel(out: Output, job_ids: tuple[int, ...]) -> None:
    """Cancel jobs: waiting ones at once, running ones within one sampling step.

    \b
    Example: mfgviz jobs cancel 17 18
    """
    from mfgviz import jobs as core

    rows = []
    for job_id in job_ids:
        with out.runtime.db.begin() as session:
            rows.append({"job": job_id, "state": core.cancel(session, job_id, out.actor)})
    out.rows(rows, ["job", "state"])


@jobs.command()
@click.argument("job_ids", type=int, nargs=-1, required=True)
@command_output
def retry(out: Output, job_ids: tuple[int, ...]) -> None:
    """Queue failed or cancelled jobs again.

    \b
    Example: mfgviz jobs retry 17
    """
    from mfgviz import jobs as core
    from mfgviz.queue import TASK_RENDER

    runtime = out.runtime
    for job_id in job_ids:
        with runtime.db.begin() as session:
            core.retry(session, job_id, out.actor, runtime.settings.max_attempts)
        runtime.doorbell.ring(TASK_RENDER, [job_id])
    out.rows([{"job": job_id, "state": "queued"} for job_id in job_ids], ["job", "state"])


@jobs.command()
@click.argument("job_id", type=int)
@command_output
def why(out: Output, job_id: int) -> None:
    """Say why a job waits: its position, what is ahead, which workers could take it.

    \b
    Example: mfgviz jobs why 17
    """
    from dataclasses import asdict

    from mfgviz import jobs as core

    with out.runtime.db.read() as session:
        told = core.why(session, job_id)
    out.item(asdict(told), f"Job {job_id} is {told.state}. {told.told}")


@jobs.command()
@click.argument("job_ids", type=int, nargs=-1, required=True)
@click.option("--out", "folder", type=click.Path(path_type=Path), help="Export the PNG files there.")
@command_output
def wait(out: Output, job_ids: tuple[int, ...], folder: Path | None) -> None:
    """Wait until jobs are finished, with progress.

    \b
    Example: mfgviz jobs wait 17 18 --out renders
    """
    from mfgviz.cli.waiting import finish

    finish(out, list(job_ids), folder)


def job_row(job: Any) -> Row:
    """A job as people list it."""
    return {
        "id": job.id,
        "revision": job.revision.reference,
        "state": job.state,
        "progress": f"{job.step}/{job.total_steps}",
        "model": job.model_name,
        "requester": job.requester,
        "priority": job.priority,
        "prompt": job.request["prompt"],
        "images": job.images,
        "attempts_made": job.attempts_made,
        "error_code": job.error_code,
        "error_message": job.error_message,
        "created_at": job.created_at,
        "finished_at": job.finished_at,
    }
