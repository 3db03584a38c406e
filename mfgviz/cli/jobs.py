"""`mfgviz jobs`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from mfgviz.cli.asking import PICTURE, Wish, make_ask, picture_options
from mfgviz.cli.output import RECORD_ID, Output, Row, command_output, first_of, rejected_row
from mfgviz.cli.watching import watch as watch_command
from mfgviz.vocabulary import JobState, Priority

if TYPE_CHECKING:
    from mfgviz.bulk import BulkReport
    from mfgviz.wire import Attempt, Job, Render

COLUMNS = ["id", "revision", "state", "progress", "model", "requester", "priority", "prompt", "created_at"]
TOLD = {"new": "Queued", "joined": "Joined, it waits already:", "reused": "Reused, it is done already:"}


@click.group()
def jobs() -> None:
    """Submit, watch, cancel and retry render jobs."""


jobs.add_command(watch_command)


@jobs.command()
@click.argument("reference", required=False)
@click.argument("prompt", required=False)
@picture_options
@click.option("--from", "source", type=click.Path(path_type=Path, allow_dash=True), help="JSONL file, or -.")
@click.option("--atomic", is_flag=True, help="With --from: all lines or none.")
@click.option("--wait", is_flag=True, help="Wait for the jobs, with progress.")
@click.option(
    "--out", "folder", type=click.Path(path_type=Path), help="With --wait: export the PNG files there."
)
@command_output
def submit(
    out: Output,
    reference: str | None,
    prompt: str | None,
    wish: Wish,
    source: Path | None,
    atomic: bool,
    wait: bool,
    folder: Path | None,
) -> None:
    """Ask for renders of a revision; the prompt may hold {fields} and {choices|like|these}.

    With --template the prompt, views and settings that are left out are the template's; --field fills in what
    its prompt asks for.

    With --from each line of a JSONL file is such an ask: {"revision": "BRK-0042@A", "prompt": "steel"}
    with any of the other options by their long names (num_inference_steps, width, height, views …).

    With --bom or --query, instead of a revision, it is a batch: each shape and recipe is rendered once, and
    attached wherever it belongs. `mfgviz batches` shows, pauses, resumes and cancels it.

    \b
    Example: mfgviz jobs submit BRK-0042@A "{material}, studio light" --view iso --count 4 --seed 7 --wait
    Example: mfgviz jobs submit BRK-0042@A --template hero --field material="polished brass"
    Example: mfgviz jobs submit --from jobs.jsonl --atomic
    Example: mfgviz jobs submit --bom TOP-100@C --template catalog
    Example: mfgviz jobs submit --query "part.attributes.category == 'bracket'" --template hero
    """
    if folder is not None and not wait:
        raise click.UsageError("--out exports what --wait has waited for: give both.")
    if source is not None:
        _refuse_others(reference)
        _submit_lines(out, source, atomic=atomic, wait=wait, folder=folder)
        return
    if wish.is_batch:
        _submit_batch(out, [one for one in (reference, prompt) if one is not None], wish, wait=wait)
        return
    if atomic:
        raise click.UsageError("--atomic is for --from: one ask goes in as a whole anyway.")
    if reference is None or (prompt is None and wish.template is None):
        raise click.UsageError("Give a revision and a prompt or --template NAME, or --from FILE.")
    answers = out.doors.submit_ask(make_ask(out, reference, prompt or "", wish)).items
    ids = list(dict.fromkeys(answer.job for answer in answers))
    if wait:
        from mfgviz.cli.waiting import finish

        finish(out, ids, folder)
        return
    rows = [{"job": answer.job, "how": answer.how} for answer in answers]
    if not out.is_terminal:
        out.rows(rows, ["job", "how"])
        return
    for answer in answers:
        click.echo(f"{TOLD[answer.how]} job {answer.job}.")
    click.echo(f"Next: mfgviz jobs wait {' '.join(map(str, ids[:8]))}")


def _submit_batch(out: Output, words: list[str], wish: Wish, *, wait: bool) -> None:
    """Of the two arguments only the prompt is left: what is to be rendered stands in an option."""
    from mfgviz.cli.batches import submit_batch

    if len(words) > 1:
        raise click.UsageError("--bom and --query stand for the revision: give the prompt alone.")
    submit_batch(out, make_ask(out, "?", words[0] if words else "", wish), wish, wait=wait)


def _refuse_others(reference: str | None) -> None:
    """With --from every line says all of its picture itself; what is ignored would be missed."""
    context = click.get_current_context()
    given = [
        option.opts[0]
        for option in context.command.params
        if option.name in PICTURE
        and context.get_parameter_source(option.name) is click.core.ParameterSource.COMMANDLINE
    ]
    if reference is not None:
        raise click.UsageError("Give a revision and a prompt, or --from FILE, not both.")
    if given:
        raise click.UsageError(f"{given[0]} does not go with --from: say it in the lines of the file.")


def _submit_lines(out: Output, source: Path, *, atomic: bool, wait: bool, folder: Path | None) -> None:
    report = _take_lines(out, source, atomic=atomic)
    new = sum(one.how == "new" for one in report.jobs)
    told = f"Queued {new} new jobs of {report.accepted} lines; {len(report.rejected)} could not be used."
    if wait:
        from mfgviz.cli.waiting import finish

        out.note(told)
        ids = list(dict.fromkeys(one.job_id for one in report.jobs))
        try:
            finish(out, ids, folder)
        finally:  # bad lines are told even where a job fails
            for one in report.rejected:
                out.note(f"line {one.line}: {one.reason}")
    else:
        item = {
            "accepted_lines": report.accepted,
            "jobs": [{"job": one.job_id, "how": one.how} for one in report.jobs],
            "rejected": [rejected_row(one) for one in report.rejected],
        }
        out.item(item, told)
    report.raise_if_rejected(source)


def _take_lines(out: Output, source: Path, *, atomic: bool) -> BulkReport:
    import io

    from mfgviz.bulk import BulkSubmitter, open_lines, read_jsonl
    from mfgviz.cli.sending import refuse_atomic, send_asks
    from mfgviz.intake import FidelityDefaults

    if out.is_remote and atomic:
        refuse_atomic()
    if str(source) == "-":
        stream = sys.stdin
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(encoding="utf-8-sig", errors="surrogateescape")
    else:
        stream = open_lines(source)
    with stream, out.progress("submitting", None) as advance:
        if out.is_remote:
            return send_asks(out, read_jsonl(stream), advance)
        runtime, settings = out.runtime, out.settings
        submitter = BulkSubmitter(
            runtime.db,
            runtime.doorbell,
            out.actor,
            settings.default_model,
            settings.max_attempts,
            runtime.blobs.exists,
            FidelityDefaults.of(settings),
        )
        return submitter.submit(read_jsonl(stream), atomic=atomic, advance=advance)


@jobs.command("list")
@click.option("--state", type=click.Choice([state.value for state in JobState]))
@click.option("--revision", "reference", help="Only jobs of this revision.")
@click.option("--requester")
@click.option("--before", type=RECORD_ID, help="Only jobs before this id: the next page.")
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
    from mfgviz.wire import cursor_after

    doors = out.doors
    found = first_of(
        lambda cursor, most: doors.jobs(
            state=state, revision=reference, requester=requester, cursor=cursor, limit=most
        ),
        limit,
        cursor_after(str(before)) if before else None,
    )
    rows = [job_row(job) for job in found]
    out.rows(rows, COLUMNS, "No jobs.")


@jobs.command()
@click.argument("job_id", type=RECORD_ID)
@command_output
def show(out: Output, job_id: int) -> None:
    """Show a job, its attempts and its renders.

    \b
    Example: mfgviz jobs show 17 --json
    """
    job = out.doors.job(job_id)
    shown = out.doors.renders(job=job_id, limit=len(job.renders)).items[::-1] if job.renders else []
    item = {
        **job_row(job),
        "took": job.finished_at - job.created_at if job.finished_at else None,
        "fidelity_policy": job.fidelity_policy,
        "fidelity_retries": job.fidelity_retries,
        "renders": job.renders,
        "fidelity": [_fidelity_row(one) for one in shown],
        "notes": job.notes,
        "attempts": [_attempt_row(one) for one in job.attempts or ()],
        "request": job.request,
    }
    out.item(item)


@jobs.command()
@click.argument("job_ids", type=RECORD_ID, nargs=-1, required=True)
@command_output
def cancel(out: Output, job_ids: tuple[int, ...]) -> None:
    """Cancel jobs: waiting ones at once, running ones within one sampling step.

    Where one has finished already the others are cancelled all the same; the exit code is 4 then.

    \b
    Example: mfgviz jobs cancel 17 18
    """
    from mfgviz.errors import IllegalMoveError

    found = out.doors.cancel_all(job_ids)
    out.rows([{"job": one.job, "state": one.state} for one in found], ["job", "state"])
    for one in found:
        if one.state in ("succeeded", "failed"):
            raise IllegalMoveError(f"Job {one.job} has {one.state} already; there is nothing to cancel.")


@jobs.command()
@click.argument("job_ids", type=RECORD_ID, nargs=-1, required=True)
@command_output
def retry(out: Output, job_ids: tuple[int, ...]) -> None:
    """Queue failed or cancelled jobs again.

    \b
    Example: mfgviz jobs retry 17
    """
    found = out.doors.retry_all(job_ids)
    out.rows([{"job": one.job, "state": "queued"} for one in found], ["job", "state"])


@jobs.command()
@click.argument("job_id", type=RECORD_ID)
@command_output
def why(out: Output, job_id: int) -> None:
    """Say why a job waits: its position, what is ahead, which workers could take it.

    \b
    Example: mfgviz jobs why 17
    """
    told = out.doors.why(job_id).model_dump()
    out.item({"job_id": told.pop("job"), **told}, f"Job {job_id} is {told['state']}. {told['told']}")


@jobs.command()
@click.argument("job_ids", type=RECORD_ID, nargs=-1, required=True)
@click.option("--out", "folder", type=click.Path(path_type=Path), help="Export the PNG files there.")
@command_output
def wait(out: Output, job_ids: tuple[int, ...], folder: Path | None) -> None:
    """Wait until jobs are finished, with progress.

    \b
    Example: mfgviz jobs wait 17 18 --out renders
    """
    from mfgviz.cli.waiting import finish

    finish(out, list(job_ids), folder)


def job_row(job: Job) -> Row:
    """A job as people list it."""
    return {
        "id": job.id,
        "revision": job.revision,
        "state": job.state,
        "progress": f"{job.step}/{job.total_steps}",
        "model": job.model,
        "requester": job.requester,
        "priority": Priority[job.priority.upper()].value,
        "held": job.held,
        "batch": job.batch,
        "prompt": job.prompt,
        "images": job.count,
        "attempts_made": job.attempts_made,
        "error_code": job.error.code if job.error else None,
        "error_message": job.error.message if job.error else None,
        "created_at": job.created_at,
        "finished_at": job.finished_at,
    }


def _fidelity_row(render: Render) -> Row:
    return {
        "render": render.id,
        "fidelity": render.fidelity,
        "verdict": render.fidelity_verdict,
        "complaints": render.fidelity_notes,
        "tried": len((render.fidelity_details or {}).get("tried", [])),
    }


def _attempt_row(attempt: Attempt) -> Row:
    return {
        "number": attempt.number,
        "worker": attempt.worker,
        "outcome": attempt.outcome,
        "error_code": attempt.error.code if attempt.error else None,
        "error_message": attempt.error.message if attempt.error else None,
        "started_at": attempt.started_at,
        "finished_at": attempt.finished_at,
        "took": attempt.finished_at - attempt.started_at if attempt.finished_at else None,
    }
