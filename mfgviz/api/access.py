"""Who calls, and what they may do."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Annotated

from anyio import to_thread
from fastapi import Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer, SecurityScopes

from mfgviz import journal, tokens
from mfgviz.api.events import Hub
from mfgviz.api.limits import RateLimit
from mfgviz.errors import ForbiddenError, MfgvizError, UnauthenticatedError
from mfgviz.hooks import Refusals
from mfgviz.runtime import Runtime
from mfgviz.service import Service
from mfgviz.tokens import USED_EVERY_S, Holder
from mfgviz.vocabulary import FROZEN_STATES, Scope

log = logging.getLogger(__name__)

WAITING_AT_MOST = 1000
BEARER = HTTPBearer(auto_error=False, description="A token of `mfgviz tokens create`.")


class Afterwards:
    """What is done once an answer is sent, such as ringing workers: by one thread, in order, so that no
    request waits for it. Where too much waits, more is left out: a sweep rings for what was not rung for."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, "afterwards")
        self._waiting = threading.BoundedSemaphore(WAITING_AT_MOST)

    def __call__(self, action: Callable[[], object]) -> None:
        """Do that soon."""
        if self._waiting.acquire(blocking=False):
            self._pool.submit(self._do, action)
        else:
            log.warning("too much waits to be done after requests: something was left to a sweep")

    def close(self) -> None:
        """Do what waits, and no more."""
        self._pool.shutdown()

    def _do(self, action: Callable[[], object]) -> None:
        try:
            action()
        except MfgvizError as error:
            log.warning("%s", error.message)
        finally:
            self._waiting.release()


@dataclass(slots=True)
class Server:
    """What all requests of one server process share."""

    runtime: Runtime
    rate: RateLimit
    hub: Hub
    later: Afterwards
    used: dict[int, float] = field(default_factory=dict)
    refusals: Refusals = field(default_factory=Refusals)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who sent a request, and the service that acts for them."""

    holder: Holder
    service: Service
    server: Server

    def require(self, scope: Scope) -> None:
        """Raises ForbiddenError where the token has not that scope."""
        if scope not in self.holder.scopes:
            have = ", ".join(sorted(self.holder.scopes)) or "none"
            raise ForbiddenError(
                f"The token {self.holder.token_name!r} may not do that: it needs the scope {scope}, "
                f"and has {have}.",
                remedy="Ask an admin for a token of another role.",
            )

    def require_own(self, *job_ids: int) -> None:
        """Refuse another one's jobs, but to an admin. Raises JobNotFoundError, ForbiddenError."""
        for job_id in job_ids:
            self.require_own_thing(f"Job {job_id}", self.service.owner(job_id))

    def require_own_thing(self, what: str, owner: str) -> None:
        """Refuse what is another one's, but to an admin. Raises ForbiddenError."""
        if owner != self.holder.requester and Scope.ADMIN not in self.holder.scopes:
            raise ForbiddenError(
                f"{what} is of {owner}: {self.holder.requester} may not change it.",
                remedy="Ask them, or an admin.",
            )


def require_for_state(caller: Caller, state: str) -> None:
    """A revision that is frozen is for reviewers to make or change. Raises ForbiddenError."""
    if state in FROZEN_STATES:
        caller.require(Scope.REVIEW)


def server_of(request: Request) -> Server:
    """The server process's own."""
    server: Server = request.app.state.server
    return server


async def caller_of(
    request: Request,
    needed: SecurityScopes,
    given: Annotated[HTTPAuthorizationCredentials | None, Security(BEARER)],
) -> Caller:
    """A dependency: the caller, whose token has the scopes that the route needs."""
    if given is None:
        raise UnauthenticatedError("The request carries no token.")
    server = server_of(request)
    holder = await to_thread.run_sync(_authenticate, server.runtime, given.credentials)
    server.rate.take(holder.token_id, f"The token {holder.token_name!r}")
    if time.monotonic() - server.used.get(holder.token_id, -USED_EVERY_S) >= USED_EVERY_S:
        server.used[holder.token_id] = time.monotonic()
        server.later(lambda: _note_use(server.runtime, holder.token_id))
    address = request.client.host if request.client else "unknown"
    journal.came_from.set({"door": "http", "address": address, "token": holder.token_name})
    caller = Caller(holder, Service(server.runtime, holder.requester, server.later), server)
    for scope in needed.scopes:
        caller.require(Scope(scope))
    return caller


def _authenticate(runtime: Runtime, secret: str) -> Holder:
    with runtime.db.read() as session:
        return tokens.authenticate(session, secret)


def _note_use(runtime: Runtime, token_id: int) -> None:
    with runtime.db.begin() as session:
        tokens.note_use(session, [token_id])


Reader = Annotated[Caller, Security(caller_of, scopes=[Scope.READ.value])]
Submitter = Annotated[Caller, Security(caller_of, scopes=[Scope.SUBMIT.value])]
Reviewer = Annotated[Caller, Security(caller_of, scopes=[Scope.REVIEW.value])]
Admin = Annotated[Caller, Security(caller_of, scopes=[Scope.ADMIN.value])]
