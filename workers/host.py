"""One worker process: its engine, and the thread that reports it and sweeps.

Every worker sweeps, so that nobody has to run a beat process for lost messages and dead workers to be
noticed; the sweep's statements are safe to run from many places at once.
"""

from __future__ import annotations

import logging
import math
import os
import random
import resource
import threading
import time
from functools import cached_property
from typing import TYPE_CHECKING

from mfgviz import automation, catalog, jobs, schedules, workers_seen
from mfgviz.courier import Courier
from mfgviz.errors import MfgvizError, UnavailableError
from mfgviz.queue import TASK_READ_GEOMETRY, TASK_RENDER, TASK_SCHEDULED
from mfgviz.records import Geometry
from mfgviz.runtime import Runtime
from mfgviz.settings import Settings
from mfgviz.vocabulary import QUEUE_CPU, QUEUE_GPU, GeometryState

if TYPE_CHECKING:
    from workers.engine import Engine

log = logging.getLogger(__name__)

# sysexits.h: an internal software error. Whoever supervises the worker starts it again.
EXIT_STUCK = 70
# Of the time that a stopping worker has: until its jobs are handed back without it, and until it leaves.
STEPS_SHARE, LEAVE_SHARE = 0.5, 0.9
UNREAD_EVERY_S, UNREAD_AT_ONCE = 60.0, 64


class WorkerHost:
    """What the tasks of this process share. Nothing heavy is made before the first job."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.runtime = Runtime(settings)
        self.name = workers_seen.worker_name(settings, os.getpid())
        self.queues: tuple[str, ...] = (QUEUE_GPU,)
        self.stopping = threading.Event()
        self._one_at_a_time = threading.Lock()
        self._hurry = threading.Event()
        self._process = workers_seen.this_process()
        self._looked_around_at = -math.inf
        self._ring_unread_at = time.monotonic() + UNREAD_EVERY_S
        self._thread: threading.Thread | None = None
        self._courier: Courier | None = None

    @cached_property
    def engine(self) -> Engine:
        """The engine on the device of the settings; made once, torch is imported here."""
        from workers.devices import ModelPool, choose_device
        from workers.engine import Engine

        engine = Engine(self.runtime, self.name, ModelPool(choose_device(self.settings.device)))
        engine.stopping = self.stopping
        return engine

    # -- tasks ---------------------------------------------------------------------------------------------
    def render(self) -> int:
        """Claim and render one batch, and ring on if more waits; how many jobs there were."""
        claim = None
        try:
            with self._one_at_a_time:
                self._look_around()
                claim = self.engine.render_next()
            if claim is not None and jobs.has_work(self.runtime.db):  # for others, where this one is stopping
                self.runtime.doorbell.ring(TASK_RENDER, [claim.jobs[0].id])
        except UnavailableError as error:
            log.warning("renders: %s", error.message)  # they are rung for again
        return 0 if claim is None else len(claim.jobs)

    def read_geometry(self, geometry_id: int) -> None:
        """Read a CAD file that nobody has looked into, and note what it holds or why it cannot be used."""
        from workers.maps import read_geometry_blob

        with self.runtime.db.read() as session:
            geometry = session.get(Geometry, geometry_id)
            if geometry is None or geometry.state != GeometryState.STORED:
                return
            digest, file_name = geometry.digest, geometry.file_name
        try:
            facts = read_geometry_blob(self.runtime.blobs, digest, file_name, self.settings)
        except UnavailableError as error:
            log.warning("geometry %d: %s", geometry_id, error.message)  # it is rung for again
            return
        except MfgvizError as error:
            with self.runtime.db.begin() as session:
                geometry = session.get_one(Geometry, geometry_id)
                catalog.note_unusable(geometry, error.code, error.message)
                automation.wake(session, geometry)
            log.warning("geometry %d: %s", geometry_id, error.message)
            return
        with self.runtime.db.begin() as session:
            geometry = session.get_one(Geometry, geometry_id)
            catalog.note_facts(geometry, facts)
            automation.wake(session, geometry)
        self.runtime.doorbell.ring_for_events()

    def automate(self) -> int:
        """Do what follows from the events that wait; how many there were."""
        try:
            return automation.process(self.runtime)
        except UnavailableError as error:
            log.warning("events: %s", error.message)  # it is rung for again
            return 0
        finally:
            if self._courier is not None:
                self._courier.wake()

    def run_schedule(self, schedule_id: int) -> None:
        """Do what a schedule that is due says."""
        try:
            schedules.run(self.runtime, schedule_id)
        except UnavailableError as error:
            log.warning("schedule %d: %s", schedule_id, error.message)

    # -- reporting and sweeping ----------------------------------------------------------------------------
    def start(self, queues: tuple[str, ...]) -> None:
        """Begin to report and to sweep."""
        limit_memory(self.settings.worker_memory_bytes)
        self.queues = queues
        self._thread = threading.Thread(target=self._keep_house, name="house", daemon=True)
        self._thread.start()
        if QUEUE_CPU in queues:
            self._courier = Courier(self.runtime)
            self._courier.start()
        if QUEUE_GPU in queues:
            # No daemon: a process that ends while a thread is within the import of a library may crash.
            threading.Thread(target=self._warm_up, name="warm-up").start()

    def stop(self, *, at_once: bool = False) -> None:
        """Hand running jobs back at their next step, or `at_once`; take no new ones.

        Called from signal handlers. A step, a model that loads or maps that are made may take longer than
        there is time: then the jobs are handed back without them, and the process ends.
        """
        if at_once:
            self._hurry.set()
        if not self.stopping.is_set():
            self.stopping.set()
            threading.Thread(target=self._last_orders, name="last-orders", daemon=True).start()

    def _last_orders(self) -> None:
        grace_s = self.settings.shutdown_grace_s
        began = time.monotonic()
        self._hurry.wait(grace_s * STEPS_SHARE)
        self._give_back()
        if not self._hurry.is_set():
            self._hurry.wait(max(0.0, began + grace_s * LEAVE_SHARE - time.monotonic()))
        log.warning("what runs does not end in time: leaving")
        self._say_goodbye()
        logging.shutdown()
        os._exit(0)

    def _give_back(self) -> None:
        engine = self.__dict__.get("engine")
        try:
            given = [] if engine is None else engine.give_back()
        except UnavailableError as error:
            log.warning("jobs are left to a sweep: %s", error.message)
            return
        self.runtime.doorbell.ring(TASK_RENDER, given)

    def close(self) -> None:
        """The process ends: say goodbye and close the connections."""
        self.stopping.set()
        if self._thread is not None:
            self._thread.join(timeout=5)
        if self._courier is not None:
            self._courier.close()
        self._say_goodbye()
        self.runtime.close()

    def _say_goodbye(self) -> None:
        try:
            with self.runtime.db.begin() as session:
                workers_seen.say_goodbye(session, self.name)
        except UnavailableError as error:
            log.warning("cannot say goodbye: %s", error.message)

    def _warm_up(self) -> None:
        """Import what sampling needs while nothing is asked yet: it takes seconds."""
        with self._one_at_a_time:
            try:
                self.engine.warm_up(self.settings.default_model)
            except MfgvizError as error:
                log.warning("%s %s", error.message, error.remedy)

    def _keep_house(self) -> None:
        while True:
            try:
                self._report()
                swept = self._sweep()
                if swept.requeued or swept.given_up or swept.rung:
                    log.info("%s", swept)
                if QUEUE_CPU in self.queues:
                    self._ring_for_unread()
                    self._ring_for_events()
                    self._ring_for_schedules()
            except MfgvizError as error:
                log.warning("%s", error.message)
            except Exception:  # without this thread the worker would look dead, and nobody would sweep
                log.exception("keeping house")
            self._leave_if_stuck()
            interval_s = self.settings.sweep_interval_s
            # A little apart from one another, or a fleet that started together would sweep together.
            if self.stopping.wait(interval_s * random.uniform(0.8, 1.2)):
                return

    def _sweep(self) -> jobs.SweepReport:
        """Take back jobs of workers that died: on this system at once, elsewhere when their leases end."""
        with self.runtime.db.read() as session:
            gone = workers_seen.gone(session)
        swept = jobs.sweep(self.runtime.db, self.runtime.doorbell, gone)
        if gone:
            log.warning("workers died: %s", ", ".join(gone))
            with self.runtime.db.begin() as session:
                workers_seen.bury(session, gone)
        return swept

    def _look_around(self) -> None:
        """Whether other hosts could do what went wrong on this one; asked now and then."""
        if time.monotonic() - self._looked_around_at < self.settings.sweep_interval_s:
            return
        with self.runtime.db.read() as session:
            others = jobs.has_other_hosts(session, jobs.host_of(self.name))
        self.engine.avoiding = jobs.host_of(self.name) if others else None
        self._looked_around_at = time.monotonic()

    def _ring_for_unread(self) -> None:
        """CAD files that nobody has looked into, their messages lost: ring again, once a minute."""
        if time.monotonic() < self._ring_unread_at:
            return
        self._ring_unread_at = time.monotonic() + UNREAD_EVERY_S
        with self.runtime.db.read() as session:
            unread = catalog.unread_geometries(session, UNREAD_AT_ONCE)
        if unread and not self.runtime.doorbell.waiting(QUEUE_CPU):
            self.runtime.doorbell.ring(TASK_READ_GEOMETRY, unread)

    def _ring_for_events(self) -> None:
        """Events that wait, with no message that says so: ring again."""
        with self.runtime.db.read() as session:
            waiting = automation.has_events(session)
        if waiting and not self.runtime.doorbell.waiting(QUEUE_CPU):
            self.runtime.doorbell.ring_for_events()

    def _ring_for_schedules(self) -> None:
        """Take the schedules that are due, and ring for them; for those whose message was lost, again."""
        busy_s = float(self.settings.hard_time_limit_s)
        with self.runtime.db.read() as session:
            due, waiting = schedules.has_due(session, busy_s), schedules.waiting(session)
        if due:
            with self.runtime.db.begin() as session:
                taken = schedules.take_due(session, busy_s)
            self.runtime.doorbell.ring(TASK_SCHEDULED, taken)
        if waiting and not self.runtime.doorbell.waiting(QUEUE_CPU):
            self.runtime.doorbell.ring(TASK_SCHEDULED, waiting)

    def _report(self) -> None:
        engine = self.__dict__.get("engine")
        device = self.settings.device if engine is None else engine.device_name
        loaded = None if engine is None else engine.loaded_model
        with self.runtime.db.begin() as session:
            told = workers_seen.WorkerReport(self.name, self.queues, device, loaded, self._process)
            workers_seen.report(session, told)

    def _leave_if_stuck(self) -> None:
        """End the process when a batch hangs past the hard limit: a thread cannot be stopped by force."""
        engine = self.__dict__.get("engine")
        since = None if engine is None else engine.busy_since
        if since is not None and time.monotonic() - since > self.settings.hard_time_limit_s:
            log.critical("a batch hangs for over %d s: leaving", self.settings.hard_time_limit_s)
            os._exit(EXIT_STUCK)


def limit_memory(limit_bytes: int) -> None:
    """Have allocations fail beyond that (0: never), which ends a job; the kernel would end the process.

    RLIMIT_DATA counts what is writable and the process's own. RLIMIT_AS would count address space, too, of
    which CUDA reserves more than there is memory. The hard limit stays, for children that have their own.
    """
    if limit_bytes:
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (limit_bytes, hard))
