"""A plant's database, made small: what the generator makes, and which indexes the product's queries go by."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest
from psycopg import Connection
from sqlalchemy import event, func, select, text

from benchmarks import scale_data
from benchmarks.scale import Bench, assert_reads_few, plan_of, restore
from benchmarks.scale_data import TABLES, Plan
from mfgviz import bom, jobs, part_search, renditions, schema
from mfgviz.batches import found_by
from mfgviz.database import Database
from mfgviz.filters import compile_filter
from mfgviz.jobs import Claimant, JobFilter, NewRendition
from mfgviz.jobs.queries import position_of
from mfgviz.part_search import SearchText
from mfgviz.records import BomLine, Event, Part, PartRevision, RenderJob, Rendition, any_of
from mfgviz.renditions import RenditionFilter
from mfgviz.runtime import Runtime
from mfgviz.settings import Settings
from mfgviz.vocabulary import JobState, ReviewState
from tests.support.servers import Postgres

pytestmark = pytest.mark.postgresql
PLAN = Plan(0.002)


@pytest.fixture(scope="module")
def plant(postgres: Postgres) -> Iterator[Database]:
    """A loaded database that no test changes for good."""
    with postgres.database() as url:
        db = Database(url)
        scale_data.load(db, PLAN)
        yield db
        db.dispose()


# -- the generator -----------------------------------------------------------------------------------------
def test_a_load_has_as_many_rows_as_planned_and_the_tables_of_this_version(plant: Database) -> None:
    with plant.read() as session:
        for kind, count in (
            (Part, PLAN.parts),
            (PartRevision, PLAN.revisions),
            (RenderJob, PLAN.jobs),
            (Rendition, PLAN.renders),
            (Event, PLAN.events),
        ):
            assert session.scalar(select(func.count()).select_from(kind)) == count
        waiting = select(func.count()).where(RenderJob.state == JobState.QUEUED)
        assert session.scalar(waiting) == PLAN.queued
        assert session.scalar(select(func.count()).where(Rendition.is_primary)) > 100
        assert session.scalar(select(func.count(func.distinct(RenderJob.requester)))) > 50
    assert schema.differences(plant) == []


def test_a_loaded_request_is_one_that_the_product_would_have_written(plant: Database) -> None:
    with plant.read() as session:
        for job in session.scalars(select(RenderJob).limit(50)):
            request = scale_data.job_request(PLAN, job.id - 1)
            assert job.request == request.as_json()
            assert (job.fingerprint, job.batch_key) == (request.fingerprint(), request.batch_key())
            geometry = session.get_one(PartRevision, job.revision_id).geometry
            assert geometry is not None
            assert geometry.digest == request.geometry_digest


def test_the_same_seed_makes_the_same_rows_and_another_others() -> None:
    def rows(plan: Plan) -> list[str]:
        return [scale_data.part_name(plan, 3) + scale_data.part_number(plan, n) for n in range(50)] + [
            scale_data.requester(plan, n) for n in range(50)
        ]

    assert rows(Plan(0.001)) == rows(Plan(0.001))
    assert rows(Plan(0.001)) != rows(Plan(0.001, seed=7))


def test_the_bill_of_material_has_twelve_levels(plant: Database) -> None:
    with plant.read() as session:
        (deepest,) = session.scalars(select(BomLine.child_part_id).order_by(BomLine.id.desc()).limit(1))
        levels = {use.level for use in bom.where_used(session, deepest)}
    assert levels <= set(range(1, 13))
    assert len(levels) >= 10


def test_a_loaded_job_is_claimed_and_taken_back(plant: Database) -> None:
    claim = jobs.claim(plant, Claimant("host:1"))
    assert claim is not None
    digest = "a" * 64
    jobs.complete(plant, claim, claim.jobs[0].id, [NewRendition(0, 0, (64, 64), digest, digest, digest)])
    restore(plant)
    with plant.read() as session:
        assert jobs.state_counts(session)["queued"] == PLAN.queued
        job = jobs.get(session, claim.jobs[0].id)
        assert (job.attempts, job.renditions, job.attempts_made) == ([], [], 0)


def test_a_load_that_was_stopped_goes_on_where_it_was(
    postgres: Postgres, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    real = scale_data._copy

    def copy(db: Database, plan: Plan, table: scale_data.Table) -> None:
        if table.name == "renditions" and table.name not in made:
            made.append(table.name)
            raise KeyboardInterrupt
        real(db, plan, table)
        made.append(table.name)

    monkeypatch.setattr(scale_data, "_copy", copy)
    with postgres.database() as url:
        db = Database(url)
        with pytest.raises(KeyboardInterrupt):
            scale_data.load(db, Plan(0.0005))
        assert not scale_data.is_loaded(db)
        scale_data.load(db, Plan(0.0005))
        assert scale_data.is_loaded(db)
        assert schema.differences(db) == []
        db.dispose()
    assert sorted(made) == sorted([*(table.name for table in TABLES), "renditions"])


# -- plans -------------------------------------------------------------------------------------------------
# The index that each query goes by. Tables are too small here for PostgreSQL to choose it by itself.
INDEXES = {
    "claim": "ix_render_jobs_ready",
    "overdue": "ix_render_jobs_state_id",
    "ahead": "ix_render_jobs_ready",
    "jobs": "pk_render_jobs",
    "jobs of a requester": "ix_render_jobs_requester_state_id",
    "jobs of a requester and state": "ix_render_jobs_requester_state_id",
    "jobs of a state": "ix_render_jobs_state_id",
    "jobs of a revision": "ix_render_jobs_revision_id_fingerprint",
    "renders": "pk_renditions",
    "renders of a revision": "ix_renditions_revision_id_id",
    "renders of a job": "uq_renditions_job_id_index",
    "renders by review": "ix_renditions_review_state_id",
    "stale renders": "ix_renditions_stale",
    "parts": "uq_parts_number",
    "parts whose number begins": "ix_parts_number_begins",
    "parts whose name begins": "ix_parts_name_begins",
    "parts whose name begins, behind": "ix_parts_name_begins",
    "rare parts": "ix_parts_grams",
    "events of a kind": "ix_events_kind_id",
    "events of kinds": "ix_events_kind_id",
}
# They sort no more than a page, or the few rows that they are of.
SORTED = {"overdue", "jobs of a revision", "renders of a job", "rare parts", "jobs of a requester",
          "events of a kind", "events of kinds", "jobs of a requester and state"}  # fmt: skip


@pytest.mark.parametrize("name", INDEXES)
def test_each_query_goes_by_its_index(plant: Database, name: str) -> None:
    ways = ["seqscan", "hashjoin", "mergejoin"] + ([] if name in SORTED else ["sort", "incremental_sort"])

    def choose(connection: Connection, _record: object) -> None:
        for way in ways:
            connection.execute(f"SET enable_{way} = off")
        connection.execute("SET random_page_cost = 1.1")  # everything is in memory, as with the benchmark
        connection.commit()

    db = Database(plant.url)
    event.listen(db.engine, "connect", choose)
    bench = Bench(Runtime(Settings(database_url=db.url)), PLAN, random.Random(1))
    # Of 20,000 renders PostgreSQL would rather read the newest until a page has been found.
    many = renditions.find_query(RenditionFilter(review_state=ReviewState.REJECTED, limit=5000))
    query = many if name == "renders by review" else bench.queries()[name]
    try:
        assert_reads_few(db, name, query)
        plan = plan_of(db, query)
    finally:
        db.dispose()
    assert INDEXES[name] in plan, plan
    assert name in SORTED or "Sort" not in plan, plan


# -- what is found is what was found without them ------------------------------------------------------------
PARTS = (("Z-1", "Größe 7"), ("Z-2", "a_b 100% \\"), ("Z-3", "İst"), ("x", "40 X"), ("brk-0000", "brk 2"),
         ("Q-BRK-1", "BRK"), ("Q-BRK-2", "brk"), ("X-9", "x"), ("ab\U0010ffffc", "a\x7f"))  # fmt: skip


@pytest.mark.parametrize(
    "search",
    ["br", "BRK", "brk-0000", "Bracket left", "x", "100%", "a_b", "\\", "größe", "GRÖSSE", "İst", "no such",
     "  ", "40 x", "'", "e\nB", "a", "ab\U0010ffff", "\U0010ffff", "a\x7f", "left"],
)  # fmt: skip
@pytest.mark.parametrize("looked_through", [1, 2000])
def test_a_search_finds_what_holds_it_page_after_page(
    plant: Database, monkeypatch: pytest.MonkeyPatch, search: str, looked_through: int
) -> None:
    monkeypatch.setattr(part_search, "LOOKED_THROUGH", looked_through)
    with plant.begin() as session:
        session.add_all(Part(number=number, name=name, created_by="ann") for number, name in PARTS)
        session.flush()
        text = SearchText.read(session, search)
        whole = list(session.scalars(part_search.ranked_query(text, 10_000)))
        held = session.scalars(select(Part).where(text.holds(Part.number, Part.name)))
        assert {part.id for part in whole} == {part.id for part in held}
        ranks = [text.place_of(session, part.number).rank for part in whole[:40]]
        assert ranks == sorted(ranks)
        assert part_search.list_parts(session, search=search, limit=10_000) == whole
        for at in {*range(min(7, len(whole))), max(0, len(whole) - 3)}:
            after = whole[at - 1].number if at else ""
            page = part_search.list_parts(session, search=search, limit=3, after=after)
            assert page == whole[at : at + 3]
        session.rollback()


@pytest.mark.parametrize(
    "query",
    [
        "part.attributes.category == 'gear'",
        "part.attributes.category == 'gear' and part.attributes.width_mm > 400",
        "part.attributes.category == 'gear' or part.attributes.category == 'shaft'",
        "part.attributes.width_mm == 77",
        "part.attributes.nothing == true",
        "part.attributes.told == true",
        "part.number == 'BRK-0000001' and part.attributes.category == 'bracket'",
        "part.number == 5",
        "part.attributes.category == 'it''s'",
    ],
)
def test_a_query_that_is_looked_up_finds_what_reading_every_part_finds(plant: Database, query: str) -> None:
    from mfgviz.contexts import context_of

    with plant.begin() as session:
        part = session.scalars(select(Part).limit(1)).one()
        part.attributes = {**part.attributes, "told": True}
        session.flush()
        found = [revision.id for revision in found_by(session, query)]
        wanted = compile_filter(query)
        current = bom.current_revisions(session, list(session.scalars(select(Part.id))))
        every = session.scalars(
            select(PartRevision)
            .where(PartRevision.id.in_([one.id for one in current.values()]))
            .order_by(PartRevision.part_id)
        )
        assert found == [revision.id for revision in every if wanted.matches(context_of(revision))]
        session.rollback()


def test_jobs_of_a_requester_come_in_one_order_whatever_their_states(plant: Database) -> None:
    with plant.read() as session:
        mine = list(
            session.scalars(
                select(RenderJob.id).where(RenderJob.requester == "r000").order_by(RenderJob.id.desc())
            )
        )
        found: list[int] = []
        while page := jobs.list_jobs(
            session, JobFilter(requester="r000", before=found[-1] if found else None, limit=40)
        ):
            found += [job.id for job in page]
        assert found == mine
        states = any_of(select(RenderJob.id).where(RenderJob.state == state) for state in JobState)
        assert len(set(session.scalars(states))) == PLAN.jobs


def test_final_jobs_are_estimated_where_they_are_many(
    plant: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with plant.read() as session:
        exact = jobs.state_counts(session)
        monkeypatch.setattr(jobs.queries, "COUNTED_FINAL", 50)
        estimated = jobs.state_counts(session)
    assert estimated["queued"] == exact["queued"] == PLAN.queued
    assert abs(estimated["succeeded"] - exact["succeeded"]) <= 0.05 * exact["succeeded"]
    assert sum(exact.values()) == PLAN.jobs


def test_places_far_behind_are_not_counted_out(plant: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with plant.read() as session:
        last = session.scalars(
            select(RenderJob.id)
            .where(RenderJob.state == JobState.QUEUED)
            .order_by(RenderJob.priority, RenderJob.turn.desc(), RenderJob.id.desc())
            .limit(1)
        ).one()
        assert position_of(session, last) == PLAN.queued
        monkeypatch.setattr(jobs.queries, "COUNTED_AHEAD", 20)
        told = jobs.why(session, last)
        assert told.position == 21
        assert len(told.ahead) == 5


def test_what_waits_is_shown_before_what_is_held(plant: Database) -> None:
    with plant.begin() as session:
        first = [one.event.job for one in jobs.unfinished(session, 3)]
        session.get_one(RenderJob, first[0]).held = True
        session.flush()
        assert [one.event.job for one in jobs.unfinished(session, 2)] == first[1:]
        assert jobs.unfinished(session, 1000)[-1].event.job == first[0]
        session.rollback()


def test_a_migration_that_stopped_half_way_is_told(plant: Database) -> None:
    with plant.begin() as session:
        session.execute(text("ALTER INDEX ix_parts_grams RENAME TO ix_other"))
    try:
        assert "there is no usable index ix_parts_grams" in schema.differences(plant)
    finally:
        with plant.begin() as session:
            session.execute(text("ALTER INDEX ix_other RENAME TO ix_parts_grams"))
