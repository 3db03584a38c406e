"""Parts with revisions and bills of material in short words, and an oracle in plain Python beside them."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select, text
from sqlalchemy.orm import Session

from mfgviz import bom, catalog
from mfgviz.catalog import GeometryFacts, NewPart, StoredFile
from mfgviz.database import Database
from mfgviz.records import Part, PartRevision
from mfgviz.vocabulary import LifecycleState

Line = tuple[str, str, float]
TABLES = (
    "batch_items, attempts, renditions, render_jobs, batches, bom_lines, events, audit_entries, "
    "part_revisions, geometries, parts"
)


def wipe(db: Database) -> None:
    """An empty database: for the examples of a property, which share one."""
    with db.begin() as session:
        if db.is_sqlite:
            for table in TABLES.split(", "):
                session.execute(text(f"DELETE FROM {table}"))
        else:
            session.execute(text(f"TRUNCATE {TABLES} CASCADE"))


def shape_of(letter: str) -> tuple[str, str]:
    """A file's digest and a shape's, for a letter; `a` and `a'` are two files of one shape."""
    digest = f"{ord(letter[0]):02x}{'27' if letter.endswith(chr(39)) else '00'}" * 16
    return digest, f"shape {letter[0]}"


def add(session: Session, reference: str, shape: str | None = None, state: str = "in_work") -> PartRevision:
    """A revision, its part where there is none, and a CAD file of that shape that was read."""
    number, _, label = reference.partition("@")
    if session.scalar(select(Part.id).where(Part.number == number)) is None:
        catalog.add_part(session, NewPart(number), "ann")
    revision = catalog.add_revision(session, number, label, "ann")
    if shape is not None:
        digest, shape_digest = shape_of(shape)
        geometry = catalog.attach_geometry(session, revision, StoredFile(digest, 10, "p.step"), "ann")
        catalog.note_facts(geometry, GeometryFacts("step", shape_digest, {}))
    if state != "in_work":
        catalog.set_lifecycle_state(session, revision, LifecycleState(state), "ann")
    session.flush()
    return revision


def as_csv(lines: Iterable[Line]) -> bytes:
    """Lines as a file."""
    return "\n".join(["parent,child,quantity", *(f"{p},{c},{q:g}" for p, c, q in lines)]).encode()


def take(session: Session, lines: Iterable[Line]) -> bom.Imported:
    """Import lines."""
    return bom.import_lines(session, bom.read_lines(as_csv(lines), "bom.csv"), "bom.csv", "ann")
