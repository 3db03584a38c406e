"""Inbound hooks over real HTTP: what another system signs is done, all else is refused and noted."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from sqlalchemy import func, select, update

from mfgviz import catalog, hooks, schema, signing, wire
from mfgviz.database import Database
from mfgviz.errors import (
    DuplicateHookError,
    HookNotFoundError,
    InvalidInputError,
    InvalidMappingError,
    InvalidSecretError,
    MappingMissError,
)
from mfgviz.hooks import Refusals
from mfgviz.mapping import find, read_mapping, read_message, read_news
from mfgviz.records import AuditEntry, Event, InboundMessage, utcnow
from mfgviz.runtime import Runtime
from mfgviz.service import Service
from tests.api.conftest import make_settings
from tests.conftest import BACKENDS
from tests.support.http import HttpServer

MAPPING: dict[str, Any] = {
    "when": {"/event": ["released", "changed"], "/live": True},
    "revision": {
        "part": "/item/number",
        "revision": "item.rev",
        "name": "item.title",
        "state": "/item/status",
    },
    "states": {"Released": "released", "Design": "in_work"},
    "attributes": {"mass_kg": "item.props.0.mass"},
    "part_attributes": {"material": "item.material"},
}
OWN = {
    **{key: one for key, one in MAPPING.items() if key != "when"},
    "signature": {"scheme": "hmac", "header": "X-Hub-Signature-256", "prefix": "sha256="},
}
TIMED = {
    **OWN,
    "signature": {
        "scheme": "hmac", "header": "X-Sign", "prefix": "", "encoding": "base64",
        "timestamp_header": "X-Time", "signed": "timestamp.body",
    },
}  # fmt: skip


@dataclass
class Plm:
    """The other system, with hooks and a part number of this test's own."""

    runtime: Runtime
    server: HttpServer
    http: httpx.Client
    number: str
    secrets: dict[str, str] = field(default_factory=dict)
    sent: int = 0
    first_event: int = 0

    def name(self, hook: str) -> str:
        return f"{hook} {self.number}"

    def news(self, label: str = "A", status: str = "Released", **item: Any) -> dict[str, Any]:
        told = {"number": self.number, "rev": label, "title": "Flange", "status": status, "material": "brass",
                "props": [{"mass": 1.5}], **item}  # fmt: skip
        return {"event": "released", "live": True, "item": told}

    def post(self, plain: object, hook: str = "plm", **change: Any) -> httpx.Response:
        """Post a message, signed as Standard Webhooks says; `change` spoils it."""
        self.sent += 1
        body = change.get("body", json.dumps(plain).encode())
        at = int(change.get("at", time.time()))
        headers = signing.sign(self.secrets[hook], change.get("id", f"msg_{self.sent}"), at, body)
        return self.raw(hook, change.get("tampered", body), headers)

    def raw(self, hook: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        return self.http.post(f"/api/v1/hooks/{self.name(hook)}", content=body, headers=headers)

    def refusals(self) -> list[str]:
        with self.runtime.db.read() as session:
            query = select(Event).where(Event.kind == "hook.refused", Event.id > self.first_event)
            told = [one.payload for one in session.scalars(query.order_by(Event.id))]
            audited = select(AuditEntry).where(AuditEntry.action == "hook.refused")
            newest = session.scalars(audited.order_by(AuditEntry.id.desc()).limit(len(told))).all()
        assert [one["code"] for one in told] == [one.details["code"] for one in reversed(newest)]
        return [str(one["code"]) for one in told]

    def rows(self, kind: type[Any]) -> int:
        with self.runtime.db.read() as session:
            return session.scalar(select(func.count()).select_from(kind)) or 0


@pytest.fixture(scope="module", params=BACKENDS)
def served(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Runtime, HttpServer]]:
    """A server of this module on each database; nobody listens to its broker."""
    folder = tmp_path_factory.mktemp("hooks")
    with ExitStack() as stack:
        if request.param == "postgresql":
            url = stack.enter_context(request.getfixturevalue("postgres").database())
        else:
            url = f"sqlite:///{folder / 'test.db'}"
            made = Database(url)
            schema.upgrade(made)
            made.dispose()
        settings = make_settings(url, f"redis+socket://{folder}/nobody.sock", folder)
        runtime = Runtime(settings)
        stack.callback(runtime.close)
        server = HttpServer(settings).start()
        stack.callback(server.stop)
        yield runtime, server


@pytest.fixture
def plm(served: tuple[Runtime, HttpServer], request: pytest.FixtureRequest) -> Iterator[Plm]:
    runtime, server = served
    app: Any = server._server.config.app  # type: ignore[union-attr]
    app.state.server.refusals = Refusals()
    with httpx.Client(base_url=server.url, timeout=30) as http:
        made = Plm(runtime, server, http, f"PLM-{abs(hash(request.node.name)) % 10**8}")
        service = Service(runtime, "ann")
        for hook, mapping in (("plm", MAPPING), ("own", OWN), ("timed", TIMED)):
            body = wire.NewHookBody(name=made.name(hook), requester="plm-robot", mapping=mapping)
            made.secrets[hook] = service.add_hook(body).secret
        made.first_event = service.last_event()
        yield made


def test_a_release_elsewhere_is_a_release_here(plm: Plm) -> None:
    answer = plm.post(plm.news())
    assert answer.status_code == 200, answer.text
    assert answer.json() == {
        "revision": f"{plm.number}@A", "state": "released", "created": True, "ignored": False
    }  # fmt: skip
    with plm.runtime.db.read() as session:
        revision = catalog.get_revision(session, f"{plm.number}@A")
        assert (revision.part.name, revision.part.attributes) == ("Flange", {"material": "brass"})
        assert (revision.source_state, revision.attributes) == ("Released", {"mass_kg": 1.5})
        assert revision.created_by == "plm-robot"
        kinds = session.scalars(select(Event.kind).where(Event.revision_id == revision.id)).all()
        assert list(kinds) == ["revision.created", "revision.released"]
        entries = session.scalars(select(AuditEntry).where(AuditEntry.subject == f"{plm.number}@A")).all()
        doors = [one.details["door"] for one in entries]
    assert doors == [{"door": "hook", "address": "127.0.0.1", "hook": plm.name("plm")}] * len(entries)
    events = plm.rows(Event)
    # The same news again, in a message of its own: no error, and nothing happens.
    again = plm.post(plm.news())
    assert (again.status_code, again.json()["created"]) == (200, False)
    assert plm.rows(Event) == events
    left_out = plm.post({**plm.news("B"), "event": "viewed"})
    assert (left_out.status_code, left_out.json()["ignored"]) == (200, True)
    assert plm.post({**plm.news("B"), "live": 1}).json()["ignored"]  # 1 is not true
    assert plm.refusals() == []


def test_other_systems_sign_in_other_ways(plm: Plm) -> None:
    body = json.dumps(plm.news("B", "Design")).encode()
    signature = hmac.new(plm.secrets["own"].encode(), body, hashlib.sha256).hexdigest()
    answer = plm.raw("own", body, {"X-Hub-Signature-256": f"sha256={signature}"})
    assert (answer.status_code, answer.json()["state"]) == (200, "in_work")
    for headers in (
        {"X-Hub-Signature-256": signature},
        {"X-Hub-Signature-256": f"sha256={signature[:-1]}0"},
        {"X-Hub-Signature-256": "sha256=ä".encode("latin-1")},
        {},
    ):
        assert plm.raw("own", body + b" ", headers).status_code == 401  # type: ignore[arg-type]
    assert (
        plm.raw("own", body, {"X-Hub-Signature-256": f"sha256={signature}"}).json()["code"]
        == "message-replayed"
    )
    at = str(int(time.time()))
    made = hmac.new(plm.secrets["timed"].encode(), f"{at}.".encode() + body, hashlib.sha256).digest()
    headers = {"X-Sign": base64.b64encode(made).decode(), "X-Time": at}
    assert plm.raw("timed", body, headers).status_code == 200
    assert plm.raw("timed", body, {**headers, "X-Time": str(int(at) + 1)}).json()["code"] == "wrong-signature"


def test_what_is_refused_changes_nothing_and_is_noted(plm: Plm) -> None:
    good = plm.post(plm.news("A"), id="msg_once")
    assert good.status_code == 200
    parts, now = plm.rows(catalog.Part), time.time()
    cases: list[tuple[httpx.Response, int, str]] = [
        (plm.post(plm.news("C"), tampered=b"{}"), 401, "wrong-signature"),
        (plm.post(plm.news("C"), at=now - 400), 401, "message-too-old"),
        (plm.post(plm.news("C"), id="msg_once"), 409, "message-replayed"),
        (plm.post(None, body=b"{nonsense"), 422, "invalid-message"),
        (plm.post({**plm.news("C"), "item": {"number": plm.number}}), 422, "mapping-miss"),
        (plm.post(plm.news("C", number="a/b")), 422, "invalid-input"),
        (plm.post(plm.news("A", "Design")), 409, "illegal-move"),
        (plm.post(plm.news("A", material="steel", props=[{"mass": 9.0}])), 409, "revision-frozen"),
        (plm.raw("nothing", b"{}", {}), 404, "hook-not-found"),
    ]
    for answer, status, code in cases:
        assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["remedy"]
        assert plm.secrets["plm"] not in answer.text
    assert plm.refusals() == [code for _, _, code in cases]
    assert plm.rows(catalog.Part) == parts
    with plm.runtime.db.read() as session:  # a refusal takes all of its message back
        part = catalog.get_part(session, plm.number)
        assert part.attributes == {"material": "brass"}
        assert [one.label for one in catalog.list_revisions(session, plm.number)] == ["A"]
        noted = [str(one.payload) for one in session.scalars(select(Event))]
    assert not any(secret in told for told in noted for secret in plm.secrets.values())
    # What was refused because of what is recorded here may come again.
    assert plm.post(plm.news("C"), id="msg_later").status_code == 200


def test_other_nonsense_is_no_json_or_no_news(plm: Plm) -> None:
    for body in (b"[]", b'"x"', b"", b"\xff", b'{"a": NaN}', b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}"):
        assert plm.post(None, body=body).json()["code"] == "invalid-message"
    for change in (
        {"number": None}, {"number": True}, {"number": " "}, {"number": ["x"]}, {"status": "Scrapped"},
        {"material": {"a": 1}},
    ):  # fmt: skip
        assert plm.post(plm.news(**change)).json()["code"] == "mapping-miss"
    for wrong in ({"title": "x" * 600}, {"rev": "a\0b"}, {"material": "\x1b[2J"}, {"rev": "\ud800"}):
        assert plm.post(plm.news(**wrong)).json()["code"] == "invalid-input"
    assert (
        plm.post(None, body=b'{"event": "released", "live": true, "item": 1e999}').json()["code"]
        == "mapping-miss"
    )
    assert plm.post(plm.news("Z", props=[{"mass": 10**30}])).status_code < 500
    assert plm.post(plm.news(number=4711, rev="1")).json()["revision"] == "4711@1"


def test_fifty_megabytes_are_refused_unread(plm: Plm) -> None:
    """Announced, before any of it was sent; of unknown length, as soon as a megabyte has come."""
    head = f"POST /api/v1/hooks/{quote(plm.name('plm'))} HTTP/1.1\r\nHost: x\r\n"
    for more, sent in (
        ("Content-Length: 50000000\r\n\r\n", b""),
        ("Transfer-Encoding: chunked\r\n\r\n", b"%x\r\n%s\r\n" % (1 << 19, b"x" * (1 << 19)) * 3),
    ):
        with socket.create_connection(("127.0.0.1", plm.server.port), timeout=20) as connection:
            connection.sendall((head + more).encode() + sent)
            answer = connection.recv(4096)
        assert answer.startswith(b"HTTP/1.1 413 ")
    assert plm.refusals() == ["upload-too-large"]


def test_a_flood_of_wrong_signatures_does_not_fill_the_database(plm: Plm) -> None:
    before, remembered = plm.rows(Event), plm.rows(InboundMessage)
    for _ in range(30):
        assert plm.post(plm.news(), tampered=b"{}").status_code == 401
        assert plm.raw(f"guess-{plm.sent}", b"{}", {}).status_code == 404
    assert plm.rows(Event) == before + 2
    assert plm.rows(InboundMessage) == remembered
    assert plm.post(plm.news()).status_code == 200  # and the true sender is not kept out


def test_refusals_are_counted_between_those_that_are_noted() -> None:
    now = [0.0]
    refusals = Refusals(lambda: now[0])
    assert refusals.is_due("plm", "wrong-signature") == 0
    assert [refusals.is_due("plm", "wrong-signature") for _ in range(5)] == [None] * 5
    assert refusals.is_due("plm", "message-replayed") == 0
    assert refusals.is_due("erp", "wrong-signature") == 0
    now[0] = hooks.NOTED_EVERY_S
    assert refusals.is_due("plm", "wrong-signature") == 5
    for number in range(3 * Refusals.KEPT):
        refusals.is_due(str(number), "x")
    assert len(refusals._noted) <= Refusals.KEPT


def test_disabled_rotated_removed(plm: Plm) -> None:
    service = Service(plm.runtime, "ann")
    service.enable_hook(plm.name("plm"), wire.EnabledBody(enabled=False))
    assert plm.post(plm.news()).json()["code"] == "hook-disabled"
    assert plm.post(plm.news(), tampered=b"{}").json()["code"] == "wrong-signature"  # strangers learn nothing
    service.enable_hook(plm.name("plm"), wire.EnabledBody(enabled=True))
    old = plm.secrets["plm"]
    plm.secrets["plm"] = service.rotate_hook(plm.name("plm")).secret
    assert plm.secrets["plm"] != old
    assert plm.post(plm.news()).status_code == 200
    plm.secrets["plm"] = old
    assert plm.post(plm.news()).json()["code"] == "wrong-signature"
    with plm.runtime.db.begin() as session:
        session.execute(update(InboundMessage).values(received_at=utcnow(-31 * 86_400)))
    assert service.forget_old_messages() >= 1
    service.remove_hook(plm.name("plm"))
    with pytest.raises(HookNotFoundError):
        service.hook(plm.name("plm"))
    assert plm.post(plm.news()).status_code == 404


# -- mappings ---------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"revision": {"part": "a"}}, "missing required field `revision`"),
        ({"revision": {"part": "a", "revision": "", "state": "c"}}, "1 to 256"),
        ({"revision": {"part": "a..b", "revision": "c", "state": "c"}}, "empty name"),
        ({"revision": {"part": "a", "revision": "b"}}, "does not say where the state stands"),
        ({"unknown": 1}, "unknown field `unknown`"),
        ({"states": {"Released": "relased"}}, "no state 'relased'"),
        ({"attributes": {"mass kg": "a"}}, "'mass kg'"),
        ({"when": {"a": {"b": 1}}}, "when"),
        ({"signature": {"scheme": "rot13"}}, "scheme"),
        ({"signature": {"scheme": "hmac", "header": "a\r\nb"}}, "name of a header"),
        ({"signature": {"scheme": "hmac", "timestamp_header": "X-Time"}}, "protects nothing"),
        ({"signature": {"scheme": "hmac", "signed": "timestamp.body"}}, "cannot be signed unless"),
        ({"attributes": {f"a{number}": "a" for number in range(100)}}, "more than 64"),
    ],
)
def test_mappings_that_could_never_work(change: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidMappingError, match=told):
        read_mapping({**MAPPING, **change})


def test_what_cannot_be_a_hook_adds_nothing(plm: Plm) -> None:
    service = Service(plm.runtime, "ann")
    body = {"name": "new", "requester": "plm", "mapping": MAPPING}
    refused: list[tuple[dict[str, Any], type[Exception]]] = [
        ({"mapping": {}}, InvalidMappingError),
        ({"secret": "hunter2"}, InvalidSecretError),
        ({"secret": "hunter2", "mapping": OWN}, InvalidSecretError),
        ({"name": "a/b"}, InvalidInputError),
        ({"requester": " "}, InvalidInputError),
        ({"name": plm.name("plm")}, DuplicateHookError),
    ]
    for change, error in refused:
        with pytest.raises(error):
            service.add_hook(wire.read(wire.NewHookBody, {**body, **change}))
    assert "new" not in {one.name for one in service.hooks()}
    assert "secret" not in service.hook(plm.name("plm")).model_dump()


def test_paths() -> None:
    message = read_message(b'{"a": {"b.c": [1, {"d/e": 2}]}, "": 3}')
    assert find(message, "/a/b.c/1/d~1e") == 2
    assert find(message, "/") == 3
    assert find(message, "a.b.c") is None
    assert find(message, "/a/b.c/9") is None
    assert find(message, "/a/b.c/-1") is None
    assert find(message, "/a/b.c/0/x") is None
    with pytest.raises(MappingMissError):
        read_news(read_mapping(MAPPING), message)
