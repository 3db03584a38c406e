"""A typed client of the HTTP API: the methods of `mfgviz.service.Service`, asked of a server.

    from mfgviz.client import Client

    with Client("http://127.0.0.1:8737", token="mfgv_…") as client:
        answer = client.submit(wire.JobBody(revision="BRK-0042@A", prompt="polished brass"))
        for event in client.job_events(answer.items[0].job):
            print(event.state, event.step)

What the server refuses is raised as the error of `mfgviz.errors` that it would be without a server.
"""

from __future__ import annotations

import json
import os
import re
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote

import httpx
from pydantic import BaseModel, ValidationError

from mfgviz import __version__, wire
from mfgviz.errors import (
    GeometryNotFoundError,
    InvalidInputError,
    InvalidRequestError,
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

if TYPE_CHECKING:
    from mfgviz.intake import Ask
    from mfgviz.provenance import ImageFormat

API = "/api/v1"
TOKEN_MARK = "token="  # noqa: S105 - the word before it
TIMEOUT_S = 30.0
UPLOAD_TIMEOUT_S = 600.0
# Longer than the server's keep-alive comments are apart.
EVENTS_TIMEOUT_S = 60.0
RECONNECT_S = (0.2, 1.0, 2.0, 5.0)
TRIES = 3
CHUNK_BYTES = 1 << 20
# As many as the server takes at once.
IDS_AT_ONCE = 500
GATEWAY_ERRORS = (502, 503, 504)
_TOKEN = re.compile(r"[\x21-\x7e]+")

M = TypeVar("M", bound=BaseModel)


class Client:
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

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # -- parts --------------------------------------------------------------------------------------------
    def parts(self, search: str = "", cursor: str | None = None, limit: int = 50) -> wire.Page[wire.Part]:
        """Parts by number."""
        return self._get(wire.Page[wire.Part], "/parts", search=search, cursor=cursor, limit=limit)

    def part(self, number: str) -> wire.Part:
        """One part with the labels of its revisions."""
        return self._get(wire.Part, f"/parts/{_segment(number)}")

    def add_part(self, new: wire.NewPart) -> wire.Part:
        """Add a part."""
        return self._send(wire.Part, "POST", "/parts", new)

    def change_part(self, number: str, change: wire.PartChange) -> wire.Part:
        """Rename a part, set attributes of it."""
        return self._send(wire.Part, "PATCH", f"/parts/{_segment(number)}", change)

    # -- revisions ----------------------------------------------------------------------------------------
    def revisions(self, number: str) -> list[wire.Revision]:
        """The revisions of a part, oldest first."""
        return self._get(wire.Page[wire.Revision], f"/parts/{_segment(number)}/revisions").items

    def revision(self, reference: str) -> wire.Revision:
        """One revision."""
        return self._get(wire.Revision, f"/revisions/{_segment(reference)}")

    def add_revision(self, number: str, new: wire.NewRevision, file: Path | None = None) -> wire.Revision:
        """Add a revision, with its CAD file where one is given; if that cannot be used nothing is added.

        Raises:
            GeometryNotFoundError: there is no such file.
        """
        path = f"/parts/{_segment(number)}/revisions"
        if file is None:
            return self._send(wire.Revision, "POST", path, new)
        told = {**_plain(new), "file_name": file.name}
        told["attributes"] = _encode(new.attributes).decode()
        return self._upload("POST", f"{path}/geometry", file, told)

    def put_revision(self, reference: str, change: wire.RevisionChange) -> tuple[wire.Revision, bool]:
        """Make part and revision where they are missing, and set what is given; whether it was made."""
        answer = self._request("PUT", f"/revisions/{_segment(reference)}", json=_plain(change))
        return _parse(wire.Revision, answer), answer.status_code == httpx.codes.CREATED

    def attach(self, reference: str, path: Path, file_name: str | None = None) -> wire.Revision:
        """Let a revision show a CAD file, which is streamed.

        Raises:
            GeometryNotFoundError: there is no such file.
        """
        address = f"/revisions/{_segment(reference)}/geometry"
        return self._upload("PUT", address, path, {"file_name": file_name or path.name})

    def _upload(self, method: str, address: str, path: Path, query: dict[str, Any]) -> wire.Revision:
        try:
            stream = path.open("rb")
        except OSError as error:
            told = (
                f"There is no file {path}."
                if not path.exists()
                else f"{path} cannot be read: {error.strerror}."
            )
            raise GeometryNotFoundError(told, remedy="Check the path.") from error
        with stream:
            size = os.fstat(stream.fileno()).st_size
            answer = self._request(
                method,
                address,
                params=query,
                content=iter(lambda: stream.read(CHUNK_BYTES), b""),
                headers={"Content-Type": "application/octet-stream", "Content-Length": str(size)},
                timeout=UPLOAD_TIMEOUT_S,
            )
        return _parse(wire.Revision, answer)

    def geometry(self, reference: str) -> tuple[bytes, wire.Geometry]:
        """The CAD file that a revision shows."""
        told = self.revision(reference).geometry
        content = self._request("GET", f"/revisions/{_segment(reference)}/geometry").content
        assert told is not None
        return content, told

    def set_state(self, reference: str, change: wire.StateChange) -> wire.Revision:
        """Move a revision through its lifecycle."""
        return self._send(wire.Revision, "POST", f"/revisions/{_segment(reference)}/state", change)

    def set_primary(self, reference: str, render_id: int) -> wire.Revision:
        """Let a render stand for its revision."""
        body = wire.Primary(render=render_id)
        return self._send(wire.Revision, "PUT", f"/revisions/{_segment(reference)}/primary", body)

    def clear_primary(self, reference: str) -> wire.Revision:
        """Let no render stand for a revision."""
        return _parse(wire.Revision, self._request("DELETE", f"/revisions/{_segment(reference)}/primary"))

    # -- jobs ---------------------------------------------------------------------------------------------
    def submit(self, body: wire.JobBody, key: str | None = None) -> wire.SubmitAnswer:
        """Queue what is asked for; sent again where the answer is lost, and queued once all the same."""
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}

        def send() -> httpx.Response:
            return self._request("POST", "/jobs", json=_plain(body), headers=headers)

        return _parse(wire.SubmitAnswer, _again(send))

    def submit_ask(self, ask: Ask, key: str | None = None) -> wire.SubmitAnswer:
        """As `submit`, for an ask of `mfgviz.intake`. Raises InvalidRequestError."""
        import msgspec

        plain = _listed(msgspec.to_builtins(ask))
        return self.submit(wire.read(wire.JobBody, plain, InvalidRequestError), key)

    def jobs(
        self,
        *,
        state: str | None = None,
        revision: str | None = None,
        requester: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> wire.Page[wire.Job]:
        """Jobs that fit, newest first."""
        wanted = {"state": state, "revision": revision, "requester": requester, "cursor": cursor}
        return self._get(wire.Page[wire.Job], "/jobs", **wanted, limit=limit)

    def job(self, job_id: int) -> wire.Job:
        """One job, its attempts and renders, and why it is where it is."""
        return self._get(wire.Job, f"/jobs/{job_id}")

    def why(self, job_id: int) -> wire.JobWait:
        """Why a job is where it is."""
        return self._get(wire.JobWait, f"/jobs/{job_id}/why")

    def standings(self, job_ids: Collection[int], *, positions: bool = False) -> list[wire.JobEvent]:
        """Where jobs stand, by id, with places in the queue where asked; unknown ones are left out."""
        ids = sorted(job_ids)
        found: list[wire.JobEvent] = []
        for at in range(0, len(ids), IDS_AT_ONCE):
            wanted = {"job": ids[at : at + IDS_AT_ONCE], "positions": positions}
            found += self._get(wire.Page[wire.JobEvent], "/standings", **wanted).items
        return found

    def unfinished(self) -> list[wire.JobEvent]:
        """The first of the jobs that run or wait, as they will be served."""
        return self._get(wire.Page[wire.JobEvent], "/queue/jobs").items

    def cancel_all(self, job_ids: Sequence[int]) -> list[wire.JobEvent]:
        """Cancel jobs at once; where each stands then. Those that have ended stay as they are."""
        return self._of_all("cancel", job_ids)

    def retry_all(self, job_ids: Sequence[int]) -> list[wire.JobEvent]:
        """Queue failed or cancelled jobs again, all or none."""
        return self._of_all("retry", job_ids)

    def _of_all(self, what: str, job_ids: Sequence[int]) -> list[wire.JobEvent]:
        body = wire.read(wire.JobIds, {"jobs": list(job_ids)})
        return self._send(wire.Page[wire.JobEvent], "POST", f"/queue/{what}", body).items

    def cancel(self, job_id: int) -> wire.Job:
        """Cancel a job."""
        return _parse(wire.Job, self._request("POST", f"/jobs/{job_id}/cancel"))

    def retry(self, job_id: int) -> wire.Job:
        """Queue a failed or cancelled job again."""
        return _parse(wire.Job, self._request("POST", f"/jobs/{job_id}/retry"))

    def preview(self, job_id: int) -> tuple[int, bytes]:
        """The step and JPEG of a job's last preview. Raises NoPreviewError."""
        answer = self._request("GET", f"/jobs/{job_id}/preview")
        return int(answer.headers["etag"].strip('"').rpartition("-")[2]), answer.content

    def job_events(self, job_id: int) -> Iterator[wire.JobEvent | wire.PreviewEvent]:
        """What happens to a job, until it has ended; a broken connection is made again."""
        for event in self._events(f"/jobs/{job_id}/events"):
            yield event
            if isinstance(event, wire.JobEvent) and event.state in ("succeeded", "failed", "cancelled"):
                return

    def events(self) -> Iterator[wire.JobEvent | wire.PreviewEvent]:
        """What happens to all jobs of the token's requester, without end."""
        return self._events("/events")

    # -- renders ------------------------------------------------------------------------------------------
    def renders(
        self,
        *,
        revision: str | None = None,
        job: int | None = None,
        review_state: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> wire.Page[wire.Render]:
        """Renders that fit, newest first."""
        wanted = {"revision": revision, "job": job, "review_state": review_state, "cursor": cursor}
        return self._get(wire.Page[wire.Render], "/renders", **wanted, limit=limit)

    def render(self, render_id: int) -> wire.Render:
        """One render."""
        return self._get(wire.Render, f"/renders/{render_id}")

    def image(self, render_id: int, image_format: ImageFormat = "png") -> bytes:
        """A render as a file."""
        return self._request("GET", f"/renders/{render_id}/image", params={"format": image_format}).content

    def thumbnail(self, render_id: int) -> bytes:
        """A render as a small JPEG."""
        return self._request("GET", f"/renders/{render_id}/thumbnail").content

    def review(self, render_id: int, body: wire.ReviewBody) -> wire.Render:
        """Approve or reject a render."""
        return self._send(wire.Render, "POST", f"/renders/{render_id}/review", body)

    def store_image(self, content: bytes, what: str = "The image") -> wire.StoredImage:
        """Store a starting image."""
        del what
        headers = {"Content-Type": "application/octet-stream"}
        return _parse(wire.StoredImage, self._request("POST", "/images", content=content, headers=headers))

    # -- the rest -----------------------------------------------------------------------------------------
    def health(self, *, ready: bool = False) -> wire.Health:
        """How the server is: whether it answers, or whether it can do its work."""
        try:
            answer = self._http.get(f"{self.url}/{'readyz' if ready else 'healthz'}")
        except httpx.HTTPError as error:
            raise self._unavailable(error) from error
        if answer.status_code not in (httpx.codes.OK, httpx.codes.SERVICE_UNAVAILABLE):
            raise self._refusal(answer)
        return _parse(wire.Health, answer)

    def me(self) -> wire.Me:
        """Who the token speaks for, and what the server allows."""
        return self._get(wire.Me, "/me")

    def views(self) -> list[wire.ViewInfo]:
        """The standard views."""
        return self._get(wire.Page[wire.ViewInfo], "/views").items

    def templates(self) -> list[wire.Template]:
        """The prompt templates, by name."""
        return self._get(wire.Page[wire.Template], "/templates").items

    def template(self, name: str, version: int | None = None) -> wire.Template:
        """One template."""
        return self._get(wire.Template, f"/templates/{_segment(name)}", version=version)

    def save_template(self, name: str, body: wire.TemplateBody) -> wire.Template:
        """Save a template as the next version of its name."""
        return self._send(wire.Template, "PUT", f"/templates/{_segment(name)}", body)

    def retire_template(self, name: str) -> None:
        """Offer a template no more."""
        self._request("DELETE", f"/templates/{_segment(name)}")

    def models(self) -> list[wire.ModelInfo]:
        """The recorded models, by name."""
        return self._get(wire.Page[wire.ModelInfo], "/models").items

    def model(self, name: str) -> wire.ModelInfo:
        """One model."""
        return self._get(wire.ModelInfo, f"/models/{_segment(name)}")

    def workers(self) -> list[wire.WorkerInfo]:
        """The workers that reported themselves."""
        return self._get(wire.Page[wire.WorkerInfo], "/workers").items

    def queue(self) -> wire.QueueInfo:
        """How many jobs there are in each state."""
        return self._get(wire.QueueInfo, "/queue")

    def tokens(self) -> list[wire.TokenInfo]:
        """All tokens, the newest first."""
        return self._get(wire.Page[wire.TokenInfo], "/tokens").items

    def create_token(self, body: wire.NewTokenBody) -> wire.NewTokenAnswer:
        """Make a token."""
        return self._send(wire.NewTokenAnswer, "POST", "/tokens", body)

    def revoke_token(self, name: str) -> wire.TokenInfo:
        """Let a token open nothing any more."""
        return _parse(wire.TokenInfo, self._request("DELETE", f"/tokens/{_segment(name)}"))

    # -- HTTP ---------------------------------------------------------------------------------------------
    def _get(self, kind: type[M], path: str, **query: Any) -> M:
        given = {key: value for key, value in query.items() if value not in (None, "")}
        return _parse(kind, _again(lambda: self._request("GET", path, params=given)))

    def _send(self, kind: type[M], method: str, path: str, body: BaseModel) -> M:
        return _parse(kind, self._request(method, path, json=_plain(body)))

    def _request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        if "json" in arguments:
            arguments["content"] = _encode(arguments.pop("json"))
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
                    for name, data, event_id in _parse_events(answer.iter_lines()):
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


def _again(send: Callable[[], httpx.Response]) -> httpx.Response:
    """Send what may be sent twice; again where the server does not answer."""
    for tried in range(TRIES):
        try:
            return send()
        except ServerUnavailableError:
            if tried == TRIES - 1:
                raise
            time.sleep(RECONNECT_S[tried])
    raise AssertionError("never reached")


def _parse(kind: type[M], answer: httpx.Response) -> M:
    try:
        return kind.model_validate(answer.json())
    except (ValueError, ValidationError) as error:
        raise UnknownServerError(
            f"{answer.request.url.copy_with(query=None)} did not answer as this version of mfgviz expects."
        ) from error


def _plain(body: BaseModel) -> dict[str, Any]:
    return body.model_dump(mode="json", exclude_unset=True)


def _is_address(url: str) -> bool:
    try:
        found = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        return False
    return found.scheme in ("http", "https") and bool(found.host)


def _encode(plain: object) -> bytes:
    try:
        return json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except (ValueError, RecursionError) as error:  # half of a surrogate pair, or a number that is none
        raise InvalidInputError("It holds a value that cannot be sent.") from error


def _listed(plain: object) -> object:
    """Plain values with lists where there are tuples, as JSON has them."""
    if isinstance(plain, dict):
        return {key: _listed(value) for key, value in plain.items()}
    return [_listed(value) for value in plain] if isinstance(plain, list | tuple) else plain


def _segment(text: str) -> str:
    """A text as one segment of a path. Raises NotFoundError where nothing can have that name."""
    try:
        segment = quote(text, safe="@")
    except UnicodeEncodeError:
        segment = ""
    if segment in ("", ".", "..") or "/" in text or "\\" in text:
        raise NotFoundError(f"{text!r} names nothing.", remedy="Check the name.")
    return segment


def _parse_events(lines: Iterator[str]) -> Iterator[tuple[str, str, str]]:
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
