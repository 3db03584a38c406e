"""Model folders of strangers: each trick is refused by name, before anything is loaded."""

from __future__ import annotations

import json
import os
import random
import shutil
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mfgviz.errors import InvalidModelError, MfgvizError, PickledWeightsError
from mfgviz.models_folder import LoraSource, ModelSpec, weights_digest
from mfgviz.models_safety import HEADER_BYTES, check_folder, check_safetensors, read_json, read_model_index
from workers.families.protocol import get_family
from workers.families.testing import save_tiny_sd15


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_sd15(tmp_path_factory.mktemp("models") / "sd15")


@pytest.fixture
def folder(tiny: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny, tmp_path / "model"))


def inspect(folder: Path) -> None:
    """What `models add` and every load begin with."""
    get_family("sd15").inspect(ModelSpec("m", "sd15", str(folder)))


def change(path: Path, **values: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **values}))


Trick = Callable[[Path], object]


def nested(levels: int) -> str:
    return "[" * levels + "]" * levels


UNET = "unet/config.json"
TRICKS: dict[str, Trick] = {
    "code": lambda f: (f / "unet" / "pipeline.py").write_text("import os"),
    "a library": lambda f: (f / "helper.so").write_bytes(b"\x7fELF"),
    "a pickle in a deep folder": lambda f: _deep(f / "a" / "b", "weights.bin"),
    "a pickle with another name": lambda f: (f / "vae" / "x.safetensors").write_bytes(b"\x80\x04\x95."),
    "a pipe": lambda f: os.mkfifo(f / "unet" / "more.safetensors"),
    "a pipe for a config": lambda f: _instead(f / UNET, os.mkfifo),
    "a socket": lambda f: _socket(f / "unet" / "more.json"),
    "a device": lambda f: (f / "unet" / "more.json").symlink_to("/dev/zero"),
    "a link upwards": lambda f: (f / "unet" / "more.json").symlink_to("../../../x.json"),
    "a link in a circle": lambda f: (f / "unet" / "more.json").symlink_to("more.json"),
    "a link to a folder elsewhere": lambda f: (f / "more").symlink_to("/etc"),
    "remote code": lambda f: change(f / UNET, auto_map={"AutoModel": "evil--modeling.Net"}),
    "remote code of the tokenizer": lambda f: change(
        f / "tokenizer/tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Tok", None]}
    ),
    "trust": lambda f: change(f / UNET, trust_remote_code=True),
    "code in a list": lambda f: change(f / UNET, more=[{"auto_map": {"a": "b"}}]),
    "attention from the hub": lambda f: change(
        f / "text_encoder/config.json", attn_implementation="evil/kernel"
    ),
    "attention from the hub, inside": lambda f: change(
        f / "text_encoder/config.json", text_config={"_attn_implementation": "evil/kernel"}
    ),
    "quantized weights": lambda f: change(f / UNET, quantization_config={"quant_method": "torchao"}),
    "a custom pipeline": lambda f: change(f / "model_index.json", custom_pipeline="evil/pipeline"),
    "a config of 100 MB": lambda f: (f / UNET).write_bytes(b'{"a": "' + b"x" * 100_000_000 + b'"}'),
    "a vocabulary of 40 MB": lambda f: (f / "tokenizer" / "vocab.json").write_bytes(b" " * 40_000_000),
    "merges of 40 MB": lambda f: (f / "tokenizer" / "merges.txt").write_bytes(b" " * 40_000_000),
    "a config nested deep": lambda f: (f / UNET).write_text(nested(50_000)),
    "a config nested": lambda f: (f / UNET).write_text(f'{{"a": {nested(100)}}}'),
    "a config that is none": lambda f: (f / UNET).write_bytes(b"\xff\xfe{}"),
    "a config that is a list": lambda f: (f / UNET).write_text("[]"),
    "1e12 steps": lambda f: change(f / "scheduler/scheduler_config.json", num_train_timesteps=10**12),
    "1e6 betas": lambda f: change(f / "scheduler/scheduler_config.json", trained_betas=[0.1] * 150_000),
    "1e9 layers": lambda f: change(f / UNET, layers_per_block=10**9),
    "1e9 layers in a list": lambda f: change(f / UNET, transformer_layers_per_block=[1, [10**9]]),
    "1e9 layers of text": lambda f: change(f / "text_encoder/config.json", num_hidden_layers=10**9),
    "1e12 channels": lambda f: change(f / UNET, block_out_channels=[10**12]),
    "infinity": lambda f: (f / UNET).write_text('{"sample_size": Infinity}'),
    "a VAE without end": lambda f: change(f / "vae/config.json", block_out_channels=[1] * 64),
    "a size that is text": lambda f: change(f / UNET, sample_size="64"),
    "tokens that are none": lambda f: change(
        f / "text_encoder/config.json", max_position_embeddings=None, x=[]
    ),
    "weights elsewhere": lambda f: (f / "unet/diffusion_pytorch_model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "../../../etc/passwd"}})
    ),
    "weights that are not there": lambda f: (f / "unet/model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "none.safetensors"}})
    ),
    "20,000 files": lambda f: [(f / "unet" / f"{n}.txt").touch() for n in range(10_001)],
}
# What a config may leave out is no trick.
HARMLESS = {"tokens that are none"}


def _deep(folder: Path, name: str) -> None:
    folder.mkdir(parents=True)
    (folder / name).write_bytes(b"x")


def _instead(path: Path, make: Callable[[Path], object]) -> None:
    path.unlink()
    make(path)


def _socket(path: Path) -> None:
    held = Path.cwd()
    os.chdir(path.parent)  # a socket's path is short
    try:
        socket.socket(socket.AF_UNIX).bind(path.name)
    finally:
        os.chdir(held)


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.parametrize("name", TRICKS)
def test_a_trick_is_refused_by_name(folder: Path, name: str) -> None:
    inspect(folder)
    TRICKS[name](folder)
    if name in HARMLESS:
        inspect(folder)
        return
    with pytest.raises(InvalidModelError) as caught:
        inspect(folder)
    assert len(caught.value.message) < 2000


@pytest.mark.parametrize(
    "component",
    [
        ["os", "system"], ["subprocess", "Popen"], ["diffusers", "utils"], ["diffusers", "load_image"],
        ["transformers", "pipeline"], ["transformers", "AutoModel"], ["diffusers.utils", "logging"],
        ["workers.studio.training.samples", "main"], ["diffusers", "os.system"], ["diffusers",
        "evilScheduler"],
    ],
)  # fmt: skip
def test_a_component_is_of_a_known_class(folder: Path, component: list[str]) -> None:
    change(folder / "model_index.json", unet=component)
    with pytest.raises(InvalidModelError, match="unet"):
        read_model_index(folder)


@pytest.mark.parametrize("name", ["../../etc", "a/b", "..", "a b", "x" * 100, "é/"])
def test_a_component_is_a_plain_folder(folder: Path, name: str) -> None:
    change(folder / "model_index.json", **{name: ["diffusers", "AutoencoderKL"]})
    with pytest.raises(InvalidModelError):
        read_model_index(folder)


# -- safetensors ------------------------------------------------------------------------------------------
def packed(header: bytes | dict[str, object], data: bytes = b"", length: int | None = None) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def tensor(begin: int, end: int, dtype: str = "F32", shape: object = None) -> dict[str, object]:
    return {
        "dtype": dtype,
        "shape": [(end - begin) // 4] if shape is None else shape,
        "data_offsets": [begin, end],
    }


TENSORS: dict[str, bytes] = {
    "a length of 2^63": packed({"a": tensor(0, 4)}, b"\0" * 4, 2**63),
    "a length beyond the file": packed({"a": tensor(0, 4)}, b"\0" * 4, 1000),
    "a header that is a list": packed(b"[]"),
    "deep JSON": packed(b'{"a":' + b"[" * 100_000),
    "a name twice": packed(b'{"a":%s,"a":%s}' % ((json.dumps(tensor(0, 4)).encode(),) * 2), b"\0" * 4),
    "an unknown type": packed({"a": tensor(0, 4, "OBJECT")}, b"\0" * 4),
    "a type that is none": packed({"a": {**tensor(0, 4), "dtype": ["F32"]}}, b"\0" * 4),
    "a shape that is larger": packed({"a": tensor(0, 4, shape=[2**40])}, b"\0" * 4),
    "a negative shape": packed({"a": tensor(0, 4, shape=[-1, -1])}, b"\0" * 4),
    "a shape of truths": packed({"a": tensor(0, 4, shape=[True])}, b"\0" * 4),
    "tensors over one another": packed({"a": tensor(0, 8), "b": tensor(4, 12)}, b"\0" * 12),
    "a gap": packed({"a": tensor(0, 4), "b": tensor(8, 12)}, b"\0" * 12),
    "a negative place": packed({"a": tensor(-4, 0)}),
    "a place beyond the file": packed({"a": tensor(0, 400)}, b"\0" * 4),
    "more than is told": packed({"a": tensor(0, 4)}, b"\0" * 40),
    "a name that is a pattern": packed({"(a+)+$": tensor(0, 4)}, b"\0" * 4),
    "metadata that is no text": packed({"__metadata__": {"a": {}}, "a": tensor(0, 4)}, b"\0" * 4),
    "no tensors, no object": packed(b"null"),
}


@pytest.mark.parametrize("name", TENSORS)
def test_weights_that_do_not_add_up_are_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "x.safetensors").write_bytes(TENSORS[name])
    with pytest.raises(InvalidModelError):
        check_safetensors(tmp_path / "x.safetensors")


def test_a_header_of_more_than_the_format_allows_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "x.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", HEADER_BYTES + 1))
        file.truncate(HEADER_BYTES + 9)
    with pytest.raises(InvalidModelError, match="not a safetensors"):
        check_safetensors(tmp_path / "x.safetensors")


@pytest.mark.parametrize("seed", range(60))
def test_what_passes_is_read_by_the_library_as_well(tmp_path: Path, seed: int) -> None:
    """Bent headers: what the check lets through, the library must load; it is never the other way round that
    counts."""
    rng, path = random.Random(seed), tmp_path / "x.safetensors"
    save_file({"a.weight": torch.zeros(3, 4), "b": torch.ones(5, dtype=torch.float16)}, path)
    content = bytearray(path.read_bytes())
    for _ in range(rng.randint(1, 4)):
        place = rng.randrange(min(len(content), 160))
        content[place] = rng.choice(b'0123456789,:"[]{} F\xff\0')
    path.write_bytes(content)
    try:
        check_safetensors(path)
    except InvalidModelError:
        return
    load_file(path)


@pytest.mark.parametrize(
    "metadata",
    [
        {"unet.megatron_config": {"a": 1}}, {"unet.megatron_core": "os"}, {"unet.auto_mapping": 1,
        "auto_map": {"a": "b"}},
        {"unet.rank_pattern": {"(a+)+$": 4}}, {"unet.target_modules": ["(.*)*x"]},
        {"unet.target_modules": "((a*)*)*$"},
    ],
)  # fmt: skip
def test_lora_settings_that_name_code_or_patterns_are_refused(
    tmp_path: Path, metadata: dict[str, object]
) -> None:
    path = tmp_path / "lora.safetensors"
    told = {"unet.r": 4, "unet.lora_alpha": 4, **metadata}
    save_file({"a": torch.zeros(1)}, path, metadata={"lora_adapter_metadata": json.dumps(told)})
    with pytest.raises(InvalidModelError, match="metadata"):
        check_safetensors(path)


def test_lora_settings_as_diffusers_writes_them_pass(tmp_path: Path) -> None:
    from peft import LoraConfig

    plain = LoraConfig(
        r=4, target_modules=["to_q", "down_blocks.0.attn.to_k"], rank_pattern={"to_q": 8}
    ).to_dict()
    plain = {key: sorted(one) if isinstance(one, set) else one for key, one in plain.items()}
    told = json.dumps({f"unet.{key}": one for key, one in plain.items()}, default=str)
    save_file({"a": torch.zeros(1)}, tmp_path / "l.safetensors", metadata={"lora_adapter_metadata": told})
    check_safetensors(tmp_path / "l.safetensors")


# -- changed between the check and the load ----------------------------------------------------------------
def test_weights_changed_under_their_old_time_have_another_digest(folder: Path) -> None:
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    digest, facts = weights_digest(folder), weights.stat()
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    os.utime(weights, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert weights.stat().st_mtime_ns == facts.st_mtime_ns
    assert weights_digest(folder) != digest


def test_a_model_that_does_not_pass_after_it_was_loaded_is_not_kept(folder: Path) -> None:
    from workers.devices import ModelPool, choose_device
    from workers.engine import verify_weights

    pool = ModelPool(choose_device("cpu"))
    spec = ModelSpec("m", "sd15", str(folder), weights_digest="0" * 64)
    with pytest.raises(InvalidModelError, match="not the recorded ones"), pool.use(spec, verify_weights):
        pass
    assert pool.resident() == []


def test_lora_and_config_files_are_checked_alone_as_well(folder: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "lora.safetensors")
    spec = ModelSpec("m", "sd15", str(folder), loras=(LoraSource(str(tmp_path / "lora.safetensors")),))
    with pytest.raises(InvalidModelError):
        get_family("sd15").inspect(spec)
    os.mkfifo(tmp_path / "config.json")
    with pytest.raises(InvalidModelError, match="regular"):
        read_json(tmp_path / "config.json")


def test_a_folder_that_breaks_while_it_is_loaded_is_named(folder: Path) -> None:
    """Configs that pass and fit no weights: the loader's own errors come out as ours."""
    from workers.devices import choose_device

    change(folder / UNET, block_out_channels=[8, 24], cross_attention_dim=7)
    with pytest.raises(MfgvizError) as caught:
        get_family("sd15").load(ModelSpec("m", "sd15", str(folder)), choose_device("cpu"))
    assert isinstance(caught.value, InvalidModelError)


def test_pickles_stay_refused_whatever_their_case(folder: Path) -> None:
    (folder / "unet" / "X.BIN").write_bytes(b"x")
    with pytest.raises(PickledWeightsError):
        check_folder(folder)
