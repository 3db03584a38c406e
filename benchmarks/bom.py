"""Where-used in a bill of material of 100,000 lines in 12 levels, and a batch over one of 2,000 lines."""

from __future__ import annotations

import itertools
import random
import time
from collections.abc import Callable

from sqlalchemy import insert, select, text, update

from benchmarks.queue import CAPABILITIES
from benchmarks.servers import Servers
from mfgviz import batches, bom
from mfgviz.batches import Over
from mfgviz.bom import FileLine
from mfgviz.database import Database
from mfgviz.models import add_model
from mfgviz.models_folder import ModelSpec
from mfgviz.records import Geometry, Part, PartRevision
from mfgviz.settings import Settings

LINES, LEVELS, GROWTH = 100_000, 12, 2.0
# Each part is in one assembly of the level above, and some of them in more.
USES = 1.5
LOOKS = 400
BATCH_LINES, BATCH_SHAPES, BATCH_VIEWS = 2_000, 300, ("iso", "front")


def run(servers: Servers) -> dict[str, float]:
    """Times of an import, of where-used, and of a batch."""
    figures: dict[str, float] = {}
    for part in (_where_used, _batch):
        db = servers.fresh_database()
        try:
            figures |= part(db)
        finally:
            db.dispose()
    return figures


def _where_used(db: Database) -> dict[str, float]:
    pick = random.Random(12)
    levels = _levels()
    _fill(db, [number for level in levels for number in level])
    lines = _lines(levels, pick)
    started = time.perf_counter()
    with db.begin() as session:
        done = bom.import_lines(session, lines, "the benchmark's file", "bench")
    took_s = time.perf_counter() - started
    assert done.added == LINES
    with db.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE"))
    numbers = [number for level in levels[1:] for number in level]
    asked = pick.sample(numbers, LOOKS)
    most = max(_counts(lines).items(), key=lambda pair: pair[1])[0]
    ids = _part_ids(db, [*asked, most])
    found: list[int] = []
    times = [_timed(lambda part=part: found.append(_look(db, part))) for part in ids]  # type: ignore[misc]
    common_ms, times = times[-1], sorted(times[:-1])
    return {
        "bom_import_lines_per_s": LINES / took_s,
        "where_used_p50_ms": times[len(times) // 2],
        "where_used_p95_ms": times[int(len(times) * 0.95)],
        "where_used_ancestors_mean": sum(found[:-1]) / LOOKS,
        "where_used_most_used_ms": common_ms,
        "where_used_most_used_ancestors": found[-1],
    }


def _timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return (time.perf_counter() - started) * 1000


def _look(db: Database, part_id: int) -> int:
    with db.read() as session:
        return len(bom.where_used(session, part_id))


def _levels() -> list[list[str]]:
    """Part numbers by level: each level is twice as wide as the one above."""
    parts = LINES / USES
    first = parts / sum(GROWTH**level for level in range(LEVELS + 1))
    widths = [max(1, round(first * GROWTH**level)) for level in range(LEVELS + 1)]
    return [[f"L{level:02d}-{n:06d}" for n in range(width)] for level, width in enumerate(widths)]


def _lines(levels: list[list[str]], pick: random.Random) -> list[FileLine]:
    """So many lines: each part in one assembly of the level above, the rest between random neighbours."""
    pairs: dict[tuple[str, str], None] = {}
    for above, level in itertools.pairwise(levels):
        for number in level:
            pairs[pick.choice(above), number] = None
    while len(pairs) < LINES:
        at = pick.choices(range(1, len(levels)), [len(level) for level in levels[1:]])[0]
        pairs[pick.choice(levels[at - 1]), pick.choice(levels[at])] = None
    chosen = list(pairs)[:LINES]
    return [FileLine(n, f"{up}@A", down, pick.randint(1, 8)) for n, (up, down) in enumerate(chosen, 2)]


def _counts(lines: list[FileLine]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for line in lines:
        counts[line.child] = counts.get(line.child, 0) + 1
    return counts


def _fill(db: Database, numbers: list[str]) -> None:
    """Parts with a released revision A each."""
    with db.begin() as session:
        rows = [{"number": number, "created_by": "bench", "attributes": {}} for number in numbers]
        ids = session.scalars(insert(Part).returning(Part.id), rows).all()
        made = [{"part_id": one, "label": "A", "state": "released", "created_by": "bench"} for one in ids]
        session.execute(insert(PartRevision), made)


def _part_ids(db: Database, numbers: list[str]) -> list[int]:
    with db.read() as session:
        found = dict(session.execute(select(Part.number, Part.id).where(Part.number.in_(numbers))).all())
    return [found[number] for number in numbers]


# -- a batch ------------------------------------------------------------------------------------------------
def _batch(db: Database) -> dict[str, float]:
    """From the request to the committed jobs: a bill of material of 2,000 lines, with 300 shapes."""
    numbers = [f"B-{n:05d}" for n in range(BATCH_LINES)]
    with db.begin() as session:
        spec = ModelSpec("studio", "studio", "bundled:studio", weights_digest="b" * 64)
        add_model(session, spec, CAPABILITIES, "bench")
    _fill(db, ["TOP", *numbers])
    _attach(db, numbers)
    lines = [FileLine(n, "TOP@A", number, 2) for n, number in enumerate(numbers, 2)]
    with db.begin() as session:
        bom.import_lines(session, lines, "the benchmark's file", "bench")
    ask = {"prompt": "brushed aluminium, studio light", "views": list(BATCH_VIEWS)}
    started = time.perf_counter()
    with db.begin() as session:
        made = batches.make(session, Settings(), Over("TOP@A"), ask, "bench")
    took_s = time.perf_counter() - started
    return {
        "bom_batch_submit_s": took_s,
        "bom_batch_jobs_per_view": len(made.new_jobs) / len(BATCH_VIEWS),
    }


def _attach(db: Database, numbers: list[str]) -> None:
    """A CAD file of its own for each revision, of 300 shapes."""
    with db.begin() as session:
        rows = [
            {
                "digest": f"{n:064x}", "size_bytes": 1000, "file_name": "part.step", "state": "read",
                "format": "step", "shape_digest": f"{n % BATCH_SHAPES:064x}", "facts": {"solids": 1},
            }
            for n in range(len(numbers))
        ]  # fmt: skip
        ids = session.scalars(insert(Geometry).returning(Geometry.id), rows).all()
        revisions = select(PartRevision.id).join(Part).where(Part.number != "TOP").order_by(Part.number)
        pairs = zip(session.scalars(revisions.where(Part.number.in_(numbers))), ids, strict=True)
        session.execute(
            update(PartRevision), [{"id": revision, "geometry_id": geometry} for revision, geometry in pairs]
        )
