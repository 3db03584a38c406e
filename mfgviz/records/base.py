"""What all tables share: types of columns, the database's clock, naming."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    DateTime,
    Dialect,
    Float,
    Integer,
    MetaData,
    Select,
    String,
    TypeDecorator,
    select,
    text,
    union_all,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class UtcDateTime(TypeDecorator[datetime]):
    """A moment in UTC: timestamptz on PostgreSQL, text on SQLite. Refuses naive times."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Turn an aware time into UTC."""
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError(f"{value} has no time zone")
        utc = value.astimezone(UTC)
        return utc.replace(tzinfo=None) if dialect.name == "sqlite" else utc

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        """Say that what the database holds is UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if dialect.name == "sqlite" else value.astimezone(UTC)


class utcnow(FunctionElement[datetime]):  # noqa: N801 - it is used as a function, as sqlalchemy.func's are
    """The database's clock, plus an offset in seconds."""

    type = UtcDateTime()
    inherit_cache = False

    def __init__(self, offset_s: float = 0.0) -> None:
        super().__init__()
        self.offset_s = float(offset_s)


@compiles(utcnow, "postgresql")
def _utcnow_postgresql(element: utcnow, _compiler: SQLCompiler, **_kw: Any) -> str:
    return f"(statement_timestamp() + interval '{element.offset_s:.6f} seconds')"


@compiles(utcnow, "sqlite")
def _utcnow_sqlite(element: utcnow, _compiler: SQLCompiler, **_kw: Any) -> str:
    # SQLAlchemy reads six digits of a second; %f writes three.
    return f"(strftime('%Y-%m-%d %H:%M:%f', 'now', '{element.offset_s:+.3f} seconds') || '000')"


class seconds_between(FunctionElement[float]):  # noqa: N801 - as above
    """How long it is from one moment to another, in seconds."""

    type = Float()
    inherit_cache = True
    name = "seconds_between"


@compiles(seconds_between, "postgresql")
def _seconds_postgresql(element: seconds_between, compiler: SQLCompiler, **kw: Any) -> str:
    first, last = (compiler.process(one, **kw) for one in element.clauses)
    return f"extract(epoch from ({last} - {first}))::double precision"


@compiles(seconds_between, "sqlite")
def _seconds_sqlite(element: seconds_between, compiler: SQLCompiler, **kw: Any) -> str:
    first, last = (compiler.process(one, **kw) for one in element.clauses)
    return f"((julianday({last}) - julianday({first})) * 86400.0)"


JsonValue = JSON().with_variant(JSONB(), "postgresql")
Id = BigInteger().with_variant(Integer(), "sqlite")
DIGEST = String(64)
NOW = text("CURRENT_TIMESTAMP")

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}


def any_of(pages: Iterable[Select[int]]) -> Select[int]:
    """The ids of several pages together. One page of each value of a column is read from an index over the
    column and the id, where one page of several values is sorted out of all rows that have them."""
    return select(union_all(*(select(page.subquery()) for page in pages)).subquery())


class Record(DeclarativeBase):
    """What all tables share."""

    metadata = MetaData(naming_convention=NAMING)
    type_annotation_map = {datetime: UtcDateTime(), dict[str, Any]: JsonValue, list[str]: JsonValue}  # noqa: RUF012


def one_of(column: str, enum: type[StrEnum]) -> CheckConstraint:
    words = ", ".join(f"'{member.value}'" for member in enum)
    return CheckConstraint(f"{column} IN ({words})", name=f"{column}_word")


def primary() -> Mapped[int]:
    return mapped_column(Id, primary_key=True, autoincrement=True)


def created() -> Mapped[datetime]:
    return mapped_column(server_default=NOW)
