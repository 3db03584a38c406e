"""`mfgviz db`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from mfgviz.cli.output import Output, command_output

if TYPE_CHECKING:
    from mfgviz.integrity import Problem


@click.group()
def db() -> None:
    """The database and the blobs: tables, backups, checks."""


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
@click.option("--repair", is_flag=True, help="Mend what can be: lost pictures are rendered again.")
@click.option("--verify", is_flag=True, help="Read every blob, and compare its content with its digest.")
@command_output
def check(out: Output, repair: bool, verify: bool) -> None:
    """Compare the tables with those of this version, rows with one another, and rows with blobs.

    Exits with 4 where damage is left.

    \b
    Example: mfgviz db check --verify
      mfgviz db check --repair
    """
    from mfgviz import integrity, schema
    from mfgviz.errors import DamagedError, DatabaseNotMigratedError

    schema.require_current(out.runtime.db)
    newer = schema.state(out.runtime.db).is_newer
    found = [] if newer else schema.differences(out.runtime.db)
    if found:
        raise DatabaseNotMigratedError("The tables differ: " + "; ".join(found))
    done = integrity.check(out.runtime, out.actor, repair=repair, verify=verify, progress=out.progress)
    problems = list(done.problems.values())
    if out.as_json:
        counts = {"rows": done.rows, "blobs": done.blobs, "repair": repair, "verify": verify}
        out.item({"differences": found, **counts, "problems": [one.as_json() for one in problems]})
    else:
        tables = "The tables are a newer version's" if newer else "The tables are those of this version"
        click.echo(f"{tables}. Looked at {done.rows:,} rows and {done.blobs:,} blobs.")
        for one in problems:
            click.echo(_problem_line(one))
    if done.left:
        told = "; ".join(
            f"{one.kind} ({one.found - one.mended:,}): {', '.join(one.left)}" for one in done.left
        )
        kept = "It could not be mended. Restore a backup, or add what is lost again." if repair else None
        raise DamagedError(f"There is damage: {told}.", remedy=kept)


def _problem_line(one: Problem) -> str:
    mended = f", {one.mended:,} of them mended" if one.mended else ""
    mark = "note" if one.is_harmless else "FAIL" if one.is_left else "ok  "
    return f"{mark}  {one.found:,} {one.what}{mended} ({one.kind})"


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


@db.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--keep",
    type=click.IntRange(1),
    default=7,
    show_default=True,
    help="How many backups stay in the folder; older ones are dropped.",
)
@command_output
def backup(out: Output, folder: Path, keep: int) -> None:
    """Add a backup of the data folder to a folder of backups, while everything goes on.

    \b
    Example: mfgviz db backup /mnt/nas/mfgviz
    """
    from mfgviz import backup
    from mfgviz.errors import IncompleteBackupError

    done = backup.backup(out.runtime, out.actor, folder, keep, out.progress)
    found = done.manifest
    counts = {"copied": done.copied, "kept": done.kept, "removed": done.removed, "dropped": done.dropped}
    missing = found.missing_blobs
    if missing and out.as_json:
        out.json(found.as_json() | counts)
    if missing:
        raise IncompleteBackupError(
            f"The backup {found.name} is made, but {missing:,} blobs that rows name are missing or damaged: "
            f"{', '.join(found.missing[:5])}{' …' if missing > 5 else ''}"
        )
    out.item(
        found.as_json() | counts,
        f"Backup {found.name}: {sum(found.rows.values()):,} rows, {found.blobs:,} blobs, {done.copied:,} of "
        f"them new. Dropped {len(done.dropped)} older backups and {done.removed:,} blobs.",
    )


@db.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--name", help="Which backup; the newest if none is named.")
@click.option("--force", is_flag=True, help="Replace the installation that is there; it is kept aside.")
@click.option("--incomplete", is_flag=True, help="Go on where blobs of the backup are missing or damaged.")
@click.option(
    "--dry-run", is_flag=True, help="Change nothing; read all of the backup, and say if it is whole."
)
@command_output
def restore(
    out: Output, folder: Path, name: str | None, force: bool, incomplete: bool, dry_run: bool
) -> None:
    """Bring a backup back into the data folder, which nothing may be using.

    \b
    Example: mfgviz db restore /mnt/nas/mfgviz
    """
    from mfgviz import backup
    from mfgviz.errors import InvalidBackupError

    out.require_local()
    done = backup.restore(
        out.settings, out.settings.requester, folder, name,
        force=force, incomplete=incomplete, dry_run=dry_run, progress=out.progress,
    )  # fmt: skip
    found, bad = done.manifest, done.unusable
    item = {
        "name": found.name, "made_at": found.made_at, "migration": done.migration, "rows": found.rows,
        "copied": done.copied, "kept": done.kept, "unusable": bad, "dry_run": dry_run,
        "aside": done.aside and str(done.aside),
    }  # fmt: skip
    if dry_run and bad:
        if out.as_json:
            out.json(item)
        raise InvalidBackupError(f"{len(bad):,} blobs of the backup {found.name} are missing or damaged.")
    of, rows = f"{found.name} of {found.made_at:%Y-%m-%d %H:%M} UTC", sum(found.rows.values())
    if dry_run:
        out.item(item, f"The backup {of} is whole: {done.copied:,} blobs. Nothing was changed.")
        return
    aside = f" What was there is in {done.aside}." if done.aside else ""
    lacking = f" {len(bad):,} blobs are missing: mfgviz db check --repair." if bad else ""
    out.item(
        item,
        f"Restored {of} into {out.settings.data_dir}: {rows:,} rows, {done.copied:,} blobs copied, "
        f"{done.kept:,} there already; migration {done.migration}.{aside}{lacking}",
    )
