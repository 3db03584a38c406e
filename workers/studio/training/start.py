"""What a run begins with: untrained networks, or those of a weights folder that it goes on from."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import torch
from torch import nn

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


def adopt(model: nn.Module, begun: nn.Module) -> None:
    """Give a network the weights of one that may be narrower, or know less.

    Where a tensor is larger than it was, what was there is kept, new inputs count for nothing, and new
    outputs stay as they began.
    """
    known = begun.state_dict()
    with torch.no_grad():
        for name, tensor in model.state_dict().items():
            if name not in known:
                continue
            old = known[name]
            if old.ndim > 1:
                tensor[: old.shape[0], old.shape[1] :] = 0
            tensor[tuple(slice(size) for size in old.shape)] = old


@cache
def _loaded(folder: Path) -> StudioPipeline:
    pipeline: StudioPipeline = StudioPipeline.from_pretrained(folder, dtype=torch.float32)
    return pipeline
