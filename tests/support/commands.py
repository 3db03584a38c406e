"""What a command answered, for the tests of the command line."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass
class Answer:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Its stdout as JSON."""
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """Its error as JSON."""
        return json.loads(self.err.strip().splitlines()[-1])["error"]


Run = Callable[..., Answer]
