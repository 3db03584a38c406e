"""mfgviz inside FreeCAD: press Render, get a picture of this part revision.

`core` is plain Python, `net` and `ui` add the host's Qt, `host` alone imports FreeCAD.
"""

from __future__ import annotations

from pathlib import Path

__version__ = "0.1.0"

RESOURCES = Path(__file__).resolve().parent / "resources"
