"""Taking in a bill of material: all lines of each parent in the file are replaced, all parents or none."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import delete, insert, select, text
from sqlalchemy.orm import Session

from mfgviz.bom.files import Complaints, FileLine
from mfgviz.errors import BomCycleError, UnknownBomPartError
from mfgviz.jobs.queries import IDS_AT_ONCE
from mfgviz.journal import door_of
from mfgviz.records import AuditEntry, BomLine, Part, PartRevision

T = TypeVar("T")
# Of our advisory locks, the one of all bills of material.
LOCK = 0x6D67 << 40

Edges = Mapping[int, Mapping[int, int | None]]  # parent's part, child's part, the file's line


@dataclass(frozen=True, slots=True)
class Imported:
    """What an import did: lines and parents in the file, and how many parents and lines it changed."""

    lines: int
    parents: int
    changed_parents: int
    added: int
    removed: int


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    parent_id: int
    parent_part: int
    child_part: int
    child_id: int | None
    quantity: float
    position: str


def lock(session: Session) -> None:
    """Let changes of bills of material, and what must not see half of one, pass one after the other. (SQLite
    has one writer anyway.)"""
    if session.get_bind().dialect.name == "postgresql":
        session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})


def import_lines(session: Session, lines: Sequence[FileLine], what: str, actor: str) -> Imported:
    """Give each parent in the file exactly its lines there; the same file again changes nothing.

    Raises:
        UnknownBomPartError: a line names a part or revision that there is not.
        BomCycleError: a part would contain itself, through lines of the file or through others.
    """
    lock(session)
    found = _resolve(session, lines, what)
    _check_cycles(session, found, what)
    by_parent: dict[int, list[_Line]] = {}
    for line in found:
        by_parent.setdefault(line.parent_id, []).append(line)
    names = {line.parent_id: file.parent for line, file in zip(found, lines, strict=True)}
    gone: list[int] = []
    new: list[_Line] = []
    audited: list[dict[str, Any]] = []
    for parent_id, before in _existing(session, by_parent):
        after = by_parent[parent_id]
        wanted = {(one.child_part, one.position, one.child_id, one.quantity): one for one in after}
        added = [one for key, one in wanted.items() if key not in before]
        removed = [row_id for key, row_id in before.items() if key not in wanted]
        if added or removed:
            gone += removed
            new += added
            told = {"lines": len(after), "added": len(added), "removed": len(removed), **door_of()}
            subject = names[parent_id]
            audited.append(
                {"actor": actor, "action": "bom.imported", "subject": subject[:256], "details": told}
            )
    _write(session, gone, new, actor)
    for chunk in chunks(audited):
        session.execute(insert(AuditEntry), chunk)
    return Imported(len(found), len(by_parent), len(audited), len(new), len(gone))


def chunks(values: Iterable[T], size: int = IDS_AT_ONCE) -> Iterator[list[T]]:
    """The values in lists that a statement can hold."""
    whole = list(values)
    for at in range(0, len(whole), size):
        yield whole[at : at + size]


def _resolve(session: Session, lines: Sequence[FileLine], what: str) -> list[_Line]:
    """The lines with ids for names. Raises UnknownBomPartError."""
    pairs = [(line.parent.split("@"), line.child.partition("@")) for line in lines]
    parts = part_ids(session, {parent[0] for parent, _ in pairs} | {child[0] for _, child in pairs})
    named = {parts[parent[0]] for parent, _ in pairs if parent[0] in parts}
    named |= {parts[child[0]] for _, child in pairs if child[1] and child[0] in parts}
    revisions = _revision_ids(session, named)
    complaints, found = Complaints(what), list[_Line]()

    def revision(number: int, part: str, label: str) -> int:
        part_id = parts.get(part)
        known = revisions.get((part_id, label)) if part_id is not None else None
        if part_id is None:
            complaints.add(UnknownBomPartError, number, f"there is no part {part!r}.")
        elif known is None:
            complaints.add(UnknownBomPartError, number, f"part {part} has no revision {label!r}.")
        return known or 0

    for line, ((parent, label), (child, at, pinned)) in zip(lines, pairs, strict=True):
        parent_id = revision(line.number, parent, label)
        child_id = revision(line.number, child, pinned) if at else None
        if child not in parts and not at:
            complaints.add(UnknownBomPartError, line.number, f"there is no part {child!r}.")
        elif parent_id and child_id != 0:
            ids = (parent_id, parts[parent], parts[child], child_id)
            found.append(_Line(line.number, *ids, line.quantity, line.position))
    complaints.raise_if_any()
    return found


def part_ids(session: Session, numbers: Collection[str]) -> dict[str, int]:
    """Those of the part numbers that are there, with their ids."""
    found: dict[str, int] = {}
    for chunk in chunks(numbers):
        found |= {row.number: row.id for row in session.execute(
            select(Part.number, Part.id).where(Part.number.in_(chunk)))}  # fmt: skip
    return found


def _revision_ids(session: Session, parts: Collection[int]) -> dict[tuple[int, str], int]:
    found: dict[tuple[int, str], int] = {}
    for chunk in chunks(parts):
        query = select(PartRevision.part_id, PartRevision.label, PartRevision.id)
        rows = session.execute(query.where(PartRevision.part_id.in_(chunk)))
        found |= {(row.part_id, row.label): row.id for row in rows}
    return found


def _existing(
    session: Session, parents: Collection[int]
) -> Iterator[tuple[int, dict[tuple[int, str, int | None, float], int]]]:
    """What each parent has now: its lines, and their ids."""
    for chunk in chunks(parents):
        found: dict[int, dict[tuple[int, str, int | None, float], int]] = {one: {} for one in chunk}
        query = select(
            BomLine.parent_id, BomLine.child_part_id, BomLine.position, BomLine.child_id, BomLine.quantity,
            BomLine.id,
        )  # fmt: skip
        for row in session.execute(query.where(BomLine.parent_id.in_(chunk))):
            key = (row.child_part_id, row.position, row.child_id, row.quantity)
            found[row.parent_id][key] = row.id
        yield from found.items()


def _write(session: Session, gone: list[int], new: list[_Line], actor: str) -> None:
    for chunk in chunks(gone):
        statement = delete(BomLine).where(BomLine.id.in_(chunk))
        session.execute(statement.execution_options(synchronize_session=False))
    rows = (
        {
            "parent_id": one.parent_id,
            "child_part_id": one.child_part,
            "child_id": one.child_id,
            "quantity": one.quantity,
            "position": one.position,
            "created_by": actor,
        }
        for one in new
    )
    for part in chunks(rows):
        session.execute(insert(BomLine), part)


# -- cycles -------------------------------------------------------------------------------------------------
def _check_cycles(session: Session, lines: Sequence[_Line], what: str) -> None:
    """Raises BomCycleError where a part would contain itself, in whichever of its revisions."""
    edges: dict[int, dict[int, int | None]] = {}
    for line in lines:
        edges.setdefault(line.parent_part, {}).setdefault(line.child_part, line.number)
    _add_other_lines(session, edges, {line.parent_id for line in lines})
    cycle = find_cycle(edges)
    if cycle is None:
        return
    names: dict[int, str] = {}
    for chunk in chunks(cycle):
        names |= {row.id: row.number for row in session.execute(
            select(Part.id, Part.number).where(Part.id.in_(chunk)))}  # fmt: skip
    steps = list(zip(cycle, [*cycle[1:], cycle[0]], strict=True))
    number = min(at for step in steps if (at := edges[step[0]][step[1]]) is not None)
    path = [names[one] for one in [*cycle, cycle[0]]]
    shown = path if len(path) <= 14 else [*path[:7], f"({len(path) - 14} more)", *path[-7:]]
    raise BomCycleError(f"{what}, line {number}: a part would contain itself: {' → '.join(shown)}.")


def _add_other_lines(session: Session, edges: dict[int, dict[int, int | None]], replaced: set[int]) -> None:
    """Add the lines that stay, of all parts that can be reached from those in the file."""
    seen: set[int] = set()
    ahead = set(edges) | {child for below in edges.values() for child in below}
    while ahead:
        seen |= ahead
        reached: set[int] = set()
        for chunk in chunks(ahead):
            query = (
                select(PartRevision.part_id, BomLine.parent_id, BomLine.child_part_id)
                .join(BomLine, BomLine.parent_id == PartRevision.id)
                .where(PartRevision.part_id.in_(chunk))
            )
            for part_id, parent_id, child in session.execute(query):
                if parent_id not in replaced:
                    edges.setdefault(part_id, {}).setdefault(child, None)
                    reached.add(child)
        ahead = reached - seen


def find_cycle(edges: Edges) -> list[int] | None:
    """The nodes of a cycle, each followed by the next and the last by the first; None where there is none.

    Depth first, in time linear in nodes and edges (Cormen et al., 22.3), on a stack of our own.
    """
    done: set[int] = set()
    for start in edges:
        if start in done:
            continue
        path, on_path = [start], {start}
        stack = [iter(edges[start])]
        while stack:
            child = next(stack[-1], None)
            if child is None:
                stack.pop()
                left = path.pop()
                on_path.discard(left)
                done.add(left)
            elif child in on_path:
                return path[path.index(child) :]
            elif child not in done:
                path.append(child)
                on_path.add(child)
                stack.append(iter(edges.get(child, ())))
    return None
