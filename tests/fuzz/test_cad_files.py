"""Hostile CAD files through the product's own reading. `make fuzz` does the same with thousands."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tempfile
import textwrap
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
import trimesh

from mfgviz.errors import (
    MeshTooLargeError,
    MfgvizError,
    TessellationMemoryError,
    TessellationTimeoutError,
    UnreadableGeometryError,
)
from tests.fuzz.harness import LIMITS, House, fuzzed
from tests.fuzz.hostile import document, hostile_files
from tests.fuzz.seeds import seeds
from workers.confinement import clean_environment
from workers.geometry import TessellationLimits, describe, look_into, tessellate
from workers.geometry.conversion import shapes_only
from workers.geometry.mesh import Mesh

FILES, SEED = 300, 1
# Files that are made to last are given up sooner than the product would.
IMPATIENT, PATIENT = replace(LIMITS, timeout_s=4), replace(LIMITS, timeout_s=300)
reading = import_module("workers.geometry.tessellate")


@pytest.fixture(scope="module")
def goods() -> dict[str, list[bytes]]:
    return seeds()


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path.resolve()).lived_in() as house:
        yield house


def test_bent_and_hostile_files_are_read_or_refused_by_name(
    house: House, goods: dict[str, list[bytes]]
) -> None:
    broken, codes = {}, set()
    for kind, files in goods.items():
        for number, content in enumerate(files):
            outcome = house.check(f"part.{kind}", content, PATIENT)
            codes.add(outcome.code)
            if outcome.code != "read" or outcome.broken:
                broken[f"good {kind} {number}"] = outcome
    for trick, name, content in hostile_files(house.address):
        outcome = house.check(name, content, IMPATIENT)
        codes.add(outcome.code)
        if outcome.broken:
            broken[trick] = outcome
    for number in range(FILES):
        outcome = house.check(*fuzzed(SEED, number, goods), IMPATIENT)
        codes.add(outcome.code)
        if outcome.broken:
            broken[f"{SEED}-{number}"] = outcome
    assert not broken
    assert codes >= {"read", "unreadable-geometry", "no-solids", "unknown-format", "geometry-too-large"}


# -- what the reader may do -----------------------------------------------------------------------------
ESCAPES = """
    import os, socket, sys
    from pathlib import Path
    from workers.confinement import Bounds, confine

    folder, source = Path(sys.argv[1]), Path(sys.argv[2])
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    given_up = confine(folder, source, Bounds(4 * 2**30, 20, 1 << 20))
    def refused(what):
        try:
            what()
        except OSError:
            return True
        return False
    tcp = socket.socket()
    tried = {
        "read its file": not refused(lambda: source.read_bytes()),
        "write its folder": not refused(lambda: (folder / "x").write_text("x")),
        "limits": refused(lambda: [open(folder / "big", "ab", 0).write(b"x" * (1 << 20)) for _ in "ab"]),
        "network": refused(lambda: tcp.connect(("127.0.0.1", int(sys.argv[3])))),
        "files": all(map(refused, (
            lambda: open(source, "a"), lambda: (source.parent / "new").write_text("x"),
            lambda: (source.parent / "secret").read_text(), lambda: os.symlink("/etc", folder / "link"),
            lambda: open(f"/proc/{os.getppid()}/environ").read(), lambda: os.mkfifo(folder / "pipe"),
        ))),
        "new rights": "NoNewPrivs:\\t1" in open("/proc/self/status").read(),
        "root": os.getuid() != 0 or refused(lambda: os.chroot(folder)),
    }
    import json
    print(json.dumps([given_up, tried, dict(os.environ), os.getcwd()]))
"""


def test_the_reader_gives_up_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the kernel offers here is tried; that limits and environment hold is tried everywhere."""
    monkeypatch.setenv("MFGVIZ_DATABASE_URL", "postgresql://ann:open-sesame@db/mfgviz")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "open-sesame")
    own, source = tmp_path / "own", tmp_path / "part.stl"
    own.mkdir()
    source.write_text("x")
    (tmp_path / "secret").write_text("x")
    import socket

    with socket.create_server(("127.0.0.1", 0)) as server:
        done = subprocess.run(
            [sys.executable, "-P", "-c", textwrap.dedent(ESCAPES), str(own), str(source),
            str(server.getsockname()[1])],
            env=clean_environment(own), cwd=own, capture_output=True, text=True, check=True,
        )  # fmt: skip
    given_up, tried, environment, folder = json.loads(done.stdout)
    assert tried["read its file"]
    assert tried["write its folder"]
    assert [name for name in given_up if not tried[name]] == []
    assert "open-sesame" not in str(environment)
    assert not [name for name in environment if name.startswith("MFGVIZ_")]
    assert environment["HOME"] == environment["TMPDIR"] == folder == str(own)


@pytest.mark.skipif(sys.platform != "linux", reason="these are Linux's")
def test_on_linux_rights_are_given_up(tmp_path: Path) -> None:
    code = "import sys; from pathlib import Path; from workers.confinement import *; "
    code += "print(confine(Path(sys.argv[1]), Path(sys.argv[1]), Bounds(1 << 32, 9, 1 << 20)))"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert "new rights" in done.stdout
    assert "root" in done.stdout


# -- a reader that was taken over -------------------------------------------------------------------------
def facts() -> dict[str, object]:
    box = trimesh.creation.box((1, 2, 3))
    mesh = Mesh(
        np.asarray(box.vertices), np.asarray(box.faces, np.int32), np.asarray(box.vertex_normals, np.float32),
        np.zeros(12, np.int32), np.zeros(12, np.int32),
    )  # fmt: skip
    return {"format": "stl", "shape_digest": "0" * 64, "facts": describe(mesh), "warnings": []}


def with_facts(**changed: object) -> bytes:
    plain = facts()
    told = plain["facts"]
    assert isinstance(told, dict)
    return json.dumps({**plain, "facts": {**told, **changed}}).encode()


ANSWERS: dict[str, tuple[str, bytes]] = {
    "a number that is none": ("facts.json", with_facts(volume_mm3=float("nan"))),
    "infinity": ("facts.json", with_facts(extent_x_mm=float("inf"))),
    "a number beyond all": ("facts.json", with_facts(area_mm2=1e300)),
    "a million names": ("facts.json", with_facts(body_names=["x"] * 10**6)),
    "a name of a megabyte": ("facts.json", with_facts(body_name="x" * 10**6)),
    "more holes than asked for": ("facts.json", with_facts(
        holes=[{"position_mm": [0, 0, 0], "axis": [0, 0, 1], "diameter_mm": 1, "depth_mm": 1}] * 301)),
    "other facts": ("facts.json", with_facts(approved=True)),
    "a text for a number": ("facts.json", with_facts(hole_count="7")),
    "another format": ("facts.json", json.dumps({**facts(), "format": "exe"}).encode()),
    "a digest that is none": ("facts.json", json.dumps({**facts(),
    "shape_digest": "'; drop table"}).encode()),
    "deep JSON": ("facts.json", b"[" * 10**6),
    "no JSON": ("facts.json", b"\xff\xfe"),
    "100 MB": ("facts.json", b" " * 10**8),
    "an error that is none of a file": ("error.json", b'{"code": "unavailable", "message": "Try again."}'),
    "an error of nobody": ("error.json", b'{"code": "x", "message": "<script>", "remedy": 7}'),
}  # fmt: skip


@pytest.mark.parametrize("name", ANSWERS)
def test_what_a_reader_says_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """In the place of a reader that the file took over: anything may lie in its folder."""
    file, content = ANSWERS[name]

    def taken_over(folder: Path, timeout_s: float) -> int:
        (folder / file).write_bytes(content)
        return 0

    (tmp_path / "part.stl").write_bytes(b"x")
    monkeypatch.setattr(reading, "run_reader", taken_over)
    with pytest.raises(UnreadableGeometryError):
        look_into(tmp_path / "part.stl", TessellationLimits())


def arrays(**changed: np.ndarray) -> bytes:
    out = io.BytesIO()
    told = {"version": 3, "bodies": ["x"], "surfaces": [], "free_face_ids": [], "warnings": []}
    plain = {
        "vertices": np.eye(3), "faces": np.array([[0, 1, 2]], np.int32), "normals": np.eye(3,
        dtype=np.float32),
        "face_ids": np.zeros(1, np.int32), "body_ids": np.zeros(1, np.int32), "colors": np.zeros((0, 4),
        np.uint8),
        "told": np.frombuffer(json.dumps(told).encode(), np.uint8),
    }  # fmt: skip
    np.savez(out, **{**plain, **changed})
    return out.getvalue()


def bomb() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("vertices.npy", b"\0" * 10**8)
    return out.getvalue()


MESHES: dict[str, Callable[[], bytes]] = {
    "corners that are not there": lambda: arrays(faces=np.array([[0, 1, 3]], np.int32)),
    "negative corners": lambda: arrays(faces=np.array([[0, 1, -1]], np.int32)),
    "points that are no numbers": lambda: arrays(vertices=np.full((3, 3), np.nan)),
    "points far away": lambda: arrays(vertices=np.eye(3) * 1e300),
    "numbers of another kind": lambda: arrays(faces=np.array([[0.0, 1.0, 2.0]])),
    "a pickle": lambda: arrays(vertices=np.array([[{}]], dtype=object)),
    "fewer normals": lambda: arrays(normals=np.eye(2, 3, dtype=np.float32)),
    "face numbers beyond all": lambda: arrays(face_ids=np.array([2**31 - 1], np.int32)),
    "a body that is not there": lambda: arrays(body_ids=np.array([1], np.int32)),
    "an archive that is a bomb": bomb,
    "no archive": lambda: b"PK\x03\x04",
    "told nothing": lambda: arrays(told=np.zeros(0, np.uint8)),
}


@pytest.mark.parametrize("name", MESHES)
def test_a_mesh_of_a_reader_is_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    def taken_over(folder: Path, timeout_s: float) -> int:
        (folder / "mesh.npz").write_bytes(MESHES[name]())
        return 0

    (tmp_path / "part.stl").write_bytes(b"x")
    monkeypatch.setattr(reading, "run_reader", taken_over)
    with pytest.raises(MfgvizError) as caught:
        tessellate(tmp_path / "part.stl")
    assert caught.value.remedy
    assert len(Mesh.from_bytes(arrays()).faces) == 1


def test_what_lies_there_as_a_link_or_pipe_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "part.stl").write_bytes(b"x")
    secret = tmp_path / "secret"
    secret.write_text(json.dumps(facts()))
    for make in (lambda path: path.symlink_to(secret), os.mkfifo, Path.mkdir):

        def taken_over(folder: Path, timeout_s: float, make: Callable[[Path], object] = make) -> int:
            make(folder / "facts.json")
            return 0

        monkeypatch.setattr(reading, "run_reader", taken_over)
        with pytest.raises(UnreadableGeometryError):
            look_into(tmp_path / "part.stl", TessellationLimits())


# -- limits ------------------------------------------------------------------------------------------------
def test_a_mesh_beyond_the_limit_is_named(tmp_path: Path) -> None:
    trimesh.creation.icosphere(3).export(tmp_path / "ball.stl")
    with pytest.raises(MeshTooLargeError, match="1,280 triangles; 1,000 are allowed") as caught:
        look_into(tmp_path / "ball.stl", TessellationLimits(triangles=1000))
    assert "MFGVIZ_GEOMETRY_MAX_TRIANGLES" in caught.value.remedy


def test_facts_and_digest_are_within_the_limits_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking into a file ends with its reader, and the reader's folder goes with it."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    rng = np.random.default_rng(0)
    faces = rng.integers(0, 300_000, (900_000, 3))
    trimesh.Trimesh(rng.random((300_000, 3)), faces, process=False).export(tmp_path / "huge.ply")
    with pytest.raises(TessellationTimeoutError):
        look_into(tmp_path / "huge.ply", TessellationLimits(timeout_s=0.2))
    with pytest.raises(TessellationMemoryError):
        look_into(tmp_path / "huge.ply", TessellationLimits(memory_bytes=600 * 2**20))
    assert list((tmp_path / "tmp").iterdir()) == []


# -- FreeCAD documents -------------------------------------------------------------------------------------
def test_freecad_is_handed_shapes_alone(tmp_path: Path) -> None:
    payload = (
        '<Property name="Proxy">'
        '<Python value="e30=" encoded="yes" module="os" class="system" json="yes"/></Property>'
        '<Property name="F"><FileIncluded file="../../../etc/evil"/></Property>'
    )
    source, target = tmp_path / "a.FCStd", tmp_path / "b.FCStd"
    source.write_bytes(document(payload))
    with zipfile.ZipFile(source, "a") as archive:
        for name in ("GuiDocument.xml", "Part.Shape.brp", "../evil.brp", "/evil.brp", "macro.py", "x/y.brp"):
            archive.writestr(name, "x")
    shapes_only(source, target)
    with zipfile.ZipFile(target) as archive:
        assert archive.namelist() == ["Document.xml", "Part.Shape.brp"]
        kept = archive.read("Document.xml").decode()
    assert not any(word in kept for word in ("module", "system", "evil", "json"))
    assert "FeaturePython" in kept
