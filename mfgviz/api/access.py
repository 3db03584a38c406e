"""Who calls, and what they may do."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import Annotated, Any

from anyio import to_thread
from fastapi import BackgroundTasks, Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer

from mfgviz import journal, tokens
from mfgviz.api.events import Hub
from mfgviz.api.limits import RateLimit
from mfgviz.errors import ForbiddenError, UnauthenticatedError
from mfgviz.runtime import Runtime
from mfgviz.service import Service
from mfgviz.tokens import USED_EVERY_S, Holder
from mfgviz.vocabulary import Scope

BEARER = HTTPBearer(auto_error=False, description="A token of `mfgviz tokens create`.")


@dataclass(slots=True)
class Server:
    """What all requests of one server process share."""

    runtime: Runtime
    rate: RateLimit
    hub: Hub
    used: dict[int, float] = field(default_factory=dict)


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

    def require_own(self, job_id: int) -> None:
        """Refuse another one's job, but to an admin. Raises JobNotFoundError, ForbiddenError."""
        owner = self.service.owner(job_id)
        if owner != self.holder.requester and Scope.ADMIN not in self.holder.scopes:
            raise ForbiddenError(
                f"Job {job_id} is of {owner}: {self.holder.requester} may not change it.",
                remedy="Ask them, or an admin.",
            )


def server_of(request: Request) -> Server:
    """The server process's own."""
    server: Server = request.app.state.server
    return server


def require(scope: Scope) -> Callable[..., Coroutine[Any, Any, Caller]]:
    """A dependency: the caller, whose token must have that scope."""

    async def caller(
        request: Request,
        background: BackgroundTasks,
        given: Annotated[HTTPAuthorizationCredentials | None, Depends(BEARER)],
    ) -> Caller:
        if given is None:
            raise UnauthenticatedError("The request carries no token.")
        server = server_of(request)
        holder = await to_thread.run_sync(_authenticate, server.runtime, given.credentials)
        server.rate.take(holder.token_id, holder.token_name)
        if time.monotonic() - server.used.get(holder.token_id, -USED_EVERY_S) >= USED_EVERY_S:
            server.used[holder.token_id] = time.monotonic()
            background.add_task(_note_use, server.runtime, holder.token_id)
        address = request.client.host if request.client else "unknown"
        journal.came_from.set({"door": "http", "address": address, "token": holder.token_name})
        found = Caller(holder, Service(server.runtime, holder.requester, background.add_task), server)
        found.require(scope)
        return found

    caller.scope = scope  # type: ignore[attr-defined] # read where routes are documented
    return caller


def _authenticate(runtime: Runtime, secret: str) -> Holder:
    with runtime.db.read() as session:
        return tokens.authenticate(session, secret)


def _note_use(runtime: Runtime, token_id: int) -> None:
    with runtime.db.begin() as session:
        tokens.note_use(session, [token_id])


Reader = Annotated[Caller, Depends(require(Scope.READ))]
Submitter = Annotated[Caller, Depends(require(Scope.SUBMIT))]
Reviewer = Annotated[Caller, Depends(require(Scope.REVIEW))]
Admin = Annotated[Caller, Depends(require(Scope.ADMIN))]
