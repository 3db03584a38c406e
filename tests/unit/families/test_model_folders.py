"""What a model folder may hold, what its digest depends on, and how a spec survives JSON."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from mfgviz.errors import InvalidModelError, ModelNotFoundError, PickledWeightsError
from mfgviz.models_folder import (
    ControlSource,
    LoraSource,
    ModelSpec,
    cached_snapshot,
    find_source,
    spec_digest,
    weights_digest,
)
from mfgviz.models_safety import check_folder, read_model_index
from workers.families.weights import fetch_source, lora_file, stored_bytes


@pytest.fixture
def folder(tiny_sd15: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_sd15, tmp_path / "model"))


def test_a_good_folder_passes(folder: Path) -> None:
    check_folder(folder)
    pipeline, components = read_model_index(folder)
    assert pipeline == "StableDiffusionPipeline"
    assert components["unet"] == ("diffusers", "UNet2DConditionModel")
    assert "safety_checker" not in components


@pytest.mark.parametrize("name", ["unet/weights.bin", "model.ckpt", "vae/a.PT", "text_encoder/b.pkl"])
def test_a_pickle_is_refused_by_name(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"\x80\x04.")
    with pytest.raises(PickledWeightsError, match=Path(name).name):
        check_folder(folder)


@pytest.mark.parametrize(
    "content", [b"PK\x03\x04 a torch zip", b"\x80\x04 a pickle", b"", b"\x08" + b"\0" * 7 + b"nonsense"]
)
def test_what_is_not_safetensors_is_refused(folder: Path, content: bytes) -> None:
    (folder / "unet" / "more.safetensors").write_bytes(content)
    with pytest.raises(InvalidModelError, match=r"more\.safetensors"):
        check_folder(folder)


def test_truncated_weights_are_refused(folder: Path) -> None:
    weights = folder / "unet" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-10])
    with pytest.raises(InvalidModelError, match="truncated"):
        check_folder(folder)


def test_a_link_out_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    secret.write_text("{}")
    (folder / "unet" / "extra.json").symlink_to(secret)
    with pytest.raises(InvalidModelError, match="link"):
        check_folder(folder)


def test_a_link_within_the_folder_is_fine(folder: Path) -> None:
    (folder / "unet" / "again.json").symlink_to(folder / "unet" / "config.json")
    check_folder(folder)


@pytest.mark.parametrize(
    "component",
    [["evil_module", "Net"], ["workers.studiox", "Net"], ["os", "system"], [None, "Net"], ["diffusers"]],
)
def test_foreign_code_is_refused(folder: Path, component: list[str | None]) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "unet": component}))
    with pytest.raises(InvalidModelError, match="unet"):
        read_model_index(folder)


def test_a_custom_pipeline_is_refused(folder: Path) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    (folder / "model_index.json").write_text(json.dumps({**index, "_class_name": ["pipeline", "Mine"]}))
    with pytest.raises(InvalidModelError, match="Mine"):
        read_model_index(folder)


@pytest.mark.parametrize("content", [None, "", "[1]", "{"])
def test_a_broken_index_is_named(folder: Path, content: str | None) -> None:
    index = folder / "model_index.json"
    index.unlink() if content is None else index.write_text(content)
    with pytest.raises(InvalidModelError, match=r"model_index\.json"):
        read_model_index(folder)


def test_the_digest_is_of_weights_and_configs(folder: Path, tiny_sd15: Path) -> None:
    digest = weights_digest(folder)
    assert digest == weights_digest(tiny_sd15)
    (folder / "README.md").write_text("a model card")
    (folder / ".cache").mkdir()
    (folder / ".cache" / "x.json").write_text("{}")
    assert weights_digest(folder) == digest
    config = folder / "unet" / "config.json"
    config.write_text(config.read_text() + " ")
    changed = weights_digest(folder)
    assert changed != digest
    shutil.move(config, folder / "unet" / "config2.json")
    assert weights_digest(folder) not in (digest, changed)


def test_the_specs_digest_counts_what_is_added(folder: Path) -> None:
    plain = ModelSpec("m", "sd15", str(folder))
    file = folder / "unet" / "diffusion_pytorch_model.safetensors"
    controlled = ModelSpec("m", "sd15", str(folder), controls=(ControlSource(str(file.parent), "depth"),))
    specs = [
        plain,
        controlled,
        ModelSpec("m", "sd15", str(folder), controls=(ControlSource(str(file.parent), "canny"),)),
        ModelSpec("m", "sd15", str(folder), loras=(LoraSource(str(file)),)),
        ModelSpec("m", "sd15", str(folder), loras=(LoraSource(str(file), 0.5),)),
    ]
    assert spec_digest(plain) == weights_digest(folder)
    assert len({spec_digest(spec) for spec in specs}) == len(specs)


def test_a_spec_survives_json() -> None:
    spec = ModelSpec(
        "m",
        "sdxl",
        "a/b",
        (ControlSource("c", "depth"), ControlSource("d", "canny")),
        (LoraSource("l", 0.5),),
        "00",
        False,
    )
    assert ModelSpec.from_json(json.loads(json.dumps(spec.as_json()))) == spec
    assert hash(spec)


@pytest.mark.parametrize(
    "plain",
    [
        {"name": "m"},
        {"name": "m", "family": "f", "source": "s", "colour": 1},
        {"controls": [{"kind": "depth"}]},
    ],
)
def test_a_spec_that_is_none_is_refused(plain: dict[str, object]) -> None:
    with pytest.raises(InvalidModelError):
        ModelSpec.from_json(plain)


def test_what_cannot_be_combined_is_refused() -> None:
    with pytest.raises(InvalidModelError, match="mixes"):
        ModelSpec("m", "sd15", "s", (ControlSource("c", "depth"), ControlSource("d", "canny", "t2i_adapter")))
    with pytest.raises(InvalidModelError, match="smell"):
        ControlSource("c", "smell")
    with pytest.raises(InvalidModelError, match="hand"):
        ControlSource("c", "depth", "hand")
    with pytest.raises(InvalidModelError, match="nan"):
        LoraSource("l", float("nan"))


def test_a_missing_source_is_named(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFoundError, match="nowhere"):
        find_source(str(tmp_path / "nowhere"))
    with pytest.raises(ModelNotFoundError, match="nobody/nothing"):
        fetch_source("nobody/nothing", offline=True)


def test_a_hub_id_is_found_in_the_cache(
    tiny_sd15: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repo = tmp_path / "models--own--tiny"
    snapshot = repo / "snapshots" / "abc"
    (repo / "refs").mkdir(parents=True)
    (repo / "refs" / "main").write_text("abc")
    shutil.copytree(tiny_sd15, repo / "blobs")
    for file in (repo / "blobs").rglob("*"):
        link = snapshot / file.relative_to(repo / "blobs")
        if file.is_file():
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(os.path.relpath(file, link.parent))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert cached_snapshot("own/tiny") == snapshot
    assert fetch_source("own/tiny", offline=True) == snapshot
    assert weights_digest(snapshot) == weights_digest(tiny_sd15)


def test_lora_weights_are_one_file(tiny_sd15: Path, tmp_path: Path) -> None:
    weights = tiny_sd15 / "unet" / "diffusion_pytorch_model.safetensors"
    shutil.copy(weights, tmp_path / "a.safetensors")
    assert lora_file(str(tmp_path), offline=True).name == "a.safetensors"
    shutil.copy(weights, tmp_path / "b.safetensors")
    with pytest.raises(InvalidModelError, match=r"2 \.safetensors"):
        lora_file(str(tmp_path), offline=True)


def test_size_on_the_disk_tells_the_size_in_memory(tiny_sd15: Path) -> None:
    spec = ModelSpec("m", "sd15", str(tiny_sd15))
    full = sum(one.stat().st_size for one in tiny_sd15.rglob("*.safetensors"))
    assert stored_bytes(spec, 4) == full
    assert stored_bytes(spec, 2) == full // 2
    assert stored_bytes(ModelSpec("m", "sd15", "nowhere"), 4) == 0


def test_the_core_looks_into_models_without_torch() -> None:
    code = "import sys, mfgviz.models_folder; sys.exit('torch' in sys.modules or 'workers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
