"""Bills of material: what an import refuses, and what is read from them, beside an oracle in plain Python."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from sqlalchemy import select, text

from mfgviz import bom
from mfgviz.bom.intake import find_cycle
from mfgviz.bom.reading import uses_query
from mfgviz.database import Database
from mfgviz.errors import (
    BomCycleError,
    BomError,
    BomQuantityError,
    DuplicateBomLineError,
    UnknownBomPartError,
    UnreadableBomError,
)
from mfgviz.records import AuditEntry, BomLine, Part
from tests.support.servers import Postgres
from tests.unit.bom.conftest import Line, add, as_csv, quick, take, wipe
from tests.unit.bom.oracle import Catalogue, catalogues


@pytest.fixture
def parts(db: Database) -> Database:
    """TOP@A, ASM@A, ASM@B and SCR@A."""
    wipe(db)
    with db.begin() as session:
        for reference in ("TOP@A", "ASM@A", "ASM@B", "SCR@A"):
            add(session, reference)
    return db


def lines_of(db: Database) -> set[Line]:
    with db.read() as session:
        found = set()
        for line in session.scalars(select(BomLine)):
            child = line.child.reference if line.child else line.child_part.number
            found.add((line.parent.reference, child, line.quantity))
        return found


# -- reading files -----------------------------------------------------------------------------------------
HEAD = "parent,child,quantity,position\n"


@pytest.mark.parametrize(
    ("content", "kind", "told"),
    [
        (b"", UnreadableBomError, "the head is ''"),
        (b"parent,child,quantity\n", UnreadableBomError, "has no line"),
        (b"parent;child;quantity\nA@1;B;1\n", UnreadableBomError, "line 1: the head is"),
        (b"parent,child,quantity,extra\nA@1,B,1,x\n", UnreadableBomError, "line 1: the head is"),
        (b"parent,child,quantity\nA@1,B\n", UnreadableBomError, "line 2: it has 2 columns, its head 3"),
        (b'parent,child,quantity\nA@1,"B,1\n', UnreadableBomError, "line 2: it is no CSV"),
        (b"parent,child,quantity\nA@1,B,1\nA@1,\xff,1\n", UnreadableBomError, "line 3: it is no UTF-8"),
        (b"parent,child,quantity\nA,B,1\n", UnreadableBomError, "line 2: the parent is 'A', not"),
        (b"parent,child,quantity\nA@1,,1\n", UnreadableBomError, "line 2: the child is ''"),
        (b"parent,child,quantity\nA@1,B@,1\n", UnreadableBomError, "line 2: the child is 'B@'"),
        (b"parent,child,quantity\nA@1,B,0\n", BomQuantityError, "line 2: the quantity of B is '0'"),
        (b"parent,child,quantity\nA@1,B,-2\n", BomQuantityError, "'-2'"),
        (b"parent,child,quantity\nA@1,B,nan\n", BomQuantityError, "'nan'"),
        (b"parent,child,quantity\nA@1,B,two\n", BomQuantityError, "'two'"),
        (b"parent,child,quantity\nA@1,B,1_0\n", BomQuantityError, "'1_0'"),
        ("parent,child,quantity\nA@1,B,\u0663\n".encode(), BomQuantityError, "'\u0663'"),
        (b"parent,child,quantity\nA@1,B,1\nA@1,B,2\n", DuplicateBomLineError, "line 3: A@1 has B in"),
        (b"parent,child,quantity\nA@1,B,1\nA@1,B@2,2\n", DuplicateBomLineError, "line 3: A@1 has B in"),
        (b'{"parent": "A@1", "child": "B"}\n', UnreadableBomError, "line 1: it is no object with"),
        (b'{"parent": "A@1", "child": "B", "quantity": 1}\n{"', UnreadableBomError, "line 2: it is no JSON"),
        (b'{"parent": "A@1", "child": "B", "quantity": true}', BomQuantityError, "'True'"),
        (b'{"parent": 7, "child": "B", "quantity": 1}', UnreadableBomError, "line 1: parent, child"),
    ],
)  # fmt: skip
def test_what_is_no_bill_of_material_is_refused_by_its_line(
    content: bytes, kind: type[BomError], told: str
) -> None:
    with pytest.raises(kind) as caught:
        bom.read_lines(content, "bom.csv")
    assert "bom.csv" in caught.value.message
    assert told in caught.value.message
    assert caught.value.remedy


def test_the_same_part_may_stand_at_two_positions() -> None:
    found = bom.read_lines(f"{HEAD}A@1,B,1,10\nA@1,B,2,20\n".encode(), "bom.csv")
    assert [(one.number, one.quantity, one.position) for one in found] == [(2, 1.0, "10"), (3, 2.0, "20")]
    as_json = b'{"parent":"A@1","child":"B@2","quantity":"1.5","position":7}\n'
    (line,) = bom.read_lines(as_json, "bom.jsonl")
    assert (line.child, line.quantity, line.position) == ("B@2", 1.5, "7")


def test_many_bad_lines_are_counted_and_the_first_are_named() -> None:
    content = "parent,child,quantity\n" + "".join(f"A@1,B{n},0\n" for n in range(50))
    with pytest.raises(BomQuantityError, match=r"(?s)line 2: .*line 21: .*and 30 more"):
        bom.read_lines(content.encode(), "bom.csv")


# -- importing -----------------------------------------------------------------------------------------------
def test_each_parent_gets_exactly_its_lines(parts: Database) -> None:
    with parts.begin() as session:
        take(session, [("TOP@A", "ASM", 2), ("TOP@A", "SCR", 1), ("ASM@A", "SCR", 4)])
        again = take(session, [("TOP@A", "ASM", 2), ("TOP@A", "SCR", 1), ("ASM@A", "SCR", 4)])
        assert (again.lines, again.changed_parents, again.added, again.removed) == (3, 0, 0, 0)
        changed = take(session, [("TOP@A", "ASM@B", 3)])
        assert (changed.changed_parents, changed.added, changed.removed) == (1, 1, 2)
    assert lines_of(parts) == {("TOP@A", "ASM@B", 3.0), ("ASM@A", "SCR", 4.0)}
    with parts.read() as session:
        told = session.execute(
            select(AuditEntry.subject, AuditEntry.details).where(AuditEntry.action == "bom.imported")
        ).all()
    assert sorted(subject for subject, _ in told) == ["ASM@A", "TOP@A", "TOP@A"]
    assert told[-1][1] == {"lines": 1, "added": 1, "removed": 2}


@pytest.mark.parametrize(
    ("lines", "kind", "told"),
    [
        ([("TOP@A", "NIX", 1)], UnknownBomPartError, "line 2: there is no part 'NIX'"),
        ([("TOP@Z", "ASM", 1)], UnknownBomPartError, "line 2: part TOP has no revision 'Z'"),
        ([("TOP@A", "ASM@Z", 1)], UnknownBomPartError, "line 2: part ASM has no revision 'Z'"),
        ([("TOP@A", "SCR", 1), ("TOP@A", "TOP", 1)], BomCycleError, "line 3: .*: TOP → TOP"),
        ([("ASM@B", "TOP@A", 1)], BomCycleError, "line 2: .*: ASM → TOP → ASM"),
        ([("SCR@A", "ASM@A", 1), ("ASM@A", "SCR", 1)], BomCycleError, "line 2: .*: SCR → ASM → SCR"),
    ],
)
def test_what_is_refused_imports_nothing(
    lines: list[Line], kind: type[BomError], told: str, parts: Database
) -> None:
    with parts.begin() as session:
        take(session, [("TOP@A", "ASM", 2)])
    with pytest.raises(kind, match=told), parts.begin() as session:
        take(session, lines)
    assert lines_of(parts) == {("TOP@A", "ASM", 2.0)}


def test_a_cycle_is_found_in_a_chain_of_100_000_and_none_where_there_is_none() -> None:
    chain: dict[int, dict[int, int | None]] = {n: {n + 1: None} for n in range(100_000)}
    assert find_cycle(chain) is None
    chain[100_000] = {50_000: 7}
    assert find_cycle(chain) == list(range(50_000, 100_001))


@quick
@given(catalogue=catalogues(cyclic=True))
def test_exactly_what_contains_itself_is_refused(db: Database, catalogue: Catalogue) -> None:
    """Line by line, each a file of its own: refused where the oracle finds a way back, and else taken in."""
    wipe(db)
    with db.begin() as session:
        for reference in catalogue.revisions:
            add(session, reference)
    kept: dict[str, list[Line]] = {}
    for line in catalogue.lines:
        mine = [*kept.get(line[0], ()), line]
        bad = catalogue.has_cycle([*(one for lines in kept.values() for one in lines), line])
        try:
            with db.begin() as session:
                take(session, mine)
        except BomCycleError:
            refused = True
        else:
            refused = False
            kept[line[0]] = mine
        assert refused == bad
    assert lines_of(db) == {(p, c, float(q)) for lines in kept.values() for p, c, q in lines}


# -- reading -----------------------------------------------------------------------------------------------
@quick
@given(catalogue=catalogues())
def test_where_used_and_tree_are_as_the_oracle_says(db: Database, catalogue: Catalogue) -> None:
    wipe(db)
    with db.begin() as session:
        for reference, state in catalogue.revisions.items():
            add(session, reference, state=state)
        if catalogue.lines:
            take(session, catalogue.lines)
    with db.read() as session:
        ids = {part.number: part for part in session.scalars(select(Part))}
        for asked in [*catalogue.revisions, *ids]:
            number, at, label = asked.partition("@")
            part = ids[number]
            revision = next((one.id for one in part.revisions if one.label == label), None) if at else None
            found = {
                use.reference: (use.level, round(use.total, 6))
                for use in bom.where_used(session, part.id, revision)
            }
            assert found == catalogue.where_used(asked), asked
        for reference in catalogue.revisions:
            number, _, label = reference.partition("@")
            root = next(one.id for one in ids[number].revisions if one.label == label)
            rows, more = bom.tree(session, root)
            assert not more
            shown = [(row.level, row.child.reference, row.total) for row in rows]
            assert sorted(shown) == sorted(catalogue.tree(reference))


def test_levels_are_cut_and_trees_have_an_end(parts: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with parts.begin() as session:
        take(session, [("TOP@A", "ASM", 2), ("TOP@A", "SCR", 1), ("ASM@B", "SCR", 4)])
    with parts.read() as session:
        ids = {part.number: part.id for part in session.scalars(select(Part))}
        assert [use.reference for use in bom.where_used(session, ids["SCR"], depth=1)] == ["ASM@B", "TOP@A"]
        (top,) = [use for use in bom.where_used(session, ids["SCR"]) if use.reference == "TOP@A"]
        assert (top.level, top.total) == (1, 9.0)
        root = session.get_one(Part, ids["TOP"]).revisions[0].id
        assert [row.child.reference for row in bom.tree(session, root, 1)[0]] == ["ASM@B", "SCR@A"]
        monkeypatch.setattr("mfgviz.bom.reading.MAX_TREE_ROWS", 2)
        assert bom.tree(session, root)[1]


def test_a_diamond_of_many_ways_costs_its_nodes(db: Database) -> None:
    """40 levels of two parts that are both in both above: 2^40 ways, 80 ancestors."""
    wipe(db)
    names = [[f"P{level}{side}" for side in "lr"] for level in range(41)]
    with db.begin() as session:
        for number in (number for pair in names for number in pair):
            add(session, f"{number}@A")
        take(
            session,
            [(f"{up}@A", down, 1) for n in range(40) for up in names[n] for down in names[n + 1]],
        )
    with db.read() as session:
        part = session.scalars(select(Part.id).where(Part.number == "P40l")).one()
        uses = bom.where_used(session, part)
    assert len(uses) == 80
    assert max(use.total for use in uses) == 2.0**39


def test_where_used_is_read_by_indexes(postgres: Postgres) -> None:
    """With 40,000 lines PostgreSQL reads no table as a whole, neither of the lines nor of the revisions."""
    with postgres.database() as url:
        db = Database(url)
        with db.begin() as session:
            # Without looking up keys, which takes most of the time.
            session.execute(text("SET LOCAL session_replication_role = replica"))
            session.execute(
                text(
                    "INSERT INTO parts (id, number, name, attributes, created_by) "
                    "SELECT n, 'P' || n, '', '{}', 'x' FROM generate_series(1, 40001) n"
                )
            )
            session.execute(
                text(
                    "INSERT INTO part_revisions (id, part_id, label, state, iteration, attributes,"
                    " created_by) SELECT n, n, 'A', 'released', 1, '{}', 'x' "
                    "FROM generate_series(1, 40001) n"
                )
            )
            session.execute(text("INSERT INTO bom_lines (parent_id, child_part_id, quantity, created_by) "
                                 "SELECT (n + 1) / 3 + 1, n + 1, 1, 'x' FROM generate_series(1, 40000) n "
                                 "WHERE (n + 1) / 3 + 1 < n + 1"))  # fmt: skip
        with db.begin() as session:
            session.execute(text("ANALYZE"))
            compiled = uses_query(of_revision=False).compile(db.engine)
            explain, asked = f"EXPLAIN {compiled}", {**compiled.params, "part": 40000}
            plan = "\n".join(session.connection().exec_driver_sql(explain, asked).scalars().all())
        db.dispose()
    assert "ix_bom_lines_child_part_id" in plan
    assert "Seq Scan" not in plan, plan


def test_100_000_lines_are_read_in_one_pass(tmp_path: Path) -> None:
    content = as_csv((f"P{n}@A", f"P{n + 1}", 1) for n in range(100_000))
    assert len(bom.read_lines(content, "bom.csv")) == 100_000
