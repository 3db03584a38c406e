"""Backups of the embedded installation: copies of the database, and blobs that they share.

A backup folder holds `mfgviz-backup.json`, which says what it is, `blobs/`, and for each backup three files
named by its time: the database (`.db`), the blobs it needs (`.blobs`, a digest a line) and, written last, the
manifest (`.json`). A backup is there when its manifest is. So one that was interrupted is none, and harms
none of the others.

The database is copied first, the blobs after that: a blob is stored before any row names it, and kept for two
grace periods after the last row that did.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from tempfile import gettempdir
from typing import Any

import msgspec
from sqlalchemy import func, select

from mfgviz import __version__, blob_garbage, schema
from mfgviz.database import Database
from mfgviz.digests import DigestSet, Progress, in_batches, untold
from mfgviz.errors import (
    AlreadyRunningError,
    BlobDamagedError,
    BlobNotFoundError,
    DatabaseNotMigratedError,
    InvalidBackupError,
    InvalidInputError,
    NewerBackupError,
    NotEmptyError,
    StorageUnavailableError,
)
from mfgviz.jobs.queries import live_workers
from mfgviz.journal import audit
from mfgviz.local import TOKEN_FILE, drop_lock, take_lock
from mfgviz.records import Record
from mfgviz.runtime import Runtime
from mfgviz.settings import EMBEDDED, Settings
from mfgviz.storage import BlobStore, digest_of

MARK, FORMAT = "mfgviz-backup.json", 1
KEEP = 7
NAMED_MISSING = 100
PARTIAL = ".partial-"
DATABASE = "mfgviz.db"
# Rows of these alone are no installation that anybody would miss.
_SET_UP = {"alembic_version", "models", "workers", "audit_entries"}


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a backup holds. `missing` names blobs that the installation itself did not have whole, the first
    hundred of `missing_blobs`."""

    name: str
    made_at: datetime
    mfgviz: str
    migration: str
    database_digest: str
    database_bytes: int
    blobs_digest: str
    blobs: int
    rows: dict[str, int]
    missing_blobs: int = 0
    missing: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Its fields."""
        plain: dict[str, Any] = msgspec.to_builtins(self)
        return plain


@dataclass(frozen=True, slots=True)
class BackedUp:
    """A backup that was made: blobs that were copied, that were there already, and that no kept backup needs
    any more; the names of older backups that were dropped."""

    manifest: Manifest
    copied: int
    kept: int
    removed: int
    dropped: list[str]


@dataclass(frozen=True, slots=True)
class Restored:
    """A backup that was brought back, or would be; blobs that were copied or there already, and those of the
    backup that are damaged or gone. The installation that was there lies in `aside`."""

    manifest: Manifest
    migration: str
    copied: int
    kept: int
    unusable: list[str]
    aside: Path | None


def backup(
    runtime: Runtime, actor: str, folder: Path, keep: int = KEEP, progress: Progress = untold
) -> BackedUp:
    """Add a backup to the folder, and drop all but the newest `keep`. Clients and workers go on meanwhile.

    Raises:
        InvalidInputError: the installation is not the embedded one, or the folder lies in it.
        InvalidBackupError: the folder holds other things.
        AlreadyRunningError: another backup is being written there.
        StorageUnavailableError: the folder cannot be written; earlier backups are whole.
    """
    _require_embedded(runtime.settings)
    if keep < 1:
        raise InvalidInputError(f"keep is {keep}, but must be above zero.")
    folder = folder.absolute()
    if folder.resolve().is_relative_to(runtime.settings.data_dir.resolve()):
        raise InvalidInputError(
            f"{folder} lies in the data folder, and would be lost together with it.",
            remedy="Name a folder elsewhere, best on another disk.",
        )
    with _in_folder(folder), _our_folder(folder):
        _tidy(folder)
        try:
            return _add(runtime, actor, folder, keep, progress)
        finally:
            _tidy(folder)


def restore(
    settings: Settings,
    actor: str,
    folder: Path,
    name: str | None = None,
    *,
    force: bool = False,
    incomplete: bool = False,
    dry_run: bool = False,
    progress: Progress = untold,
) -> Restored:
    """Bring back a backup, the newest unless it is named. With `force` an installation that is there is kept
    aside; `incomplete` takes a backup of which blobs are gone; `dry_run` only looks whether it is whole.

    Raises:
        InvalidInputError: the installation is not the embedded one.
        InvalidBackupError: there is no such backup, or it is damaged.
        NewerBackupError: it is of a version after this one.
        NotEmptyError: there is an installation.
        AlreadyRunningError: it is in use.
        StorageUnavailableError: the data folder cannot be written; what was there is as it was.
    """
    _require_embedded(settings)
    found = find(folder, name)
    _check(folder, found)
    if dry_run:
        copied, kept, bad = _take_blobs(folder, found, None, progress)
        return Restored(found, found.migration, copied, kept, bad, None)
    with _in_folder(settings.data_dir):
        settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = take_lock(settings)
        try:
            return _bring_back(settings, actor, folder, found, (force, incomplete), progress)
        finally:
            _tidy(settings.data_dir)
            drop_lock(lock)


def find(folder: Path, name: str | None = None) -> Manifest:
    """The manifest of a backup, of the newest unless it is named. Raises InvalidBackupError."""
    if not (folder / MARK).is_file():
        raise InvalidBackupError(f"{folder} is no folder of backups.")
    names = sorted(path.stem for path in folder.glob("[0-9]*Z.json"))
    if not names:
        raise InvalidBackupError(f"{folder} holds no backup that was completed.")
    if name is not None and name not in names:
        raise InvalidBackupError(
            f"{folder} holds no backup {name!r}.", remedy=f"It holds {', '.join(names)}."
        )
    path = folder / f"{name or names[-1]}.json"
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (OSError, msgspec.DecodeError) as error:
        raise InvalidBackupError(f"The manifest {path} cannot be read: {error}.") from error


# -- making one --------------------------------------------------------------------------------------------
def _add(runtime: Runtime, actor: str, folder: Path, keep: int, progress: Progress) -> BackedUp:
    at = datetime.now(UTC)
    name = at.strftime("%Y%m%dT%H%M%S-%fZ")
    copy, listed = folder / f"{PARTIAL}{name}.db", folder / f"{PARTIAL}{name}.blobs"
    _copy_database(runtime.settings.data_dir / DATABASE, copy)
    target = BlobStore((folder / "blobs").as_uri())
    with DigestSet() as needed, DigestSet(target.digests()) as there:
        facts = _look_into(copy, needed)
        total = len(needed)
        copied, missing = 0, list[str]()
        with progress("Blobs", total) as advance, listed.open("w", encoding="ascii") as lines:
            for digests in in_batches(needed, 1000):
                new = there.lacks(digests)
                for digest in digests:
                    if digest in new and not _copy_blob(runtime.blobs, target, digest):
                        missing.append(digest)
                        continue
                    copied += digest in new
                    lines.write(f"{digest}\n")
                advance(len(digests))
        kept = total - copied - len(missing)
    manifest = Manifest(
        name=name,
        made_at=at,
        mfgviz=__version__,
        database_digest=_digest(copy),
        database_bytes=copy.stat().st_size,
        blobs_digest=_digest(listed),
        blobs=copied + kept,
        missing_blobs=len(missing),
        missing=missing[:NAMED_MISSING],
        **facts,
    )
    told = folder / f"{PARTIAL}{name}.json"
    told.write_bytes(msgspec.json.format(msgspec.json.encode(manifest)))
    # What was written must be on the disk before the manifest says so.
    os.sync()
    for path in (copy, listed, told):
        path.replace(folder / path.name.removeprefix(PARTIAL))
    os.sync()
    dropped, removed = _thin_out(folder, target, keep)
    with runtime.db.begin() as session:
        audit(session, actor, "database.backed_up", str(folder), {"backup": name, "blobs": copied + kept})
    return BackedUp(manifest, copied, kept, removed, dropped)


def _copy_database(source: Path, copy: Path) -> None:
    """By SQLite's own backup, in one step: it reads as of one moment, and keeps nobody from writing."""
    if not source.is_file():
        raise DatabaseNotMigratedError(f"There is no database {source}.")
    try:
        live = sqlite3.connect(f"{source.as_uri()}?mode=rw", uri=True)
        with closing(live), closing(sqlite3.connect(copy)) as made:
            live.backup(made)
        _close_up(copy)
        with closing(sqlite3.connect(copy)) as made:
            ((told, *_), *_) = made.execute("PRAGMA quick_check(1)").fetchall()
    except sqlite3.Error as error:
        raise StorageUnavailableError(
            f"The database {source} cannot be copied to {copy.parent}: {error}.",
            remedy="Look for free space there, and at the database with `mfgviz db check`.",
        ) from error
    if told != "ok":
        raise StorageUnavailableError(
            f"The database {source} is damaged: {told}.", remedy="Restore an earlier backup."
        )


def _look_into(copy: Path, needed: DigestSet) -> dict[str, Any]:
    """Put the blobs that its rows name into the set; its migration, and how many rows its tables have."""
    scratch = copy.with_suffix(".scratch")
    shutil.copyfile(copy, scratch)
    db = Database(f"sqlite:///{scratch}")
    try:
        migration = schema.state(db).current
        if migration is None:
            raise DatabaseNotMigratedError("The database has no tables yet: there is nothing to back up.")
        with closing(sqlite3.connect(copy)) as made:
            names = [row[0] for row in made.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        schema.upgrade(db)
        with db.read() as session:
            needed.add(blob_garbage.referenced(session))
            rows = {
                table.name: session.scalar(select(func.count()).select_from(table)) or 0
                for table in Record.metadata.sorted_tables
                if table.name in names
            }
    finally:
        db.dispose()
        for path in (scratch, *(scratch.with_name(f"{scratch.name}{end}") for end in ("-wal", "-shm"))):
            path.unlink(missing_ok=True)
    return {"migration": migration, "rows": rows}


def _copy_blob(source: BlobStore, target: BlobStore, digest: str) -> bool:
    """Copy a blob that is checked against its digest; False where there is none that is whole."""
    try:
        target.put(source.get(digest))
    except (BlobNotFoundError, BlobDamagedError):
        return False
    return True


def _thin_out(folder: Path, target: BlobStore, keep: int) -> tuple[list[str], int]:
    """Drop all backups but the newest; the blobs that only they needed. The manifest goes first."""
    names = sorted(path.stem for path in folder.glob("[0-9]*Z.json"))
    dropped = names[:-keep]
    for name in dropped:
        for end in ("json", "db", "blobs"):
            (folder / f"{name}.{end}").unlink(missing_ok=True)
    for path in (*folder.glob("[0-9]*Z.db"), *folder.glob("[0-9]*Z.blobs")):
        if not path.with_suffix(".json").exists():
            path.unlink()
    removed = 0
    with DigestSet() as needed, DigestSet(target.digests()) as there:
        for path in folder.glob("[0-9]*Z.blobs"):
            with path.open(encoding="ascii") as lines:
                needed.add(line.strip() for line in lines)
        for digest in there.minus(needed):
            target.delete(digest)
            removed += 1
    return dropped, removed


# -- bringing one back -------------------------------------------------------------------------------------
def _check(folder: Path, found: Manifest) -> None:
    """Whether its database and its list are those that were written, and of a version that is known."""
    if not schema.knows(found.migration):
        raise NewerBackupError(
            f"The backup {found.name} was made by mfgviz {found.mfgviz}, at migration {found.migration}, "
            "which this version does not know."
        )
    for end, digest in (("db", found.database_digest), ("blobs", found.blobs_digest)):
        path = folder / f"{found.name}.{end}"
        try:
            intact = _digest(path) == digest
        except OSError as error:
            raise InvalidBackupError(f"{path} cannot be read: {error.strerror}.") from error
        if not intact:
            raise InvalidBackupError(
                f"{path} is damaged: its content is not what was written.", remedy="Restore another backup."
            )


def _bring_back(
    settings: Settings,
    actor: str,
    folder: Path,
    found: Manifest,
    wishes: tuple[bool, bool],
    progress: Progress,
) -> Restored:
    force, incomplete = wishes
    place = settings.data_dir.absolute() / DATABASE
    _tidy(place.parent)
    # Whether it is in use must be known before anything is looked at, which would open it, too.
    with _to_oneself(place) as is_whole:
        taken = place.exists() and not (is_whole and _is_empty(place))
        if taken and not force:
            raise NotEmptyError(f"{settings.data_dir} holds an installation already.")
        copied, kept, bad = _take_blobs(folder, found, BlobStore.from_settings(settings), progress)
        if bad and not incomplete:
            raise InvalidBackupError(
                f"{len(bad):,} blobs of the backup {found.name} are missing or damaged: {_few(bad)}.",
                remedy="Restore another backup; or this one with --incomplete, then "
                "`mfgviz db check --repair` makes again what can be.",
            )
        ready = place.with_name(f"{PARTIAL}{found.name}.db")
        shutil.copyfile(folder / f"{found.name}.db", ready)
        migration = _make_ready(ready, found, actor)
        aside = _set_aside(place) if place.exists() else None
        os.sync()
        for end in ("-wal", "-shm"):
            place.with_name(f"{place.name}{end}").unlink(missing_ok=True)
        ready.replace(place)
    return Restored(found, migration, copied, kept, bad, aside)


def _make_ready(copy: Path, found: Manifest, actor: str) -> str:
    """Bring the copy's tables to this version; the migration it is at then."""
    db = Database(f"sqlite:///{copy}")
    try:
        state = schema.upgrade(db)
        with db.begin() as session:
            told = {"made_at": found.made_at.isoformat(), "mfgviz": found.mfgviz}
            audit(session, actor, "database.restored", found.name, told)
    finally:
        db.dispose()
    _close_up(copy)
    return str(state.current)


def _take_blobs(
    folder: Path, found: Manifest, target: BlobStore | None, progress: Progress
) -> tuple[int, int, list[str]]:
    """Copy the blobs, each checked: how many were, how many were there already, which could not be."""
    source = BlobStore((folder / "blobs").as_uri())
    copied, kept, bad = 0, 0, list[str]()
    with progress("Blobs", found.blobs) as advance, (folder / f"{found.name}.blobs").open() as lines:
        for line in lines:
            digest = line.strip()
            try:
                if target is not None and _is_there(target, digest):
                    kept += 1
                else:
                    content = source.get(digest)
                    copied += 1
                    if target is not None:
                        target.put(content)
            except (BlobNotFoundError, BlobDamagedError):
                bad.append(digest)
            advance(1)
    return copied, kept, bad


def _is_there(blobs: BlobStore, digest: str) -> bool:
    """Whether the blob is there and whole; one that is damaged makes room."""
    try:
        blobs.get(digest)
    except BlobNotFoundError:
        return False
    except BlobDamagedError:
        blobs.delete(digest)
        return False
    return True


@contextmanager
def _to_oneself(place: Path) -> Iterator[bool]:
    """The database that is there, with nobody else in it and its log written back; whether it can be read."""
    if not place.exists():
        yield True
        return
    with closing(sqlite3.connect(place, isolation_level=None, timeout=2)) as connection:
        try:
            is_whole, is_ours = True, _take_alone(connection)
        except sqlite3.DatabaseError:  # what is damaged is what one restores for
            is_whole, is_ours = False, True
        if not is_ours:
            raise AlreadyRunningError(
                f"Other processes have {place} open{_who(place)}.",
                remedy="Stop workers, servers and other programs that use it, then restore.",
            )
        yield is_whole


def _take_alone(connection: sqlite3.Connection) -> bool:
    """Have the file to oneself; whether one has. Leaving the write-ahead log needs it alone, and so shows
    every process that has it open, whether or not it is doing anything."""
    try:
        (mode,) = connection.execute("PRAGMA journal_mode=DELETE").fetchone()
        connection.execute("BEGIN EXCLUSIVE")
    except sqlite3.OperationalError as error:
        if "locked" in str(error):
            return False
        raise
    return bool(mode == "delete")


def _who(place: Path) -> str:
    db = Database(f"sqlite:///{place}")
    try:
        with db.read() as session:
            names = [worker.name for worker in live_workers(session)]
    finally:
        db.dispose()
    return f"; these workers were heard of lately: {', '.join(names)}" if names else ""


def _is_empty(place: Path) -> bool:
    """Whether nothing was done with it but setting it up. Read as it lies: its lock is ours."""
    with closing(sqlite3.connect(f"{place.as_uri()}?immutable=1", uri=True)) as connection:
        names = [row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        rows = (
            connection.execute(f'SELECT 1 FROM "{name}" LIMIT 1').fetchone()  # noqa: S608 - its own name
            for name in names
            if name not in _SET_UP
        )
        return not any(rows)


def _set_aside(place: Path) -> Path:
    """Another data folder with the installation that is there: the same files, under a second name each, so
    that it takes no room until the first is replaced or deleted."""
    name = f"before-restore-{datetime.now(UTC):%Y%m%dT%H%M%S-%fZ}"
    partial = place.with_name(f"{PARTIAL}{name}")
    partial.mkdir(mode=0o700)
    for file in (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", TOKEN_FILE):
        if place.with_name(file).exists():
            _link(place.with_name(file), partial / file)
    if (place.parent / "blobs").is_dir():
        shutil.copytree(place.parent / "blobs", partial / "blobs", copy_function=_link)
    return partial.rename(place.with_name(name))


def _link(source: Path | str, target: Path | str) -> None:
    try:
        os.link(source, target)
    except OSError:  # a file system that knows no second names
        shutil.copy2(source, target)


# -- both --------------------------------------------------------------------------------------------------
def _require_embedded(settings: Settings) -> None:
    if not settings.is_embedded_database or settings.blob_url != EMBEDDED:
        raise InvalidInputError(
            "Only the embedded installation, a data folder with SQLite and blobs, is backed up so.",
            remedy="Elsewhere: pg_dump, then a copy of the blob store; docs/operations.md has the commands.",
        )


@contextmanager
def _our_folder(folder: Path) -> Iterator[None]:
    """A folder of backups, made where there is none, that nobody else writes to meanwhile."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (folder / MARK).exists():
        if any(folder.iterdir()):
            raise InvalidBackupError(
                f"{folder} holds other things than backups of mfgviz.", remedy="Name a new folder."
            )
        (folder / MARK).write_text(f'{{"format": {FORMAT}}}\n', encoding="ascii")
    folder.chmod(0o700)
    with (folder / MARK).open(encoding="ascii") as mark:
        try:
            fcntl.flock(mark, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            remedy = "Wait until it is done."
            raise AlreadyRunningError(f"Another backup to {folder} is being made.", remedy=remedy) from error
        yield


@contextmanager
def _in_folder(folder: Path) -> Iterator[None]:
    """Errors of files in it are ours."""
    try:
        yield
    except StorageUnavailableError as error:
        if error.remedy == StorageUnavailableError.default_remedy:
            error.remedy = "Look for free space and permissions there. What was there before is whole."
        raise
    except OSError as error:
        raise StorageUnavailableError.of_folder(folder, error) from error
    except sqlite3.Error as error:
        raise StorageUnavailableError(f"A database in {folder} or {gettempdir()} failed: {error}.") from error


def _tidy(folder: Path) -> None:
    """Remove what was not finished."""
    for left in folder.glob(f"{PARTIAL}*"):
        shutil.rmtree(left) if left.is_dir() else left.unlink()


def _close_up(path: Path) -> None:
    """Leave a database in one file, without a write-ahead log."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return digest_of(stream)


def _few(digests: list[str]) -> str:
    more = f" and {len(digests) - 5:,} more" if len(digests) > 5 else ""
    return ", ".join(digests[:5]) + more
