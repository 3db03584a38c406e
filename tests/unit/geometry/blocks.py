"""Parts made for the tests by OpenCASCADE itself, so that what is expected is known exactly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest


@dataclass(frozen=True)
class Block:
    """A block with a hole off its middle and a step on one side: no mirror maps it on itself."""

    hole_x: float = 12.0
    scale: float = 1.0
    origin: tuple[float, float, float] = (0.0, 0.0, 0.0)
    mirrored: bool = False
    turned_deg: float = 0.0

    def shape(self) -> Any:
        """The solid, 60 x 40 x 10 mm."""
        from OCP.BRepAlgoAPI import BRepAlgoAPI_Cut
        from OCP.BRepBuilderAPI import BRepBuilderAPI_Transform
        from OCP.BRepPrimAPI import BRepPrimAPI_MakeBox, BRepPrimAPI_MakeCylinder
        from OCP.gp import gp_Ax1, gp_Ax2, gp_Dir, gp_Pnt, gp_Trsf, gp_Vec

        body = BRepPrimAPI_MakeBox(gp_Pnt(0, 0, 0), 60, 40, 10).Shape()
        hole = BRepPrimAPI_MakeCylinder(gp_Ax2(gp_Pnt(self.hole_x, 14, -1), gp_Dir(0, 0, 1)), 6, 12).Shape()
        step = BRepPrimAPI_MakeBox(gp_Pnt(45, -1, 6), 20, 17, 10).Shape()
        body = BRepAlgoAPI_Cut(BRepAlgoAPI_Cut(body, hole).Shape(), step).Shape()
        moves = []
        if self.mirrored:
            mirror = gp_Trsf()
            mirror.SetMirror(gp_Ax2(gp_Pnt(0, 0, 0), gp_Dir(1, 0, 0)))
            moves.append(mirror)
        scale, turn, shift = gp_Trsf(), gp_Trsf(), gp_Trsf()
        scale.SetScaleFactor(self.scale)
        turn.SetRotation(gp_Ax1(gp_Pnt(0, 0, 0), gp_Dir(0, 0, 1)), self.turned_deg * 3.141592653589793 / 180)
        shift.SetTranslation(gp_Vec(*self.origin))
        for move in [*moves, scale, turn, shift]:
            body = BRepBuilderAPI_Transform(body, move, True).Shape()
        return body


WriteStep = Callable[..., Path]


@pytest.fixture
def write_step(tmp_path: Path) -> WriteStep:
    """Writes a shape as STEP, in a unit and a schema."""

    def write(shape: Any, name: str = "part.step", unit: str = "MM", schema: str = "AP214IS") -> Path:
        from OCP.Interface import Interface_Static
        from OCP.STEPControl import STEPControl_AsIs, STEPControl_Writer

        writer = STEPControl_Writer()
        Interface_Static.SetCVal_s("write.step.unit", unit)
        Interface_Static.SetCVal_s("write.step.schema", schema)
        writer.Transfer(shape, STEPControl_AsIs)
        writer.Write(str(tmp_path / name))
        Interface_Static.SetCVal_s("write.step.unit", "MM")
        return tmp_path / name

    return write
