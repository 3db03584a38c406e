"""A tiny studio pipeline of the real classes, untrained, in well under a second."""

from __future__ import annotations

import pytest
import torch

from tests.unit.studio.maps_for_tests import ball
from workers.studio import StudioAutoencoder, StudioPipeline, control_tensor
from workers.studio.training.config import TrainingConfig, load_config
from workers.studio.training.networks import Denoiser, new_scheduler
from workers.studio.training.text import new_text_encoder, train_tokenizer


@pytest.fixture(scope="session")
def config(tmp_path_factory) -> TrainingConfig:
    return load_config("smoke")


@pytest.fixture(scope="session")
def pipeline(config) -> StudioPipeline:
    torch.manual_seed(0)
    tokenizer = train_tokenizer(config, captions=300)
    denoiser = Denoiser(config, new_text_encoder(config, tokenizer)).eval()
    made = StudioPipeline(
        tokenizer=tokenizer,
        text_encoder=denoiser.text,
        unet=denoiser.unet,
        hint_encoder=denoiser.hints,
        autoencoder=StudioAutoencoder(config.latent_channels, config.decoder_widths, core_width=16).eval(),
        scheduler=new_scheduler(),
        native_size_px=64,
        default_steps=2,
    )
    made.set_progress_bar_config(disable=True)
    return made


@pytest.fixture
def control() -> torch.Tensor:
    return control_tensor(ball())
