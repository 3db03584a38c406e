"""What is configured, what answers, and what to do about what does not."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from sqlalchemy import select

from mfgviz import __version__, local, models, schema, toolbox
from mfgviz.client import Client
from mfgviz.errors import MfgvizError
from mfgviz.jobs.queries import live_workers
from mfgviz.masking import mask_secret
from mfgviz.models_folder import spec_digest
from mfgviz.records import utcnow
from mfgviz.runtime import Runtime
from mfgviz.settings import find_config_file, unknown_variables
from mfgviz.vocabulary import QUEUE_CPU, QUEUE_GPU

LOW_DISK_BYTES = 2 * 2**30
CLOCK_SKEW_S = 5.0
EXPIRES_SOON = timedelta(days=14)
PACKAGES = ("torch", "diffusers", "transformers", "celery", "sqlalchemy", "cascadio", "embreex", "trimesh")


class Health(StrEnum):
    """How a thing is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; `remedy` says what to do where it is not well."""

    what: str
    health: Health
    told: str
    remedy: str = ""


def examine(runtime: Runtime, env: dict[str, str]) -> Iterator[Finding]:
    """Look at everything in turn; nothing is changed but a test blob that is written."""
    checks: list[tuple[str, Callable[[], Finding]]] = [
        ("settings", lambda: _settings(env, f"data in {runtime.settings.data_dir}")),
        ("database", lambda: _database(runtime)),
        ("clock", lambda: _clock(runtime)),
        ("broker", lambda: _broker(runtime)),
        ("blobs", lambda: _blobs(runtime)),
        ("workers", lambda: _workers(runtime)),
        ("worker packages", _packages),
        ("device", _device),
        ("models", lambda: _models(runtime)),
    ]
    yield from _run(checks)


def examine_server(client: Client, env: dict[str, str]) -> Iterator[Finding]:
    """Look at a server, and at what the token may do there; nothing is changed."""
    yield from _run(
        [
            ("settings", lambda: _settings(env, f"asking {mask_secret(client.url)}")),
            ("server", lambda: _server(client)),
            ("server's services", lambda: _server_ready(client)),
            ("token", lambda: _token(client)),
            ("workers", lambda: _server_workers(client)),
        ]
    )


def _run(checks: list[tuple[str, Callable[[], Finding]]]) -> Iterator[Finding]:
    for what, check in checks:
        try:
            yield check()
        except MfgvizError as error:
            yield Finding(what, Health.FAIL, error.message, error.remedy)


def _server(client: Client) -> Finding:
    there = client.health().version
    if there == __version__:
        return Finding("server", Health.OK, f"answers, version {there}")
    told = f"answers, version {there}; this is {__version__}"
    return Finding("server", Health.WARN, told, "Install the server's version here.")


def _server_ready(client: Client) -> Finding:
    found = client.health(ready=True)
    told = ", ".join(f"{name}: {how}" for name, how in found.checks.items()) or found.status
    if found.status == "ok":
        return Finding("server's services", Health.OK, told)
    return Finding("server's services", Health.FAIL, told, "Run `mfgviz doctor` on the server's host.")


def _token(client: Client) -> Finding:
    found = client.me()
    told = f"{found.token!r} speaks for {found.requester} ({found.role}: {', '.join(found.scopes)})"
    if found.expires_at is None:
        return Finding("token", Health.OK, told)
    told += f", until {found.expires_at:%Y-%m-%d}"
    if found.expires_at - datetime.now(UTC) < EXPIRES_SOON:
        return Finding("token", Health.WARN, told, "Ask an admin for a new one: `mfgviz tokens create`.")
    return Finding("token", Health.OK, told)


def _server_workers(client: Client) -> Finding:
    found = [one for one in client.workers() if one.alive]
    if found:
        return Finding("workers", Health.OK, "; ".join(f"{one.name} ({one.device})" for one in found))
    remedy = "Start one on a host of the server's: `celery -A workers.app worker -Q gpu,cpu`."
    return Finding("workers", Health.WARN, "none reported itself in the last minute", remedy)


def _settings(env: dict[str, str], about: str) -> Finding:
    path = find_config_file(env)
    where = f"file {path}" if path else "no file"
    if unknown := unknown_variables(env):
        told = f"{where}; no such settings: {', '.join(unknown)}"
        return Finding("settings", Health.WARN, told, "`mfgviz config show` lists those there are.")
    return Finding("settings", Health.OK, f"{where}; {about}")


def _database(runtime: Runtime) -> Finding:
    answered = f"{runtime.db.ping()}, {mask_secret(runtime.settings.sqlalchemy_url)}"
    state = schema.state(runtime.db)
    if state.is_current:
        return Finding("database", Health.OK, f"{answered}, migration {state.current}")
    if state.is_newer:
        told = f"{answered}, at migration {state.current} of a newer version than this"
        return Finding("database", Health.WARN, told, "Install that version here, too.")
    told = f"{answered}, at {state.current or 'no migration'}, needs {state.head}"
    return Finding("database", Health.FAIL, told, "Run `mfgviz db upgrade`.")


def _clock(runtime: Runtime) -> Finding:
    with runtime.db.read() as session:
        there = session.scalar(select(utcnow()))
    apart = abs((datetime.now(UTC) - there).total_seconds()) if there else 0.0
    if apart < CLOCK_SKEW_S:
        return Finding("clock", Health.OK, f"{apart:.1f} s from the database's")
    return Finding(
        "clock", Health.WARN, f"{apart:.0f} s from the database's", "Synchronise this host's clock."
    )


def _broker(runtime: Runtime) -> Finding:
    where = mask_secret(runtime.settings.celery_broker_url)
    if runtime.settings.is_embedded_broker and local.running_process(runtime.settings) is None:
        return Finding("broker", Health.WARN, "embedded, not running", "It runs with `mfgviz up`.")
    waiting = runtime.doorbell.waiting(QUEUE_GPU)
    return Finding("broker", Health.OK, f"{where}, {waiting} messages wait")


def _blobs(runtime: Runtime) -> Finding:
    runtime.blobs.check()
    where = mask_secret(runtime.settings.storage_url)
    if not where.startswith("file://"):
        return Finding("blobs", Health.OK, where)
    free = shutil.disk_usage(where.removeprefix("file://")).free
    told = f"{where}, {free / 2**30:.1f} GiB free"
    if free < LOW_DISK_BYTES:
        return Finding("blobs", Health.WARN, told, "Make room, or set MFGVIZ_BLOB_URL.")
    return Finding("blobs", Health.OK, told)


def _workers(runtime: Runtime) -> Finding:
    with runtime.db.read() as session:
        gpu, cpu = live_workers(session, QUEUE_GPU), live_workers(session, QUEUE_CPU)
        names = [f"{worker.name} ({worker.device}; {worker.queues})" for worker in gpu]
    if gpu and cpu:
        return Finding("workers", Health.OK, "; ".join(names))
    missing = " and ".join(q for q, found in ((QUEUE_GPU, gpu), (QUEUE_CPU, cpu)) if not found)
    remedy = "Run `mfgviz up`, or `celery -A workers.app worker -Q gpu,cpu` on a host."
    return Finding("workers", Health.WARN, f"none for {missing} reported itself in the last minute", remedy)


def _packages() -> Finding:
    found, missing = [], []
    for name in PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if not missing:
        return Finding("worker packages", Health.OK, ", ".join(found))
    told = f"missing here: {', '.join(missing)}"
    return Finding("worker packages", Health.WARN, told, "A worker needs them: pip install 'mfgviz[worker]'.")


def _device() -> Finding:
    if not toolbox.is_available():
        return Finding("device", Health.WARN, "no worker side here", "pip install 'mfgviz[worker]'")
    seen: dict[str, Any] = toolbox.run_tool("device", {})
    free, total = (seen[key] / 2**30 for key in ("free_memory_bytes", "total_memory_bytes"))
    told = f"{seen['name']} ({seen['device']}, {seen['dtype']}), {free:.1f} of {total:.1f} GiB free"
    return Finding("device", Health.OK, told)


def _models(runtime: Runtime) -> Finding:
    with runtime.db.read() as session:
        specs = [models.spec_of(model) for model in models.list_models(session)]
    if not specs:
        return Finding(
            "models", Health.FAIL, "none is recorded", "`mfgviz db upgrade` records the bundled one."
        )
    changed = [spec.name for spec in specs if spec_digest(spec) != spec.weights_digest]
    if changed:
        remedy = f"mfgviz models check {changed[0]} --refresh"
        return Finding("models", Health.FAIL, f"other weights than recorded: {', '.join(changed)}", remedy)
    return Finding("models", Health.OK, ", ".join(spec.name for spec in specs))
