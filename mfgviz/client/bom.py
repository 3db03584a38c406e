"""Bills of material, where parts are used, stale renders, and batches."""

from __future__ import annotations

from mfgviz import wire
from mfgviz.client.connection import Connection, again, parse


class BomClient(Connection):
    """See `Client`."""

    def import_bom(self, content: bytes, what: str = "the file") -> wire.BomImport:
        """Take in a file of bills of material, as a whole; sent again where the answer is lost."""
        headers, name = {"Content-Type": "application/octet-stream"}, {"name": what[-255:]}
        return parse(
            wire.BomImport,
            again(lambda: self._request("PUT", "/bom/lines", content=content, headers=headers, params=name)),
        )

    def bom(self, reference: str, depth: int | None = None) -> wire.Bom:
        """What a revision is made of."""
        return self._get(wire.Bom, "/bom", of=reference, depth=depth)

    def where_used(self, of: str, depth: int | None = None, limit: int = 1000) -> wire.WhereUsed:
        """Where a part, or one of its revisions, is used."""
        return self._get(wire.WhereUsed, "/where-used", of=of, depth=depth, limit=limit)

    def rerender_stale(self, body: wire.RerenderBody) -> wire.SubmitAnswer:
        """Submit again what stale renders were made by, forced."""
        return self._send(wire.SubmitAnswer, "POST", "/rerenders", body)

    def submit_batch(self, body: wire.BatchBody) -> wire.Batch:
        """Ask for renders of everything in a bill of material, or of all that a query finds."""
        return self._send(wire.Batch, "POST", "/batches", body)

    def batches(
        self, *, requester: str | None = None, cursor: str | None = None, limit: int = 50
    ) -> wire.Page[wire.Batch]:
        """Batches, the newest first."""
        return self._get(wire.Page[wire.Batch], "/batches", requester=requester, cursor=cursor, limit=limit)

    def batch(self, batch_id: int) -> wire.Batch:
        """One batch, and what it left out."""
        return self._get(wire.Batch, f"/batches/{batch_id}")

    def pause_batch(self, batch_id: int) -> wire.Batch:
        """Let a batch's jobs wait."""
        return parse(wire.Batch, self._request("POST", f"/batches/{batch_id}/pause"))

    def resume_batch(self, batch_id: int) -> wire.Batch:
        """Let a paused batch go on."""
        return parse(wire.Batch, self._request("POST", f"/batches/{batch_id}/resume"))

    def cancel_batch(self, batch_id: int) -> wire.Batch:
        """Cancel all of a batch's jobs that have not ended."""
        return parse(wire.Batch, self._request("POST", f"/batches/{batch_id}/cancel"))
