"""What connectors bring, and what changed from one revision to another."""

from __future__ import annotations

from pathlib import Path

from mfgviz import wire
from mfgviz.client.catalogue import CatalogueClient
from mfgviz.client.connection import encode, plain, segment

# Two meshes may have to be made for it.
IMAGE_TIMEOUT_S = 300.0


class ConnectingClient(CatalogueClient):
    """See `Client`."""

    def take_in(
        self, reference: str, new: wire.RevisionIntake, file: Path, file_name: str | None = None
    ) -> wire.Revision:
        """Make a part and its revision where they are missing, with the CAD file, or change nothing."""
        told = {"file_name": file_name or file.name, "intake": encode(plain(new)).decode()}
        return self._upload("PUT", f"/revisions/{segment(reference)}/intake", file, told)

    def report_refusal(self, refusal: wire.Refusal) -> None:
        """Note that a connector could not use something."""
        self._request("POST", "/refusals", json=plain(refusal))

    def revision_diff(self, reference: str, other: str) -> wire.RevisionDiff:
        """What changed from one revision to the other."""
        return self._get(wire.RevisionDiff, f"/revisions/{segment(reference)}/diff", **{"with": other})

    def revision_diff_image(self, reference: str, other: str) -> bytes:
        """Both shapes laid over one another in four views, as PNG."""
        path = f"/revisions/{segment(reference)}/diff/image"
        return self._request("GET", path, params={"with": other}, timeout=IMAGE_TIMEOUT_S).content
