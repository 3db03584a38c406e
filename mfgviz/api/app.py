"""The HTTP application, and running it."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import uvicorn
from anyio import to_thread
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware

from mfgviz import __version__
from mfgviz.api import problems
from mfgviz.api.access import Afterwards, Server
from mfgviz.api.events import Hub
from mfgviz.api.limits import BodyLimit, RateLimit, SecurityHeaders
from mfgviz.api.routes import (
    bom,
    chronicle,
    connecting,
    connections,
    hooks,
    jobs,
    parts,
    renders,
    rest,
    revisions,
    rules,
)
from mfgviz.errors import MfgvizError
from mfgviz.runtime import Runtime
from mfgviz.service import API, Service
from mfgviz.settings import Settings, load_settings

log = logging.getLogger(__name__)

# Requests that touch the database at a time: as many as its pool has connections, less those of the events.
THREADS = 11
FORGET_EVERY_S = 3600.0
# How long open event streams may keep a server that stops.
SHUTDOWN_S = 3
UPLOADS = ("/geometry", "/intake", "/images", "/bom/lines")
ROUTERS = (
    parts.router,
    revisions.router,
    connecting.router,
    jobs.router,
    renders.router,
    renders.images,
    bom.router,
    bom.batches,
    rules.router,
    chronicle.router,
    connections.router,
    hooks.router,
    rest.router,
)
DESCRIPTION = """
Gives CAD part revisions their pictures: diffusion renders held to the part's true geometry.

Every request carries `Authorization: Bearer TOKEN`; `mfgviz tokens create NAME --role engineer` makes one.
Messages to inbound hooks are signed instead.
Roles are viewer (scope read), engineer (read, submit), approver (read, submit, review) and admin (all).
Errors are problem+json with the codes of the command line. Lists have cursors. Times are UTC.
"""


def create_app(settings: Settings) -> FastAPI:
    """The application over what the settings name. Nothing is connected before it starts."""
    runtime = Runtime(settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        to_thread.current_default_thread_limiter().total_tokens = THREADS
        server = app.state.server
        await server.hub.start()
        forgetting = asyncio.create_task(_forget(runtime))
        try:
            yield
        finally:
            forgetting.cancel()
            await server.hub.stop()
            server.later.close()
            runtime.close()

    app = FastAPI(
        title="mfgviz",
        version=__version__,
        description=DESCRIPTION,
        openapi_url=f"{API}/openapi.json",
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        separate_input_output_schemas=False,
        generate_unique_id_function=lambda route: route.name,
    )
    app.state.server = Server(runtime, RateLimit(settings.requests_per_minute), Hub(runtime), Afterwards())
    problems.install(app)
    app.add_middleware(BodyLimit, uploads=UPLOADS, hooks=f"{API}/hooks/")
    origins = [one.strip() for one in settings.cors_origins.split(",") if one.strip()]
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=["GET", "POST", "PUT", "PATCH", "DELETE"],
            allow_headers=[
                "Authorization",
                "Content-Type",
                "Idempotency-Key",
                "Last-Event-ID",
                "If-None-Match",
            ],
        )
    app.add_middleware(SecurityHeaders)
    for router in ROUTERS:
        app.include_router(router, prefix=API)
    app.include_router(rest.health)
    problems.describe(app.openapi())
    return app


def from_environment() -> FastAPI:
    """The application over the settings in force: for any ASGI server, as a factory."""
    settings = load_settings()
    logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s %(message)s")
    return create_app(settings)


class HttpServer(uvicorn.Server):
    """A server that ends its event streams when it is to stop, instead of waiting for them."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop: streams first."""
        server: Server = self.config.app.state.server  # type: ignore[union-attr] # the app of make_server
        server.hub.release()
        await super().shutdown(sockets)


def make_server(settings: Settings) -> uvicorn.Server:
    """The server, ready to run on sockets that listen."""
    config = uvicorn.Config(
        create_app(settings),
        log_level=settings.log_level.lower(),
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=SHUTDOWN_S,
    )
    return HttpServer(config)


def run(settings: Settings, listening: socket.socket) -> None:
    """Serve until SIGINT or SIGTERM."""
    make_server(settings).run(sockets=[listening])


async def _forget(runtime: Runtime) -> None:
    """Drop what is remembered for a day only."""
    service: Any = Service(runtime, "mfgviz")
    while True:
        with suppress(MfgvizError):
            await to_thread.run_sync(service.forget_old_keys)
            await to_thread.run_sync(service.forget_old_messages)
        await asyncio.sleep(FORGET_EVERY_S)
