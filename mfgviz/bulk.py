"""Many at once: lines of a CSV or JSONL file, read as a stream, bad ones named by number and reason.

Good lines go in, in transactions of a few hundred; with `atomic` all go in together or none do.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import islice
from pathlib import Path
from typing import IO, Any

from sqlalchemy.orm import Session

from mfgviz import catalog, jobs
from mfgviz.database import Database, after_commit
from mfgviz.errors import (
    BulkInputError,
    DuplicatePartError,
    InputFileNotFoundError,
    InvalidInputError,
    MfgvizError,
)
from mfgviz.intake import Ask, FidelityDefaults, Lookup, ask_from_json, prepare
from mfgviz.jobs import Submission, Submitted
from mfgviz.queue import TASK_RENDER, Doorbell
from mfgviz.requests import DIGEST

CHUNK = 500
# Each worker that finishes a batch rings on, so a few messages start any number of jobs.
RING_AT_MOST = 64
SHOWN_LINES = 20


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file, and what it holds, or why it holds nothing usable."""

    number: int
    value: Any
    error: MfgvizError | None = None


@dataclass(frozen=True, slots=True)
class Rejected:
    """A line that could not be used."""

    line: int
    code: str
    reason: str


@dataclass(slots=True)
class BulkReport:
    """What became of the lines. `updated` of the accepted were there before; `rung` messages were sent."""

    accepted: int = 0
    updated: int = 0
    rung: int = 0
    rejected: list[Rejected] = field(default_factory=list)
    jobs: list[Submitted] = field(default_factory=list)

    def reject(self, line: int, error: MfgvizError) -> None:
        """Note a line that could not be used."""
        self.rejected.append(Rejected(line, error.code, f"{error.message} {error.remedy}".strip()))

    def raise_if_rejected(self, source: object) -> None:
        """Raises BulkInputError, naming the first bad lines and their reasons."""
        if not self.rejected:
            return
        shown = [f"  line {one.line}: {one.reason}" for one in self.rejected[:SHOWN_LINES]]
        more = len(self.rejected) - SHOWN_LINES
        shown += [f"  and {more} more"] if more > 0 else []
        lines = "1 line" if len(self.rejected) == 1 else f"{len(self.rejected)} lines"
        raise BulkInputError(
            f"{lines} of {source} could not be used:\n" + "\n".join(shown),
            remedy=f"{self.accepted} went in. Mend these lines and give them alone, or all again.",
        )


class _Undo(Exception):  # noqa: N818 - not an error: it rolls an atomic import back
    pass


# -- reading -------------------------------------------------------------------------------------------
def read_csv(path: Path, scalar: Callable[[str], Any] = str) -> Iterator[Line]:
    """The lines of a CSV file with a head; each as a `NewPart`.

    Raises:
        InputFileNotFoundError, InvalidInputError: the file cannot be read, or has no such head.
    """
    with open_lines(path) as stream:
        reader = csv.DictReader(stream, strict=True)
        _check_head(path, reader.fieldnames or ())
        while True:
            try:
                row = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield Line(reader.reader.line_num, None, InvalidInputError(f"It is no CSV: {error}."))
            else:
                yield _csv_line(reader.line_num, row, scalar)


def _check_head(path: Path, names: Sequence[str]) -> None:
    """A bad column is said once, instead of at every line."""
    if "number" not in names:
        raise InvalidInputError(f"{path} has no column `number`.", remedy="Its first line names the columns.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidInputError(f"{path} has two columns {twice[0]!r}.", remedy="Rename one of them.")
    catalog.check_attributes({name: "" for name in names if name not in ("number", "name")})


def _csv_line(number: int, row: Mapping[Any, Any], scalar: Callable[[str], Any]) -> Line:
    try:
        if None in row:
            raise InvalidInputError("It has more columns than the head.")
        known = {str(key): str(value or "").strip() for key, value in row.items()}
        attributes = {
            key: scalar(value) for key, value in known.items() if key not in ("number", "name") and value
        }
        return Line(number, catalog.NewPart(known["number"], known.get("name", ""), attributes))
    except MfgvizError as error:
        return Line(number, None, error)


def read_jsonl(stream: IO[str]) -> Iterator[Line]:
    """The lines of a JSONL stream, each as an `Ask`; empty ones are left out."""
    for number, text in enumerate(stream, start=1):
        if not text.strip():
            continue
        try:
            plain = json.loads(text)
            for value in _texts(plain):
                catalog.check_text("line", value)
            yield Line(number, ask_from_json(plain))
        except MfgvizError as error:
            yield Line(number, None, error)
        except (ValueError, RecursionError) as error:
            yield Line(number, None, InvalidInputError(f"It is no JSON: {error}."))


def _texts(plain: object) -> Iterator[str]:
    if isinstance(plain, str):
        yield plain
    elif isinstance(plain, dict):
        for key, value in plain.items():
            yield key
            yield from _texts(value)
    elif isinstance(plain, list):
        for value in plain:
            yield from _texts(value)


def open_lines(path: Path) -> IO[str]:
    """The file as text; bytes that are no UTF-8 become half surrogate pairs, refused line by line.

    Raises:
        InputFileNotFoundError: it is not there, or cannot be read.
    """
    try:
        return path.open(encoding="utf-8-sig", errors="surrogateescape", newline="")
    except OSError as error:
        raise InputFileNotFoundError(f"{path} cannot be read: {error.strerror}.") from error


# -- writing -------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class PartImporter:
    """Adds the parts of lines; with `update` those that are there already get the new values."""

    db: Database
    actor: str
    update: bool = False

    def run(self, lines: Iterable[Line], *, atomic: bool, advance: Callable[[int], None]) -> BulkReport:
        """Take the lines in."""
        return _in_chunks(self.db, lines, self._add, atomic=atomic, advance=advance)

    def _add(self, session: Session, chunk: list[Line], report: BulkReport) -> None:
        for line in chunk:
            try:
                report.updated += self._take(session, line.value)
                report.accepted += 1
            except MfgvizError as error:
                report.reject(line.number, error)

    def _take(self, session: Session, new: catalog.NewPart) -> bool:
        """Whether the part was there before."""
        try:
            catalog.add_part(session, new, self.actor)
        except DuplicatePartError:
            if not self.update:
                raise
            part = catalog.get_part(session, new.number)
            if new.name:
                catalog.rename_part(session, part, new.name, self.actor)
            changed = {k: v for k, v in new.attributes.items() if part.attributes.get(k) != v}
            if changed:
                catalog.change_attributes(session, part, changed, self.actor)
            return True
        return False


@dataclass(frozen=True, slots=True)
class BulkSubmitter:
    """Submits lines of asks."""

    db: Database
    doorbell: Doorbell
    requester: str
    default_model: str
    max_attempts: int = 3
    has_blob: Callable[[str], bool] | None = None
    fidelity: FidelityDefaults | None = None

    def submit(self, lines: Iterable[Line], *, atomic: bool, advance: Callable[[int], None]) -> BulkReport:
        """Submit the asks of the lines; the report's `jobs` answer the accepted ones in order."""
        return _in_chunks(self.db, self._with_images(lines), self._add, atomic=atomic, advance=advance)

    def _with_images(self, lines: Iterable[Line]) -> Iterator[Line]:
        """The lines; those whose starting image is not stored are refused. Each image is looked for once."""
        is_stored = cache(self.has_blob) if self.has_blob else None
        for line in lines:
            image = line.value.image if line.error is None else None
            if is_stored is None or image is None or not DIGEST.fullmatch(image) or is_stored(image):
                yield line
            else:
                told = f"The starting image {image} is not in the blob store."
                remedy = "`mfgviz jobs submit --image FILE` stores a file and uses its digest."
                yield Line(line.number, None, InvalidInputError(told, remedy=remedy))

    def _add(self, session: Session, chunk: list[Line], report: BulkReport) -> None:
        lookup = Lookup(session, self.default_model, self.max_attempts, self.fidelity)
        asks: list[Ask] = [line.value for line in chunk]
        lookup.preload(ask.revision for ask in asks)
        submissions: list[Submission] = []
        for line, ask in zip(chunk, asks, strict=True):
            try:
                submissions += prepare(lookup, ask)
                report.accepted += 1
            except MfgvizError as error:
                report.reject(line.number, error)
        answers = jobs.submit(session, submissions, self.requester) if submissions else []
        report.jobs += answers
        left = RING_AT_MOST - report.rung
        ids = [answer.job_id for answer in answers if answer.how == "new"][:left]
        report.rung += len(ids)
        after_commit(session, lambda: self.doorbell.ring(TASK_RENDER, ids))


def _chunks(lines: Iterable[Line]) -> Iterator[list[Line]]:
    iterator = iter(lines)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk


def _in_chunks(
    db: Database,
    lines: Iterable[Line],
    add: Callable[[Session, list[Line], BulkReport], None],
    *,
    atomic: bool,
    advance: Callable[[int], None],
) -> BulkReport:
    report = BulkReport()

    def take(session: Session, chunk: Iterable[Line]) -> None:
        usable = []
        for line in chunk:
            if line.error is None:
                usable.append(line)
            else:
                report.reject(line.number, line.error)
        if usable:
            add(session, usable, report)
        report.rejected.sort(key=lambda one: one.line)
        advance(len(usable))

    if not atomic:
        for chunk in _chunks(lines):
            with db.begin() as session:
                take(session, chunk)
        return report
    try:
        with db.begin() as session:
            for chunk in _chunks(lines):
                take(session, chunk)
            if report.rejected:
                raise _Undo  # noqa: TRY301 - leaving the transaction this way rolls it back
    except _Undo:
        report.accepted, report.updated, report.jobs = 0, 0, []
    return report
