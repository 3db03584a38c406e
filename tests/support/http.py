"""The real HTTP server over real sockets, in a thread of the test's process."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import uvicorn

from mfgviz import tokens
from mfgviz.api.app import make_server
from mfgviz.client import Client
from mfgviz.local import listen
from mfgviz.runtime import Runtime
from mfgviz.settings import Settings
from mfgviz.vocabulary import Role
from tests.support.workers import eventually


@dataclass
class HttpServer:
    """A server on a port of its own; `stop` and `start` play outages, on the same port."""

    settings: Settings
    port: int = 0
    _server: uvicorn.Server | None = None
    _thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> HttpServer:
        listening = listen("127.0.0.1", self.port)
        self.port = listening.getsockname()[1]
        self._server = make_server(self.settings)
        self._thread = threading.Thread(target=self._server.run, kwargs={"sockets": [listening]}, daemon=True)
        self._thread.start()
        eventually(lambda: self._server is not None and self._server.started, 20, "the server's start")
        return self

    def stop(self) -> None:
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(20)
            assert not self._thread.is_alive()
            self._server = self._thread = None


def make_token(
    runtime: Runtime, role: Role | str, requester: str | None = None, name: str | None = None
) -> str:
    """The secret of a new token."""
    new = tokens.NewToken(name or f"{requester or role} token", requester or str(role), Role(role))
    with runtime.db.begin() as session:
        return tokens.create_token(session, new, "tests")[1]


def client_of(server: HttpServer, secret: str) -> Client:
    """A client with that token."""
    return Client(server.url, secret)
