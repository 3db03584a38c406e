"""Submitting in bulk, and claiming with 100,000 jobs queued, on PostgreSQL and a real broker."""

from __future__ import annotations

import time
from dataclasses import replace

from sqlalchemy import insert, text

from benchmarks.servers import Servers
from mfgviz import catalog, jobs
from mfgviz.catalog import NewPart, StoredFile
from mfgviz.database import Database
from mfgviz.intake import Ask, Lookup, prepare
from mfgviz.jobs import Claimant
from mfgviz.models import add_model
from mfgviz.models_folder import ModelSpec
from mfgviz.queue import TASK_RENDER, Doorbell
from mfgviz.records import RenderJob, Requester
from mfgviz.requests import ModelChoice, RenderRequest, SamplingSettings
from mfgviz.settings import Settings
from mfgviz.vocabulary import SAMPLERS

PARTS = 200
BULK_JOBS = 5_000
CHUNK = 500
QUEUED_JOBS = 100_000
REQUESTERS = 20
CLAIMS = 300

CAPABILITIES = {
    "modes": ["control", "image", "text"],
    "samplers": list(SAMPLERS),
    "multiple_of_px": 8,
    "max_pixels": 1024 * 1024,
    "native_size_px": 512,
    "default_sampler": "ddim",
    "default_steps": 8,
    "default_guidance_scale": 2.0,
}


def run(servers: Servers) -> dict[str, float]:
    """Jobs per second of a bulk submit, and the claim's latency in ms."""
    db = servers.fresh_database()
    try:
        revision_ids = _fill(db)
        settings = Settings(broker_url=servers.redis_url)
        rate = _bulk_submit(db, Doorbell(settings))
        _queue_many(db, revision_ids)
        return {"bulk_submit_jobs_per_s": rate, **_claims(db)}
    finally:
        db.dispose()


def _fill(db: Database) -> list[int]:
    with db.begin() as session:
        spec = ModelSpec("studio", "studio", "bundled:studio", weights_digest="b" * 64)
        add_model(session, spec, CAPABILITIES, "bench")
        ids = []
        for number in range(PARTS):
            catalog.add_part(session, NewPart(f"PN-{number:05d}", attributes={"material": "steel"}), "bench")
            revision = catalog.add_revision(session, f"PN-{number:05d}", "A", "bench")
            stored = StoredFile(f"{number:064x}", 1000, "part.step")
            catalog.attach_geometry(session, revision, stored, "bench")
            ids.append(revision.id)
    return ids


def _bulk_submit(db: Database, doorbell: Doorbell) -> float:
    """As `jobs submit --from` does it: asks in chunks, one transaction each, then the doorbell."""
    asks = [
        Ask(revision=f"PN-{n % PARTS:05d}@A", prompt="{material}, studio light", seed=n)
        for n in range(BULK_JOBS)
    ]
    started = time.perf_counter()
    for at in range(0, len(asks), CHUNK):
        chunk = asks[at : at + CHUNK]
        with db.begin() as session:
            lookup = Lookup(session, "studio")
            lookup.preload(ask.revision for ask in chunk)
            submissions = [submission for ask in chunk for submission in prepare(lookup, ask)]
            answers = jobs.submit(session, submissions, "bench")
        doorbell.ring(TASK_RENDER, [answer.job_id for answer in answers[:64]])
    return BULK_JOBS / (time.perf_counter() - started)


def _queue_many(db: Database, revision_ids: list[int]) -> None:
    """100,000 queued jobs of 20 requesters, straight into the table."""
    base = RenderRequest(
        "0" * 64, "steel", ModelChoice("studio", "b" * 64, "studio"), SamplingSettings("ddim", 8, 2.0)
    )
    with db.begin() as session:
        session.execute(text("DELETE FROM render_jobs"))
        session.execute(insert(Requester), [{"name": f"r{n}"} for n in range(REQUESTERS)])
    for at in range(0, QUEUED_JOBS, 5000):
        rows = []
        for number in range(at, at + 5000):
            request = replace(base, sampling=replace(base.sampling, seed=number))
            rows.append(
                {
                    "revision_id": revision_ids[number % PARTS],
                    "requester": f"r{number % REQUESTERS}",
                    "request": request.as_json(),
                    "fingerprint": f"{number:064x}",
                    "batch_key": request.batch_key(),
                    "model_name": "studio",
                    "priority": 10,
                    "turn": number // REQUESTERS,
                }
            )
        with db.begin() as session:
            session.execute(insert(RenderJob), rows)
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))


def _claims(db: Database) -> dict[str, float]:
    took_ms = []
    for _ in range(CLAIMS):
        started = time.perf_counter()
        claim = jobs.claim(db, Claimant("bench:1", max_images=4))
        took_ms.append((time.perf_counter() - started) * 1000)
        assert claim is not None
        assert len(claim.jobs) == 4
    took_ms.sort()
    return {
        "claim_p50_ms": took_ms[len(took_ms) // 2],
        "claim_p95_ms": took_ms[int(len(took_ms) * 0.95)],
    }
