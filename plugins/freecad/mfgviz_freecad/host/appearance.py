"""Material and colours of an object, as words for the prompt."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Any

from ..core.colours import appearance

FACES_LOOKED_AT = 400
UNNAMED = ("", "default", "none", "unknown")


def fields_of(objects: list[Any]) -> dict[str, str]:
    """`material` and `appearance`; a field without a value is not there."""
    found: dict[str, str] = {}
    materials = list(dict.fromkeys(name for one in objects if (name := material_name(one))))
    if materials:
        found["material"] = " and ".join(materials[:3])
    colours = itertools.islice(itertools.chain.from_iterable(map(_colours, objects)), FACES_LOOKED_AT)
    if looks := appearance(colours):
        found["appearance"] = looks
    return found


def material_name(thing: Any) -> str:
    """The material set at the object: a text, a FreeCAD material, or a link to a material object."""
    linked = thing.getLinkedObject(True) or thing
    for name in ("ShapeMaterial", "Material", "material"):
        if words := _words(getattr(linked, name, None)):
            return words
    return ""


def _words(material: Any) -> str:
    for _ in range(3):  # a link to an object whose Material is a dict
        if material is None or isinstance(material, str):
            break
        if isinstance(material, dict):
            material = material.get("CardName") or material.get("Name") or ""
        else:
            material = getattr(material, "Material", None) or getattr(material, "Name", None)
    text = material if isinstance(material, str) else ""
    text = re.sub(r"[-_]+", " ", re.sub(r"\.FCMat$", "", text)).strip()
    return "" if text.lower() in UNNAMED else text


def _colours(thing: Any) -> Iterator[tuple[float, float, float]]:
    children = getattr(thing, "Group", None) or getattr(thing, "ElementList", None)
    if thing.isDerivedFrom("App::Part") or (children and not hasattr(thing, "Shape")):
        for one in children or []:
            if one.ViewObject is not None and one.ViewObject.Visibility:
                yield from _colours(one)
        return
    linked = thing.getLinkedObject(True) or thing
    if linked is not thing and (linked.isDerivedFrom("App::Part") or not hasattr(linked, "Shape")):
        yield from _colours(linked)
        return
    if linked.isDerivedFrom("PartDesign::Body") and linked.Tip is not None:
        linked = linked.Tip  # what is shown of a body
    view = linked.ViewObject
    if view is None or not hasattr(linked, "Shape"):
        return
    for one in getattr(view, "ShapeAppearance", None) or ():  # FreeCAD 1.0 and later
        yield tuple(one.DiffuseColor[:3])
    if not hasattr(view, "ShapeAppearance"):
        colours = getattr(view, "DiffuseColor", None) or [getattr(view, "ShapeColor", (0.8, 0.8, 0.8))]
        for one in colours:
            yield tuple(one[:3])
