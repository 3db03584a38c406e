"""The register of part families: name to maker."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from workers.studio.training import prismatic, turned
from workers.studio.training.solids import Shape

Makers = dict[str, Callable[[np.random.Generator], Shape]]

FAMILIES: Makers = {
    "plate": prismatic.plate,
    "bracket": prismatic.bracket,
    "u_bracket": prismatic.u_bracket,
    "housing": prismatic.housing,
    "cover": prismatic.cover,
    "heatsink": prismatic.heatsink,
    "block": prismatic.block,
    "manifold": prismatic.manifold,
    "clamp": prismatic.clamp,
    "lever": prismatic.lever,
    "hinge": prismatic.hinge,
    "pillow": prismatic.pillow,
    "ribbed_base": prismatic.ribbed_base,
    "flange": turned.flange,
    "shaft": turned.shaft,
    "gear": turned.gear,
    "pulley": turned.pulley,
    "knob": turned.knob,
    "elbow": turned.elbow,
    "bolt": turned.bolt,
    "bushing": turned.bushing,
    "bearing": turned.bearing,
    "fitting": turned.fitting,
    "impeller": turned.impeller,
    "clevis": prismatic.clevis,
    "spider": prismatic.spider,
}
