"""What *Render* means here: which objects, and where the exported coordinates lie in the document.

FreeCAD exports a single object in its own coordinates (its placement is dropped), several objects
with their own placements (those of the containers around them are dropped). `frame` is what was
dropped: the camera is moved by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import FreeCAD
import FreeCADGui
import Part

from ..i18n import tr

BODY = "PartDesign::Body"
GROUPS = ("App::DocumentObjectGroup", "App::DocumentObjectGroupPython")
NO_PART = ("App::Origin", "App::OriginFeature", "Sketcher::SketchObject", "Spreadsheet::Sheet")


class NothingToRender(Exception):  # noqa: N818 - it is an answer, not a failure
    """Nothing was sent; the message says what to select."""


@dataclass
class Target:
    """What is exported. `owner` is the object whose properties name the part."""

    objects: list[Any]
    frame: Any
    owner: Any
    title: str


@dataclass
class _Chosen:
    """One object, and the placement of what is around it."""

    thing: Any
    around: Any

    @property
    def key(self) -> tuple[str, str, str]:
        """Equal for the same object in the same place."""
        around = ",".join(f"{one:.6f}" for one in self.around.toMatrix().A)
        return (self.thing.Document.Name, self.thing.Name, around)


def choose(document: Any) -> Target:
    """What would be rendered now. Raises NothingToRender."""
    if document is None:
        raise NothingToRender(tr("Open a document with a part to render."))
    chosen = _selected(document) or _active(document) or _visible(document)
    return _together(chosen)


def check(target: Target) -> str:
    """A word about the target, empty if there is nothing to say. Raises NothingToRender without a shape."""
    shapes = [Part.getShape(one) for one in target.objects]
    if all(shape.isNull() for shape in shapes):
        raise NothingToRender(
            tr("“{title}” has no shape. Recompute the document, or select a body.", title=target.title)
        )
    if any(
        shape.Solids or any(shell.isClosed() for shell in shape.Shells)
        for shape in shapes
        if not shape.isNull()
    ):
        return ""
    if any(shape.Faces for shape in shapes if not shape.isNull()):
        return tr("“{title}” has no solid: its surfaces are sent.", title=target.title)
    raise NothingToRender(
        tr("“{title}” has neither solids nor surfaces. Select a body or a part.", title=target.title)
    )


# -- what is selected --------------------------------------------------------------------------------------
def _selected(document: Any) -> list[_Chosen]:
    found: dict[tuple[str, str, str], _Chosen] = {}
    refused: list[Any] = []
    for one in FreeCADGui.Selection.getSelectionEx(document.Name, 0):
        for path in one.SubElementNames or ("",):
            chain = _chain(one.Object, path)
            for chosen in _renderable(chain):
                found[chosen.key] = chosen
                break
            else:
                refused.append(chain[-1].thing)
    if refused and not found:
        raise NothingToRender(_refusal(refused[0]))
    return list(found.values())


def _chain(root: Any, path: str) -> list[_Chosen]:
    """The objects along a selection's path, each with the placement around it."""
    chain = [_Chosen(root, FreeCAD.Placement())]
    parts = path.split(".")
    for end in range(1, len(parts)):
        prefix = ".".join(parts[:end]) + "."
        thing = root.getSubObject(prefix, retType=1)
        placed = root.getSubObject(prefix, retType=3)
        if thing is None or placed is None:
            break
        chain.append(_Chosen(thing, placed.multiply(_own_placement(thing).inverse())))
    return chain


def _renderable(chain: list[_Chosen]) -> list[_Chosen]:
    """The body that the selection is in, else what is selected itself."""
    for one in chain:
        if _linked(one.thing).isDerivedFrom(BODY):
            return [one]
    last = chain[-1].thing
    parent = _body_around(last)
    if parent is not None:
        around = (
            chain[-2].around
            if len(chain) > 1
            else parent.getGlobalPlacement().multiply(parent.Placement.inverse())
        )
        return [_Chosen(parent, around)]
    if len(chain) == 1 and _is_renderable(last):
        return [_Chosen(last, _around(last))]
    return [chain[-1]] if _is_renderable(last) else []


def _body_around(thing: Any) -> Any:
    parent = thing.getParentGeoFeatureGroup() if hasattr(thing, "getParentGeoFeatureGroup") else None
    return parent if parent is not None and parent.isDerivedFrom(BODY) else None


# -- nothing is selected -----------------------------------------------------------------------------------
def _active(document: Any) -> list[_Chosen]:
    """The active body or part of the 3D view."""
    view = view_of(document)
    for key in ("pdbody", "part") if view is not None else ():
        thing = view.getActiveObject(key)
        if thing is not None and thing.Document is document and _is_renderable(thing):
            return [_Chosen(thing, _around(thing))]
    return []


def _visible(document: Any) -> list[_Chosen]:
    """All that is seen at the top of the tree."""
    found = [
        _Chosen(one, FreeCAD.Placement()) for one in _leaves(document.RootObjects) if _is_renderable(one)
    ]
    seen = [one for one in found if _is_visible(one.thing)]
    if seen:
        return seen
    if found:
        raise NothingToRender(tr("Everything is hidden. Show the part, or select it."))
    meshes = [one for one in document.Objects if one.isDerivedFrom("Mesh::Feature")]
    sketches = [one for one in document.Objects if one.isDerivedFrom("Sketcher::SketchObject")]
    for one in (*meshes[:1], *sketches[:1]):
        raise NothingToRender(_refusal(one))
    raise NothingToRender(tr("The document has no solids yet. Make a body, or open a part."))


def _leaves(things: list[Any]) -> list[Any]:
    """Groups are folders: what is in them counts."""
    found: list[Any] = []
    for one in things:
        if one.TypeId in GROUPS:
            found.extend(_leaves(one.Group))
        else:
            found.append(one)
    return found


# -- several -----------------------------------------------------------------------------------------------
def _together(chosen: list[_Chosen]) -> Target:
    flat = [
        _Chosen(leaf, one.around)
        for one in chosen
        for leaf in _leaves([one.thing])
        if leaf is one.thing or (_is_renderable(leaf) and _is_visible(leaf))
    ]
    if not flat:
        raise NothingToRender(tr("The group is empty. Select a body or a part."))
    if len(flat) == 1:
        one = flat[0]
        frame = one.around.multiply(_own_placement(one.thing))
        return Target([one.thing], frame, one.thing, one.thing.Label)
    if any(not _same(one.around, flat[0].around) for one in flat):
        raise NothingToRender(
            tr("These objects lie in different assemblies. Select one of them, or the assembly around them.")
        )
    labels = [one.thing.Label for one in flat]
    shown = ", ".join(labels[:2]) + (" …" if len(labels) > 2 else "")
    title = tr("{count} objects: {names}", count=len(flat), names=shown)
    return Target([one.thing for one in flat], flat[0].around, None, title)


def _same(one: Any, other: Any) -> bool:
    """Two placements but for rounding (mm, and cosines)."""
    return all(abs(a - b) < 1e-6 for a, b in zip(one.toMatrix().A, other.toMatrix().A))


# -- one object --------------------------------------------------------------------------------------------
def _is_renderable(thing: Any) -> bool:
    if thing.TypeId in GROUPS:
        return True
    linked = _linked(thing)
    if any(linked.isDerivedFrom(kind) for kind in NO_PART) or linked.isDerivedFrom("Mesh::Feature"):
        return False
    held = (
        getattr(thing, "Group", None)
        if thing.isDerivedFrom("App::Part")
        else getattr(thing, "ElementList", None)
    )
    if held or thing.isDerivedFrom("App::Part"):
        return any(map(_is_renderable, held or []))
    if linked is not thing:
        return _is_renderable(linked)
    return hasattr(linked, "Shape") and hasattr(linked, "Placement") and not _is_datum(linked)


def _is_datum(thing: Any) -> bool:
    return any(
        thing.isDerivedFrom(kind)
        for kind in ("Part::Datum", "PartDesign::CoordinateSystem", "Part::Part2DObject")
    )


def _is_visible(thing: Any) -> bool:
    view = thing.ViewObject
    return bool(thing.Visibility if view is None else view.Visibility)


def _linked(thing: Any) -> Any:
    linked = thing.getLinkedObject(True)
    return thing if linked is None else linked


def _own_placement(thing: Any) -> Any:
    for name in ("LinkPlacement", "Placement"):
        if hasattr(thing, name):
            return getattr(thing, name)
    return FreeCAD.Placement()


def _around(thing: Any) -> Any:
    """The placement of the containers around an object that is reached without a path."""
    if hasattr(thing, "getGlobalPlacement"):
        return thing.getGlobalPlacement().multiply(_own_placement(thing).inverse())
    parent = thing.getParentGeoFeatureGroup()
    return FreeCAD.Placement() if parent is None else parent.getGlobalPlacement()


def _refusal(thing: Any) -> str:
    label = thing.Label
    if thing.isDerivedFrom("Sketcher::SketchObject") or thing.isDerivedFrom("Part::Part2DObject"):
        return tr("“{label}” is a sketch. Pad or revolve it, or select a body.", label=label)
    if thing.isDerivedFrom("Mesh::Feature"):
        return tr(
            "“{label}” is a mesh. Make a solid of it first (Part → Create shape from mesh).", label=label
        )
    return tr("“{label}” has no solid to render. Select a body or a part.", label=label)


def view_of(document: Any) -> Any:
    """The 3D view of a document that was used last, or None."""
    gui = FreeCADGui.getDocument(document.Name)
    active = gui.activeView() if hasattr(gui, "activeView") else gui.ActiveView
    if active is not None and hasattr(active, "getCameraNode"):
        return active
    views = gui.mdiViewsOfType("Gui::View3DInventor") if hasattr(gui, "mdiViewsOfType") else []
    return views[0] if views else None
