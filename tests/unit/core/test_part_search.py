"""In which order parts are found, on both databases."""

from __future__ import annotations

import pytest

from mfgviz.database import Database
from mfgviz.part_search import following, list_parts
from mfgviz.records import Part

PARTS = {
    "A-WID": "arm", "B-7": "small widget", "C-8": "Widget b", "D-9": "widget A", "WIDGET-1": "y", "b_1%": "",
    "widget-2": "z", "WIDGET-1B": "Widget",
}  # fmt: skip


@pytest.fixture
def parts(database: Database) -> Database:
    with database.begin() as session:
        session.add_all(Part(number=number, name=name, created_by="ann") for number, name in PARTS.items())
    return database


@pytest.mark.parametrize(
    ("search", "numbers"),
    [
        ("Wid", ["WIDGET-1", "WIDGET-1B", "widget-2", "D-9", "C-8", "A-WID", "B-7"]),
        ("widget-1b", ["WIDGET-1B"]),
        ("WIDGET B", ["C-8"]),
        ("b_", ["b_1%"]),
        ("%", ["b_1%"]),
        ("nothing", []),
    ],
)
def test_numbers_that_begin_so_come_first_then_names_then_all_others(
    parts: Database, search: str, numbers: list[str]
) -> None:
    with parts.read() as session:
        assert [part.number for part in list_parts(session, search=search)] == numbers
        for size in (1, 2, 3):
            paged: list[str] = []
            while page := list_parts(session, search=search, limit=size, after=paged[-1] if paged else ""):
                paged += [part.number for part in page]
            assert paged == numbers


def test_a_page_may_begin_behind_a_number_that_no_part_has(parts: Database) -> None:
    with parts.read() as session:
        behind = [part.number for part in list_parts(session, search="wid", after="Widget-1z")]
        assert behind == ["widget-2", "D-9", "C-8", "A-WID", "B-7"]
        assert [part.number for part in list_parts(session, search="wid", after="AZ")] == ["B-7"]


def test_without_a_text_parts_come_by_number(parts: Database) -> None:
    with parts.read() as session:
        assert [part.number for part in list_parts(session, limit=2, after="B-7")] == ["C-8", "D-9"]


@pytest.mark.parametrize(
    ("text", "beyond"),
    [("a", "b"), ("az", "a{"), ("a\ud7ff", "a\ue000"), ("a\U0010ffff", "b"), ("\U0010ffff", ""), ("", "")],
)
def test_the_first_text_behind_all_that_begin_so(text: str, beyond: str) -> None:
    assert following(text) == beyond
