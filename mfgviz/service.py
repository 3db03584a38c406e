"""What people and programs can ask for, each as one function that answers with a resource of `mfgviz.wire`.

The HTTP API and the command line both call this, so that they cannot come to differ. A `Service` acts for one
requester; every change is one transaction.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar

import msgspec
from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from mfgviz import (
    catalog,
    geometry_intake,
    intake,
    jobs,
    models,
    provenance,
    renditions,
    templates,
    tokens,
    wire,
    workers_seen,
)
from mfgviz.catalog import check_text
from mfgviz.errors import (
    DuplicateRevisionError,
    IdempotencyKeyReusedError,
    IllegalMoveError,
    InvalidInputError,
    InvalidRequestError,
    NoPreviewError,
    QueueFullError,
    RenditionNotFoundError,
    RevisionFrozenError,
    RevisionNotFoundError,
)
from mfgviz.jobs.queries import IS_UNFINISHED, live_workers, position_of
from mfgviz.live import Told
from mfgviz.queue import TASK_RENDER
from mfgviz.records import (
    AccessToken,
    Attempt,
    Geometry,
    IdempotencyKey,
    Model,
    Part,
    PartRevision,
    RenderJob,
    Rendition,
    utcnow,
)
from mfgviz.requests import DIGEST
from mfgviz.vocabulary import (
    FROZEN_STATES,
    QUEUE_CPU,
    QUEUE_GPU,
    STANDARD_VIEWS,
    FidelityVerdict,
    JobState,
    LifecycleState,
    Priority,
    ReviewState,
    Role,
    Scope,
)

if TYPE_CHECKING:
    from mfgviz.intake import Ask
    from mfgviz.provenance import ImageFormat
    from mfgviz.runtime import Runtime

PAGE = 50
RING_AT_MOST = 64
KEY_LIVES_S = 24 * 3600.0
API = "/api/v1"
VIEW_TITLES = {
    "iso": "Isometric", "front": "Front", "back": "Back", "left": "Left", "right": "Right", "top": "Top",
    "bottom": "Bottom",
}  # fmt: skip

Found = TypeVar("Found")
Shown = TypeVar("Shown")
Later = Callable[[Callable[[], object]], object]


class Service:
    """The doors' common floor, for one requester.

    `later` is called with what may wait until the answer is sent, such as ringing workers.
    """

    def __init__(self, runtime: Runtime, actor: str, later: Later = lambda action: action()) -> None:
        self.runtime, self.actor = runtime, actor
        self._later = later

    # -- parts --------------------------------------------------------------------------------------------
    def parts(self, search: str = "", cursor: str | None = None, limit: int = PAGE) -> wire.Page[wire.Part]:
        """Parts by number, those alone that hold `search` in number or name."""
        after = _uncursor(cursor) if cursor else ""
        with self.runtime.db.read() as session:
            found = catalog.list_parts(session, search=search, limit=limit + 1, after=after)
            return _page(found, limit, part_of, lambda part: part.number)

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

    # -- revisions ----------------------------------------------------------------------------------------
    def revisions(self, number: str) -> list[wire.Revision]:
        """The revisions of a part, oldest first. Raises PartNotFoundError."""
        with self.runtime.db.read() as session:
            found = catalog.list_revisions(session, number)
            primary = _primaries(session, [one.id for one in found])
            return [revision_of(one, primary.get(one.id)) for one in found]

    def revision(self, reference: str) -> wire.Revision:
        """One revision. Raises PartNotFoundError, RevisionNotFoundError."""
        with self.runtime.db.read() as session:
            return _shown(session, catalog.get_revision(session, reference))

    def add_revision(
        self, number: str, new: wire.NewRevision, file: Path | None = None, file_name: str | None = None
    ) -> wire.Revision:
        """Add a revision, with its CAD file where one is given (under its own name, or under that one).

        Raises:
            PartNotFoundError, DuplicateRevisionError, InvalidInputError, GeometryError: nothing is added.
        """
        self.check_addable(number, new.label)
        name = check_file_name(file_name) if file_name is not None else None
        taken = geometry_intake.take_file(self.runtime, file, name) if file else None
        with self.runtime.db.begin() as session:
            revision = catalog.add_revision(session, number, new.label, self.actor, new.attributes)
            if taken:
                taken.attach(session, revision, self.actor, self.runtime.doorbell)
            if new.state != revision.state:
                catalog.set_lifecycle_state(session, revision, LifecycleState(new.state), self.actor)
            return _shown(session, revision, taken.warnings if taken else ())

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
        number, at, label = reference.partition("@")
        if not at:
            raise RevisionNotFoundError(
                f"{reference!r} names no revision.", remedy="Write NUMBER@LABEL, such as BRK-0042@A."
            )
        with self.runtime.db.begin() as session:
            self._put_part(session, number, change)
            known = catalog.find_revisions(session, [reference]).get(reference)
            if known is None:
                made = catalog.add_revision(session, number, label, self.actor, change.attributes)
                return _shown(session, made), True
            new = {key: one for key, one in change.attributes.items() if known.attributes.get(key) != one}
            if new:
                catalog.change_revision_attributes(session, known, new, self.actor)
            return _shown(session, known), False

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
            return _shown(session, revision, taken.warnings)

    def geometry(self, reference: str) -> tuple[bytes, wire.Geometry]:
        """The CAD file that a revision shows. Raises GeometryError where it has none."""
        with self.runtime.db.read() as session:
            revision = catalog.get_revision(session, reference)
            intake.usable_geometry(revision)
            assert revision.geometry is not None
            told = geometry_of(revision.geometry)
        return self.runtime.blobs.get(told.digest), told

    def set_state(self, reference: str, change: wire.StateChange) -> wire.Revision:
        """Move a revision through its lifecycle. Raises IllegalMoveError."""
        check_text("source state", change.source_state or "")
        with self.runtime.db.begin() as session:
            revision = catalog.get_revision(session, reference)
            state = LifecycleState(change.state)
            catalog.set_lifecycle_state(session, revision, state, self.actor, change.source_state)
            return _shown(session, revision)

    def set_primary(self, reference: str, render_id: int) -> wire.Revision:
        """Let a render stand for its revision. Raises RenditionNotFoundError, IllegalMoveError."""
        with self.runtime.db.begin() as session:
            revision = catalog.get_revision(session, reference)
            rendition = renditions.get(session, render_id)
            if rendition.revision_id != revision.id:
                raise RenditionNotFoundError(f"Render {render_id} is none of {revision.reference}.")
            renditions.set_primary(session, rendition, self.actor)
            return _shown(session, revision)

    def clear_primary(self, reference: str) -> wire.Revision:
        """Let no render stand for a revision."""
        with self.runtime.db.begin() as session:
            revision = catalog.get_revision(session, reference)
            renditions.clear_primary(session, revision, self.actor)
            return _shown(session, revision)

    # -- jobs ---------------------------------------------------------------------------------------------
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
        before = _id_cursor(cursor)
        with self.runtime.db.read() as session:
            revision_id = catalog.get_revision(session, revision).id if revision else None
            wanted = jobs.JobFilter(
                JobState(state) if state else None, revision_id, requester, before, limit + 1
            )
            return _page(jobs.list_jobs(session, wanted), limit, job_of, lambda job: str(job.id))

    def job(self, job_id: int) -> wire.Job:
        """One job, its attempts and renders, and why it is where it is. Raises JobNotFoundError."""
        with self.runtime.db.read() as session:
            return _whole_job(session, job_id)

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

    # -- renders ------------------------------------------------------------------------------------------
    def renders(
        self,
        *,
        revision: str | None = None,
        job: int | None = None,
        review_state: str | None = None,
        cursor: str | None = None,
        limit: int = PAGE,
    ) -> wire.Page[wire.Render]:
        """Renders that fit, newest first."""
        before = _id_cursor(cursor)
        with self.runtime.db.read() as session:
            revision_id = catalog.get_revision(session, revision).id if revision else None
            if job is not None:
                jobs.get(session, job)
            wanted = renditions.RenditionFilter(
                revision_id, job, ReviewState(review_state) if review_state else None, before, limit + 1
            )
            return _page(renditions.find(session, wanted), limit, render_of, lambda one: str(one.id))

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
        """Approve or reject a render. Raises RenditionNotFoundError, IllegalMoveError."""
        with self.runtime.db.begin() as session:
            rendition = renditions.get(session, render_id)
            renditions.review(session, rendition, ReviewState(body.state), self.actor, body.comment)
            return render_of(rendition)

    def store_image(self, content: bytes, what: str = "The image") -> wire.StoredImage:
        """Store a starting image. Raises ImageUnreadableError where it is none, or too large."""
        image = provenance.open_image(content, what, self.runtime.settings.image_max_pixels)
        return wire.StoredImage(
            digest=self.runtime.blobs.put(content), width=image.width, height=image.height
        )

    # -- the rest -----------------------------------------------------------------------------------------
    def views(self) -> list[wire.ViewInfo]:
        """The standard views."""
        return [wire.ViewInfo(name=name, title=VIEW_TITLES[name]) for name in STANDARD_VIEWS]

    def templates(self) -> list[wire.Template]:
        """The prompt templates, by name."""
        with self.runtime.db.read() as session:
            return [template_of(one) for one in templates.list_templates(session)]

    def template(self, name: str, version: int | None = None) -> wire.Template:
        """One template. Raises TemplateNotFoundError."""
        with self.runtime.db.read() as session:
            return template_of(templates.get_template(session, name, version))

    def save_template(self, name: str, body: wire.TemplateBody) -> wire.Template:
        """Save a template as the next version of its name. Raises InvalidInputError, ConflictError."""
        views: tuple[str, ...] = tuple(body.views)
        new = templates.Template(name, body.prompt, body.title, body.negative_prompt, views, body.sampling)
        with self.runtime.db.begin() as session:
            return template_of(templates.save_template(session, new, self.actor))

    def retire_template(self, name: str) -> None:
        """Offer a template no more. Raises TemplateNotFoundError."""
        with self.runtime.db.begin() as session:
            templates.retire_template(session, name, self.actor)

    def models(self) -> list[wire.ModelInfo]:
        """The recorded models, by name."""
        with self.runtime.db.read() as session:
            return [self._model(one) for one in models.list_models(session)]

    def model(self, name: str) -> wire.ModelInfo:
        """One model. Raises ModelNotFoundError."""
        with self.runtime.db.read() as session:
            return self._model(models.get_model(session, name))

    def _model(self, model: Model) -> wire.ModelInfo:
        return wire.ModelInfo(
            name=model.name,
            family=model.family,
            weights_digest=model.weights_digest,
            source=PurePosixPath(str(model.spec["model"]["source"])).name,
            capabilities=model.spec["capabilities"],
            is_default=model.name == self.runtime.settings.default_model,
            created_at=model.created_at,
        )

    def workers(self) -> list[wire.WorkerInfo]:
        """The workers that reported themselves, the last heard of first."""
        with self.runtime.db.read() as session:
            alive = {
                worker.name for queue in (QUEUE_GPU, QUEUE_CPU) for worker in live_workers(session, queue)
            }
            return [
                wire.WorkerInfo(
                    name=worker.name,
                    alive=worker.name in alive,
                    queues=worker.queues,
                    device=worker.device,
                    loaded_model=worker.loaded_model,
                    version=worker.version,
                    started_at=worker.started_at,
                    seen_at=worker.seen_at,
                )
                for worker in workers_seen.list_workers(session)
            ]

    def queue(self) -> wire.QueueInfo:
        """How many jobs there are in each state, and workers for them."""
        with self.runtime.db.read() as session:
            return wire.QueueInfo(jobs=jobs.state_counts(session), workers=len(live_workers(session)))

    def tokens(self) -> list[wire.TokenInfo]:
        """All tokens, the newest first."""
        with self.runtime.db.read() as session:
            return [token_of(one) for one in tokens.list_tokens(session)]

    def create_token(self, body: wire.NewTokenBody) -> wire.NewTokenAnswer:
        """Make a token; its secret is in this answer and nowhere else. Raises DuplicateTokenError."""
        lives = body.expires_in_days
        new = tokens.NewToken(
            name=body.name,
            requester=body.requester or body.name,
            role=Role(body.role),
            scopes=None if body.scopes is None else tuple(map(Scope, body.scopes)),
            expires_at=None if lives is None else datetime.now(UTC) + timedelta(days=lives),
        )
        with self.runtime.db.begin() as session:
            token, secret = tokens.create_token(session, new, self.actor)
            session.refresh(token)
            return wire.NewTokenAnswer(**token_of(token).model_dump(), token=secret)

    def revoke_token(self, name: str) -> wire.TokenInfo:
        """Let a token open nothing any more. Raises TokenNotFoundError."""
        with self.runtime.db.begin() as session:
            return token_of(tokens.revoke_token(session, name, self.actor))


# -- records as resources ---------------------------------------------------------------------------------
def part_of(part: Part, labels: list[str] | None = None) -> wire.Part:
    """A part's record as a resource."""
    return wire.Part(
        number=part.number,
        name=part.name,
        attributes=part.attributes,
        created_at=part.created_at,
        created_by=part.created_by,
        revisions=labels,
    )


def geometry_of(geometry: Geometry) -> wire.Geometry:
    """A CAD file's record as a resource."""
    return wire.Geometry(
        digest=geometry.digest,
        file_name=geometry.file_name,
        size_bytes=geometry.size_bytes,
        state=geometry.state,  # type: ignore[arg-type] # the database's own constraint
        format=geometry.format,
        shape_digest=geometry.shape_digest,
        error=_cause(geometry.error_code, geometry.error_message),
    )


def revision_of(revision: PartRevision, primary: int | None, warnings: tuple[str, ...] = ()) -> wire.Revision:
    """A revision's record as a resource."""
    fields = intake.template_fields(revision)
    return wire.Revision(
        revision=revision.reference,
        part=revision.part.number,
        label=revision.label,
        name=revision.part.name,
        state=revision.state,  # type: ignore[arg-type]
        source_state=revision.source_state,
        iteration=revision.iteration,
        attributes=revision.attributes,
        part_attributes=revision.part.attributes,
        fields={key: value for key, value in fields.items() if value not in ("", None)},
        facts=revision.geometry.facts if revision.geometry else {},
        geometry=geometry_of(revision.geometry) if revision.geometry else None,
        primary_render=primary,
        warnings=list(warnings),
        created_at=revision.created_at,
        created_by=revision.created_by,
    )


def job_of(job: RenderJob) -> wire.Job:
    """A job's record as a resource of a list."""
    return wire.Job(
        id=job.id,
        revision=job.revision.reference,
        state=job.state,  # type: ignore[arg-type]
        step=job.step,
        total_steps=job.total_steps,
        model=job.model_name,
        requester=job.requester,
        priority=Priority(job.priority).name.lower(),  # type: ignore[arg-type]
        prompt=str(job.request.get("prompt", "")),
        count=job.images,
        attempts_made=job.attempts_made,
        max_attempts=job.max_attempts,
        fidelity_policy=job.fidelity_policy,  # type: ignore[arg-type]
        fidelity_retries=job.fidelity_retries,
        cancel_requested=job.cancel_requested,
        error=_cause(job.error_code, job.error_message),
        notes=job.notes,
        created_at=job.created_at,
        started_at=job.started_at,
        finished_at=job.finished_at,
    )


def attempt_of(attempt: Attempt) -> wire.Attempt:
    """An attempt's record as a resource."""
    return wire.Attempt(
        number=attempt.number,
        worker=attempt.worker,
        outcome=attempt.outcome,  # type: ignore[arg-type]
        error=_cause(attempt.error_code, attempt.error_message),
        started_at=attempt.started_at,
        finished_at=attempt.finished_at,
    )


def render_of(rendition: Rendition) -> wire.Render:
    """A rendition's record as a resource."""
    request = rendition.job.request
    geometry = rendition.revision.geometry
    return wire.Render(
        id=rendition.id,
        revision=rendition.revision.reference,
        job=rendition.job_id,
        index=rendition.index,
        seed=rendition.seed,
        width=rendition.width,
        height=rendition.height,
        view=str(request["view"]["name"]),
        model=str(request["model"]["name"]),
        prompt=str(request["prompt"]),
        is_current=geometry is not None and request["geometry_digest"] == geometry.digest,
        is_primary=rendition.is_primary,
        review_state=rendition.review_state,  # type: ignore[arg-type]
        reviewed_by=rendition.reviewed_by,
        reviewed_at=rendition.reviewed_at,
        review_comment=rendition.review_comment,
        fidelity=rendition.fidelity,
        fidelity_verdict=rendition.fidelity_verdict,  # type: ignore[arg-type]
        fidelity_passed=_passed(rendition),
        fidelity_notes=list((rendition.fidelity_details or {}).get("complaints", ())),
        fidelity_details=rendition.fidelity_details,
        control_scale=rendition.control_scale,
        fingerprint=rendition.job.fingerprint,
        blob_digest=rendition.blob_digest,
        pixel_digest=rendition.pixel_digest,
        software=rendition.software,
        request=request,
        created_at=rendition.created_at,
        image_url=f"{API}/renders/{rendition.id}/image",
        thumbnail_url=f"{API}/renders/{rendition.id}/thumbnail",
    )


def template_of(template: templates.Template) -> wire.Template:
    """A template as a resource."""
    return wire.Template(
        name=template.name,
        version=template.version,
        title=template.title,
        prompt=template.prompt,
        negative_prompt=template.negative_prompt,
        views=list(template.views),
        sampling=template.sampling,
        fields=template.fields,
        built_in=template.built_in,
    )


def token_of(token: AccessToken) -> wire.TokenInfo:
    """A token's record as a resource, without its hash."""
    return wire.TokenInfo(
        name=token.name,
        requester=token.requester,
        role=token.role,  # type: ignore[arg-type]
        scopes=token.scopes,  # type: ignore[arg-type]
        created_at=token.created_at,
        created_by=token.created_by,
        expires_at=token.expires_at,
        revoked_at=token.revoked_at,
        used_at=token.used_at,
    )


def check_file_name(name: str) -> str:
    """The last part of a file's name as a client gave it, which only tells the format and is shown to people.

    Raises:
        InvalidInputError: it is empty, too long, or holds control characters.
    """
    last = name.replace("\\", "/").rsplit("/", 1)[-1].strip()
    catalog.check_word("file name", last, 255)
    return last


def _passed(rendition: Rendition) -> bool | None:
    """Whether the picture shows its part well enough; None where nobody could say."""
    verdict = FidelityVerdict(rendition.fidelity_verdict)
    return None if verdict is FidelityVerdict.NOT_JUDGED else verdict is FidelityVerdict.PASSED


def _cause(code: str | None, message: str | None) -> wire.Cause | None:
    return wire.Cause(code=code, message=message or "") if code else None


def _shown(session: Session, revision: PartRevision, warnings: tuple[str, ...] = ()) -> wire.Revision:
    session.flush()
    return revision_of(revision, renditions.primary_of(session, revision.id), warnings)


def _primaries(session: Session, revision_ids: list[int]) -> Mapping[int, int]:
    query = select(Rendition.revision_id, Rendition.id)
    rows = session.execute(query.where(Rendition.revision_id.in_(revision_ids), Rendition.is_primary))
    return {row.revision_id: row.id for row in rows}


def _whole_job(session: Session, job_id: int) -> wire.Job:
    job = jobs.get(session, job_id)
    report = jobs.why(session, job_id)
    whole = {
        "position": report.position,
        "told": report.told,
        "renders": [one.id for one in job.renditions],
        "attempts": [attempt_of(one) for one in job.attempts],
        "request": job.request,
    }
    return job_of(job).model_copy(update=whole)


def _page(
    rows: Sequence[Found], limit: int, convert: Callable[[Found], Shown], key: Callable[[Found], str]
) -> wire.Page[Shown]:
    """The first `limit` of rows that are one more where there are more."""
    shown = rows[:limit]
    following = wire.cursor_after(key(shown[-1])) if len(rows) > limit else None
    return wire.Page(items=[convert(row) for row in shown], next_cursor=following)


def _uncursor(cursor: str) -> str:
    try:
        padded = cursor.encode("ascii") + b"=" * (-len(cursor) % 4)
        text = base64.b64decode(padded, altchars=b"-_", validate=True).decode("utf-8")
        check_text("cursor", text)
    except (ValueError, binascii.Error) as error:
        raise InvalidInputError(
            f"The cursor {cursor[:80]!r} cannot be used.", remedy="Give the next_cursor of the page before."
        ) from error
    return text


def _id_cursor(cursor: str | None) -> int | None:
    if cursor is None:
        return None
    text = _uncursor(cursor)
    if not text.isascii() or not text.isdigit() or not 0 < int(text) < 2**63:
        raise InvalidInputError(
            f"The cursor {cursor[:80]!r} cannot be used.", remedy="Give the next_cursor of the page before."
        )
    return int(text)
