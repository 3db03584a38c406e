"""A model as it lies on the disk: where it is, and its digest (`models_safety`: whether it is safe to load).

Only the standard library is used, so that the command line can look into a model without torch.
A model folder is what diffusers writes with `save_pretrained`: `model_index.json` names the
components, each in a subfolder with its config and safetensors. A hub id (`owner/name`) stands for
the snapshot of it in the local Hugging Face cache.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mfgviz.errors import InvalidModelError, ModelNotFoundError

DIGESTED_SUFFIXES = frozenset({".safetensors", ".json", ".txt", ".model"})
CONTROL_KINDS = ("depth", "normal", "canny", "lineart", "softedge", "scribble", "mlsd", "clay")
CONTROL_ADAPTERS = ("controlnet", "t2i_adapter")
# The model that comes with mfgviz; a name and not a path, so that hosts may keep it in different places.
BUNDLED_STUDIO = "bundled:studio"
_HUB_ID = re.compile(r"^[\w.-]+/[\w.-]+$")
_CHUNK_BYTES = 1 << 20
_digests: dict[tuple[str | int, ...], str] = {}


@dataclass(frozen=True, slots=True)
class ControlSource:
    """A ControlNet or T2I-Adapter: a folder or hub id, and which map it was trained to read."""

    source: str
    kind: str
    adapter: str = "controlnet"

    def __post_init__(self) -> None:
        if self.kind not in CONTROL_KINDS:
            raise InvalidModelError(
                f"There is no control map of the kind {self.kind!r}.",
                remedy=f"Choose one of {', '.join(CONTROL_KINDS)}.",
            )
        if self.adapter not in CONTROL_ADAPTERS:
            raise InvalidModelError(
                f"There is no control adapter {self.adapter!r}.",
                remedy=f"Choose one of {', '.join(CONTROL_ADAPTERS)}.",
            )


@dataclass(frozen=True, slots=True)
class LoraSource:
    """LoRA weights: a .safetensors file, a folder that holds one, or a hub id; and how much of them."""

    source: str
    scale: float = 1.0

    def __post_init__(self) -> None:
        if not -4.0 <= self.scale <= 4.0:
            raise InvalidModelError(
                f"The LoRA scale is {self.scale}, but must be a number from -4 to 4.",
                remedy="1 applies the weights as they were trained.",
            )


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """All that is needed to load a model; plain values, so that a record can keep it as JSON.

    `weights_digest` is hex SHA-256 (`spec_digest`), or empty where nobody has looked yet. `offline`
    keeps the loader from ever asking the hub.
    """

    name: str
    family: str
    source: str
    controls: tuple[ControlSource, ...] = ()
    loras: tuple[LoraSource, ...] = ()
    weights_digest: str = ""
    offline: bool = True

    def __post_init__(self) -> None:
        if len({control.adapter for control in self.controls}) > 1:
            raise InvalidModelError(
                f"The model {self.name!r} mixes ControlNets with T2I-Adapters.",
                remedy="Use several of one kind, or record two models.",
            )

    def as_json(self) -> dict[str, Any]:
        """The spec as plain JSON values."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> ModelSpec:
        """Read a spec back.

        Raises:
            InvalidModelError: a field is missing, unknown or of the wrong kind.
        """
        try:
            fields = dict(plain)
            fields["controls"] = tuple(ControlSource(**one) for one in fields.get("controls", ()))
            fields["loras"] = tuple(LoraSource(**one) for one in fields.get("loras", ()))
            return cls(**fields)
        except TypeError as error:
            raise InvalidModelError(f"The model's record cannot be read: {error}.") from error


# -- where it is --------------------------------------------------------------------------------------
def is_hub_id(source: str) -> bool:
    """Whether `source` reads like `owner/name` and is not a path that exists."""
    return bool(_HUB_ID.match(source)) and not Path(source).expanduser().exists()


def cached_snapshot(hub_id: str) -> Path | None:
    """The folder in the local Hugging Face cache that holds `hub_id`'s main branch, if there is one."""
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    cache = Path(os.environ.get("HF_HUB_CACHE", home / "hub")).expanduser()
    repo = cache / f"models--{hub_id.replace('/', '--')}"
    reference = repo / "refs" / "main"
    if not reference.is_file():
        return None
    snapshot = repo / "snapshots" / reference.read_text(encoding="utf-8").strip()
    return snapshot if snapshot.is_dir() else None


def bundled_folder() -> Path:
    """Where the studio model's weights lie: beside its code, in every installation."""
    return Path(__file__).resolve().parent.parent / "workers" / "studio" / "weights"


def find_source(source: str) -> Path:
    """The folder or file on this disk that `source` (a path or a hub id) means.

    Raises:
        ModelNotFoundError: there is no such path, and the local cache does not hold it either.
    """
    path = bundled_folder() if source == BUNDLED_STUDIO else Path(source).expanduser()
    if path.exists():
        return path
    snapshot = cached_snapshot(source) if is_hub_id(source) else None
    if snapshot is None:
        raise ModelNotFoundError(
            f"There is no model at {source!r} on this machine.",
            remedy="Check the path. A hub id is looked up in the local cache only, unless the model is "
            "recorded as online.",
        )
    return snapshot


# -- its digest -----------------------------------------------------------------------------------------
def weights_digest(source: Path) -> str:
    """Hex SHA-256 over the sorted relative names and contents of all weights and configs.

    `source` is a folder, or one .safetensors file. Text that changes no picture (model cards,
    images) is left out. A file's hash is remembered as long as its inode, its size and both of its times are
    the same; the inode's own time cannot be set back.
    """
    total = hashlib.sha256()
    for name, path in sorted(_digested_files(source)):
        total.update(f"{name}\0{_file_digest(path)}\n".encode())
    return total.hexdigest()


def spec_digest(spec: ModelSpec) -> str:
    """The model's digest: its weights alone, or with control and LoRA weights where it has them.

    Raises:
        ModelNotFoundError: one of the sources is not on this machine.
    """
    own = weights_digest(find_source(spec.source))
    if not spec.controls and not spec.loras:
        return own
    lines = [f"model {own}"]
    lines += [f"{one.adapter} {one.kind} {weights_digest(find_source(one.source))}" for one in spec.controls]
    lines += [f"lora {one.scale!r} {weights_digest(find_source(one.source))}" for one in spec.loras]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _digested_files(source: Path) -> Iterator[tuple[str, Path]]:
    if source.is_file():
        yield source.name, source
        return
    for path in source.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(source).parts)
        if path.suffix.lower() in DIGESTED_SUFFIXES and path.is_file() and not hidden:
            yield path.relative_to(source).as_posix(), path


def _file_digest(path: Path) -> str:
    facts = path.stat()
    key = (
        str(path.resolve()),
        facts.st_dev,
        facts.st_ino,
        facts.st_size,
        facts.st_mtime_ns,
        facts.st_ctime_ns,
    )
    if key not in _digests:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
        _digests[key] = digest.hexdigest()
    return _digests[key]
