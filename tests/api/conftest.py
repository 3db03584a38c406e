"""The HTTP API as clients meet it: real server, real sockets, SQLite and PostgreSQL, a real Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from mfgviz import catalog, models
from mfgviz.catalog import GeometryFacts, NewPart, StoredFile
from mfgviz.client import Client
from mfgviz.models_folder import ModelSpec
from mfgviz.runtime import Runtime
from mfgviz.settings import Settings
from tests.support.http import HttpServer, client_of, make_token
from tests.support.servers import Redis

SAMPLE = Path(__file__).parent.parent.parent / "mfgviz" / "samples" / "bracket.step"
CAPABILITIES = {
    "modes": ["control", "text", "image"], "samplers": ["ddim", "ddpm", "plms"], "default_sampler": "ddim",
    "default_steps": 4, "default_guidance_scale": 2.0, "native_size_px": 512, "multiple_of_px": 16,
    "max_pixels": 1024 * 1024, "lora": False, "max_prompt_tokens": 77,
}  # fmt: skip

ClientOf = Callable[..., Client]


def make_settings(database_url: str, redis_url: str, folder: Path) -> Settings:
    return Settings(
        data_dir=folder / "data",
        database_url=database_url,
        broker_url=redis_url,
        blob_url=(folder / "blobs").as_uri(),
        requester="ann",
        default_model="studio",
        requests_per_minute=100_000,
    )


def fill(runtime: Runtime) -> None:
    """A part BRK-1 with revision A, its geometry read, and a model."""
    digest = runtime.blobs.put(SAMPLE.read_bytes())
    stored = StoredFile(digest, SAMPLE.stat().st_size, SAMPLE.name)
    with runtime.db.begin() as session:
        spec = ModelSpec("studio", "studio", "/models/studio", weights_digest="b" * 64)
        models.add_model(session, spec, CAPABILITIES, "ann")
        catalog.add_part(session, NewPart("BRK-1", "Bracket", {"material": "steel"}), "ann")
        revision = catalog.add_revision(session, "BRK-1", "A", "ann")
        geometry = catalog.attach_geometry(session, revision, stored, "ann")
        catalog.note_facts(geometry, GeometryFacts("step", "f" * 64, {"solids": 1}))


@pytest.fixture
def settings(database_url: str, redis_server: Redis, tmp_path: Path) -> Settings:
    return make_settings(database_url, redis_server.url, tmp_path)


@pytest.fixture
def runtime(settings: Settings) -> Iterator[Runtime]:
    made = Runtime(settings)
    fill(made)
    yield made
    made.close()


@pytest.fixture
def server(settings: Settings, runtime: Runtime) -> Iterator[HttpServer]:
    running = HttpServer(settings).start()
    yield running
    running.stop()


@pytest.fixture
def client_for(server: HttpServer, runtime: Runtime) -> Iterator[ClientOf]:
    """Clients by role (and requester); one each."""
    made: dict[tuple[str, str], Client] = {}

    def client(role: str, requester: str | None = None) -> Client:
        key = (role, requester or role)
        if key not in made:
            made[key] = client_of(server, make_token(runtime, role, requester))
        return made[key]

    yield client
    for one in made.values():
        one.close()


@pytest.fixture
def engineer(client_for: ClientOf) -> Client:
    return client_for("engineer")


@pytest.fixture
def admin(client_for: ClientOf) -> Client:
    return client_for("admin")


@pytest.fixture
def raw(server: HttpServer, runtime: Runtime) -> Iterator[httpx.Client]:
    """Plain HTTP with an admin's token, for what the typed client would never send."""
    headers = {"Authorization": f"Bearer {make_token(runtime, 'admin', 'raw')}"}
    with httpx.Client(base_url=server.url + "/api/v1", headers=headers, timeout=30) as client:
        yield client
