"""Bills of material, where parts are used, stale renders, and batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy.orm import Session

from mfgviz import batches, bom, catalog, jobs, staleness, wire
from mfgviz.batches import Over, Progress
from mfgviz.queue import TASK_RENDER
from mfgviz.records import Batch
from mfgviz.service.base import PAGE, RING_AT_MOST
from mfgviz.service.shown import id_cursor, page
from mfgviz.service.work import WorkService
from mfgviz.vocabulary import EventKind

USES_AT_MOST = 10_000


class BomService(WorkService):
    """See `Service`."""

    # -- bills of material
    def import_bom(self, content: bytes, what: str = "the file") -> wire.BomImport:
        """Take in a file of bills of material, as a whole: each parent in it gets exactly its lines there.

        Raises:
            BomError: a line cannot be used; nothing is imported.
        """
        with self._told(EventKind.BOM_REFUSED, what):
            lines = bom.read_lines(content, what)
            with self.runtime.db.begin() as session:
                return wire.BomImport(**asdict(bom.import_lines(session, lines, what, self.actor)))

    def bom(self, reference: str, depth: int | None = None) -> wire.Bom:
        """What a revision is made of. Raises PartNotFoundError, RevisionNotFoundError."""
        with self.runtime.db.read() as session:
            revision = catalog.get_revision(session, reference)
            rows, more = bom.tree(session, revision.id, depth)
            return wire.Bom(revision=revision.reference, rows=[_row_of(one) for one in rows], more=more)

    def where_used(self, of: str, depth: int | None = None, limit: int = 1000) -> wire.WhereUsed:
        """Where a part, or one of its revisions, is used. Raises PartNotFoundError, RevisionNotFoundError."""
        with self.runtime.db.read() as session:
            if "@" in of:
                revision = catalog.get_revision(session, of)
                uses = bom.where_used(session, revision.part_id, revision.id, depth)
            else:
                uses = bom.where_used(session, catalog.get_part(session, of).id, None, depth)
        shown = [
            wire.Use(revision=one.reference, state=one.state, level=one.level, total=one.total)
            for one in uses[:limit]
        ]
        return wire.WhereUsed(of=of, uses=shown, more=len(uses) > limit)

    # -- stale renders
    def rerender_stale(self, body: wire.RerenderBody, queued_most: int | None = None) -> wire.SubmitAnswer:
        """Submit again what stale renders were made by, forced; what was made again since is left out.

        Raises:
            PartNotFoundError, RevisionNotFoundError: there is no such revision.
            QueueFullError: the requester has `queued_most` waiting jobs.
        """
        with self.runtime.db.begin() as session:
            revision = catalog.get_revision(session, body.revision) if body.revision else None
            wanted = staleness.outdated(
                session, self.runtime.settings.max_attempts, revision.id if revision else None
            )
            if wanted and queued_most is not None:
                self._check_queue(session, len(wanted), queued_most)
            answers = jobs.submit(session, wanted, self.actor) if wanted else []
        self._ring([one.job_id for one in answers if one.how == "new"])
        return wire.SubmitAnswer(items=[wire.Submitted(job=one.job_id, how=one.how) for one in answers])

    # -- batches
    def submit_batch(self, body: wire.BatchBody, queued_most: int | None = None) -> wire.Batch:
        """Ask for renders of everything in a bill of material, or of all that a query finds.

        Raises:
            InvalidRequestError, NotFoundError, InvalidFilterError: as `batches.make`.
            QueueFullError: the requester would have more than `queued_most` waiting jobs; nothing is queued.
        """
        self._check_image(body.image)
        plain = body.model_dump(exclude_unset=True, exclude_none=True)
        over = Over(plain.pop("bom", None), plain.pop("query", None), plain.pop("everything", False))
        with self.runtime.db.begin() as session:
            made = batches.make(session, self.runtime.settings, over, plain, self.actor)
            if made.new_jobs and queued_most is not None:
                self._check_queue(session, 0, queued_most)
            answer = _shown(session, made.batch)
        self._ring(made.new_jobs)
        return answer

    def batches(
        self, *, requester: str | None = None, cursor: str | None = None, limit: int = PAGE
    ) -> wire.Page[wire.Batch]:
        """Batches, the newest first."""
        with self.runtime.db.read() as session:
            found = batches.list_batches(session, requester, id_cursor(cursor), limit + 1)
            stand = batches.progress_of(session, [one.id for one in found]) if found else {}
            return page(found, limit, lambda one: batch_of(one, stand[one.id]), lambda one: str(one.id))

    def batch(self, batch_id: int) -> wire.Batch:
        """One batch, and what it left out. Raises BatchNotFoundError."""
        with self.runtime.db.read() as session:
            return _shown(session, jobs.get_batch(session, batch_id))

    def pause_batch(self, batch_id: int) -> wire.Batch:
        """Let a batch's jobs wait. Raises BatchNotFoundError, IllegalMoveError."""
        return self._change(jobs.hold, batch_id)

    def resume_batch(self, batch_id: int) -> wire.Batch:
        """Let a paused batch go on. Raises BatchNotFoundError, IllegalMoveError."""
        answer = self._change(jobs.release, batch_id)
        with self.runtime.db.read() as session:
            waiting = jobs.queued_jobs(session, batch_id, RING_AT_MOST)
        self._ring(waiting)
        return answer

    def cancel_batch(self, batch_id: int) -> wire.Batch:
        """Cancel all of a batch's jobs that have not ended. Raises BatchNotFoundError, IllegalMoveError."""
        return self._change(jobs.cancel_batch, batch_id)

    def batch_owner(self, batch_id: int) -> str:
        """Who asked for a batch. Raises BatchNotFoundError."""
        with self.runtime.db.read() as session:
            return jobs.get_batch(session, batch_id).requester

    def _change(self, change: Callable[[Session, int, str], Batch], batch_id: int) -> wire.Batch:
        with self.runtime.db.begin() as session:
            return _shown(session, change(session, batch_id, self.actor))

    def _ring(self, job_ids: Sequence[int]) -> None:
        first = list(job_ids[:RING_AT_MOST])
        if first:
            self._later(lambda: self.runtime.doorbell.ring(TASK_RENDER, first))
            self._tell(first)


def _row_of(row: bom.TreeRow) -> wire.BomRow:
    child = row.child
    return wire.BomRow(
        level=row.level,
        child=child.reference,
        state=child.revision.state if child.revision else None,
        pinned=child.pinned,
        quantity=child.quantity,
        total=row.total,
        position=child.position,
    )


def _shown(session: Session, batch: Batch) -> wire.Batch:
    session.flush()
    whole = batch_of(batch, batches.progress_of(session, [batch.id])[batch.id])
    skipped = [wire.Skipped.model_validate(one) for one in batch.skipped]
    return whole.model_copy(update={"skipped": skipped})


def batch_of(batch: Batch, progress: Progress) -> wire.Batch:
    """A batch's record as a resource of a list."""
    told: dict[str, Any] = asdict(progress)
    return wire.Batch(
        id=batch.id,
        state=batch.state,  # type: ignore[arg-type] # the database's own constraint
        source=batch.source,
        requester=batch.requester,
        ask=batch.ask,
        progress=wire.BatchProgress.model_validate(told),
        skipped_count=len(batch.skipped),
        created_at=batch.created_at,
    )
