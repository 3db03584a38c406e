"""The shape digest: of the shape, not of the file."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import trimesh

from mfgviz import samples
from tests.unit.geometry.blocks import Block, WriteStep
from workers.geometry import shape_digest, tessellate
from workers.geometry.reading import read_mesh


def digest(path: Path) -> str:
    return shape_digest(tessellate(path))


@pytest.fixture
def original(write_step: WriteStep) -> Path:
    return write_step(Block().shape(), "original.step")


def renumbered(path: Path) -> Path:
    """The same file saved by a program that numbers and orders its entities in another way."""
    text = path.read_text()
    head, data, tail = re.split(r"(?<=DATA;)|(?=ENDSEC;\s*END-ISO)", text)
    entities = re.findall(r"#\d+\s*=.*?;\s*\n", data, flags=re.DOTALL)
    shifted = [re.sub(r"#(\d+)", lambda match: f"#{int(match[1]) * 3 + 1000}", one) for one in entities]
    target = path.with_name("renumbered.step")
    target.write_text(head + "\n" + "".join(reversed(shifted)) + tail)
    return target


def test_saving_again_keeps_it(original: Path) -> None:
    assert digest(renumbered(original)) == digest(original)


def test_exporting_again_keeps_it(original: Path, write_step: WriteStep) -> None:
    assert digest(write_step(Block().shape(), "ap203.step", schema="AP203")) == digest(original)


def test_meshing_again_keeps_it(original: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fine = read_mesh(original, "step")
    monkeypatch.setattr("workers.geometry.reading.DEFLECTION_SHARE", 1e-2)
    monkeypatch.setattr("workers.geometry.reading.ANGLE_RAD", 0.8)
    coarse = read_mesh(original, "step")
    assert len(coarse.faces) < len(fine.faces)
    assert shape_digest(coarse) == shape_digest(fine)


@pytest.mark.parametrize("origin", [(100.0, -37.123456, 4.5), (0.333, 0, 0), (-1e4, 5e3, 77.7)])
def test_another_origin_keeps_it(
    original: Path, write_step: WriteStep, origin: tuple[float, float, float]
) -> None:
    assert digest(write_step(Block(origin=origin).shape(), "moved.step")) == digest(original)


@pytest.mark.parametrize("mode", [0, 1], ids=["loose faces", "sewn"])
def test_an_iges_file_keeps_it_when_it_is_moved(tmp_path: Path, mode: int) -> None:
    from OCP.IGESControl import IGESControl_Writer

    digests = set()
    for number, origin in enumerate([(0.0, 0.0, 0.0), (1000.3, -37.1, 5.8), (-0.77, 12.345, 3e3)]):
        writer = IGESControl_Writer("MM", mode)
        writer.AddShape(Block(origin=origin).shape())
        writer.Write(str(tmp_path / f"{number}.iges"))
        digests.add(digest(tmp_path / f"{number}.iges"))
    assert len(digests) == 1


@pytest.mark.parametrize("unit", ["M", "INCH", "CM"])
def test_another_unit_of_the_same_size_keeps_it(original: Path, write_step: WriteStep, unit: str) -> None:
    path = write_step(Block().shape(), "unit.step", unit=unit)
    assert path.read_text() != original.read_text()
    assert digest(path) == digest(original)


@pytest.mark.parametrize(
    "other",
    [Block(hole_x=12.1), Block(mirrored=True), Block(scale=1.001), Block(turned_deg=90), Block(scale=25.4)],
    ids=["hole moved by 0.1 mm", "mirrored", "scaled by a thousandth", "turned", "taken for inches"],
)
def test_another_shape_changes_it(original: Path, write_step: WriteStep, other: Block) -> None:
    assert digest(write_step(other.shape(), "other.step")) != digest(original)


def test_a_slot_that_reaches_to_another_face_changes_it(write_step: WriteStep) -> None:
    """The same planes, trimmed in another way: a slot of half the length, with its wall where a step is."""
    from OCP.BRepAlgoAPI import BRepAlgoAPI_Cut
    from OCP.BRepPrimAPI import BRepPrimAPI_MakeBox
    from OCP.gp import gp_Pnt

    def slotted(to_x: float) -> Path:
        step = BRepPrimAPI_MakeBox(gp_Pnt(30, -1, 6), 40, 10, 10).Shape()
        slot = BRepPrimAPI_MakeBox(gp_Pnt(-1, 20, 6), to_x + 1, 8, 10).Shape()
        plate = BRepPrimAPI_MakeBox(gp_Pnt(0, 0, 0), 60, 40, 10).Shape()
        body = BRepAlgoAPI_Cut(BRepAlgoAPI_Cut(plate, step).Shape(), slot).Shape()
        return write_step(body, f"slot{to_x:g}.step")

    half, through = tessellate(slotted(30)), tessellate(slotted(61))
    placed = [{(s.kind, s.axis, s.point[0] * s.axis[0]) for s in mesh.surfaces} for mesh in (half, through)]
    assert placed[0] == placed[1]
    assert shape_digest(half) != shape_digest(through)


@pytest.mark.parametrize("sample", ["bracket", "flange", "heatsink"])
def test_real_parts_keep_it_when_they_are_meshed_finer(sample: str, monkeypatch: pytest.MonkeyPatch) -> None:
    path = Path(samples.__path__[0]) / f"{sample}.step"
    coarse = read_mesh(path, "step")
    monkeypatch.setattr("workers.geometry.reading.DEFLECTION_SHARE", 3e-4)
    monkeypatch.setattr("workers.geometry.reading.ANGLE_RAD", 0.2)
    fine = read_mesh(path, "step")
    assert len(fine.faces) > len(coarse.faces)
    assert shape_digest(fine) == shape_digest(coarse)


def test_a_mesh_file_is_known_by_its_points(tmp_path: Path) -> None:
    ball = trimesh.creation.icosphere(subdivisions=2, radius=10)
    ball.export(tmp_path / "a.stl")
    ball.apply_translation([5, 0, 0])
    ball.faces = ball.faces[::-1]
    ball.export(tmp_path / "b.stl")
    ball.apply_scale(1.01)
    ball.export(tmp_path / "c.stl")
    a, b, c = (digest(tmp_path / name) for name in ("a.stl", "b.stl", "c.stl"))
    assert a == b != c


def test_the_order_of_surfaces_does_not_matter(original: Path) -> None:
    from dataclasses import replace

    mesh = tessellate(original)
    rng = np.random.default_rng(0)
    shuffled = tuple(mesh.surfaces[k] for k in rng.permutation(len(mesh.surfaces)))
    assert shape_digest(replace(mesh, surfaces=shuffled)) == shape_digest(mesh)
