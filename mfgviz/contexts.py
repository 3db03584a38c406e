"""What a filter sees of a part revision, and of an event that happened to it; what the database can look up
of it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ColumnElement, type_coerce
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session

from mfgviz.filters import Context, Filter
from mfgviz.records import Event, Part, PartRevision


def context_of(revision: PartRevision) -> dict[str, Any]:
    """The fields of a revision whose part and geometry are loaded, by their whole names."""
    part, geometry = revision.part, revision.geometry
    return {
        "part.number": part.number,
        "part.name": part.name,
        "part.created_by": part.created_by,
        "part.attributes": part.attributes,
        "revision.reference": revision.reference,
        "revision.label": revision.label,
        "revision.state": revision.state,
        "revision.source_state": revision.source_state,
        "revision.iteration": revision.iteration,
        "revision.created_by": revision.created_by,
        "revision.attributes": revision.attributes,
        "geometry.format": geometry.format if geometry else None,
        "geometry.file_name": geometry.file_name if geometry else None,
        "geometry.size_bytes": geometry.size_bytes if geometry else None,
        "geometry.facts": geometry.facts if geometry else {},
    }


def context_of_event(event: Event) -> Context:
    """The fields of an event and of the revision that it is about."""
    about = context_of(event.revision) if event.revision is not None else {}
    return {**about, "event.kind": event.kind, "event.actor": event.actor, "event.payload": event.payload}


def of_parts(session: Session, wanted: Filter) -> list[ColumnElement[bool]]:
    """What must hold of a part wherever the filter does and the database has an index for, so that not every
    part needs to be read. The filter itself still decides: this is less than it says."""
    has_index = session.get_bind().dialect.name == "postgresql"
    found: list[ColumnElement[bool]] = []
    for one in wanted.equalities:
        stem, _, leaf = one.field.rpartition(".")
        if one.field == "part.number" and isinstance(one.value, str):
            found.append(Part.number == one.value)
        # Numbers are left to the filter: Python and the database round them in two ways.
        elif has_index and stem == "part.attributes" and isinstance(one.value, str | bool):
            found.append(type_coerce(Part.attributes, JSONB).contains({leaf: one.value}))
    return found
