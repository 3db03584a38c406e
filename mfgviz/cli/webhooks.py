"""`mfgviz webhooks`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from mfgviz.cli.output import Output, command_output, first_of, read_secret

COLUMNS = ["name", "url", "kinds", "enabled", "pending", "delivered", "dead"]
DELIVERY_COLUMNS = ["id", "event", "kind", "state", "tries", "status", "error", "created_at", "next_at"]


@click.group()
def webhooks() -> None:
    """Addresses that are told of events, with signed messages."""


@webhooks.command()
@click.argument("name")
@click.argument("url")
@click.option(
    "--kind",
    "kinds",
    multiple=True,
    required=True,
    help="A kind of event, such as revision.released; `render` is all of `render.`; repeat it.",
)
@click.option(
    "--secret-file",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Holds the secret, whsec_…; - is stdin. A new one is made without it.",
)
@command_output
def add(out: Output, name: str, url: str, kinds: tuple[str, ...], secret_file: Path | None) -> None:
    """Add a webhook; its secret is shown once.

    \b
    Example: mfgviz webhooks add erp https://erp.example.com/mfgviz --kind revision.released --kind render
    """
    from mfgviz import wire

    plain: dict[str, Any] = {"name": name, "url": url, "kinds": list(kinds)}
    if secret_file is not None:
        plain["secret"] = read_secret(secret_file)
    made = out.doors.add_webhook(wire.read(wire.NewWebhookBody, plain))
    told = f"{made.secret}\n\nThat signs what is sent to {made.name!r}. It is not shown again."
    out.item(made.model_dump(), told)


@webhooks.command("list")
@command_output
def list_(out: Output) -> None:
    """List the webhooks, with how many deliveries stand how.

    \b
    Example: mfgviz webhooks list
    """
    out.rows([one.model_dump() for one in out.doors.webhooks()], COLUMNS, "No webhooks.")


@webhooks.command()
@click.argument("name")
@command_output
def show(out: Output, name: str) -> None:
    """Show a webhook, without its secret.

    \b
    Example: mfgviz webhooks show erp
    """
    out.item(out.doors.webhook(name).model_dump())


@webhooks.command()
@click.argument("name")
@command_output
def remove(out: Output, name: str) -> None:
    """Drop a webhook and what was on its way to it.

    \b
    Example: mfgviz webhooks remove erp
    """
    out.doors.remove_webhook(name)
    out.item({"removed": name}, f"Removed the webhook {name!r}.")


@webhooks.command()
@click.argument("name")
@command_output
def enable(out: Output, name: str) -> None:
    """Send to a webhook again, first what waited.

    \b
    Example: mfgviz webhooks enable erp
    """
    _set_enabled(out, name, enabled=True)


@webhooks.command()
@click.argument("name")
@command_output
def disable(out: Output, name: str) -> None:
    """Send nothing to a webhook for now; what waits is kept, new events are not put on their way.

    \b
    Example: mfgviz webhooks disable erp
    """
    _set_enabled(out, name, enabled=False)


@webhooks.command()
@click.argument("name")
@command_output
def test(out: Output, name: str) -> None:
    """Send a message of the type webhook.test at once, and say what became of it.

    \b
    Example: mfgviz webhooks test erp
    """
    from mfgviz.errors import DeliveryFailedError

    found = out.doors.test_webhook(name)
    if not found.delivered:
        raise DeliveryFailedError(f"The webhook {name!r} was not delivered to. {found.error}")
    out.item(found.model_dump(), f"Delivered: {found.status} in {found.took_ms} ms.")


@webhooks.command()
@click.argument("name")
@click.option("--state", type=click.Choice(["pending", "delivered", "dead"]), help="Those alone.")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@command_output
def deliveries(out: Output, name: str, state: str | None, limit: int) -> None:
    """List what is or was on its way to a webhook, the newest first.

    \b
    Example: mfgviz webhooks deliveries erp --state dead
    """
    found = first_of(
        lambda cursor, most: out.doors.deliveries(name, state=state, cursor=cursor, limit=most), limit
    )
    out.rows([one.model_dump() for one in found], DELIVERY_COLUMNS, "No deliveries.")


@webhooks.command()
@click.argument("name")
@click.option("--event", type=click.IntRange(1), help="That event, whatever became of it.")
@click.option("--dead", is_flag=True, help="All that were given up.")
@command_output
def replay(out: Output, name: str, event: int | None, dead: bool) -> None:
    """Send deliveries again, as if for the first time.

    \b
    Example: mfgviz webhooks replay erp --dead
    """
    from mfgviz import wire

    if (event is None) != dead:
        raise click.UsageError("Give --event ID or --dead.")
    done = out.doors.replay(name, wire.read(wire.ReplayBody, {"event": event}))
    out.item(done.model_dump(), f"{done.deliveries} deliveries are on their way again.")


def _set_enabled(out: Output, name: str, *, enabled: bool) -> None:
    from mfgviz import wire

    changed = out.doors.enable_webhook(name, wire.EnabledBody(enabled=enabled))
    out.item(changed.model_dump(), f"The webhook {name!r} is {'enabled' if enabled else 'disabled'}.")
