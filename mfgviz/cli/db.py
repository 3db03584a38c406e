"""`mfgviz db`."""

from __future__ import annotations

import click

from mfgviz.cli.output import Output, command_output


@click.group()
def db() -> None:
    """The database's tables."""


@db.command()
@click.argument("revision", default="head")
@command_output
def upgrade(out: Output, revision: str) -> None:
    """Bring the tables to this version, and record the bundled model.

    \b
    Example: mfgviz db upgrade
    """
    from mfgviz import schema

    state = schema.upgrade(out.runtime.db, revision)
    bundled = state.is_current and schema.register_bundled_model(out.runtime.db, out.actor)
    item = {"current": state.current, "head": state.head, "bundled_model": bundled}
    told = f"The database is at migration {state.current}."
    out.item(item, told + (" The studio model is recorded." if bundled else ""))


@db.command()
@click.argument("revision")
@click.confirmation_option(prompt="Tables and columns of newer migrations are lost. Go on?")
@command_output
def downgrade(out: Output, revision: str) -> None:
    """Take migrations back, down to that one (`base`: all).

    \b
    Example: mfgviz db downgrade base --yes
    """
    from mfgviz import schema

    state = schema.downgrade(out.runtime.db, revision)
    out.item(
        {"current": state.current, "head": state.head}, f"The database is at {state.current or 'nothing'}."
    )


@db.command()
@command_output
def current(out: Output) -> None:
    """Say which migration the database is at.

    \b
    Example: mfgviz db current
    """
    from mfgviz import schema

    state = schema.state(out.runtime.db)
    item = {"current": state.current, "head": state.head, "is_current": state.is_current}
    out.item(item, f"At {state.current or 'nothing'}; this version's is {state.head}.")


@db.command()
@command_output
def check(out: Output) -> None:
    """Compare the tables with those of this version.

    \b
    Example: mfgviz db check
    """
    from mfgviz import schema
    from mfgviz.errors import DatabaseNotMigratedError

    schema.require_current(out.runtime.db)
    found = schema.differences(out.runtime.db)
    if found:
        raise DatabaseNotMigratedError("The tables differ: " + "; ".join(found))
    out.item({"differences": []}, "The tables are those of this version.")
