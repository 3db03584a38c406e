"""Model folders on the worker's side: found or fetched, checked, and known by their digest.

The checks are `mfgviz.models_safety`'s and the digest `mfgviz.models_folder`'s, which need no torch; only
fetching from the hub is added here.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError, RepositoryNotFoundError

from mfgviz.errors import InvalidModelError, ModelNotFoundError, PickledWeightsError, UnavailableError
from mfgviz.models_folder import ModelSpec, cached_snapshot, find_source, is_hub_id, weights_digest
from mfgviz.models_safety import (
    PICKLE_SUFFIXES,
    check_folder,
    check_safetensors,
    number_in,
    read_json,
    read_model_index,
)

__all__ = [
    "check_folder",
    "check_safetensors",
    "fetch_source",
    "lora_file",
    "number_in",
    "read_json",
    "read_model_index",
    "stored_bytes",
    "weights_digest",
]

# No pickle is ever fetched, nor the fp32 twin of half-precision weights, nor other frameworks' files.
_FETCHED = ["*.json", "*.safetensors", "*.txt", "*.model"]
_NOT_FETCHED = [
    "*.fp16.safetensors",
    "*.non_ema.safetensors",
    "safety_checker/*",
    "flax_*",
    "openvino_*",
    "onnx/*",
]


def fetch_source(source: str, *, offline: bool) -> Path:
    """The checked folder (or single file) on this disk that `source` means; fetched if it may be.

    Raises:
        ModelNotFoundError: it is not on this machine, or the hub has no such model.
        UnavailableError: the hub does not answer.
        PickledWeightsError, InvalidModelError: see `check_folder`.
    """
    if not offline and is_hub_id(source) and cached_snapshot(source) is None:
        _download(source)
    path = find_source(source)
    if path.is_dir():
        check_folder(path)
    elif path.suffix == ".safetensors":
        check_safetensors(path)
    elif path.suffix.lower() in PICKLE_SUFFIXES:
        raise PickledWeightsError(f"{path} is a pickle, which can run code when it is loaded.")
    else:
        raise InvalidModelError(f"{path} is neither a model folder nor a .safetensors file.")
    return path


def _download(hub_id: str) -> None:
    try:
        snapshot_download(hub_id, allow_patterns=_FETCHED, ignore_patterns=_NOT_FETCHED)
    except RepositoryNotFoundError as error:
        raise ModelNotFoundError(
            f"The hub has no model {hub_id!r}.", remedy="Check the id's spelling."
        ) from error
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise UnavailableError(
            f"The hub does not give {hub_id!r}: {error}.", remedy="Check the network, or use a local folder."
        ) from error


def lora_file(source: str, *, offline: bool) -> Path:
    """The one .safetensors file of LoRA weights that `source` (a file, folder or hub id) means.

    Raises:
        InvalidModelError: there is none, or there are several to choose from.
    """
    path = fetch_source(source, offline=offline)
    files = [path] if path.is_file() else sorted(path.glob("*.safetensors"))
    if len(files) != 1:
        raise InvalidModelError(
            f"{path} holds {len(files)} .safetensors files, but LoRA weights are one.",
            remedy="Name the file itself.",
        )
    return files[0]


def stored_bytes(spec: ModelSpec, bytes_per_number: int) -> int:
    """About what the spec's weights will take when loaded with `bytes_per_number`; 0 where unknown.

    Half-precision files double when they are loaded in full precision; the first tensor of a file
    speaks for the rest.
    """
    total = 0.0
    for path in _safetensors_of(spec):
        with path.open("rb") as file:
            header = file.read(4096)
        stored = 2 if b'"F16"' in header or b'"BF16"' in header else 4
        total += path.stat().st_size * bytes_per_number / stored
    return int(total)


def _safetensors_of(spec: ModelSpec) -> Iterator[Path]:
    controls, loras = (one.source for one in spec.controls), (one.source for one in spec.loras)
    for source in (spec.source, *controls, *loras):
        try:
            path = find_source(source)
        except ModelNotFoundError:
            continue
        yield from [path] if path.is_file() else path.rglob("*.safetensors")
