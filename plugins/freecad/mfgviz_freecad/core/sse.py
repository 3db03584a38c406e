"""Server-sent events, as the HTML standard parses them, and how long to wait before connecting again."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

MAX_LINE_BYTES = 1_000_000


@dataclass(frozen=True)
class ServerEvent:
    """One event; `data` is its lines joined by line ends."""

    name: str
    data: str
    id: str


class EventParser:
    """Turns the bytes of a `text/event-stream`, in pieces of any size, into events.

    `last_event_id` is what to resume from; it outlives a connection, what was left unfinished does
    not (`restart`).
    """

    def __init__(self) -> None:
        self.last_event_id = ""
        self.retry_s: float | None = None
        self._name = ""
        self._data: list[str] = []
        self._id = ""
        self._rest = b""
        self._is_first = True

    def restart(self) -> None:
        """A new connection: forget the half of an event that the old one left."""
        self._name, self._data, self._id, self._rest, self._is_first = "", [], self.last_event_id, b"", True

    def feed(self, piece: bytes) -> list[ServerEvent]:
        """The events that end in this piece. Raises ValueError for a line that never ends."""
        text = self._rest + piece
        if self._is_first and text:
            if text.startswith(b"\xef\xbb\xbf"):
                text = text[3:]
            elif len(text) < 3 and b"\xef\xbb\xbf".startswith(text):
                self._rest = text
                return []
            self._is_first = False
        # A CR at the end may be the first half of a CRLF.
        held = text.endswith(b"\r")
        lines = (text[:-1] if held else text).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
        self._rest = lines.pop() + (b"\r" if held else b"")
        if len(self._rest) > MAX_LINE_BYTES:
            raise ValueError("a line of the event stream has more than a million bytes")
        found = (self._line(line.decode("utf-8", "replace")) for line in lines)
        return [event for event in found if event is not None]

    def _line(self, line: str) -> ServerEvent | None:
        if not line:
            return self._dispatch()
        if line.startswith(":"):
            return None
        key, _, value = line.partition(":")
        if value.startswith(" "):
            value = value[1:]
        if key == "event":
            self._name = value
        elif key == "data":
            self._data.append(value)
        elif key == "id" and "\0" not in value:
            self._id = value
        elif key == "retry" and value.isascii() and value.isdigit():
            self.retry_s = int(value) / 1000
        return None

    def _dispatch(self) -> ServerEvent | None:
        name, data = self._name or "message", self._data
        self._name, self._data = "", []
        self.last_event_id = self._id
        return ServerEvent(name, "\n".join(data), self._id) if data else None


class Backoff:
    """Waits between attempts to connect: longer each time, a little different each time."""

    def __init__(
        self, first_s: float = 0.5, longest_s: float = 30.0, jitter: Callable[[], float] | None = None
    ) -> None:
        self._first_s, self._longest_s = first_s, longest_s
        self._jitter = jitter or random.random
        self._failures = 0

    def next_s(self) -> float:
        """How long to wait now."""
        wait = min(self._longest_s, self._first_s * 2**self._failures)
        self._failures = min(self._failures + 1, 16)
        return float(wait * (0.75 + 0.5 * self._jitter()))

    def succeeded(self) -> None:
        """It is connected: begin with short waits again."""
        self._failures = 0
