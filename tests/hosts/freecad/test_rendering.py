"""The main thing: a button is pressed in FreeCAD, and the render hangs on the right revision."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.hosts.freecad.conftest import SAMPLE, Play, Service

# How OpenCASCADE 7.6 reads the sample: its shell does not quite close.
NOTE = "“Motor bracket” has no solid: its surfaces are sent."
VIEWS = [
    ("Orthographic", "viewIsometric", (1680, 1000)),
    ("Perspective", "viewIsometric", (1680, 1000)),
    ("Perspective", "viewDimetric", (1000, 1040)),
    ("Orthographic", "viewTrimetric", (1000, 1040)),
]


def test_render(play: Play, service: Service) -> None:
    played = play("render", connect=service.connect, file=str(SAMPLE), views=VIEWS, note=NOTE)
    import json; print(json.dumps(played.seen)[:3000], played.gaps, played.log[-1500:])
