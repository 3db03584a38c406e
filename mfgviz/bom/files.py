"""Files of bills of material: CSV with a head, or JSON. Every line is read before one is used."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from mfgviz.errors import BomError, BomQuantityError, DuplicateBomLineError, UnreadableBomError

MAX_LINES = 200_000
MAX_BYTES = 32 << 20
SHOWN = 20
COLUMNS = ("parent", "child", "quantity", "position")


@dataclass(frozen=True, slots=True)
class FileLine:
    """One line: `NUMBER@LABEL` holds `quantity` of `NUMBER`, or of exactly `NUMBER@LABEL`."""

    number: int
    parent: str
    child: str
    quantity: float
    position: str = ""


@dataclass(slots=True)
class Complaints:
    """What is wrong with lines, each kind of error for itself."""

    what: str
    found: dict[type[BomError], list[tuple[int, str]]] = field(default_factory=dict)

    def add(self, kind: type[BomError], number: int, told: str) -> None:
        """Note what is wrong with a line."""
        self.found.setdefault(kind, []).append((number, told))

    def raise_if_any(self) -> None:
        """Raises the BomError that was found first, naming its first lines."""
        if not self.found:
            return
        kind, lines = next(iter(self.found.items()))
        lines.sort()
        shown = [f"line {number}: {told}" for number, told in lines[:SHOWN]]
        more = sum(map(len, self.found.values())) - len(shown)
        shown += [f"and {more:,} more"] if more else []
        told = shown[0] if len(shown) == 1 else "\n  ".join(["", *shown]).rstrip()
        raise kind(f"{self.what}, {told}" if len(shown) == 1 else f"{self.what}:{told}")


def read_lines(content: bytes, what: str) -> list[FileLine]:
    """The lines of a file that is called `what`.

    Raises:
        UnreadableBomError: it is no UTF-8, no CSV of those columns and no JSON objects, empty, or too long.
        BomQuantityError: a quantity is not a number above zero.
        DuplicateBomLineError: two lines of a parent have the same child and position.
    """
    if len(content) > MAX_BYTES:
        raise UnreadableBomError(f"{what} has {len(content):,} bytes; {MAX_BYTES:,} are read.")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        number = content.count(b"\n", 0, error.start) + 1
        raise UnreadableBomError(f"{what}, line {number}: it is no UTF-8.") from error
    rows = _json_rows(text, what) if text.lstrip()[:1] == "{" else _csv_rows(text, what)
    complaints, lines = Complaints(what), list[FileLine]()
    for number, row in rows:
        if len(lines) == MAX_LINES:
            raise UnreadableBomError(
                f"{what} has more than {MAX_LINES:,} lines.", remedy="Split it between parents."
            )
        _take(number, row, complaints, lines)
    if not lines and not complaints.found:
        raise UnreadableBomError(f"{what} has no line.")
    _check_duplicates(lines, complaints)
    complaints.raise_if_any()
    return lines


def _csv_rows(text: str, what: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        head = [name.strip() for name in next(reader, [])]
        if sorted(head) not in (sorted(COLUMNS), sorted(COLUMNS[:3])):
            told = ",".join(head)[:120]
            raise UnreadableBomError(f"{what}, line 1: the head is {told!r}, not {','.join(COLUMNS)}.")
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(head):
                told = f"it has {len(cells)} columns, its head {len(head)}"
                raise UnreadableBomError(f"{what}, line {reader.line_num}: {told}.")
            yield reader.line_num, dict(zip(head, cells, strict=True))
    except csv.Error as error:
        raise UnreadableBomError(f"{what}, line {reader.line_num}: it is no CSV: {error}.") from error


def _json_rows(text: str, what: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise UnreadableBomError(f"{what}, line {number}: it is no JSON: {error}.") from error
        if not isinstance(row, dict) or not set(COLUMNS[:3]) <= set(row) <= set(COLUMNS):
            raise UnreadableBomError(
                f"{what}, line {number}: it is no object with parent, child and quantity, and perhaps "
                "position."
            )
        yield number, row


def _take(number: int, row: Mapping[str, Any], complaints: Complaints, lines: list[FileLine]) -> None:
    parent, child, position = (row.get(name, "") for name in ("parent", "child", "position"))
    if not all(isinstance(one, str) for one in (parent, child)) or not isinstance(position, str | int):
        complaints.add(UnreadableBomError, number, "parent, child and position are texts.")
        return
    parent, child, position = parent.strip(), child.strip(), str(position).strip()
    if parent.count("@") != 1 or not all(parent.split("@")):
        complaints.add(UnreadableBomError, number, f"the parent is {parent[:200]!r}, not NUMBER@REVISION.")
    elif not child or child.count("@") > 1 or not all(child.split("@")):
        complaints.add(
            UnreadableBomError, number, f"the child is {child[:200]!r}, not NUMBER or NUMBER@REVISION."
        )
    elif len(position) > 32 or not position.isprintable():
        complaints.add(
            UnreadableBomError, number, f"the position is {position[:60]!r}: 32 printable characters fit."
        )
    elif (quantity := _quantity(row["quantity"])) is None:
        told = f"the quantity of {child} is {str(row['quantity'])[:60]!r}."
        complaints.add(BomQuantityError, number, told)
    else:
        lines.append(FileLine(number, parent, child, quantity, position))


_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def _quantity(given: object) -> float | None:
    """A number above zero, or None."""
    if isinstance(given, bool) or not isinstance(given, str | int | float):
        return None
    if isinstance(given, str) and not _NUMBER.fullmatch(given.strip()):
        return None
    try:
        quantity = float(given)
    except (ValueError, OverflowError):
        return None
    return quantity if math.isfinite(quantity) and 0 < quantity <= 1e12 else None


def _check_duplicates(lines: list[FileLine], complaints: Complaints) -> None:
    first: dict[tuple[str, str, str], int] = {}
    for line in lines:
        key = (line.parent, line.child.partition("@")[0], line.position)
        before = first.setdefault(key, line.number)
        if before != line.number:
            where = f" at position {line.position}" if line.position else ""
            told = f"{line.parent} has {key[1]}{where} in line {before} already."
            complaints.add(DuplicateBomLineError, line.number, told)
