"""What the button takes: bodies, faces, assemblies, links; and what it refuses before anything is sent."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from mfgviz.requests import View
from tests.hosts.freecad.conftest import Play
from workers.geometry.camera import make_camera
from workers.geometry.maps import control_maps
from workers.geometry.reading import read_mesh

LEAST_IOU = 0.98


def overlap(seen: dict[str, Any]) -> float:
    """How much of FreeCAD's silhouette is also that of the exported file in the view, and the other way."""
    mesh = read_mesh(Path(seen["step"]), "step")
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in seen["view"].items()}
    with Image.open(seen["picture"]) as shown:
        theirs = np.asarray(shown.convert("RGBA"))[..., 3] > 127
    height, width = theirs.shape
    maps = control_maps(mesh, make_camera(View(**given), mesh.vertices, width, height), width, height)
    ours = np.asarray(maps.mask) > 0.5
    return float((ours & theirs).sum() / (ours | theirs).sum())


def test_targets(play: Play) -> None:
    played = play("targets", connect="http://127.0.0.1:9/#token=mfgv_nobody")
    seen = played.seen
    check_refusals(seen["refused"])
    assert seen["identities"] == ["Plate1@A", "DOC-1@C", "OBJ - 1@C", "OBJ-2@D"]
    overlaps = {name: round(overlap(one), 4) for name, one in seen["targets"].items()}
    print("IoU", overlaps)
    assert min(overlaps.values()) >= LEAST_IOU, overlaps
    targets = seen["targets"]
    assert all(one["same_bytes"] for one in targets.values())
    assert targets["nothing"]["objects"] == ["Outer", "Copy", "Pair", "Cone"]
    assert targets["face of a body"]["objects"] == targets["body"]["objects"] == ["Housing"]
    assert targets["body in a link"]["objects"] == ["Housing"]
    assert targets["group"]["objects"] == ["Cone"]
    check_words(targets)
    # Colours per face travel in the file.
    step = Path(targets["body"]["step"]).read_text()
    assert len(re.findall(r"COLOUR_RGB\(|DRAUGHTING_PRE_DEFINED_COLOUR\(", step)) >= 3


def check_refusals(refused: dict[str, str]) -> None:
    expected = {
        "empty document": "no solids yet", "sketch alone": "is a sketch", "sketch selected": "is a sketch",
        "mesh selected": "is a mesh", "hidden": "Everything is hidden", "no material": "uses {material}",
        "part number": "Enter a part number", "different assemblies": "different assemblies",
    }  # fmt: skip
    assert refused.keys() == expected.keys()
    for name, words in expected.items():
        assert words in refused[name], refused


def check_words(targets: dict[str, Any]) -> None:
    assert targets["body"]["fields"] == {"material": "Aluminium 6061", "appearance": "blue and red"}
    assert targets["body"]["identity"] == "HSG-1@A"
    assert targets["link"]["identity"] == "Inner@A"
    assert targets["nothing"]["identity"] == "Gearbox@A"
