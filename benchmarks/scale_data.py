"""A plant's database of a set size: 1,000,000 parts, 3,000,000 revisions, 10,000,000 renders, 1,000,000 jobs
of which 100,000 wait, or a share of these.

Rows are made from a seed in order, a chunk at a time, and sent through COPY into tables without indexes and
foreign keys; these are made again afterwards from what the migrations made, so that every constraint is
proven on every row. Each step notes that it is done: a load that was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import itertools
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import text

from benchmarks.queue import CAPABILITIES
from mfgviz import rules
from mfgviz.database import Database
from mfgviz.models import add_model
from mfgviz.models_folder import ModelSpec
from mfgviz.requests import ModelChoice, RenderRequest, SamplingSettings, View
from mfgviz.vocabulary import STANDARD_VIEWS

log = logging.getLogger(__name__)

SEED = 20_251
PARTS, JOBS, QUEUED, RENDERS = 1_000_000, 1_000_000, 100_000, 10_000_000
EVENTS, RULES, REQUESTERS = 1_000_000, 300, 200
LEVELS, GROWTH, FIRST_TURN = 12, 2.0, 1_000_000
CHUNK = 20_000
DAYS = 400
NONE = "\\N"
MODEL = ModelChoice("studio", "b" * 64, "studio")

# Family: how its numbers begin, the noun in its names, how many parts of a thousand it has.
FAMILIES = (
    ("BRK", "bracket", 180), ("HSG", "housing", 140), ("SHF", "shaft", 120), ("FLG", "flange", 100),
    ("PLT", "plate", 100), ("GEA", "gear", 80), ("HSK", "heat sink", 70), ("VLV", "valve body", 60),
    ("CVR", "cover", 50), ("ASM", "assembly", 40), ("BSH", "bushing", 30), ("MNT", "mount", 20),
    ("IMP", "impeller", 8), ("JIG", "drill jig", 2),
)  # fmt: skip
SIDES = ("left", "right", "upper", "lower", "front", "rear", "inner", "outer")
MATERIALS = ("steel", "aluminium", "brass", "cast iron", "PA6", "POM", "titanium", "copper")
FINISHES = ("raw", "anodised", "powder coat", "zinc plated", "polished")
PROMPTS = (
    "brushed aluminium, studio light",
    "red powder coat, white background",
    "polished brass",
    "matte steel, soft shadows",
)
STATES = ("released", "in_work", "in_review", "obsolete")
REVIEWS = ("proposed", "approved", "rejected", "superseded")
JOB_STATES = ("succeeded", "failed", "cancelled", "queued")
EVENT_KINDS = ("revision.created", "geometry.attached", "revision.released", "render.attached",
               "render.approved", "job.failed")  # fmt: skip

Ints = NDArray[np.int64]
Lines = Iterator[str]


@dataclass(frozen=True)
class Plan:
    """What a load of that size holds. Arrays are over all rows of a table, by id - 1."""

    scale: float = 1.0
    seed: int = SEED

    def _many(self, full: int) -> int:
        return max(20, round(full * self.scale))

    def _rng(self, *what: str | int) -> np.random.Generator:
        digest = hashlib.sha256(repr((self.seed, *what)).encode()).digest()
        return np.random.default_rng(int.from_bytes(digest[:8], "big"))

    def pick(self, what: str, count: int, shares: tuple[float, ...]) -> Ints:
        """`count` places in `shares`, each as often as its share says."""
        return self._rng(what).choice(len(shares), count, p=np.array(shares) / sum(shares))

    @property
    def parts(self) -> int:
        return self._many(PARTS)

    @property
    def jobs(self) -> int:
        return self._many(JOBS)

    @property
    def queued(self) -> int:
        return self._many(QUEUED)

    @property
    def renders(self) -> int:
        return self._many(RENDERS)

    @property
    def events(self) -> int:
        return self._many(EVENTS)

    # -- parts and revisions
    @cached_property
    def family(self) -> Ints:
        return self.pick("family", self.parts, tuple(float(one[2]) for one in FAMILIES))

    @cached_property
    def first_revision(self) -> Ints:
        """The place of each part's first revision; one more at the end. A part has 1 to 5, 3 in the mean."""
        counts = 1 + np.arange(self.parts) * 3 % 5
        return np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)

    @property
    def revisions(self) -> int:
        return int(self.first_revision[-1])

    @cached_property
    def revision_state(self) -> Ints:
        """The newest is released, in work or in review; older ones are obsolete or still released."""
        states = np.where(self.pick("old", self.revisions, (0.6, 0.4)) == 0, 3, 0)
        states[self.first_revision[1:] - 1] = self.pick("new", self.parts, (0.7, 0.2, 0.1))
        return states

    @cached_property
    def current(self) -> Ints:
        """The place of each part's current revision, as `bom.current_revisions` says it."""
        rank = np.array([2, 1, 1, 0])[self.revision_state] * self.revisions + np.arange(self.revisions)
        return np.maximum.reduceat(rank, self.first_revision[:-1]) % self.revisions

    @property
    def geometries(self) -> int:
        return (self.revisions + 1) // 2

    def geometry_of(self, revision: int) -> int | None:
        """The id of the CAD file of a revision, by its place; neighbours share one, one in ten has none."""
        return None if revision % 10 == 3 else revision // 2 + 1

    # -- jobs
    @cached_property
    def job_state(self) -> Ints:
        states = self.pick("jobs", self.jobs, (0.94, 0.04, 0.02))
        states[self.jobs - self.queued :] = 3
        return states

    @cached_property
    def job_revision(self) -> Ints:
        """Most jobs are of current revisions, and of few parts; all of those that have a CAD file."""
        rng = self._rng("job revision")
        part = (self.parts * rng.random(self.jobs) ** 2).astype(np.int64)
        revision = self.current[part]
        return np.where(revision % 10 == 3, (revision + 1) % self.revisions, revision)

    @cached_property
    def job_requester(self) -> Ints:
        """Requesters by Zipf's law: the first asks for a sixth of all."""
        return self.pick("who", self.jobs, tuple(1 / n for n in range(1, REQUESTERS + 1)))

    @cached_property
    def job_priority(self) -> Ints:
        return np.array([0, 10, 20])[self.pick("priority", self.jobs, (0.25, 0.7, 0.05))]

    @cached_property
    def images(self) -> Ints:
        """Images of each job; those that succeeded have as many as renders are wanted, 1 to 63 each."""
        done = np.flatnonzero(self.job_state == 0)
        each, more = divmod(self.renders, len(done))
        each = min(each, 62)
        counts = np.full(len(done), each) + (np.arange(len(done)) < more)
        spread = np.arange(len(done) // 2) % max(1, min(each, 63 - each))
        counts[0 : 2 * len(spread) : 2] += spread
        counts[1 : 2 * len(spread) : 2] -= spread
        images = np.ones(self.jobs, np.int64)
        images[done] = np.clip(counts, 1, 64)
        return images

    @cached_property
    def turns(self) -> Ints:
        """The turns of the jobs that wait, one after the other within requester and priority; 0 of others."""
        waits = np.arange(self.jobs - self.queued, self.jobs)
        key = self.job_requester[waits] * 100 + self.job_priority[waits]
        order = np.argsort(key, kind="stable")
        firsts = np.flatnonzero(np.r_[True, np.diff(key[order]) != 0])
        starts = np.repeat(firsts, np.diff(np.r_[firsts, len(order)]))
        turns = np.zeros(self.jobs, np.int64)
        turns[waits[order]] = FIRST_TURN + np.arange(len(order)) - starts
        return turns

    @cached_property
    def leads(self) -> NDArray[np.bool_]:
        """Whether a job is the first of its revision that succeeded: its first render stands for that."""
        done = np.flatnonzero(self.job_state == 0)
        leads = np.zeros(self.jobs, np.bool_)
        leads[done[np.unique(self.job_revision[done], return_index=True)[1]]] = True
        return leads

    @cached_property
    def levels(self) -> Ints:
        """Where each level of the bill of material begins, by parts; each is twice as wide as the last."""
        widths = GROWTH ** np.arange(LEVELS + 1)
        ends = np.cumsum(widths) / widths.sum() * self.parts
        return np.concatenate([[0], np.maximum(np.round(ends), np.arange(1, LEVELS + 2))]).astype(np.int64)


# -- rows of each table, as lines of COPY -----------------------------------------------------------------
def _moments(at: int, end: int, total: int) -> NDArray[np.str_]:
    """When the rows were made: evenly over the last days, the newest last."""
    now = np.datetime64(int(time.time()) - 3600, "s")
    ago = (DAYS * 86_400 * (1 - (np.arange(at, end) + 1) / total)).astype("timedelta64[s]")
    return np.char.add(np.datetime_as_string(now - ago), "+00")


def _digests(plan: Plan, what: str, at: int, count: int) -> list[str]:
    """So many hex SHA-256 that are none: random, and the same for the same seed."""
    whole = plan._rng(what, at).bytes(32 * count).hex()
    return [whole[n : n + 64] for n in range(0, 64 * count, 64)]


def geometry_digest(geometry: int) -> str:
    """The digest of a CAD file by its id."""
    return hashlib.sha256(b"geometry %d" % geometry).hexdigest()


def part_number(plan: Plan, part: int) -> str:
    """A part's number by its place."""
    return f"{FAMILIES[plan.family[part]][0]}-{part + 1:07d}"


def part_name(plan: Plan, part: int) -> str:
    """What a part is called, by its place: `Bracket left, 40 x 25, steel`."""
    noun = FAMILIES[plan.family[part]][1].capitalize()
    mixed = part * 2_654_435_761 % 2**32
    size = f"{20 + mixed % 480} x {5 + mixed // 480 % 95}"
    return f"{noun} {SIDES[mixed // 7 % 8]}, {size}, {MATERIALS[mixed // 56 % 8]}"


def part_attributes(plan: Plan, part: int) -> dict[str, Any]:
    """A part's attributes by its place."""
    mixed = part * 2_654_435_761 % 2**32
    return {
        "category": FAMILIES[plan.family[part]][1],
        "material": MATERIALS[mixed // 56 % 8],
        "finish": FINISHES[mixed // 448 % 5],
        "width_mm": 20 + mixed % 480,
        "product_line": f"line {mixed % 997:03d}",
    }


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _parts(plan: Plan, at: int, end: int) -> Lines:
    made = _moments(at, end, plan.parts)
    for part in range(at, end):
        attributes = _json(part_attributes(plan, part))
        yield (
            f"{part + 1}\t{part_number(plan, part)}\t{part_name(plan, part)}\t{attributes}\t{made[part - at]}"
            f"\tplm\n"
        )


def _geometries(plan: Plan, at: int, end: int) -> Lines:
    made = _moments(at, end, plan.geometries)
    shapes = _digests(plan, "shape", at, end - at)
    for n in range(at, end):
        bare = f"{n + 1}\t{geometry_digest(n + 1)}\t{10_000 + n * 7919 % 900_000}\tpart-{n + 1}.step"
        if n % 1000 == 999:
            yield f"{bare}\tstored\t\\N\t\\N\t{{}}\t\\N\t\\N\t{made[n - at]}\n"
        elif n % 100 == 98:
            cause = "geometry-unreadable\tThe file ends too early."
            yield f"{bare}\tunusable\t\\N\t\\N\t{{}}\t{cause}\t{made[n - at]}\n"
        else:
            facts = '{"solids": 1, "size_mm": [40, 25, 12], "colours": ["#8090a0"]}'
            yield f"{bare}\tread\tstep\t{shapes[n - at]}\t{facts}\t\\N\t\\N\t{made[n - at]}\n"


def _revisions(plan: Plan, at: int, end: int) -> Lines:
    """By parts: those of the parts `at` to `end`."""
    made = _moments(at, end, plan.parts)
    for part in range(at, end):
        first, after = int(plan.first_revision[part]), int(plan.first_revision[part + 1])
        for place in range(first, after):
            geometry = plan.geometry_of(place)
            state = STATES[plan.revision_state[place]]
            yield (
                f"{place + 1}\t{part + 1}\t{chr(65 + place - first)}\t{state}\t\\N\t1\t"
                f'{geometry or NONE}\t{{"mass_g": {100 + place % 900}}}\t{made[part - at]}\tplm\n'
            )


def job_request(plan: Plan, job: int) -> RenderRequest:
    """What a job asks for, by its place."""
    mixed = job * 2_654_435_761 % 2**32
    geometry = plan.geometry_of(int(plan.job_revision[job]))
    assert geometry is not None
    sampling = SamplingSettings(
        ("ddim", "euler_a", "dpmpp_2m")[mixed % 3], (8, 20, 30)[mixed // 3 % 3], 2.0,
        seed=job, count=int(plan.images[job]),
    )  # fmt: skip
    view = View(STANDARD_VIEWS[mixed // 9 % len(STANDARD_VIEWS)])
    prompt = f"{PROMPTS[mixed // 63 % 4]}, {MATERIALS[mixed // 252 % 8]}"
    return RenderRequest(geometry_digest(geometry), prompt, MODEL, sampling, view=view)


def requester(plan: Plan, job: int) -> str:
    """Who asked for a job, by its place."""
    return f"r{plan.job_requester[job]:03d}"


def _jobs(plan: Plan, at: int, end: int) -> Lines:
    made = _moments(at, end, plan.jobs)
    keys: dict[tuple[str, int], str] = {}
    for job in range(at, end):
        request = job_request(plan, job)
        alike = (request.sampling.sampler, request.sampling.num_inference_steps)
        key = keys.get(alike) or keys.setdefault(alike, request.batch_key())
        state, steps, when = JOB_STATES[plan.job_state[job]], alike[1], made[job - at]
        over = state != "queued"
        error = "out-of-memory\tThe GPU ran out of memory." if state == "failed" else "\\N\t\\N"
        ran = state in ("succeeded", "failed")
        yield (
            f"{job + 1}\t{plan.job_revision[job] + 1}\t{requester(plan, job)}\t{_json(request)}\t"
            f"{request.fingerprint()}\t{key}\tstudio\t{plan.images[job]}\tf\tmark\t0\t{plan.job_priority[job]}\t"
            f"{plan.turns[job]}\t{state}\t{when}\t{when}\t{'t' if state == 'cancelled' else 'f'}\t"
            f"{_tries(job) if ran else 0}\t3\tf\t{steps if state == 'succeeded' else 0}\t{steps}\t{error}\t"
            f"[]\t{when}\t{when if ran else NONE}\t{when if over else NONE}\n"
        )


def _tries(job: int) -> int:
    return 2 if job % 20 == 7 else 1


def _attempts(plan: Plan, at: int, end: int) -> Lines:
    made = _moments(at, end, plan.jobs)
    for job in range(at, end):
        state, when = JOB_STATES[plan.job_state[job]], made[job - at]
        if state not in ("succeeded", "failed"):
            continue
        tries = _tries(job)
        for number in range(1, tries + 1):
            lost = number < tries
            outcome = "lost" if lost else state
            error = {"succeeded": "\\N\t\\N", "failed": "out-of-memory\tThe GPU ran out of memory.",
                     "lost": "worker-lost\tThe worker stopped answering."}[outcome]  # fmt: skip
            yield (
                f"{job * 2 + number}\t{job + 1}\t{number}\tgpu-{job % 40:02d}\t{job * 2 + number:032x}\t"
                f"{outcome}\t{error}\t{when}\t{when}\n"
            )


def _renditions(plan: Plan, at: int, end: int) -> Lines:
    """By jobs: those of the jobs `at` to `end`."""
    made = _moments(at, end, plan.jobs)
    before = int(plan.images[:at][plan.job_state[:at] == 0].sum(dtype=np.int64))
    done = [job for job in range(at, end) if plan.job_state[job] == 0]
    count = sum(int(plan.images[job]) for job in done)
    whole = plan._rng("pixels", at).bytes(96 * count).hex()
    numbers = itertools.count(before)
    for job in done:
        revision, images, when = int(plan.job_revision[job]) + 1, int(plan.images[job]), made[job - at]
        leads = plan.leads[job]
        for index in range(images):
            number = next(numbers)
            n = 192 * (number - before)
            mixed = (number * 2_654_435_761 + 97) % 1000
            review = (
                1 if leads and index == 0 else 0 if mixed < 700 else 1 if mixed < 900 else 2 + (mixed > 960)
            )
            reviewed = "\\N\t\\N" if review in (0, 3) else f"r{mixed % 50:03d}\t{when}"
            sure = 0.5 + mixed / 2100
            yield (
                f"{number + 1}\t{revision}\t{job + 1}\t{index}\t{job + index}\t512\t512\t"
                f"{whole[n : n + 64]}\t{whole[n + 64 : n + 128]}\t"
                f"{whole[n + 128 : n + 192]}\t{REVIEWS[review]}\t{reviewed}\t"
                f"{'t' if leads and index == 0 else 'f'}\t{sure:.4f}\t{'passed' if sure > 0.6 else 'marked'}"
                f'\t{{"edges": {sure:.3f}}}\t1\t{{"mfgviz": "1.0", "torch": "2.8.0", "diffusers": "0.35"}}\t'
                f"{when if mixed == 500 else NONE}\t"
                f"{'BRK-0000001@B was released' if mixed == 500 else NONE}\t{when}\n"
            )


def _bom_lines(plan: Plan, at: int, end: int) -> Lines:
    """By children: each part below the top is in one assembly of the level above, every second in two."""
    levels = plan.levels
    draws = plan._rng("bom", at).random((end - at, 2))
    when = _moments(at, end, plan.parts)
    for part in range(max(at, int(levels[1])), end):
        level = int(np.searchsorted(levels, part, "right")) - 1
        low, high = int(levels[level - 1]), int(levels[level])
        parents = {low + int((high - low) * draw) for draw in draws[part - at][: 1 + part % 2]}
        for number, parent in enumerate(sorted(parents)):
            pinned = int(plan.current[part]) + 1 if part % 10 == 0 else "\\N"
            yield (
                f"{part * 2 + number + 1}\t{plan.current[parent] + 1}\t{part + 1}\t{pinned}\t{1 + part % 8}\t"
                f"{part % 90 + 10}\t{when[part - at]}\tplm\n"
            )


def _events(plan: Plan, at: int, end: int) -> Lines:
    """One in five hundred waits; these are of released revisions whose CAD file was read."""
    made = _moments(at, end, plan.events)
    for event in range(at, end):
        part = event * 7919 % plan.parts
        waits = event % 500 == 499
        kind = EVENT_KINDS[2] if waits else EVENT_KINDS[event % 5 if event % 100 else 5]
        revision = int(plan.current[part])
        told = _json({"revision": f"{part_number(plan, part)}@A"})
        delivered = "\\N" if waits else made[event - at]
        yield (
            f"{event + 1}\t{kind}\t{revision + 1}\tr{event % REQUESTERS:03d}\t{told}\t{made[event - at]}\t"
            f"\\N\t0\t0\t{delivered}\n"
        )


def _audit(plan: Plan, at: int, end: int) -> Lines:
    made = _moments(at, end, plan.events)
    actions = (
        "revision.added",
        "geometry.attached",
        "revision.state_set",
        "render.approved",
        "job.cancelled",
    )
    for n in range(at, end):
        about = f"r{n % REQUESTERS:03d}\t{actions[n % 5]}\t{part_number(plan, n * 7919 % plan.parts)}@A"
        yield f'{n + 1}\t{about}\t{{"door": "cli"}}\t{made[n - at]}\n'


def _rule_runs(plan: Plan, at: int, end: int) -> Lines:
    """One in ten events had a rule that applied."""
    made = _moments(at, end, plan.events)
    for event in range(at, end):
        if event % 10 == 2:
            told = "1 rendered already."
            yield f"{event + 1}\t{event % RULES + 1}\t{event + 1}\treused\t\\N\t{told}\t{made[event - at]}\n"


def _rule_run_jobs(plan: Plan, at: int, end: int) -> Lines:
    for event in range(at, end):
        if event % 10 == 2:
            yield f"{event + 1}\t{event % plan.jobs + 1}\treused\n"


def _requesters(_plan: Plan, _at: int, _end: int) -> Lines:
    for number in range(REQUESTERS):
        yield f"r{number:03d}\t2025-01-01 00:00:00+00\n"


def _next_turns(plan: Plan, _at: int, _end: int) -> Lines:
    waits = slice(plan.jobs - plan.queued, None)
    ends: dict[tuple[int, int], int] = {}
    rows = zip(plan.job_requester[waits], plan.job_priority[waits], plan.turns[waits], strict=True)
    for who, priority, turn in rows:
        key = (int(who), int(priority))
        ends[key] = max(ends.get(key, 0), int(turn) + 1)
    for (who, priority), turn in sorted(ends.items()):
        yield f"r{who:03d}\t{priority}\t{turn}\n"


@dataclass(frozen=True, slots=True)
class Table:
    """A table, its columns in the order of the lines, what makes these, and over what they are counted."""

    name: str
    columns: str
    lines: Callable[[Plan, int, int], Lines]
    over: Callable[[Plan], int]


TABLES = (
    Table("requesters", "name, created_at", _requesters, lambda _: 1),
    Table("parts", "id, number, name, attributes, created_at, created_by", _parts, lambda plan: plan.parts),
    Table(
        "geometries",
        "id, digest, size_bytes, file_name, state, format, shape_digest, facts, error_code, error_message, "
        "created_at",
        _geometries,
        lambda plan: plan.geometries,
    ),
    Table(
        "part_revisions",
        "id, part_id, label, state, source_state, iteration, geometry_id, attributes, created_at, created_by",
        _revisions,
        lambda plan: plan.parts,
    ),
    Table(
        "render_jobs",
        "id, revision_id, requester, request, fingerprint, batch_key, model_name, images, forced, "
        "fidelity_policy, fidelity_retries, priority, turn, state, available_at, rung_at, cancel_requested, "
        "attempts_made, max_attempts, held, step, total_steps, error_code, error_message, notes, created_at, "
        "started_at, finished_at",
        _jobs,
        lambda plan: plan.jobs,
    ),
    Table("next_turns", "requester, priority, turn", _next_turns, lambda _: 1),
    Table(
        "attempts",
        "id, job_id, number, worker, lease_token, outcome, error_code, error_message, started_at, "
        "finished_at",
        _attempts,
        lambda plan: plan.jobs,
    ),
    Table(
        "renditions",
        "id, revision_id, job_id, index, seed, width, height, blob_digest, thumbnail_digest, pixel_digest, "
        "review_state, reviewed_by, reviewed_at, is_primary, fidelity, fidelity_verdict, fidelity_details, "
        "control_scale, software, stale_at, stale_reason, created_at",
        _renditions,
        lambda plan: plan.jobs,
    ),
    Table(
        "bom_lines",
        "id, parent_id, child_part_id, child_id, quantity, position, created_at, created_by",
        _bom_lines,
        lambda plan: plan.parts,
    ),
    Table(
        "events",
        "id, kind, revision_id, actor, payload, created_at, available_at, tries, failures, delivered_at",
        _events,
        lambda plan: plan.events,
    ),
    Table(
        "audit_entries", "id, actor, action, subject, details, created_at", _audit, lambda plan: plan.events
    ),
    Table(
        "rule_runs",
        "id, rule_id, event_id, outcome, error_code, message, created_at",
        _rule_runs,
        lambda plan: plan.events,
    ),
    Table("rule_run_jobs", "run_id, job_id, how", _rule_run_jobs, lambda plan: plan.events),
)


# -- loading ------------------------------------------------------------------------------------------------
# What the migrations made over the tables, and that is taken away for the load.
_DEFINITIONS = """
SELECT format('ALTER TABLE %s DROP CONSTRAINT %I', conrelid::regclass, conname),
       format('ALTER TABLE %s ADD CONSTRAINT %I %s', conrelid::regclass, conname, pg_get_constraintdef(oid)),
       position(contype::text IN 'fup')
FROM pg_constraint WHERE connamespace = 'public'::regnamespace
  AND (contype = 'f' OR contype IN ('u', 'p') AND conrelid::regclass::text = ANY(:tables))
UNION ALL
SELECT format('DROP INDEX %s', indexrelid::regclass), pg_get_indexdef(indexrelid), 2
FROM pg_index WHERE indrelid::regclass::text = ANY(:tables)
AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = indexrelid)
ORDER BY 3, 1
"""


def load(db: Database, plan: Plan) -> None:
    """Fill a migrated, empty database of PostgreSQL, or go on with that; nothing where it is done.

    The session's role must be a superuser's: it takes locks on every table, and settings for the load.
    """
    with db.begin() as session:
        # In a schema of its own, where nobody compares tables with the records' classes.
        session.execute(text("CREATE SCHEMA IF NOT EXISTS bench"))
        session.execute(text("CREATE TABLE IF NOT EXISTS bench.steps (name text PRIMARY KEY, sql text)"))
    _step(db, "first rows", lambda: _first_rows(db))
    _strip(db)
    for table in TABLES:
        _step(db, table.name, lambda table=table: _copy(db, plan, table))  # type: ignore[misc]
    for name, sql in _left(db):
        _step(db, name, lambda sql=sql: _run(db, sql), forget=True)  # type: ignore[misc]
    _step(db, "counters", lambda: _set_counters(db))
    _step(db, "marks", lambda: _set_marks(db, plan))
    if not _is_done(db, "analyzed"):
        vacuum(db)
        _step(db, "analyzed", lambda: None)


def is_begun(db: Database) -> bool:
    """Whether a load has been begun."""
    with db.read() as session:
        return bool(session.scalar(text("SELECT to_regclass('bench.steps') IS NOT NULL")))


def is_loaded(db: Database) -> bool:
    """Whether a load has come to its end."""
    return is_begun(db) and _is_done(db, "analyzed")


def vacuum(db: Database) -> None:
    """VACUUM ANALYZE of everything."""
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def _is_done(db: Database, name: str) -> bool:
    with db.read() as session:
        done = text("SELECT EXISTS (SELECT FROM bench.steps WHERE name = :name AND sql IS NULL)")
        return bool(session.scalar(done, {"name": name}))


def _step(db: Database, name: str, action: Callable[[], None], *, forget: bool = False) -> None:
    """Do what was not done yet, and note it. What is done twice after a crash gives the same."""
    if _is_done(db, name):
        return
    started = time.perf_counter()
    action()
    with db.begin() as session:
        if forget:
            session.execute(text("DELETE FROM bench.steps WHERE name = :name"), {"name": name})
        else:
            session.execute(text("INSERT INTO bench.steps (name) VALUES (:name)"), {"name": name})
    log.info("%7.1f s  %s", time.perf_counter() - started, name[:110])


def _first_rows(db: Database) -> None:
    with db.begin() as session:
        session.execute(text("TRUNCATE rules, models CASCADE"))
        session.execute(text("ALTER SEQUENCE rules_id_seq RESTART"))
        add_model(session, ModelSpec("studio", "studio", "bundled:studio", weights_digest="b" * 64),
                  CAPABILITIES, "bench")  # fmt: skip
        for number in range(RULES):
            noun = FAMILIES[number % len(FAMILIES)][1]
            condition = (
                f"part.attributes.product_line == 'line {number:03d}' and contains(part.name, 'steel')"
            )
            if number % 10 == 0:
                condition = (
                    f"part.attributes.category == '{noun}' and part.attributes.width_mm > {498 - number}"
                )
            new = rules.NewRule(f"rule {number:03d}", "revision.released", {"template": "hero"}, condition)
            rules.add_rule(session, new, "bench")


def _strip(db: Database) -> None:
    """Take indexes and foreign keys away, and note how to make them again, in one transaction."""
    if _is_done(db, "stripped"):
        return
    with db.begin() as session:
        asked = {"tables": [table.name for table in TABLES]}
        found = [tuple(row) for row in session.execute(text(_DEFINITIONS), asked)]
        for number, (drop, make, _) in enumerate(found):
            # Foreign keys are dropped first and made last.
            row = {"name": f"{len(found) - number:03d} {make}", "sql": make}
            session.execute(text("INSERT INTO bench.steps VALUES (:name, :sql)"), row)
            session.connection().exec_driver_sql(drop)
        session.execute(text("INSERT INTO bench.steps (name) VALUES ('stripped')"))


def _left(db: Database) -> list[tuple[str, str]]:
    with db.read() as session:
        rows = session.execute(text("SELECT name, sql FROM bench.steps WHERE sql IS NOT NULL ORDER BY name"))
        return [(row.name, row.sql) for row in rows]


def _run(db: Database, sql: str) -> None:
    with db.begin() as session:
        session.execute(text("SET LOCAL maintenance_work_mem = '1GB'"))
        # One that was made just before a crash is made again.
        if sql.startswith("CREATE"):
            sql = sql.replace("INDEX ", "INDEX IF NOT EXISTS ", 1)
        else:
            what, rest = sql.split(" ADD CONSTRAINT ")
            session.connection().exec_driver_sql(f"{what} DROP CONSTRAINT IF EXISTS {rest.split()[0]}")
        session.connection().exec_driver_sql(sql)


def _copy(db: Database, plan: Plan, table: Table) -> None:
    """All rows of a table, in one transaction that begins with an empty table: PostgreSQL writes no log then
    where its wal_level is minimal."""
    total, columns = table.over(plan), ", ".join(f'"{one.strip()}"' for one in table.columns.split(","))
    with db.begin() as session:
        connection = session.connection()
        connection.exec_driver_sql(f"TRUNCATE {table.name}")
        cursor = connection.connection.cursor()
        with cursor.copy(f"COPY {table.name} ({columns}) FROM STDIN") as copy:
            for at in range(0, total, CHUNK):
                copy.write("".join(table.lines(plan, at, min(total, at + CHUNK))).encode())


def _set_marks(db: Database, plan: Plan) -> None:
    """Where the load ends, by tables, and where waiting jobs begin: what comes later can be taken back."""
    with db.begin() as session:
        session.execute(text("CREATE TABLE IF NOT EXISTS bench.marks (name text PRIMARY KEY, id bigint)"))
        rows = {"queued": str(plan.jobs - plan.queued)}
        rows |= {one.name: f"(SELECT max(id) FROM {one.name})" for one in TABLES if one.columns[:3] == "id,"}
        for name, last in rows.items():
            session.execute(text(f"INSERT INTO bench.marks VALUES ('{name}', {last}) ON CONFLICT DO NOTHING"))


def _set_counters(db: Database) -> None:
    """Ids go on after those of the load; and what the definition of an index does not say of it."""
    with db.begin() as session:
        session.execute(text("ALTER INDEX IF EXISTS ix_parts_grams ALTER COLUMN 1 SET STATISTICS 0"))
        for table in TABLES:
            if table.columns.startswith("id,"):
                counter = f"pg_get_serial_sequence('{table.name}', 'id')"
                session.execute(text(f"SELECT setval({counter}, (SELECT max(id) FROM {table.name}))"))
