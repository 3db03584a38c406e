"""`mfgviz tokens`."""

from __future__ import annotations

import click

from mfgviz.cli.output import Output, command_output
from mfgviz.vocabulary import Role, Scope

COLUMNS = ["name", "requester", "role", "scopes", "created_at", "expires_at", "revoked_at", "used_at"]


@click.group()
def tokens() -> None:
    """Keys to the HTTP API. Only a token's hash is kept: its secret is shown once, when it is made."""


@tokens.command()
@click.argument("name")
@click.option("--role", required=True, type=click.Choice([role.value for role in Role]))
@click.option("--requester", help="Whom it speaks for; its name by default.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice([s.value for s in Scope]),
    help="Narrower than the role's.",
)
@click.option(
    "--expires-in-days", type=click.FloatRange(0, min_open=True, max=36_500), help="Never by default."
)
@command_output
def create(
    out: Output,
    name: str,
    role: str,
    requester: str | None,
    scopes: tuple[str, ...],
    expires_in_days: float | None,
) -> None:
    """Make a token: viewers read, engineers submit too, approvers review too, admins do all.

    \b
    Example: mfgviz tokens create "ann, FreeCAD" --role engineer --requester ann --expires-in-days 365
    """
    from mfgviz import wire

    body = {"name": name, "role": role, "requester": requester, "expires_in_days": expires_in_days}
    asked = wire.read(wire.NewTokenBody, {**body, "scopes": list(scopes) or None})
    made = out.doors.create_token(asked)
    out.item(
        made.model_dump(exclude_none=True),
        f"{made.token}\n\nThat is the token {made.name!r} of {made.requester} ({made.role}). "
        "It is not shown again.",
    )


@tokens.command("list")
@command_output
def list_(out: Output) -> None:
    """List tokens, newest first, without their secrets.

    \b
    Example: mfgviz tokens list
    """
    out.rows([one.model_dump() for one in out.doors.tokens()], COLUMNS, "No tokens.")


@tokens.command()
@click.argument("name")
@command_output
def revoke(out: Output, name: str) -> None:
    """Let a token open nothing any more, from now on.

    \b
    Example: mfgviz tokens revoke "ann, FreeCAD"
    """
    out.item(out.doors.revoke_token(name).model_dump(), f"Revoked the token {name!r}.")
