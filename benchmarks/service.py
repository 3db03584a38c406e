"""The whole service against a plain loop: the same 32 requests, the same model, in one run.

The plain loop is what somebody writes without mfgviz: read the STEP file, make the maps, call the
diffusers pipeline, save the PNG, for one request after the other. The service goes through submit,
claim, batches, caches, blobs, records and the attach transaction, in this very process, so that both
have the same cores.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from PIL import Image

from benchmarks.geometry import largest_sample
from benchmarks.servers import Servers
from mfgviz import catalog, jobs, models, toolbox
from mfgviz.catalog import NewPart
from mfgviz.database import Database
from mfgviz.intake import Ask, Lookup, prepare
from mfgviz.models_folder import ModelSpec
from mfgviz.runtime import Runtime
from mfgviz.settings import Settings
from mfgviz.vocabulary import JobState

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
    raw_s, service_s = _raw(runtime, spec), _service(runtime)
    runtime.close()
    return {"jobs": JOBS, "raw_s": raw_s, "service_s": service_s, "service_over_raw": raw_s / service_s}


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


def _raw(runtime: Runtime, spec: ModelSpec) -> float:
    from workers.devices import choose_device
    from workers.families.protocol import SampleBatch, get_family
    from workers.geometry import control_maps, make_camera, tessellate

    model = get_family(spec.family).load(spec, choose_device(runtime.settings.device))
    with runtime.db.read() as session:
        requests = [one.request for ask in _asks() for one in prepare(Lookup(session, "studio"), ask)]
    out = Path(runtime.settings.data_dir) / "raw"
    out.mkdir()
    warm = requests[0]
    started = time.perf_counter()
    for number, request in enumerate([replace(warm, prompt="warm up"), *requests]):
        if number == 1:
            started = time.perf_counter()
        sampling = request.sampling
        mesh = tessellate(largest_sample())
        camera = make_camera(request.view, mesh.vertices, sampling.width, sampling.height)
        maps = control_maps(mesh, camera, sampling.width, sampling.height)
        batch = SampleBatch(
            prompts=[request.prompt],
            negative_prompts=[request.negative_prompt],
            seeds=[sampling.seed],
            width=sampling.width,
            height=sampling.height,
            num_inference_steps=sampling.num_inference_steps,
            guidance_scale=sampling.guidance_scale,
            sampler=sampling.sampler,
            mode=request.conditioning.mode,
            control=[maps],
        )
        (image,) = model.sample(batch, lambda _info: None)
        Image.fromarray(image).save(out / f"{number}.png")
    took = time.perf_counter() - started
    model.unload()
    return took


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
