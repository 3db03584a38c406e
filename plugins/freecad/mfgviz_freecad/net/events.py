"""The server's events, over one connection that is made again for as long as somebody listens."""

from __future__ import annotations

import json
from typing import Any

from ..core.problems import Kind, Problem, problem_of
from ..core.sse import Backoff, EventParser
from ..qt import QtCore, QtNetwork, Signal
from .http import Api, network_problem

SILENCE_S = 40.0  # the server writes a comment every 15 s

_STATUS = QtNetwork.QNetworkRequest.HttpStatusCodeAttribute


class EventStream(QtCore.QObject):  # type: ignore[misc]
    """`/events` of the token's requester. Resumes where it stopped; goes on trying until `stop()`.

    Signals: `happened(name, data)`; `opened()`; `lost(problem)` once for each connection that ends or
    does not come about.
    """

    happened = Signal(str, object)
    opened = Signal()
    lost = Signal(object)

    def __init__(self, api: Api, path: str = "/events", parent: Any = None) -> None:
        super().__init__(parent)
        self._api, self._path = api, path
        self._parser, self._backoff = EventParser(), Backoff()
        self._reply: Any = None
        self._wanted = False
        self.is_open = False
        self._retry = QtCore.QTimer(self)
        self._retry.setSingleShot(True)
        self._retry.timeout.connect(self._connect)
        self._silence = QtCore.QTimer(self)
        self._silence.setSingleShot(True)
        self._silence.timeout.connect(self._went_silent)

    def start(self) -> None:
        """Listen, if it does not yet."""
        if not self._wanted:
            self._wanted = True
            self._connect()

    def stop(self) -> None:
        """Listen no more."""
        self._wanted = False
        self._retry.stop()
        self._close()

    def try_now(self) -> None:
        """Do not wait for the next attempt."""
        if self._wanted and self._reply is None:
            self._retry.stop()
            self._connect()

    def _connect(self) -> None:
        if not self._wanted or self._reply is not None:
            return
        self._parser.restart()
        self._reply = self._api.open_stream(self._path, self._parser.last_event_id)
        self._reply.readyRead.connect(self._read)
        self._reply.finished.connect(self._ended)
        self._silence.start(int(SILENCE_S * 1000))

    def _read(self) -> None:
        if self._reply is None:
            return
        if int(self._reply.attribute(_STATUS) or 0) != 200:
            return  # a problem document: read whole when it is finished
        self._silence.start(int(SILENCE_S * 1000))
        if not self.is_open:
            self.is_open = True
            self._backoff.succeeded()
            self.opened.emit()
        try:
            events = self._parser.feed(bytes(self._reply.readAll().data()))
        except ValueError:
            self._reply.abort()
            return
        for event in events:
            try:
                data = json.loads(event.data)
            except ValueError:
                continue
            self.happened.emit(event.name, data)

    def _ended(self) -> None:
        if self._reply is None:
            return
        status = int(self._reply.attribute(_STATUS) or 0)
        if status >= 400:
            problem = problem_of(status, bytes(self._reply.readAll().data()))
        else:
            problem = network_problem(self._reply)
        self._close()
        if problem.kind in (Kind.UNAUTHENTICATED, Kind.FORBIDDEN, Kind.REFUSED):
            self._wanted = False
        self._lose(problem)

    def _went_silent(self) -> None:
        if self._reply is not None:
            problem = network_problem(self._reply)
            self._close()
            self._lose(problem)

    def _lose(self, problem: Problem) -> None:
        if self._wanted:
            wait_s = max(self._backoff.next_s(), self._parser.retry_s or 0.0)
            self._retry.start(int(wait_s * 1000))
        self.lost.emit(problem)

    def _close(self) -> None:
        self.is_open = False
        self._silence.stop()
        reply, self._reply = self._reply, None
        if reply is not None:
            reply.abort()
            reply.deleteLater()
