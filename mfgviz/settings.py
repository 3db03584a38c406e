"""One frozen `Settings`, read from MFGVIZ_* variables and a TOML file, built once per entry point.

A variable wins over the file, the file over the default. The file is the one that MFGVIZ_CONFIG
names, else `mfgviz.toml` in the working folder, else `mfgviz.toml` in the user's config folder.
"""

from __future__ import annotations

import getpass
import hashlib
import ipaddress
import math
import os
import re
import tempfile
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import platformdirs

from mfgviz.errors import InvalidSettingError
from mfgviz.masking import mask_all, mask_secret

ENV_PREFIX = "MFGVIZ_"
EMBEDDED = "embedded"
OTHER_VARIABLES = {"MFGVIZ_CONFIG", "MFGVIZ_TRAINING_DIR"}
MAX_REQUESTER = 256
LIVE_SCHEMES = ("redis", "rediss", "redis+socket", "unix")
FIDELITY_POLICIES = ("accept", "mark", "retry")
MAX_FIDELITY_RETRIES = 10
TRUTHS = dict.fromkeys(("true", "yes", "on", "1"), True) | dict.fromkeys(("false", "no", "off", "0"), False)
APPROVALS = ("any", "other", "off")
BROKER_SCHEMES = ("redis", "rediss", "redis+socket", "amqp", "amqps")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
# Linux allows 107 bytes in a unix socket's path.
SOCKET_PATH_LIMIT_BYTES = 100


def _default_data_dir() -> Path:
    return Path(platformdirs.user_data_dir("mfgviz", appauthor=False))


def _user_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # an account without a name, as containers have
        return "unknown"


def _setting(
    default: Any, doc: str, *, secret: bool = False, mask: Callable[[str], str] = mask_secret
) -> Any:
    metadata = {"doc": doc, "mask": mask if secret else str}
    if callable(default):
        return field(default_factory=default, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that can be configured. Sizes are bytes, times seconds."""

    data_dir: Path = _setting(  # noqa: RUF009 - _setting is dataclasses.field
        _default_data_dir, "Folder of the embedded default: database, blobs, caches."
    )
    database_url: str = _setting(
        EMBEDDED, "SQLAlchemy URL; `embedded` is SQLite in the data folder.", secret=True
    )
    database_timeout_s: float = _setting(
        60.0, "A PostgreSQL server that does not answer a statement for this long counts as gone."
    )
    broker_url: str = _setting(
        EMBEDDED,
        "Celery broker URL (redis:, rediss:, redis+socket:, amqp:); `embedded` is the server of `mfgviz up`.",
        secret=True,
    )
    blob_url: str = _setting(
        EMBEDDED,
        "Blob store URL (a folder's file:// URL, s3://, gs://, az://); `embedded` is in the data folder.",
        secret=True,
    )
    requester: str = _setting(
        _user_name,
        "Who asks: recorded with every change, and what fair share is counted by.",
    )
    worker_host: str = _setting(
        "", "Name of the host that a worker is on; by default the system's, which in a container is its own."
    )
    worker_memory_bytes: int = _setting(
        0, "Memory a worker may allocate, so that too large a picture fails, not the process; 0: no limit."
    )
    device: str = _setting("auto", "Where sampling runs: auto, cpu, cuda:N or mps.")
    default_model: str = _setting("studio", "The model of jobs that name none.")
    claim_images: int = _setting(4, "How many images a worker samples in one batch at most.")
    lease_s: float = _setting(60.0, "How long a worker's claim on a job lasts without a heartbeat.")
    max_attempts: int = _setting(3, "How often a job is tried before it is dead-lettered.")
    fidelity_policy: str = _setting(
        "mark", "What becomes of pictures that do not show their part: accept, mark or retry them."
    )
    fidelity_threshold: float = _setting(
        0.5, "Pictures whose fidelity, 0 to 1, is below this do not show their part."
    )
    fidelity_retries: int = _setting(2, "How often the policy `retry` tries a picture again at most.")
    approval: str = _setting(
        "any",
        "Who must approve a picture before it is its revision's primary image: any reviewer, a reviewer "
        "other than its author, or nobody (off).",
    )
    release_needs_approved_image: bool = _setting(
        False, "Whether a revision is released only with an approved image of its CAD file."
    )
    retry_delay_s: float = _setting(5.0, "Wait before the first retry; it doubles from one to the next.")
    soft_time_limit_s: int = _setting(1800, "A batch is stopped and retried after this time.")
    hard_time_limit_s: int = _setting(2100, "A worker stuck for this long loses its task.")
    sweep_interval_s: float = _setting(5.0, "How often a worker looks for lost leases and unrung jobs.")
    shutdown_grace_s: float = _setting(20.0, "How long a stopping worker may take to hand its job back.")
    geometry_max_bytes: int = _setting(256 * 2**20, "Largest CAD file taken in.")
    geometry_max_triangles: int = _setting(8_000_000, "Most triangles that the mesh of one file may have.")
    tessellation_timeout_s: float = _setting(120.0, "How long one CAD file may be read and meshed.")
    tessellation_memory_bytes: int = _setting(8 * 2**30, "Memory that reading and meshing one file may use.")
    cache_max_bytes: int = _setting(4 * 2**30, "Size of the worker's cache of meshes and control maps.")
    api_host: str = _setting(
        "127.0.0.1", "Where the HTTP API listens; 0.0.0.0 is every address of this host."
    )
    api_port: int = _setting(8737, "The HTTP API's port; 0 takes one that is free.")
    cors_origins: str = _setting("", "Web pages that may call the API, separated by commas; none by default.")
    requests_per_minute: int = _setting(1200, "HTTP requests that one token may send to one server process.")
    queued_jobs_max: int = _setting(10_000, "Waiting jobs that one requester may have through the HTTP API.")
    image_max_pixels: int = _setting(4096 * 4096, "Largest starting image taken in over HTTP, in pixels.")
    webhook_allow_private: str = _setting(
        "",
        "Own networks that webhooks may be sent to, separated by commas, such as 10.20.0.0/16.",
    )
    webhook_tries: int = _setting(7, "How often a webhook's delivery is tried before it is dead.")
    live_url: str = _setting(
        "broker",
        "Redis URL for live progress and previews; `broker` is the broker where that is Redis, else polling.",
        secret=True,
    )
    watch_folder: str = _setting("", "A folder that `mfgviz up` watches for CAD files: PN_REV.step.")
    server_url: str = _setting(
        "",
        "A server whose HTTP API the commands use instead of the database; its connect string will do.",
        secret=True,
    )
    token: str = _setting("", "The token for that server.", secret=True, mask=mask_all)
    log_level: str = _setting("WARNING", "Least severity that is logged: DEBUG, INFO, WARNING or ERROR.")

    def __post_init__(self) -> None:
        positive = (
            "database_timeout_s", "claim_images", "lease_s", "max_attempts", "soft_time_limit_s",
            "hard_time_limit_s", "sweep_interval_s", "shutdown_grace_s", "geometry_max_bytes",
            "geometry_max_triangles", "tessellation_timeout_s",
            "tessellation_memory_bytes", "cache_max_bytes", "requests_per_minute", "queued_jobs_max",
            "image_max_pixels", "webhook_tries",
        )  # fmt: skip
        for name in positive:
            if not 0 < getattr(self, name) < math.inf:
                raise InvalidSettingError(f"{name} is {getattr(self, name)}, but must be above zero.")
        self._check_fidelity()
        if self.approval not in APPROVALS:
            raise InvalidSettingError(f"approval is {self.approval!r}; choose one of {', '.join(APPROVALS)}.")
        if not 0 <= self.retry_delay_s < math.inf:
            raise InvalidSettingError(f"retry_delay_s is {self.retry_delay_s}, but must not be negative.")
        if not 0 <= self.worker_memory_bytes < math.inf:
            raise InvalidSettingError(
                f"worker_memory_bytes is {self.worker_memory_bytes}, but must not be negative."
            )
        if not re.fullmatch(r"[\w.-]{0,128}", self.worker_host, re.ASCII):
            raise InvalidSettingError(
                f"worker_host is {self.worker_host!r}, but may hold letters, digits, dots and dashes only."
            )
        if not 0 < len(self.requester.strip()) <= MAX_REQUESTER:
            raise InvalidSettingError(
                f"requester has {len(self.requester)} characters, but must have 1 to {MAX_REQUESTER}."
            )
        self._check_broker()
        _ = self.webhook_networks
        if self.live_url != "broker" and self.live_redis_url is None:
            raise InvalidSettingError(
                f"live_url is {mask_secret(self.live_url)!r}, but must be `broker` or a Redis URL."
            )
        if self.hard_time_limit_s <= self.soft_time_limit_s:
            raise InvalidSettingError("hard_time_limit_s must be above soft_time_limit_s.")
        if not 0 <= self.api_port <= 65535:
            raise InvalidSettingError(f"api_port is {self.api_port}, but must be from 0 to 65535.")
        if self.device not in ("auto", "cpu", "mps") and not re.fullmatch(r"cuda(:\d+)?", self.device):
            raise InvalidSettingError(
                f"device is {self.device!r}, but must be auto, cpu, mps, cuda or cuda:N."
            )
        if self.log_level.upper() not in ("DEBUG", "INFO", "WARNING", "ERROR"):
            raise InvalidSettingError(
                f"log_level is {self.log_level!r}; choose DEBUG, INFO, WARNING or ERROR."
            )

    def _check_fidelity(self) -> None:
        if self.fidelity_policy not in FIDELITY_POLICIES:
            raise InvalidSettingError(
                f"fidelity_policy is {self.fidelity_policy!r}; choose one of {', '.join(FIDELITY_POLICIES)}."
            )
        if not 0 <= self.fidelity_threshold <= 1:
            raise InvalidSettingError(
                f"fidelity_threshold is {self.fidelity_threshold}, but must be from 0 to 1."
            )
        if not 1 <= self.fidelity_retries <= MAX_FIDELITY_RETRIES:
            raise InvalidSettingError(
                f"fidelity_retries is {self.fidelity_retries}, but must be from 1 to {MAX_FIDELITY_RETRIES}."
            )

    def _check_broker(self) -> None:
        """Refuse a broker URL that could never be used, before anything relies on it."""
        scheme = self.broker_url.partition("://")[0]
        if self.broker_url != EMBEDDED and scheme not in BROKER_SCHEMES:
            raise InvalidSettingError(
                f"broker_url is {mask_secret(self.broker_url)!r}, but must be `embedded` or a URL that "
                f"begins with one of {', '.join(f'{one}://' for one in BROKER_SCHEMES)}."
            )
        try:
            _ = urlsplit(self.broker_url).port
        except ValueError as error:
            told = "has a port that is no number (a / or : in a password is written %2F, %3A)"
            raise InvalidSettingError(f"broker_url {mask_secret(self.broker_url)} {told}.") from error

    @property
    def webhook_networks(self) -> tuple[Network, ...]:
        """The networks of `webhook_allow_private`. Raises InvalidSettingError."""
        words = [one.strip() for one in self.webhook_allow_private.split(",") if one.strip()]
        try:
            return tuple(ipaddress.ip_network(word) for word in words)
        except ValueError as error:
            raise InvalidSettingError(f"webhook_allow_private holds what is no network: {error}.") from error

    # -- where the embedded default keeps its things ------------------------------------------
    @property
    def is_embedded_broker(self) -> bool:
        """Whether the broker is the server that `mfgviz up` starts."""
        return self.broker_url == EMBEDDED

    @property
    def is_embedded_database(self) -> bool:
        """Whether the database is the SQLite file of the data folder."""
        return self.database_url == EMBEDDED

    @property
    def redis_socket(self) -> Path:
        """The embedded server's unix socket: in the data folder, or in /tmp where that path is too long."""
        path = self.data_dir.absolute() / "redis" / "redis.sock"
        if len(os.fsencode(path)) <= SOCKET_PATH_LIMIT_BYTES:
            return path
        name = hashlib.sha256(os.fsencode(self.data_dir.absolute())).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"mfgviz-{os.getuid()}-{name}" / "redis.sock"

    @property
    def sqlalchemy_url(self) -> str:
        """The database URL with `embedded` resolved."""
        if self.is_embedded_database:
            return f"sqlite:///{self.data_dir.absolute() / 'mfgviz.db'}"
        return re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", self.database_url)

    @property
    def celery_broker_url(self) -> str:
        """The broker URL with `embedded` resolved."""
        return f"redis+socket://{self.redis_socket}" if self.is_embedded_broker else self.broker_url

    @property
    def storage_url(self) -> str:
        """The blob store's URL with `embedded` resolved."""
        return (self.data_dir.absolute() / "blobs").as_uri() if self.blob_url == EMBEDDED else self.blob_url

    @property
    def live_redis_url(self) -> str | None:
        """Where live progress goes, as a Redis URL, or None where there is no Redis."""
        url = self.celery_broker_url if self.live_url == "broker" else self.live_url
        return url if url.partition("://")[0] in LIVE_SCHEMES else None

    @property
    def cache_dir(self) -> Path:
        """The worker's cache of meshes and control maps."""
        return self.data_dir.absolute() / "cache"


@dataclass(frozen=True, slots=True)
class SettingSource:
    """One setting as `mfgviz config show` prints it; a secret's password is masked."""

    name: str
    value: str
    source: str
    doc: str


def find_config_file(env: Mapping[str, str]) -> Path | None:
    """The TOML file in force, or None.

    Raises:
        InvalidSettingError: MFGVIZ_CONFIG names a file that is not there.
    """
    named = env.get(f"{ENV_PREFIX}CONFIG")
    if named:
        if not Path(named).is_file():
            raise InvalidSettingError(f"MFGVIZ_CONFIG names {named}, which is not a file.")
        return Path(named)
    candidates = (
        Path("mfgviz.toml"),
        Path(platformdirs.user_config_dir("mfgviz", appauthor=False)) / "mfgviz.toml",
    )
    return next((path for path in candidates if path.is_file()), None)


def load_settings(env: Mapping[str, str] | None = None) -> Settings:
    """Settings from the environment and the TOML file.

    Raises:
        InvalidSettingError: a value cannot be used, or a name is unknown.
    """
    return Settings(**_read(os.environ if env is None else env)[0])


def unknown_variables(env: Mapping[str, str]) -> list[str]:
    """Variables that begin as ours do and are none of ours: misspelt ones."""
    known = {ENV_PREFIX + item.name.upper() for item in fields(Settings)} | OTHER_VARIABLES
    return sorted(name for name in env if name.startswith(ENV_PREFIX) and name not in known)


def explain_settings(env: Mapping[str, str] | None = None) -> list[SettingSource]:
    """Every setting with its value and where that came from, whether or not they go together."""
    values, origins = _read(os.environ if env is None else env)
    rows = []
    for item in fields(Settings):
        value = str(values[item.name])
        shown = item.metadata["mask"](value)
        rows.append(SettingSource(item.name, shown, origins[item.name], item.metadata["doc"]))
    return rows


def _read(env: Mapping[str, str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Value and origin of each setting, by its name."""
    path = find_config_file(env)
    raw_file = _read_toml(path) if path else {}
    known = {item.name: item for item in fields(Settings)}
    for name in raw_file:
        if name not in known:
            raise InvalidSettingError(f"{path}: there is no setting {name!r}.")
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for name, item in known.items():
        variable = ENV_PREFIX + name.upper()
        if variable in env:
            values[name], origins[name] = _parse(variable, str(item.type), env[variable]), variable
        elif name in raw_file:
            values[name], origins[name] = _parse(f"{path}: {name}", str(item.type), raw_file[name]), str(path)
        else:
            values[name] = item.default_factory() if callable(item.default_factory) else item.default
            origins[name] = "default"
    return values, origins


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InvalidSettingError(f"{path} cannot be read: {error}.") from error


def _parse(where: str, kind: str, raw: object) -> object:
    text = str(raw).strip()
    if kind == "Path":
        return Path(text).expanduser()
    if kind == "bool":
        if text.lower() not in TRUTHS:
            raise InvalidSettingError(f"{where} is {text!r}, but must be true or false.")
        return TRUTHS[text.lower()]
    try:
        return {"int": int, "float": float, "str": str}[kind](text)
    except ValueError as error:
        raise InvalidSettingError(f"{where} is {text!r}, but must be a number.") from error
