"""Pictures that are measured, and figures gathered over them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np

from workers.evaluation.cases import Case
from workers.evaluation.subjects import Picture
from workers.geometry.maps import ControlMaps


@dataclass(slots=True)
class Drawn:
    """The pictures of one case: in red and in blue, and by its caption. Those of the truth have no
    colours."""

    case: Case
    maps: ControlMaps  # at the size that is measured at
    words: Picture
    red: Picture | None = None
    blue: Picture | None = None


@dataclass(slots=True)
class Tally:
    """Values by the name of their figure, gathered over the cases."""

    values: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, name: str, value: float | None) -> None:
        """One more value; None is none."""
        if value is not None:
            self.values[name].append(float(value))

    def mean(self, name: str) -> float | None:
        """The mean, or None where there is none."""
        found = self.values.get(name)
        return round(float(np.mean(found)), 4) if found else None
