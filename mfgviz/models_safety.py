"""Whether a model folder is safe to load: nothing in it may run, hang, fill the memory, or lie elsewhere.

Only the standard library is used. All is looked at before any of it is loaded: weights are safetensors whose
header adds up, configs are small and plain and name known classes alone, and nothing is more than a file.
What is refused is refused by name.
"""

from __future__ import annotations

import json
import math
import re
import stat
import struct
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from mfgviz.errors import InvalidModelError, PickledWeightsError

PICKLE_SUFFIXES = frozenset({".bin", ".ckpt", ".pt", ".pth", ".pkl", ".pickle"})
CODE_SUFFIXES = frozenset({".py", ".pyc", ".pyd", ".so", ".dll", ".dylib"})
# The classes that a component may be of. Schedulers are diffusers' and many: they are known by their names.
COMPONENTS: dict[str, frozenset[str]] = {
    "diffusers": frozenset({
        "UNet2DConditionModel", "AutoencoderKL", "AutoencoderTiny", "AsymmetricAutoencoderKL",
        "ControlNetModel", "MultiControlNetModel", "T2IAdapter", "MultiAdapter",
    }),
    "transformers": frozenset({
        "CLIPTextModel", "CLIPTextModelWithProjection", "CLIPTokenizer", "CLIPTokenizerFast",
        "TokenizersBackend", "PreTrainedTokenizerFast",
    }),
    "workers.studio.autoencoder": frozenset({"StudioAutoencoder"}),
    "workers.studio.hints": frozenset({"StudioHintEncoder"}),
}  # fmt: skip
# Old folders name the safety checker by the diffusers pipeline it belonged to. It is never loaded.
NEVER_LOADED = frozenset({"safety_checker", "feature_extractor", "image_encoder", "watermark"})
MOST_ENTRIES = 10_000
# Vocabularies are megabytes; a config is a page.
VOCABULARY_BYTES, CONFIG_BYTES, DEEPEST = 32 * 2**20, 2**20, 32
# A header of this length is what the safetensors library itself takes at most.
HEADER_BYTES = 100_000_000
VOCABULARIES = ("tokenizer.json", "vocab.json", "added_tokens.json", "special_tokens_map.json")
# Config keys that stand for code or for other formats than safetensors, whatever their value.
CODE_KEYS = frozenset(
    {"auto_map", "custom_pipeline", "custom_pipelines", "quantization_config", "megatron_config"}
)
ATTENTION = frozenset({None, "", "eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention"})
# No network is as wide, and none as deep.
LARGEST_NUMBER, LONGEST_LIST = 10**7, 100_000
MOST_OF = {
    "layers_per_block": 100, "transformer_layers_per_block": 100, "reverse_transformer_layers_per_block": 100,
    "num_hidden_layers": 200, "num_layers": 200, "num_res_blocks": 100, "num_train_timesteps": 100_000,
}  # fmt: skip
BITS = {
    "BOOL": 8, "U8": 8, "I8": 8, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8,
    "I16": 16, "U16": 16, "F16": 16, "BF16": 16,
    "I32": 32, "U32": 32, "F32": 32, "F64": 64, "I64": 64, "U64": 64, "C64": 64,
}  # fmt: skip
# Libraries make patterns of tensors' and modules' names: letters cannot make one that never ends.
_PLAIN_NAME = re.compile(r"[\w.:/<>-]{1,512}")


# -- a folder -------------------------------------------------------------------------------------------
def check_folder(folder: Path) -> None:
    """Refuse what could run code, hang, or read files from elsewhere, when the folder is loaded.

    Raises:
        PickledWeightsError: a weights file is a pickle.
        InvalidModelError: a link leaves the folder; something in it is code, no regular file, or far too
            large; a safetensors file or a config is not one, or asks for code or for absurd numbers.
    """
    root = _trusted_root(folder)
    for path in _entries(folder):
        name = path.relative_to(folder).as_posix()
        try:
            inside = not path.is_symlink() or path.resolve(strict=True).is_relative_to(root)
            mode = path.stat().st_mode
        except (OSError, RuntimeError) as error:  # a link in a circle, or to nothing
            raise InvalidModelError(
                f"{name} in {folder} leads nowhere.", remedy="Get the file again."
            ) from error
        if not inside:
            raise InvalidModelError(
                f"{name} in {folder} is a link to a place outside the model folder.",
                remedy="Copy the file into the folder.",
            )
        if stat.S_ISDIR(mode):
            continue
        suffix = path.suffix.lower()
        if suffix in PICKLE_SUFFIXES:
            raise _pickled(path, name)
        if suffix in CODE_SUFFIXES:
            raise InvalidModelError(
                f"{name} in {folder} is code, which no model folder needs.", remedy=f"Delete {name}."
            )
        if suffix == ".safetensors":
            check_safetensors(path)
        elif suffix == ".json":
            _check_json(path, name)
        else:
            _check_regular(path, VOCABULARY_BYTES if suffix in (".txt", ".model") else None)


def _entries(folder: Path) -> list[Path]:
    try:
        found = list(islice(folder.rglob("*"), MOST_ENTRIES + 1))
    except RecursionError:
        found = []
    if not 0 < len(found) <= MOST_ENTRIES:
        what = f"holds more than {MOST_ENTRIES:,} files" if found else "is empty, or nested without end"
        raise InvalidModelError(f"{folder} {what}.", remedy="Name the model's own folder.")
    return sorted(found)


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


def _check_regular(path: Path, most_bytes: int | None = None) -> int:
    """The size of a regular file. A pipe would block whoever opens it, for ever."""
    facts = path.stat()
    if not stat.S_ISREG(facts.st_mode):
        raise InvalidModelError(f"{path} is no regular file.", remedy="Get the model again.")
    if most_bytes is not None and facts.st_size > most_bytes:
        raise InvalidModelError(
            f"{path} has {facts.st_size:,} bytes; {most_bytes:,} are allowed of its kind.",
            remedy="Get the model again.",
        )
    return facts.st_size


# -- weights ---------------------------------------------------------------------------------------------
def check_safetensors(path: Path) -> None:
    """Refuse a .safetensors file that is truncated, does not add up, or is something else under that name.

    The format (github.com/huggingface/safetensors): 8 bytes little-endian header length, a JSON
    header with each tensor's type, shape and byte range, then the data to the end of the file, without gaps.
    """
    size_bytes = _check_regular(path)
    with path.open("rb") as file:
        start = file.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else -1
        header = file.read(length) if 2 <= length <= min(size_bytes - 8, HEADER_BYTES) else b""
    if start[:2] == b"PK" or start[:1] == b"\x80":
        raise _pickled(path, path.name)
    try:
        tensors = json.loads(header, object_pairs_hook=_once)
        metadata = tensors.pop("__metadata__", {})
        ranges = sorted(_range_of(name, one) for name, one in tensors.items())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        told = f": {error}" if header else ""
        raise InvalidModelError(
            f"{path} is not a safetensors file{told}.", remedy="Get the file again."
        ) from error
    end = 0
    for begin, stop in ranges:
        if begin != end:
            raise InvalidModelError(
                f"The tensors of {path} overlap, or leave gaps.", remedy="Get the file again."
            )
        end = stop
    if end != size_bytes - 8 - length:
        raise InvalidModelError(
            f"{path} is truncated: {size_bytes} bytes of {end + 8 + length}.", remedy="Get the file again."
        )
    _check_metadata(path, metadata)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands there twice")
    return found


def _range_of(name: str, one: dict[str, Any]) -> tuple[int, int]:
    begin, end = one["data_offsets"]
    shape = one["shape"]
    if not _PLAIN_NAME.fullmatch(name):
        raise ValueError(f"the name {name[:80]!r} is none of a tensor")
    if not all(type(number) is int and 0 <= number < 2**62 for number in (*shape, begin, end)):
        raise ValueError(f"the shape or place of {name} is not made of numbers")
    if one["dtype"] not in BITS:
        raise ValueError(f"the type {str(one['dtype'])[:40]!r} is not known")
    if (end - begin) * 8 != math.prod(shape) * BITS[one["dtype"]]:
        raise ValueError(f"{name} is not as long as its shape says")
    return begin, end


def _check_metadata(path: Path, metadata: Any) -> None:
    """LoRA files carry the settings they were trained with, of which some name modules to import."""
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise InvalidModelError(f"The metadata of {path} is not text.", remedy="Get the file again.")
    told = metadata.get("lora_adapter_metadata")
    if told is None:
        return
    try:
        plain = json.loads(told)
    except (ValueError, RecursionError) as error:
        raise InvalidModelError(f"The metadata of {path} cannot be read: {error}.") from error
    _check_config(plain, f"the metadata of {path}", DEEPEST)
    for key, value in plain.items() if isinstance(plain, dict) else ():
        setting = key.rpartition(".")[2]
        names = list(value) if isinstance(value, dict | list) else [value]
        is_pattern = setting.endswith(("_pattern", "_modules"))
        if is_pattern and not all(one is None or _PLAIN_NAME.fullmatch(str(one)) for one in names):
            raise InvalidModelError(f"The metadata of {path} has patterns for {key}; only names are taken.")
        if setting == "megatron_core" and value != "megatron.core":
            raise InvalidModelError(f"The metadata of {path} names a module to import.")


# -- configs ----------------------------------------------------------------------------------------------
def read_json(path: Path, most_bytes: int = CONFIG_BYTES) -> dict[str, Any]:
    """A JSON object from a model folder.

    Raises:
        InvalidModelError: the file is not there, too large, or is not a JSON object.
    """
    plain = _load_json(path, most_bytes)
    if not isinstance(plain, dict):
        raise InvalidModelError(f"{path} holds {type(plain).__name__}, not a JSON object.")
    return plain


def _load_json(path: Path, most_bytes: int) -> Any:
    try:
        _check_regular(path, most_bytes)
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InvalidModelError(
            f"{path.parent} has no {path.name}.",
            remedy="A model is a folder as diffusers writes it with save_pretrained.",
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidModelError(f"{path} cannot be read: {error}.", remedy="Get the file again.") from error


def number_in(config: dict[str, Any], key: str, default: float, most: float = LARGEST_NUMBER) -> float:
    """A config's number above zero, or the default where it has none; of a list the last.

    Raises:
        InvalidModelError: it is none, or above `most`.
    """
    value = config.get(key)
    value = default if value is None else value[-1] if isinstance(value, list) and value else value
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
        raise InvalidModelError(
            f"The model's {key} is {str(value)[:80]!r}, but must be a number up to {most:g}."
        )
    return value


def _check_json(path: Path, name: str) -> None:
    is_index, is_vocabulary = name.endswith(".index.json"), path.name in VOCABULARIES
    plain = _load_json(path, VOCABULARY_BYTES if is_index or is_vocabulary else CONFIG_BYTES)
    if is_index:
        parts = plain.get("weight_map", {}) if isinstance(plain, dict) else None
        if not isinstance(parts, dict) or not all(
            _lies_beside(path, one) for one in set(map(str, parts.values()))
        ):
            raise InvalidModelError(
                f"{path} names weights that do not lie beside it.", remedy="Get the model again."
            )
    elif not is_vocabulary:
        _check_config(plain, str(path), DEEPEST, bound=path.name in ("config.json", "scheduler_config.json"))


def _lies_beside(index: Path, name: str) -> bool:
    return re.fullmatch(r"[\w-][\w.-]*\.safetensors", name) is not None and (index.parent / name).is_file()


def _check_config(plain: Any, what: str, depth: int, *, bound: bool = False, under: str = "") -> None:
    """Refuse what asks for code, and in what networks are built from (`bound`) what would never end."""
    if depth == 0:
        raise InvalidModelError(f"{what} is nested deeper than {DEEPEST} levels.")
    if isinstance(plain, list) and len(plain) > LONGEST_LIST:
        raise InvalidModelError(f"{what} has a list of {len(plain):,} values.")
    for key, value in _items(plain, under):
        if (key.rpartition(".")[2] in CODE_KEYS and value) or (key == "trust_remote_code" and value is True):
            raise InvalidModelError(
                f"{what} asks for code or quantized weights ({key}), which are not loaded.",
                remedy="Use a plain folder of safetensors, of the classes of diffusers and transformers.",
            )
        if key.endswith("attn_implementation") and not _known_attention(value):
            raise InvalidModelError(f"{what} asks for code of its own ({key}).")
        if bound and isinstance(value, int | float) and not isinstance(value, bool):
            most = MOST_OF.get(key, LARGEST_NUMBER)
            if not abs(value) <= most:
                raise InvalidModelError(f"{what} has the {key or 'number'} {value:g}; {most:,} is the most.")
        if isinstance(value, dict | list):
            _check_config(value, what, depth - 1, bound=bound, under=key)


def _items(plain: Any, under: str) -> Iterator[tuple[str, Any]]:
    """An object's members; a list's, under the name of the list."""
    if isinstance(plain, dict):
        yield from plain.items()
    elif isinstance(plain, list):
        yield from ((under, value) for value in plain)


def _known_attention(value: Any) -> bool:
    values = value.values() if isinstance(value, dict) else [value]
    return all(one is None or (isinstance(one, str) and one in ATTENTION) for one in values)


def read_model_index(folder: Path) -> tuple[str, dict[str, tuple[str, str]]]:
    """The pipeline's class name, and each component's (library, class), from `model_index.json`.

    Components that are absent (null) and those that are never loaded are left out.

    Raises:
        InvalidModelError: a component would be of another class than those that models are made of.
    """
    index = read_json(folder / "model_index.json")
    pipeline = index.get("_class_name")
    if not isinstance(pipeline, str):
        raise InvalidModelError(
            f"{folder}/model_index.json names the pipeline {str(pipeline)[:200]}: code outside diffusers.",
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
        if len(value) != 2 or not all(isinstance(item, str) for item in value) or not _known(*value):
            raise InvalidModelError(
                f"The component {name[:80]!r} of {folder} is {str(value)[:200]}, which is not loaded.",
                remedy=f"Components are networks, tokenizers and schedulers of {', '.join(COMPONENTS)}.",
            )
        if not re.fullmatch(r"\w{1,64}", name):
            raise InvalidModelError(
                f"The component name {name[:80]!r} of {folder} is not a plain folder name."
            )
        components[name] = (value[0], value[1])
    return pipeline, components


def _known(library: str, kind: str) -> bool:
    scheduler = library == "diffusers" and re.fullmatch(r"[A-Z]\w{0,60}Scheduler", kind) is not None
    return scheduler or kind in COMPONENTS.get(library, ())
