"""What bills of material mean, in plain Python: enumerating ways, without thought for how long that takes."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import strategies as st

from tests.unit.bom.conftest import Line

STATES = ("in_work", "released", "obsolete")


@dataclass(frozen=True)
class Catalogue:
    """Revisions with their states, in the order in which they were made, and lines between them."""

    revisions: dict[str, str]
    lines: tuple[Line, ...]

    def current(self, number: str) -> str | None:
        """The current revision of a part."""
        mine = [one for one in self.revisions if one.partition("@")[0] == number]
        for wanted in (("released",), ("in_work", "in_review", "other"), ("obsolete",)):
            fit = [one for one in mine if self.revisions[one] in wanted]
            if fit:
                return fit[-1]
        return None

    def meant(self, child: str) -> str | None:
        """The revision that a line means."""
        return child if "@" in child else self.current(child)

    def children(self, revision: str) -> list[tuple[str, float]]:
        """Of each line what it means and how many: a revision, or a part that has none."""
        return [(self.meant(c) or c, float(q)) for p, c, q in self.lines if p == revision]

    def tree(self, revision: str, level: int = 1, of: float = 1.0) -> list[tuple[int, str, float]]:
        """Lines below lines: level, what they mean, and how many are in the whole."""
        rows: list[tuple[int, str, float]] = []
        for child, quantity in self.children(revision):
            rows.append((level, child, of * quantity))
            rows += self.tree(child, level + 1, of * quantity)
        return rows

    def uses(self, asked: str) -> list[tuple[str, float]]:
        """The lines that mean a revision, or a part in any: their parents, and how many."""
        if "@" not in asked:
            return [(p, float(q)) for p, c, q in self.lines if c.partition("@")[0] == asked]
        return [(p, float(q)) for p, c, q in self.lines if self.meant(c) == asked]

    def where_used(self, asked: str) -> dict[str, tuple[int, float]]:
        """Every revision above, with the shortest way's length and the total over all ways."""
        found: dict[str, tuple[int, float]] = {}

        def climb(one: str, level: int, total: float) -> None:
            for parent, quantity in self.uses(one):
                least, so_far = found.get(parent, (level, 0.0))
                found[parent] = (min(least, level), round(so_far + total * quantity, 6))
                climb(parent, level + 1, total * quantity)

        climb(asked, 1, 1.0)
        return found

    def has_cycle(self, lines: list[Line]) -> bool:
        """Whether a part would contain itself, in whichever revisions."""
        edges = {(p.partition("@")[0], c.partition("@")[0]) for p, c, _ in lines}
        reach = set(edges)
        while True:
            more = {(a, d) for a, b in reach for c, d in edges if b == c} | reach
            if more == reach:
                return any(a == b for a, b in reach)
            reach = more


@st.composite
def catalogues(draw: st.DrawFn, *, cyclic: bool = False) -> Catalogue:
    """Up to six parts with up to three revisions each, and lines downwards; if `cyclic`, in any direction."""
    count = draw(st.integers(2, 6))
    labels = [(n, label) for n in range(count) for label in "ABC"[: draw(st.integers(1, 3))]]
    made = draw(st.permutations(labels))
    order = sorted(made, key=lambda one: one[1])  # a part's revisions come in the order of their labels
    revisions = {f"P{n}@{label}": draw(st.sampled_from(STATES)) for n, label in order}
    lines: dict[tuple[str, int], Line] = {}
    for _ in range(draw(st.integers(0, 9))):
        parent, label = draw(st.sampled_from(order))
        child = draw(st.integers(0, count - 1) if cyclic else st.integers(min(parent + 1, count), count))
        if child == count:
            continue
        pins = ["", *(f"@{one}" for n, one in order if n == child)]
        reference = f"P{parent}@{label}"
        name = f"P{child}{draw(st.sampled_from(pins))}"
        lines[reference, child] = (reference, name, draw(st.integers(1, 4)))
    return Catalogue(revisions, tuple(lines.values()))


def before(catalogue: Catalogue, released: str, shapes: dict[str, str | None]) -> str | None:
    """What a part showed before one of its revisions was released: its latest earlier revision that was
    released and has a shape, else its latest earlier one that has."""
    number = released.partition("@")[0]
    mine = [one for one in catalogue.revisions if one.partition("@")[0] == number]
    earlier = [one for one in mine[: mine.index(released)] if shapes[one]]
    were = [one for one in earlier if catalogue.revisions[one] in ("released", "obsolete")]
    return (were or earlier or [None])[-1]


def stale_after(catalogue: Catalogue, released: str, shapes: dict[str, str | None]) -> set[str]:
    """The revisions whose renders are stale once that one is released; the catalogue is of after that."""
    number = released.partition("@")[0]
    at_once = set()
    for parent, child, _ in catalogue.lines:
        shown = child if "@" in child else before(catalogue, released, shapes)
        if child.partition("@")[0] != number or shown in (None, released):
            continue
        old, new = shapes[shown], shapes[released]
        if old and new and old[0] != new[0]:
            at_once.add(parent)
    found, ahead = set(at_once), list(at_once)
    while ahead:
        for parent, _ in catalogue.uses(ahead.pop()):
            if parent not in found:
                found.add(parent)
                ahead.append(parent)
    return {one for one in found if catalogue.revisions[one] != "obsolete"}
