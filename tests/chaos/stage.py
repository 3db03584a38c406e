"""A whole service to be broken: PostgreSQL and Redis behind proxies, a small disk, three workers, an API."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy import make_url

from mfgviz import catalog, models, schema, tokens
from mfgviz.catalog import NewPart
from mfgviz.geometry_intake import take_file
from mfgviz.local import environment_of, listen, stop_process
from mfgviz.models_folder import ModelSpec, spec_digest
from mfgviz.runtime import Runtime
from mfgviz.settings import Settings
from mfgviz.vocabulary import Role
from tests.chaos import family
from tests.chaos.proxy import Proxy
from tests.support.families import install_family
from tests.support.servers import Postgres, Redis
from tests.support.workers import WorkerProcess, eventually

ROOT = Path(__file__).parent.parent.parent
SAMPLE = ROOT / "mfgviz" / "samples" / "bracket.step"
PART = "CHAOS-1@A"
REQUESTER = "chaos"
WORKERS = 3
LEASE_S = 6.0
DATABASE_TIMEOUT_S = 4.0
DISK_BYTES = 256 << 20


@dataclass
class Disk:
    """A file system of its own for the blobs, small enough to be filled. None of it where mounting is not
    allowed: then it cannot be filled."""

    folder: Path
    mounted: bool = False

    def open(self) -> None:
        """Mount it."""
        self.folder.mkdir()
        words = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "mfgviz-chaos", str(self.folder)]
        done = subprocess.run(words, check=False, capture_output=True)
        self.mounted = done.returncode == 0

    def fill(self, *, leave_bytes: int) -> None:
        """Write until there is no space left, but for so many bytes."""
        assert self.mounted
        with suppress(OSError), (self.folder / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(1 << 20))
        size = (self.folder / "filler").stat().st_size
        os.truncate(self.folder / "filler", max(0, size - leave_bytes))

    def free(self) -> None:
        """Give the space back."""
        (self.folder / "filler").unlink(missing_ok=True)

    def close(self) -> None:
        """Unmount it."""
        if self.mounted:
            subprocess.run(["umount", "-l", str(self.folder)], check=True)


@dataclass
class ChaosWorker(WorkerProcess):
    """A worker process of another app, with an environment of its own."""

    app: str = "workers.app"
    variables: dict[str, str] = field(default_factory=dict)

    def launch(self) -> None:
        """Start it, and wait for nothing."""
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "celery", "-A", self.app, "worker", "-Q", self.queues],
                env=self.variables,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )


@dataclass
class Slot:
    """One worker of the fleet and its successors: a supervisor starts the next when one has ended."""

    number: int
    worker: ChaosWorker
    clock: Path
    started: float = 0.0
    left_alone: bool = False
    names: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """Of the process that is there now."""
        return self.worker.name

    @property
    def pid(self) -> int:
        """Of the process that is there now."""
        assert self.worker.process is not None
        return self.worker.process.pid

    def launch(self) -> None:
        """Start a process."""
        self.clock.write_text("+0\n")
        self.worker.launch()
        self.started = time.time()
        self.names.append(self.name)

    def has_ended(self) -> bool:
        """Whether the process is gone."""
        return self.worker.process is not None and self.worker.process.poll() is not None


class Stage:
    """Everything that runs. A block: what was started is stopped at its end, by process id."""

    def __init__(self, folder: Path, postgres: Postgres, *, studio: bool = False) -> None:
        self.folder, self.postgres, self.studio = folder, postgres, studio
        self._stack = ExitStack()
        self.redis = Redis(folder / "r")
        self.disk = Disk(folder / "disk")
        self.slots: list[Slot] = []
        self.died: list[str] = []
        self._closing = threading.Event()
        self._lock = threading.Lock()

    def __enter__(self) -> Stage:
        try:
            self._open()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stack.close()

    def _open(self) -> None:
        url = self._stack.enter_context(self.postgres.database())
        self.redis.folder.mkdir()
        self.redis.start()
        self._stack.callback(self.redis.stop)
        self.database_proxy, self.redis_proxy = Proxy(self.postgres.socket), Proxy(self.redis.socket)
        for proxy in (self.database_proxy, self.redis_proxy):
            proxy.start()
            self._stack.callback(proxy.close)
        self.disk.open()
        self._stack.callback(self.disk.close)
        name = make_url(url).database
        # What people and workers use goes through the proxies; who watches looks past them.
        self.settings = Settings(
            data_dir=self.folder / "data",
            database_url=f"postgresql://postgres@127.0.0.1:{self.database_proxy.port}/{name}",
            broker_url=f"redis://127.0.0.1:{self.redis_proxy.port}/0",
            blob_url=(self.disk.folder / "blobs").as_uri(),
            requester=REQUESTER,
            device="cpu",
            default_model="studio" if self.studio else family.NAME,
            database_timeout_s=DATABASE_TIMEOUT_S,
            lease_s=LEASE_S,
            sweep_interval_s=0.5,
            retry_delay_s=0.3,
            max_attempts=6,
            soft_time_limit_s=300,
            hard_time_limit_s=400,
            shutdown_grace_s=10.0,
        )
        self.watching = Runtime(replace(self.settings, database_url=url, broker_url=self.redis.url))
        self._stack.callback(self.watching.close)
        self._fill_in()
        self._start_api()
        self._start_workers()

    def _fill_in(self) -> None:
        install_family(self.folder / "family", family.NAME, family.__name__)
        taken = take_file(self.watching, SAMPLE)
        with self.watching.db.begin() as session:
            if not self.studio:
                weights = self.folder / "model"
                weights.mkdir()
                (weights / "weights.safetensors").write_bytes(b"chaos")
                spec = ModelSpec(family.NAME, family.NAME, str(weights))
                spec = replace(spec, weights_digest=spec_digest(spec))
                models.add_model(session, spec, family.CAN.as_json(), REQUESTER)
            catalog.add_part(session, NewPart("CHAOS-1", attributes={"material": "steel"}), REQUESTER)
            revision = catalog.add_revision(session, "CHAOS-1", "A", REQUESTER)
            taken.attach(session, revision, REQUESTER, self.watching.doorbell)
            new = tokens.NewToken("chaos", REQUESTER, Role.ADMIN)
            self.token = tokens.create_token(session, new, REQUESTER)[1]
        if self.studio:
            schema.register_bundled_model(self.watching.db, REQUESTER)

    # -- processes -----------------------------------------------------------------------------------------
    @property
    def environment(self) -> dict[str, str]:
        """What processes of this service have in common."""
        path = f"{ROOT}{os.pathsep}{self.folder / 'family'}"
        return {**os.environ, **environment_of(self.settings), "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}

    def _start_api(self) -> None:
        listening = listen("127.0.0.1", 0)
        self.api_url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        words = [sys.executable, "-m", "mfgviz.cli", "serve", "--fd", str(listening.fileno())]
        with (self.folder / "api.log").open("ab") as log:
            process = subprocess.Popen(
                words, env=self.environment, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True, pass_fds=(listening.fileno(),),
            )  # fmt: skip
        listening.close()
        self._stack.callback(stop_process, process, 15)

    def _start_workers(self) -> None:
        self._stack.callback(self.stop_workers)
        for number in range(WORKERS):
            clock = self.folder / f"clock{number}"
            environment = {
                **self.environment,
                **clock_environment(clock),
                "MFGVIZ_LOG_LEVEL": "INFO",
                "CHAOS_STARVED": str(self.folder / "starved"),
            }
            log = self.folder / f"worker{number}.log"
            app = "workers.app" if self.studio else "tests.chaos.worker"
            worker = ChaosWorker(self.settings, log, app=app, variables=environment)
            slot = Slot(number, worker, clock)
            self.slots.append(slot)
            slot.launch()
        for slot in self.slots:
            eventually(slot.worker.has_reported, 400, f"the start of worker {slot.number}")
        threading.Thread(target=self._supervise, name="supervisor", daemon=True).start()

    def _supervise(self) -> None:
        """Start again what has ended, as a service manager does."""
        while not self._closing.wait(0.3):
            with self._lock:
                for slot in self.slots:
                    if slot.has_ended() and not slot.left_alone and not self._closing.is_set():
                        slot.launch()

    def starved(self) -> list[tuple[str, float, float]]:
        """When workers could not run for over a second, though nobody stopped them: which, from, to."""
        noted, offset = self.folder / "starved", time.time() - time.monotonic()
        lines = noted.read_text().splitlines() if noted.exists() else []
        words = [line.split() for line in lines]
        return [(name, float(began) + offset, float(ended) + offset) for name, began, ended in words]

    def kill_worker(self, slot: Slot, down_s: float) -> None:
        """SIGKILL a worker; its supervisor starts another after that time."""
        with self._lock:
            slot.left_alone = True
        slot.worker.kill()
        time.sleep(down_s)
        slot.left_alone = False

    def pause_worker(self, slot: Slot, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after that time."""
        os.kill(slot.pid, signal.SIGSTOP)
        time.sleep(seconds)
        os.kill(slot.pid, signal.SIGCONT)

    def stop_workers(self) -> None:
        """SIGTERM them all, and wait."""
        self._closing.set()
        with self._lock:
            for slot in self.slots:
                if slot.worker.process is not None and slot.worker.process.poll() is None:
                    slot.worker.process.terminate()
            for slot in self.slots:
                slot.worker.stop()


def clock_environment(clock: Path) -> dict[str, str]:
    """What makes a process's wall clock differ by what the file says, its monotonic clock left alone."""
    import libfaketime

    folder = Path(libfaketime.__file__).parent
    library = next(folder.rglob("libfaketime.so.1"))
    return {
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_CACHE_DURATION": "1",
        "NO_FAKE_STAT": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
