"""Render jobs."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec
from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from mfgviz import (
    catalog,
    intake,
    jobs,
    wire,
)
from mfgviz.errors import (
    IdempotencyKeyReusedError,
    IllegalMoveError,
    InvalidRequestError,
    NoPreviewError,
    QueueFullError,
)
from mfgviz.jobs.queries import IS_UNFINISHED, position_of
from mfgviz.live import Told
from mfgviz.queue import TASK_RENDER
from mfgviz.records import (
    IdempotencyKey,
    RenderJob,
    utcnow,
)
from mfgviz.requests import DIGEST
from mfgviz.service.base import PAGE, RING_AT_MOST, Base
from mfgviz.service.shown import id_cursor, job_of, page, whole_job
from mfgviz.vocabulary import (
    JobState,
)

if TYPE_CHECKING:
    from mfgviz.intake import Ask


KEY_LIVES_S = 24 * 3600.0


class WorkService(Base):
    """See `Service`."""

    def submit(
        self, body: wire.JobBody, key: str | None = None, queued_most: int | None = None
    ) -> wire.SubmitAnswer:
        """Queue what is asked for. The same key with the same body again is the same answer.

        Raises:
            IdempotencyKeyReusedError: the key came with another body before.
            QueueFullError: the requester has `queued_most` waiting jobs.
            InvalidRequestError, NotFoundError, GeometryError, PromptTemplateError: as `intake.prepare`.
        """
        return self.submit_ask(intake.ask_from_json(body.model_dump(exclude_none=True)), key, queued_most)

    def submit_ask(
        self, ask: Ask, key: str | None = None, queued_most: int | None = None
    ) -> wire.SubmitAnswer:
        """As `submit`, for an ask."""
        settings = self.runtime.settings
        self._check_image(ask.image)
        with self.runtime.db.begin() as session:
            if key is not None and (known := self._reserve(session, key, ask)) is not None:
                return known
            fidelity = intake.FidelityDefaults.of(settings)
            lookup = intake.Lookup(session, settings.default_model, settings.max_attempts, fidelity)
            submissions = intake.prepare(lookup, ask)
            if submissions and queued_most is not None:
                self._check_queue(session, len(submissions), queued_most)
            answers = jobs.submit(session, submissions, self.actor)
            told = wire.SubmitAnswer(items=[wire.Submitted(job=one.job_id, how=one.how) for one in answers])
            if key is not None:
                mine = (IdempotencyKey.requester == self.actor) & (IdempotencyKey.key == key)
                session.execute(update(IdempotencyKey).where(mine).values(answer=told.model_dump()))
        new = [one.job_id for one in answers if one.how == "new"]
        self._later(lambda: self.runtime.doorbell.ring(TASK_RENDER, new[:RING_AT_MOST]))
        self._tell(new)
        return told

    def _check_image(self, image: str | None) -> None:
        if image is not None and DIGEST.fullmatch(image) and not self.runtime.blobs.exists(image):
            raise InvalidRequestError(
                f"The starting image {image} is not in the blob store.",
                remedy="`mfgviz jobs submit --image FILE` stores a file and uses its digest.",
            )

    def _reserve(self, session: Session, key: str, ask: Ask) -> wire.SubmitAnswer | None:
        """Take the key for this transaction (another one with it waits); its answer where it has one."""
        digest = hashlib.sha256(msgspec.json.encode(ask, order="deterministic")).hexdigest()
        build = postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert
        values = {"requester": self.actor, "key": key, "request_digest": digest, "answer": {}}
        statement = build(IdempotencyKey).values(**values).on_conflict_do_nothing()
        if session.execute(statement.returning(IdempotencyKey.key)).first() is not None:
            return None
        row = session.get_one(IdempotencyKey, (self.actor, key))
        if row.request_digest != digest:
            raise IdempotencyKeyReusedError(f"The Idempotency-Key {key!r} came with another request before.")
        return wire.SubmitAnswer.model_validate(row.answer)

    def _check_queue(self, session: Session, more: int, most: int) -> None:
        mine = select(RenderJob.id).where(RenderJob.requester == self.actor, IS_UNFINISHED).limit(most + 1)
        waiting = session.scalar(select(func.count()).select_from(mine.subquery())) or 0
        if waiting + more > most:
            raise QueueFullError(
                f"{self.actor} has {waiting:,} unfinished jobs; with {more} more it would be above {most:,}.",
                retry_after_s=30,
            )

    def forget_old_keys(self) -> int:
        """Drop idempotency keys older than a day; how many."""
        with self.runtime.db.begin() as session:
            old = delete(IdempotencyKey).where(IdempotencyKey.created_at < utcnow(-KEY_LIVES_S))
            return len(session.scalars(old.returning(IdempotencyKey.key)).all())

    def jobs(
        self,
        *,
        state: str | None = None,
        revision: str | None = None,
        requester: str | None = None,
        cursor: str | None = None,
        limit: int = PAGE,
    ) -> wire.Page[wire.Job]:
        """Jobs that fit, newest first."""
        before = id_cursor(cursor)
        with self.runtime.db.read() as session:
            revision_id = catalog.get_revision(session, revision).id if revision else None
            wanted = jobs.JobFilter(
                JobState(state) if state else None, revision_id, requester, before, limit + 1
            )
            return page(jobs.list_jobs(session, wanted), limit, job_of, lambda job: str(job.id))

    def job(self, job_id: int) -> wire.Job:
        """One job, its attempts and renders, and why it is where it is. Raises JobNotFoundError."""
        with self.runtime.db.read() as session:
            return whole_job(session, job_id)

    def why(self, job_id: int) -> wire.JobWait:
        """Why a job is where it is. Raises JobNotFoundError."""
        with self.runtime.db.read() as session:
            found = jobs.why(session, job_id)
        return wire.JobWait(
            job=found.job_id,
            state=found.state.value,
            position=found.position,
            ahead=list(found.ahead),
            running=list(found.running),
            not_before=found.not_before,
            workers=list(found.workers),
            told=found.told,
        )

    def standings(self, job_ids: Collection[int], *, positions: bool = False) -> list[wire.JobEvent]:
        """Where jobs stand, by id, with places in the queue where asked; unknown ones are left out."""
        with self.runtime.db.read() as session:
            found = [one.event for one in jobs.standings(session, job_ids)]
            if not positions:
                return found
            return [
                one.model_copy(update={"position": position_of(session, one.job)})
                if one.state == "queued"
                else one
                for one in found
            ]

    def unfinished(self) -> list[wire.JobEvent]:
        """The first of the jobs that run or wait, as they will be served."""
        with self.runtime.db.read() as session:
            return [one.event for one in jobs.unfinished(session)]

    def cancel_all(self, job_ids: Sequence[int]) -> list[wire.JobEvent]:
        """Cancel jobs in one transaction; where each stands then. Those that have ended stay as they are.

        Raises:
            JobNotFoundError: one of them is not there; none is cancelled.
        """
        with self.runtime.db.begin() as session:
            for job_id in job_ids:
                jobs.get(session, job_id)
            for job_id in dict.fromkeys(job_ids):
                with suppress(IllegalMoveError):
                    jobs.cancel(session, job_id, self.actor)
        self._tell(list(job_ids))
        return self._in_order(job_ids)

    def retry_all(self, job_ids: Sequence[int]) -> list[wire.JobEvent]:
        """Queue failed or cancelled jobs again, all or none. Raises JobNotFoundError, IllegalMoveError."""
        with self.runtime.db.begin() as session:
            for job_id in job_ids:
                jobs.retry(session, job_id, self.actor, self.runtime.settings.max_attempts)
        self._later(lambda: self.runtime.doorbell.ring(TASK_RENDER, list(job_ids[:RING_AT_MOST])))
        self._tell(list(job_ids))
        return self._in_order(job_ids)

    def _in_order(self, job_ids: Sequence[int]) -> list[wire.JobEvent]:
        by_id = {one.job: one for one in self.standings(job_ids)}
        return [by_id[job_id] for job_id in dict.fromkeys(job_ids)]

    def cancel(self, job_id: int) -> wire.Job:
        """Cancel a job. Raises JobNotFoundError, IllegalMoveError."""
        with self.runtime.db.begin() as session:
            jobs.cancel(session, job_id, self.actor)
        self._tell([job_id])
        return self.job(job_id)

    def retry(self, job_id: int) -> wire.Job:
        """Queue a failed or cancelled job again. Raises JobNotFoundError, IllegalMoveError."""
        with self.runtime.db.begin() as session:
            jobs.retry(session, job_id, self.actor, self.runtime.settings.max_attempts)
        self._later(lambda: self.runtime.doorbell.ring(TASK_RENDER, [job_id]))
        self._tell([job_id])
        return self.job(job_id)

    def preview(self, job_id: int) -> tuple[int, bytes]:
        """The step and JPEG of a job's last preview. Raises NoPreviewError, JobNotFoundError."""
        found = self.runtime.live.preview(job_id)
        if found is None:
            with self.runtime.db.read() as session:
                jobs.get(session, job_id)
            raise NoPreviewError(f"There is no preview of job {job_id} now.")
        return found

    def owner(self, job_id: int) -> str:
        """Who asked for a job. Raises JobNotFoundError."""
        with self.runtime.db.read() as session:
            return jobs.get(session, job_id).requester

    def _tell(self, job_ids: list[int]) -> None:
        if job_ids:
            told = [Told(job_id, self.actor) for job_id in job_ids[:RING_AT_MOST]]
            self._later(lambda: self.runtime.live.tell(told))
