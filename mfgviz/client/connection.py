"""One server over HTTP: requests, their refusals, and streams of events."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from mfgviz import __version__, wire
from mfgviz.errors import (
    InvalidInputError,
    MfgvizError,
    NotFoundError,
    ServerUnavailableError,
    TooManyError,
    TooManyRequestsError,
    UnauthenticatedError,
    UnknownServerError,
    error_of,
)
from mfgviz.masking import mask_secret

API = "/api/v1"
TOKEN_MARK = "token="  # noqa: S105 - the word before it
TIMEOUT_S = 30.0
# Longer than the server's keep-alive comments are apart.
EVENTS_TIMEOUT_S = 60.0
RECONNECT_S = (0.2, 1.0, 2.0, 5.0)
TRIES = 3
GATEWAY_ERRORS = (502, 503, 504)
_TOKEN = re.compile(r"[\x21-\x7e]+")

M = TypeVar("M", bound=BaseModel)


class Connection:
    """One server, one token. Safe to use from several threads.

    `url` may be the connect string that `mfgviz up` prints, which holds the token. A request that is refused
    because too many come waits for as long as `patience_s`; by default that is an error at once.

    Raises:
        UnknownServerError: the URL is none of http or https.
        UnauthenticatedError: that cannot be a token.
    """

    def __init__(
        self,
        url: str,
        token: str = "",
        *,
        patience_s: float = 0.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        base, _, fragment = url.partition("#")
        secret = token or (fragment.removeprefix(TOKEN_MARK) if fragment.startswith(TOKEN_MARK) else "")
        headers = {"User-Agent": f"mfgviz/{__version__}", "Accept": "application/json"}
        if secret:
            if not _TOKEN.fullmatch(secret):
                raise UnauthenticatedError(
                    "The token holds characters that none has.",
                    remedy="Copy it again, whole and alone, as `mfgviz tokens create` printed it.",
                )
            headers["Authorization"] = f"Bearer {secret}"
        self.url = base.rstrip("/")
        self._patience_s = patience_s
        if not _is_address(base):
            raise UnknownServerError(f"{mask_secret(url)!r} is no address of a server.")
        self._http = httpx.Client(
            base_url=self.url + API, headers=headers, timeout=TIMEOUT_S, transport=transport
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _get(self, kind: type[M], path: str, /, **query: Any) -> M:
        given = {key: value for key, value in query.items() if value not in (None, "")}
        return parse(kind, again(lambda: self._request("GET", path, params=given)))

    def _send(self, kind: type[M], method: str, path: str, body: BaseModel) -> M:
        return parse(kind, self._request(method, path, json=plain(body)))

    def _request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        if "json" in arguments:
            arguments["content"] = encode(arguments.pop("json"))
            arguments["headers"] = {"Content-Type": "application/json", **arguments.get("headers", {})}
        until = time.monotonic() + self._patience_s
        while True:
            try:
                answer = self._http.request(method, path, **arguments)
            except httpx.HTTPError as error:
                raise self._unavailable(error) from error
            except (UnicodeError, httpx.InvalidURL) as error:
                raise InvalidInputError("It holds characters that are no text.") from error
            if answer.is_success:
                return answer
            refusal = self._refusal(answer)
            # What was refused so was not done: it may come again. A stream that is half sent may not.
            if not isinstance(refusal, TooManyRequestsError) or not isinstance(
                arguments.get("content", b""), bytes
            ):
                raise refusal
            if time.monotonic() + refusal.retry_after_s > until:
                raise refusal
            time.sleep(refusal.retry_after_s)

    def _events(self, path: str) -> Iterator[wire.JobEvent | wire.PreviewEvent]:
        last_id, tried = "", 0
        while True:
            headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last_id} if last_id else {})}
            try:
                with self._http.stream("GET", path, headers=headers, timeout=EVENTS_TIMEOUT_S) as answer:
                    if not answer.is_success:
                        answer.read()
                        raise self._refusal(answer)
                    for name, data, event_id in parse_events(answer.iter_lines()):
                        last_id, tried = event_id or last_id, 0
                        if name in _EVENTS:
                            yield _EVENTS[name].model_validate(json.loads(data))
            except httpx.HTTPError as error:
                if tried >= len(RECONNECT_S):
                    raise self._unavailable(error) from error
            time.sleep(RECONNECT_S[min(tried, len(RECONNECT_S) - 1)])
            tried += 1

    def _unavailable(self, error: httpx.HTTPError) -> ServerUnavailableError:
        told = str(error) or type(error).__name__
        return ServerUnavailableError(f"The server {mask_secret(self.url)} does not answer: {told}.")

    def _refusal(self, answer: httpx.Response) -> MfgvizError:
        try:
            told = wire.Problem.model_validate(answer.json())
        except (ValueError, ValidationError):
            if answer.status_code in GATEWAY_ERRORS:
                where = mask_secret(self.url)
                return ServerUnavailableError(f"What is in front of {where} answers {answer.status_code}.")
            return UnknownServerError(
                f"{mask_secret(self.url)} answered {answer.status_code} and is no server of mfgviz."
            )
        error = error_of({"code": told.code, "message": told.detail, "remedy": told.remedy})
        if isinstance(error, TooManyError):
            after = answer.headers.get("retry-after", "")
            error.retry_after_s = float(after) if after.isascii() and after.isdigit() else 1.0
        if isinstance(error, UnauthenticatedError) and "authorization" not in self._http.headers:
            error.remedy = "Put a token into MFGVIZ_TOKEN; an admin makes one: `mfgviz tokens create`."
        return error


_EVENTS: dict[str, type[wire.JobEvent] | type[wire.PreviewEvent]] = {
    "job": wire.JobEvent,
    "preview": wire.PreviewEvent,
}


def again(send: Callable[[], httpx.Response]) -> httpx.Response:
    """Send what may be sent twice; again where the server does not answer."""
    for tried in range(TRIES):
        try:
            return send()
        except ServerUnavailableError:
            if tried == TRIES - 1:
                raise
            time.sleep(RECONNECT_S[tried])
    raise AssertionError("never reached")


def parse(kind: type[M], answer: httpx.Response) -> M:
    try:
        return kind.model_validate(answer.json())
    except (ValueError, ValidationError) as error:
        raise UnknownServerError(
            f"{answer.request.url.copy_with(query=None)} did not answer as this version of mfgviz expects."
        ) from error


def plain(body: BaseModel) -> dict[str, Any]:
    return body.model_dump(mode="json", exclude_unset=True)


def _is_address(url: str) -> bool:
    try:
        found = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        return False
    return found.scheme in ("http", "https") and bool(found.host)


def encode(plain: object) -> bytes:
    try:
        return json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (ValueError, RecursionError) as error:  # half of a surrogate pair, or a number that is none
        raise InvalidInputError("It holds a value that cannot be sent.") from error


def listed(plain: object) -> object:
    """Plain values with lists where there are tuples, as JSON has them."""
    if isinstance(plain, dict):
        return {key: listed(value) for key, value in plain.items()}
    return [listed(value) for value in plain] if isinstance(plain, list | tuple) else plain


def segment(text: str) -> str:
    """A text as one segment of a path. Raises NotFoundError where nothing can have that name."""
    try:
        segment = quote(text, safe="@")
    except UnicodeEncodeError:
        segment = ""
    if segment in ("", ".", "..") or "/" in text or "\\" in text:
        raise NotFoundError(f"{text!r} names nothing.", remedy="Check the name.")
    return segment


def parse_events(lines: Iterator[str]) -> Iterator[tuple[str, str, str]]:
    """Server-sent events (WHATWG HTML, 9.2.6): name, data and id of each."""
    name, data, event_id = "", list[str](), ""
    for line in lines:
        if not line:
            if data:
                yield name or "message", "\n".join(data), event_id
            name, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif field == "id" and "\0" not in value:
            event_id = value
