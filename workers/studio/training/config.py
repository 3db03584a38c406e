"""What a training run is made of: one frozen dataclass, filled from a TOML preset or a file of one's own."""

from __future__ import annotations

import os
import tomllib
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

PRESETS = Path(__file__).parent / "presets"


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """All numbers of a run. Sizes are in pixels of the training image unless the name says otherwise.

    `minutes_*` bound the stages by the clock, so that a preset means the same on any machine; a stage that
    is started again goes on from its checkpoint until its minutes are used up.
    """

    name: str = "first-cut"
    seed: int = 1
    start_from: str = ""  # a weights folder to go on from, or "shipped"; empty: from random weights
    # data
    families: tuple[str, ...] = ()  # of the parts; none: all that there are
    parts: int = 520
    assemblies: int = 0  # beside the parts: of several bodies, in two materials
    cameras_per_part: int = 1
    looks_per_camera: int = 1
    small_looks_per_camera: int = 3
    large_every: int = 1  # of how many parts one is rendered at full size; the others at half of it
    image_px: int = 512
    favoured: tuple[str, ...] = ()  # kinds and colours of the surfaces; none: all, as often as usual
    samples_per_pixel: int = 6
    # latents
    latent_channels: int = 16
    patch_px: int = 8
    latent_scale: int = 16
    # text
    vocabulary: int = 640
    text_tokens: int = 48
    text_width: int = 192
    text_layers: int = 4
    text_steps: int = 500
    word_steps: int = 600  # of teaching words outside the captions, where a sentence encoder is installed
    # denoiser
    unet_channels: tuple[int, ...] = (64, 128, 256)
    batch: int = 16
    learning_rate: float = 7e-4
    ema: float = 0.999
    minutes_crops: float = 26.5
    minutes_denoiser: float = 3.0
    # guidance and step distillation
    minutes_distill: float = 0.0  # 0: the denoiser is exported as it is, with two evaluations a step
    distill_learning_rate: float = 2e-4
    # decoder
    decoder_lamps: bool = True  # whether it looks up lamps that the part mirrors
    decoder_widths: tuple[int, ...] = (16, 32, 64, 96)
    decoder_batch: int = 6
    decoder_crop_px: int = 192
    minutes_decoder: float = 15.0
    decoder_learning_rate: float = 1.5e-3  # too quick for a trained one, which it unlearns for a while
    minutes_adversarial: float = 0.0  # after those of regression alone: a critic of patches beside it
    adversarial_learning_rate: float = 1e-4
    predictions: int = 256
    # where the networks are trained
    device: str = "cpu"
    bf16: bool = False  # autocast to bfloat16: pays on GPUs, not on CPUs without AMX
    # what the exported pipeline does unless it is told otherwise
    default_steps: int = 4
    default_guidance_scale: float = 2.5

    @property
    def folder(self) -> Path:
        """Where data and checkpoints live: outside the repository."""
        root = os.environ.get("MFGVIZ_TRAINING_DIR") or Path.home() / ".cache" / "mfgviz" / "training"
        return Path(root) / self.name


def load_config(name_or_path: str, **overrides: Any) -> TrainingConfig:
    """A preset by its name, or a TOML file; `overrides` win.

    Raises:
        FileNotFoundError: there is neither.
        ValueError: the file has a key that is no setting.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = PRESETS / f"{name_or_path}.toml"
    values = tomllib.loads(path.read_text()) | overrides
    known = {one.name for one in fields(TrainingConfig)}
    if unknown := set(values) - known:
        raise ValueError(f"{path}: no such settings: {', '.join(sorted(unknown))}")
    fixed: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return replace(TrainingConfig(), **fixed)
