"""Quality against steps, for every sampler of a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from workers.evaluation.colour import delta_e_2000, lab
from workers.evaluation.drawn import Drawn, Tally
from workers.evaluation.subjects import Painter, small
from workers.geometry.maps import ControlMaps
from workers.judge.measures import around_part, edge_scores, ssim
from workers.judge.regions import EDGE

STEPS = (2, 4, 8, 25)
PARTS = 8


def against_steps(
    painter: Painter, drawn: Sequence[Drawn], maps: Sequence[ControlMaps], told: Callable[[str], None]
) -> list[dict[str, Any]]:
    """Quality against steps for every sampler that the model has, and for its own without guidance as well,
    which is one evaluation of the network a step instead of two."""
    rows = []
    some = [n for n, one in enumerate(drawn) if one.case.held_out][::8][:PARTS]
    asked = [(sampler, painter.guidance_scale) for sampler in painter.model.capabilities.samplers]
    if painter.guidance_scale > 1:
        asked.append((painter.sampler, 1.0))
    for sampler, guidance_scale in asked:
        for steps in STEPS:
            told(f"sampler {sampler}, {steps} steps")
            using = Painter(painter.model, painter.size_px, sampler, steps, guidance_scale)
            tally = Tally()
            for n in some:
                one = drawn[n]
                made, truth = small(using.paint(one.case.caption, maps[n], 1000 + n)), small(one.case.truth)
                tally.add("ssim", ssim(made, truth))
                edges = one.maps.edges > EDGE
                tally.add("edge_f1", edge_scores(made, edges, around_part(one.maps.mask))[2])
                apart = delta_e_2000(lab(made), lab(truth))
                tally.add("delta_e_part", apart[one.maps.mask > 0.9].mean())
            row = {name: tally.mean(name) for name in ("ssim", "edge_f1", "delta_e_part")}
            seconds = round(float(np.median(using.seconds)), 3)
            told_of = {"sampler": sampler, "guidance_scale": guidance_scale, "steps": steps}
            rows.append({**told_of, **row, "seconds": seconds})
    return rows
