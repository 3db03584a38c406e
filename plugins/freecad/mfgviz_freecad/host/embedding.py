"""A render inside the document: it travels with the file."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

PICTURE, RECORD = "MfgvizRender", "MfgvizRenderRecord"
GROUP = "mfgviz"


def embed(document: Any, owner: Any, render: Mapping[str, Any], png: bytes) -> Any:
    """Put the picture and what it is of at the object; the object. One step for undo."""
    thing = owner if owner is not None else _holder(document)
    document.openTransaction("mfgviz: embed render")
    if PICTURE not in thing.PropertiesList:
        thing.addProperty("App::PropertyFileIncluded", PICTURE, GROUP, "Render of this part revision")
    if RECORD not in thing.PropertiesList:
        thing.addProperty("App::PropertyString", RECORD, GROUP, "What the render is of")
    with tempfile.TemporaryDirectory(prefix="mfgviz-") as folder:
        name = re.sub(r"[^A-Za-z0-9._-]+", "_", f"{render['revision']}_{render['id']}.png")
        path = Path(folder) / name
        path.write_bytes(png)
        setattr(thing, PICTURE, str(path))
    kept = {
        key: render.get(key) for key in ("id", "revision", "job", "seed", "prompt", "model", "created_at")
    }
    setattr(thing, RECORD, json.dumps(kept, ensure_ascii=False))
    document.commitTransaction()
    return thing


def _holder(document: Any) -> Any:
    """Renders of several objects together hang on an object of their own."""
    found = document.getObject("MfgvizRenders")
    if found is None:
        found = document.addObject("App::FeaturePython", "MfgvizRenders")
        found.Label = "mfgviz renders"
    return found
