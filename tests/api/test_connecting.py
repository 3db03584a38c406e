"""What connectors bring, and what changed between revisions, over HTTP."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from mfgviz import toolbox
from mfgviz.client import Client
from mfgviz.errors import IllegalMoveError, RevisionFrozenError, ToolMissingError
from mfgviz.runtime import Runtime
from mfgviz.service import Service
from mfgviz.wire import RevisionIntake
from tests.api.conftest import SAMPLE, ClientOf
from tests.support.connectors import step
from tests.support.http import HttpServer, client_of, make_token


def test_who_may_bring_what_in(server: HttpServer, runtime: Runtime) -> None:
    """A released revision needs the scope review; nothing is half-made where it is refused."""
    token = make_token(runtime, "engineer", "eve")
    path = "/api/v1/revisions/NEW@A/intake"
    with httpx.Client(base_url=server.url, headers={"Authorization": f"Bearer {token}"}, timeout=60) as http:

        def put(intake: str, content: bytes = SAMPLE.read_bytes()) -> tuple[int, str]:
            query = {"file_name": "x.step", "intake": intake}
            answer = http.put(path, params=query, content=content)
            return answer.status_code, answer.json().get("code", answer.json().get("revision"))

        assert put('{"state": "released"}') == (403, "forbidden")
        assert put("{") == (422, "invalid-input")
        assert put('{"nome": 1}') == (422, "invalid-input")
        assert put("{}", b"") == (422, "empty-geometry")
        assert put("{}", b"nonsense") == (422, "unknown-format")
        assert put('{"attributes": {"1x": 2}}') == (422, "invalid-input")
        with client_of(server, token) as client:
            assert client.parts("NEW").items == []
        assert put('{"name": "New", "attributes": {"finish": "raw"}}') == (200, "NEW@A")
        assert put('{"name": "New"}') == (200, "NEW@A")
        assert http.put(path.replace("NEW@A", "NEW"), params={"file_name": "x.step"}).status_code == 404
        refusal = {"subject": "x", "code": "Not A Code", "message": "m"}
        assert http.post("/api/v1/refusals", json=refusal).status_code == 422
        assert http.post("/api/v1/refusals", json=refusal | {"code": "own-code"}).status_code == 204
    service = Service(runtime, "ann")
    revision = service.revision("NEW@A")
    assert (revision.name, revision.attributes, revision.iteration) == ("New", {"finish": "raw"}, 1)
    (event,) = service.event_log(kind="file").items
    assert (event.actor, event.payload["code"]) == ("eve", "own-code")


def test_a_revision_is_taken_in_whole_or_not_at_all(
    client_for: ClientOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toolbox, "is_available", lambda: False)
    client = client_for("approver")
    one, two = tmp_path / "one.step", tmp_path / "two.step"
    one.write_bytes(step("one"))
    two.write_bytes(step("two"))
    released = RevisionIntake(
        name="Plate", attributes={"finish": "raw"}, state="released", source_state="Frei"
    )
    for _ in range(2):
        taken = client.take_in("P-1@A", released, one)
        assert (taken.state, taken.source_state, taken.iteration, taken.name) == (
            "released",
            "Frei",
            1,
            "Plate",
        )
    with pytest.raises(RevisionFrozenError):
        client.take_in("P-1@A", RevisionIntake(name="Other"), two)
    with pytest.raises(RevisionFrozenError):
        client.take_in("P-1@A", RevisionIntake(name="Other", attributes={"finish": "black"}), one)
    with pytest.raises(IllegalMoveError):
        client.take_in("P-1@A", RevisionIntake(name="Other", state="in_work"), one)
    assert (client.part("P-1").name, client.revision("P-1@A").attributes) == ("Plate", {"finish": "raw"})
    obsolete = client.take_in("P-1@A", RevisionIntake(state="obsolete"), one)
    assert obsolete.state == "obsolete"
    assert client.take_in("P-1@B", RevisionIntake(), two, "other.step").geometry is not None


def test_what_changed_is_told_where_nothing_can_be_drawn(
    engineer: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toolbox, "is_available", lambda: False)
    found = engineer.revision_diff("BRK-1@A", "BRK-1")
    assert (found.shape, found.before, found.holes) == ("same", found.after, [])
    with pytest.raises(ToolMissingError, match="cannot draw"):
        engineer.revision_diff_image("BRK-1@A", "BRK-1")
