"""Parts with revisions and bills of material in short words, and an oracle in plain Python beside them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest
from hypothesis import HealthCheck, settings
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from mfgviz import bom, catalog, models, schema
from mfgviz.catalog import GeometryFacts, NewPart, StoredFile
from mfgviz.database import Database
from mfgviz.jobs.turns import take_turns
from mfgviz.models_folder import ModelSpec
from mfgviz.records import Model, Part, PartRevision, RenderJob, Rendition, utcnow
from mfgviz.requests import ModelChoice, RenderRequest, SamplingSettings
from mfgviz.vocabulary import JobState, LifecycleState
from tests.conftest import BACKENDS
from tests.support.servers import Postgres
from tests.unit.cli.conftest import CAPABILITIES

Line = tuple[str, str, float]
TABLES = (
    "batch_items, attempts, renditions, render_jobs, batches, bom_lines, events, audit_entries, "
    "part_revisions, geometries, parts"
)


def wipe(db: Database) -> None:
    """An empty database: for the examples of a property, which share one."""
    with db.begin() as session:
        if db.is_sqlite:
            for table in TABLES.split(", "):
                session.execute(text(f"DELETE FROM {table}"))
        else:
            session.execute(text(f"TRUNCATE {TABLES} CASCADE"))


def shape_of(letter: str) -> tuple[str, str]:
    """A file's digest and a shape's, for a letter; `a` and `a'` are two files of one shape."""
    digest = f"{ord(letter[0]):02x}{'27' if letter.endswith(chr(39)) else '00'}" * 16
    return digest, f"shape {letter[0]}"


def add(session: Session, reference: str, shape: str | None = None, state: str = "in_work") -> PartRevision:
    """A revision, its part where there is none, and a CAD file of that shape that was read."""
    number, _, label = reference.partition("@")
    if session.scalar(select(Part.id).where(Part.number == number)) is None:
        catalog.add_part(session, NewPart(number), "ann")
    revision = catalog.add_revision(session, number, label, "ann")
    if shape is not None:
        digest, shape_digest = shape_of(shape)
        geometry = catalog.attach_geometry(session, revision, StoredFile(digest, 10, "p.step"), "ann")
        catalog.note_facts(geometry, GeometryFacts("step", shape_digest, {}))
    if state != "in_work":
        catalog.set_lifecycle_state(
            session, revision, LifecycleState(state), "ann", needs_approved_image=False
        )
    session.flush()
    return revision


def as_csv(lines: Iterable[Line]) -> bytes:
    """Lines as a file."""
    return "\n".join(["parent,child,quantity", *(f"{p},{c},{q:g}" for p, c, q in lines)]).encode()


def take(session: Session, lines: Iterable[Line]) -> bom.Imported:
    """Import lines."""
    return bom.import_lines(session, bom.read_lines(as_csv(lines), "bom.csv"), "bom.csv", "ann")


# Examples share a database, which each of them wipes.
quick = settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))


def add_model(db: Database) -> None:
    """The model studio, which nothing loads."""
    with db.begin() as session:
        spec = ModelSpec("studio", "studio", "x", weights_digest="b" * 64)
        models.add_model(session, spec, CAPABILITIES, "ann")


@pytest.fixture(scope="module", params=BACKENDS)
def db(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """A database that all tests of this file share, on SQLite and on PostgreSQL; they wipe it."""
    if request.param == "sqlite":
        made = Database(f"sqlite:///{tmp_path_factory.mktemp('bom') / 'test.db'}")
        schema.upgrade(made)
        add_model(made)
        yield made
        made.dispose()
    else:
        server: Postgres = request.getfixturevalue("postgres")
        with server.database() as url:
            made = Database(url)
            add_model(made)
            yield made
            made.dispose()


def picture(
    session: Session, revision: PartRevision, count: int = 1, requester: str = "ann"
) -> list[Rendition]:
    """Renders of a revision by one succeeded job, as if a worker had made them."""
    take_turns(session, requester, {})
    model = session.scalars(select(Model)).one()
    assert revision.geometry is not None
    request = RenderRequest(
        revision.geometry.digest,
        "steel",
        ModelChoice(model.name, model.weights_digest, model.family),
        SamplingSettings("ddim", 8, 2.0, count=count),
    )
    job = RenderJob(
        revision_id=revision.id, requester=requester, request=request.as_json(), turn=0, priority=10,
        fingerprint=request.fingerprint(), batch_key=request.batch_key(), model_name="studio", images=count,
        state=JobState.SUCCEEDED, finished_at=utcnow(),
    )  # fmt: skip
    job.renditions = [
        Rendition(
            revision_id=revision.id, index=n, seed=n, width=512, height=512, blob_digest="c" * 64,
            thumbnail_digest="d" * 64, pixel_digest="e" * 64,
        )
        for n in range(count)
    ]  # fmt: skip
    session.add(job)
    session.flush()
    return list(job.renditions)
