"""A real HTTP receiver of webhooks, in threads of the test's process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Received:
    """One message as it came."""

    path: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Receiver:
    """What it answers is a status, or a function that answers by itself with the handler.

    `answers` are taken one after the other, the last one for ever; by path where they are given so.
    """

    answers: dict[str, list[int | Callable[[BaseHTTPRequestHandler], None]]] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)
    released: threading.Event = field(default_factory=threading.Event)
    _server: ThreadingHTTPServer | None = None

    @property
    def port(self) -> int:
        assert self._server is not None
        return int(self._server.server_address[1])

    def url(self, path: str = "/ok", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def at(self, path: str) -> list[Received]:
        return [one for one in self.received if one.path == path]

    def start(self) -> Receiver:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", "0")))
                headers = {key.lower(): one for key, one in self.headers.items()}
                receiver.received.append(Received(self.path, headers, body))
                wanted = receiver.answers.get(self.path, [204])
                answer = wanted.pop(0) if len(wanted) > 1 else wanted[0]
                if callable(answer):
                    answer(self)
                    return
                self.send_response(answer)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.block_on_close = False
        # As httpd: who hangs up early is no news.
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign]
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        ).start()
        return self

    def stop(self) -> None:
        self.released.set()
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()

    # -- answers
    def hangs(self, _handler: BaseHTTPRequestHandler) -> None:
        """Says nothing until the receiver stops."""
        self.released.wait(30)

    def redirects(self, handler: BaseHTTPRequestHandler) -> None:
        """To an address inside of the network."""
        handler.send_response(302)
        handler.send_header("Location", self.url("/inside"))
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    def floods(self, handler: BaseHTTPRequestHandler) -> None:
        """Answers with 1 GB."""
        handler.send_response(200)
        handler.send_header("Content-Length", str(1 << 30))
        handler.end_headers()
        for _ in range(1 << 14):
            handler.wfile.write(b"x" * (1 << 16))

    def trickles(self, handler: BaseHTTPRequestHandler) -> None:
        """Sends a byte of its answer from time to time, so that no single read times out."""
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        while not self.released.wait(0.05):
            handler.wfile.write(b"x")
            handler.wfile.flush()


def until(look: Callable[[], object], limit_s: float = 10.0) -> None:
    """Wait until that is so."""
    end = time.monotonic() + limit_s
    while not look():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.01)
