"""The register of part families: name to maker."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from workers.studio.training import bent, machined, prismatic, turned
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
    "z_bracket": bent.z_bracket,
    "hat_channel": bent.hat_channel,
    "tray": bent.tray,
    "slotted_angle": bent.slotted_angle,
    "gusset": bent.gusset,
    "panel": bent.panel,
    "extrusion": bent.extrusion,
    "rail": bent.rail,
    "carriage": bent.carriage,
    "handle": bent.handle,
    "sprocket": machined.sprocket,
    "ratchet": machined.ratchet,
    "rack": machined.rack,
    "bevel_gear": machined.bevel_gear,
    "handwheel": machined.handwheel,
    "hex_nut": machined.hex_nut,
    "wing_nut": machined.wing_nut,
    "eye_bolt": machined.eye_bolt,
    "jaw_coupling": machined.jaw_coupling,
    "cam": machined.cam,
    "crank": machined.crank,
    "piston": machined.piston,
    "connecting_rod": machined.connecting_rod,
    "motor_body": machined.motor_body,
    "tee": machined.tee,
    "fan": machined.fan,
    "nozzle": machined.nozzle,
    "thumb_screw": machined.thumb_screw,
    "hose_barb": machined.hose_barb,
    "valve_body": machined.valve_body,
    "ball_joint": machined.ball_joint,
    "pedestal": machined.pedestal,
}
