"""What the server does not take: bodies that are too large, pages of other hosts, answers kept by others."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from mfgviz.errors import PortTakenError
from mfgviz.local import listen
from mfgviz.runtime import Runtime
from mfgviz.settings import Settings
from tests.support.http import HttpServer, make_token


@pytest.fixture
def small(settings: Settings, runtime: Runtime) -> Iterator[httpx.Client]:
    """A server that takes CAD files of 10,000 bytes."""
    running = HttpServer(replace(settings, geometry_max_bytes=10_000)).start()
    headers = {"Authorization": f"Bearer {make_token(runtime, 'admin')}"}
    with httpx.Client(base_url=running.url + "/api/v1", headers=headers) as client:
        client.put("/revisions/BIG-1@A", json={}).raise_for_status()
        yield client
    running.stop()


def endless(total: int) -> Iterator[bytes]:
    """A body whose length nobody was told."""
    for _ in range(total // 1000):
        yield b"x" * 1000


@pytest.mark.parametrize("content", [b"x" * 20_000, 20_000], ids=["announced", "streamed"])
def test_a_file_that_is_too_large_is_refused_and_leaves_nothing(
    content: bytes | int,
    small: httpx.Client,
    runtime: Runtime,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = sorted(runtime.blobs.digests())
    body = endless(content) if isinstance(content, int) else content
    answer = small.put("/revisions/BIG-1@A/geometry", params={"file_name": "a.step"}, content=body)
    assert (answer.status_code, answer.json()["code"]) == (413, "upload-too-large")
    assert "10,000 bytes" in answer.json()["detail"]
    assert sorted(runtime.blobs.digests()) == before
    assert not list(tmp_path.glob("mfgviz-upload-*"))


@pytest.mark.parametrize("streamed", [False, True])
def test_json_that_is_too_large_is_refused(streamed: bool, raw: httpx.Client) -> None:
    body = endless(3_000_000) if streamed else b" " * 3_000_000
    answer = raw.post("/jobs", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, "upload-too-large")


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[]", b"null", b'{"revision": NaN}', b"\xff\xfe", b'{"a":' * 5000 + b"1" + b"}" * 5000],
)
def test_json_that_is_none_is_refused(content: bytes, raw: httpx.Client) -> None:
    answer = raw.post("/jobs", content=content, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422), answer.text
    assert answer.headers["content-type"] == "application/problem+json"


def test_answers_are_not_for_frames_pages_or_caches(raw: httpx.Client) -> None:
    for path in ("/me", "/nothing/here", "/jobs/99"):
        headers = raw.get(path).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-store"
        assert "default-src 'none'" in headers["content-security-policy"]
        assert "server" not in headers


def test_pages_of_other_hosts_may_not_ask_unless_they_are_named(
    raw: httpx.Client, settings: Settings, runtime: Runtime
) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "GET"}
    assert "access-control-allow-origin" not in raw.options("/me", headers=asked).headers
    assert "access-control-allow-origin" not in raw.get("/me", headers=asked).headers
    named = HttpServer(replace(settings, cors_origins="https://plm.example, https://cad.example")).start()
    try:
        for origin, allowed in (("https://cad.example", True), ("https://evil.example", False)):
            headers = {**asked, "Origin": origin, "Access-Control-Request-Headers": "authorization"}
            answer = httpx.options(f"{named.url}/api/v1/me", headers=headers)
            assert (answer.headers.get("access-control-allow-origin") == origin) is allowed
    finally:
        named.stop()


def test_an_address_that_is_none_says_where_to_look(raw: httpx.Client) -> None:
    answer = raw.get("/part")
    assert (answer.status_code, answer.json()["code"]) == (404, "no-such-route")
    assert "openapi.json" in answer.json()["remedy"]
    wrong = raw.delete("/me")
    assert (wrong.status_code, wrong.json()["code"], wrong.headers["allow"]) == (
        405,
        "method-not-allowed",
        "GET",
    )


def test_a_port_that_is_taken_is_named() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortTakenError, match=f"127.0.0.1:{port}") as caught:
            listen("127.0.0.1", port)
    assert "MFGVIZ_API_PORT" in caught.value.remedy


def test_a_database_that_is_away_is_503(settings: Settings, tmp_path: Path, raw: httpx.Client) -> None:
    away = replace(settings, database_url="postgresql://nobody:secretword@127.0.0.1:1/none")
    running = HttpServer(away).start()
    try:
        answer = httpx.get(f"{running.url}/api/v1/me", headers=raw.headers)
        assert (answer.status_code, answer.json()["code"]) == (503, "database-unavailable")
        assert int(answer.headers["retry-after"]) >= 1
        assert "secretword" not in answer.text
        ready = httpx.get(f"{running.url}/readyz")
        assert (ready.status_code, ready.json()["checks"]) == (503, {"database": "database-unavailable"})
        assert httpx.get(f"{running.url}/healthz").status_code == 200
    finally:
        running.stop()
