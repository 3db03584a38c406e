"""A worker process takes events to a receiver, and does what schedules say. Real everything."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import update

from mfgviz import catalog, wire
from mfgviz.catalog import NewPart
from mfgviz.records import Schedule, utcnow
from mfgviz.runtime import Runtime
from mfgviz.service import Service
from mfgviz.settings import Settings
from tests.support.receiver import Receiver
from tests.support.servers import Postgres, Redis
from tests.support.workers import WorkerProcess, eventually

pytestmark = [pytest.mark.stack, pytest.mark.postgresql]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    running = Receiver().start()
    running.answers = {"/hang": [running.hangs]}
    yield running
    running.stop()


def test_a_release_reaches_its_receiver_and_what_is_due_is_done(
    postgres: Postgres, redis_server: Redis, tmp_path: Path, receiver: Receiver
) -> None:
    with postgres.database() as url:
        settings = Settings(
            data_dir=tmp_path / "data",
            database_url=url,
            broker_url=redis_server.url,
            blob_url=(tmp_path / "blobs").as_uri(),
            requester="ann",
            sweep_interval_s=0.5,
            webhook_allow_private="127.0.0.0/8",
        )
        runtime = Runtime(settings)
        workers = [WorkerProcess(replace(settings), tmp_path / f"{n}.log", "cpu") for n in range(2)]
        try:
            service = Service(runtime, "ann")
            for name, path in (("hangs", "/hang"), ("erp", "/ok")):
                body = wire.NewWebhookBody(name=name, url=receiver.url(path), kinds=["revision.released"])
                service.add_webhook(body)
            service.add_schedule(wire.NewScheduleBody(name="nightly", task="sweep", cron="0 3 * * *"))
            with runtime.db.begin() as session:
                session.execute(update(Schedule).values(next_at=utcnow(-100_000.0)))
            for worker in workers:
                worker.start()
            with runtime.db.begin() as session:
                catalog.add_part(session, NewPart("BRK-1"), "ann")
                catalog.add_revision(session, "BRK-1", "A", "ann")
            service.set_state("BRK-1@A", wire.StateChange(state="released"))
            eventually(lambda: service.webhook("erp").delivered == 1, 30)
            (message,) = receiver.at("/ok")
            assert json.loads(message.body)["data"]["revision"] == "BRK-1@A"
            eventually(lambda: service.schedule("nightly").last_outcome == "succeeded", 30)
            trail = service.audit_trail(action="schedule.ran").items
            assert len(trail) == 1  # two workers looked
        finally:
            receiver.released.set()
            for worker in workers:
                worker.stop()
            runtime.close()
