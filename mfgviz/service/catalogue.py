"""Parts, their revisions and CAD files."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.orm import Session

from mfgviz import (
    catalog,
    geometry_intake,
    intake,
    part_search,
    renditions,
    reviews,
    wire,
)
from mfgviz.catalog import check_text
from mfgviz.errors import (
    DuplicateRevisionError,
    NoApprovedImageError,
    RenditionNotFoundError,
    RevisionFrozenError,
    RevisionNotFoundError,
)
from mfgviz.records import Part, PartRevision
from mfgviz.service.base import PAGE, Base
from mfgviz.service.shown import (
    check_file_name,
    geometry_of,
    page,
    part_of,
    primaries,
    revision_of,
    shown,
    uncursor,
)
from mfgviz.vocabulary import (
    FROZEN_STATES,
    EventKind,
    LifecycleState,
)


class CatalogueService(Base):
    """See `Service`."""

    # -- parts
    def parts(self, search: str = "", cursor: str | None = None, limit: int = PAGE) -> wire.Page[wire.Part]:
        """Parts by number; or those that hold `search` in number or name, first those that begin with it."""
        after = uncursor(cursor) if cursor else ""
        with self.runtime.db.read() as session:
            found = part_search.list_parts(session, search=search, limit=limit + 1, after=after)
            return page(found, limit, part_of, lambda part: part.number)

    def part(self, number: str) -> wire.Part:
        """One part with the labels of its revisions. Raises PartNotFoundError."""
        with self.runtime.db.read() as session:
            part = catalog.get_part(session, number)
            labels = [revision.label for revision in catalog.list_revisions(session, number)]
            return part_of(part, labels)

    def add_part(self, new: wire.NewPart) -> wire.Part:
        """Add a part. Raises DuplicatePartError, InvalidInputError."""
        with self.runtime.db.begin() as session:
            part = catalog.add_part(
                session, catalog.NewPart(new.number, new.name, new.attributes), self.actor
            )
            session.refresh(part)
            return part_of(part, [])

    def change_part(self, number: str, change: wire.PartChange) -> wire.Part:
        """Rename a part, set attributes of it. Raises PartNotFoundError, InvalidInputError."""
        with self.runtime.db.begin() as session:
            part = catalog.get_part(session, number)
            if change.name is not None:
                catalog.rename_part(session, part, change.name, self.actor)
            if change.attributes:
                catalog.change_attributes(session, part, change.attributes, self.actor)
            return part_of(part, [one.label for one in catalog.list_revisions(session, number)])

    # -- revisions
    def revisions(self, number: str) -> list[wire.Revision]:
        """The revisions of a part, oldest first. Raises PartNotFoundError."""
        with self.runtime.db.read() as session:
            found = catalog.list_revisions(session, number)
            primary = primaries(session, [one.id for one in found])
            return [revision_of(one, primary.get(one.id)) for one in found]

    def revision(self, reference: str) -> wire.Revision:
        """One revision. Raises PartNotFoundError, RevisionNotFoundError."""
        with self.runtime.db.read() as session:
            return shown(session, catalog.get_revision(session, reference))

    def add_revision(
        self, number: str, new: wire.NewRevision, file: Path | None = None, file_name: str | None = None
    ) -> wire.Revision:
        """Add a revision, with its CAD file where one is given (under its own name, or under that one).

        Raises:
            PartNotFoundError, DuplicateRevisionError, InvalidInputError, GeometryError: nothing is added.
            NoApprovedImageError: it would be a released one, and these need an approved image here.
        """
        self.check_addable(number, new.label)
        name = check_file_name(file_name) if file_name is not None else None
        taken = geometry_intake.take_file(self.runtime, file, name) if file else None
        with self._release_told(f"{number}@{new.label}"), self.runtime.db.begin() as session:
            revision = catalog.add_revision(session, number, new.label, self.actor, new.attributes)
            if taken:
                taken.attach(session, revision, self.actor, self.runtime.doorbell)
            if new.state != revision.state:
                self._move(session, revision, LifecycleState(new.state))
            return shown(session, revision, taken.warnings if taken else ())

    def check_addable(self, number: str, label: str) -> None:
        """Refuse a revision before its file is sent. Raises PartNotFoundError, DuplicateRevisionError."""
        with self.runtime.db.read() as session:
            catalog.get_part(session, number)
            if catalog.find_revisions(session, [f"{number}@{label}"]):
                raise DuplicateRevisionError(f"There is a revision {number}@{label} already.")

    def put_revision(self, reference: str, change: wire.RevisionChange) -> tuple[wire.Revision, bool]:
        """Make part and revision where they are missing, and set what is given; whether it was made.

        Raises:
            InvalidInputError: a number, label or attribute cannot be used.
            RevisionFrozenError: attributes of a released or obsolete revision.
        """
        with self.runtime.db.begin() as session:
            revision, is_new = self._put(session, reference, change)
            return shown(session, revision), is_new

    def _put(
        self, session: Session, reference: str, change: wire.RevisionChange
    ) -> tuple[PartRevision, bool]:
        number, at, label = reference.partition("@")
        if not at:
            raise RevisionNotFoundError(
                f"{reference!r} names no revision.", remedy="Write NUMBER@LABEL, such as BRK-0042@A."
            )
        self._put_part(session, number, change)
        known = catalog.find_revisions(session, [reference]).get(reference)
        if known is None:
            return catalog.add_revision(session, number, label, self.actor, change.attributes), True
        new = {key: one for key, one in change.attributes.items() if known.attributes.get(key) != one}
        if new:
            catalog.change_revision_attributes(session, known, new, self.actor)
        return known, False

    def _put_part(self, session: Session, number: str, change: wire.RevisionChange) -> None:
        part = session.scalar(select(Part).where(Part.number == number))
        if part is None:
            new = catalog.NewPart(number, change.name or "", change.part_attributes)
            catalog.add_part(session, new, self.actor)
            return
        if change.name is not None:
            catalog.rename_part(session, part, change.name, self.actor)
        new_ones = {
            key: one for key, one in change.part_attributes.items() if part.attributes.get(key) != one
        }
        if new_ones:
            catalog.change_attributes(session, part, new_ones, self.actor)

    def check_attachable(self, reference: str) -> None:
        """Refuse a file before it is sent. Raises NotFoundError, RevisionFrozenError."""
        with self.runtime.db.read() as session:
            revision = catalog.get_revision(session, reference)
            if LifecycleState(revision.state) in FROZEN_STATES:
                raise RevisionFrozenError(f"{reference} is {revision.state}: its geometry does not change.")

    def attach(self, reference: str, path: Path, file_name: str | None = None) -> wire.Revision:
        """Let a revision show a CAD file; the file that it shows already changes nothing.

        Raises:
            PartNotFoundError, RevisionNotFoundError, RevisionFrozenError, GeometryError: nothing is stored.
        """
        self.check_attachable(reference)
        name = check_file_name(file_name) if file_name is not None else None
        taken = geometry_intake.take_file(self.runtime, path, name)
        with self.runtime.db.begin() as session:
            revision = catalog.get_revision(session, reference)
            if revision.geometry is None or revision.geometry.digest != taken.stored.digest:
                taken.attach(session, revision, self.actor, self.runtime.doorbell)
            return shown(session, revision, taken.warnings)

    def geometry(self, reference: str) -> tuple[bytes, wire.Geometry]:
        """The CAD file that a revision shows. Raises GeometryError where it has none."""
        with self.runtime.db.read() as session:
            revision = catalog.get_revision(session, reference)
            intake.usable_geometry(revision)
            assert revision.geometry is not None
            told = geometry_of(revision.geometry)
        return self.runtime.blobs.get(told.digest), told

    def set_state(self, reference: str, change: wire.StateChange) -> wire.Revision:
        """Move a revision through its lifecycle.

        Raises:
            IllegalMoveError: that move is not allowed.
            NoApprovedImageError: it would be released, and needs an approved image for that here.
        """
        check_text("source state", change.source_state or "")
        with self._release_told(reference), self.runtime.db.begin() as session:
            revision = catalog.get_revision(session, reference)
            self._move(session, revision, LifecycleState(change.state), change.source_state)
            return shown(session, revision)

    def _release_told(self, reference: str) -> AbstractContextManager[None]:
        return self._told(EventKind.RELEASE_REFUSED, reference, NoApprovedImageError)

    def set_primary(self, reference: str, render_id: int, *, may_review: bool = True) -> wire.Revision:
        """Let a render stand for its revision; one that is only proposed is approved by that, where the
        caller may review.

        Raises:
            RenditionNotFoundError: there is no such render of that revision.
            IllegalMoveError: it is rejected, superseded, or of another CAD file.
            ApprovalRequiredError: it must be approved first, by somebody who may.
        """
        with self.runtime.db.begin() as session:
            revision = catalog.get_revision(session, reference)
            rendition = renditions.get(session, render_id)
            if rendition.revision_id != revision.id:
                raise RenditionNotFoundError(f"Render {render_id} is none of {revision.reference}.")
            reviews.set_primary(session, rendition, self._reviewer(may_review))
            return shown(session, revision)

    def clear_primary(self, reference: str) -> wire.Revision:
        """Let no render stand for a revision."""
        with self.runtime.db.begin() as session:
            revision = catalog.get_revision(session, reference)
            reviews.clear_primary(session, revision, self.actor)
            return shown(session, revision)
