"""The whole service against a plain diffusers loop: the same 32 requests, the same model, in one run.

The plain loop is what somebody writes without mfgviz: read the STEP file, make the maps, call the
diffusers pipeline, save the PNG, for one request after the other. A careful one keeps the maps of a view.
The service goes through submit, claim, caches, blobs, thumbnails, records and the attach transaction, in
this very process, so that all have the same cores.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from benchmarks.geometry import largest_sample
from benchmarks.servers import Servers
from mfgviz import catalog, jobs, models, toolbox
from mfgviz.catalog import NewPart
from mfgviz.database import Database
from mfgviz.intake import Ask, Lookup, prepare
from mfgviz.models_folder import ModelSpec, find_source
from mfgviz.requests import RenderRequest, View
from mfgviz.runtime import Runtime
from mfgviz.settings import Settings
from mfgviz.vocabulary import JobState

if TYPE_CHECKING:
    import torch

    from workers.studio import StudioPipeline

JOBS = 32
PROMPTS = (
    "brushed aluminium, studio light",
    "red powder coat, white background",
    "polished brass",
    "matte steel",
)
VIEWS = ("iso", "front")


def run(servers: Servers) -> dict[str, float]:
    """Seconds of the plain loop and of the service, and service speed over raw speed."""
    db = servers.fresh_database()
    settings = Settings(
        data_dir=servers.path / "service", broker_url=servers.redis_url, cache_max_bytes=2**30
    )
    settings.data_dir.mkdir()
    runtime = Runtime(settings)
    runtime.__dict__["db"] = db
    spec = _prepare(runtime)
    loop_s, careful_s = _raw(runtime, spec)
    service_s = _service(runtime)
    runtime.close()
    return {
        "jobs": JOBS,
        "raw_s": loop_s,
        "raw_with_kept_maps_s": careful_s,
        "service_s": service_s,
        "service_over_raw": loop_s / service_s,
        "service_over_raw_with_kept_maps": careful_s / service_s,
    }


def _asks() -> list[Ask]:
    return [
        Ask(revision="BENCH-1@A", prompt=PROMPTS[n % len(PROMPTS)], seed=n, views=(VIEWS[n // 16],))
        for n in range(JOBS)
    ]


def _prepare(runtime: Runtime) -> ModelSpec:
    seen = toolbox.run_tool("inspect-model", {"spec": models.bundled_spec().as_json()})
    spec = ModelSpec.from_json(seen["spec"])
    stored = catalog.store_file(runtime.blobs, largest_sample(), 2**30)
    with runtime.db.begin() as session:
        models.refresh_model(session, spec, seen["capabilities"], "bench")
        catalog.add_part(session, NewPart("BENCH-1"), "bench")
        revision = catalog.add_revision(session, "BENCH-1", "A", "bench")
        catalog.attach_geometry(session, revision, stored, "bench")
    return spec


def _raw(runtime: Runtime, spec: ModelSpec) -> tuple[float, float]:
    """Seconds of the plain loop, and of the one that keeps the maps of a view."""
    import torch

    from workers.studio import StudioPipeline

    pipeline = StudioPipeline.from_pretrained(find_source(spec.source), dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    with runtime.db.read() as session:
        requests = [one.request for ask in _asks() for one in prepare(Lookup(session, "studio"), ask)]
    out = Path(runtime.settings.data_dir) / "raw"
    out.mkdir()
    kept: dict[View, torch.Tensor] = {}
    _picture(pipeline, requests[0], _maps_of(requests[0])).save(out / "warm-up.png")
    started = time.perf_counter()
    for number, request in enumerate(requests):
        _picture(pipeline, request, _maps_of(request)).save(out / f"{number}.png")
    between = time.perf_counter()
    for number, request in enumerate(requests):
        if request.view not in kept:
            kept[request.view] = _maps_of(request)
        _picture(pipeline, request, kept[request.view]).save(out / f"{number}.png")
    return between - started, time.perf_counter() - between


def _maps_of(request: RenderRequest) -> torch.Tensor:
    from workers.geometry import control_maps, make_camera, tessellate
    from workers.studio import control_tensor

    size = (request.sampling.width, request.sampling.height)
    mesh = tessellate(largest_sample())
    return control_tensor(control_maps(mesh, make_camera(request.view, mesh.vertices, *size), *size))


def _picture(pipeline: StudioPipeline, request: RenderRequest, control: torch.Tensor) -> Image.Image:
    import torch

    sampling = request.sampling
    made: Image.Image = pipeline(
        request.prompt,
        control_image=control,
        num_inference_steps=sampling.num_inference_steps,
        guidance_scale=sampling.guidance_scale,
        generator=torch.Generator().manual_seed(sampling.seed),
    ).images[0]
    return made


def _service(runtime: Runtime) -> float:
    from workers.host import WorkerHost

    host = WorkerHost(runtime.settings)
    host.runtime = runtime
    _submit(runtime.db, [Ask(revision="BENCH-1@A", prompt="warm up", seed=999, width=64, height=64)])
    host.render()
    started = time.perf_counter()
    ids = _submit(runtime.db, _asks())
    while host.render():
        pass
    took = time.perf_counter() - started
    with runtime.db.read() as session:
        assert all(jobs.get(session, job_id).state == JobState.SUCCEEDED for job_id in ids)
    return took


def _submit(db: Database, asks: list[Ask]) -> list[int]:
    with db.begin() as session:
        lookup = Lookup(session, "studio")
        submissions = [one for ask in asks for one in prepare(lookup, ask)]
        return [answer.job_id for answer in jobs.submit(session, submissions, "bench")]
