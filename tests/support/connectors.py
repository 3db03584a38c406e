"""Connectors at work on a data folder of their own, through the database or through a server."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from PIL import Image

from mfgviz import jobs, models, renditions, schema
from mfgviz.client import Client
from mfgviz.jobs import Claimant
from mfgviz.models_folder import ModelSpec
from mfgviz.plm import House, PlmConnection, Report, Round
from mfgviz.renditions import Made, Shown
from mfgviz.runtime import Runtime
from mfgviz.service import Service
from mfgviz.settings import Settings
from mfgviz.vocabulary import SAMPLERS
from mfgviz.wire import EventInfo
from tests.support.http import HttpServer, make_token

CAPABILITIES = {
    "modes": ["control"], "samplers": list(SAMPLERS), "multiple_of_px": 16, "max_pixels": 1024 * 1024,
    "native_size_px": 64, "default_sampler": "ddim", "default_steps": 2, "default_guidance_scale": 2.0,
}  # fmt: skip


def step(word: str) -> bytes:
    """Something that begins and ends as a STEP file does; each word's is another."""
    return f"ISO-10303-21;\n/* {word} */\nEND-ISO-10303-21;\n".encode()


def make_template(folder: Path) -> Path:
    """A migrated data folder with a model, to be copied."""
    runtime = Runtime(Settings(data_dir=folder))
    schema.upgrade(runtime.db)
    with runtime.db.begin() as session:
        spec = ModelSpec("studio", "studio", "x", weights_digest="b" * 64)
        models.add_model(session, spec, CAPABILITIES, "ann")
    runtime.close()
    return folder


@dataclass
class Site:
    """A data folder, and who works through its doors."""

    runtime: Runtime
    doors: Service | Client
    server: HttpServer | None = None
    reports: list[Report] = field(default_factory=list)

    @property
    def service(self) -> Service:
        return Service(self.runtime, "tests")

    def house(self) -> House:
        return House(self.doors, report=self.reports.append)

    def told(self, what: str) -> list[str]:
        return [one.subject for one in self.reports if one.what == what]

    def refusals(self) -> list[EventInfo]:
        return self.service.event_log(kind="file").items[::-1]

    def render_all(self, colour: int = 40) -> int:
        """What a worker does with all jobs that wait; how many there were."""
        for number in range(100):
            claim = jobs.claim(self.runtime.db, Claimant("host:1", max_images=1))
            if claim is None:
                return number
            for job in claim.jobs:
                shown = Shown("P", "A", job.request, job.request.fingerprint())
                made = [
                    renditions.store(
                        self.runtime.blobs,
                        Image.new("RGB", (64, 64), (colour, index, job.id)),
                        shown,
                        Made(index, index),
                        {"torch": "2"},
                    )
                    for index in range(job.request.sampling.count)
                ]
                jobs.complete(self.runtime.db, claim, job.id, made)
        raise AssertionError("jobs without end")


@contextmanager
def site_of(template: Path, folder: Path, door: str) -> Iterator[Site]:
    """A copy of the template, and doors to it: `service` or `server`."""
    shutil.copytree(template, folder)
    settings = Settings(data_dir=folder, requester="drop", log_level="ERROR")
    runtime = Runtime(settings)
    if door == "service":
        yield Site(runtime, Service(runtime, "drop"))
    else:
        server = HttpServer(replace(settings, requests_per_minute=100_000)).start()
        with Client(server.url, make_token(runtime, "approver", "drop")) as client:
            yield Site(runtime, client, server)
        server.stop()
    runtime.close()


def settle(connection: PlmConnection) -> Round:
    """Rounds until nothing is left to do."""
    total = 0
    for _ in range(50):
        done = connection.round()
        total += done.done
        if not done.unsettled and not done.done:
            return Round(total)
    raise AssertionError("it does not settle")
