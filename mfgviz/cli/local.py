"""`mfgviz up`, `mfgviz serve`, `mfgviz demo`, `mfgviz doctor`."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mfgviz.cli.output import Output, command_output
from mfgviz.masking import mask_secret

if TYPE_CHECKING:
    from mfgviz.local import LocalStack
    from mfgviz.settings import Settings

DEMO_PROMPT = "brushed aluminium, studio light, white background"
DEMO_PART = "BRK-0042"


@click.command()
@click.option("--watch", metavar="FOLDER", help="Take CAD files dropped there too. [MFGVIZ_WATCH_FOLDER]")
@command_output
def up(out: Output, watch: str | None) -> None:
    """Run broker, worker and HTTP API on this machine, until Ctrl-C stops them together.

    \b
    Example: mfgviz up
      mfgviz up --watch /srv/drop    # PN_REV.step in, pictures out
    """
    from mfgviz.local import LocalStack, is_loopback, local_token

    settings = out.runtime.settings
    if watch is not None:
        settings = replace(settings, watch_folder=watch)
    stopped: list[int] = []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda got, _frame: stopped.append(got))
    with LocalStack(settings, out.note, api=True) as stack:
        told = {"state": "running", "pid": os.getpid(), "data_dir": str(settings.data_dir)}
        told |= {"broker": mask_secret(settings.celery_broker_url)}
        told |= {"watched": settings.watch_folder} if settings.watch_folder else {}
        told |= {"logs": str(stack.log_file("worker").parent), "api": stack.api_url}
        if settings.is_embedded_database and is_loopback(settings.api_host):
            token = local_token(out.runtime)
            told |= {"token": token, "connect": f"{stack.api_url}/#token={token}"}
        out.item(told, _up_text(settings, told))
        stack.run(lambda: bool(stopped))
        out.note("Stopping; running jobs are handed back to the queue …")


def _up_text(settings: Settings, told: dict[str, Any]) -> str:
    connect = (
        f"CAD programs connect with: {told['connect']}\n"
        if "connect" in told
        else "CAD programs need a token: mfgviz tokens create NAME --role engineer\n"
    )
    watched = f"CAD files are taken from: {told['watched']}\n" if "watched" in told else ""
    return (
        f"mfgviz is up on {settings.data_dir}. Ctrl-C stops it; jobs that wait are kept.\n"
        f"HTTP API: {told['api']}\n"
        f"{connect}"
        f"{watched}"
        f"Logs: {told['logs']}\n"
        "In another terminal:\n"
        "  mfgviz parts add BRK-0042 --attr material=steel\n"
        "  mfgviz revisions add BRK-0042 A --file bracket.step\n"
        '  mfgviz jobs submit BRK-0042@A "{material}, studio light" --wait --out renders'
    )


@click.command()
@click.option("--host", help="The address to listen on. [MFGVIZ_API_HOST]")
@click.option("--port", type=click.IntRange(0, 65535), help="The port; 0 takes a free one. [MFGVIZ_API_PORT]")
@click.option("--fd", type=int, hidden=True, help="A listening socket that the parent process opened.")
@command_output
def serve(out: Output, host: str | None, port: int | None, fd: int | None) -> None:
    """Run the HTTP API alone, until Ctrl-C: for servers, where database, broker and workers run elsewhere.

    \b
    Example: mfgviz serve --host 0.0.0.0 --port 8737
    """
    import socket

    from mfgviz import schema
    from mfgviz.api.app import run
    from mfgviz.local import listen

    settings = out.runtime.settings
    schema.require_current(out.runtime.db)
    if fd is not None:
        run(settings, socket.socket(fileno=fd))
        return
    listening = listen(host or settings.api_host, settings.api_port if port is None else port)
    where, number = listening.getsockname()[:2]
    url = f"http://[{where}]:{number}" if ":" in where else f"http://{where}:{number}"
    out.item(
        {"state": "running", "pid": os.getpid(), "api": url}, f"mfgviz listens on {url}. Ctrl-C stops it."
    )
    run(settings, listening)


@click.command()
@click.option("--part", "step", type=click.Path(path_type=Path, exists=True), help="A CAD file of your own.")
@click.option("--prompt", default=DEMO_PROMPT, show_default=True)
@click.option("--data-dir", type=click.Path(path_type=Path), default=Path("var/demo"), show_default=True)
@command_output
def demo(out: Output, step: Path | None, prompt: str, data_dir: Path) -> None:
    """Render a part from start to end: services, part, revision, job, picture.

    \b
    Example: mfgviz demo --part bracket.step
    """
    from mfgviz import renditions
    from mfgviz.cli.waiting import raise_for, watch
    from mfgviz.intake import Ask
    from mfgviz.runtime import Runtime
    from mfgviz.settings import Settings

    started = time.monotonic()
    settings = Settings(data_dir=data_dir.absolute(), requester=out.actor)
    out._runtime = Runtime(settings)
    with _stack(out, settings) as stack:
        reference = _demo_part(out, step)
        out.note(f'Asking for "{prompt}" of {reference} …')
        seed = _next_seed(out, reference)
        (answer,) = out.doors.submit_ask(Ask(revision=reference, prompt=prompt, seed=seed)).items
        watch(out, [answer.job], stack.check if stack else None)
        raise_for(out, [answer.job])
        with out.runtime.db.read() as session:
            (one,) = renditions.of_job(session, answer.job)
        path = renditions.export(out.runtime.blobs, one, data_dir / "renders" / f"{reference}_{one.id}.png")
    out.runtime.close()
    seconds = round(time.monotonic() - started, 1)
    item = {"render": one.id, "revision": reference, "job": answer.job, "file": str(path), "seed": seed}
    out.item({**item, "seconds": seconds}, _demo_text(path, one.id, reference, data_dir))


@contextmanager
def _stack(out: Output, settings: Settings) -> Iterator[LocalStack | None]:
    """A stack for the demo, unless one runs on the folder already."""
    from mfgviz.local import LocalStack, running_process

    if running_process(settings) is not None:
        out.note("Using the services that run on this folder already.")
        yield None
        return
    out.note("Starting the services …")
    with LocalStack(replace(settings, sweep_interval_s=2.0), out.note) as stack:
        yield stack


def _demo_part(out: Output, step: Path | None) -> str:
    """The demo's part with its revision; added at the first run."""
    from mfgviz import catalog
    from mfgviz.errors import NotFoundError
    from mfgviz.geometry_intake import take_file
    from mfgviz.storage import digest_of

    path = step or Path(__file__).parent.parent / "samples" / "bracket.step"
    number = DEMO_PART if step is None else step.stem
    with path.open("rb") as stream:
        digest = digest_of(stream)
    with out.runtime.db.read() as session:
        try:
            known = catalog.list_revisions(session, number)
        except NotFoundError:
            known = []
        for revision in known:
            if revision.geometry and revision.geometry.digest == digest:
                return revision.reference
    label = chr(ord("A") + len(known)) if len(known) < 26 else f"R{len(known) + 1}"
    out.note(f"Reading {path.name} …")
    taken = take_file(out.runtime, path)
    with out.runtime.db.begin() as session:
        if not known:
            attributes = {"material": "aluminium 6082", "finish": "brushed"}
            name = "Motor bracket" if step is None else ""
            catalog.add_part(session, catalog.NewPart(number, name, attributes), out.actor)
        revision = catalog.add_revision(session, number, label, out.actor)
        taken.attach(session, revision, out.actor, out.runtime.doorbell)
    return f"{number}@{label}"


def _next_seed(out: Output, reference: str) -> int:
    """One more than the revision's renders have, so that each run makes a new picture."""
    from mfgviz import catalog, renditions

    with out.runtime.db.read() as session:
        revision = catalog.get_revision(session, reference)
        return max((one.seed for one in renditions.list_renditions(session, revision)), default=6) + 1


def _demo_text(path: Path, render_id: int, reference: str, data_dir: Path) -> str:
    return (
        f"\n{path}\n\n"
        f"That is render {render_id}, attached to {reference}. Look at what else there is:\n"
        f"  export MFGVIZ_DATA_DIR={data_dir.absolute()}\n"
        f"  mfgviz renders list {reference}\n"
        f"  mfgviz renders verify {path}\n"
        f'  mfgviz up    and then: mfgviz jobs submit {reference} "polished brass, studio light" --wait'
    )


@click.command()
@command_output
def doctor(out: Output) -> None:
    """Say what is configured, what answers, and what to do about what does not; with --server, of the server.

    \b
    Example: mfgviz doctor
    """
    from dataclasses import asdict

    from mfgviz.doctor import Health, examine, examine_server
    from mfgviz.errors import EXIT_UNAVAILABLE

    marks = {Health.OK: ("ok  ", "green"), Health.WARN: ("warn", "yellow"), Health.FAIL: ("FAIL", "red")}
    found = []
    env = dict(os.environ)
    for finding in examine_server(out.client, env) if out.is_remote else examine(out.runtime, env):
        found.append(finding)
        if out.as_json:
            continue
        mark, color = marks[finding.health]
        click.echo(f"{click.style(mark, fg=color)}  {finding.what}: {finding.told}")
        if finding.remedy:
            click.echo(f"      → {finding.remedy}")
    if out.as_json:
        out.json([asdict(finding) for finding in found])
    if any(finding.health is Health.FAIL for finding in found):
        click.get_current_context().exit(EXIT_UNAVAILABLE)
