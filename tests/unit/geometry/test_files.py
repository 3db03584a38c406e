"""Files of all formats, and files that cannot be used: each a named error, in time and in memory."""

from __future__ import annotations

import io
import shutil
import subprocess
import time
import zipfile
from pathlib import Path

import numpy as np
import psutil
import pytest
import trimesh

from mfgviz import samples
from mfgviz.errors import (
    EmptyGeometryError,
    FormatMismatchError,
    GeometryNotFoundError,
    GeometryTooLargeError,
    NoSolidsError,
    TessellationMemoryError,
    TessellationTimeoutError,
    ToolMissingError,
    UnknownFormatError,
    UnreadableGeometryError,
)
from tests.unit.geometry.blocks import Block, WriteStep
from workers.geometry import FolderCache, TessellationLimits, cached_mesh, describe, tessellate
from workers.geometry.facts import color_name

EXTENTS = (60.0, 40.0, 10.0)


def extents(path: Path) -> list[float]:
    return list(np.ptp(tessellate(path).bounds, axis=0))


@pytest.fixture
def triangles(write_step: WriteStep) -> trimesh.Trimesh:
    mesh = tessellate(write_step(Block().shape()))
    return trimesh.Trimesh(mesh.vertices, mesh.faces)


@pytest.mark.parametrize("name", ["part.stl", "part.obj", "part.ply", "part.3mf"])
def test_mesh_files_are_taken_as_mm(triangles: trimesh.Trimesh, tmp_path: Path, name: str) -> None:
    triangles.export(tmp_path / name)
    assert extents(tmp_path / name) == pytest.approx(EXTENTS, abs=1e-3)


def test_text_stl_is_read(triangles: trimesh.Trimesh, tmp_path: Path) -> None:
    triangles.export(tmp_path / "part.stl", file_type="stl_ascii")
    assert extents(tmp_path / "part.stl") == pytest.approx(EXTENTS, abs=1e-3)


def test_glb_is_metres_and_y_up(triangles: trimesh.Trimesh, tmp_path: Path) -> None:
    upright = triangles.copy()
    points = np.asarray(upright.vertices) / 1000
    upright.vertices = np.stack([points[:, 0], points[:, 2], -points[:, 1]], axis=1)
    upright.export(tmp_path / "part.glb")
    assert extents(tmp_path / "part.glb") == pytest.approx(EXTENTS, abs=1e-3)


def test_brep_is_read(tmp_path: Path) -> None:
    from OCP.BRepTools import BRepTools

    BRepTools.Write_s(Block().shape(), str(tmp_path / "part.brep"))
    assert extents(tmp_path / "part.brep") == pytest.approx(EXTENTS, abs=1e-3)


@pytest.mark.parametrize("unit", ["MM", "INCH", "M"])
def test_iges_is_read_in_its_unit(tmp_path: Path, write_step: WriteStep, unit: str) -> None:
    from OCP.IGESControl import IGESControl_Writer

    writer = IGESControl_Writer(unit, 0)
    writer.AddShape(Block().shape())
    writer.Write(str(tmp_path / "part.iges"))
    mesh = tessellate(tmp_path / "part.iges")
    assert np.ptp(mesh.bounds, axis=0) == pytest.approx(EXTENTS, abs=1e-3)
    of_step = tessellate(write_step(Block().shape()))
    assert len(mesh.faces) == pytest.approx(len(of_step.faces), rel=0.5)
    # Written so, IGES keeps the planes as planes.
    assert len([one for one in mesh.surfaces if one.kind == "plane"]) >= 8
    assert max(max(map(abs, one.point)) for one in mesh.surfaces) == pytest.approx(60, abs=1e-3)


def test_a_mesh_with_gaps_is_rendered_and_said(tmp_path: Path) -> None:
    box = trimesh.creation.box((10, 20, 30))
    box.update_faces(np.arange(len(box.faces)) > 1)
    box.export(tmp_path / "open.stl")
    assert "gaps" in tessellate(tmp_path / "open.stl").warnings[0]


def test_a_flat_sheet_is_rendered(tmp_path: Path) -> None:
    sheet = trimesh.Trimesh([[0, 0, 0], [10, 0, 0], [10, 10, 0], [0, 10, 0]], [[0, 1, 2], [0, 2, 3]])
    sheet.export(tmp_path / "sheet.stl")
    assert np.ptp(tessellate(tmp_path / "sheet.stl").bounds, axis=0)[2] == 0


def step_text(write_step: WriteStep) -> str:
    return write_step(Block().shape(), "good.step").read_text()


def test_every_bad_file_is_named(write_step: WriteStep, tmp_path: Path) -> None:
    good = step_text(write_step)
    emptied = good[: good.index("DATA;") + 5] + "\nENDSEC;\nEND-ISO-10303-21;\n"
    cases: dict[str, tuple[bytes | None, type[Exception]]] = {
        "missing.step": (None, GeometryNotFoundError),
        "empty.step": (b"", EmptyGeometryError),
        "cut.step": (good[: len(good) // 2].encode(), UnreadableGeometryError),
        "letter.step": (b"Dear Sir or Madam,\n" * 50, UnknownFormatError),
        "photo.png": (b"\x89PNG\r\n\x1a\n" + b"\0" * 200, UnknownFormatError),
        "step.stl": (good.encode(), FormatMismatchError),
        "part.prt": (good.encode(), UnknownFormatError),
        "nothing.step": (emptied.encode(), NoSolidsError),
        "broken.3mf": (b"PK\x03\x04 not a zip", UnreadableGeometryError),
        "points.obj": (b"v 0 0 0\nv 1 0 0\nv 0 1 0\n", NoSolidsError),
        "nan.obj": (b"v 0 0 0\nv nan 0 0\nv 0 1 0\nf 1 2 3\n", UnreadableGeometryError),
        "line.obj": (b"v 0 0 0\nv 1 0 0\nv 2 0 0\nf 1 2 3\n", NoSolidsError),
    }
    for name, (content, error) in cases.items():
        path = tmp_path / name
        if content is not None:
            path.write_bytes(content)
        with pytest.raises(error) as caught:
            tessellate(path)
        assert name in str(caught.value), name


def test_a_file_beyond_the_limit_and_a_zip_bomb_are_refused_unread(tmp_path: Path) -> None:
    (tmp_path / "big.stl").write_bytes(b"\0" * 5000)
    with pytest.raises(GeometryTooLargeError, match="5,000 bytes"):
        tessellate(tmp_path / "big.stl", TessellationLimits(file_bytes=4999))
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("3D/3dmodel.model", b"\0" * 50_000_000)
    (tmp_path / "bomb.3mf").write_bytes(packed.getvalue())
    with pytest.raises(GeometryTooLargeError, match="unpacks to 50,000,000"):
        tessellate(tmp_path / "bomb.3mf", TessellationLimits(file_bytes=1_000_000))


def is_reader(process: psutil.Process) -> bool:
    """Whether it is one that reads a CAD file; another test's that has ended has no command line."""
    try:
        return "workers.reader" in str(process.cmdline())
    except psutil.NoSuchProcess:
        return False


def test_a_mesher_that_hangs_is_stopped_with_all_its_children(tmp_path: Path) -> None:
    # A million triangles take the reader seconds; it is given a fifth of one.
    rng = np.random.default_rng(0)
    faces = rng.integers(0, 500_000, (1_000_000, 3))
    trimesh.Trimesh(rng.random((500_000, 3)), faces, process=False).export(tmp_path / "huge.ply")
    started = time.monotonic()
    with pytest.raises(TessellationTimeoutError, match=r"huge\.ply was not read within 0\.2 s"):
        tessellate(tmp_path / "huge.ply", TessellationLimits(timeout_s=0.2))
    assert time.monotonic() - started < 10
    assert not [one for one in psutil.Process().children(recursive=True) if is_reader(one)]


def test_a_mesher_that_needs_too_much_memory_is_named(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    faces = rng.integers(0, 300_000, (900_000, 3))
    trimesh.Trimesh(rng.random((300_000, 3)), faces, process=False).export(tmp_path / "huge.ply")
    with pytest.raises(TessellationMemoryError, match="600 MiB"):
        tessellate(tmp_path / "huge.ply", TessellationLimits(memory_bytes=600 * 2**20))


def test_without_freecad_an_fcstd_file_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with zipfile.ZipFile(tmp_path / "part.FCStd", "w") as archive:
        archive.writestr("Document.xml", "<Document/>")
    with pytest.raises(ToolMissingError) as caught:
        tessellate(tmp_path / "part.FCStd")
    assert "freecad" in caught.value.remedy


FREECAD = shutil.which("freecadcmd")
IN_FREECAD = """
import FreeCAD, Part, sys
document = FreeCAD.newDocument("made")
box = document.addObject("Part::Box", "Base")
box.Length, box.Width, box.Height = 60, 40, 10
hole = document.addObject("Part::Cylinder", "Hole")
hole.Radius, hole.Height = 6, 10
hole.Placement.Base = FreeCAD.Vector(12, 14, 0)
cut = document.addObject("Part::Cut", "Plate")
cut.Base, cut.Tool = box, hole
document.addObject("Sketcher::SketchObject", "Loose")
document.recompute()
document.saveAs({target!r})
empty = FreeCAD.newDocument("empty")
empty.addObject("Sketcher::SketchObject", "Loose")
empty.recompute()
empty.saveAs({empty!r})
sys.exit(0)
"""


@pytest.mark.skipif(FREECAD is None, reason="FreeCAD is not installed: apt-get install freecad")
def test_a_freecad_document_is_read_and_one_without_a_body_is_named(tmp_path: Path) -> None:
    target, empty = tmp_path / "part.FCStd", tmp_path / "empty.FCStd"
    script = tmp_path / "make.py"
    script.write_text(IN_FREECAD.format(target=str(target), empty=str(empty)))
    subprocess.run([str(FREECAD), str(script)], stdin=subprocess.DEVNULL, capture_output=True, check=True)
    mesh = tessellate(target)
    assert np.ptp(mesh.bounds, axis=0) == pytest.approx(EXTENTS, abs=1e-3)
    assert describe(mesh)["volume_mm3"] == pytest.approx(60 * 40 * 10 - np.pi * 360, rel=2e-3)
    with pytest.raises(NoSolidsError, match=r"empty\.FCStd"):
        tessellate(empty)


def test_what_a_file_tells(write_step: WriteStep) -> None:
    facts = describe(tessellate(write_step(Block().shape())))
    assert (facts["extent_x_mm"], facts["extent_y_mm"], facts["extent_z_mm"]) == pytest.approx(
        EXTENTS, abs=0.01
    )
    assert facts["volume_mm3"] == pytest.approx(60 * 40 * 10 - np.pi * 360 - 15 * 16 * 4, rel=2e-3)
    assert facts["colours"] == []


SAMPLES = Path(samples.__path__[0])


def test_faces_of_several_colours_keep_their_faces() -> None:
    """The bracket's bores and holes have a colour of their own."""
    mesh = tessellate(SAMPLES / "bracket.step")
    assert [body.name for body in mesh.bodies] == ["Motor bracket"]
    assert len(np.unique(mesh.face_ids)) == len(mesh.surfaces) + len(mesh.free_face_ids) == 60
    for surface in (one for one in mesh.surfaces if one.kind == "plane"):
        corners = mesh.vertices[mesh.faces[mesh.face_ids == surface.face_id]]
        assert np.abs((corners - surface.point) @ surface.axis).max() < 1e-3
    assert mesh.colors is not None
    # COLOUR_RGB 0.626, 0.634, 0.665 and 0.881, 0.886, 0.896
    told = [[159.7, 161.7, 169.6], [224.6, 225.9, 228.5]]
    assert np.abs(np.unique(mesh.colors[:, :3], axis=0) - told).max() < 1.5
    assert describe(mesh)["colours"] == ["light grey", "grey"]


COLOURS = {
    "red": (200, 20, 20), "blue": (20, 20, 200), "white": (240, 240, 240), "black": (8, 8, 8),
    "grey": (120, 120, 122), "yellow": (230, 200, 20), "orange": (230, 120, 10), "green": (20, 150, 60),
}  # fmt: skip


@pytest.mark.parametrize(("name", "rgb"), COLOURS.items())
def test_colours_have_plain_names(name: str, rgb: tuple[int, int, int]) -> None:
    assert color_name(*rgb) == name


def test_a_mesh_is_made_once_and_again_when_the_cache_is_damaged(
    write_step: WriteStep, tmp_path: Path
) -> None:
    path = write_step(Block().shape())
    cache = FolderCache(tmp_path / "cache", 10**8)
    made = cached_mesh(cache, "d" * 64, path, TessellationLimits())
    path.unlink()
    assert np.array_equal(cached_mesh(cache, "d" * 64, path, TessellationLimits()).vertices, made.vertices)
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_bytes(b"damaged")
    with pytest.raises(GeometryNotFoundError):
        cached_mesh(cache, "d" * 64, path, TessellationLimits())


def test_the_cache_stays_within_its_size(tmp_path: Path) -> None:
    cache = FolderCache(tmp_path, 2500)
    for number in range(5):
        cache.put(f"k{number}", b"x" * 1000)
        cache.get("k0")
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2500
    assert cache.get("k4") is not None
