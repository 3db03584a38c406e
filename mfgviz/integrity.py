"""Whether rows and blobs agree, and mending what can be mended.

Rows are read in ranges of their ids, each in a transaction of its own; digests are kept in temporary files.
So millions of rows need no more memory than thousands, and nobody is kept from writing. A picture can be
made again: its job is queued once more, and where the same pixels come out, the blob has the same digest,
and every row that names it is whole again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Integer,
    Select,
    Table,
    and_,
    exists,
    func,
    literal_column,
    select,
    text,
    update,
)
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from mfgviz import batches, blob_garbage, catalog, jobs, models, provenance, reviews
from mfgviz.digests import DigestSet, Progress, in_batches, untold
from mfgviz.errors import BlobDamagedError, BlobNotFoundError, ImageUnreadableError, MfgvizError
from mfgviz.jobs import Submission
from mfgviz.journal import audit
from mfgviz.queue import TASK_READ_GEOMETRY, TASK_RENDER
from mfgviz.records import (
    Attempt,
    Batch,
    BatchItem,
    BomLine,
    Event,
    Geometry,
    PartRevision,
    Record,
    RenderJob,
    Rendition,
    utcnow,
)
from mfgviz.requests import RenderRequest
from mfgviz.runtime import Runtime
from mfgviz.vocabulary import (
    AttemptOutcome,
    BatchState,
    EventKind,
    FidelityPolicy,
    GeometryState,
    JobState,
    Priority,
    ReviewState,
)

RANGE = 10_000
NAMED = 100
# A lease that ran out so long ago was seen by no sweep; links follow their pictures within that.
LATE_S, LINKED_WITHIN_S = 60.0, 3600.0
# Problems in words, and whether they do no harm: what is only told makes no check fail.
KINDS = {
    "database-damaged": ("SQLite says that the file is damaged", False),
    "foreign-key": ("rows refer to rows that are not there", False),
    "geometry-without-blob": ("CAD files are gone or damaged", False),
    "geometry-noted-lost": ("CAD files are known to be gone", True),
    "geometry-is-back": ("CAD files that were lost are there again", True),
    "picture-without-blob": ("renders have no picture, or a damaged one", False),
    "picture-being-made": ("renders without a picture are being made again", True),
    "picture-replaced": ("lost renders were made again by later jobs", True),
    "picture-is-back": ("pictures that were lost are there again", True),
    "thumbnail-without-blob": ("renders have no thumbnail", False),
    "starting-image-without-blob": ("starting images of requests, rules or batches are gone", False),
    "damaged-blob": ("blobs that nothing names are damaged", False),
    "blob-without-row": ("blobs are named by no row", True),
    "job-without-renders": ("jobs have succeeded without all their renders", False),
    "render-of-unfinished-job": ("renders belong to jobs that have not succeeded", False),
    "render-elsewhere": ("renders belong to another revision than their jobs", False),
    "job-without-worker": ("jobs run under leases that ran out", False),
    "job-without-attempt": ("jobs run without an attempt", False),
    "attempt-without-job": ("attempts are open though their jobs do not run", False),
    "primary-cannot-stand": ("rejected or superseded renders stand for their revisions", False),
    "item-not-linked": ("pictures of batches wait for jobs that have succeeded", False),
    "item-elsewhere": ("pictures of batches belong to another revision than their jobs", False),
    "bom-line-elsewhere": ("lines of bills of material pin a revision of another part", False),
    "bom-line-of-itself": ("assemblies list themselves", False),
}


@dataclass(slots=True)
class Problem:
    """A kind of damage: how often it was found and mended, and what it is about, at most a hundred of each:
    ids that are left, or, of what was all mended, those that were."""

    kind: str
    found: int = 0
    mended: int = 0
    left: list[str] = field(default_factory=list)

    @property
    def what(self) -> str:
        """What it is, in words that follow a number."""
        return KINDS[self.kind][0]

    @property
    def is_harmless(self) -> bool:
        """Whether it is only told."""
        return KINDS[self.kind][1]

    @property
    def is_left(self) -> bool:
        """Whether there is damage that was not mended."""
        return not self.is_harmless and self.mended < self.found

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        counts = {"found": self.found, "mended": self.mended, "harmless": self.is_harmless}
        return {"kind": self.kind, "what": self.what, **counts, "ids": self.left}


@dataclass(slots=True)
class Checked:
    """How many rows and blobs were looked at, and what is wrong with them."""

    rows: int = 0
    blobs: int = 0
    problems: dict[str, Problem] = field(default_factory=dict)

    @property
    def left(self) -> list[Problem]:
        """What is damaged and was not mended."""
        return [one for one in self.problems.values() if one.is_left]


def check(
    runtime: Runtime,
    actor: str,
    *,
    repair: bool = False,
    verify: bool = False,
    progress: Progress = untold,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Checked:
    """Look at all rows and blobs. `verify` reads every blob; `repair` mends what can be.

    Raises:
        DatabaseUnavailableError, StorageUnavailableError: they do not answer; what was mended is mended.
    """
    work = _Checkup(runtime, actor, repair, verify, progress, now)
    work.rows()
    work.blobs()
    if repair:
        told = {kind: [one.found, one.mended] for kind, one in work.done.problems.items()}
        with runtime.db.begin() as session:
            audit(session, actor, "database.repaired", "database", told)
    return work.done


@dataclass(frozen=True, slots=True)
class _Rows:
    """Rows of a table that are damaged in one way; `mend` says how many of these ids it mended."""

    kind: str
    key: InstrumentedAttribute[int]
    wrong: ColumnElement[bool]
    mend: Callable[[Sequence[int]], int] | None = None


@dataclass(slots=True)
class _Checkup:
    runtime: Runtime
    actor: str
    repair: bool
    verify: bool
    progress: Progress
    now: Callable[[], datetime]
    done: Checked = field(default_factory=Checked)

    def note(self, kind: str, ids: Collection[object], mended: int = 0) -> None:
        """Count damage; a part of the same ids that was mended leaves the others."""
        if not ids:
            return
        problem = self.done.problems.setdefault(kind, Problem(kind))
        problem.found += len(ids)
        problem.mended += mended
        if mended < len(ids) and len(problem.left) < NAMED:
            problem.left += [str(one) for one in ids][: NAMED - len(problem.left)]

    # -- rows against rows ---------------------------------------------------------------------------------
    def rows(self) -> None:
        """Every rule that holds between rows."""
        if self.runtime.db.is_sqlite:
            with self.runtime.db.read() as session:
                told = session.scalars(text(f"PRAGMA integrity_check({NAMED})")).all()
            self.note("database-damaged", [one for one in told if one != "ok"])
        for table in Record.metadata.sorted_tables:
            with self.runtime.db.read() as session:
                self.done.rows += session.scalar(select(func.count()).select_from(table)) or 0
            for key in table.foreign_keys:
                self._foreign_key(table, key.parent, key.column)
        for one in self._rules():
            for ids in self._ranges(one.kind, one.key, one.wrong):
                self.note(one.kind, ids, one.mend(ids) if self.repair and one.mend else 0)

    def _foreign_key(self, table: Table, child: ColumnElement[Any], parent: ColumnElement[Any]) -> None:
        other = parent.table.alias()
        wrong = and_(child.is_not(None), ~exists().where(other.c[parent.name] == child))
        key, *_ = table.primary_key.columns
        if isinstance(key.type, Integer):
            found: Iterator[list[Any]] = self._ranges(table.name, key, wrong)
        else:
            found = in_batches(self._all(select(key).where(wrong)), RANGE)
        for ids in found:
            self.note("foreign-key", [f"{table.name}.{child.key} of {one}" for one in ids])

    def _all(self, query: Select[Any]) -> Iterator[Any]:
        with self.runtime.db.read() as session:
            yield from session.scalars(query.execution_options(yield_per=RANGE))

    def _rules(self) -> list[_Rows]:
        made = select(func.count()).where(Rendition.job_id == RenderJob.id).scalar_subquery()
        job, part_revision = aliased(RenderJob), aliased(PartRevision)
        its_job = job.id == Rendition.job_id
        # Literals, so that the planner can prove partial indexes.
        runs = RenderJob.state == literal_column("'running'")
        its_attempt = and_(Attempt.job_id == RenderJob.id, Attempt.outcome == AttemptOutcome.RUNNING)
        held = and_(
            job.id == Attempt.job_id, job.state == JobState.RUNNING, job.lease_token == Attempt.lease_token
        )
        leader = and_(
            job.id == BatchItem.leader_id,
            job.state == JobState.SUCCEEDED,
            job.finished_at < utcnow(-LINKED_WITHIN_S),
        )
        open_batch = and_(Batch.id == BatchItem.batch_id, Batch.state != BatchState.CANCELLED)
        return [
            _Rows(
                "job-without-renders",
                RenderJob.id,
                and_(RenderJob.state == JobState.SUCCEEDED, made != RenderJob.images),
                self._make_up,
            ),
            _Rows(
                "render-of-unfinished-job", Rendition.id, exists().where(its_job, job.state != "succeeded")
            ),
            _Rows(
                "render-elsewhere",
                Rendition.id,
                exists().where(its_job, job.revision_id != Rendition.revision_id),
            ),
            _Rows(
                "job-without-worker",
                RenderJob.id,
                and_(runs, RenderJob.lease_until < utcnow(-LATE_S)),
                self._take_back,
            ),
            _Rows(
                "job-without-attempt",
                RenderJob.id,
                and_(runs, ~exists().where(its_attempt, Attempt.lease_token == RenderJob.lease_token)),
            ),
            _Rows(
                "attempt-without-job",
                Attempt.id,
                and_(Attempt.outcome == AttemptOutcome.RUNNING, ~exists().where(held)),
                lambda ids: self._write(lambda session: jobs.close_attempts(session, ids)),
            ),
            _Rows(
                "primary-cannot-stand",
                Rendition.id,
                and_(
                    Rendition.is_primary,
                    Rendition.review_state.in_((ReviewState.REJECTED, ReviewState.SUPERSEDED)),
                ),
                self._unseat,
            ),
            _Rows(
                "item-not-linked",
                BatchItem.id,
                and_(BatchItem.job_id.is_(None), exists().where(leader), exists().where(open_batch)),
                self._link,
            ),
            _Rows(
                "item-elsewhere",
                BatchItem.id,
                exists().where(job.id == BatchItem.job_id, job.revision_id != BatchItem.revision_id),
            ),
            _Rows(
                "bom-line-elsewhere",
                BomLine.id,
                exists().where(
                    part_revision.id == BomLine.child_id, part_revision.part_id != BomLine.child_part_id
                ),
            ),
            _Rows(
                "bom-line-of-itself",
                BomLine.id,
                exists().where(
                    part_revision.id == BomLine.parent_id, part_revision.part_id == BomLine.child_part_id
                ),
            ),
        ]

    def _ranges(self, what: str, key: Any, wrong: ColumnElement[bool]) -> Iterator[list[int]]:
        """The keys of the rows that are wrong, a range of keys at a time."""
        for rows in self._pages(what, key, [key], wrong):
            yield [row[0] for row in rows]

    def _pages(
        self, what: str, key: Any, columns: Sequence[Any], which: ColumnElement[bool]
    ) -> Iterator[Sequence[Any]]:
        with self.runtime.db.read() as session:
            low, high = session.execute(select(func.min(key), func.max(key))).one()
        if low is None:
            return
        with self.progress(what, high - low + 1) as advance:
            for start in range(low, high + 1, RANGE):
                query = select(*columns).where(key.between(start, start + RANGE - 1), which).order_by(key)
                with self.runtime.db.read() as session:
                    rows = session.execute(query).all()
                if rows:
                    yield rows
                advance(min(RANGE, high + 1 - start))

    # -- blobs against rows --------------------------------------------------------------------------------
    def blobs(self) -> None:
        """Every blob that is named must be there, whole with `verify`; every one that is there be named."""
        with DigestSet() as stored, DigestSet() as old, DigestSet() as rotten, DigestSet() as named:
            self._list(stored, old)
            if self.verify:
                self._read(stored, rotten)
            for column in blob_garbage.references():
                self._named(column, stored, rotten, named)
            for digests in in_batches(rotten.minus(named), RANGE):
                self.note("damaged-blob", digests, len(digests) * self.repair)
            self._unnamed(old, named)
        self._found_again()

    def _list(self, stored: DigestSet, old: DigestSet) -> None:
        before = self.now() - timedelta(days=blob_garbage.GRACE_DAYS)
        with self.progress("blobs", None) as advance:
            for some in in_batches(self.runtime.blobs.stored(), RANGE):
                stored.add(one.digest for one in some)
                old.add(one.digest for one in some if one.modified_at <= before)
                advance(len(some))
        self.done.blobs = len(stored)

    def _read(self, stored: DigestSet, rotten: DigestSet) -> None:
        """Find blobs whose content is not that of their digest; with `repair` they make room."""
        with self.progress("reading blobs", len(stored)) as advance:
            for digest in stored:
                try:
                    self.runtime.blobs.get(digest)
                except BlobNotFoundError:
                    pass  # it was collected meanwhile: whether somebody misses it is seen later
                except BlobDamagedError:
                    rotten.add([digest])
                    if self.repair:
                        self.runtime.blobs.isolate(digest)
                advance(1)

    def _named(
        self, column: ColumnElement[str], stored: DigestSet, rotten: DigestSet, named: DigestSet
    ) -> None:
        (table,) = select(column).get_final_froms()
        assert isinstance(table, Table)
        for rows in self._pages(table.name, table.c.id, [table.c.id, column], column.is_not(None)):
            digests = {digest for _, digest in rows}
            named.add(digests)
            # One that was stored after the list was made is there all the same; a condemned one comes back.
            new = stored.lacks(digests)
            lost = {one for one in new if not self.runtime.blobs.exists(one)}
            lost |= {one for one in digests - new if not rotten.lacks([one])}
            ids = {row_id: digest for row_id, digest in rows if digest in lost}
            self._lost(table.name, getattr(column, "key", None), ids)

    def _lost(self, table: str, column: str | None, ids: dict[int, str]) -> None:
        if not ids:
            return
        if column == "digest":
            self._lost_geometries(list(ids))
        elif column == "blob_digest":
            self._lost_pictures(list(ids))
        elif column == "thumbnail_digest":
            self._lost_thumbnails(list(ids))
        else:
            self.note("starting-image-without-blob", [f"{table} {one}" for one in ids])

    def _unnamed(self, old: DigestSet, named: DigestSet) -> None:
        """Those that have been there for the grace period and are named by no row are condemned, as ever."""
        count, condemned = 0, 0
        for digests in in_batches(old.minus(named), RANGE):
            count += len(digests)
            self.note("blob-without-row", digests)
        if count and self.repair:
            condemned = blob_garbage.collect(self.runtime, self.actor, now=self.now).condemned
            self.done.problems["blob-without-row"].mended = min(count, condemned)

    # -- mending -------------------------------------------------------------------------------------------
    def _write(self, change: Callable[[Session], int]) -> int:
        with self.runtime.db.begin() as session:
            return change(session)

    def _lost_geometries(self, ids: list[int]) -> None:
        """Nobody shall wait for a file that is gone. The same file, attached again, mends it."""
        is_known = and_(Geometry.id.in_(ids), Geometry.error_code == BlobNotFoundError.code)
        with self.runtime.db.read() as session:
            known = set(session.scalars(select(Geometry.id).where(is_known)))
        new = [one for one in ids if one not in known]
        self.note("geometry-noted-lost", sorted(known))
        self.note("geometry-without-blob", new)
        if self.repair and new:
            with self.runtime.db.begin() as session:
                for geometry in session.scalars(select(Geometry).where(Geometry.id.in_(new))):
                    told = "The file is gone from the blob store. Attach it again, or restore a backup."
                    catalog.note_unusable(geometry, BlobNotFoundError.code, told)

    def _lost_pictures(self, ids: list[int]) -> None:
        with self.runtime.db.read() as session:
            origin = aliased(Rendition)
            query = (
                select(Rendition.id, func.coalesce(origin.job_id, Rendition.job_id))
                .outerjoin(origin, origin.id == Rendition.origin_id)
                .where(Rendition.id.in_(ids))
            )
            of_job: dict[int, list[int]] = {}
            for rendition_id, job_id in session.execute(query):
                of_job.setdefault(job_id, []).append(rendition_id)
            standing = {one: _replacement(session, one) for one in of_job}
        words = {None: "picture-without-blob", JobState.SUCCEEDED: "picture-replaced"}
        for job_id, mine in of_job.items():
            kind = words.get(standing[job_id], "picture-being-made")
            again = self.repair and standing[job_id] is None and self._make_up([job_id]) == 1
            self.note(kind, mine, len(mine) * again)
        if self.repair:
            with self.runtime.db.begin() as session:
                reviews.note_lost(session, ids, self.actor)

    def _lost_thumbnails(self, ids: list[int]) -> None:
        """A thumbnail is made of its picture; that of a lost picture comes with the picture."""
        with self.runtime.db.read() as session:
            query = select(Rendition.id, Rendition.blob_digest).where(Rendition.id.in_(ids))
            pictures = {row.id: row.blob_digest for row in session.execute(query)}
        for one, digest in pictures.items():
            try:
                image = provenance.open_image(self.runtime.blobs.get(digest), f"The picture of render {one}")
            except (BlobNotFoundError, BlobDamagedError):
                continue
            except ImageUnreadableError:
                self.note("thumbnail-without-blob", [one])
                continue
            if self.repair:
                made = self.runtime.blobs.put(provenance.thumbnail(image))
                with self.runtime.db.begin() as session:
                    session.execute(
                        update(Rendition).where(Rendition.id == one).values(thumbnail_digest=made)
                    )
            self.note("thumbnail-without-blob", [one], int(self.repair))

    def _make_up(self, job_ids: Sequence[int]) -> int:
        """Queue jobs once more, whose pictures are gone; how many could be, or wait or are done already."""
        made, new = 0, []
        for job_id in job_ids:
            try:
                with self.runtime.db.begin() as session:
                    if _replacement(session, job_id) is None:
                        new.append(self._queue_again(session, job_id))
            except MfgvizError:
                continue  # what it needs is gone, too: it is told as not mended
            made += 1
        self.runtime.doorbell.ring(TASK_RENDER, new)
        return made

    def _queue_again(self, session: Session, job_id: int) -> int:
        """Errors of ours where a CAD file, starting image or model is missing that it needs."""
        job = jobs.get(session, job_id)
        request = RenderRequest.from_json(job.request)
        models.require_weights(session, request.model)
        for digest in filter(None, (request.geometry_digest, request.conditioning.image)):
            if not self.runtime.blobs.exists(digest):
                raise BlobNotFoundError(f"The blob {digest} is gone, too.")
        again = Submission(
            job.revision_id,
            request,
            Priority.LOW,
            forced=True,
            max_attempts=self.runtime.settings.max_attempts,
            fidelity_policy=FidelityPolicy(job.fidelity_policy),
            fidelity_retries=job.fidelity_retries,
        )
        (answer,) = jobs.submit(session, [again], job.requester)
        audit(session, self.actor, "job.made_up", f"job {answer.job_id}", {"lost": job_id})
        return answer.job_id

    def _take_back(self, ids: Sequence[int]) -> int:
        swept = 0
        while True:
            report = jobs.sweep(self.runtime.db, self.runtime.doorbell)
            swept += report.requeued + report.given_up
            with self.runtime.db.read() as session:
                still = and_(RenderJob.id.in_(ids), RenderJob.state == JobState.RUNNING)
                left = session.scalar(select(func.count()).where(still)) or 0
            if not left or not report.requeued + report.given_up:
                return len(ids) - left

    def _unseat(self, ids: Sequence[int]) -> int:
        with self.runtime.db.begin() as session:
            reviews.unseat(session, ids, self.actor)
        return len(ids)

    def _link(self, ids: Sequence[int]) -> int:
        """Do what the event of the leader's pictures should have caused."""
        with self.runtime.db.begin() as session:
            leaders = session.scalars(select(BatchItem.leader_id).where(BatchItem.id.in_(ids)).distinct())
            events = [Event(kind=EventKind.RENDER_ATTACHED, payload={"job": one}) for one in leaders]
            new = batches.follow(session, self.runtime.settings, events)
        self.runtime.doorbell.ring(TASK_RENDER, new)
        return len(ids)

    def _found_again(self) -> None:
        """What was noted as lost and is there again, because it was made or brought once more."""
        lost = Rendition.stale_reason == reviews.LOST
        for rows in self._pages("lost renders", Rendition.id, [Rendition.id, Rendition.blob_digest], lost):
            ids = [one for one, digest in rows if self._is_whole(digest)]
            self.note("picture-is-back", ids, len(ids) * self.repair)
            if self.repair and ids:
                with self.runtime.db.begin() as session:
                    reviews.note_found(session, ids, self.actor)
        gone = and_(Geometry.state == GeometryState.UNUSABLE, Geometry.error_code == BlobNotFoundError.code)
        for rows in self._pages("lost CAD files", Geometry.id, [Geometry.id, Geometry.digest], gone):
            ids = [one for one, digest in rows if self._is_whole(digest)]
            self.note("geometry-is-back", ids, len(ids) * self.repair)
            if self.repair and ids:
                with self.runtime.db.begin() as session:
                    for geometry in session.scalars(select(Geometry).where(Geometry.id.in_(ids))):
                        catalog.note_back(geometry)
                self.runtime.doorbell.ring(TASK_READ_GEOMETRY, ids)

    def _is_whole(self, digest: str) -> bool:
        try:
            self.runtime.blobs.get(digest)
        except (BlobNotFoundError, BlobDamagedError):
            return False
        return True


def _replacement(session: Session, job_id: int) -> JobState | None:
    """How the newest later job stands that asks for the very same pictures; None where there is none that
    waits, runs or has them."""
    job, later = aliased(RenderJob), aliased(RenderJob)
    states = (JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED)
    made = select(func.count()).where(Rendition.job_id == later.id).scalar_subquery()
    query = (
        select(later.state)
        .join(job, job.id == job_id)
        .where(
            later.revision_id == job.revision_id,
            later.fingerprint == job.fingerprint,
            later.fidelity_retries == job.fidelity_retries,
            later.id > job.id,
            later.state.in_(states),
            (later.state != JobState.SUCCEEDED) | (made == later.images),
        )
        .order_by(later.id.desc())
        .limit(1)
    )
    found = session.scalar(query)
    return None if found is None else JobState(found)
