"""From a model folder to networks in memory, and what its config files say before that.

Everything is loaded from a checked local folder, safetensors only, without remote code and without
asking the network; see `weights.fetch_source`.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from diffusers import ControlNetModel, ModelMixin, MultiAdapter, T2IAdapter
from diffusers.utils import logging as diffusers_logging
from safetensors import SafetensorError

from mfgviz.errors import InvalidModelError
from workers.families.protocol import ControlSource, LoraSource, ModelSpec
from workers.families.weights import fetch_source, lora_file, number_in, read_json, read_model_index

if TYPE_CHECKING:
    pass

CONTROL_CLASSES: dict[str, type[Any]] = {"controlnet": ControlNetModel, "t2i_adapter": T2IAdapter}
# What diffusers and transformers raise for a folder that is not what its index says.
LOADING_ERRORS = (
    OSError, ValueError, KeyError, TypeError, AttributeError, IndexError, ZeroDivisionError, AssertionError,
    ImportError, RecursionError, SafetensorError,
)  # fmt: skip
# The CPU's allocator only says so in words.
OUT_OF_MEMORY_WORDS = ("DefaultCPUAllocator", "can't allocate memory", "not enough memory")
# A VAE halves its side so often at most; a latent has so many pixels along a side.
MOST_LEVELS, LARGEST_SIZE = 8, 4096


@dataclass(frozen=True, slots=True)
class FolderFacts:
    """What the config files of a latent-diffusion folder say."""

    folder: Path
    scale_factor: int  # image pixels a latent pixel, along one side
    native_size_px: int
    prompt_tokens: int
    cross_attention_dim: int
    is_lcm: bool  # guidance was distilled into the UNet


def read_facts(spec: ModelSpec, pipelines: Sequence[str], other_family: str) -> FolderFacts:
    """The facts of the model's folder, after all its sources have been checked.

    `pipelines` are the pipeline classes that the family can load.

    Raises:
        ModelNotFoundError, PickledWeightsError, InvalidModelError: see `weights.fetch_source`; or the folder
            is of another family, or its parts do not fit together.
    """
    folder = fetch_source(spec.source, offline=spec.offline)
    pipeline, components = read_model_index(folder)
    if pipeline not in pipelines:
        raise InvalidModelError(
            f"{folder} is a {pipeline}, which the family {spec.family!r} cannot load.",
            remedy=f"Record it with another --family; {other_family}.",
        )
    for name in components:
        if not (folder / name).is_dir():
            raise InvalidModelError(f"{folder} has no component {name!r}, which its index names.")
    _require_weights(folder, [name for name in ("unet", "vae", "text_encoder") if name in components])
    unet, vae = read_json(folder / "unet" / "config.json"), read_json(folder / "vae" / "config.json")
    encoder = read_json(folder / "text_encoder" / "config.json")
    levels = vae.get("block_out_channels", [0])
    if not isinstance(levels, list) or not 0 < len(levels) <= MOST_LEVELS:
        raise InvalidModelError(f"{folder} has a VAE of {str(levels)[:80]} channels.")
    scale_factor = 2 ** (len(levels) - 1)
    facts = FolderFacts(
        folder=folder,
        scale_factor=scale_factor,
        native_size_px=int(number_in(unet, "sample_size", 64, LARGEST_SIZE)) * scale_factor,
        prompt_tokens=int(number_in(encoder, "max_position_embeddings", 77)) - 2,
        cross_attention_dim=int(number_in(unet, "cross_attention_dim", 768)),
        is_lcm=unet.get("time_cond_proj_dim") is not None,
    )
    for control in spec.controls:
        _check_control(control, facts, offline=spec.offline)
    for lora in spec.loras:
        lora_file(lora.source, offline=spec.offline)
    return facts


def _require_weights(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        if not any((folder / name).glob("*.safetensors")):
            raise InvalidModelError(
                f"{folder / name} holds no safetensors.", remedy="Get the folder again, with its weights."
            )


def _check_control(control: ControlSource, facts: FolderFacts, *, offline: bool) -> None:
    folder = fetch_source(control.source, offline=offline)
    config = read_json(folder / "config.json")
    wanted = CONTROL_CLASSES[control.adapter].__name__
    if config.get("_class_name") != wanted:
        raise InvalidModelError(f"{folder} is a {config.get('_class_name')}, not a {wanted}.")
    if not any(folder.glob("*.safetensors")):
        raise InvalidModelError(f"{folder} holds no safetensors.")
    width = number_in(config, "cross_attention_dim", facts.cross_attention_dim)
    if width != facts.cross_attention_dim:
        raise InvalidModelError(
            f"{folder} was trained for a model with text embeddings of {width} numbers; "
            f"this one has {facts.cross_attention_dim}.",
            remedy="Choose a ControlNet of the model's own family.",
        )


# -- networks -------------------------------------------------------------------------------------------
def load_pipeline(pipeline: type[Any], folder: Path, dtype: torch.dtype, **components: Any) -> Any:
    """A diffusers pipeline from a checked folder; `components` are given (None: left out), not loaded.

    Raises:
        InvalidModelError: diffusers cannot load it.
    """
    diffusers_logging.disable_progress_bar()
    half = _only_half(folder / "unet")
    try:
        return pipeline.from_pretrained(
            folder,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            variant="fp16" if half else None,
            **components,
        )
    except (*LOADING_ERRORS, RuntimeError) as error:
        raise _named(folder, error) from error


def sibling(pipeline: type[Any], loaded: Any, **more: Any) -> Any:
    """Another pipeline over the very networks of a loaded one; nothing is copied."""
    known = inspect.signature(pipeline.__init__).parameters
    shared = {**loaded.components, "requires_safety_checker": False, "add_watermarker": False}
    return pipeline(**{name: one for name, one in shared.items() if name in known}, **more)


def load_controls(spec: ModelSpec, dtype: torch.dtype) -> list[Any]:
    """The spec's ControlNets or T2I-Adapters, in its order."""
    return [_load_control(one, dtype, offline=spec.offline) for one in spec.controls]


def _load_control(control: ControlSource, dtype: torch.dtype, *, offline: bool) -> ModelMixin:
    folder = fetch_source(control.source, offline=offline)
    half = _only_half(folder)
    try:
        return CONTROL_CLASSES[control.adapter].from_pretrained(
            folder,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            variant="fp16" if half else None,
        )
    except (*LOADING_ERRORS, RuntimeError) as error:
        raise _named(folder, error) from error


def _named(folder: Path, error: Exception) -> Exception:
    """Ours for what does not fit together; torch's own where memory ran out, for smaller models may go for
    it."""
    told = str(error)
    if isinstance(error, torch.OutOfMemoryError) or any(words in told for words in OUT_OF_MEMORY_WORDS):
        return error
    return InvalidModelError(f"{folder} cannot be loaded: {told[:500]}.")


def _only_half(folder: Path) -> bool:
    """Whether the weights are there in the file names of diffusers' fp16 variant alone."""
    return all(".fp16." in one.name for one in folder.glob("*.safetensors"))


def joined_adapters(adapters: list[Any]) -> Any:
    """One T2I-Adapter as it is, several as diffusers' MultiAdapter."""
    return adapters[0] if len(adapters) == 1 else MultiAdapter(adapters)


def merge_loras(pipeline: Any, loras: Sequence[LoraSource], *, offline: bool) -> None:
    """Add LoRA weights into the pipeline's own, each times its scale: nothing is slower afterwards.

    Raises:
        InvalidModelError: the weights are not LoRA weights, or are for another kind of model.
    """
    for index, lora in enumerate(loras):
        file = lora_file(lora.source, offline=offline)
        name = f"lora_{index}"
        try:
            pipeline.load_lora_weights(
                str(file.parent), weight_name=file.name, adapter_name=name, local_files_only=True
            )
            pipeline.set_adapters([name], [1.0])
            pipeline.fuse_lora(adapter_names=[name], lora_scale=lora.scale)
            pipeline.unload_lora_weights()
        except (*LOADING_ERRORS, RuntimeError) as error:
            raise InvalidModelError(
                f"The LoRA weights {file} do not fit this model: {error}.",
                remedy="LoRA weights belong to one kind of model; check which they were trained on.",
            ) from error
