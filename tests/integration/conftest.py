"""A whole service: database, broker, blobs, a tiny model, a part to render."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mfgviz import catalog, jobs, models, renditions, toolbox
from mfgviz.catalog import NewPart
from mfgviz.geometry_intake import take_file
from mfgviz.intake import Ask, FidelityDefaults, Lookup, prepare
from mfgviz.models_folder import ModelSpec
from mfgviz.records import Rendition
from mfgviz.runtime import Runtime
from mfgviz.settings import Settings
from mfgviz.vocabulary import JobState
from tests.support import rough_family
from tests.support.servers import Redis
from tests.support.workers import WorkerProcess
from workers.devices import ModelPool, choose_device
from workers.engine import Engine

SAMPLE = Path(__file__).parent.parent.parent / "mfgviz" / "samples" / "bracket.step"
StartWorker = Callable[..., WorkerProcess]
RenderNow = Callable[..., tuple[int, list[Rendition]]]


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> tuple[ModelSpec, dict[str, object]]:
    """A Stable Diffusion folder of diffusers' own classes with random weights."""
    from workers.families.testing import save_tiny_sd15

    folder = save_tiny_sd15(tmp_path_factory.mktemp("models") / "tiny")
    seen = toolbox.run_tool("inspect-model", {"spec": ModelSpec("tiny", "sd15", str(folder)).as_json()})
    return ModelSpec.from_json(seen["spec"]), seen["capabilities"]


@pytest.fixture
def settings(database_url: str, redis_server: Redis, tmp_path: Path) -> Settings:
    """The service's settings, with short leases and sweeps."""
    return Settings(
        data_dir=tmp_path / "data",
        database_url=database_url,
        broker_url=redis_server.url,
        blob_url=(tmp_path / "blobs").as_uri(),
        requester="ann",
        default_model="tiny",
        lease_s=4.0,
        sweep_interval_s=0.5,
        retry_delay_s=0.2,
        shutdown_grace_s=20.0,
    )


@pytest.fixture
def runtime(settings: Settings, tiny_model: tuple[ModelSpec, dict[str, object]]) -> Iterator[Runtime]:
    """Connections to it; a part BRK-1 with revision A, and the tiny model, are there."""
    made = Runtime(settings)
    taken = take_file(made, SAMPLE)
    with made.db.begin() as session:
        models.add_model(session, *tiny_model, "ann")
        catalog.add_part(session, NewPart("BRK-1", attributes={"material": "steel"}), "ann")
        revision = catalog.add_revision(session, "BRK-1", "A", "ann")
        taken.attach(session, revision, "ann", made.doorbell)
    yield made
    made.close()


@pytest.fixture
def rough(runtime: Runtime, tmp_path: Path) -> dict[str, str]:
    """The rough model is recorded; the variables of processes that know its family."""
    spec = rough_family.save_rough(tmp_path / "rough")
    with runtime.db.begin() as session:
        models.add_model(session, spec, rough_family.FAMILY.inspect(spec).as_json(), "ann")
    return rough_family.install(tmp_path / "installed")


@pytest.fixture
def start_worker(settings: Settings, tmp_path: Path) -> Iterator[StartWorker]:
    """Starts worker processes; all are stopped at the end."""
    started: list[WorkerProcess] = []

    def start(
        queues: str = "gpu,cpu", environment: dict[str, str] | None = None, **changed: object
    ) -> WorkerProcess:
        own = replace(settings, **changed)  # type: ignore[arg-type]
        worker = WorkerProcess(own, tmp_path / f"worker{len(started)}.log", queues, environment or {})
        started.append(worker)
        return worker.start()

    yield start
    for worker in started:
        worker.stop()


@pytest.fixture
def pool() -> ModelPool:
    return ModelPool(choose_device("cpu"))


@pytest.fixture
def render_now(runtime: Runtime, settings: Settings, pool: ModelPool) -> RenderNow:
    """Submits an ask and lets an engine in this process render it; the job and its renditions."""

    def act(ask: Ask, **changed: object) -> tuple[int, list[Rendition]]:
        used = replace(settings, **changed)  # type: ignore[arg-type]
        with runtime.db.begin() as session:
            wanted = prepare(Lookup(session, "tiny", fidelity=FidelityDefaults.of(used)), ask)
            (answer,) = jobs.submit(session, wanted, "ann")
        made = Runtime(used)
        assert Engine(made, "host:1", pool).render_next() is not None
        made.close()
        with runtime.db.read() as session:
            job = jobs.get(session, answer.job_id)
            assert job.state == JobState.SUCCEEDED, job.error_message
            return answer.job_id, renditions.of_job(session, answer.job_id)

    return act


def notes_of(runtime: Runtime, job_id: int) -> list[str]:
    with runtime.db.read() as session:
        return jobs.get(session, job_id).notes
