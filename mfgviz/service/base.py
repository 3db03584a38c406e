"""Who acts, and over which connections."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mfgviz.runtime import Runtime

PAGE = 50
RING_AT_MOST = 64

Later = Callable[[Callable[[], object]], object]


class Base:
    """What all the doors' floor stands on: who acts, and over which connections.

    `later` is called with what may wait until the answer is sent, such as ringing workers.
    """

    def __init__(self, runtime: Runtime, actor: str, later: Later = lambda action: action()) -> None:
        self.runtime, self.actor = runtime, actor
        self._later = later
