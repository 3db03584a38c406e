"""Sets of digests that are larger than memory: in a temporary file that SQLite keeps."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from typing import TypeVar

T = TypeVar("T")
AT_ONCE = 5_000
_CACHE_KIB = 32 * 1024
# Opens a bar for that much work (None: nobody knows), which is moved on by what it yields.
Progress = Callable[[str, int | None], AbstractContextManager[Callable[[int], None]]]


@contextmanager
def untold(_what: str, _total: int | None) -> Iterator[Callable[[int], None]]:
    """Progress that nobody looks at."""
    yield lambda _n: None


class DigestSet:
    """Digests, each once. Close it, or use it as a block; its file is gone then."""

    def __init__(self, digests: Iterable[str] = ()) -> None:
        # An empty name is a file of SQLite's own, which it deletes.
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.execute("PRAGMA journal_mode=OFF")
        self._db.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        self._db.execute("CREATE TABLE digests (digest TEXT PRIMARY KEY) WITHOUT ROWID")
        self.add(digests)

    def __enter__(self) -> DigestSet:
        return self

    def __exit__(self, *_: object) -> None:
        self._db.close()

    def __len__(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM digests").fetchone()[0])

    def __iter__(self) -> Iterator[str]:
        for (digest,) in self._db.execute("SELECT digest FROM digests ORDER BY digest"):
            yield digest

    def add(self, digests: Iterable[str]) -> None:
        """Put them in."""
        self._db.execute("BEGIN")
        self._db.executemany("INSERT OR IGNORE INTO digests VALUES (?)", ((one,) for one in digests))
        self._db.execute("COMMIT")

    def lacks(self, digests: Collection[str]) -> set[str]:
        """Those of a few thousand digests that are not in it."""
        wanted = list(set(digests))
        marks = ",".join("?" * len(wanted))
        found = self._db.execute(f"SELECT digest FROM digests WHERE digest IN ({marks})", wanted)  # noqa: S608
        return set(wanted).difference(row[0] for row in found)

    def minus(self, other: DigestSet) -> Iterator[str]:
        """Those that are not in the other, in order."""
        for some in in_batches(self, AT_ONCE):
            yield from sorted(other.lacks(some))


def in_batches(things: Iterable[T], size: int) -> Iterator[list[T]]:
    """As `itertools.batched`, which Python 3.11 has not."""
    iterator = iter(things)
    while some := list(islice(iterator, size)):
        yield some
