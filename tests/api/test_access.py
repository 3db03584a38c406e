"""Who may do what: every route by every role, and tokens that are none."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import select

from mfgviz import tokens
from mfgviz.api.app import create_app
from mfgviz.client import Client
from mfgviz.errors import (
    DuplicateTokenError,
    ForbiddenError,
    InvalidInputError,
    TokenNotFoundError,
    TooManyRequestsError,
    UnauthenticatedError,
)
from mfgviz.records import AccessToken, AuditEntry
from mfgviz.runtime import Runtime
from mfgviz.service import Service
from mfgviz.settings import Settings
from mfgviz.tokens import NewToken
from mfgviz.vocabulary import ROLE_SCOPES, Role, Scope
from mfgviz.wire import JobBody, NewHookBody, NewPart, NewTokenBody
from tests.api.conftest import ClientOf
from tests.support.http import HttpServer, client_of, make_token
from tests.support.workers import eventually

OPEN = {"/healthz", "/readyz"}
# No token opens it, and none is needed: each message is signed with the hook's own secret (test_hooks.py).
SIGNED = {"/api/v1/hooks/{name}"}
STREAMS = {"/api/v1/events", "/api/v1/jobs/{job_id}/events"}
SPEC = create_app(Settings()).openapi()
ROUTES = [
    (method.upper(), path, operation["security"][0]["HTTPBearer"])
    for path, operations in SPEC["paths"].items()
    for method, operation in operations.items()
    if path not in OPEN | SIGNED
]


def test_every_route_but_health_needs_a_token_of_one_scope() -> None:
    assert len(ROUTES) > 35
    words = {scope.value for scope in Scope}
    assert all(len(scopes) == 1 and set(scopes) <= words for _, _, scopes in ROUTES)


def test_what_needs_no_token_is_health_and_what_is_signed() -> None:
    bare = {
        path for path, one in SPEC["paths"].items() if any(not how.get("security") for how in one.values())
    }
    assert bare == OPEN | SIGNED
    assert {method for path in SIGNED for method in SPEC["paths"][path]} == {"post"}


def test_no_token_stands_for_a_signature(server: HttpServer, runtime: Runtime) -> None:
    mapping = {"revision": {"part": "number", "revision": "revision"}}
    hook = NewHookBody(name="plm", requester="plm", mapping=mapping)
    Service(runtime, "ann").add_hook(hook)
    headers = {"Authorization": f"Bearer {make_token(runtime, Role.ADMIN)}"}
    for given in ({}, headers):
        answer = httpx.post(
            f"{server.url}/api/v1/hooks/plm", json={"number": "P", "revision": "A"}, headers=given
        )
        assert (answer.status_code, answer.json()["code"]) == (401, "wrong-signature")
        assert answer.headers["www-authenticate"] == "Signature"


@pytest.mark.parametrize("role", [None, *Role])
def test_every_route_by_every_role(role: Role | None, server: HttpServer, runtime: Runtime) -> None:
    headers = {} if role is None else {"Authorization": f"Bearer {make_token(runtime, role)}"}
    allowed = set() if role is None else {scope.value for scope in ROLE_SCOPES[role]}
    with httpx.Client(base_url=server.url, headers=headers, timeout=20) as http:
        for method, path, (scope,) in ROUTES:
            if path in STREAMS and scope in allowed:
                continue  # a stream that is allowed does not end
            names = {
                "job_id": "99",
                "render_id": "99",
                "batch_id": "99",
                "reference": "X@A",
                "number": "X",
                "name": "x",
            }
            answer = http.request(method, path.format(**names), json={} if method != "GET" else None)
            if role is None:
                assert answer.status_code == 401, (method, path)
                assert answer.headers["www-authenticate"] == "Bearer"
            elif scope not in allowed:
                assert answer.status_code == 403, (method, path, answer.text)
                assert answer.json()["code"] == "forbidden"
                assert scope in answer.json()["detail"]
            else:
                assert answer.status_code not in (401, 403), (method, path, answer.text)
                assert answer.status_code < 500, (method, path, answer.text)


@pytest.mark.parametrize(
    "given", ["Bearer nonsense", "Bearer mfgv_" + "x" * 43, "Basic YTpi", "Bearer \xe9", ""]
)
def test_what_is_no_token_opens_nothing(given: str, server: HttpServer) -> None:
    headers = {"Authorization": given.encode("latin-1")} if given else {}
    answer = httpx.get(f"{server.url}/api/v1/me", headers=headers)  # type: ignore[arg-type]
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_token_ends_when_it_expires_or_is_revoked(
    runtime: Runtime, server: HttpServer, admin: Client
) -> None:
    def secret(name: str, expires_at: datetime) -> str:
        with runtime.db.begin() as session:
            new = NewToken(name, "bob", Role.ENGINEER, expires_at=expires_at)
            return tokens.create_token(session, new, "ann")[1]

    late = client_of(server, secret("late", datetime.now(UTC) - timedelta(seconds=1)))
    with pytest.raises(UnauthenticatedError, match="'late' expired"):
        late.me()
    good = client_of(server, secret("good", datetime.now(UTC) + timedelta(hours=1)))
    assert good.me().requester == "bob"
    assert admin.revoke_token("good").revoked_at is not None
    with pytest.raises(UnauthenticatedError, match="'good' was revoked"):
        good.me()
    with pytest.raises(TokenNotFoundError):
        admin.revoke_token("never made")
    for one in (late, good):
        one.close()


def test_only_the_hash_of_a_secret_is_kept(runtime: Runtime, admin: Client) -> None:
    made = admin.create_token(NewTokenBody(name="cad", requester="eve", role="engineer", expires_in_days=1))
    assert made.token.startswith("mfgv_")
    assert len(made.token) > 40
    with runtime.db.read() as session:
        row = session.scalars(select(AccessToken).where(AccessToken.name == "cad")).one()
        kept = {column.name: str(getattr(row, column.name)) for column in AccessToken.__table__.columns}
        told = session.scalars(select(AuditEntry).where(AuditEntry.action == "token.created")).all()
    assert made.token not in " ".join(kept.values())
    assert not any(made.token in str(one.details) + one.subject for one in told)
    assert any(one.details.get("door", {}).get("door") == "http" for one in told)
    assert all("token" not in one.model_dump() for one in admin.tokens())
    with pytest.raises(DuplicateTokenError):
        admin.create_token(NewTokenBody(name="cad", role="viewer"))


def test_scopes_narrow_a_role_and_never_widen_it(admin: Client, server: HttpServer) -> None:
    narrow = admin.create_token(NewTokenBody(name="narrow", role="engineer", scopes=["submit"]))
    with client_of(server, narrow.token) as client, pytest.raises(ForbiddenError, match="scope read"):
        client.me()
    with pytest.raises(InvalidInputError, match="has not the scope review"):
        admin.create_token(NewTokenBody(name="wide", role="engineer", scopes=["review"]))


def test_somebody_elses_job_is_not_ones_own_to_cancel(client_for: ClientOf) -> None:
    ann, bob = client_for("engineer", "ann"), client_for("engineer", "bob")
    (job,) = ann.submit(JobBody(revision="BRK-1@A", prompt="steel")).items
    with pytest.raises(ForbiddenError, match="is of ann"):
        bob.cancel(job.job)
    assert client_for("admin").cancel(job.job).state == "cancelled"
    with pytest.raises(ForbiddenError):
        bob.retry(job.job)
    assert ann.retry(job.job).state == "queued"


def test_use_is_noted(admin: Client, client_for: ClientOf) -> None:
    client_for("viewer").me()

    def is_noted() -> bool:
        return {one.name: one.used_at for one in admin.tokens()}["viewer token"] is not None

    eventually(is_noted)


def test_who_sends_too_fast_is_told_when_to_come_back(settings: Settings, runtime: Runtime) -> None:
    slow = HttpServer(replace(settings, requests_per_minute=60)).start()
    try:
        with client_of(slow, make_token(runtime, "viewer")) as client:
            for _ in range(10):  # at once a tenth of what a minute allows, and ten at least
                client.me()
            with pytest.raises(TooManyRequestsError, match="more than 60 requests a minute"):
                [client.me() for _ in range(5)]
            answer = client._http.get("/me")
            assert answer.status_code == 429
            assert int(answer.headers["retry-after"]) >= 1
        with client_of(slow, make_token(runtime, "viewer", "other")) as other:
            assert other.me().requester == "other"  # it is a limit of one token
    finally:
        slow.stop()


def test_changes_are_audited_with_who_and_where_from(engineer: Client, runtime: Runtime) -> None:
    engineer.add_part(NewPart(number="P-9"))
    with runtime.db.read() as session:
        entry = session.scalars(select(AuditEntry).where(AuditEntry.subject == "P-9")).one()
    assert (entry.actor, entry.action) == ("engineer", "part.added")
    assert entry.details["door"] == {"door": "http", "address": "127.0.0.1", "token": "engineer token"}
