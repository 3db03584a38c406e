"""`revisions diff`, through either door, on files that OpenCASCADE wrote."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from mfgviz import catalog, toolbox
from mfgviz.catalog import GeometryFacts
from mfgviz.runtime import Runtime
from tests.support.commands import Run
from tests.unit.geometry.blocks import Block, WriteStep, write_step

__all__ = ["write_step"]
both_doors = pytest.mark.both_doors


def add(run: Run, path: Path) -> None:
    added = run("revisions", "add", "X", path.stem, "--file", str(path), "--attr", f"finish={path.stem}")
    assert added.code == 0, added.err


@pytest.fixture
def block(run: Run, write_step: WriteStep) -> None:
    """X@A, and X@B with its hole moved by 0.1 mm."""
    run("parts", "add", "X", "--attr", "material=steel")
    add(run, write_step(Block().shape(), "A.step"))
    add(run, write_step(Block(hole_x=12.1).shape(), "B.step"))


@pytest.mark.parametrize("door", ["server"], indirect=True)
@pytest.mark.usefixtures("block")
def test_a_hole_moved_by_a_tenth_of_a_millimetre_is_told_and_drawn_and_a_file_saved_again_is_unchanged(
    run: Run, write_step: WriteStep, tmp_path: Path
) -> None:
    image = tmp_path / "made" / "diff.png"
    found = run("revisions", "diff", "X@A", "X@B", "--image", str(image), "--json").json
    assert (found["shape"], found["notes"], found["image"]) == ("changed", [], str(image))
    (hole,) = found["holes"]
    assert (hole["change"], hole["distance_mm"], hole["moved_by_mm"]) == ("moved", 0.1, [0.1, 0, 0])
    assert hole["after"] == {
        "position_mm": [12.1, 14, 5], "axis": [0, 0, 1], "diameter_mm": 12, "depth_mm": 10,
    }  # fmt: skip
    assert found["facts"] == []  # 5 µm of its centre of mass are too little
    (finish,) = found["attributes"]
    assert (finish["of"], finish["before"], finish["after"]) == ("revision", "A", "B")
    with Image.open(image) as sheet:
        assert sheet.format == "PNG"
        assert sheet.width > 1000
        colours = {colour for _, colour in sheet.convert("RGB").getcolors(1 << 16) or []}
    assert any(red > max(green, blue) + 80 for red, green, blue in colours)
    assert any(green > red + 60 and green > blue + 30 for red, green, blue in colours)
    lines = run("revisions", "diff", "X@A", "X@B").out.splitlines()
    assert lines[0].split("\t") == ["shape", "X@A to X@B", "changed", "-", "-"]
    assert "moved by 0.1 mm (0.1, 0, 0)" in lines[1]
    add(run, write_step(Block().shape(), "C.step", schema="AP203"))
    same = run("revisions", "diff", "X@A", "X@C", "--json").json
    assert (same["shape"], same["holes"], same["facts"]) == ("same", [], [])
    assert {one["name"] for one in same["files"]} > {"file_name", "geometry_digest"}


@both_doors
def test_what_cannot_be_compared_is_refused_or_said(
    run: Run, tmp_path: Path, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("revisions", "add", "BRK-1", "B")
    assert run("revisions", "diff", "BRK-1@A", "BRK-1@Z", "--json").error["code"] == "revision-not-found"
    found = run("revisions", "diff", "BRK-1@B", "BRK-1@B", "--json").json
    assert (found["shape"], len(found["notes"])) == ("unknown", 2)
    image = ["--image", str(tmp_path / "x.png"), "--json"]
    assert run("revisions", "diff", "BRK-1@B", "BRK-1@B", *image).error["code"] == "geometry"
    jpeg = run("revisions", "diff", "BRK-1@B", "BRK-1@B", "--image", "x.jpg", "--json")
    assert (jpeg.code, jpeg.error["code"]) == (5, "invalid-input")
    # A host without the worker side tells what is recorded, and draws nothing.
    monkeypatch.setattr(toolbox, "is_available", lambda: False)
    facts = {"volume_mm3": 5.0, "holes": [], "hole_count": 0}
    with runtime.db.begin() as session:
        for number, reference in enumerate(("BRK-1@A", "BRK-1@B")):
            revision = catalog.get_revision(session, reference)
            stored = catalog.StoredFile(str(number) * 64, 10, "x.step")
            geometry = catalog.attach_geometry(session, revision, stored, "ann")
            read = GeometryFacts("step", str(number) * 64, facts | {"volume_mm3": 5.0 + number})
            catalog.note_facts(geometry, replace(read))
    refused = run("revisions", "diff", "BRK-1@A", "BRK-1@B", *image)
    assert (refused.code, refused.error["code"]) == (6, "tool-missing")
    assert not (tmp_path / "x.png").exists()
    assert "+1 (+20.00%)" in run("revisions", "diff", "BRK-1@A", "BRK-1@B").out


@pytest.mark.usefixtures("block")
def test_a_file_that_was_read_before_holes_were_looked_for_is_read_again(
    run: Run, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    with runtime.db.begin() as session:
        for label in "AB":
            geometry = catalog.get_revision(session, f"X@{label}").geometry
            assert geometry is not None
            geometry.facts = {key: one for key, one in geometry.facts.items() if not key.startswith("hole")}
    found = run("revisions", "diff", "X@A", "X@B", "--json").json
    assert [one["distance_mm"] for one in found["holes"]] == [0.1]
    monkeypatch.setattr(toolbox, "is_available", lambda: False)
    found = run("revisions", "diff", "X@A", "X@B", "--json").json
    assert (found["shape"], found["holes"]) == ("changed", [])
    assert "not looked into" in found["notes"][0]
