"""What happened: events and the audit trail."""

from __future__ import annotations

from mfgviz import catalog, journal, wire
from mfgviz.journal import JournalFilter, event_of
from mfgviz.records import AuditEntry
from mfgviz.service.base import PAGE, Base
from mfgviz.service.shown import id_cursor, page


class ChronicleService(Base):
    """See `Service`."""

    def event_log(
        self,
        *,
        kind: str | None = None,
        revision: str | None = None,
        after: int | None = None,
        cursor: str | None = None,
        limit: int = PAGE,
    ) -> wire.Page[wire.EventInfo]:
        """Events that fit, newest first; with `after`, those behind that id, oldest first.

        Raises:
            PartNotFoundError, RevisionNotFoundError: there is no such revision.
        """
        before = id_cursor(cursor)
        with self.runtime.db.read() as session:
            revision_id = catalog.get_revision(session, revision).id if revision else None
            wanted = JournalFilter(kind, revision_id, None, before, after, limit + 1)
            return page(journal.list_events(session, wanted), limit, event_of, lambda one: str(one.id))

    def last_event(self) -> int:
        """The id of the newest event; 0 where there is none."""
        with self.runtime.db.read() as session:
            return journal.last_event(session)

    def audit_trail(
        self,
        *,
        action: str | None = None,
        subject: str | None = None,
        cursor: str | None = None,
        limit: int = PAGE,
    ) -> wire.Page[wire.AuditInfo]:
        """Audit entries that fit, newest first."""
        before = id_cursor(cursor)
        with self.runtime.db.read() as session:
            wanted = JournalFilter(action, None, subject, before, None, limit + 1)
            return page(journal.list_audit(session, wanted), limit, audit_of, lambda one: str(one.id))


def audit_of(entry: AuditEntry) -> wire.AuditInfo:
    """An audit entry as a resource."""
    return wire.AuditInfo(
        id=entry.id,
        actor=entry.actor,
        action=entry.action,
        subject=entry.subject,
        details=entry.details,
        created_at=entry.created_at,
    )
