"""Who acts, and over which connections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from mfgviz import journal
from mfgviz.errors import MfgvizError, UnavailableError
from mfgviz.reviews import Reviewer
from mfgviz.vocabulary import Approval, EventKind

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

    def _reviewer(self, may_review: bool = True) -> Reviewer:
        return Reviewer(self.actor, Approval(self.runtime.settings.approval), may_review)

    @contextmanager
    def _told(self, kind: EventKind, subject: str, only: type[MfgvizError] = MfgvizError) -> Iterator[None]:
        """What is refused in the block is noted for those who were not there, in a transaction of its own:
        errors of the kind `only`.

        Raises:
            MfgvizError: what the block raised.
        """
        try:
            yield
        except only as error:
            with suppress(UnavailableError), self.runtime.db.begin() as session:
                journal.tell_refusal(session, kind, self.actor, subject, error)
            raise
