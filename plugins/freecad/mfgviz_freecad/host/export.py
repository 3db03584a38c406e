"""The part as a STEP file with the colours of its faces, the same bytes for the same shape."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import FreeCAD

from ..core.stepfile import normalise_file

STEP_PARAMETERS = "User parameter:BaseApp/Preferences/Mod/Import/hSTEP"
IMPORT_PARAMETERS = "User parameter:BaseApp/Preferences/Mod/Import"
# What is hidden is not in the picture; placements are handled by the camera.
NEEDED = (
    (STEP_PARAMETERS, "ExportHiddenObject", False),
    (STEP_PARAMETERS, "ExportKeepPlacement", False),
    (IMPORT_PARAMETERS, "ExportLegacy", False),
)


class ExportError(Exception):
    """FreeCAD could not write the file."""


def export_step(objects: list[Any], target: Path) -> str:
    """Write the objects to that file; its hex SHA-256. Raises ExportError."""
    import ImportGui  # Import.export loses the colours

    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="mfgviz-") as folder, _needed_preferences(), _shown_colours(
        objects
    ):
        written = Path(folder) / "part.step"
        try:
            ImportGui.export(objects, str(written))
            digest = normalise_file(written)
        except Exception as error:
            raise ExportError(str(error) or type(error).__name__) from error
        target.write_bytes(written.read_bytes())
        target.chmod(0o600)
    return digest


@contextlib.contextmanager
def _needed_preferences() -> Iterator[None]:
    """The person's own export preferences are back after the block."""
    before = []
    for path, name, value in NEEDED:
        group = FreeCAD.ParamGet(path)
        before.append((group, name, group.GetBool(name, True), name in group.GetBools()))
        group.SetBool(name, value)
    try:
        yield
    finally:
        for group, name, value, was_set in before:
            if was_set:
                group.SetBool(name, value)
            else:
                group.RemBool(name)


@contextlib.contextmanager
def _shown_colours(objects: list[Any]) -> Iterator[None]:
    """Bodies have the colours of what is shown of them (their tip) for the length of the block.

    The 3D view shows the tip with the colours of its faces; the export takes the body's own. The document
    does not count as modified by that.
    """
    changed = []
    for body in bodies_in(objects):
        name = "ShapeAppearance" if hasattr(body.ViewObject, "ShapeAppearance") else "DiffuseColor"
        own, shown = getattr(body.ViewObject, name), getattr(body.Tip.ViewObject, name, None)
        if shown and list(own) != list(shown):
            changed.append((body.ViewObject, name, own))
            body.ViewObject.setPropertyStatus(name, "NoModify")
            setattr(body.ViewObject, name, shown)
    try:
        yield
    finally:
        for view, name, own in changed:
            setattr(view, name, own)
            view.setPropertyStatus(name, "-NoModify")


def bodies_in(objects: list[Any]) -> list[Any]:
    """Every body with a tip in these objects, in what they hold and in what they link to, each once."""
    found: dict[tuple[str, str], Any] = {}
    seen: set[tuple[str, str]] = set()
    waiting = list(objects)
    while waiting:
        thing = waiting.pop()
        thing = thing.getLinkedObject(True) or thing
        key = (thing.Document.Name, thing.Name)
        if key in seen:
            continue
        seen.add(key)
        if thing.isDerivedFrom("PartDesign::Body"):
            if thing.Tip is not None and thing.Tip.ViewObject is not None and thing.ViewObject is not None:
                found[key] = thing
        else:
            waiting.extend(
                [*(getattr(thing, "Group", None) or []), *(getattr(thing, "ElementList", None) or [])]
            )
    return list(found.values())
