"""What a server does not take: bodies that are too large, requests that come too fast."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from contextlib import suppress

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mfgviz.api import problems
from mfgviz.errors import TooManyRequestsError, UploadTooLargeError

JSON_MAX_BYTES = 1 << 20
TOKENS_KEPT = 10_000


class BodyTooLarge(Exception):  # noqa: N818 - it never leaves this file
    """More came than was announced or allowed."""


class BodyLimit:
    """ASGI middleware: a body of more than `JSON_MAX_BYTES` is refused with 413, whatever its length header
    says. Routes that take files (`uploads`, ends of paths) and inbound `hooks` (the beginning of theirs)
    count for themselves."""

    def __init__(self, app: ASGIApp, uploads: tuple[str, ...], hooks: str) -> None:
        self.app, self.uploads, self.hooks = app, uploads, hooks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on, its body counted."""
        path = scope.get("path", "")
        if scope["type"] != "http" or path.endswith(self.uploads) or path.startswith(self.hooks):
            await self.app(scope, receive, send)
            return
        got, begun, over = 0, False, False

        async def counted() -> Message:
            nonlocal got, over
            message = await receive()
            got += len(message.get("body", b""))
            over = over or got > JSON_MAX_BYTES
            if over:
                raise BodyTooLarge
            return message

        async def sent(message: Message) -> None:
            nonlocal begun
            if over and not begun:
                return  # what the application makes of the broken body
            begun = True
            await send(message)

        length = dict(scope["headers"]).get(b"content-length", b"0")
        if length.isdigit() and int(length) > JSON_MAX_BYTES:
            await problems.of_error(too_large(JSON_MAX_BYTES))(scope, receive, send)
            return
        with suppress(BodyTooLarge):
            await self.app(scope, counted, sent)
        if over and not begun:
            await problems.of_error(too_large(JSON_MAX_BYTES))(scope, receive, send)


def too_large(most: int) -> UploadTooLargeError:
    """The error for a body of more bytes than that."""
    return UploadTooLargeError(
        f"The body of the request has more than {most:,} bytes.", remedy="Send less, or raise the limit."
    )


class RateLimit:
    """A token bucket for each key: `per_minute` in a minute, a tenth of that at once. One process's own."""

    def __init__(self, per_minute: int) -> None:
        self.per_s, self.burst = per_minute / 60, max(10.0, per_minute / 10)
        self._buckets: OrderedDict[int, tuple[float, float]] = OrderedDict()
        self._lock = threading.Lock()

    def take(self, key: int, who: str) -> None:
        """Count one request of `who`, as a sentence begins.

        Raises:
            TooManyRequestsError: it says when the next is welcome.
        """
        now = time.monotonic()
        with self._lock:
            left, at = self._buckets.pop(key, (self.burst, now))
            left = min(self.burst, left + (now - at) * self.per_s)
            allowed = left >= 1
            self._buckets[key] = (left - 1 if allowed else left, now)
            while len(self._buckets) > TOKENS_KEPT:
                self._buckets.popitem(last=False)
        if not allowed:
            raise TooManyRequestsError(
                f"{who} sends more than {self.per_s * 60:,.0f} requests a minute.",
                retry_after_s=(1 - left) / self.per_s,
            )


class SecurityHeaders:
    """ASGI middleware: answers are not to be framed, sniffed, cached by others, or run as pages."""

    HEADERS = (
        (b"x-content-type-options", b"nosniff"),
        (b"x-frame-options", b"DENY"),
        (b"referrer-policy", b"no-referrer"),
        (b"cross-origin-resource-policy", b"same-origin"),
        (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    )

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Add the headers to whatever is answered."""

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                have = {name.lower() for name, _ in message["headers"]}
                extra = [pair for pair in self.HEADERS if pair[0] not in have]
                if b"cache-control" not in have:
                    extra.append((b"cache-control", b"no-store"))
                message["headers"] = [*message["headers"], *extra]
            await send(message)

        await self.app(scope, receive, sent if scope["type"] == "http" else send)
