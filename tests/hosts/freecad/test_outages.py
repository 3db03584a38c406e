"""Servers die and FreeCADs are closed; nothing that was asked for is lost."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.hosts.freecad.conftest import SAMPLE, Play, Service, free_port
from tests.hosts.freecad.test_rendering import check_gaps

# A worker that was killed holds its job for as long as its lease.
QUICK = {"MFGVIZ_LEASE_S": "4", "MFGVIZ_SWEEP_INTERVAL_S": "0.5", "MFGVIZ_RETRY_DELAY_S": "0.2"}


@pytest.fixture
def own_service(freecad: Path, tmp_path: Path) -> Iterator[Service]:
    del freecad
    running = Service(tmp_path / "data", free_port(), QUICK).start()
    yield running
    running.end()


def test_a_killed_server_and_a_closed_freecad_are_survived(play: Play, own_service: Service) -> None:
    answers = {
        "kill the server": lambda: own_service.end(signal.SIGKILL),
        "start the server": lambda: own_service.start() and None,
    }
    played = play(
        "outage", connect=own_service.connect, answers=answers, file=str(SAMPLE.with_name("heatsink.step"))
    )
    seen = played.seen
    assert "Start it with `mfgviz up`" in seen["outage"]
    assert "Your jobs go on there" in seen["outage"]
    assert "was not sent, and is kept" in seen["kept"]
    assert (seen["left"], seen["notice"]) == (0, "")
    jobs = {job["id"]: job for job in own_service.get("/jobs")["items"]}
    assert sorted(jobs) == [seen["first"], seen["second"], seen["third"]]
    assert jobs[seen["first"]]["state"] == jobs[seen["second"]]["state"] == "succeeded"
    check_gaps(played)

    again = play("reopened", renders=6 + 1 + 6)
    assert again.seen["followed"] == [seen["third"]]
    assert own_service.get(f"/jobs/{seen['third']}")["state"] == "succeeded"
    assert again.seen["material"] == "steel"  # as the server has it
    assert "6 renders attached to OUT-1@A" in again.seen["told"]
