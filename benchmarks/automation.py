"""Rules over events: 1,000 rules and 10,000 events, on PostgreSQL, each event followed to its job."""

from __future__ import annotations

import time

from sqlalchemy import func, insert, select

from benchmarks.queue import CAPABILITIES
from benchmarks.servers import Servers
from mfgviz import automation, rules
from mfgviz.database import Database
from mfgviz.models import add_model
from mfgviz.models_folder import ModelSpec
from mfgviz.records import Event, Geometry, Part, PartRevision, RenderJob
from mfgviz.runtime import Runtime
from mfgviz.settings import Settings

RULES, EVENTS = 1_000, 10_000
# Nine in ten rules are for one category; the others are conditions that no index answers.
UNINDEXED_EVERY = 10


def run(servers: Servers) -> dict[str, float]:
    """Events a second, and how many jobs they made."""
    db = servers.fresh_database()
    try:
        _fill(db)
        runtime = Runtime(Settings(database_url=db.url, broker_url=servers.redis_url))
        started = time.perf_counter()
        taken = automation.process(runtime)
        seconds = time.perf_counter() - started
        runtime.close()
        with db.read() as session:
            made = session.scalar(select(func.count()).select_from(RenderJob)) or 0
    finally:
        db.dispose()
    return {"rule_events_per_s": taken / seconds, "rule_events": taken, "rule_jobs": made}


def _fill(db: Database) -> None:
    with db.begin() as session:
        spec = ModelSpec("studio", "studio", "bundled:studio", weights_digest="b" * 64)
        add_model(session, spec, CAPABILITIES, "bench")
        for number in range(RULES):
            condition = f"part.attributes.category == 'c{number}'"
            if number % UNINDEXED_EVERY == 0:
                condition = f"part.attributes.width_mm > {10_000 + number} and like(part.number, 'P-*')"
            new = rules.NewRule(f"r{number}", "revision.released", {"template": "hero"}, condition)
            rules.add_rule(session, new, "bench")
    for at in range(0, EVENTS, 1_000):
        _add_events(db, range(at, at + 1_000))


def _add_events(db: Database, numbers: range) -> None:
    with db.begin() as session:
        parts = [
            {
                "number": f"P-{number}",
                "name": "",
                "created_by": "bench",
                "attributes": {"material": "steel", "category": f"c{number % RULES}", "width_mm": number},
            }
            for number in numbers
        ]
        part_ids = session.scalars(insert(Part).returning(Part.id, sort_by_parameter_order=True), parts).all()
        files = [
            {"digest": f"{number:064x}", "size_bytes": 1, "file_name": "p.step", "state": "read",
             "shape_digest": f"{number:064x}", "facts": {}}
            for number in numbers
        ]  # fmt: skip
        file_ids = session.scalars(
            insert(Geometry).returning(Geometry.id, sort_by_parameter_order=True), files
        ).all()
        revisions = [
            {"part_id": part, "label": "A", "geometry_id": file, "state": "released", "created_by": "bench",
             "attributes": {}}
            for part, file in zip(part_ids, file_ids, strict=True)
        ]  # fmt: skip
        ids = session.scalars(
            insert(PartRevision).returning(PartRevision.id, sort_by_parameter_order=True), revisions
        ).all()
        events = [
            {"kind": "revision.released", "revision_id": one, "actor": "bench", "payload": {}} for one in ids
        ]
        session.execute(insert(Event), events)
