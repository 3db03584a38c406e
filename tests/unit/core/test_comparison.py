"""What changed between two revisions, from what is known of both."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfgviz import wire
from mfgviz.comparison import compare, compare_holes
from mfgviz.wire import Hole


def hole(
    x: float = 0, y: float = 0, z: float = 0, diameter: float = 6, depth: float = 10, **more: Any
) -> Hole:
    axis = more.get("axis", [0.0, 0.0, 1.0])
    return Hole(position_mm=[x, y, z], axis=axis, diameter_mm=diameter, depth_mm=depth)


def revision(label: str, digest: str | None = "a", **more: Any) -> wire.Revision:
    """A revision that shows a file of that digest and shape, or none."""
    facts = more.pop("facts", {})
    file = {
        "digest": more.get("content", label) * 64,
        "file_name": f"{label}.step",
        "size_bytes": 9,
        "state": "read",
    }
    geometry = None
    if digest is not None:
        shape = {"shape_digest": digest, "format": more.pop("format", "step")}
        geometry = wire.Geometry.model_validate({**file, **shape})
    plain = {
        "revision": f"P@{label}", "part": "P", "label": label, "name": "", "state": "in_work",
        "source_state": None,
        "iteration": 1, "attributes": more.get("attributes", {}), "part_attributes": {}, "fields": {},
        "facts": facts, "created_at": "2026-01-01T00:00:00Z", "created_by": "ann",
    }  # fmt: skip
    return wire.Revision.model_validate(plain).model_copy(update={"geometry": geometry})


def told(before: list[Hole], after: list[Hole]) -> list[tuple[str, float | None]]:
    return [(one.change, one.distance_mm) for one in compare_holes(before, after)]


def test_holes_that_moved_grew_came_and_went() -> None:
    before = [hole(0), hole(20), hole(40), hole(60, diameter=8)]
    after = [hole(0.1), hole(20, diameter=7), hole(40), hole(80, diameter=9)]
    found = compare_holes(before, after)
    assert [(one.change, one.distance_mm) for one in found] == [
        ("added", None), ("removed", None), ("resized", None), ("moved", 0.1),
    ]  # fmt: skip
    assert found[-1].moved_by_mm == [0.1, 0, 0]
    assert found[2].before is not None
    assert (found[2].before.diameter_mm, found[2].after and found[2].after.diameter_mm) == (6, 7)


def test_a_hole_is_known_whichever_way_its_axis_points_and_by_its_width_alone_when_it_moves() -> None:
    assert told([hole()], [hole(axis=[0.0, 0.0, -1.0])]) == []
    assert told([hole()], [hole(axis=[1.0, 0.0, 0.0])]) == [("removed", None), ("added", None)]
    assert told([hole()], [hole(5, diameter=7)]) == [("added", None), ("removed", None)]
    assert told([hole()], [hole(z=1, depth=12)]) == [("resized", None)]
    # Deeper and elsewhere: moved by what lies across the axis.
    assert told([hole()], [hole(3, 4, 1, depth=12)]) == [("moved", 5.0)]


def test_each_moved_hole_is_told_from_its_nearest() -> None:
    before = [hole(10 * n) for n in range(5)]
    after = [hole(10 * n + 0.5) for n in range(5)]
    assert told(before, after) == [("moved", 0.5)] * 5


@given(
    st.lists(st.tuples(st.integers(0, 30), st.integers(0, 30), st.sampled_from([4, 6, 8])), max_size=12),
    st.randoms(),
)
def test_holes_in_another_order_are_the_same(
    places: list[tuple[int, int, int]], order: random.Random
) -> None:
    holes = [hole(x, y, diameter=d) for x, y, d in dict.fromkeys(places)]
    shuffled = list(holes)
    order.shuffle(shuffled)
    assert compare_holes(holes, shuffled) == []
    assert [one.change for one in compare_holes(holes, [])] == ["removed"] * len(holes)


def test_many_holes_stay_bounded() -> None:
    before = [hole(x, y) for x in range(20) for y in range(15)]
    after = [hole(x + 0.25, y) for x in range(20) for y in range(15)]
    assert told(before, after) == [("moved", 0.25)] * 300


def test_one_of_thousands_of_holes_is_found_and_more_are_bounded() -> None:
    grid = [hole(x, y) for x in range(0, 600, 10) for y in range(0, 500, 10)]
    moved = [hole(250.1, 250) if one.position_mm == [250, 250, 0] else one for one in grid]
    facts = {"hole_count": len(grid)}
    before = revision("A", "x", facts=facts | {"holes": [one.model_dump() for one in grid]})
    after = revision("B", "y", facts=facts | {"holes": [one.model_dump() for one in moved]})
    found = compare(before, after)
    assert [(one.change, one.distance_mm) for one in found.holes] == [("moved", 0.1)]
    assert found.notes == []
    none = compare(before, revision("B", "y", facts={"hole_count": 0, "holes": []}))
    assert len(none.holes) == 300
    assert "3,000 holes of P@A and 0 of P@B differ" in none.notes[0]


# -- whole revisions -------------------------------------------------------------------------------------
def test_saved_again_the_shape_is_the_same_and_nothing_of_it_is_compared() -> None:
    facts = {"volume_mm3": 10.0, "holes": [], "hole_count": 0, "colours": ["red"]}
    before = revision("A", facts=facts)
    after = revision("B", facts=facts | {"volume_mm3": 10.4, "colours": ["blue"]})
    found = compare(before, after)
    assert (found.shape, found.holes, found.notes) == ("same", [], [])
    assert [(one.name, one.after) for one in found.facts] == [("colours", ["blue"])]
    assert {one.name for one in found.files} == {"file_name", "geometry_digest"}


def test_attributes_that_came_went_and_changed() -> None:
    before = revision("A", attributes={"finish": "raw", "mass": 1, "old": True})
    after = revision("B", attributes={"finish": "black", "mass": 1.0, "new": "x"})
    found = {one.name: (one.change, one.before, one.after) for one in compare(before, after).attributes}
    assert found == {
        "finish": ("changed", "raw", "black"),
        "mass": ("changed", 1, 1.0),
        "old": ("removed", True, None),
        "new": ("added", None, "x"),
    }


@pytest.mark.parametrize(
    ("before", "after", "shape", "note"),
    [
        (revision("A", None), revision("B"), "unknown", "P@A has no CAD file"),
        (revision("A", None), revision("B", None), "unknown", "P@B has no CAD file"),
        (revision("A", ""), revision("B"), "unknown", "Nobody has looked into the CAD file of P@A"),
        (revision("A", "x"), revision("B", "y", format="stl"), "unknown", "triangles"),
        (revision("A", "x"), revision("B", "y"), "changed", "The holes of P@A are not known"),
        (revision("A", "x", content="c"), revision("B", "y", content="c"), "same", ""),
    ],
)
def test_what_is_not_known_is_said(
    before: wire.Revision, after: wire.Revision, shape: str, note: str
) -> None:
    found = compare(before, after)
    assert found.shape == shape
    assert note in " ".join(found.notes)


def test_of_a_perforated_plate_some_holes_are_compared_and_all_are_counted() -> None:
    facts = {"holes": [hole(1).model_dump()], "hole_count": 3000}
    found = compare(revision("A", "x", facts=facts), revision("B", "y", facts=facts | {"hole_count": 2999}))
    assert found.notes == [
        "P@A has 3,000 holes; the 1 widest are compared.", "P@B has 2,999 holes; the 1 widest are compared.",
    ]  # fmt: skip
    assert [(one.name, one.before, one.after) for one in found.facts] == [("hole_count", 3000, 2999)]
