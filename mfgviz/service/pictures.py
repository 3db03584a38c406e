"""Renders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mfgviz import (
    catalog,
    jobs,
    provenance,
    renditions,
    reviews,
    wire,
)
from mfgviz.catalog import check_text
from mfgviz.service.base import PAGE, Base
from mfgviz.service.shown import id_cursor, page, render_of
from mfgviz.vocabulary import (
    ReviewState,
)

if TYPE_CHECKING:
    from mfgviz.provenance import ImageFormat


class PictureService(Base):
    """See `Service`."""

    def renders(
        self,
        *,
        revision: str | None = None,
        job: int | None = None,
        review_state: str | None = None,
        stale: bool = False,
        cursor: str | None = None,
        limit: int = PAGE,
    ) -> wire.Page[wire.Render]:
        """Renders that fit, newest first; with `stale` those alone whose `stale_since` is set."""
        before = id_cursor(cursor)
        with self.runtime.db.read() as session:
            revision_id = catalog.get_revision(session, revision).id if revision else None
            if job is not None:
                jobs.get(session, job)
            wanted = renditions.RenditionFilter(
                revision_id,
                job,
                ReviewState(review_state) if review_state else None,
                before,
                limit + 1,
                stale=stale,
            )
            return page(renditions.find(session, wanted), limit, render_of, lambda one: str(one.id))

    def render(self, render_id: int) -> wire.Render:
        """One render. Raises RenditionNotFoundError."""
        with self.runtime.db.read() as session:
            return render_of(renditions.get(session, render_id))

    def image(self, render_id: int, image_format: ImageFormat = "png") -> bytes:
        """A render as a file. Raises RenditionNotFoundError, BlobNotFoundError."""
        with self.runtime.db.read() as session:
            rendition = renditions.get(session, render_id)
        return renditions.encoded(self.runtime.blobs, rendition, image_format)

    def thumbnail(self, render_id: int) -> bytes:
        """A render as a small JPEG. Raises RenditionNotFoundError, BlobNotFoundError."""
        with self.runtime.db.read() as session:
            digest = renditions.get(session, render_id).thumbnail_digest
        return self.runtime.blobs.get(digest)

    def review(self, render_id: int, body: wire.ReviewBody) -> wire.Render:
        """Approve a render, reject it, or take that back.

        Raises:
            RenditionNotFoundError: there is no such render.
            IllegalMoveError: it is superseded, or of another CAD file than its revision has.
            ApprovalRequiredError: somebody other than its author must approve it.
            InvalidInputError: the comment holds what is no text.
        """
        check_text("comment", body.comment or "")
        with self.runtime.db.begin() as session:
            rendition = renditions.get(session, render_id)
            reviews.review(session, rendition, ReviewState(body.state), self._reviewer(), body.comment)
            return render_of(rendition)

    def store_image(self, content: bytes, what: str = "The image") -> wire.StoredImage:
        """Store the pixels of a starting image, and nothing else of it. Raises ImageUnreadableError where it
        is none, or too large."""
        png, (width, height) = provenance.starting_png(content, what, self.runtime.settings.image_max_pixels)
        return wire.StoredImage(digest=self.runtime.blobs.put(png), width=width, height=height)
