"""Who acts, and over which connections."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from mfgviz import catalog, journal
from mfgviz.errors import MfgvizError, UnavailableError
from mfgviz.reviews import Reviewer
from mfgviz.vocabulary import Approval, EventKind, LifecycleState

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from mfgviz.records import PartRevision
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

    def _move(
        self, session: Session, revision: PartRevision, state: LifecycleState, source_state: str | None = None
    ) -> None:
        """Move a revision through its lifecycle. Raises IllegalMoveError, NoApprovedImageError."""
        needed = self.runtime.settings.release_needs_approved_image
        catalog.set_lifecycle_state(
            session, revision, state, self.actor, source_state, needs_approved_image=needed
        )

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
