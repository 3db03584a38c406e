"""How long a batch may take."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """After `soft_s` a batch is stopped at its next step and tried again; after `hard_s` it is given up."""

    soft_s: float
    hard_s: float
