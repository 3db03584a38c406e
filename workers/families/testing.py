"""Tiny models with random weights, made of the real classes: for tests, benchmarks and family authors.

They are folders as `save_pretrained` writes them, a few hundred kilobytes each, and go through
the same doors as real models. Their pictures are coloured noise that obeys seed, prompt and maps.
"""

from __future__ import annotations

import string
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DDIMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    T2IAdapter,
    UNet2DConditionModel,
)
from peft import LoraConfig, get_peft_model_state_dict
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from workers.families.protocol import FloatMap

TEXT_WIDTH = 32
SCHEDULE = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "clip_sample": False,
    "set_alpha_to_one": False,
    "steps_offset": 1,
}


@dataclass(frozen=True, slots=True)
class TinyMaps:
    """Control maps of a sphere in the middle of the image, `radius` of the shorter side."""

    depth: FloatMap
    normal: FloatMap
    edges: FloatMap
    mask: FloatMap
    clay: FloatMap
    occlusion: FloatMap

    @classmethod
    def of_sphere(cls, width: int, height: int, radius: float = 0.35) -> TinyMaps:
        """The sphere's exact maps, float32, (height, width)."""
        side = min(width, height)
        x = (np.arange(width) + 0.5 - width / 2) / (radius * side)
        y = (height / 2 - np.arange(height) - 0.5) / (radius * side)
        xx, yy = np.meshgrid(x, y)
        distance = np.hypot(xx, yy)
        inside = distance <= 1
        z = np.sqrt(np.clip(1 - distance**2, 0, None))
        normal = np.where(inside[..., None], np.dstack([xx, yy, z]), 0)
        rim = np.abs(distance - 1) * radius * side <= 1
        clay = np.where(inside, 0.3 + 0.7 * z, 0)
        maps = (0.5 + 0.5 * z) * inside, normal, rim, inside, clay, inside
        return cls(*(one.astype(np.float32) for one in maps))


def save_tiny_sd15(folder: Path, seed: int = 0) -> Path:
    """A Stable Diffusion 1.x folder: 64 px from 32x32 latents."""
    torch.manual_seed(seed)
    pipeline = StableDiffusionPipeline(
        vae=_vae(),
        text_encoder=CLIPTextModel(_text_config()),
        tokenizer=tiny_tokenizer(),
        unet=_unet(),
        scheduler=DDIMScheduler(**SCHEDULE),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def save_tiny_sdxl(folder: Path, seed: int = 0) -> Path:
    """An SDXL folder: 64 px from 32x32 latents, two text encoders."""
    torch.manual_seed(seed)
    pipeline = StableDiffusionXLPipeline(
        vae=_vae(),
        text_encoder=CLIPTextModel(_text_config()),
        text_encoder_2=CLIPTextModelWithProjection(_text_config()),
        tokenizer=tiny_tokenizer(),
        tokenizer_2=tiny_tokenizer(),
        unet=_unet(**_SDXL_UNET),
        scheduler=DDIMScheduler(**SCHEDULE),
        add_watermarker=False,
    )
    pipeline.save_pretrained(folder, safe_serialization=True)
    return folder


def save_tiny_controlnet(folder: Path, *, sdxl: bool = False, seed: int = 1) -> Path:
    """A ControlNet for the tiny models whose output is not zero, as an untrained one's would be."""
    torch.manual_seed(seed)
    unet = _unet(**(_SDXL_UNET if sdxl else {}))
    net = ControlNetModel.from_unet(unet, conditioning_embedding_out_channels=(16, 32))
    with torch.no_grad():
        for block in (*net.controlnet_down_blocks, net.controlnet_mid_block, net.controlnet_cond_embedding):
            for parameter in block.parameters():
                parameter.normal_(std=0.1)
    net.save_pretrained(folder, safe_serialization=True)
    return folder


def save_tiny_adapter(folder: Path, *, sdxl: bool = False, channels: int = 3, seed: int = 2) -> Path:
    """A T2I-Adapter for the tiny models: features of 32 and 64 channels at their UNet's two sizes."""
    torch.manual_seed(seed)
    adapter = T2IAdapter(
        in_channels=channels,
        channels=[32, 64],
        num_res_blocks=2,
        downscale_factor=4 if sdxl else 2,
        adapter_type="full_adapter_xl" if sdxl else "full_adapter",
    )
    adapter.save_pretrained(folder, safe_serialization=True)
    return folder


def save_tiny_lora(folder: Path, unet: torch.nn.Module, pipeline: type[Any], seed: int = 3) -> Path:
    """LoRA weights of rank 4 for the attention of a UNet, written by the pipeline class's own method."""
    torch.manual_seed(seed)
    config = LoraConfig(r=4, lora_alpha=4, target_modules=["to_q", "to_v"], init_lora_weights=False)
    unet.add_adapter(config)  # type: ignore[operator]
    weights = get_peft_model_state_dict(unet)
    pipeline.save_lora_weights(folder, unet_lora_layers=weights, safe_serialization=True)
    return folder / "pytorch_lora_weights.safetensors"


def tiny_tokenizer() -> CLIPTokenizer:
    """A CLIP tokenizer that knows single characters: 75 of them fill it."""
    characters = string.ascii_lowercase + string.digits + string.punctuation
    tokens = [*characters, *(f"{one}</w>" for one in characters), "<|startoftext|>", "<|endoftext|>"]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=77)


def _text_config() -> CLIPTextConfig:
    tokens = len(tiny_tokenizer())
    return CLIPTextConfig(
        vocab_size=tokens,
        hidden_size=TEXT_WIDTH,
        intermediate_size=37,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=77,
        projection_dim=TEXT_WIDTH,
        hidden_act="gelu",
        bos_token_id=tokens - 2,
        eos_token_id=tokens - 1,
        pad_token_id=tokens - 1,
    )


_SDXL_UNET: dict[str, Any] = {
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": 2 * TEXT_WIDTH,
    "attention_head_dim": (2, 4),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 8,
    "transformer_layers_per_block": (1, 2),
    "projection_class_embeddings_input_dim": 6 * 8 + TEXT_WIDTH,
}


def _unet(**changes: Any) -> UNet2DConditionModel:
    settings: dict[str, Any] = {
        "block_out_channels": (32, 64),
        "layers_per_block": 1,
        "sample_size": 32,
        "in_channels": 4,
        "out_channels": 4,
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"),
        "cross_attention_dim": TEXT_WIDTH,
        "attention_head_dim": 8,
        "norm_num_groups": 8,
    }
    return UNet2DConditionModel(**{**settings, **changes})


def _vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(16, 32),
        in_channels=3,
        out_channels=3,
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        latent_channels=4,
        norm_num_groups=8,
        sample_size=64,
    )
