"""An embedded installation with real files, and the program in processes of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from PIL import Image

from mfgviz import catalog, jobs, models, renditions
from mfgviz.catalog import StoredFile
from mfgviz.models_folder import ModelSpec
from mfgviz.renditions import Made, Shown
from mfgviz.requests import ModelChoice, RenderRequest, SamplingSettings
from mfgviz.runtime import Runtime
from tests.support.commands import Answer

STEP = Path(__file__).parent.parent.parent / "mfgviz" / "samples" / "bracket.step"
WEIGHTS = "b" * 64


def fill(runtime: Runtime, number: str = "BRK-1", images: int = 1) -> int:
    """A part with its CAD file and a job that has succeeded; the job's id."""
    digest = runtime.blobs.put_file(STEP)
    with runtime.db.begin() as session:
        if not models.list_models(session):
            models.add_model(session, ModelSpec("studio", "studio", "x", weights_digest=WEIGHTS), {}, "ann")
        catalog.add_part(session, catalog.NewPart(number), "ann")
        revision = catalog.add_revision(session, number, "A", "ann")
        catalog.attach_geometry(session, revision, StoredFile(digest, STEP.stat().st_size, "b.step"), "ann")
    return finish(runtime, submit(runtime, revision.id, digest, images))


def submit(runtime: Runtime, revision_id: int, digest: str, images: int = 1, prompt: str = "brass") -> int:
    """A job that waits; its id."""
    sampling = SamplingSettings("ddim", 4, 2.0, count=images)
    request = RenderRequest(digest, prompt, ModelChoice("studio", WEIGHTS, "studio"), sampling)
    with runtime.db.begin() as session:
        (job,) = jobs.submit(session, [jobs.Submission(revision_id, request)], "ann")
    return job.job_id


def finish(runtime: Runtime, job_id: int) -> int:
    """Claim that job and attach pictures to it, which are the same for the same job."""
    claim = jobs.claim(runtime.db, jobs.Claimant("host:1"))
    assert claim is not None
    assert [job.id for job in claim.jobs] == [job_id]
    (job,) = claim.jobs
    with runtime.db.read() as session:
        revision = jobs.get(session, job_id).revision
        shown = Shown(revision.part.number, revision.label, job.request, job.request.fingerprint())
    kept = [
        renditions.store(
            runtime.blobs,
            Image.new("RGB", (64, 64), (200, len(shown.part_number), 100 * index)),
            shown,
            Made(index, job.request.sampling.seed + index),
            {"torch": "2"},
        )
        for index in range(job.request.sampling.count)
    ]
    jobs.complete(runtime.db, claim, job_id, kept)
    return job_id


def program(*arguments: str, data_dir: Path, **environment: str) -> subprocess.Popen[str]:
    """`mfgviz …` as a process of its own, on that data folder."""
    told = {"MFGVIZ_DATA_DIR": str(data_dir), "MFGVIZ_REQUESTER": "ann", **environment}
    return subprocess.Popen(
        [sys.executable, "-m", "mfgviz.cli", *arguments],
        env={**os.environ, **told},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def mfgviz(*arguments: str, data_dir: Path, **environment: str) -> Answer:
    """What `mfgviz … --json` answers."""
    process = program(*arguments, "--json", data_dir=data_dir, **environment)
    out, err = process.communicate()
    return Answer(process.returncode, out, err)


def names_in(folder: Path) -> list[str]:
    """The backups in a folder, oldest first."""
    return sorted(path.stem for path in folder.glob("[0-9]*Z.json"))


def manifest(folder: Path, name: str) -> dict[str, object]:
    """A backup's manifest."""
    told: dict[str, object] = json.loads((folder / f"{name}.json").read_text())
    return told
