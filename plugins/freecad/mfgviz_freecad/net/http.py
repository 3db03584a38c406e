"""Requests through the host's QNetworkAccessManager: on the window's event loop, never waiting in it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

from ..core.connect import Server
from ..core.problems import Kind, Problem, problem_of
from ..i18n import tr
from ..qt import QtCore, QtNetwork

TIMEOUT_MS = 30_000
UPLOAD_TIMEOUT_MS = 600_000
AGENT = "mfgviz-freecad"

if TYPE_CHECKING:
    Then = Callable[["Answer"], None]
    Progress = Callable[[int, int], None]

_Request = QtNetwork.QNetworkRequest
_Reply = QtNetwork.QNetworkReply


@dataclass(frozen=True)
class Answer:
    """What came back: content, or the problem that stands in its place."""

    content: bytes = b""
    problem: Problem | None = None
    status: int = 0

    @property
    def json(self) -> dict[str, Any]:
        """The object in the content."""
        value = json.loads(self.content)
        assert isinstance(value, dict)
        return value


@dataclass(frozen=True)
class Ask:
    """One request. `content` is JSON where it is a dict; `file` is sent as it lies on the disk."""

    method: str
    path: str
    content: Mapping[str, Any] | None = None
    file: str = ""
    query: Mapping[str, Any] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    expects_json: bool = True


def revision_path(reference: str) -> str:
    """The path of a revision: its reference is one segment, whatever it holds."""
    return f"/revisions/{quote(reference, safe='')}"


class Api(QtCore.QObject):  # type: ignore[misc]
    """The API of one server. `then` is called in the window's thread, once, unless the call is dropped."""

    def __init__(self, server: Server, parent: Any = None) -> None:
        super().__init__(parent)
        self.server = server
        self._network = QtNetwork.QNetworkAccessManager(self)
        self._under_way: dict[int, Call] = {}

    def ask(self, what: Ask, then: Then, progress: Progress | None = None) -> Call:
        """Send it."""
        call = Call(self, what, then, progress)
        self._under_way[id(call)] = call
        call.start()
        return call

    def get(self, path: str, then: Then, **query: Any) -> Call:
        """GET, for JSON."""
        return self.ask(Ask("GET", path, query=query), then)

    def get_bytes(self, path: str, then: Then) -> Call:
        """GET, for a picture."""
        return self.ask(Ask("GET", path, expects_json=False), then)

    def post(self, path: str, content: Mapping[str, Any], then: Then, **headers: str) -> Call:
        """POST of JSON."""
        return self.ask(Ask("POST", path, content, headers=headers), then)

    def put(self, path: str, content: Mapping[str, Any], then: Then) -> Call:
        """PUT of JSON."""
        return self.ask(Ask("PUT", path, content), then)

    def request(self, path: str, query: Mapping[str, Any] | None = None) -> Any:
        """A QNetworkRequest with the token. It goes to this server and is never redirected to another."""
        prefix = "" if path.startswith("/api/") else "/api/v1"
        asked = {key: value for key, value in (query or {}).items() if value not in (None, "")}
        tail = f"?{urlencode(asked)}" if asked else ""
        address = f"{self.server.url}{prefix}{path}{tail}"
        made = _Request(QtCore.QUrl.fromEncoded(QtCore.QByteArray(address.encode())))
        if self.server.token:
            made.setRawHeader(b"Authorization", f"Bearer {self.server.token}".encode())
        made.setRawHeader(b"User-Agent", AGENT.encode())
        made.setAttribute(_Request.RedirectPolicyAttribute, _Request.SameOriginRedirectPolicy)
        return made

    def send(self, what: Ask, body: Any) -> Any:
        """The QNetworkReply for a request."""
        request = self.request(what.path, what.query)
        if hasattr(request, "setTransferTimeout"):  # Qt 5.15 and later
            request.setTransferTimeout(UPLOAD_TIMEOUT_MS if what.file else TIMEOUT_MS)
        if body is not None:
            kind = "application/json" if what.content is not None else "application/octet-stream"
            request.setHeader(_Request.ContentTypeHeader, kind)
        for name, value in what.headers.items():
            request.setRawHeader(name.replace("_", "-").encode(), value.encode())
        if what.method == "GET":
            return self._network.get(request)
        if what.method == "DELETE":
            return self._network.deleteResource(request)
        send = self._network.put if what.method == "PUT" else self._network.post
        return send(request, QtCore.QByteArray() if body is None else body)

    def open_stream(self, path: str, last_event_id: str) -> Any:
        """A QNetworkReply whose content never ends."""
        request = self.request(path)
        request.setRawHeader(b"Accept", b"text/event-stream")
        request.setRawHeader(b"Cache-Control", b"no-cache")
        if last_event_id:
            request.setRawHeader(b"Last-Event-ID", last_event_id.encode())
        return self._network.get(request)

    def finished(self, call: Call) -> None:
        """The call is over: let go of it."""
        self._under_way.pop(id(call), None)

    def close(self) -> None:
        """Drop what is under way."""
        for call in list(self._under_way.values()):
            call.drop()


class Call:
    """One request under way."""

    def __init__(self, api: Api, what: Ask, then: Then, progress: Progress | None) -> None:
        self._api, self._what, self._then, self._progress = api, what, then, progress
        self._reply: Any = None
        self._file: Any = None
        self._over = False

    def start(self) -> None:
        """Send it. A file that cannot be opened is answered like a failure of the network."""
        body: Any = None
        if self._what.file:
            body = self._file = QtCore.QFile(self._what.file)
            if not self._file.open(QtCore.QIODevice.ReadOnly):
                gone = tr("The exported file is gone: export the part again by pressing Render.")
                QtCore.QTimer.singleShot(0, lambda: self._end(Answer(problem=Problem(Kind.REFUSED, gone))))
                return
        elif self._what.content is not None:
            body = QtCore.QByteArray(json.dumps(self._what.content).encode())
        self._reply = self._api.send(self._what, body)
        if self._progress is not None:
            self._reply.uploadProgress.connect(self._progress)
        self._reply.finished.connect(self._finished)

    def drop(self) -> None:
        """Nobody waits for the answer any more."""
        self._over = True
        if self._reply is not None:
            self._reply.abort()
        self._release()

    def _finished(self) -> None:
        if self._over:
            return
        status = int(self._reply.attribute(_Request.HttpStatusCodeAttribute) or 0)
        content = bytes(self._reply.readAll().data())
        self._end(answer_of(self._reply, status, content, self._what.expects_json))

    def _end(self, answer: Answer) -> None:
        if not self._over:
            self._over = True
            self._release()
            self._then(answer)

    def _release(self) -> None:
        if self._file is not None:
            self._file.close()
        if self._reply is not None:
            self._reply.deleteLater()
        self._api.finished(self)


def answer_of(reply: Any, status: int, content: bytes, expects_json: bool) -> Answer:
    """The answer, or what went wrong."""
    if status >= 400:
        retry_after = bytes(reply.rawHeader(b"Retry-After").data()).decode("ascii", "replace")
        return Answer(content, problem_of(status, content, retry_after), status)
    if reply.error() != _Reply.NoError:
        return Answer(problem=network_problem(reply), status=status)
    if 300 <= status < 400:
        told = tr("The server at {url} sends requests elsewhere.", url=_url(reply))
        return Answer(problem=Problem(Kind.REFUSED, told, tr("Set the address it sends to."), status=status))
    if expects_json and not _is_object(content):
        told = tr("What answers at {url} is not an mfgviz server.", url=_url(reply))
        return Answer(problem=Problem(Kind.REFUSED, told, tr("Check the address in the settings.")))
    return Answer(content, None, status)


def network_problem(reply: Any) -> Problem:
    """Why there was no answer at all, in words."""
    error, url = reply.error(), _url(reply)
    if error == _Reply.ConnectionRefusedError:
        told = tr("No server answers at {url}.", url=url)
        return Problem(
            Kind.UNREACHABLE, told, tr("Start it with `mfgviz up`, or check the address in the settings.")
        )
    if error == _Reply.HostNotFoundError:
        told = tr("There is no host of that name: {url}.", url=url)
        return Problem(Kind.UNREACHABLE, told, tr("Check the address in the settings, and the network."))
    if error == _Reply.SslHandshakeFailedError:
        told = tr("The certificate of {url} is not trusted: {reason}", url=url, reason=reply.errorString())
        return Problem(Kind.REFUSED, told, tr("Ask your administrator; the token was not sent."))
    if error in (_Reply.TimeoutError, _Reply.OperationCanceledError):
        return Problem(Kind.UNREACHABLE, tr("{url} did not answer in time.", url=url))
    return Problem(
        Kind.UNREACHABLE, tr("{url} cannot be reached: {reason}", url=url, reason=reply.errorString())
    )


def _url(reply: Any) -> str:
    url = reply.url()
    port = "" if url.port() < 0 else f":{url.port()}"
    return f"{url.scheme()}://{url.host()}{port}"


def _is_object(content: bytes) -> bool:
    return content.lstrip()[:1] == b"{"
