"""Holding a claim: renewing its lease from the sampling callback, and from a thread between steps.

Every step asks whether its jobs are still wanted, which only reads; the lease is renewed once a second, for
a thousand workers with twenty steps a second would write nothing but "still here".

The callback alone would not do: loading a model or meshing a part takes longer than a lease. The
thread alone would not do either: it would keep a hung sampler's jobs for ever. So the thread renews
only while the batch is younger than the hard time limit.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from types import TracebackType

from mfgviz import jobs
from mfgviz.database import Database
from mfgviz.errors import (
    JobCancelledError,
    LeaseLostError,
    ShutdownError,
    TimeLimitError,
    UnavailableError,
)
from mfgviz.jobs import Claim
from workers.limits import Limits

log = logging.getLogger(__name__)

# A step renews the lease, and notes its number, when that was so long ago; a short lease sooner.
RENEWED_EVERY_S = 1.0


class LeaseKeeper:
    """Keeps a claim alive while its block runs, and says at every step which jobs to stop for."""

    def __init__(self, db: Database, claim: Claim, limits: Limits, stopping: threading.Event) -> None:
        self.claim = claim
        self._db, self._limits, self._stopping = db, limits, stopping
        self._done = threading.Event()
        self._lock = threading.Lock()
        self._started = time.monotonic()
        self._renewed = -math.inf
        self._progress = (0, 0)
        self.open_jobs: set[int] = {job.id for job in claim.jobs}
        self._thread = threading.Thread(target=self._renew, name="lease", daemon=True)

    def __enter__(self) -> LeaseKeeper:
        self._thread.start()
        return self

    def __exit__(self, *_exc: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._done.set()
        self._thread.join(timeout=30)

    def step(self, step: int, total: int, sampling: frozenset[int]) -> None:
        """Note a sampling step; end the jobs that were cancelled.

        Raises:
            JobCancelledError: every job that is being sampled was cancelled.
            LeaseLostError: every job that is being sampled belongs to somebody else now.
            ShutdownError: this worker is stopping.
            TimeLimitError: the batch has run for too long.
        """
        self._progress = (step, total)
        if self._stopping.is_set():
            raise ShutdownError
        if time.monotonic() - self._started > self._limits.soft_s:
            raise TimeLimitError(f"The batch ran longer than {self._limits.soft_s:g} s.")
        is_due = time.monotonic() - self._renewed >= min(RENEWED_EVERY_S, self.claim.lease_s / 4)
        lost = self._beat(renewing=is_due)
        if not sampling & self.open_jobs:
            raise LeaseLostError if lost & sampling else JobCancelledError

    def close_job(self, job_id: int) -> None:
        """The job has ended: it is not watched any more."""
        self.open_jobs.discard(job_id)

    def _beat(self, *, renewing: bool = True) -> frozenset[int]:
        """Renew the lease, or only look; the jobs that were found lost. Cancelled ones are ended here."""
        with self._lock:
            watched = frozenset(self.open_jobs)
            try:
                if renewing:
                    reply = jobs.heartbeat(self._db, self.claim, *self._progress)
                    self._renewed = time.monotonic()
                else:
                    reply = jobs.look(self._db, self.claim)
            except UnavailableError as error:
                # The lease outlives a short outage; a long one is decided by the sweep.
                log.warning("heartbeat failed: %s", error.message)
                return frozenset()
            lost = watched - reply.held
            self.open_jobs -= lost
            for job_id in reply.cancel_requested & watched:
                try:
                    jobs.confirm_cancel(self._db, self.claim, job_id)
                except UnavailableError as error:
                    log.warning("job %d is cancelled at the next step: %s", job_id, error.message)
                    continue
                except LeaseLostError:
                    lost |= {job_id}
                else:
                    log.info("job %d was cancelled", job_id)
                self.open_jobs.discard(job_id)
            return lost

    def _renew(self) -> None:
        while not self._done.wait(self.claim.lease_s / 4):
            if time.monotonic() - self._started > self._limits.hard_s:
                log.error(
                    "the batch has run for %g s: its lease is not renewed any more", self._limits.hard_s
                )
                return
            try:
                self._beat()
            except Exception:  # without this thread the lease would run out unnoticed
                log.exception("renewing a lease")
