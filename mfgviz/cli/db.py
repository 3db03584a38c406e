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


@db.command("collect-blobs")
@click.option(
    "--grace-days",
    type=click.FloatRange(0, 36_500),
    default=7.0,
    show_default=True,
    help="How long a blob is left alone: before it is condemned, and before it is deleted.",
)
@click.option("--dry-run", is_flag=True, help="Change nothing; say what would be done.")
@command_output
def collect_blobs(out: Output, grace_days: float, dry_run: bool) -> None:
    """Condemn blobs that nothing refers to, and delete those that were condemned a while ago.

    \b
    Example: mfgviz db collect-blobs --dry-run
    """
    from mfgviz import blob_garbage

    done = blob_garbage.collect(out.runtime, out.actor, grace_days, dry_run=dry_run)
    would = "Would have condemned" if dry_run else "Condemned"
    out.item(
        {**done.as_json(), "dry_run": dry_run},
        f"{done.stored:,} blobs, {done.stored_bytes:,} bytes. {would} {done.condemned:,} "
        f"({done.condemned_bytes:,} bytes), restored {done.restored:,}, deleted {done.deleted:,} "
        f"({done.deleted_bytes:,} bytes).",
    )
