"""What a run begins with: untrained networks, or those of a weights folder that it goes on from."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch

from workers.studio.pipeline import StudioPipeline
from workers.studio.training.config import TrainingConfig

WEIGHTS = Path(__file__).parents[1] / "weights"
SHIPPED = "shipped"


def starting_point(config: TrainingConfig) -> StudioPipeline | None:
    """The weights that the run goes on from, in float32; None where it begins from nothing.

    Their latents and tokens keep their meaning, so that every network may go on learning.
    """
    if not config.start_from:
        return None
    return _loaded(WEIGHTS if config.start_from == SHIPPED else Path(config.start_from))


@cache
def _loaded(folder: Path) -> StudioPipeline:
    pipeline: StudioPipeline = StudioPipeline.from_pretrained(folder, dtype=torch.float32)
    return pipeline
