"""What must hold of a service after whatever went wrong, once it has settled.

Each function looks at one thing and answers how many it looked at, and what is wrong with which of them. They
read the tables and the blobs as they are; they know nothing of how the product keeps its promises.
"""

from __future__ import annotations

import io
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
from PIL import Image
from sqlalchemy import select
from sqlalchemy.orm import selectinload

from mfgviz.errors import MfgvizError
from mfgviz.records import Attempt, AuditEntry, Event, IdempotencyKey, RenderJob
from mfgviz.runtime import Runtime
from mfgviz.vocabulary import FINAL_STATES, AttemptOutcome, EventKind, JobState
from tests.chaos import family
from tests.chaos.faults import OF_ALL, Injected

# What may be the end of a job that could be rendered: its workers were taken away as often as may be.
CAUSES = frozenset({"worker-lost", "job-crashes-workers"})
# A fault is felt a little after it is over: what was slow or cut is noticed then.
AFTERMATH_S = 8.0
# An attempt's start is when its transaction began, which may have waited so long for its first row.
BEGUN_S = 2.0


@dataclass
class Evidence:
    """All that is looked at: rows as they ended up, what clients were told, and which faults there were."""

    runtime: Runtime
    jobs: list[RenderJob]
    attempts: list[Attempt]
    events: list[Event]
    audit: list[AuditEntry]
    keys: dict[str, IdempotencyKey]
    told: list[dict[str, Any]]
    faults: list[Injected] = field(default_factory=list)
    exact_pictures: bool = True
    # When workers could not run, though no fault of ours stopped them: which, from when, to when.
    starved: list[tuple[str, float, float]] = field(default_factory=list)

    @classmethod
    def gather(cls, runtime: Runtime, told: list[dict[str, Any]], faults: list[Injected]) -> Evidence:
        """Read it all, in one transaction."""
        with runtime.db.read() as session:
            loads = (selectinload(RenderJob.renditions), selectinload(RenderJob.attempts))
            jobs = list(session.scalars(select(RenderJob).options(*loads).order_by(RenderJob.id)))
            return cls(
                runtime,
                jobs,
                list(session.scalars(select(Attempt).order_by(Attempt.id))),
                list(session.scalars(select(Event).order_by(Event.id))),
                list(session.scalars(select(AuditEntry).order_by(AuditEntry.id))),
                {one.key: one for one in session.scalars(select(IdempotencyKey))},
                told,
                faults,
            )


@dataclass(frozen=True, slots=True)
class Checked:
    """One invariant: how many things it was held against, and what is wrong."""

    name: str
    count: int
    violations: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return {"invariant": self.name, "checked": self.count, "violations": list(self.violations)}


Finding = str | None
Check = Callable[[Evidence], Iterator[Finding]]
CHECKS: dict[str, Check] = {}


def invariant(name: str) -> Callable[[Check], Check]:
    """Put a check into the list, under its name. It yields once for each thing: None, or what is wrong."""

    def register(check: Check) -> Check:
        CHECKS[name] = check
        return check

    return register


def check_all(evidence: Evidence) -> list[Checked]:
    """Every invariant held against the evidence."""
    checked = []
    for name, check in CHECKS.items():
        found = list(check(evidence))
        checked.append(Checked(name, len(found), tuple(one for one in found if one is not None)))
    return checked


# -- jobs -------------------------------------------------------------------------------------------------
@invariant("every job has ended")
def _ended(evidence: Evidence) -> Iterator[Finding]:
    for job in evidence.jobs:
        yield None if job.state in FINAL_STATES else f"job {job.id} is {job.state} still"


@invariant("a job fails only with its workers taken away, and says so")
def _causes(evidence: Evidence) -> Iterator[Finding]:
    for job in evidence.jobs:
        if job.state == JobState.FAILED:
            lost = sum(one.outcome == AttemptOutcome.LOST for one in job.attempts)
            yield (
                None
                if lost > 1 and job.error_code in CAUSES
                else f"job {job.id} failed: {job.error_code}: {job.error_message}"
            )


@invariant("only what somebody cancelled is cancelled")
def _cancelled(evidence: Evidence) -> Iterator[Finding]:
    asked = {entry.subject for entry in evidence.audit if entry.action == "job.cancelled"}
    for job in evidence.jobs:
        if job.state == JobState.CANCELLED:
            yield None if f"job {job.id}" in asked else f"job {job.id} is cancelled, and nobody asked for it"


@invariant("no lease is left")
def _leases(evidence: Evidence) -> Iterator[Finding]:
    for job in evidence.jobs:
        free = job.lease_token is None and job.lease_until is None
        yield None if free else f"job {job.id} is leased still"


# -- pictures ---------------------------------------------------------------------------------------------
@invariant("a job that succeeded has each of its pictures once, any other none")
def _renditions(evidence: Evidence) -> Iterator[Finding]:
    for job in evidence.jobs:
        wanted = list(range(job.images)) if job.state == JobState.SUCCEEDED else []
        there = sorted(one.index for one in job.renditions)
        yield None if there == wanted else f"job {job.id} ({job.state}) has pictures {there}, not {wanted}"


@invariant("every picture and thumbnail is there, whole")
def _blobs(evidence: Evidence) -> Iterator[Finding]:
    for job in evidence.jobs:
        for one in job.renditions:
            for what, digest in (("picture", one.blob_digest), ("thumbnail", one.thumbnail_digest)):
                yield _readable(evidence, digest, f"{what} {one.index} of job {job.id}")


def _readable(evidence: Evidence, digest: str, what: str) -> Finding:
    try:
        with Image.open(io.BytesIO(evidence.runtime.blobs.get(digest))) as image:
            image.load()
    except (MfgvizError, OSError) as error:
        return f"{what}: {error}"
    return None


@invariant("every picture is the one that was asked for")
def _exact(evidence: Evidence) -> Iterator[Finding]:
    if not evidence.exact_pictures:
        return
    for job in evidence.jobs:
        for one in job.renditions:
            try:
                content = evidence.runtime.blobs.get(one.blob_digest)
            except MfgvizError:
                continue  # told above
            with Image.open(io.BytesIO(content)) as image:
                pixels = np.asarray(image.convert("RGB"))
            wanted = family.picture(job.request["prompt"], one.seed, (one.width, one.height), None)
            # Red is the part's depth; green and blue are the seed's and the prompt's alone.
            same = pixels.shape == wanted.shape and bool((pixels[..., 1:] == wanted[..., 1:]).all())
            yield None if same else f"picture {one.index} of job {job.id} is another one"


# -- attempts ---------------------------------------------------------------------------------------------
@invariant("every attempt has ended")
def _attempts_ended(evidence: Evidence) -> Iterator[Finding]:
    for attempt in evidence.attempts:
        ended = attempt.outcome != AttemptOutcome.RUNNING and attempt.finished_at is not None
        yield None if ended else f"attempt {attempt.number} of job {attempt.job_id} runs still"


@invariant("jobs and their attempts agree")
def _agree(evidence: Evidence) -> Iterator[Finding]:
    for job in evidence.jobs:
        outcomes = [attempt.outcome for attempt in job.attempts]
        succeeded = outcomes.count(AttemptOutcome.SUCCEEDED)
        if succeeded != (job.state == JobState.SUCCEEDED):
            yield f"job {job.id} is {job.state}, with {succeeded} attempts that succeeded"
        elif succeeded and outcomes[-1] != AttemptOutcome.SUCCEEDED:
            yield f"job {job.id} was tried again after it had succeeded: {outcomes}"
        elif [attempt.number for attempt in job.attempts] != list(range(1, len(outcomes) + 1)):
            yield f"attempts of job {job.id} are missing: {[attempt.number for attempt in job.attempts]}"
        elif not _counted(outcomes) <= job.attempts_made <= _counted(outcomes, AttemptOutcome.LOST):
            yield f"job {job.id} counts {job.attempts_made} attempts, but has {outcomes}"
        else:
            yield None


def _counted(outcomes: list[str], *others: AttemptOutcome) -> int:
    """Attempts that count: not those handed back; those that were lost may."""
    counted = (AttemptOutcome.SUCCEEDED, AttemptOutcome.FAILED, AttemptOutcome.CANCELLED, *others)
    return sum(outcome in counted for outcome in outcomes)


@invariant("no job was held by two workers at once")
def _one_at_a_time(evidence: Evidence) -> Iterator[Finding]:
    for job in evidence.jobs:
        for before, after in zip(job.attempts, job.attempts[1:], strict=False):
            late = _seconds(before.finished_at) > _seconds(after.started_at) + BEGUN_S
            told = f"attempts {before.number} and {after.number} of job {job.id} overlap"
            yield told if late or before.finished_at is None else None


@invariant("every attempt that was lost was lost to a fault, one batch to a fault of one worker")
def _lost(evidence: Evidence) -> Iterator[Finding]:
    """A batch is what one claim took. A kill or a pause can cost the one batch that its worker held then."""
    batches: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in evidence.attempts:
        if attempt.outcome == AttemptOutcome.LOST:
            batches[attempt.lease_token].append(attempt)
    charged: Counter[int] = Counter()
    for token, lost in sorted(batches.items()):
        fault = _culprit(evidence, lost, charged)
        if fault is None and _was_starved(evidence, lost):
            yield None
            continue
        if fault is None:
            ids = [attempt.job_id for attempt in lost]
            yield f"batch {token[:8]} of {lost[0].worker} with jobs {ids} was lost at {lost[0].started_at}"
            continue
        charged[id(fault)] += 1
        yield None


def _culprit(evidence: Evidence, lost: list[Attempt], charged: Counter[int]) -> Injected | None:
    began, ended = _seconds(lost[0].started_at), max(_seconds(one.finished_at) for one in lost)
    near = [one for one in evidence.faults if one.began <= ended and one.ended + AFTERMATH_S >= began]
    own = [one for one in near if one.kind in ("kill", "pause") and one.worker == lost[0].worker]
    own = [one for one in own if not charged[id(one)] and began <= one.ended]
    shared = [one for one in near if one.kind in OF_ALL]
    return next(iter(own or shared), None)


def _was_starved(evidence: Evidence, lost: list[Attempt]) -> bool:
    began, ended = _seconds(lost[0].started_at), max(_seconds(one.finished_at) for one in lost)
    return any(
        worker == lost[0].worker and since <= ended and until >= began
        for worker, since, until in evidence.starved
    )


def _seconds(moment: datetime | None) -> float:
    return 0.0 if moment is None else moment.timestamp()


@invariant("an attempt failed, or was handed back, only while what it needs was away")
def _failed_attempts(evidence: Evidence) -> Iterator[Finding]:
    needs = {"storage-unavailable": {"disk-full"}, "database-unavailable": OF_ALL}
    for attempt in evidence.attempts:
        if attempt.outcome not in (AttemptOutcome.FAILED, AttemptOutcome.HANDED_BACK):
            continue
        if attempt.error_code == "shutdown":
            yield None
            continue
        began, ended = _seconds(attempt.started_at), _seconds(attempt.finished_at)
        kinds = needs.get(attempt.error_code or "", frozenset())
        known = any(
            fault.kind in kinds and fault.began <= ended and fault.ended + AFTERMATH_S >= began
            for fault in evidence.faults
        )
        yield (
            None
            if known
            else (
                f"attempt {attempt.number} of job {attempt.job_id} is {attempt.outcome}: "
                f"{attempt.error_code}: {attempt.error_message}"
            )
        )


# -- what was told ----------------------------------------------------------------------------------------
@invariant("a job's end is told once")
def _events(evidence: Evidence) -> Iterator[Finding]:
    told: dict[EventKind, Counter[int]] = defaultdict(Counter)
    for event in evidence.events:
        if "job" in event.payload:
            told[EventKind(event.kind)][event.payload["job"]] += 1
    retried = Counter(entry.subject for entry in evidence.audit if entry.action == "job.retried")
    for job in evidence.jobs:
        attached, failed = told[EventKind.RENDER_ATTACHED][job.id], told[EventKind.JOB_FAILED][job.id]
        most = retried[f"job {job.id}"] + (job.state == JobState.FAILED)
        if attached != (job.state == JobState.SUCCEEDED):
            yield f"job {job.id} is {job.state}, and render.attached was told {attached} times"
        elif not (job.state == JobState.FAILED) <= failed <= most:
            yield f"job {job.id} is {job.state}, and job.failed was told {failed} times"
        else:
            yield None


@invariant("what was acknowledged is there")
def _acknowledged(evidence: Evidence) -> Iterator[Finding]:
    there = {job.id for job in evidence.jobs}
    for told in evidence.told:
        if told["what"] in ("answered", "asked-again"):
            missing = [job for job, _ in told["jobs"] if job not in there]
            yield f"{told['key']} was answered with {missing}, which are not there" if missing else None


@invariant("the same Idempotency-Key is the same answer")
def _keys(evidence: Evidence) -> Iterator[Finding]:
    for told in evidence.told:
        if told["what"] in ("answered", "asked-again") and told["door"] != "cli":
            kept = evidence.keys.get(told["key"])
            answer = [] if kept is None else [[one["job"], one["how"]] for one in kept.answer["items"]]
            same = answer == [list(one) for one in told["jobs"]]
            yield None if same else f"{told['key']} was answered with {told['jobs']}, and is kept as {answer}"


@invariant("no picture is asked for twice")
def _doubled(evidence: Evidence) -> Iterator[Finding]:
    given_up = (JobState.CANCELLED, JobState.FAILED)
    alive = Counter(
        (job.revision_id, job.fingerprint, job.fidelity_retries)
        for job in evidence.jobs
        if job.state not in given_up and not job.forced
    )
    for key, count in alive.items():
        yield None if count == 1 else f"{count} jobs for the picture {key[1][:12]}"
