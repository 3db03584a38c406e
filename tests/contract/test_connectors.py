"""What every connector must do, on the database and through a server: the folder's and the one in memory."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import pytest

from mfgviz import plm, toolbox, wire
from mfgviz.errors import (
    BrokenConnectorError,
    ConnectorNotFoundError,
    InvalidInputError,
    ServerUnavailableError,
)
from mfgviz.plm import House, PlmConnection, PlmConnector
from mfgviz.testing import MemoryConnector, MemoryPlm
from mfgviz.wire import JobBody, ReviewBody, StateChange
from plugins.plm.folder import FolderConnector
from tests.support.connectors import Site, make_template, settle, site_of, step
from tests.support.workers import eventually


class System(Protocol):
    """A PLM system under test."""

    def connector(self) -> PlmConnector: ...
    def options(self) -> dict[str, str]: ...
    def put(self, reference: str, content: bytes) -> None: ...
    def pictures(self, reference: str) -> list[bytes]: ...


class FolderSystem:
    def __init__(self, folder: Path) -> None:
        self.folder = folder / "drop"
        self.folder.mkdir()

    def connector(self) -> PlmConnector:
        return FolderConnector()

    def options(self) -> dict[str, str]:
        return {"folder": str(self.folder), "settle_s": "0", "interval_s": "0.02"}

    def put(self, reference: str, content: bytes) -> None:
        (self.folder / f"{reference.replace('@', '_')}.step").write_bytes(content)

    def pictures(self, reference: str) -> list[bytes]:
        stem = reference.replace("@", "_")
        return [path.read_bytes() for path in sorted(self.folder.glob(f"{stem}.*.png"))]


class MemorySystem:
    def __init__(self, _folder: Path) -> None:
        self.plm = MemoryPlm()

    def connector(self) -> PlmConnector:
        return MemoryConnector(self.plm)

    def options(self) -> dict[str, str]:
        return {}

    def put(self, reference: str, content: bytes) -> None:
        self.plm.put(reference, "part.step", content, wire.RevisionIntake())

    def pictures(self, reference: str) -> list[bytes]:
        return list(self.plm.pictures.get(reference, {}).values())


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("connectors") / "data")


@pytest.fixture(params=["service", "server"])
def site(request: pytest.FixtureRequest, template: Path, tmp_path: Path) -> Iterator[Site]:
    with site_of(template, tmp_path / "data", request.param) as made:
        yield made


@pytest.fixture(params=[FolderSystem, MemorySystem], ids=["folder", "memory"])
def system(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    # A host without the worker side: files are stored, and read by a worker later.
    monkeypatch.setattr(toolbox, "is_available", lambda: False)
    made: System = request.param(tmp_path)
    return made


def options_of(system: System) -> dict[str, str]:
    return plm.complete_options(system.connector(), system.options())


def connect(system: System, house: House) -> PlmConnection:
    connection = system.connector().connect(house, options_of(system))
    assert isinstance(connection, PlmConnection)
    return connection


def test_what_is_new_becomes_a_part_with_its_revision_once(system: System, site: Site) -> None:
    system.put("BRK-7@A", step("one"))
    connection = connect(system, site.house())
    settle(connection)
    revision = site.service.revision("BRK-7@A")
    assert (revision.iteration, revision.state, revision.created_by) == (1, "in_work", "drop")
    system.put("BRK-7@A", step("one"))
    settle(connection)
    again = connect(system, site.house())
    settle(again)
    assert site.service.revision("BRK-7@A").iteration == 1
    kinds = [one.kind for one in site.service.event_log(limit=100).items]
    assert sorted(kinds) == ["geometry.attached", "revision.created"]
    system.put("BRK-7@A", step("two"))
    settle(again)
    assert site.service.revision("BRK-7@A").iteration == 2
    for one in (connection, again):
        one.close()


def test_what_cannot_be_used_is_noted_once_and_everything_else_goes_on(system: System, site: Site) -> None:
    system.put("BAD@A", b"")
    system.put("GOOD@A", step("good"))
    settle(connect(system, site.house()))
    settle(connect(system, site.house()))
    (refusal,) = site.refusals()
    assert (refusal.kind, refusal.actor, refusal.payload["code"]) == (
        "file.refused",
        "drop",
        "empty-geometry",
    )
    assert "BAD" in refusal.payload["subject"]
    assert refusal.payload["remedy"]
    (entry,) = site.service.audit_trail(action="file.refused").items
    assert (entry.actor, entry.details["code"]) == ("drop", "empty-geometry")
    assert [one.number for one in site.service.parts().items] == ["GOOD"]
    assert len(site.told("refused")) == 1


def test_a_released_revision_takes_no_other_file(system: System, site: Site) -> None:
    system.put("BRK-7@A", step("one"))
    connection = connect(system, site.house())
    settle(connection)
    site.service.set_state("BRK-7@A", StateChange(state="released"))
    system.put("BRK-7@A", step("two"))
    settle(connection)
    assert [one.payload["code"] for one in site.refusals()] == ["revision-frozen"]
    system.put("BRK-7@A", step("one"))
    settle(connection)
    assert len(site.refusals()) == 1
    assert site.service.revision("BRK-7@A").iteration == 1


def test_finished_pictures_come_back_once_with_their_record(system: System, site: Site) -> None:
    system.put("BRK-7@A", step("one"))
    connection = connect(system, site.house())
    settle(connection)
    site.service.submit(JobBody(revision="BRK-7@A", prompt="steel", count=2))
    settle(connection)
    assert system.pictures("BRK-7@A") == []
    site.render_all()
    settle(connection)
    first = system.pictures("BRK-7@A")
    assert len(first) == 2
    renders = site.service.renders(revision="BRK-7@A").items
    assert {one.pixel_digest in str(content) for content in first for one in renders} == {True, False}
    assert all(b"mfgviz" in content for content in first)
    # While nobody watches a picture is made, and one is rejected.
    site.service.submit(JobBody(revision="BRK-7@A", prompt="brass", seed=1))
    site.service.submit(JobBody(revision="BRK-7@A", prompt="copper", seed=2))
    site.render_all(90)
    newest = site.service.renders(revision="BRK-7@A").items[0]
    site.service.review(newest.id, ReviewBody(state="rejected"))
    settle(connect(system, site.house()))
    assert len(system.pictures("BRK-7@A")) == 3


@pytest.mark.parametrize("site", ["server"], indirect=True)
def test_it_waits_for_a_server_that_is_away(
    system: System, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plm, "RETRY_FIRST_S", 0.05)
    monkeypatch.setattr(plm, "RETRY_MOST_S", 0.05)
    monkeypatch.setattr("mfgviz.client.connection.RECONNECT_S", (0.01, 0.01, 0.01))
    assert site.server is not None
    house = site.house()
    connection = connect(system, house)
    system.put("BRK-7@A", step("one"))
    site.server.stop()
    with pytest.raises(ServerUnavailableError):
        plm.run(connection, house, once=True)
    thread = threading.Thread(target=plm.run, args=(connection, house))
    thread.start()
    eventually(lambda: "server-unavailable" in site.told("waiting"), 20)
    site.server.start()
    eventually(lambda: site.service.parts().items, 20, "the part, once the server is back")
    assert len(site.told("waiting")) == 1
    system.put("BRK-8@A", step("two"))
    eventually(lambda: len(site.service.parts().items) == 2, 20)
    house.stopping.set()
    thread.join(10)
    # It begins before its server does, too, and is stopped meanwhile.
    site.server.stop()
    early = site.house()
    waiting = threading.Thread(target=plm.connect, args=(system.connector(), early, options_of(system)))
    waiting.start()
    eventually(lambda: len(site.told("waiting")) == 2, 20)
    early.stopping.set()
    waiting.join(10)
    assert not waiting.is_alive()
    site.server.start()
    assert not thread.is_alive()
    assert site.refusals() == []


# -- which there are -------------------------------------------------------------------------------------
def test_connectors_that_come_with_mfgviz_are_found_as_any() -> None:
    folder = next(one for one in plm.list_connectors() if one.name == "folder")
    assert (folder.source, folder.error) == ("plugins.plm.folder:CONNECTOR", None)
    assert [one.name for one in folder.options if one.required] == ["folder"]
    connector = plm.get_connector("folder")
    assert isinstance(connector, PlmConnector)
    with pytest.raises(ConnectorNotFoundError, match="no connector 'teamcentre'"):
        plm.get_connector("teamcentre")
    with pytest.raises(InvalidInputError, match="no option 'colour'"):
        plm.complete_options(connector, {"colour": "red"})
    with pytest.raises(InvalidInputError, match="needs the option folder"):
        plm.complete_options(connector, {"folder": " "})


def test_a_connector_that_cannot_be_loaded_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package that is installed, with one object that is no connector and one module that is not there."""
    told = tmp_path / "broken-1.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (told / "entry_points.txt").write_text("[mfgviz.plm]\nempty = math:pi\ngone = mfgviz_gone:CONNECTOR\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = {one.name: one.error for one in plm.list_connectors()}
    assert "has not what a connector needs" in str(found["empty"])
    assert "ModuleNotFoundError" in str(found["gone"])
    assert found["folder"] is None
    with pytest.raises(BrokenConnectorError):
        plm.get_connector("gone")
