"""A migrated data folder, and the program run in this process as its own `main` runs it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from mfgviz import catalog, cli, jobs, models, renditions, schema
from mfgviz.catalog import StoredFile
from mfgviz.jobs import Claimant
from mfgviz.models_folder import ModelSpec
from mfgviz.renditions import Made, Shown
from mfgviz.runtime import Runtime
from mfgviz.settings import Settings
from mfgviz.vocabulary import SAMPLERS
from tests.support.commands import Answer, Run
from tests.support.http import HttpServer, make_token

CAPABILITIES = {
    "modes": ["control", "image", "text"],
    "samplers": list(SAMPLERS),
    "multiple_of_px": 16,
    "max_pixels": 1024 * 1024,
    "native_size_px": 512,
    "default_sampler": "ddim",
    "default_steps": 8,
    "default_guidance_scale": 2.0,
}


@pytest.fixture
def runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Runtime]:
    """A migrated data folder with the part BRK-1, its revision A and a model."""
    monkeypatch.setenv("MFGVIZ_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("MFGVIZ_REQUESTER", "ann")
    monkeypatch.setenv("MFGVIZ_LOG_LEVEL", "ERROR")
    monkeypatch.setenv("MFGVIZ_SERVER_URL", "")  # --server sets it for the whole process
    made = Runtime(Settings(data_dir=tmp_path / "data"))
    schema.upgrade(made.db)
    with made.db.begin() as session:
        models.add_model(
            session, ModelSpec("studio", "studio", "x", weights_digest="b" * 64), CAPABILITIES, "ann"
        )
        catalog.add_part(session, catalog.NewPart("BRK-1", "Bracket", {"material": "steel"}), "ann")
        revision = catalog.add_revision(session, "BRK-1", "A", "ann")
        catalog.attach_geometry(session, revision, StoredFile("a" * 64, 10, "b.step"), "ann")
    yield made
    made.close()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test marked `both_doors` runs once against the database and once against a server."""
    if metafunc.definition.get_closest_marker("both_doors"):
        metafunc.parametrize("door", ["local", "server"], indirect=True)


@pytest.fixture
def server(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> Iterator[HttpServer]:
    """A real server over the data folder, and settings that let commands ask it as an admin named ann."""
    running = HttpServer(replace(runtime.settings, requests_per_minute=100_000)).start()
    monkeypatch.setenv("MFGVIZ_SERVER_URL", running.url)
    monkeypatch.setenv("MFGVIZ_TOKEN", make_token(runtime, "admin", "ann"))
    yield running
    running.stop()


@pytest.fixture
def door(request: pytest.FixtureRequest) -> str:
    """What commands ask: `local` is the database, `server` an HTTP server."""
    which: str = getattr(request, "param", "local")
    if which == "server":
        request.getfixturevalue("server")
    return which


@pytest.fixture
def run(
    runtime: Runtime, door: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Run:
    """Runs the program's own `main`, exit code and all."""
    del runtime, door

    def act(*arguments: str) -> Answer:
        monkeypatch.setattr(sys, "argv", ["mfgviz", *arguments])
        capsys.readouterr()
        try:
            cli.main()
            code = 0
        except SystemExit as done:
            code = int(done.code or 0)
        told = capsys.readouterr()
        return Answer(code, told.out, told.err)

    return act


@pytest.fixture
def rendered(runtime: Runtime, run: Run) -> int:
    """A job that has succeeded; the id of its render."""
    run("jobs", "submit", "BRK-1@A", "{material}", "--seed", "3")
    claim = jobs.claim(runtime.db, Claimant("host:1"))
    assert claim is not None
    (job,) = claim.jobs
    shown = Shown("BRK-1", "A", job.request, job.request.fingerprint())
    kept = renditions.store(
        runtime.blobs, Image.new("RGB", (64, 64), (200, 30, 40)), shown, Made(0, 3), {"torch": "2"}
    )
    return jobs.complete(runtime.db, claim, job.id, [kept])[0]
