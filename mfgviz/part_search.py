"""Parts in pages: all of them by number, or those that hold a text, the likeliest first.

People type how a number or a name begins. So what begins with the text comes first, by two indexes that are
in that order; what holds it elsewhere follows. Of a million parts a word that ten thousand have is then a
page from an index, however far from the first numbers they stand.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Row,
    Select,
    Text,
    and_,
    case,
    cast,
    collate,
    func,
    literal,
    literal_column,
    or_,
    select,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY, array
from sqlalchemy.orm import InstrumentedAttribute, Session, aliased

from mfgviz.records import Part

# How many parts a search reads in the order of their numbers before it looks for rarer ones; a quarter of
# them for a text of LONG characters, which is likely to be a rare one.
LOOKED_THROUGH, LONG = 4_000, 8
# Where a part stands among those that are found: its number begins so, or its name does, or neither.
BY_NUMBER, BY_NAME, ELSEWHERE = range(3)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a part stands in the order of a search: its rank, its folded number or name (empty of the last
    rank), its number."""

    rank: int
    key: str
    number: str


@dataclass(frozen=True, slots=True)
class SearchText:
    """What is looked for: as it was typed, and as the database folds it to small letters."""

    typed: str
    low: str
    is_postgresql: bool

    @classmethod
    def read(cls, session: Session, typed: str) -> SearchText:
        """The text, folded by the database that will compare with it."""
        low = session.scalar(select(func.lower(literal(typed)))) or ""
        return cls(typed, low, session.get_bind().dialect.name == "postgresql")

    def folded(self, column: ColumnElement[str] | InstrumentedAttribute[str]) -> ColumnElement[str]:
        """The column as the indexes of migration 0007 hold it: in small letters, by code points."""
        low = func.lower(column)
        return collate(low, "C") if self.is_postgresql else low

    def begins(self, column: ColumnElement[str] | InstrumentedAttribute[str]) -> ColumnElement[bool]:
        """Whether the column begins with the text: a range of its index."""
        low, beyond = self.folded(column), following(self.low)
        return and_(low >= self.low, low < beyond) if beyond else low >= self.low

    def holds(self, *columns: ColumnElement[str] | InstrumentedAttribute[str]) -> ColumnElement[bool]:
        """Whether one of the columns holds the text."""
        pattern = "%" + self.typed.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
        return or_(*(column.ilike(pattern, escape="\\") for column in columns))

    def order(
        self,
        number: ColumnElement[str] | InstrumentedAttribute[str],
        name: ColumnElement[str] | InstrumentedAttribute[str],
    ) -> tuple[ColumnElement[int], ColumnElement[str]]:
        """The rank of a part, and what those of one rank are ordered by before their numbers."""
        first, second = self.begins(number), self.begins(name)
        rank = case((first, BY_NUMBER), (second, BY_NAME), else_=ELSEWHERE)
        key = case((first, func.lower(number)), (second, func.lower(name)), else_="")
        return rank, collate(key, "C") if self.is_postgresql else key

    def place_of(self, session: Session, number: str) -> Place:
        """Where the part of that number stands; one that is not there, as if it had no name."""
        known = select(Part.name).where(Part.number == number).scalar_subquery()
        part = select(literal(number).label("number"), func.coalesce(known, "").label("name")).subquery()
        found: Row[int, str, str] = session.execute(
            select(*self.order(part.c.number, part.c.name), part.c.number)
        ).one()
        return Place(*found)


def following(text: str) -> str:
    """The first text, by code points, behind all that begin with `text`; empty: there is none."""
    for end in range(len(text), 0, -1):
        code = ord(text[end - 1]) + 1
        if code <= 0x10FFFF:
            return text[: end - 1] + chr(0xE000 if code == 0xD800 else code)
    return ""


def list_parts(session: Session, *, search: str = "", limit: int = 100, after: str = "") -> list[Part]:
    """Parts after that number: all of them by number, or those that hold `search` in number or name.

    First come parts whose number begins with it, then those whose name does, then the others by number. Of
    these, what many parts hold is soon found in the order of the numbers; what was not found among the first
    LOOKED_THROUGH is rare enough to be looked up by its pairs and triples of characters, on PostgreSQL.
    """
    if not search:
        return list(session.scalars(parts_query(limit, after)))
    text = SearchText.read(session, search)
    place = text.place_of(session, after) if after else None
    if not text.is_postgresql:
        return list(session.scalars(ranked_query(text, limit, place)))
    found: list[Part] = []
    for rank in range(place.rank if place else BY_NUMBER, ELSEWHERE + 1):
        behind = place if place and place.rank == rank else None
        for query in _queries(text, rank, limit - len(found), behind):
            more = list(session.scalars(query))
            if len(more) == limit - len(found):
                return found + more
        found += more
    return found


def _queries(text: SearchText, rank: int, limit: int, behind: Place | None) -> Iterator[Select[Part]]:
    """The queries for parts of that rank; a later one where those before it did not find `limit`."""
    if rank != ELSEWHERE:
        yield beginning_query(text, rank, limit, behind)
        return
    after = behind.number if behind else ""
    yield near_query(text, limit, after)
    yield grams_query(text, limit, after) if len(text.typed) > 1 else elsewhere_query(text, limit, after)


def parts_query(limit: int, after: str = "") -> Select[Part]:
    """The production query of a page of parts."""
    query = select(Part).order_by(Part.number).limit(limit)
    return query.where(Part.number > after) if after else query


def ranked_query(text: SearchText, limit: int, behind: Place | None = None) -> Select[Part]:
    """Parts that hold the text, in the order of a search: it reads all there are."""
    rank, key = text.order(Part.number, Part.name)
    query = select(Part).where(text.holds(Part.number, Part.name)).order_by(rank, key, Part.number)
    if behind:
        query = query.where(
            tuple_(rank, key, Part.number) > tuple_(literal(behind.rank), literal(behind.key), behind.number)
        )
    return query.limit(limit)


def beginning_query(text: SearchText, rank: int, limit: int, behind: Place | None = None) -> Select[Part]:
    """The production query for parts whose number, or whose name alone, begins with the text."""
    key = text.folded(Part.number if rank == BY_NUMBER else Part.name)
    query = select(Part).order_by(key, Part.number).limit(limit)
    if rank == BY_NUMBER:
        query = query.where(text.begins(Part.number))
    else:
        query = query.where(text.begins(Part.name), ~text.begins(Part.number))
    if behind:
        query = query.where(tuple_(key, Part.number) > tuple_(literal(behind.key), behind.number))
    return query


def near_query(text: SearchText, limit: int, after: str = "") -> Select[Part]:
    """The production query for parts that hold the text elsewhere, among the next LOOKED_THROUGH."""
    looked_through = LOOKED_THROUGH if len(text.typed) < LONG else -(-LOOKED_THROUGH // 4)
    near = parts_query(looked_through, after).subquery()
    part = aliased(Part, near)
    return select(part).where(_elsewhere(text, part)).order_by(part.number).limit(limit)


def elsewhere_query(text: SearchText, limit: int, after: str = "") -> Select[Part]:
    """Parts that hold the text elsewhere, by reading all until there are enough."""
    return parts_query(limit, after).where(_elsewhere(text, Part))


def grams_query(text: SearchText, limit: int, after: str = "") -> Select[Part]:
    """The production query for parts that hold a rare text elsewhere, by the index of `mfgviz_grams`."""
    # Every third triple is enough: the index reads a long list for each, and what it finds is compared.
    size = min(3, len(text.low))
    places = [*range(0, len(text.low) - size, 3), len(text.low) - size]
    grams = array([literal(text.low[place : place + size]) for place in places])
    holds = _GRAMS.op("@>")(cast(grams, ARRAY(Text)))
    found = select(Part.id, Part.number).where(holds, _elsewhere(text, Part))
    if after:
        found = found.where(Part.number > after)
    # Materialized, or the planner would rather read the parts in the order of their numbers.
    pairs = found.cte("found").prefix_with("MATERIALIZED", dialect="postgresql")
    ids = select(pairs.c.id).order_by(pairs.c.number).limit(limit)
    return select(Part).where(Part.id.in_(ids)).order_by(Part.number)


# As the index has it, see migration 0006.
_GRAMS: ColumnElement[Any] = literal_column("mfgviz_grams(parts.number || E'\\n' || parts.name, '{2,3}')")


def _elsewhere(text: SearchText, part: type[Part]) -> ColumnElement[bool]:
    begins = or_(text.begins(part.number), text.begins(part.name))
    return and_(text.holds(part.number, part.name), ~begins)
