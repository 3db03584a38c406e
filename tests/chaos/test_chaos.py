"""The short form of `make chaos`: every kind of fault once, over a few jobs.

The seed is fixed, so that a run of the tests says the same today and tomorrow; CHAOS_SEED chooses another.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.__main__ import Run
from tests.chaos.faults import FAULTS

SEED = int(os.environ.get("CHAOS_SEED", "1"))


def run_round(folder: Path, *words: str) -> tuple[dict[str, Any], str]:
    """The report of one round of the seed, and all that was printed."""
    begin = [sys.executable, "-m", "tests.chaos", "--rounds", "1", "--seed", str(SEED), "--keep-logs"]
    done = subprocess.run(
        [*begin, "--folder", str(folder), *words], capture_output=True, text=True, check=False
    )
    told = f"{done.stdout}\n{done.stderr[-4000:]}\nCHAOS_SEED={SEED} does it again; logs are in {folder}."
    assert done.returncode == 0, told
    return json.loads((folder / f"round-{SEED}.json").read_text()), told


@pytest.mark.stack
def test_nothing_is_lost_whatever_goes_wrong(tmp_path: Path) -> None:
    report, told = run_round(tmp_path, "--jobs", "48", "--seconds", "15")
    assert report["holds"], told
    assert report["jobs"].get("succeeded", 0) > 24, told
    if report["left_out"]:
        pytest.skip(f"held without: {', '.join(report['left_out'])}")
    assert set(report["faults"]) == set(FAULTS)


@pytest.mark.stack
def test_the_bundled_model_loses_nothing_either(tmp_path: Path) -> None:
    kinds = ("kill", "database-cut", "redis-restart")
    report, told = run_round(
        tmp_path, "--studio", "--jobs", "4", "--seconds", "1", "--kinds", ",".join(kinds)
    )
    assert report["holds"], told
    assert report["jobs"].get("succeeded", 0) >= 4, told
    assert set(report["faults"]) == set(kinds)


@pytest.mark.parametrize(
    ("finished", "asked", "seed", "done"),
    [(False, None, 7, 1), (False, 7, 7, 1), (False, 8, 8, 0), (True, 7, 7, 0)],
)
def test_a_run_that_was_stopped_goes_on_behind_its_last_whole_round(
    tmp_path: Path, finished: bool, asked: int | None, seed: int, done: int
) -> None:
    rounds = [{"seed": 7, "holds": True, "seconds": 60.0}]
    (tmp_path / "run.json").write_text(json.dumps({"seed": 7, "finished": finished, "done": rounds}))
    run = Run.resume(argparse.Namespace(folder=tmp_path, seed=asked))
    assert (run.seed, len(run.done)) == (seed, done)
