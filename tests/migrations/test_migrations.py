"""Migrations: one head, up from empty, down and up with rows, and the same tables as the records."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import func, inspect, select, update
from sqlalchemy.orm import Session

from mfgviz import catalog, jobs, models, schema, templates, tokens, workers_seen
from mfgviz.catalog import NewPart, StoredFile
from mfgviz.database import Database
from mfgviz.errors import DatabaseNotMigratedError, InvalidInputError
from mfgviz.models_folder import ModelSpec
from mfgviz.records import (
    Batch,
    BatchItem,
    BomLine,
    Event,
    IdempotencyKey,
    InboundHook,
    InboundMessage,
    Part,
    PartRevision,
    Record,
    RenderJob,
    Rendition,
    Rule,
    RuleRun,
    RuleRunJob,
    Schedule,
    Webhook,
    WebhookDelivery,
)
from mfgviz.requests import ModelChoice, RenderRequest, SamplingSettings
from mfgviz.templates import Template
from mfgviz.tokens import NewToken
from mfgviz.vocabulary import Role


def fill_every_table(database: Database) -> None:
    """A job from submit to its rendition, and what stands beside it."""
    request = RenderRequest(
        "a" * 64, "brass", ModelChoice("studio", "b" * 64, "studio"), SamplingSettings("ddim", 4, 2.0)
    )
    with database.begin() as session:
        catalog.add_part(session, NewPart("BRK-1"), "ann")
        revision = catalog.add_revision(session, "BRK-1", "A", "ann")
        catalog.attach_geometry(session, revision, StoredFile("a" * 64, 10, "b.step"), "ann")
        models.add_model(session, ModelSpec("studio", "studio", "x", weights_digest="b" * 64), {}, "ann")
        workers_seen.report(session, workers_seen.WorkerReport("host:1", ("gpu",), "CPU", None))
        tokens.create_token(session, NewToken("t", "ann", Role.ENGINEER), "ann")
        templates.save_template(session, Template("ours", "{material}"), "ann")
        session.add(IdempotencyKey(requester="ann", key="k", request_digest="d" * 64, answer={"items": []}))
        (job,) = jobs.submit(session, [jobs.Submission(revision.id, request)], "ann")
        fill_automation(session, revision, job.job_id)
    claim = jobs.claim(database, jobs.Claimant("host:1"))
    assert claim is not None
    image = jobs.NewRendition(0, 0, (512, 512), "c" * 64, "d" * 64, "e" * 64)
    jobs.complete(database, claim, claim.jobs[0].id, [image])
    with database.read() as session:
        for table in Record.metadata.sorted_tables:
            assert session.scalar(select(func.count()).select_from(table)), f"{table} is empty"


def fill_automation(session: Session, revision: PartRevision, job_id: int) -> None:
    """Rules and what they did, a bill of material, a batch, a schedule, webhooks."""
    event = session.scalars(select(Event).limit(1)).one()
    rule = Rule(name="r", event_kind="revision.released", ask={}, created_by="ann")
    webhook = Webhook(name="w", url="https://x.test", secret="s" * 32, kinds=[], created_by="ann")
    hook = InboundHook(name="h", secret="s" * 32, mapping={}, requester="plm", created_by="ann")
    batch = Batch(requester="ann", source={"query": "true"}, ask={}, created_by="ann")
    at = datetime(2026, 11, 25, tzinfo=UTC)
    schedule = Schedule(name="s", task="sweep", crontab="0 3 * * *", next_at=at, created_by="ann")
    child = catalog.add_part(session, NewPart("SCR-1"), "ann")
    session.add_all([rule, webhook, hook, batch, schedule])
    session.flush()
    run = RuleRun(rule_id=rule.id, event_id=event.id, outcome="submitted")
    session.add(run)
    session.flush()
    session.add_all(
        [
            RuleRunJob(run_id=run.id, job_id=job_id, how="new"),
            BomLine(parent_id=revision.id, child_part_id=child.id, quantity=4, created_by="ann"),
            BatchItem(batch_id=batch.id, revision_id=revision.id, fingerprint="f" * 64, job_id=job_id),
            WebhookDelivery(webhook_id=webhook.id, event_id=event.id),
            InboundMessage(hook_id=hook.id, digest="d" * 64),
        ]
    )
    session.execute(update(RenderJob).where(RenderJob.id == job_id).values(batch_id=batch.id))


def test_there_is_one_head() -> None:
    assert len(ScriptDirectory.from_config(schema._config()).get_heads()) == 1


def test_every_table_of_the_records_is_made(empty_database: Database) -> None:
    assert schema.state(empty_database).current is None
    after = schema.upgrade(empty_database)
    assert after.is_current
    assert set(Record.metadata.tables) <= set(inspect(empty_database.engine).get_table_names())
    assert schema.differences(empty_database) == []


def test_each_migration_goes_down_and_up_again_with_rows_in_the_tables(empty_database: Database) -> None:
    script = ScriptDirectory.from_config(schema._config())
    for migration in reversed(list(script.walk_revisions())):
        schema.upgrade(empty_database, migration.revision)
        if migration.revision == script.get_current_head():
            fill_every_table(empty_database)
        down = migration.down_revision or "base"
        schema.downgrade(empty_database, str(down))
        schema.upgrade(empty_database, migration.revision)
    assert schema.differences(empty_database) == []


def test_a_database_that_was_not_migrated_says_what_to_do(empty_database: Database) -> None:
    with pytest.raises(DatabaseNotMigratedError, match="no tables yet") as caught:
        schema.require_current(empty_database)
    assert "mfgviz db upgrade" in caught.value.remedy
    with pytest.raises(DatabaseNotMigratedError), empty_database.read() as session:
        session.scalars(select(Part)).all()


def test_an_unknown_migration_is_refused(empty_database: Database) -> None:
    with pytest.raises(InvalidInputError, match="cannot be run"):
        schema.upgrade(empty_database, "nonsense")


def test_older_renditions_are_not_judged_and_older_jobs_mark(empty_database: Database) -> None:
    schema.upgrade(empty_database)
    fill_every_table(empty_database)
    schema.downgrade(empty_database, "0001")
    schema.upgrade(empty_database)
    with empty_database.read() as session:
        rendition, job = session.scalars(select(Rendition)).one(), session.scalars(select(RenderJob)).one()
        assert (rendition.fidelity, rendition.fidelity_verdict) == (None, "not_judged")
        assert (rendition.fidelity_details, rendition.control_scale) == (None, None)
        assert (job.fidelity_policy, job.fidelity_retries) == ("mark", 0)
