"""Which part revision an object is: read from where designers write it, remembered in the document."""

from __future__ import annotations

import re
from typing import Any

from ..core.state import Origin
from ..core.wishes import Identity

NUMBER_PROPERTIES = ("PartNumber", "Part_Number", "PartNo", "ItemNumber", "DrawingNumber", "Number")
REVISION_PROPERTIES = ("Revision", "PartRevision", "Part_Revision", "Rev", "RevisionLabel")
META_NUMBER = ("mfgviz.part_number", "PartNumber", "part_number", "Part Number", "number")
META_REVISION = ("mfgviz.revision", "Revision", "revision", "Rev")
PLM_GROUPS = ("PLM", "Metadata", "BOM")
FIRST_REVISION = "A"

_UNFIT = re.compile(r"[@/\\\x00-\x1f\x7f-\x9f]+")


def identity_of(document: Any, owner: Any) -> Identity:
    """Properties of the object first, then the document's, then the file's name; else revision A."""
    meta = dict(document.Meta)
    source = _properties_of(owner)
    number = _first(source, NUMBER_PROPERTIES) or _first(meta, META_NUMBER) or _part_id(owner)
    revision = _first(source, REVISION_PROPERTIES) or _first(meta, META_REVISION)
    return Identity(_fit(number or _guess(document, owner)), _fit(revision or FIRST_REVISION))


def remember(document: Any, owner: Any, identity: Identity) -> bool:
    """Write it where it was read from, else into the document's properties; whether anything changed.

    In a document of several parts each object has its own.
    """
    if identity_of(document, owner) == identity:
        return False
    document.openTransaction("mfgviz")
    source = _properties_of(owner)
    for name, value, names in (
        ("PartNumber", identity.number, NUMBER_PROPERTIES),
        ("Revision", identity.revision, REVISION_PROPERTIES),
    ):
        held = next((one for one in names if one in source), None)
        if held is not None:
            setattr(_real(owner), held, value)
        elif owner is not None and _has_siblings(document):
            real = _real(owner)
            real.addProperty("App::PropertyString", name, "PLM")
            setattr(real, name, value)
        else:
            key = META_NUMBER[0] if name == "PartNumber" else META_REVISION[0]
            document.Meta = {**dict(document.Meta), key: value}
    document.commitTransaction()
    return True


def plm_attributes(owner: Any) -> dict[str, Any]:
    """Further texts and numbers that PLM add-ons keep at the object."""
    if owner is None:
        return {}
    real = _real(owner)
    found: dict[str, Any] = {}
    for name in real.PropertiesList:
        if real.getGroupOfProperty(name) in PLM_GROUPS and name not in (
            *NUMBER_PROPERTIES,
            *REVISION_PROPERTIES,
        ):
            value = getattr(real, name)
            if isinstance(value, (str, int, float)) and value != "" and name.isidentifier():
                found[name.lower()] = value
    return found


def name_of(document: Any, owner: Any) -> str:
    """What people call the part."""
    label = str(_real(owner).Label) if owner is not None else ""
    plain = re.fullmatch(r"(Body|Part|Box|Assembly|Solid|Link|Compound)\d*", label)
    return str(document.Label) if not label or plain else label


def origin_of(document: Any, owner: Any) -> Origin:
    """Where a request comes from."""
    return Origin(
        document.FileName, str(document.Uid), document.Label, owner.Name if owner is not None else ""
    )


def _real(owner: Any) -> Any:
    linked = owner.getLinkedObject(True)
    return owner if linked is None else linked


def _properties_of(owner: Any) -> dict[str, Any]:
    if owner is None:
        return {}
    real = _real(owner)
    names = {*NUMBER_PROPERTIES, *REVISION_PROPERTIES}
    return {name: getattr(real, name) for name in real.PropertiesList if name in names}


def _first(held: dict[str, Any], names: tuple[str, ...]) -> str:
    return next((str(held[name]).strip() for name in names if str(held.get(name, "")).strip()), "")


def _part_id(owner: Any) -> str:
    """App::Part has a number of its own: `Id`."""
    return str(getattr(_real(owner), "Id", "") or "").strip() if owner is not None else ""


def _has_siblings(document: Any) -> bool:
    kinds = ("PartDesign::Body", "App::Part")
    return sum(any(map(one.isDerivedFrom, kinds)) for one in document.Objects) > 1


def _guess(document: Any, owner: Any) -> str:
    if owner is not None and _has_siblings(document) and name_of(document, owner) != document.Label:
        return str(_real(owner).Label)
    return str(document.Label)


def _fit(word: str) -> str:
    return _UNFIT.sub("-", word).strip()[:128] or "PART"
