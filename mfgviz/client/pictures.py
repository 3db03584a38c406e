"""Renders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfgviz import wire
from mfgviz.client.connection import Connection, parse

if TYPE_CHECKING:
    from mfgviz.provenance import ImageFormat


class PictureClient(Connection):
    """See `Client`."""

    def renders(
        self,
        *,
        revision: str | None = None,
        job: int | None = None,
        review_state: str | None = None,
        stale: bool = False,
        cursor: str | None = None,
        limit: int = 50,
    ) -> wire.Page[wire.Render]:
        """Renders that fit, newest first; with `stale` those alone whose `stale_since` is set."""
        wanted = {"revision": revision, "job": job, "review_state": review_state, "cursor": cursor}
        return self._get(wire.Page[wire.Render], "/renders", **wanted, stale=stale or None, limit=limit)

    def render(self, render_id: int) -> wire.Render:
        """One render."""
        return self._get(wire.Render, f"/renders/{render_id}")

    def image(self, render_id: int, image_format: ImageFormat = "png") -> bytes:
        """A render as a file."""
        return self._request("GET", f"/renders/{render_id}/image", params={"format": image_format}).content

    def thumbnail(self, render_id: int) -> bytes:
        """A render as a small JPEG."""
        return self._request("GET", f"/renders/{render_id}/thumbnail").content

    def review(self, render_id: int, body: wire.ReviewBody) -> wire.Render:
        """Approve or reject a render."""
        return self._send(wire.Render, "POST", f"/renders/{render_id}/review", body)

    def store_image(self, content: bytes, what: str = "The image") -> wire.StoredImage:
        """Store a starting image."""
        del what
        headers = {"Content-Type": "application/octet-stream"}
        return parse(wire.StoredImage, self._request("POST", "/images", content=content, headers=headers))
