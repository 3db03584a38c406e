"""A catalogue with a model and no worker: jobs are finished by hand."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import select

from mfgviz import automation, catalog, jobs, models, wire
from mfgviz.catalog import GeometryFacts, NewPart, StoredFile
from mfgviz.jobs import Claimant, NewRendition
from mfgviz.models_folder import ModelSpec
from mfgviz.records import Event, RenderJob, Rendition, RuleRun
from mfgviz.runtime import Runtime
from mfgviz.service import Service
from mfgviz.settings import Settings
from mfgviz.vocabulary import LifecycleState

CAPABILITIES = {
    "modes": ["control", "text", "image"], "samplers": ["ddim", "ddpm"], "default_sampler": "ddim",
    "default_steps": 4, "default_guidance_scale": 2.0, "native_size_px": 512, "multiple_of_px": 16,
    "max_pixels": 1024 * 1024, "lora": False, "max_prompt_tokens": 77,
}  # fmt: skip


@dataclass
class Shop:
    """A service, and short ways to make things happen in it."""

    runtime: Runtime
    service: Service

    def part(self, number: str, **attributes: str | float | bool) -> None:
        with self.runtime.db.begin() as session:
            catalog.add_part(session, NewPart(number, attributes=attributes), "ann")

    def revise(self, number: str, label: str, shape: str | None = "s1", file: str | None = None) -> str:
        """A revision with a CAD file of that shape (already looked into), or without one; its reference."""
        with self.runtime.db.begin() as session:
            revision = catalog.add_revision(session, number, label, "ann")
            if shape is not None:
                digest = (file or f"{number}{label}").encode().hex().rjust(64, "0")[-64:]
                geometry = catalog.attach_geometry(session, revision, StoredFile(digest, 9, "p.step"), "ann")
                facts = GeometryFacts("step", shape.encode().hex().rjust(64, "0"), {"solids": 1})
                catalog.note_facts(geometry, facts)
        return f"{number}@{label}"

    def release(self, reference: str, actor: str = "eve") -> None:
        with self.runtime.db.begin() as session:
            revision = catalog.get_revision(session, reference)
            catalog.set_lifecycle_state(
                session, revision, LifecycleState.RELEASED, actor, needs_approved_image=False
            )

    def follow(self) -> int:
        """Do what follows from the events that wait; how many there were."""
        return automation.process(self.runtime)

    def rule(self, name: str = "hero", on: str = "revision.released", **options: object) -> wire.Rule:
        ask = options.pop("ask", {"template": "hero", "views": ["iso"]})
        plain = {"name": name, "on": on, "ask": ask, "everything": "where" not in options, **options}
        return self.service.add_rule(wire.read(wire.NewRule, plain))

    def finish(self) -> list[int]:
        """Let a worker finish all jobs that wait; their ids."""
        done: list[int] = []
        while (claim := jobs.claim(self.runtime.db, Claimant("host:1"))) is not None:
            for job in claim.jobs:
                pictures = [
                    NewRendition(index, index, (512, 512), "c" * 64, "d" * 64, "e" * 64)
                    for index in range(job.request.sampling.count)
                ]
                jobs.complete(self.runtime.db, claim, job.id, pictures)
                done.append(job.id)
        return done

    def jobs_of(self, reference: str) -> list[RenderJob]:
        with self.runtime.db.read() as session:
            revision = catalog.get_revision(session, reference)
            query = select(RenderJob).where(RenderJob.revision_id == revision.id).order_by(RenderJob.id)
            return list(session.scalars(query))

    def renditions_of(self, reference: str) -> list[Rendition]:
        with self.runtime.db.read() as session:
            revision = catalog.get_revision(session, reference)
            query = select(Rendition).where(Rendition.revision_id == revision.id).order_by(Rendition.id)
            return list(session.scalars(query))

    def runs(self) -> list[RuleRun]:
        with self.runtime.db.read() as session:
            return list(session.scalars(select(RuleRun).order_by(RuleRun.id)))

    def events(self, kind: str) -> list[Event]:
        with self.runtime.db.read() as session:
            return list(session.scalars(select(Event).where(Event.kind == kind).order_by(Event.id)))


@pytest.fixture
def shop(database_url: str, tmp_path: Path) -> Iterator[Shop]:
    settings = Settings(
        data_dir=tmp_path / "data",
        database_url=database_url,
        broker_url=f"redis+socket://{tmp_path}/nobody.sock",
        blob_url=(tmp_path / "blobs").as_uri(),
        requester="ann",
        default_model="studio",
    )
    runtime = Runtime(settings)
    with runtime.db.begin() as session:
        spec = ModelSpec("studio", "studio", "/models/studio", weights_digest="b" * 64)
        models.add_model(session, spec, CAPABILITIES, "ann")
    made = Shop(runtime, Service(runtime, "ann"))
    made.part("BRK-1", material="steel", category="bracket")
    yield made
    runtime.close()
