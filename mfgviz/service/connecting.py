"""What connectors to PLM systems and folders bring: whole revisions, and word of what could not be used."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy.orm import Session

from mfgviz import catalog, geometry_intake, journal, wire
from mfgviz.errors import RevisionFrozenError, RevisionNotFoundError
from mfgviz.geometry_intake import TakenFile
from mfgviz.records import PartRevision
from mfgviz.service.catalogue import CatalogueService
from mfgviz.service.shown import check_file_name, shown
from mfgviz.vocabulary import FROZEN_STATES, EventKind, LifecycleState


class ConnectingService(CatalogueService):
    """See `Service`."""

    def take_in(
        self, reference: str, new: wire.RevisionIntake, file: Path, file_name: str | None = None
    ) -> wire.Revision:
        """Make a part and its revision where they are missing, set the attributes that are given, let the
        revision show the CAD file, and move it to the state, all in one transaction. What is so already
        stays.

        Raises:
            InvalidInputError, GeometryError, RevisionFrozenError, IllegalMoveError: nothing is changed.
        """
        name = check_file_name(file_name) if file_name is not None else None
        number, _, label = self._named(reference)
        self.check_takeable(reference)
        taken = geometry_intake.take_file(self.runtime, file, name)
        with self.runtime.db.begin() as session:
            change = wire.RevisionChange(name=new.name, part_attributes=new.part_attributes)
            self._put_part(session, number, change)
            known = catalog.find_revisions(session, [reference]).get(reference)
            revision = known or catalog.add_revision(session, number, label, self.actor, new.attributes)
            self._fill(session, revision, new, taken)
            return shown(session, revision, taken.warnings)

    def check_takeable(self, reference: str) -> None:
        """Refuse a name before a file is sent. Raises RevisionNotFoundError, InvalidInputError."""
        number, _, label = self._named(reference)
        catalog.check_word("part number", number, 128)
        catalog.check_word("revision label", label, 64)

    def report_refusal(self, refusal: wire.Refusal) -> None:
        """Note that a connector could not use something, as an event, in the audit trail and in the log."""
        catalog.check_text("subject", refusal.subject)
        catalog.check_text("message", refusal.message + refusal.remedy)
        told = {"code": refusal.code, "message": refusal.message, "remedy": refusal.remedy}
        with self.runtime.db.begin() as session:
            journal.tell_of(session, EventKind.FILE_REFUSED, self.actor, refusal.subject, told)

    def _fill(
        self, session: Session, revision: PartRevision, new: wire.RevisionIntake, taken: TakenFile
    ) -> None:
        attributes = {key: one for key, one in new.attributes.items() if revision.attributes.get(key) != one}
        if attributes:
            catalog.change_revision_attributes(session, revision, attributes, self.actor)
        if revision.geometry is None or revision.geometry.digest != taken.stored.digest:
            if LifecycleState(revision.state) in FROZEN_STATES:
                raise RevisionFrozenError(
                    f"{revision.reference} is {revision.state}: it does not take another CAD file.",
                    remedy="Give the changed part its next revision label.",
                )
            taken.attach(session, revision, self.actor, self.runtime.doorbell)
        if new.state is not None and new.state != revision.state:
            self._move(session, revision, LifecycleState(new.state), new.source_state)

    def _named(self, reference: str) -> tuple[str, str, str]:
        number, at, label = reference.partition("@")
        if not at:
            raise RevisionNotFoundError(
                f"{reference!r} names no revision.", remedy="Write NUMBER@LABEL, such as BRK-0042@A."
            )
        return number, at, label
