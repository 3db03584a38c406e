"""The evaluation set: parts, cameras, words, path-traced pictures and planted defects, as they ship.

`set/index.json` lists the cases, `set/NAME.webp` are the pictures, `set/parts.tar.xz` holds the STEP
files. `workers.studio.training.evaluation_set` makes them, always the same ones.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mfgviz.vocabulary import Projection
from workers.evaluation.packing import absolute, unpack
from workers.geometry.camera import Camera
from workers.geometry.maps import ControlMaps, control_maps
from workers.geometry.mesh import Mesh
from workers.geometry.reading import read_mesh

SET = Path(__file__).parent / "set"
PICTURE_PX = 512  # of the pictures that ship, ...
TRUTH_PX = 256  # ... which are measured at this size

Words = Mapping[str, str | None]


@dataclass(frozen=True, slots=True)
class Defect:
    """A version of a part with one defect: its kind, its STEP file's name (None: the mirror image of the part
    itself), its camera, and for some a path-traced picture of it."""

    kind: str
    part: str | None
    camera: Camera
    picture: NDArray[np.uint8] | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """One part, seen by one camera, in one look, with the path tracer's picture of it (512, 512, 3) uint8."""

    name: str
    family: str
    held_out: bool
    words: Words
    caption: str
    camera: Camera
    truth: NDArray[np.uint8]
    defects: tuple[Defect, ...] = field(default=())


class EvaluationSet:
    """The cases, and the meshes of their parts."""

    def __init__(self, folder: Path = SET) -> None:
        self._folder = folder
        self._last: tuple[str, Mesh] | None = None
        self._parts = unpack((folder / "parts.tar.xz").read_bytes())
        self.cases = [self._case(row) for row in json.loads((folder / "index.json").read_text())["cases"]]

    def some(self, count: int | None) -> list[Case]:
        """So many cases, spread over all, five in six of them of held-out families; all of them for None."""
        if count is None or count >= len(self.cases):
            return list(self.cases)
        seen = [case for case in self.cases if not case.held_out]
        held = [case for case in self.cases if case.held_out]
        of_seen = min(len(seen), max(1, round(count / 6)))
        return _spread(held, count - of_seen) + _spread(seen, of_seen)

    def mesh(self, case: Case) -> Mesh:
        """The part's mesh, by the product's own reader."""
        return self._read(f"{case.name}.step")

    def maps(self, case: Case, size_px: int) -> ControlMaps:
        """The control maps of a case for a square picture."""
        return control_maps(self.mesh(case), case.camera, size_px, size_px)

    def defect_maps(self, case: Case, defect: Defect) -> ControlMaps:
        """The control maps of a case's part with a defect, as large as the pictures that ship."""
        mesh = mirrored(self.mesh(case)) if defect.part is None else self._read(defect.part)
        return control_maps(mesh, defect.camera, PICTURE_PX, PICTURE_PX)

    def _read(self, name: str) -> Mesh:
        """A part's mesh. The one that was read last is kept: it is asked for at several sizes in a row."""
        if self._last is None or self._last[0] != name:
            self._last = name, self._read_anew(name)
        return self._last[1]

    def _read_anew(self, name: str) -> Mesh:
        with tempfile.TemporaryDirectory(prefix="mfgviz-evaluate-") as folder:
            path = Path(folder) / "part.step"
            path.write_bytes(absolute(self._parts[name]))
            return read_mesh(path, "step")

    def _case(self, row: dict[str, Any]) -> Case:
        camera = camera_of(row["camera"])
        defects = (self._defect(one, camera) for one in row["defects"])
        truth = self._picture(f"{row['name']}.webp")
        assert truth is not None
        return Case(
            row["name"], row["family"], row["held_out"], row["words"], row["caption"], camera, truth,
            tuple(defects),
        )  # fmt: skip

    def _defect(self, row: dict[str, Any], camera: Camera) -> Defect:
        seen_by = camera_of(row["camera"]) if "camera" in row else camera
        return Defect(row["kind"], row["part"], seen_by, self._picture(row.get("picture")))

    def _picture(self, name: str | None) -> NDArray[np.uint8] | None:
        if name is None:
            return None
        with Image.open(self._folder / name) as image:
            return np.array(image.convert("RGB"))


def camera_of(plain: dict[str, Any]) -> Camera:
    """A camera from JSON values."""
    eye, right, up, back = (np.array(plain[name], float) for name in ("eye_mm", "right", "up", "back"))
    projection = Projection(plain["projection"])
    return Camera(eye, right, up, back, projection, plain["half_width"], plain["half_height"])


def camera_as_json(camera: Camera) -> dict[str, Any]:
    """What `camera_of` reads."""
    vectors = {name: [float(v) for v in getattr(camera, name)] for name in ("eye_mm", "right", "up", "back")}
    return vectors | {
        "projection": camera.projection.value,
        "half_width": camera.half_width,
        "half_height": camera.half_height,
    }


def mirrored(mesh: Mesh) -> Mesh:
    """The left-hand version of a part: x turned round within its bounds."""
    from dataclasses import replace

    low, high = mesh.bounds
    vertices, normals = mesh.vertices.copy(), mesh.normals.copy()
    vertices[:, 0] = low[0] + high[0] - vertices[:, 0]
    normals[:, 0] *= -1
    return replace(mesh, vertices=vertices, normals=normals, faces=mesh.faces[:, ::-1].copy(), surfaces=())


def _spread(cases: Sequence[Case], count: int) -> list[Case]:
    return [cases[int(at)] for at in np.linspace(0, len(cases) - 1, max(count, 0)).round()] if cases else []
