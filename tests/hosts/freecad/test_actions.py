"""Settings and tokens, what is done with renders, render on save, and refusals in words."""

from __future__ import annotations

import json
import stat
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from PIL import Image

from tests.hosts.freecad.conftest import Play, Result, Service, free_port, player, user_folder
from tests.hosts.freecad.test_rendering import check_gaps, freezes


@pytest.fixture
def other_server() -> Iterator[str]:
    """One that answers everything with a page."""

    class Page(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"<html>hello</html>")

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_a_day_with_the_add_on(
    play: Play, service: Service, other_server: str, freecad: Path, home: Path, tmp_path: Path
) -> None:
    if freezes(day(play, service, other_server, home, tmp_path)):  # what the add-on does, it does each time
        again = tmp_path / "again"
        home, fresh = user_folder(again), Service(again / "data", free_port()).start()
        try:
            check_gaps(day(player(freecad, home, again), fresh, other_server, home, again))
        finally:
            fresh.end()


def day(play: Play, service: Service, other_server: str, home: Path, folder: Path) -> Result:
    viewer = service.run("tokens", "create", "looker", "--role", "viewer")["token"]
    engineer = service.run("tokens", "create", "maker", "--role", "engineer")["token"]
    played = play(
        "actions",
        answers={"release ACT-1@A": lambda: service.run("revisions", "release", "ACT-1@A")},
        url=service.url,
        token=service.token,
        connect_string=service.connect,
        viewer=viewer,
        engineer=engineer,
        other=other_server,
    )
    seen = played.seen
    tested = seen["tested"]
    assert "No server answers" in tested["closed port"]
    assert "`mfgviz up`" in tested["closed port"]
    assert "is not an mfgviz server" in tested["another server"]
    assert "token" in tested["wrong token"]
    assert "may look, but not ask" in tested["viewer"]
    assert "Connected as" in tested["right"]
    assert "Models: studio." in tested["right"]
    assert seen["fields"] == {"material": "Steel C45", "appearance": "blue"}
    check_renders(seen, service, folder)
    assert "ACT-1@A is released" in seen["released"]
    assert "“block”" in seen["closed"]
    job_id, told = seen["failed"]
    assert told == f"Job {job_id} of ACT-1@B failed: The picture does not fit into memory."
    assert len(service.renders("ACT-1@B")) == 1 + 2
    assert "token" in seen["unauthenticated"]
    assert "is kept" in seen["kept"]
    assert len(service.renders("ACT-2@A")) == 2
    assert seen["chinese"] == ["渲染零件", "更多设置"]
    check_secrets(service.token, viewer, home, folder, played.log)
    return played


def check_renders(seen: dict, service: Service, folder: Path) -> None:  # type: ignore[type-arg]
    newest = service.renders("ACT-1@A")
    first = newest[-1]
    assert len(newest) == 3  # the first, its variation, the one on save
    assert seen["embedded"][0] == "89504e470d0a1a0a"
    assert seen["embedded"][1]["id"] == first["id"]
    assert f"Render {first['id']} is proposed; it must be approved" in seen["unapproved"]
    assert f"mfgviz renders approve {first['id']}" in seen["unapproved"]
    assert seen["primary"] == [True, ""]  # who may review approves by choosing
    assert (first["review_state"], first["is_primary"]) == ("approved", True)
    assert service.revision("ACT-1@A")["primary_render"] == first["id"]
    with Image.open(folder / "saved.webp") as image:
        assert (image.format, image.size) == ("WEBP", (96, 96))
    assert seen["recalled"][0] == first["prompt"]
    assert seen["recalled"][1] == seen["recalled"][2] == first["seed"]
    assert newest[1]["seed"] != first["seed"]
    assert newest[1]["prompt"] == first["prompt"]
    assert seen["saved_twice"] == [1, False]
    with zipfile.ZipFile(folder / "block.FCStd") as document:
        assert any(name.endswith(".png") and "ACT-1" in name for name in document.namelist())


def check_secrets(token: str, viewer: str, home: Path, folder: Path, log: str) -> None:
    """The token is in its own file, for its owner alone, and nowhere else."""
    kept = home / "mfgviz" / "tokens.json"
    assert token in json.loads(kept.read_text()).values()
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert stat.S_IMODE(kept.parent.stat().st_mode) == 0o700
    others = [path for path in home.rglob("*") if path.is_file() and path != kept and "Mod" not in path.parts]
    documents = [folder / "block.FCStd"]
    for path in [*others, *documents]:
        content = path.read_bytes()
        assert token.encode() not in content, path
        assert viewer.encode() not in content, path
    with zipfile.ZipFile(documents[0]) as document:
        assert all(token.encode() not in document.read(name) for name in document.namelist())
    assert token not in log
