"""Blobs that nothing refers to: condemned first, deleted when they have been for a while.

A blob is condemned when it is older than the grace period and nothing refers to it. It is deleted by a later
collection, when it has been condemned for the grace period and still nothing refers to it. Whoever stores
the same content, or reads it, restores it meanwhile (see `mfgviz.storage`); so a blob that comes to be
referred to while it is being collected is kept, without a lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from typing import Any

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import InstrumentedAttribute, Session

from mfgviz.errors import InvalidInputError
from mfgviz.journal import audit
from mfgviz.records import Batch, BatchItem, Geometry, RenderJob, Rendition, Rule
from mfgviz.runtime import Runtime
from mfgviz.storage import StoredBlob

GRACE_DAYS = 7.0
ROWS_AT_ONCE = 10_000
CONDEMNED_AT_ONCE = 10_000
_DAY = timedelta(days=1)
_HEX = "0123456789abcdef"


@dataclass(slots=True)
class Collected:
    """What a collection found and did; sizes in bytes."""

    stored: int = 0
    stored_bytes: int = 0
    condemned: int = 0
    condemned_bytes: int = 0
    restored: int = 0
    deleted: int = 0
    deleted_bytes: int = 0

    def as_json(self) -> dict[str, int]:
        """Its fields."""
        return asdict(self)


def references() -> list[ColumnElement[str]]:
    """Every place where a row names a blob by its digest. A new one belongs here."""
    columns: list[InstrumentedAttribute[str]] = [
        Geometry.digest, Rendition.blob_digest, Rendition.thumbnail_digest
    ]  # fmt: skip
    requests: list[InstrumentedAttribute[Any]] = [RenderJob.request, BatchItem.request]
    images: list[ColumnElement[str]] = [one["conditioning"]["image"].as_string() for one in requests]
    asks: list[ColumnElement[str]] = [one["image"].as_string() for one in (Rule.ask, Batch.ask)]
    return [*(one.expression for one in columns), *images, *asks]


def collect(
    runtime: Runtime,
    actor: str,
    grace_days: float = GRACE_DAYS,
    *,
    dry_run: bool = False,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Collected:
    """Condemn and delete what nothing refers to. `dry_run` changes nothing, and counts what it would change.

    Raises:
        InvalidInputError: the grace period is negative.
        UnavailableError: database or store does not answer; what was done until then is done.
    """
    if not grace_days >= 0:
        raise InvalidInputError(f"The grace period is {grace_days} days, but must not be negative.")
    at = now()
    before = at - timedelta(days=grace_days)
    done = Collected()
    for digit in _HEX:
        _condemn(runtime, digit, before, at.date(), done, dry_run=dry_run)
    # Of when a blob was condemned the day is known: all of it must be over, but without any grace.
    _delete(runtime, before.date() if grace_days else at.date() + _DAY, done, dry_run=dry_run)
    if not dry_run:
        with runtime.db.begin() as session:
            audit(session, actor, "blobs.collected", "blobs", {"grace_days": grace_days, **done.as_json()})
    return done


def _condemn(
    runtime: Runtime, digit: str, before: datetime, day: date, done: Collected, *, dry_run: bool
) -> None:
    """The blobs whose digests begin with one digit: a sixteenth of all is held in memory."""
    old: dict[str, int] = {}
    for second in _HEX:
        for blob in runtime.blobs.stored(digit + second):
            done.stored += 1
            done.stored_bytes += blob.size_bytes
            if blob.modified_at <= before:
                old[blob.digest] = blob.size_bytes
    if old:
        _drop_referenced(runtime, old, digit)
    for digest, size in old.items():
        if not dry_run:
            runtime.blobs.condemn(digest, day)
        done.condemned += 1
        done.condemned_bytes += size


def _delete(runtime: Runtime, before: date, done: Collected, *, dry_run: bool) -> None:
    listed: Iterator[tuple[StoredBlob, date]] = runtime.blobs.condemned()
    # A list of the store may or may not show what is moved meanwhile: it is read before anything is.
    for batch in iter(lambda: list(islice(listed, CONDEMNED_AT_ONCE)), []):
        sizes = {blob.digest: blob.size_bytes for blob, _ in batch}
        garbage = dict(sizes)
        _drop_referenced(runtime, garbage)
        for blob, day in batch:
            if blob.digest not in garbage:
                done.restored += 1
                if not dry_run:
                    runtime.blobs.restore(blob.digest)
            elif day < before:
                done.deleted += 1
                done.deleted_bytes += blob.size_bytes
                if not dry_run:
                    runtime.blobs.delete_condemned(blob.digest, day)


def referenced(session: Session) -> Iterator[str]:
    """Every digest that a row names, in no order, some of them often."""
    for column in references():
        yield from _named(session, column, None)


def _drop_referenced(runtime: Runtime, digests: dict[str, int], digit: str | None = None) -> None:
    """Take those out that a row refers to; `digit` is what all of them begin with."""
    with runtime.db.read() as session:
        for column in references():
            for digest in _named(session, column, digit):
                digests.pop(digest, None)
            if not digests:
                return


def _named(session: Session, column: ColumnElement[str], digit: str | None) -> Iterator[str]:
    query = select(column).where(column.is_not(None))
    if digit is not None:
        query = query.where(column.startswith(digit))
    return iter(session.scalars(query.execution_options(yield_per=ROWS_AT_ONCE)))
