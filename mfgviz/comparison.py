"""What changed from one revision to another: shape, sizes, holes, attributes, files. Pure.

Holes are told apart in part coordinates, as they stand in their files. One that stayed on its axis and has
another width or depth was resized; one of the same width and direction that is somewhere else was moved,
each to the nearest that is left; what then remains was removed or added.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from mfgviz.wire import AttributeChange, DiffSide, Hole, HoleChange, Revision, RevisionDiff, ValueChange

# Exporters agree on an axis to about a nanometre, and on where a cylinder ends to less than this.
SAME_MM, SAME_END_MM, SAME_DIRECTION = 2e-3, 0.05, 1e-4
# Volumes and areas are of triangles: what differs by less is the triangles' doing.
NOISE_SHARE = 1e-4
EXACT_FORMATS = frozenset({"step", "iges", "brep", "fcstd"})
# What changed of more holes than these is bounded: pairs are looked for among all of them.
MOST_COMPARED = 300
MEASURED = (
    "volume_mm3", "area_mm2", "extent_x_mm", "extent_y_mm", "extent_z_mm", "low_corner_mm",
    "centre_of_mass_mm",
)  # fmt: skip
COUNTED = ("body_count", "face_count", "hole_count")
TOLD = ("body_names", "colours")

Facts = Mapping[str, Any]


def compare(before: Revision, after: Revision) -> RevisionDiff:
    """What changed from one revision to the other, as far as is known of their CAD files."""
    notes: list[str] = []
    shape = _shape(before, after, notes)
    geometric = MEASURED + COUNTED if shape != "same" else ()
    return RevisionDiff(
        before=_side(before),
        after=_side(after),
        shape=shape,  # type: ignore[arg-type] # one of its words
        facts=list(_values(geometric + TOLD, before.facts, after.facts)),
        holes=[] if shape == "same" else _hole_changes(before, after, notes),
        attributes=[
            *_attributes("part", before.part_attributes, after.part_attributes),
            *_attributes("revision", before.attributes, after.attributes),
        ],
        files=list(_files(before, after)),
        notes=notes,
    )


def _shape(before: Revision, after: Revision, notes: list[str]) -> str:
    found = [(one, one.geometry) for one in (before, after)]
    missing = [one.revision for one, geometry in found if geometry is None]
    unread = [one.revision for one, geometry in found if geometry is not None and not geometry.shape_digest]
    if before.geometry and after.geometry and before.geometry.digest == after.geometry.digest:
        return "same"
    notes += [f"{reference} has no CAD file." for reference in missing]
    notes += [
        f"Nobody has looked into the CAD file of {reference} yet, or it cannot be used."
        for reference in unread
    ]
    if missing or unread or before.geometry is None or after.geometry is None:
        return "unknown"
    if before.geometry.shape_digest == after.geometry.shape_digest:
        return "same"
    exact = [one.format in EXACT_FORMATS for one in (before.geometry, after.geometry)]
    if exact[0] != exact[1]:
        notes.append(
            "One file is of exact surfaces and the other of triangles: their shapes have no common digest."
        )
        return "unknown"
    return "changed"


def _side(revision: Revision) -> DiffSide:
    geometry = revision.geometry
    return DiffSide(
        revision=revision.revision,
        state=revision.state,
        iteration=revision.iteration,
        file_name=geometry.file_name if geometry else None,
        format=geometry.format if geometry else None,
        geometry_digest=geometry.digest if geometry else None,
        shape_digest=geometry.shape_digest if geometry else None,
        hole_count=revision.facts.get("hole_count"),
    )


def _values(names: Iterable[str], before: Facts, after: Facts) -> Iterable[ValueChange]:
    for name in names:
        if name not in before or name not in after:
            continue
        one, other = before[name], after[name]
        if not _is_same(name, one, other):
            yield ValueChange(name=name, before=one, after=other)


def _is_same(name: str, one: Any, other: Any) -> bool:
    if name in ("volume_mm3", "area_mm2"):
        return bool(abs(one - other) <= NOISE_SHARE * max(abs(one), abs(other)))
    if name == "centre_of_mass_mm" and one and other:
        return math.dist(one, other) <= SAME_END_MM / 5
    return bool(one == other)


def _attributes(of: str, before: Facts, after: Facts) -> Iterable[AttributeChange]:
    for name in sorted({*before, *after}):
        one, other = before.get(name), after.get(name)
        if one == other and type(one) is type(other):
            continue
        change = "added" if name not in before else "removed" if name not in after else "changed"
        yield AttributeChange(of=of, name=name, change=change, before=one, after=other)  # type: ignore[arg-type]


def _files(before: Revision, after: Revision) -> Iterable[ValueChange]:
    one, other = before.geometry, after.geometry
    names = {
        "file_name": "file_name",
        "format": "format",
        "digest": "geometry_digest",
        "size_bytes": "size_bytes",
    }
    for attribute, name in names.items():
        pair = getattr(one, attribute, None), getattr(other, attribute, None)
        if pair[0] != pair[1]:
            yield ValueChange(name=name, before=pair[0], after=pair[1])


# -- holes -------------------------------------------------------------------------------------------------
def _hole_changes(before: Revision, after: Revision, notes: list[str]) -> list[HoleChange]:
    found = []
    for one in (before, after):
        if one.geometry is None:
            return []
        if "holes" not in one.facts:
            notes.append(
                f"The holes of {one.revision} are not known: its CAD file was not looked into for them."
            )
            return []
        holes = [Hole.model_validate(plain) for plain in one.facts["holes"]]
        if one.facts.get("hole_count", 0) > len(holes):
            notes.append(
                f"{one.revision} has {one.facts['hole_count']:,} holes; the {len(holes)} widest are compared."
            )
        found.append(holes)
    old, new = differing_holes(*found)
    if max(len(old), len(new)) > MOST_COMPARED:
        notes.append(
            f"{len(old):,} holes of {before.revision} and {len(new):,} of {after.revision} differ; "
            f"the {MOST_COMPARED} widest of each are compared."
        )
    return compare_holes(old[:MOST_COMPARED], new[:MOST_COMPARED])


def differing_holes(before: list[Hole], after: list[Hole]) -> tuple[list[Hole], list[Hole]]:
    """Both lists without what is plainly the same in both, in a time that grows with their number."""
    places: defaultdict[tuple[int, ...], list[Hole]] = defaultdict(list)
    for hole in after:
        places[_place(hole)].append(hole)
    old, gone = [], set()
    for hole in before:
        there = places[_place(hole)]
        same = next((one for one in there if _apart_if_same(hole, one) is not None), None)
        if same is None:
            old.append(hole)
        else:
            there.remove(same)
            gone.add(id(same))
    return old, [hole for hole in after if id(hole) not in gone]


def _place(hole: Hole) -> tuple[int, ...]:
    """Where a hole is, in cells of a tenth of a millimetre, off the numbers that designers like."""
    return tuple(math.floor(value * 10 + 0.314159) for value in (*hole.position_mm, hole.diameter_mm))


def compare_holes(before: list[Hole], after: list[Hole]) -> list[HoleChange]:
    """How the holes of a part became others, the widest first."""
    old, new = list(before), list(after)
    changes: list[HoleChange] = []
    _pair(old, new, _apart_if_same)
    for one, other in _pair(old, new, _apart_on_axis):
        changes.append(HoleChange(change="resized", before=one, after=other))
    for one, other in _pair(old, new, _apart_if_moved):
        by = _moved_by(one, other)
        plain = [round(value, 4) + 0.0 for value in by]
        distance = round(math.hypot(*by), 4)
        changes.append(
            HoleChange(change="moved", before=one, after=other, moved_by_mm=plain, distance_mm=distance)
        )
    changes += [HoleChange(change="removed", before=one, after=None) for one in old]
    changes += [HoleChange(change="added", before=None, after=one) for one in new]
    return sorted(changes, key=lambda one: -max(hole.diameter_mm for hole in (one.before, one.after) if hole))


def _pair(
    old: list[Hole], new: list[Hole], apart: Callable[[Hole, Hole], float | None]
) -> list[tuple[Hole, Hole]]:
    """Take pairs out of both lists, the nearest first, of those that `apart` gives a distance for."""
    near = []
    for i, one in enumerate(old):
        for k, other in enumerate(new):
            distance = apart(one, other)
            if distance is not None:
                near.append((distance, i, k))
    near.sort()
    pairs: dict[int, int] = {}
    taken: set[int] = set()
    for _, i, k in near:
        if i not in pairs and k not in taken:
            pairs[i] = k
            taken.add(k)
    found = [(old[i], new[k]) for i, k in sorted(pairs.items())]
    old[:] = [one for i, one in enumerate(old) if i not in pairs]
    new[:] = [one for k, one in enumerate(new) if k not in taken]
    return found


def _apart_if_same(one: Hole, other: Hole) -> float | None:
    if not _is_parallel(one, other) or abs(one.diameter_mm - other.diameter_mm) > SAME_MM:
        return None
    along, across = _split(one, other)
    is_same = (
        across <= SAME_MM and abs(along) <= SAME_END_MM and abs(one.depth_mm - other.depth_mm) <= SAME_END_MM
    )
    return across + abs(along) if is_same else None


def _apart_on_axis(one: Hole, other: Hole) -> float | None:
    """Along a common axis, where they overlap there."""
    if not _is_parallel(one, other):
        return None
    along, across = _split(one, other)
    if across > SAME_MM or abs(along) > (one.depth_mm + other.depth_mm) / 2:
        return None
    is_resized = (
        abs(one.diameter_mm - other.diameter_mm) > SAME_MM or abs(one.depth_mm - other.depth_mm) > SAME_END_MM
    )
    # Of two steps of a counterbore the one of the more similar width is meant.
    return abs(along) + abs(one.diameter_mm - other.diameter_mm) if is_resized else None


def _apart_if_moved(one: Hole, other: Hole) -> float | None:
    if not _is_parallel(one, other) or abs(one.diameter_mm - other.diameter_mm) > SAME_MM:
        return None
    return math.hypot(*_moved_by(one, other))


def _moved_by(one: Hole, other: Hole) -> tuple[float, float, float]:
    """From one to the other; across the axis alone where the depth changed too, for then the middles say
    less."""
    x, y, z = (b - a for a, b in zip(one.position_mm, other.position_mm, strict=True))
    if abs(one.depth_mm - other.depth_mm) <= SAME_END_MM:
        return (x, y, z)
    along, _ = _split(one, other)
    a, b, c = one.axis
    return (x - along * a, y - along * b, z - along * c)


def _is_parallel(one: Hole, other: Hole) -> bool:
    same = math.dist(one.axis, other.axis)
    return (
        min(same, math.hypot(*(a + b for a, b in zip(one.axis, other.axis, strict=True)))) <= SAME_DIRECTION
    )


def _split(one: Hole, other: Hole) -> tuple[float, float]:
    """From one's middle to the other's: along the axis, and across it."""
    apart = [b - a for a, b in zip(one.position_mm, other.position_mm, strict=True)]
    along = sum(a * b for a, b in zip(apart, one.axis, strict=True))
    across = math.hypot(*(a - along * b for a, b in zip(apart, one.axis, strict=True)))
    return along, across
