"""Round holes, found in exact files and in triangles."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import trimesh

from mfgviz import samples
from tests.unit.geometry.blocks import Block, WriteStep
from workers.geometry import describe, tessellate
from workers.geometry.holes import find_holes
from workers.geometry.reading import read_mesh


def cut(body: Any, *tools: Any) -> Any:
    from OCP.BRepAlgoAPI import BRepAlgoAPI_Cut

    for tool in tools:
        body = BRepAlgoAPI_Cut(body, tool).Shape()
    return body


def box(*sizes: float, at: tuple[float, float, float] = (0, 0, 0)) -> Any:
    from OCP.BRepPrimAPI import BRepPrimAPI_MakeBox
    from OCP.gp import gp_Pnt

    return BRepPrimAPI_MakeBox(gp_Pnt(*at), *sizes).Shape()


def rod(radius: float, length: float, at: tuple[float, float, float], way: tuple[float, float, float]) -> Any:
    from OCP.BRepPrimAPI import BRepPrimAPI_MakeCylinder
    from OCP.gp import gp_Ax2, gp_Dir, gp_Pnt

    return BRepPrimAPI_MakeCylinder(gp_Ax2(gp_Pnt(*at), gp_Dir(*way)), radius, length).Shape()


def told(path: Path, file_format: str = "step") -> list[tuple[list[float], float, float]]:
    found = [hole.as_json() for hole in find_holes(read_mesh(path, file_format))]
    return [(one["position_mm"], one["diameter_mm"], one["depth_mm"]) for one in found]  # type: ignore[misc]


def test_a_hole_where_it_is(write_step: WriteStep) -> None:
    path = write_step(Block(hole_x=12.1).shape())
    assert told(path) == [([12.1, 14.0, 5.0], 12.0, 10.0)]
    inches = write_step(Block(hole_x=12.1).shape(), "inch.step", unit="INCH")
    assert told(inches) == [([12.1, 14.0, 5.0], 12.0, 10.0)]


def test_counterbores_slots_fillets_and_bosses(write_step: WriteStep) -> None:
    """A through hole with a wider step, a fork's two cheeks, and what is round but no hole."""
    fork = cut(box(60, 20, 30), box(40, 30, 20, at=(-1, -5, 5)), rod(3, 40, (10, 10, -1), (0, 0, 1)))
    fork = cut(fork, rod(4, 30, (50, 10, -1), (0, 0, 1)), rod(7, 5, (50, 10, -1), (0, 0, 1)))
    slot = [rod(2, 30, (46, y, 15), (1, 0, 0)) for y in (5, 9)] + [box(30, 4, 4, at=(46, 5, 13))]
    fork = cut(fork, *slot)
    found = told(write_step(fork))
    assert ([50.0, 10.0, 2.0], 14.0, 4.0) in found
    assert [one for one in found if one[1] == 6.0] == [
        ([10.0, 10.0, 2.5], 6.0, 5.0), ([10.0, 10.0, 27.5], 6.0, 5.0),
    ]  # fmt: skip
    assert {one[1] for one in found} <= {6.0, 8.0, 14.0}
    boss = told(write_step(rod(5, 20, (0, 0, 0), (0, 0, 1)), "boss.step"))
    assert boss == []


def test_a_leaning_hole(write_step: WriteStep) -> None:
    body = cut(box(40, 40, 40), rod(2.5, 200, (20 - 60, 20, 20 - 80), (3, 0, 4)))
    (found,) = find_holes(read_mesh(write_step(body), "step"))
    assert np.allclose(found.axis, [0.6, 0, 0.8], atol=1e-6)
    across = (found.position - [20, 20, 20]) - found.axis * float(
        (found.position - [20, 20, 20]) @ found.axis
    )
    assert float(np.linalg.norm(across)) < 1e-3
    assert found.diameter_mm == pytest.approx(5, abs=1e-3)


def test_holes_of_triangles_are_fitted(write_step: WriteStep, tmp_path: Path) -> None:
    mesh = read_mesh(write_step(Block().shape()), "step")
    path = tmp_path / "part.stl"
    trimesh.Trimesh(mesh.vertices, mesh.faces).export(path)
    (found,) = told(path, "stl")
    assert np.allclose(found[0], [12, 14, 5], atol=0.01)
    assert found[1:] == (pytest.approx(12, abs=0.02), pytest.approx(10, abs=0.01))
    ball = tmp_path / "ball.stl"
    trimesh.creation.icosphere(3, 10).export(ball)
    assert told(ball, "stl") == []


def test_facts_count_all_holes_and_name_the_widest() -> None:
    found = describe(tessellate(Path(samples.__path__[0]) / "flange.step"), 3)
    assert found["hole_count"] == 9
    assert [one["diameter_mm"] for one in found["holes"]] == [34.0, 9.0, 9.0]
    assert found["centre_of_mass_mm"] == pytest.approx([0, -0.155, 14.086], abs=0.01)


def test_a_mesh_that_encloses_nothing_has_no_centre_of_mass(tmp_path: Path) -> None:
    path = tmp_path / "sheet.stl"
    trimesh.Trimesh([[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 1, 2]], process=False).export(path)
    assert describe(read_mesh(path, "stl"))["centre_of_mass_mm"] is None
