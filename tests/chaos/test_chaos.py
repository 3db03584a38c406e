"""The short form of `make chaos`: every kind of fault once, over a few jobs.

The seed is fixed, so that a run of the tests says the same today and tomorrow; CHAOS_SEED chooses another.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.chaos.faults import FAULTS
from tests.chaos.rounds import Plan, run_round
from tests.support.servers import Postgres

SEED = int(os.environ.get("CHAOS_SEED", "1"))


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    """A PostgreSQL server that nobody else uses: it is restarted."""
    with tempfile.TemporaryDirectory(prefix="mfgviz-pg-") as folder:
        made = Postgres(Path(folder))
        made.hurry()
        yield made
        made.close()


@pytest.mark.stack
def test_nothing_is_lost_whatever_goes_wrong(server: Postgres, tmp_path: Path) -> None:
    told: list[str] = []
    report = run_round(Plan(SEED, jobs=48, seconds=15.0), server, told.append, tmp_path / "logs")
    (tmp_path / "report.json").write_text(json.dumps(report.as_json(), indent=1))
    whole = "\n".join([*told, report.text(), f"CHAOS_SEED={SEED} does it again; logs: {tmp_path}"])
    assert not report.violations, whole
    assert report.jobs.get("succeeded", 0) > 24, whole
    missing = set(FAULTS) - set(report.by_kind)
    if report.left_out:
        pytest.skip(f"held without: {', '.join(report.left_out)}")
    assert not missing


@pytest.mark.stack
def test_the_bundled_model_loses_nothing_either(server: Postgres, tmp_path: Path) -> None:
    told: list[str] = []
    kinds = ("kill", "database-cut", "redis-restart")
    plan = Plan(SEED, jobs=8, seconds=1.0, studio=True, kinds=kinds)
    report = run_round(plan, server, told.append, tmp_path / "logs")
    assert not report.violations, "\n".join([*told, report.text()])
    assert report.jobs.get("succeeded", 0) > 4, report.text()
