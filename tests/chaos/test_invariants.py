"""The invariants find what is planted, each in a database that was sound before."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sqlalchemy import event, text

from mfgviz import catalog, jobs, renditions, schema
from mfgviz.catalog import NewPart, StoredFile
from mfgviz.jobs import Claimant, Submission
from mfgviz.records import IdempotencyKey
from mfgviz.renditions import Made, Shown
from mfgviz.requests import ModelChoice, RenderRequest, SamplingSettings
from mfgviz.runtime import Runtime
from mfgviz.settings import Settings
from mfgviz.vocabulary import FidelityVerdict
from tests.chaos import family
from tests.chaos.faults import Injected
from tests.chaos.invariants import CHECKS, Evidence, check_all

WORKER = "host:1"
SUCCEEDED, CANCELLED, LOST_ONCE = 1, 2, 3


@dataclass
class Sound:
    """A service in which all is well: one job succeeded, one was cancelled, one lost a worker."""

    runtime: Runtime
    told: list[dict[str, Any]]
    faults: list[Injected]

    def run(self, statement: str, **values: Any) -> None:
        """Change a row behind the product's back."""
        with self.runtime.db.begin() as session:
            session.execute(text(statement), values)

    def violations(self) -> dict[str, tuple[str, ...]]:
        """What the invariants find, by their names."""
        checked = check_all(Evidence.gather(self.runtime, self.told, self.faults))
        return {one.name: one.violations for one in checked if one.violations}


@pytest.fixture
def sound(tmp_path: Path) -> Iterator[Sound]:
    """It."""
    runtime = Runtime(Settings(data_dir=tmp_path, broker_url="amqp://nobody", live_url="broker"))
    runtime.db.after_events = None
    event.listen(runtime.db.engine, "connect", _unguarded)
    schema.upgrade(runtime.db)
    with runtime.db.begin() as session:
        catalog.add_part(session, NewPart("CHAOS-1"), "ann")
        revision = catalog.add_revision(session, "CHAOS-1", "A", "ann")
        catalog.attach_geometry(session, revision, StoredFile("a" * 64, 10, "b.step"), "ann")
        asked = [Submission(revision.id, request(seed)) for seed in (10, 20, 30)]
        ids = [answer.job_id for answer in jobs.submit(session, asked, "ann")]
        answer = {"items": [{"job": SUCCEEDED, "how": "new"}]}
        session.add(IdempotencyKey(requester="ann", key="k", request_digest="d" * 64, answer=answer))
    assert ids == [SUCCEEDED, CANCELLED, LOST_ONCE]
    with runtime.db.begin() as session:
        jobs.cancel(session, CANCELLED, "ann")
    render(runtime)
    claim = jobs.claim(runtime.db, Claimant(WORKER))
    assert claim is not None
    kill = Injected("kill", time.time(), time.time() + 1, WORKER)
    with runtime.db.begin() as session:
        session.execute(text("UPDATE render_jobs SET lease_until = '2000-01-01' WHERE state = 'running'"))
    assert jobs.sweep(runtime.db, None).requeued == 1
    render(runtime)
    told = [{"what": "answered", "door": "http", "key": "k", "jobs": [[SUCCEEDED, "new"]]}]
    yield Sound(runtime, told, [kill])
    runtime.close()


def _unguarded(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA ignore_check_constraints = ON")


def request(seed: int) -> RenderRequest:
    """Two pictures of 64 px."""
    sampling = SamplingSettings("ddim", 8, 2.0, seed=seed, width=64, height=64, count=2)
    return RenderRequest("a" * 64, "brass", ModelChoice("chaos", "b" * 64, "chaos"), sampling)


def render(runtime: Runtime) -> None:
    """Claim one job and attach its true pictures."""
    claim = jobs.claim(runtime.db, Claimant(WORKER, max_images=2))
    assert claim is not None
    (job,) = claim.jobs
    shown = Shown("CHAOS-1", "A", job.request, job.request.fingerprint())
    made = []
    for index in range(2):
        seed = job.request.sampling.seed + index
        image = Image.fromarray(family.picture("brass", seed, (64, 64), None))
        facts = Made(index, seed, None, None, FidelityVerdict.NOT_JUDGED, {"reason": "no maps"})
        made.append(renditions.store(runtime.blobs, image, shown, facts, {}))
    jobs.complete(runtime.db, claim, job.id, made)


def test_a_sound_service_has_no_violation_and_every_invariant_looks_at_something(sound: Sound) -> None:
    assert sound.violations() == {}
    counts = {
        one.name: one.count for one in check_all(Evidence.gather(sound.runtime, sound.told, sound.faults))
    }
    quiet = {name for name, count in counts.items() if not count}
    assert quiet == {
        "a job fails only with its workers taken away, and says so",
        "an attempt failed, or was handed back, only while what it needs was away",
    }


# -- one plant for each kind of violation -------------------------------------------------------------------
def _blob(sound: Sound, content: bytes | None) -> None:
    store = Path(sound.runtime.settings.data_dir) / "blobs"
    path = next(path for path in store.rglob("*") if path.is_file())
    path.unlink()
    if content is not None:
        path.write_bytes(content)


def _doubled_event(sound: Sound) -> None:
    columns = "kind, revision_id, actor, payload, created_at"
    sound.run(
        f"INSERT INTO events ({columns}) SELECT {columns} FROM events WHERE kind = 'render.attached' LIMIT 1"
    )


def _told(sound: Sound, **told: Any) -> None:
    sound.told.append({"what": "answered", "door": "http", "key": "k", "jobs": [[SUCCEEDED, "new"]], **told})


PLANTS: list[tuple[str, Any]] = [
    ("every job has ended", "UPDATE render_jobs SET state = 'queued', finished_at = NULL WHERE id = 2"),
    (
        "a job fails only with its workers taken away, and says so",
        "UPDATE render_jobs SET state = 'failed', error_code = 'storage-unavailable' WHERE id = 2",
    ),
    ("only what somebody cancelled is cancelled", "DELETE FROM audit_entries WHERE action = 'job.cancelled'"),
    ("no lease is left", "UPDATE render_jobs SET lease_token = 'x' WHERE id = 1"),
    (
        "a job that succeeded has each of its pictures once, any other none",
        'DELETE FROM renditions WHERE job_id = 1 AND "index" = 0',
    ),
    (
        "a job that succeeded has each of its pictures once, any other none",
        "UPDATE renditions SET job_id = 2 WHERE job_id = 1",
    ),
    ("every picture and thumbnail is there, whole", lambda sound: _blob(sound, None)),
    ("every picture and thumbnail is there, whole", lambda sound: _blob(sound, b"half of")),
    ("every picture is the one that was asked for", "UPDATE renditions SET seed = seed + 1 WHERE job_id = 1"),
    (
        "every attempt has ended",
        "UPDATE attempts SET outcome = 'running', finished_at = NULL WHERE outcome = 'lost'",
    ),
    ("jobs and their attempts agree", "UPDATE attempts SET outcome = 'succeeded' WHERE outcome = 'lost'"),
    ("jobs and their attempts agree", "UPDATE render_jobs SET attempts_made = 5 WHERE id = 1"),
    ("jobs and their attempts agree", "DELETE FROM attempts WHERE outcome = 'lost'"),
    (
        "no job was held by two workers at once",
        "UPDATE attempts SET finished_at = '2100-01-01' WHERE outcome = 'lost'",
    ),
    (
        "every attempt that was lost was lost to a fault, one batch to a fault of one worker",
        lambda sound: sound.faults.clear(),
    ),
    (
        "every attempt that was lost was lost to a fault, one batch to a fault of one worker",
        lambda sound: sound.run(
            "INSERT INTO attempts (job_id, number, worker, lease_token, outcome, started_at, finished_at)"
            " SELECT job_id, 9, worker, 'other', outcome, started_at, finished_at FROM attempts"
            " WHERE outcome = 'lost'"
        ),
    ),
    (
        "an attempt failed, or was handed back, only while what it needs was away",
        "UPDATE attempts SET outcome = 'handed_back', error_code = 'storage-unavailable'"
        " WHERE outcome = 'lost'",
    ),
    ("a job's end is told once", _doubled_event),
    ("a job's end is told once", "DELETE FROM events WHERE kind = 'render.attached'"),
    (
        "a job's end is told once",
        lambda sound: sound.run(
            "INSERT INTO events (kind, actor, payload) VALUES ('job.failed', 'ann', :payload)",
            payload=json.dumps({"job": SUCCEEDED, "code": "x"}),
        ),
    ),
    ("what was acknowledged is there", lambda sound: _told(sound, jobs=[[99, "new"]])),
    ("the same Idempotency-Key is the same answer", lambda sound: _told(sound, jobs=[[2, "new"]])),
    ("the same Idempotency-Key is the same answer", lambda sound: _told(sound, key="forgotten")),
    (
        "no picture is asked for twice",
        "UPDATE render_jobs SET fingerprint = (SELECT fingerprint FROM render_jobs WHERE id = 1)"
        " WHERE id = 3",
    ),
]


@pytest.mark.parametrize(("name", "plant"), PLANTS)
def test_a_planted_violation_is_found(sound: Sound, name: str, plant: Any) -> None:
    if isinstance(plant, str):
        sound.run(plant)
    else:
        plant(sound)
    assert name in sound.violations()


def test_there_is_a_plant_for_every_invariant() -> None:
    assert {name for name, _ in PLANTS} == set(CHECKS)
