"""The nouns that people use for the parts of each family. Kept apart from the kernel that makes them."""

from __future__ import annotations

NOUNS: dict[str, tuple[str, ...]] = {
    "plate": ("mounting plate", "plate", "machined plate", "adapter plate"),
    "bracket": ("bracket", "L-bracket", "angle bracket", "motor bracket"),
    "u_bracket": ("u-bracket", "channel bracket", "bent bracket"),
    "housing": ("housing", "enclosure", "electronics housing", "box"),
    "cover": ("cover", "lid", "vented cover", "panel"),
    "heatsink": ("heat sink", "heatsink", "finned cooler"),
    "block": ("block", "machined block", "fixture block"),
    "manifold": ("manifold", "hydraulic block", "valve block"),
    "clamp": ("clamp", "shaft clamp", "split collar"),
    "lever": ("lever", "link", "connecting arm"),
    "hinge": ("hinge", "hinge leaf"),
    "pillow": ("pillow block", "bearing pedestal", "bearing housing"),
    "ribbed_base": ("base", "ribbed base", "printed base plate"),
    "flange": ("flange", "pipe flange", "hub flange", "hub"),
    "shaft": ("shaft", "stepped shaft", "spindle"),
    "gear": ("gear", "spur gear", "gear wheel"),
    "pulley": ("pulley", "belt pulley", "sheave"),
    "knob": ("knob", "control knob", "handle"),
    "elbow": ("pipe elbow", "elbow", "pipe bend"),
    "bolt": ("bolt", "screw", "fastener"),
    "bushing": ("bushing", "sleeve", "flanged bush"),
    "bearing": ("bearing", "ball bearing"),
    "fitting": ("fitting", "pipe fitting", "connector"),
    "impeller": ("impeller", "pump impeller"),
    "clevis": ("clevis", "fork end"),
    "spider": ("spider", "armed hub"),
}

GENERIC_NOUNS = ("part", "component", "mechanical part", "workpiece", "machine part")

# Never trained on: they show whether the model draws what it is told, or what it knows.
HELD_OUT = frozenset({"impeller", "clevis", "spider"})
