"""Parts, their revisions and the CAD files these show: add, look up, revise, release.

Every function works inside the caller's transaction and writes the event and the audit entry of
what it changed there too.
"""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import literal_column, select, tuple_, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, contains_eager, joinedload

from mfgviz import reviews
from mfgviz.errors import (
    BlobNotFoundError,
    DuplicatePartError,
    DuplicateRevisionError,
    EmptyGeometryError,
    GeometryNotFoundError,
    GeometryTooLargeError,
    IllegalMoveError,
    InvalidInputError,
    PartNotFoundError,
    RevisionFrozenError,
    RevisionNotFoundError,
)
from mfgviz.journal import audit, emit
from mfgviz.records import Geometry, Part, PartRevision
from mfgviz.storage import BlobStore
from mfgviz.vocabulary import (
    FROZEN_STATES,
    LIFECYCLE_MOVES,
    STATE_EVENTS,
    EventKind,
    GeometryState,
    LifecycleState,
)

Attributes = Mapping[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class NewPart:
    """A part to be added. Raises InvalidInputError where number or attributes cannot be used."""

    number: str
    name: str = ""
    attributes: Attributes = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_word("part number", self.number, 128)
        check_attributes(self.attributes)
        check_text(f"name of part {self.number}", self.name)
        if len(self.name) > 512:
            raise InvalidInputError(
                f"The name of part {self.number} has {len(self.name)} characters; 512 fit."
            )


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A CAD file that lies in the blob store."""

    digest: str
    size_bytes: int
    file_name: str


@dataclass(frozen=True, slots=True)
class GeometryFacts:
    """What a worker read from a CAD file."""

    format: str
    shape_digest: str
    facts: dict[str, Any]


def check_word(what: str, word: str, longest: int) -> None:
    """Refuse a number or label that could not be written in a reference or a file name.

    Raises:
        InvalidInputError: it is empty, too long, padded, or holds `@`, a slash or a control character.
    """
    bad = sorted(
        {c for c in word if c in "@/\\" or unicodedata.category(c) in ("Cc", "Cs", "Cf", "Zl", "Zp")}
    )
    if not word.strip() or word != word.strip() or len(word) > longest or bad or word in (".", ".."):
        raise InvalidInputError(
            f"The {what} {word!r} cannot be used.",
            remedy=f"1 to {longest} characters, no @, slashes, control characters or spaces at its ends.",
        )


def check_text(what: str, text: str) -> None:
    """Refuse what no database stores or no terminal should print.

    Raises:
        InvalidInputError: a control character (tabs and line ends are none), or a half surrogate pair.
    """
    bad = {c for c in text if c not in "\t\n\r" and unicodedata.category(c) in ("Cc", "Cs")}
    if bad:
        raise InvalidInputError(
            f"The {what} holds characters that are no text: {', '.join(sorted(map(repr, bad)))}.",
            remedy="Give it as UTF-8, without control characters.",
        )


def check_attributes(attributes: Attributes) -> None:
    """Refuse attributes that are not plain named values. Raises InvalidInputError."""
    for key, value in attributes.items():
        if isinstance(value, str):
            check_text(f"attribute {key}", value)
        if not key.isidentifier():
            raise InvalidInputError(
                f"The attribute name {key!r} cannot be used.",
                remedy="Letters, digits and _; not a digit first.",
            )
        if not isinstance(value, str | int | float | bool) or (
            isinstance(value, float) and not math.isfinite(value)
        ):
            raise InvalidInputError(
                f"The attribute {key} is {value!r}, but must be a text, a number or a truth."
            )


# -- parts ----------------------------------------------------------------------------------------
def add_part(session: Session, new: NewPart, actor: str) -> Part:
    """Add a part. Raises DuplicatePartError."""
    part = Part(number=new.number, name=new.name, attributes=dict(new.attributes), created_by=actor)
    try:
        with session.begin_nested():
            session.add(part)
    except IntegrityError as error:
        raise DuplicatePartError(f"There is a part {new.number} already.") from error
    audit(session, actor, "part.added", new.number, {"name": new.name})
    return part


def get_part(session: Session, number: str) -> Part:
    """The part of that number. Raises PartNotFoundError."""
    part = session.scalar(select(Part).where(Part.number == number))
    if part is None:
        raise PartNotFoundError(f"There is no part {number!r}.")
    return part


def rename_part(session: Session, part: Part, name: str, actor: str) -> None:
    """Call a part something else. Raises InvalidInputError."""
    NewPart(part.number, name)
    if part.name != name:
        audit(session, actor, "part.renamed", part.number, {"from": part.name, "to": name})
        part.name = name


def change_attributes(session: Session, part: Part, attributes: Attributes, actor: str) -> None:
    """Set or replace attributes of a part. Raises InvalidInputError."""
    check_attributes(attributes)
    part.attributes = {**part.attributes, **attributes}
    audit(session, actor, "part.attributes_changed", part.number, {"attributes": dict(attributes)})


def change_revision_attributes(
    session: Session, revision: PartRevision, attributes: Attributes, actor: str
) -> None:
    """Set or replace attributes of a revision. Raises InvalidInputError, RevisionFrozenError."""
    if LifecycleState(revision.state) in FROZEN_STATES:
        raise RevisionFrozenError(f"{revision.reference} is {revision.state}: its attributes do not change.")
    check_attributes(attributes)
    revision.attributes = {**revision.attributes, **attributes}
    audit(session, actor, "revision.attributes_changed", revision.reference, {"attributes": dict(attributes)})


# -- revisions ------------------------------------------------------------------------------------
def add_revision(
    session: Session, number: str, label: str, actor: str, attributes: Attributes | None = None
) -> PartRevision:
    """Add a revision to a part. Raises PartNotFoundError, DuplicateRevisionError, InvalidInputError."""
    check_word("revision label", label, 64)
    check_attributes(attributes or {})
    part = get_part(session, number)
    revision = PartRevision(part_id=part.id, label=label, created_by=actor, attributes=dict(attributes or {}))
    try:
        with session.begin_nested():
            session.add(revision)
    except IntegrityError as error:
        raise DuplicateRevisionError(f"Part {number} has a revision {label} already.") from error
    _emit(session, EventKind.REVISION_CREATED, actor, revision)
    audit(session, actor, "revision.added", revision.reference)
    return revision


def get_revision(session: Session, reference: str) -> PartRevision:
    """The revision that `NUMBER@LABEL` names; `NUMBER` alone names the newest.

    Raises:
        PartNotFoundError: there is no such part.
        RevisionNotFoundError: the part has no such revision, or none at all.
    """
    number, _, label = reference.partition("@")
    part = get_part(session, number)
    query = (
        select(PartRevision).where(PartRevision.part_id == part.id).order_by(PartRevision.id.desc()).limit(1)
    )
    if "@" in reference:
        query = query.where(PartRevision.label == label)
    revision = session.scalar(query.options(joinedload(PartRevision.part), joinedload(PartRevision.geometry)))
    if revision is None:
        known = session.scalars(select(PartRevision.label).where(PartRevision.part_id == part.id)).all()
        has = f"It has {', '.join(known)}." if known else "It has none yet."
        raise RevisionNotFoundError(f"Part {number} has no revision {label!r}.", remedy=has)
    return revision


def find_revisions(session: Session, references: Iterable[str]) -> dict[str, PartRevision]:
    """Those of the references `NUMBER@LABEL` that are there, by reference."""
    pairs = [(number, label) for number, at, label in (r.partition("@") for r in references) if at]
    query = (
        select(PartRevision)
        .join(PartRevision.part)
        .where(tuple_(Part.number, PartRevision.label).in_(pairs))
        .options(contains_eager(PartRevision.part), joinedload(PartRevision.geometry))
    )
    return {revision.reference: revision for revision in session.scalars(query)} if pairs else {}


def list_revisions(session: Session, number: str) -> list[PartRevision]:
    """The revisions of a part, oldest first. Raises PartNotFoundError."""
    part = get_part(session, number)
    query = select(PartRevision).where(PartRevision.part_id == part.id).order_by(PartRevision.id)
    return list(
        session.scalars(query.options(joinedload(PartRevision.part), joinedload(PartRevision.geometry)))
    )


def set_lifecycle_state(
    session: Session,
    revision: PartRevision,
    state: LifecycleState,
    actor: str,
    source_state: str | None = None,
    *,
    needs_approved_image: bool,
) -> None:
    """Move a revision through its lifecycle; the setting says whether a release `needs_approved_image`.

    Raises:
        IllegalMoveError: that move is not allowed.
        NoApprovedImageError: it would be released, needs an approved image for that, and has none.
    """
    reviews.take(session, revision)
    current = LifecycleState(revision.state)
    if state is not current:
        allowed = LIFECYCLE_MOVES[current]
        if state not in allowed:
            words = ", ".join(sorted(allowed)) or "nothing: it stays so"
            raise IllegalMoveError(
                f"{revision.reference} is {current} and cannot become {state}.",
                remedy=f"It can become {words}.",
            )
        if needs_approved_image and state is LifecycleState.RELEASED:
            reviews.require_approved_image(session, revision)
        moved = session.execute(
            update(PartRevision)
            .where(PartRevision.id == revision.id, PartRevision.state == current)
            .values(state=state)
        )
        if moved.rowcount == 0:  # type: ignore[attr-defined] # CursorResult, which the stub hides
            raise IllegalMoveError(f"{revision.reference} was moved by somebody else just now.")
        session.refresh(revision, ["state"])
        _emit(session, STATE_EVENTS[state], actor, revision)
    revision.source_state = source_state
    audit(session, actor, "revision.state_set", revision.reference, {"from": current, "to": state})


# -- geometry -------------------------------------------------------------------------------------
def store_file(blobs: BlobStore, path: Path, max_bytes: int) -> StoredFile:
    """Put a CAD file into the blob store. Outside of any transaction: it may take long.

    Raises:
        GeometryNotFoundError: there is no such file.
        EmptyGeometryError: it has no bytes.
        GeometryTooLargeError: it has more than `max_bytes`.
        StorageUnavailableError: the blob store cannot be written.
    """
    check_file(path, max_bytes)
    return StoredFile(blobs.put_file(path), path.stat().st_size, path.name)


def check_file(path: Path, max_bytes: int) -> None:
    """What can be said of a CAD file without reading it. Errors as `store_file`."""
    if not path.is_file():
        what = f"{path} is no regular file." if path.exists() else f"There is no file {path}."
        raise GeometryNotFoundError(what, remedy="Check the path.")
    size = path.stat().st_size
    if size == 0:
        raise EmptyGeometryError(f"{path} is empty.", remedy="Export it from the CAD program again.")
    if size > max_bytes:
        raise GeometryTooLargeError(f"{path} has {size:,} bytes; {max_bytes:,} are allowed.")


def attach_geometry(session: Session, revision: PartRevision, stored: StoredFile, actor: str) -> Geometry:
    """Let a revision show a stored CAD file; a second file on one revision is its next iteration, and
    supersedes the pictures of the first.

    Raises:
        RevisionFrozenError: the revision is released or obsolete.
    """
    reviews.take(session, revision)
    if LifecycleState(revision.state) in FROZEN_STATES:
        raise RevisionFrozenError(f"{revision.reference} is {revision.state}: its geometry does not change.")
    geometry = session.scalar(select(Geometry).where(Geometry.digest == stored.digest))
    if geometry is None:
        geometry = Geometry(digest=stored.digest, size_bytes=stored.size_bytes, file_name=stored.file_name)
        try:
            with session.begin_nested():
                session.add(geometry)
        except IntegrityError:  # somebody else added the same file meanwhile
            geometry = session.scalars(select(Geometry).where(Geometry.digest == stored.digest)).one()
    if geometry.error_code == BlobNotFoundError.code:
        note_back(geometry)
    is_another = revision.geometry_id is not None and revision.geometry_id != geometry.id
    revision.iteration += int(is_another)
    revision.geometry = geometry
    told = {"digest": stored.digest, "file_name": stored.file_name}
    _emit(session, EventKind.GEOMETRY_ATTACHED, actor, revision, told)
    audit(session, actor, "geometry.attached", revision.reference, {"digest": stored.digest})
    session.flush()
    if is_another:
        reviews.follow_geometry(session, revision, stored.digest, actor)
    return geometry


def note_facts(geometry: Geometry, read: GeometryFacts) -> None:
    """Record what was read from the file: its format, shape digest, names, colours, sizes."""
    geometry.state = GeometryState.READ
    geometry.format, geometry.shape_digest, geometry.facts = read.format, read.shape_digest, read.facts
    geometry.error_code = geometry.error_message = None


def note_unusable(geometry: Geometry, code: str, message: str) -> None:
    """Record that the file cannot be used, and why."""
    geometry.state, geometry.error_code, geometry.error_message = GeometryState.UNUSABLE, code, message[:2000]


def note_back(geometry: Geometry) -> None:
    """Record that a file which was lost is there again: it must be looked into once more."""
    geometry.state, geometry.error_code, geometry.error_message = GeometryState.STORED, None, None


def unread_geometries(session: Session, limit: int) -> list[int]:
    """The ids of CAD files that are stored and that nobody has looked into, oldest first."""
    query = select(Geometry.id).where(Geometry.state == literal_column("'stored'")).order_by(Geometry.id)
    return list(session.scalars(query.limit(limit)))


def _emit(
    session: Session,
    kind: EventKind,
    actor: str,
    revision: PartRevision,
    payload: dict[str, Any] | None = None,
) -> None:
    session.flush()
    emit(session, kind, actor, {"revision": revision.reference, **(payload or {})}, revision.id)
