"""The watched folder: files come in whole and once, what cannot be used is told, pictures go back."""

from __future__ import annotations

import json
import os
import shutil
import socket
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, BinaryIO

import pytest
from PIL import Image

from mfgviz import catalog, plm, samples
from mfgviz.catalog import GeometryFacts
from mfgviz.errors import BlobNotFoundError, FolderUnavailableError, InvalidInputError
from mfgviz.records import Geometry
from mfgviz.service import Service
from mfgviz.wire import NewPart, StateChange, TemplateBody
from plugins.plm import dropped
from plugins.plm.folder import FolderConnector
from tests.support.connectors import Site, settle, step
from tests.support.workers import eventually
from tests.unit.plm.conftest import Watch

SAMPLE = Path(samples.__path__[0]) / "heatsink.step"


def status(drop: Path, base: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((drop / f"{base}.status.json").read_text())
    return found


def codes(site: Site) -> dict[str, str]:
    return {one.payload["subject"]: one.payload["code"] for one in site.refusals()}


# -- the whole way -------------------------------------------------------------------------------------
def test_a_file_and_its_sidecar_become_a_revision_with_jobs_and_pictures(
    site: Site, drop: Path, watch: Watch
) -> None:
    """With the worker side, on a real STEP file."""
    site.service.save_template("hero", TemplateBody(prompt="{material}, {finish}, studio light"))
    sidecar = {"name": "Cooler", "attributes": {"finish": "black"}, "part_attributes": {"material": "steel"}}
    sidecar |= {"state": "released", "source_state": "Freigegeben", "views": ["top", "iso"], "count": 2}
    (drop / "HS-1_A.json").write_text(json.dumps(sidecar))
    shutil.copy(SAMPLE, drop / "HS-1_A.step")
    connection = watch(template="hero", views="front")
    settle(connection)
    revision = site.service.revision("HS-1@A")
    assert (revision.name, revision.state, revision.source_state) == ("Cooler", "released", "Freigegeben")
    assert (revision.attributes, revision.part_attributes) == ({"finish": "black"}, {"material": "steel"})
    assert revision.geometry is not None
    assert (revision.geometry.file_name, revision.geometry.state) == ("HS-1_A.step", "read")
    jobs = site.service.jobs(revision="HS-1@A").items
    assert {(one.prompt, one.count) for one in jobs} == {("steel, black, studio light", 2)}
    assert {one.kind for one in site.service.event_log(kind="revision").items} == {
        "revision.created", "revision.released",
    }  # fmt: skip
    assert site.render_all() == 2
    settle(connection)
    pictures = sorted(path.name for path in drop.glob("*.png"))
    assert pictures == ["HS-1_A.iso.2.png", "HS-1_A.iso.png", "HS-1_A.top.2.png", "HS-1_A.top.png"]
    with Image.open(drop / "HS-1_A.iso.png") as image:
        assert json.loads(image.text["mfgviz"])["geometry_digest"]  # type: ignore[attr-defined]
    told = status(drop, "HS-1_A")
    assert (told["state"], told["revision"], told["error"]) == ("taken", "HS-1@A", None)
    assert set(told["jobs"].values()) == {"succeeded"}
    assert [one["file"] for one in told["pictures"]]
    assert (drop / "HS-1_A.step").exists()


def test_two_files_of_which_one_is_damaged(site: Site, drop: Path, watch: Watch) -> None:
    (drop / "BAD_A.step").write_text("ISO-10303-21;\nnothing\nEND-ISO-10303-21;\n")
    shutil.copy(SAMPLE, drop / "OK_A.stl")
    settle(watch())
    assert codes(site) == {"BAD_A.step": "no-solids", "OK_A.stl": "format-mismatch"}
    assert [one.payload["message"].split()[0] for one in site.refusals()] == ["BAD_A.step", "OK_A.stl"]
    assert site.service.parts().items == []
    assert "Rename the file" in (drop / "OK_A.error.txt").read_text()


# -- waiting -------------------------------------------------------------------------------------------
@pytest.mark.usefixtures("unread")
def test_a_file_is_waited_for_while_it_is_copied(site: Site, drop: Path, watch: Watch) -> None:
    content = step("x" * 4000)

    def copy_slowly() -> None:
        with (drop / "SLOW_A.step").open("wb") as stream:
            for at in range(0, len(content), 500):
                stream.write(content[at : at + 500])
                stream.flush()
                time.sleep(0.06)

    connection = watch(settle_s="0.15")
    house = site.house()
    runner = threading.Thread(target=plm.run, args=(connection, house))
    writer = threading.Thread(target=copy_slowly)
    writer.start()
    runner.start()
    writer.join()
    eventually(lambda: site.service.parts().items, 20)
    house.stopping.set()
    runner.join(10)
    revision = site.service.revision("SLOW@A")
    assert revision.geometry is not None
    assert (revision.geometry.size_bytes, revision.iteration) == (len(content), 1)
    assert site.refusals() == []


@pytest.mark.usefixtures("unread")
def test_a_step_file_without_its_end_is_waited_for_longer(
    site: Site, drop: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("plugins.plm.folder.PATIENCE", 1e6)
    connection = watch(settle_s="0.05")
    path = drop / "CUT_A.step"
    path.write_bytes(step("whole")[:-20])
    for _ in range(2):
        assert connection.round().unsettled == 1
        time.sleep(0.06)
    assert connection.round().unsettled == 1
    path.write_bytes(step("whole"))
    connection.round()
    time.sleep(0.06)
    connection.round()
    assert site.service.revision("CUT@A").iteration == 1


@pytest.mark.parametrize("mode", ["ab", "r+b"])
def test_what_is_written_to_while_it_is_read_is_not_taken(
    drop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    path = drop / "x_A.step"
    path.write_bytes(b"x" * 300)
    os.utime(path, ns=(0, 0))

    class Digest:
        """Somebody writes after each chunk: at the file's end, or over its beginning."""

        def update(self, _chunk: bytes) -> None:
            with path.open(mode) as stream:
                stream.write(b"y")

    monkeypatch.setattr(dropped, "CHUNK_BYTES", 64)
    monkeypatch.setattr(dropped, "hashlib", SimpleNamespace(sha256=Digest))
    with pytest.raises(dropped.StillChanging):
        dropped.copy_file(path, tmp_path / "copy", 1 << 40)


# -- what may lie in a folder ---------------------------------------------------------------------------
@pytest.mark.usefixtures("unread")
def test_hostile_names_and_things_are_each_refused_once_and_followed_nowhere(
    site: Site, drop: Path, watch: Watch, tmp_path: Path
) -> None:
    secret = tmp_path / "secret.step"
    secret.write_bytes(step("secret"))
    (drop / "LINK_A.step").symlink_to(secret)
    (drop / "DANGLING_A.step").symlink_to("/nowhere")
    (drop / "DIR_A.step").mkdir()
    os.mkfifo(drop / "PIPE_A.step")
    with socket.socket(socket.AF_UNIX) as bound:
        here = Path.cwd()
        os.chdir(drop)  # a socket's path is short
        bound.bind("SOCKET_A.step")
        os.chdir(here)
    for name in (
        "nounderscore.step",
        "c\x01trl_A.step",
        "x" * 240 + "_A.step",
        "a@b_A.step",
        "X_A.status.step",
    ):
        (drop / name).write_bytes(step(name[:9]))
    (drop / os.fsdecode(b"n\xff_A.step")).write_bytes(step("bytes"))
    (drop / "EMPTY_A.step").touch()
    (drop / "S_A.step").write_bytes(step("sidecar"))
    (drop / "S_A.json").symlink_to(secret)
    (drop / "T_A.step").write_bytes(step("sidecar"))
    os.mkfifo(drop / "T_A.json")
    (drop / "U_A.step").write_bytes(step("sidecar"))
    (drop / "U_A.json").write_bytes(b'{"name": ')
    (drop / "TWO_A.stl").write_bytes(b"solid facet")
    (drop / "TWO_A.step").write_bytes(step("two"))
    (drop / ".hidden_A.step").write_bytes(step("hidden"))
    (drop / "copy_A.step.part").write_bytes(step("part"))
    (drop / "GOOD_A.step").write_bytes(step("good"))
    settle(watch())
    assert codes(site) == {
        "LINK_A.step": "no-regular-file",
        "DANGLING_A.step": "no-regular-file",
        "DIR_A.step": "no-regular-file",
        "PIPE_A.step": "no-regular-file",
        "SOCKET_A.step": "no-regular-file",
        "nounderscore.step": "invalid-file-name",
        "c\\x01trl_A.step": "invalid-file-name",
        "x" * 240 + "_A.step": "invalid-file-name",
        "a@b_A.step": "invalid-file-name",
        "X_A.status.step": "invalid-file-name",
        "n\\udcff_A.step": "invalid-file-name",
        "EMPTY_A.step": "empty-geometry",
        "S_A.step": "no-regular-file",
        "T_A.step": "no-regular-file",
        "U_A.step": "invalid-sidecar",
        "TWO_A.stl": "ambiguous-file",
    }
    assert [one.number for one in site.service.parts().items] == ["GOOD", "TWO"]
    count = len(site.refusals())
    told = {entry.subject for entry in site.service.audit_trail(action="file.refused").items}
    assert told == set(codes(site))
    settle(watch())  # after a restart
    assert len(site.refusals()) == count
    assert "PIPE_A.step is a pipe or device." in next(drop.glob("PIPE_A.step-*.error.txt")).read_text()
    assert status(drop, "EMPTY_A")["error"]["code"] == "empty-geometry"
    assert secret.read_bytes() == step("secret")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "drop", "secret.step"]
    # What is mended is taken, and no longer said to be wrong.
    (drop / "EMPTY_A.step").write_bytes(step("mended"))
    (drop / "U_A.json").write_bytes(b'{"name": "Plate"}')
    settle(watch())
    assert site.service.part("U").name == "Plate"
    assert status(drop, "EMPTY_A")["error"] is None
    assert not (drop / "EMPTY_A.error.txt").exists()


@pytest.mark.usefixtures("unread")
def test_a_file_that_may_not_be_read_is_tried_again_and_refused_then(
    site: Site, drop: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The tests may run as root, who may read everything.
    tried = []

    def held(path: Path) -> BinaryIO:
        tried.append(path)
        raise PermissionError(13, "Permission denied")

    (drop / "HELD_A.step").write_bytes(step("held"))
    connection = watch()
    monkeypatch.setattr(dropped, "open_file", held)
    settle(connection)
    assert len(tried) >= 5
    assert codes(site) == {"HELD_A.step": "input-file-not-found"}
    assert "Permission denied" in site.refusals()[0].payload["message"]


@pytest.mark.usefixtures("unread")
def test_too_large_a_file_is_refused_unread(site: Site, drop: Path) -> None:
    with (drop / "HUGE_A.stl").open("wb") as stream:
        stream.truncate(1 << 40)
    connector = FolderConnector()
    house = plm.House(site.doors, max_file_bytes=1000)
    options = plm.complete_options(connector, {"folder": str(drop), "settle_s": "0"})
    settle(connector.connect(house, options))
    assert codes(site) == {"HUGE_A.stl": "geometry-too-large"}


# -- once -----------------------------------------------------------------------------------------------
@pytest.mark.usefixtures("unread")
def test_dropped_again_unchanged_does_nothing_and_jobs_are_asked_for_once(
    site: Site, drop: Path, watch: Watch
) -> None:
    path = drop / "BRK_A.step"
    path.write_bytes(step("one"))
    settle(watch(prompt="steel", views="iso,top"))
    assert len(site.service.jobs().items) == 2
    before = len(site.service.audit_trail(limit=100).items)
    path.write_bytes(step("one"))
    settle(watch(prompt="steel", views="iso,top"))
    # Somebody removed the status: all is as it was still.
    (drop / "BRK_A.status.json").unlink()
    settle(watch(prompt="steel", views="iso,top"))
    assert len(site.service.jobs().items) == 2
    assert len(site.service.audit_trail(limit=100).items) == before
    assert status(drop, "BRK_A")["state"] == "taken"
    path.with_suffix(".json").write_text('{"prompt": "brass"}')
    settle(watch(prompt="steel", views="iso,top"))
    assert len(site.service.jobs().items) == 3
    assert site.service.revision("BRK@A").iteration == 1


@pytest.mark.usefixtures("unread")
def test_pictures_of_an_older_iteration_are_cleared_and_those_of_people_kept(
    site: Site, drop: Path, watch: Watch
) -> None:
    path = drop / "BRK_A.step"
    path.write_bytes(step("one"))
    (drop / "BRK_A.iso.png").write_bytes(b"somebody's own")
    connection = watch(prompt="steel")
    settle(connection)
    site.render_all()
    settle(connection)
    assert (drop / "BRK_A.iso.2.png").exists()
    path.write_bytes(step("two"))
    settle(connection)
    assert sorted(one.name for one in drop.glob("*.png")) == ["BRK_A.iso.png"]
    site.render_all(90)
    settle(connection)
    assert (drop / "BRK_A.iso.png").read_bytes() == b"somebody's own"
    assert [one["file"] for one in status(drop, "BRK_A")["pictures"]] == ["BRK_A.iso.2.png"]
    # A picture that somebody removes does not come again.
    (drop / "BRK_A.iso.2.png").unlink()
    settle(watch(prompt="steel"))
    assert not (drop / "BRK_A.iso.2.png").exists()


@pytest.mark.usefixtures("unread")
def test_taken_files_can_be_put_away(site: Site, drop: Path, watch: Watch) -> None:
    (drop / "BRK_A.step").write_bytes(step("one"))
    (drop / "BRK_A.json").write_text('{"name": "Bracket"}')
    (drop / "BAD.step").write_bytes(step("bad"))
    connection = watch(done="taken", prompt="steel")
    settle(connection)
    site.render_all()
    settle(connection)
    names = {one.name for one in (drop / "taken").iterdir()}
    assert names == {"BRK_A.step", "BRK_A.json", "BRK_A.status.json", "BRK_A.iso.png"}
    site.service.set_state("BRK@A", StateChange(state="released"))
    (drop / "BRK_A.step").write_bytes(step("two"))
    settle(watch(done="taken", prompt="steel"))
    assert status(drop, "BRK_A")["error"]["code"] == "revision-frozen"
    settle(watch(done="taken", prompt="steel"))
    assert len(site.refusals()) == 2
    (drop / "BRK_A.step").write_bytes(step("one"))
    settle(watch(done="taken", prompt="steel"))
    assert {one.name for one in drop.glob("BRK*")} == set()
    assert status(drop / "taken", "BRK_A")["error"] is None


# -- what becomes of them -------------------------------------------------------------------------------
@pytest.mark.usefixtures("unread")
def test_what_a_worker_finds_later_is_told_beside_the_file(site: Site, drop: Path, watch: Watch) -> None:
    for number in ("ONE", "TWO"):
        (drop / f"{number}_A.step").write_bytes(step(number))
    connection = watch()
    settle(connection)
    assert status(drop, "ONE_A")["is_unread"]
    with site.runtime.db.begin() as session:
        one, two = session.query(Geometry).order_by(Geometry.file_name)
        catalog.note_facts(one, GeometryFacts("step", "f" * 64, {}))
        catalog.note_unusable(two, "no-solids", "There is nothing in it.")
    settle(connection)
    assert not status(drop, "ONE_A")["is_unread"]
    assert codes(site) == {"TWO_A.step": "geometry"}
    assert "There is nothing in it." in (drop / "TWO_A.error.txt").read_text()


@pytest.mark.usefixtures("unread")
def test_a_template_that_is_not_there_or_asks_for_too_much(site: Site, drop: Path, watch: Watch) -> None:
    (drop / "ONE_A.step").write_bytes(step("one"))
    (drop / "ONE_A.json").write_text('{"template": "gone"}')
    (drop / "TWO_A.step").write_bytes(step("two"))
    (drop / "TWO_A.json").write_text('{"prompt": "{alloy}"}')
    settle(watch())
    assert codes(site) == {"ONE_A.step": "template-not-found", "TWO_A.step": "missing-field"}
    assert [one.number for one in site.service.parts().items] == ["TWO"]
    assert (drop / "TWO_A.error.txt").exists()


@pytest.mark.usefixtures("unread")
def test_a_known_part_stays_as_it_is(site: Site, drop: Path, watch: Watch) -> None:
    site.service.add_part(NewPart(number="BRK", name="Bracket", attributes={"material": "steel"}))
    (drop / "BRK_B.step").write_bytes(step("b"))
    settle(watch())
    part = site.service.part("BRK")
    assert (part.name, part.attributes, part.revisions) == ("Bracket", {"material": "steel"}, ["B"])


@pytest.mark.usefixtures("unread")
def test_a_forged_status_does_no_harm(site: Site, drop: Path, watch: Watch, tmp_path: Path) -> None:
    outside = tmp_path / "outside.png"
    outside.write_bytes(b"mine")
    (drop / "BRK_A.step").write_bytes(step("one"))
    settle(watch())
    forged = status(drop, "BRK_A")
    forged["pictures"] = [{"render": 1, "file": "../outside.png", "digest": "x"}]
    (drop / "BRK_A.status.json").write_text(json.dumps(forged))
    (drop / "BRK_A.step").write_bytes(step("two"))
    (drop / "X_A.status.json").write_text('{"jobs": {"one": 2}}')
    (drop / "Y_A.status.json").symlink_to(outside)
    settle(watch())
    assert outside.read_bytes() == b"mine"
    assert site.service.revision("BRK@A").iteration == 2


def test_options_that_cannot_be_used(drop: Path, watch: Watch, tmp_path: Path) -> None:
    for wrong in (
        {"folder": str(tmp_path / "none")}, {"settle_s": "soon"}, {"interval_s": "-1"}, {"done": "../x"},
        {"views": "inside", "prompt": "x"}, {"views": "iso"}, {"settle_s": "nan"},
    ):  # fmt: skip
        with pytest.raises(InvalidInputError):
            watch(**wrong)
    connection = watch()
    drop.rmdir()
    with pytest.raises(FolderUnavailableError, match="cannot be read"):
        connection.round()


@pytest.mark.usefixtures("unread")
def test_what_is_written_while_a_file_is_taken_is_not_put_away(
    site: Site, drop: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = drop / "BRK_A.step"
    path.write_bytes(step("one"))
    take_in = Service.take_in

    def saved_again(self: Service, *given: Any, **named: Any) -> Any:
        taken = take_in(self, *given, **named)
        if path.read_bytes() == step("one"):
            path.write_bytes(step("two, which is longer"))
        return taken

    monkeypatch.setattr(Service, "take_in", saved_again)
    connection = watch(done="taken")
    settle(connection)
    assert (drop / "taken" / "BRK_A.step").read_bytes() == step("two, which is longer")
    assert site.service.revision("BRK@A").iteration == 2


@pytest.mark.usefixtures("unread")
def test_a_status_of_nobodys_file_fetches_no_pictures(site: Site, drop: Path, watch: Watch) -> None:
    (drop / "SECRET_A.step").write_bytes(step("one"))
    settle(watch(prompt="steel"))
    site.render_all()
    kept = status(drop, "SECRET_A")
    for left in drop.iterdir():
        left.unlink()
    (drop / "ZZ_A.status.json").write_text(json.dumps(kept | {"file": "ZZ_A.step"}))
    (drop / "SECRET_A.status.json").write_text(json.dumps(kept | {"digest": "0" * 64}))
    settle(watch())
    assert list(drop.glob("*.png")) == []


@pytest.mark.usefixtures("unread")
def test_a_picture_that_is_gone_from_the_store_keeps_no_other_back(
    site: Site, drop: Path, watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    (drop / "BRK_A.step").write_bytes(step("one"))
    settle(watch(prompt="steel", views="iso,front"))
    site.render_all()
    gone = site.service.renders(revision="BRK@A").items[-1]
    image = Service.image

    def lost(self: Service, render_id: int, *given: Any) -> bytes:
        if render_id == gone.id:
            raise BlobNotFoundError("There is no such blob.")
        return image(self, render_id, *given)

    monkeypatch.setattr(Service, "image", lost)
    settle(watch(prompt="steel", views="iso,front"))
    assert len(list(drop.glob("*.png"))) == 1
