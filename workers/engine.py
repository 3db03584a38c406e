"""One claim, from the rows to the attached pictures.

The numbered steps of `Engine.run`: 1. look up what the jobs show, 2. make the control maps, 3. load
the model, 4. sample batch by batch, 5. judge, and try again where the job wants that, 6. store and attach.
Whatever goes wrong ends as a state of the job it belongs to, with its cause; nothing is raised to Celery.
"""

from __future__ import annotations

import logging
import platform
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import version
from typing import TYPE_CHECKING, TypeVar

from PIL import Image as PilImage
from sqlalchemy import select
from sqlalchemy.orm import joinedload

from mfgviz import jobs, models, provenance, renditions
from mfgviz.errors import (
    BlobDamagedError,
    DatabaseUnavailableError,
    InvalidModelError,
    JobCancelledError,
    LeaseLostError,
    MfgvizError,
    OutOfMemoryError,
    ShutdownError,
    StorageUnavailableError,
    UnavailableError,
)
from mfgviz.jobs import Claim, Claimant, ClaimedJob, Failure, NewRendition
from mfgviz.models_folder import ModelSpec
from mfgviz.records import PartRevision
from mfgviz.renditions import Made, Shown
from mfgviz.requests import CLAY, RenderRequest
from mfgviz.runtime import Runtime
from mfgviz.vocabulary import CUSTOM_VIEW, FidelityVerdict, Mode
from workers import notes
from workers.lease import LeaseKeeper
from workers.limits import Limits
from workers.maps import MapsSource, is_cut
from workers.shots import Shot, in_chunks, make_batch
from workers.telling import Teller

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from workers.devices import ModelPool
    from workers.families.protocol import Maps, StepInfo

log = logging.getLogger(__name__)

TRIES = 4
T = TypeVar("T")


@dataclass(slots=True)
class OpenJob:
    """A claimed job with what is needed for it, and the pictures it has so far."""

    job: ClaimedJob
    shown: Shown
    file_name: str
    done: list[NewRendition] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class Engine:
    """Renders claims on one device. One thread at a time may run it."""

    def __init__(self, runtime: Runtime, worker: str, pool: ModelPool) -> None:
        self._runtime, self._pool, self._worker = runtime, pool, worker
        settings = runtime.settings
        self._threshold = settings.fidelity_threshold
        self._limits = Limits(settings.soft_time_limit_s, settings.hard_time_limit_s)
        self._maps = MapsSource.from_settings(settings, runtime.blobs)
        self.stopping = threading.Event()
        self.busy_since: float | None = None
        self.avoiding: str | None = None
        self._keeper: LeaseKeeper | None = None
        self._claiming = threading.Lock()
        self.software = software_versions(pool)

    @property
    def device_name(self) -> str:
        """What samples."""
        return self._pool.device.name

    @property
    def batch_images(self) -> int:
        """How many images are sampled together. On a CPU one: its kernels sum in another order for another
        batch, and a picture must not depend on its company; nor does a batch make it faster there."""
        return 1 if self._pool.device.torch_device.type == "cpu" else self._runtime.settings.claim_images

    @property
    def loaded_model(self) -> str | None:
        """The name of the model used last."""
        resident = self._pool.resident()
        return resident[-1].name if resident else None

    def warm_up(self, model_name: str) -> None:
        """Import what the model's family needs, so that the first job need not wait for it.

        Raises:
            UnavailableError, ModelNotFoundError, InvalidModelError: it cannot be looked up.
        """
        from workers.families.protocol import get_family

        with self._runtime.db.read() as session:
            family = models.get_model(session, model_name).family
        get_family(family)

    def render_next(self) -> Claim | None:
        """Claim a batch and render it; None where nothing waits or the worker is stopping."""
        settings = self._runtime.settings
        claimant = Claimant(
            self._worker, self.batch_images, self.loaded_model, settings.lease_s, self.avoiding
        )
        with self._claiming:
            claim = None if self.stopping.is_set() else jobs.claim(self._runtime.db, claimant)
            if claim is None:
                return None
            self._keeper = LeaseKeeper(self._runtime.db, claim, self._limits, self.stopping)
        self.busy_since = time.monotonic()
        try:
            self.run(self._keeper)
        finally:
            self._keeper = self.busy_since = None
        return claim

    def run(self, keeper: LeaseKeeper) -> None:
        """Render all jobs of a claim; each ends in a state of its own."""
        claim = keeper.claim
        self._tell_moved(*claim.jobs)
        with keeper, self._ending([job.id for job in claim.jobs], keeper):
            opened = {one.job.id: one for one in self._insist(lambda: self._open(claim))}
            shots = [shot for one in opened.values() for shot in self._shots(one, keeper)]
            self._sample_jobs(shots, opened, keeper)
        self._runtime.live.drop_preview([job.id for job in claim.jobs])
        self._tell_moved(*claim.jobs)

    def give_back(self) -> list[int]:
        """Hand back what this engine still works on, from another thread; the ids.

        Its leases are gone with that: whatever the engine does afterwards, it cannot complete these jobs.

        Raises:
            UnavailableError: the database does not answer.
        """
        with self._claiming:  # a claim that is being made belongs to it, too
            keeper = self._keeper
        given: list[int] = []
        if keeper is not None:
            for job_id in sorted(keeper.open_jobs):
                with suppress(LeaseLostError):
                    jobs.hand_back(self._runtime.db, keeper.claim, job_id)
                    given.append(job_id)
                keeper.close_job(job_id)
        return given

    def _tell_moved(self, *moved: ClaimedJob) -> None:
        Teller(self._runtime.live, moved).moved()

    # -- 1. what the jobs show -------------------------------------------------------------------------
    def _open(self, claim: Claim) -> list[OpenJob]:
        ids = {job.revision_id for job in claim.jobs}
        with self._runtime.db.read() as session:
            query = select(PartRevision).where(PartRevision.id.in_(ids))
            query = query.options(joinedload(PartRevision.part), joinedload(PartRevision.geometry))
            revisions = {revision.id: revision for revision in session.scalars(query)}
        opened = []
        for job in claim.jobs:
            revision = revisions[job.revision_id]
            shown = Shown(revision.part.number, revision.label, job.request, job.request.fingerprint())
            geometry = revision.geometry
            name = geometry.file_name if geometry and geometry.digest == job.request.geometry_digest else ""
            opened.append(OpenJob(job, shown, name))
        return opened

    # -- 2. control maps ---------------------------------------------------------------------------------
    def _shots(self, opened: OpenJob, keeper: LeaseKeeper) -> list[Shot]:
        """The job's images; none where its geometry or its starting image cannot be used."""
        request = opened.job.request
        shots: list[Shot] = []
        with self._ending([opened.job.id], keeper):
            keeper.step(0, request.sampling.num_inference_steps, frozenset({opened.job.id}))
            maps = self._maps.maps(request, opened.file_name) if needs_maps(request) else None
            if maps is not None and request.view.name == CUSTOM_VIEW and is_cut(maps):
                opened.notes.append("The part reaches beyond the frame.")
            start = self._starting_image(opened.job, maps)
            shots = [Shot.first(opened.job, index, maps, start) for index in range(request.sampling.count)]
        return shots

    def _starting_image(self, job: ClaimedJob, maps: Maps | None) -> NDArray[np.uint8] | None:
        import numpy as np

        conditioning, sampling = job.request.conditioning, job.request.sampling
        if conditioning.mode is not Mode.IMAGE or conditioning.image is None:
            return None
        if conditioning.image == CLAY and maps is not None:
            grey = np.rint(maps.clay * 255).astype(np.uint8)
            return np.repeat(grey[..., None], 3, axis=2)
        content = self._runtime.blobs.get(conditioning.image)
        image = provenance.starting_image(content, "The starting image")
        return np.asarray(image.resize((sampling.width, sampling.height), PilImage.Resampling.LANCZOS))

    # -- 3. the model ------------------------------------------------------------------------------------
    def _spec(self, job: ClaimedJob) -> ModelSpec:
        with self._runtime.db.read() as session:
            model = models.get_model(session, job.request.model.name)
        spec = models.spec_of(model)
        if model.weights_digest != job.request.model.weights_digest:
            raise InvalidModelError(
                f"The model {model.name} has other weights now than when the job was submitted.",
                remedy="Submit the job again.",
            )
        return spec

    # -- 4. sampling ----------------------------------------------------------------------------------
    def _sample_jobs(self, shots: list[Shot], opened: dict[int, OpenJob], keeper: LeaseKeeper) -> None:
        most = self.batch_images
        ids = list(dict.fromkeys(shot.job.id for shot in shots))
        if not ids:
            return
        if len(ids) > 1:
            try:
                self._sample(shots, opened, keeper, most)
            except Exception as error:  # noqa: BLE001 - as in _ending; which job is to blame is found below
                if isinstance(error, ShutdownError) or is_outage(error):
                    self._end([i for i in ids if i in keeper.open_jobs], error, keeper)
                    return
                log.warning("a batch of %d jobs failed (%s): one at a time", len(ids), error)
                for job_id in ids:
                    self._sample_jobs([s for s in shots if s.job.id == job_id], opened, keeper)
            return
        with self._ending(ids, keeper):
            self._sample(shots, opened, keeper, most)

    def _sample(self, shots: list[Shot], opened: dict[int, OpenJob], keeper: LeaseKeeper, most: int) -> None:
        from workers.devices import sample_within_memory

        spec = self._insist(lambda: self._spec(shots[0].job))
        with self._pool.use(spec, verify_weights) as model:
            chunks = in_chunks(shots, most)
            for number, chunk in enumerate(chunks):  # it grows by what is tried again
                chunk = [s for s in chunk if s.job.id in keeper.open_jobs and not _made(opened, s)]  # noqa: PLW2901
                if not chunk:
                    continue
                for shot in chunk:
                    told = opened[shot.job.id].notes
                    told += [one for one in notes.of_cuts(model, shot) if one not in told]
                teller = Teller(self._runtime.live, [shot.job for shot in chunk])
                on_step = _progress_of(keeper, teller, chunk, (number, len(chunks)))
                try:
                    images = sample_within_memory(model, make_batch(chunk), on_step)
                except (JobCancelledError, LeaseLostError):
                    continue  # that is the end of this chunk's jobs alone
                chunks += in_chunks(self._judge(chunk, images, opened, keeper), most)

    # -- 5. judge ------------------------------------------------------------------------------------------
    def _judge(
        self,
        chunk: Sequence[Shot],
        images: Sequence[NDArray[np.uint8]],
        opened: dict[int, OpenJob],
        keeper: LeaseKeeper,
    ) -> list[Shot]:
        """Keep what shows its part, or may not be tried again; what is to be tried again."""
        again = []
        for shot, image in zip(chunk, images, strict=True):
            judged = shot.judged(image)
            following = judged.again(self._threshold)
            if following is None:
                self._keep(judged, opened[shot.job.id], keeper)
            else:
                again.append(following)
        return again

    # -- 6. store and attach -----------------------------------------------------------------------------
    def _keep(self, shot: Shot, opened: OpenJob, keeper: LeaseKeeper) -> None:
        """Store a shot's best image; when it was the job's last, attach them all and end the job."""
        job_id = shot.job.id
        if job_id not in keeper.open_jobs:
            return
        made = Made(
            index=shot.index,
            seed=shot.best.seed,
            control_scale=shot.best.control_scale,
            fidelity=shot.best.probability,
            fidelity_verdict=shot.verdict(self._threshold),
            fidelity_details=shot.details(self._threshold),
        )
        picture = PilImage.fromarray(shot.best.image)
        store = partial(renditions.store, self._runtime.blobs, picture, opened.shown, made, self.software)
        opened.done.append(self._insist(store))
        if made.fidelity_verdict is FidelityVerdict.MARKED:
            opened.notes.append(notes.of_mark(made))
        if len(opened.done) < shot.job.request.sampling.count:
            return
        told = [*opened.notes, *notes.of_scenes(shot.job.request.prompt, opened.done)]
        complete = partial(jobs.complete, self._runtime.db, keeper.claim, job_id, opened.done, told)
        try:
            self._insist(complete)
        except LeaseLostError:
            # Or it is complete, and only the database's answer was lost. The others of the batch are ours.
            log.info("job %d is not ours any more", job_id)
            keeper.close_job(job_id)
            return
        keeper.close_job(job_id)
        self._tell_moved(shot.job)
        log.info("job %d: %d image(s) attached", job_id, len(opened.done))

    # -- how things end ------------------------------------------------------------------------------------
    @contextmanager
    def _ending(self, ids: Sequence[int], keeper: LeaseKeeper) -> Iterator[None]:
        """A block whose errors become the end of its jobs. It is the border to code of all kinds
        (torch, diffusers, third-party families), hence the broad except: a job ends with its cause."""
        try:
            yield
        except Exception as error:  # noqa: BLE001
            self._end([job_id for job_id in ids if job_id in keeper.open_jobs], error, keeper)

    def _end(self, ids: Sequence[int], error: Exception, keeper: LeaseKeeper) -> None:
        """Give each job the state that the error stands for."""
        for job_id in ids:
            keeper.close_job(job_id)
            try:
                self._insist(partial(self._end_one, job_id, error, keeper.claim))
            except LeaseLostError:
                log.info("job %d is not ours any more", job_id)
            except UnavailableError as unavailable:
                log.warning("job %d: its end is left to a sweep: %s", job_id, unavailable.message)

    def _end_one(self, job_id: int, error: Exception, claim: Claim) -> None:
        db = self._runtime.db
        if isinstance(error, ShutdownError):
            jobs.hand_back(db, claim, job_id)
        elif isinstance(error, JobCancelledError):
            jobs.confirm_cancel(db, claim, job_id)
        elif isinstance(error, LeaseLostError):
            log.info("job %d is not ours any more", job_id)
        elif is_outage(error):
            jobs.put_off(db, claim, job_id, self._failure(error))
            log.warning("job %d is put off: %s", job_id, error)
        else:
            state = jobs.fail(db, claim, job_id, self._failure(error))
            log.warning("job %d is %s after: %s", job_id, state, error)

    def _failure(self, error: Exception) -> Failure:
        from workers.devices import is_out_of_memory

        delay_s = self._runtime.settings.retry_delay_s
        if isinstance(error, MfgvizError):
            return Failure.of(error, delay_s)
        if is_out_of_memory(error):
            ours = OutOfMemoryError(
                f"Memory ran out: {error}.", remedy="Use a smaller size, or another host."
            )
            return Failure.of(ours, delay_s)
        log.error("unexpected error", exc_info=error)
        told = f"{type(error).__name__}: {error}"
        return Failure("unexpected", told, retryable=True, delay_s=delay_s)

    def _insist(self, action: Callable[[], T]) -> T:
        """Ask the database or the blob store, again after a short outage: hours of sampling must not hang
        on a blink."""
        for tried in range(1, TRIES):
            try:
                return action()
            except UnavailableError as error:
                log.warning("tried again soon: %s", error.message)
                self.stopping.wait(2.0**tried)
        return action()


def is_outage(error: Exception) -> bool:
    """Whether something that all jobs need is away: it is no job's fault, and will come back."""
    away = isinstance(error, DatabaseUnavailableError | StorageUnavailableError)
    return away and not isinstance(error, BlobDamagedError)


def needs_maps(request: RenderRequest) -> bool:
    """Whether the true geometry holds the picture."""
    return request.conditioning.mode is not Mode.TEXT


def verify_weights(spec: ModelSpec) -> None:
    """Refuse weights that are not the recorded ones. Raises InvalidModelError."""
    from mfgviz.models_folder import spec_digest

    found = spec_digest(spec)
    if spec.weights_digest and found != spec.weights_digest:
        raise InvalidModelError(
            f"The weights of {spec.name} on this host are not the recorded ones.",
            remedy="Copy the recorded weights here, or record these: "
            f"mfgviz models check {spec.name} --refresh",
        )


def software_versions(pool: ModelPool) -> dict[str, str]:
    """What a picture depends on besides its request: the versions, and the device."""
    found = {name: version(name) for name in ("torch", "diffusers", "transformers")}
    return {**found, "python": platform.python_version(), "device": pool.device.name}


def _made(opened: dict[int, OpenJob], shot: Shot) -> bool:
    return any(kept.index == shot.index for kept in opened[shot.job.id].done)


def _progress_of(
    keeper: LeaseKeeper, teller: Teller, chunk: Sequence[Shot], part: tuple[int, int]
) -> Callable[[StepInfo], None]:
    """Steps are counted over all chunks of the claim; `part` is this chunk's number, and their count."""
    ids = frozenset(shot.job.id for shot in chunk)
    number, chunks = part

    def on_step(info: StepInfo) -> None:
        step, total = number * info.total + info.step, chunks * info.total
        keeper.step(step, total, ids)
        teller.step(step, total, info)

    return on_step
