"""Stage `export`: the trained networks as a diffusers folder of float16 safetensors."""

from __future__ import annotations

from pathlib import Path

import torch

from workers.studio.autoencoder import StudioAutoencoder
from workers.studio.pipeline import StudioPipeline
from workers.studio.training.config import TrainingConfig
from workers.studio.training.decoder import load_autoencoder
from workers.studio.training.denoiser import checkpoint_path, load_denoiser
from workers.studio.training.distill import is_distilled, load_distilled
from workers.studio.training.mirrors import mirrors_path
from workers.studio.training.networks import Denoiser, new_scheduler
from workers.studio.training.patterns import patterns_path
from workers.studio.training.start import WEIGHTS, starting_point
from workers.studio.training.text import load_text

__all__ = ["WEIGHTS", "export", "trained_pipeline"]


def trained_pipeline(config: TrainingConfig) -> StudioPipeline:
    """The pipeline of the last checkpoints; a network without one is untrained."""
    tokenizer, text = load_text(config)
    if is_distilled(config):
        trained = load_distilled(config)
    else:
        begun = checkpoint_path(config).exists() or config.start_from
        trained = load_denoiser(config) if begun else Denoiser(config, text)
    return StudioPipeline(
        tokenizer=tokenizer,
        text_encoder=trained.text.eval(),
        unet=trained.unet.eval(),
        hint_encoder=trained.hints.eval(),
        autoencoder=_autoencoder(config).eval(),
        scheduler=new_scheduler(),
        native_size_px=config.image_px,
        default_steps=config.default_steps,
        default_guidance_scale=config.default_guidance_scale,
    )


def _autoencoder(config: TrainingConfig) -> StudioAutoencoder:
    """What was trained or fitted; else, unchanged, that of the weights which the run began with."""
    begun = starting_point(config)
    made = (config.folder / "decoder.pt", patterns_path(config), mirrors_path(config))
    if begun and not any(path.exists() for path in made):
        return begun.autoencoder
    return load_autoencoder(config)


def export(config: TrainingConfig, folder: Path = WEIGHTS) -> int:
    """Write the folder; return its size in bytes. A README in it stays."""
    pipeline = trained_pipeline(config)
    pipeline.to(torch.float16)
    pipeline.save_pretrained(folder, safe_serialization=True)
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
