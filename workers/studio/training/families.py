"""The register of part families, and the nouns that people use for them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from workers.studio.training import prismatic, turned
from workers.studio.training.solids import Shape


@dataclass(frozen=True, slots=True)
class PartFamily:
    """A maker of random parts; `nouns` are its names, `held_out` ones are never trained on."""

    make: Callable[[np.random.Generator], Shape]
    nouns: tuple[str, ...]
    held_out: bool = False


FAMILIES: dict[str, PartFamily] = {
    "plate": PartFamily(prismatic.plate, ("mounting plate", "plate", "machined plate", "adapter plate")),
    "bracket": PartFamily(prismatic.bracket, ("bracket", "L-bracket", "angle bracket", "motor bracket")),
    "u_bracket": PartFamily(prismatic.u_bracket, ("u-bracket", "channel bracket", "bent bracket")),
    "housing": PartFamily(prismatic.housing, ("housing", "enclosure", "electronics housing", "box")),
    "cover": PartFamily(prismatic.cover, ("cover", "lid", "vented cover", "panel")),
    "heatsink": PartFamily(prismatic.heatsink, ("heat sink", "heatsink", "finned cooler")),
    "block": PartFamily(prismatic.block, ("block", "machined block", "fixture block")),
    "manifold": PartFamily(prismatic.manifold, ("manifold", "hydraulic block", "valve block")),
    "clamp": PartFamily(prismatic.clamp, ("clamp", "shaft clamp", "split collar")),
    "lever": PartFamily(prismatic.lever, ("lever", "link", "connecting arm")),
    "hinge": PartFamily(prismatic.hinge, ("hinge", "hinge leaf")),
    "pillow": PartFamily(prismatic.pillow, ("pillow block", "bearing pedestal", "bearing housing")),
    "ribbed_base": PartFamily(prismatic.ribbed_base, ("base", "ribbed base", "printed base plate")),
    "flange": PartFamily(turned.flange, ("flange", "pipe flange", "hub flange", "hub")),
    "shaft": PartFamily(turned.shaft, ("shaft", "stepped shaft", "spindle")),
    "gear": PartFamily(turned.gear, ("gear", "spur gear", "gear wheel")),
    "pulley": PartFamily(turned.pulley, ("pulley", "belt pulley", "sheave")),
    "knob": PartFamily(turned.knob, ("knob", "control knob", "handle")),
    "elbow": PartFamily(turned.elbow, ("pipe elbow", "elbow", "pipe bend")),
    "bolt": PartFamily(turned.bolt, ("bolt", "screw", "fastener")),
    "bushing": PartFamily(turned.bushing, ("bushing", "sleeve", "flanged bush")),
    "bearing": PartFamily(turned.bearing, ("bearing", "ball bearing")),
    "fitting": PartFamily(turned.fitting, ("fitting", "pipe fitting", "connector")),
    "impeller": PartFamily(turned.impeller, ("impeller", "pump impeller"), held_out=True),
    "clevis": PartFamily(prismatic.clevis, ("clevis", "fork end"), held_out=True),
    "spider": PartFamily(prismatic.spider, ("spider", "armed hub"), held_out=True),
}

GENERIC_NOUNS = ("part", "component", "mechanical part", "workpiece", "machine part")
