"""What happened: events and the audit trail."""

from __future__ import annotations

from mfgviz import wire
from mfgviz.client.connection import Connection


class ChronicleClient(Connection):
    """See `Client`."""

    def event_log(
        self,
        *,
        kind: str | None = None,
        revision: str | None = None,
        after: int | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> wire.Page[wire.EventInfo]:
        """Events that fit, newest first; with `after`, those behind that id, oldest first."""
        wanted = {"kind": kind, "revision": revision, "after": after, "cursor": cursor, "limit": limit}
        return self._get(wire.Page[wire.EventInfo], "/event-log", **wanted)

    def last_event(self) -> int:
        """The id of the newest event; 0 where there is none."""
        newest = self.event_log(limit=1).items
        return newest[0].id if newest else 0

    def audit_trail(
        self,
        *,
        action: str | None = None,
        subject: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> wire.Page[wire.AuditInfo]:
        """Audit entries that fit, newest first."""
        wanted = {"action": action, "subject": subject, "cursor": cursor, "limit": limit}
        return self._get(wire.Page[wire.AuditInfo], "/audit", **wanted)
