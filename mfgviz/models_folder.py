"""A model as it lies on the disk: what it is made of, whether it is safe to load, and its digest.

Only the standard library is used, so that the command line can look into a model without torch.
A model folder is what diffusers writes with `save_pretrained`: `model_index.json` names the
components, each in a subfolder with its config and safetensors. A hub id (`owner/name`) stands for
the snapshot of it in the local Hugging Face cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mfgviz.errors import InvalidModelError, ModelNotFoundError, PickledWeightsError

PICKLE_SUFFIXES = frozenset({".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle"})
DIGESTED_SUFFIXES = frozenset({".safetensors", ".json", ".txt", ".model"})
LIBRARIES = ("diffusers", "transformers", "workers.studio")
# Old folders name the safety checker by the diffusers pipeline it belonged to. It is never loaded.
NEVER_LOADED = frozenset({"safety_checker", "feature_extractor", "image_encoder", "watermark"})
CONTROL_KINDS = ("depth", "normal", "canny", "lineart", "softedge", "scribble", "mlsd", "clay")
CONTROL_ADAPTERS = ("controlnet", "t2i_adapter")
# The model that comes with mfgviz; a name and not a path, so that hosts may keep it in different places.
BUNDLED_STUDIO = "bundled:studio"
_HUB_ID = re.compile(r"^[\w.-]+/[\w.-]+$")
_CHUNK_BYTES = 1 << 20
_digests: dict[tuple[str, int, int], str] = {}


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


# -- whether it is safe -----------------------------------------------------------------------------------
def check_folder(folder: Path) -> None:
    """Refuse what could run code, or read files from elsewhere, when the folder is loaded.

    Raises:
        PickledWeightsError: a weights file is a pickle.
        InvalidModelError: a link leaves the folder, or a safetensors file is not one.
    """
    root = _trusted_root(folder)
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_symlink() and not path.resolve().is_relative_to(root):
            raise InvalidModelError(
                f"{name} in {folder} is a link to a place outside the model folder.",
                remedy="Copy the file into the folder.",
            )
        if path.suffix.lower() in PICKLE_SUFFIXES:
            raise _pickled(path, name)
        if path.suffix.lower() == ".safetensors" and path.is_file():
            check_safetensors(path)


def check_safetensors(path: Path) -> None:
    """Refuse a .safetensors file that is truncated or is something else under that name.

    The format (github.com/huggingface/safetensors): 8 bytes little-endian header length, a JSON
    header with each tensor's byte range, then the data to the end of the file.
    """
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else -1
        header = file.read(length) if 2 <= length <= size_bytes - 8 else b""
    if start[:2] == b"PK" or start[:1] == b"\x80":
        raise _pickled(path, path.name)
    try:
        tensors = json.loads(header)
        end = max(
            (one["data_offsets"][1] for key, one in tensors.items() if key != "__metadata__"), default=0
        )
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise InvalidModelError(f"{path} is not a safetensors file.", remedy="Get the file again.") from error
    if end != size_bytes - 8 - length:
        raise InvalidModelError(
            f"{path} is truncated: {size_bytes} bytes of {end + 8 + length}.", remedy="Get the file again."
        )


def _trusted_root(folder: Path) -> Path:
    """The hub's cache links snapshot files to blobs beside the snapshots; elsewhere links stay inside."""
    resolved = folder.resolve()
    in_cache = resolved.parent.name == "snapshots" and resolved.parent.parent.name.startswith("models--")
    return resolved.parent.parent if in_cache else resolved


def _pickled(path: Path, name: str) -> PickledWeightsError:
    beside = any(path.parent.glob("*.safetensors")) and path.suffix.lower() != ".safetensors"
    remedy = f"Safetensors lie beside it: delete {name}, it is not needed." if beside else None
    return PickledWeightsError(
        f"{name} in {path.parent} is a pickle, which can run code when it is loaded.", remedy=remedy
    )


# -- what it is made of ---------------------------------------------------------------------------------
def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a model folder.

    Raises:
        InvalidModelError: the file is not there, or is not a JSON object.
    """
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InvalidModelError(
            f"{path.parent} has no {path.name}.",
            remedy="A model is a folder as diffusers writes it with save_pretrained.",
        ) from error
    except (OSError, ValueError) as error:
        raise InvalidModelError(f"{path} cannot be read: {error}.") from error
    if not isinstance(plain, dict):
        raise InvalidModelError(f"{path} holds {type(plain).__name__}, not a JSON object.")
    return plain


def read_model_index(folder: Path) -> tuple[str, dict[str, tuple[str, str]]]:
    """The pipeline's class name, and each component's (library, class), from `model_index.json`.

    Components that are absent (null) and those that are never loaded are left out.

    Raises:
        InvalidModelError: a component would come from code other than diffusers, transformers or ours.
    """
    index = read_json(folder / "model_index.json")
    pipeline = index.get("_class_name")
    if not isinstance(pipeline, str):
        raise InvalidModelError(
            f"{folder / 'model_index.json'} names the pipeline {pipeline!r}: code outside diffusers.",
            remedy="Only diffusers' own pipelines and mfgviz's studio pipeline are loaded.",
        )
    components: dict[str, tuple[str, str]] = {}
    for name, value in index.items():
        if (
            name.startswith("_")
            or name in NEVER_LOADED
            or not isinstance(value, list)
            or value == [None, None]
        ):
            continue
        if len(value) != 2 or not all(isinstance(item, str) for item in value) or not _known(value[0]):
            raise InvalidModelError(
                f"The component {name!r} of {folder} comes from {value[0]!r}, which is not loaded.",
                remedy=f"Components come from {', '.join(LIBRARIES)} alone.",
            )
        if re.search(r"[/\\]|^\.", name):
            raise InvalidModelError(f"The component name {name!r} of {folder} is not a plain folder name.")
        components[name] = (value[0], value[1])
    return pipeline, components


def _known(library: str) -> bool:
    return any(library == known for known in LIBRARIES) or library.startswith("workers.studio.")


# -- its digest -----------------------------------------------------------------------------------------
def weights_digest(source: Path) -> str:
    """Hex SHA-256 over the sorted relative names and contents of all weights and configs.

    `source` is a folder, or one .safetensors file. Text that changes no picture (model cards,
    images) is left out. A file's hash is remembered by (path, mtime, size).
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
    key = (str(path.resolve()), facts.st_mtime_ns, facts.st_size)
    if key not in _digests:
        digest = hashlib.sha256()
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
        _digests[key] = digest.hexdigest()
    return _digests[key]
