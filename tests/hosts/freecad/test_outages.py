"""Servers die and FreeCADs are closed; nothing that was asked for is lost."""

from __future__ import annotations

import signal
from pathlib import Path

from tests.hosts.freecad.conftest import SAMPLE, Play, Result, Service, free_port, player, user_folder
from tests.hosts.freecad.test_rendering import check_gaps, freezes

# A worker that was killed holds its job for as long as its lease.
QUICK = {"MFGVIZ_LEASE_S": "4", "MFGVIZ_SWEEP_INTERVAL_S": "0.5", "MFGVIZ_RETRY_DELAY_S": "0.2"}


def test_a_killed_server_and_a_closed_freecad_are_survived(freecad: Path, tmp_path: Path) -> None:
    if freezes(outage(freecad, tmp_path / "once")):  # what the add-on does, it does each time
        check_gaps(outage(freecad, tmp_path / "again"))


def outage(freecad: Path, folder: Path) -> Result:
    own_service = Service(folder / "data", free_port(), QUICK).start()
    try:
        return survives(player(freecad, user_folder(folder), folder), own_service)
    finally:
        own_service.end()


def survives(play: Play, own_service: Service) -> Result:
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

    again = play("reopened", renders=6 + 1 + 6)
    assert again.seen["followed"] == [seen["third"]]
    assert own_service.get(f"/jobs/{seen['third']}")["state"] == "succeeded"
    assert again.seen["material"] == "steel"  # as the server has it
    assert "6 renders attached to OUT-1@A" in again.seen["told"]
    return played
