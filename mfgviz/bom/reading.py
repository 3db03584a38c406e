"""Reading bills of material: downwards what a revision is made of, upwards where a part is used."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    CTE,
    BindParameter,
    ColumnElement,
    Select,
    and_,
    bindparam,
    case,
    null,
    or_,
    select,
    true,
    union_all,
)
from sqlalchemy.orm import Session, aliased

from mfgviz.bom.intake import chunks
from mfgviz.records import BomLine, Part, PartRevision
from mfgviz.vocabulary import LifecycleState

Value = int | BindParameter[int]
# A part in many places below a revision is shown in each of them: trees have an end.
MAX_TREE_ROWS = 5_000


@dataclass(frozen=True, slots=True)
class Current:
    """A part's current revision."""

    id: int
    label: str
    state: str


@dataclass(frozen=True, slots=True)
class Child:
    """A line as it stands now: which revision it means, None where its part has none."""

    part_id: int
    part: str
    revision: Current | None
    pinned: bool
    quantity: float
    position: str

    @property
    def reference(self) -> str:
        """`NUMBER@LABEL`, or the number alone where there is no revision."""
        return f"{self.part}@{self.revision.label}" if self.revision else self.part


@dataclass(frozen=True, slots=True)
class TreeRow:
    """A line in a tree; `total` of it are in one of the tree's root, at this place."""

    level: int
    child: Child
    total: float


@dataclass(frozen=True, slots=True)
class Use:
    """A revision that something is in: `total` of it, over all ways, the shortest of `level` lines."""

    revision_id: int
    reference: str
    state: str
    level: int
    total: float


# -- which revision --------------------------------------------------------------------------------------
def current_revisions(session: Session, part_ids: Collection[int]) -> dict[int, Current]:
    """The current revision of each part that has revisions."""
    found: dict[int, tuple[tuple[int, int], Current]] = {}
    for chunk in chunks(set(part_ids)):
        query = select(PartRevision.part_id, PartRevision.id, PartRevision.label, PartRevision.state)
        for row in session.execute(query.where(PartRevision.part_id.in_(chunk))):
            rank = (_RANKS.get(row.state, 1), row.id)
            if row.part_id not in found or rank > found[row.part_id][0]:
                found[row.part_id] = (rank, Current(row.id, row.label, row.state))
    return {part_id: current for part_id, (_, current) in found.items()}


_RANKS = {LifecycleState.RELEASED.value: 2, LifecycleState.OBSOLETE.value: 0}


def _is_current(revision: type[PartRevision]) -> ColumnElement[bool]:
    """The same, for a query: whether it is the current one of its part."""
    other = aliased(PartRevision)
    rank = case(_RANKS, value=other.state, else_=1)
    first = (
        select(other.id)
        .where(other.part_id == revision.part_id)
        .order_by(rank.desc(), other.id.desc())
        .limit(1)
        .scalar_subquery()
    )
    return revision.id == first


# -- downwards -------------------------------------------------------------------------------------------
def contents(session: Session, roots: Iterable[int]) -> dict[int, list[Child]]:
    """The lines of each revision that can be reached from the roots, by position and part."""
    found: dict[int, list[Child]] = {}
    ahead = set(roots)
    while ahead:
        found |= {revision_id: [] for revision_id in ahead}
        rows: list[Any] = []
        for chunk in chunks(ahead):
            query = (
                select(
                    BomLine.parent_id, BomLine.child_part_id, BomLine.quantity, BomLine.position, Part.number,
                    PartRevision.id, PartRevision.label, PartRevision.state,
                )
                .join(Part, Part.id == BomLine.child_part_id)
                .outerjoin(PartRevision, PartRevision.id == BomLine.child_id)
                .where(BomLine.parent_id.in_(chunk))
                .order_by(BomLine.position, Part.number)
            )  # fmt: skip
            rows += session.execute(query).all()
        current = current_revisions(session, {row.child_part_id for row in rows if row.id is None})
        for row in rows:
            pinned = None if row.id is None else Current(row.id, row.label, row.state)
            meant = pinned or current.get(row.child_part_id)
            line = (row.child_part_id, row.number, meant, pinned is not None, row.quantity, row.position)
            found[row.parent_id].append(Child(*line))
        ahead = {
            child.revision.id for one in ahead for child in found[one] if child.revision is not None
        } - set(found)
    return found


def tree(session: Session, root: int, depth: int | None = None) -> tuple[list[TreeRow], bool]:
    """What is in a revision, line below line, to that depth; whether there is more than is shown."""
    below = contents(session, [root])
    rows: list[TreeRow] = []
    stack = [(1, 1.0, child) for child in reversed(below[root])]
    while stack:
        level, of, child = stack.pop()
        if len(rows) == MAX_TREE_ROWS:
            return rows, True
        total = of * child.quantity
        rows.append(TreeRow(level, child, total))
        if child.revision is not None and (depth is None or level < depth):
            stack += [(level + 1, total, one) for one in reversed(below[child.revision.id])]
    return rows, False


# -- upwards ---------------------------------------------------------------------------------------------
def lines_of(part_id: Value, revision_id: Value | None = None) -> ColumnElement[bool]:
    """The lines that mean a part, or that mean one of its revisions now."""
    mine = BomLine.child_part_id == part_id
    if revision_id is None:
        return mine
    revision = aliased(PartRevision)
    current = select(revision.id).where(revision.id == revision_id, _is_current(revision)).exists()
    return and_(mine, or_(BomLine.child_id == revision_id, and_(BomLine.child_id.is_(None), current)))


def ancestors(lines: ColumnElement[bool]) -> CTE:
    """The revisions that have such a line, and all above them, each once: `id`, `part_id`, `is_current`.

    Going up, a line is followed where it means the revision below it now. UNION drops what was reached
    before, so a part that is in many places costs what its ancestors cost, not its ways to them.
    """
    first = aliased(PartRevision)
    parents = select(BomLine.parent_id).where(lines)
    base = select(first.id, first.part_id, _is_current(first).label("is_current")).where(
        first.id.in_(parents)
    )
    up = base.cte("up", recursive=True)
    line, above = aliased(BomLine), aliased(PartRevision)
    step = (
        select(above.id, above.part_id, _is_current(above))
        .select_from(up)
        .join(line, _means(line, up))
        .join(above, above.id == line.parent_id)
    )
    return up.union(step)


def _means(line: type[BomLine], up: CTE) -> ColumnElement[bool]:
    meant = or_(line.child_id == up.c.id, and_(line.child_id.is_(None), up.c.is_current == true()))
    return and_(line.child_part_id == up.c.part_id, meant)


@cache
def uses_query(*, of_revision: bool) -> Select[int | None, int, float, str, str, str]:
    """The production query of where-used: every line on a way up from `part` (and `revision`), as child,
    parent, quantity, and the parent's number, label and state; the child of the lowest ones is null. It is
    built once: building it takes longer than it runs."""
    lines = lines_of(bindparam("part"), bindparam("revision") if of_revision else None)
    up = ancestors(lines)
    line = aliased(BomLine)
    lowest = select(null().label("child"), BomLine.parent_id, BomLine.quantity).where(lines)
    above = select(up.c.id, line.parent_id, line.quantity).select_from(up).join(line, _means(line, up))
    way = union_all(lowest, above).subquery("way")
    return (
        select(
            way.c.child, way.c.parent_id, way.c.quantity, Part.number, PartRevision.label, PartRevision.state
        )
        .select_from(way)
        .join(PartRevision, PartRevision.id == way.c.parent_id)
        .join(Part, Part.id == PartRevision.part_id)
    )


def where_used(
    session: Session, part_id: int, revision_id: int | None = None, depth: int | None = None
) -> list[Use]:
    """The revisions that a part, or one of its revisions, is in, the nearest first, up to that level."""
    asked = {"part": part_id} | ({} if revision_id is None else {"revision": revision_id})
    up: dict[int, dict[int, float]] = {}
    names: dict[int, tuple[str, str]] = {}
    rows = session.execute(uses_query(of_revision=revision_id is not None), asked)
    for child, parent, quantity, number, label, state in rows:
        above = up.setdefault(child or 0, {})
        above[parent] = above.get(parent, 0.0) + quantity
        names[parent] = (f"{number}@{label}", state)
    levels, totals = _levels(up), _totals(up)
    found = [
        Use(one, *names[one], level, totals[one])
        for one, level in levels.items()
        if depth is None or level <= depth
    ]
    return sorted(found, key=lambda use: (use.level, use.reference))


def _levels(up: dict[int, dict[int, float]]) -> dict[int, int]:
    """The least number of lines to each ancestor."""
    levels, ahead = {0: 0}, deque([0])
    while ahead:
        one = ahead.popleft()
        for parent in up.get(one, ()):
            if parent not in levels:
                levels[parent] = levels[one] + 1
                ahead.append(parent)
    del levels[0]
    return levels


def _totals(up: dict[int, dict[int, float]]) -> dict[int, float]:
    """How many are in each ancestor: over all ways, quantities along a way multiplied (Kahn's order)."""
    missing: dict[int, int] = {}
    for above in up.values():
        for parent in above:
            missing[parent] = missing.get(parent, 0) + 1
    totals, ahead = {0: 1.0}, [0]
    while ahead:
        one = ahead.pop()
        for parent, quantity in up.get(one, {}).items():
            totals[parent] = totals.get(parent, 0.0) + totals[one] * quantity
            missing[parent] -= 1
            if not missing[parent]:
                ahead.append(parent)
    return totals
