"""Schedules: due once among many workers, missed times, failures, and what their tasks do."""

from __future__ import annotations

import threading
from datetime import UTC, datetime

import pytest
from sqlalchemy import select, update

from mfgviz import chores, schedules, wire
from mfgviz.chores import CHORES, Chore
from mfgviz.errors import (
    DuplicateScheduleError,
    InvalidFilterError,
    InvalidScheduleError,
    MfgvizError,
    ScheduleBusyError,
    ScheduleNotFoundError,
    TemplateNotFoundError,
)
from mfgviz.records import AuditEntry, Schedule, utcnow
from mfgviz.schedules import next_after
from tests.unit.automation.conftest import Shop

BUSY_S = 100.0


def add(
    shop: Shop, name: str = "nightly", task: str = "sweep", cron: str = "0 3 * * *", **arguments: object
) -> None:
    plain = {"name": name, "task": task, "cron": cron, "arguments": arguments}
    shop.service.add_schedule(wire.read(wire.NewScheduleBody, plain))


def make_due(shop: Shop, days_ago: float = 0.01) -> None:
    with shop.runtime.db.begin() as session:
        session.execute(update(Schedule).values(next_at=utcnow(-days_ago * 86_400)))


def take(shop: Shop) -> list[int]:
    with shop.runtime.db.begin() as session:
        return schedules.take_due(session, BUSY_S)


def test_the_next_time() -> None:
    at = datetime(2026, 2, 27, 3, 0, tzinfo=UTC)
    assert next_after("0 3 * * *", at) == datetime(2026, 2, 28, 3, 0, tzinfo=UTC)
    assert next_after("30 2 1 * *", at) == datetime(2026, 3, 1, 2, 30, tzinfo=UTC)
    assert next_after("*/15 * * * *", at.replace(minute=14)) == at.replace(minute=15)
    for wrong in ("", "nightly", "0 3 * *", "61 * * * *", "0 3 30 2 *", "* * * * * *", "0 " * 100):
        with pytest.raises(InvalidScheduleError):
            next_after(wrong, at)


def test_a_due_schedule_is_taken_once_among_many_and_missed_times_count_once(shop: Shop) -> None:
    add(shop)
    assert take(shop) == []
    make_due(shop, days_ago=9.0)  # nine nights were missed
    taken: list[int] = []
    barrier = threading.Barrier(4)

    def claim() -> None:
        barrier.wait()
        taken.extend(take(shop))

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == 1
    assert take(shop) == []
    told: list[str | None] = []
    threads = [
        threading.Thread(target=lambda: told.append(schedules.run(shop.runtime, taken[0]))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(one is not None for one in told) == [False, False, True]  # the message came three times
    after = shop.service.schedule("nightly")
    assert (after.last_outcome, after.last_error_code) == ("succeeded", None)
    assert after.next_at > datetime.now(UTC)
    assert after.last_message is not None
    assert after.last_message.startswith("Requeued 0 jobs")
    with shop.runtime.db.read() as session:
        entry = session.scalars(select(AuditEntry).where(AuditEntry.action == "schedule.ran")).one()
    assert entry.actor == "ann"
    assert entry.details["door"] == {"door": "schedule", "schedule": "nightly"}


def test_one_that_fails_says_so_and_stops_no_other(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> str:
        raise MfgvizError("The shelf is empty.", remedy="Fill it.")

    def break_down(*_: object) -> str:
        raise ZeroDivisionError("oh")

    monkeypatch.setitem(CHORES, "refuses", Chore("", {}, refuse))
    monkeypatch.setitem(CHORES, "breaks", Chore("", {}, break_down))
    for name in ("refuses", "breaks", "sweep"):
        add(shop, name, name)
    make_due(shop)
    taken = take(shop)
    assert len(taken) == 3
    for one in taken:
        schedules.run(shop.runtime, one)
    found = {one.name: (one.last_outcome, one.last_error_code) for one in shop.service.schedules()}
    assert found == {
        "refuses": ("failed", "mfgviz"), "breaks": ("failed", "unexpected"), "sweep": ("succeeded", None)
    }  # fmt: skip
    told = {one.payload["subject"]: one.payload["message"] for one in shop.events("schedule.failed")}
    assert told == {"refuses": "The shelf is empty.", "breaks": "ZeroDivisionError: oh"}
    make_due(shop)  # and it is tried again the next time
    assert len(take(shop)) == 3


def test_one_that_runs_is_not_begun_again_until_its_worker_must_be_dead(shop: Shop) -> None:
    add(shop)
    make_due(shop)
    take(shop)
    with shop.runtime.db.begin() as session:
        session.execute(update(Schedule).values(last_outcome="running", last_at=utcnow(-BUSY_S / 2)))
    make_due(shop)
    assert take(shop) == []
    with pytest.raises(ScheduleBusyError):
        shop.service.run_schedule("nightly")
    with shop.runtime.db.begin() as session:
        session.execute(update(Schedule).values(last_at=utcnow(-BUSY_S * 2)))
    assert len(take(shop)) == 1


def test_run_now_enable_disable_remove(shop: Shop) -> None:
    add(shop)
    before = shop.service.schedule("nightly").next_at
    assert shop.service.run_schedule("nightly").last_outcome == "due"
    with shop.runtime.db.read() as session:
        (waiting,) = schedules.waiting(session)
    assert schedules.run(shop.runtime, waiting) is not None
    assert shop.service.schedule("nightly").next_at == before
    assert not shop.service.enable_schedule("nightly", wire.EnabledBody(enabled=False)).enabled
    make_due(shop)
    assert take(shop) == []
    shop.service.enable_schedule("nightly", wire.EnabledBody(enabled=True))
    assert take(shop) == []  # what was missed meanwhile was not wanted
    shop.service.remove_schedule("nightly")
    assert schedules.run(shop.runtime, waiting) is None
    with pytest.raises(ScheduleNotFoundError):
        shop.service.schedule("nightly")


def test_what_cannot_be_scheduled_adds_nothing(shop: Shop) -> None:
    refresh = {"name": "n", "task": "catalog-refresh", "cron": "0 3 * * *"}
    refused: list[tuple[dict[str, object], type[Exception], str]] = [
        ({"name": "n", "task": "dance", "cron": "0 3 * * *"}, InvalidScheduleError, "no task 'dance'"),
        ({"name": "n", "task": "sweep", "cron": "now"}, InvalidScheduleError, "no time"),
        (
            {"name": "n", "task": "sweep", "cron": "0 3 * * *", "arguments": {"x": 1}},
            InvalidScheduleError,
            "no argument",
        ),
        ({**refresh, "arguments": {"all": True}}, InvalidScheduleError, "needs the argument template"),
        ({**refresh, "arguments": {"template": "hero"}}, InvalidScheduleError, "Without a condition"),
        ({**refresh, "arguments": {"template": "none", "all": True}}, TemplateNotFoundError, "none"),
        ({**refresh, "arguments": {"template": "hero", "where": "part."}}, InvalidFilterError, "filter"),
        ({**refresh, "arguments": {"template": "hero", "all": 1}}, InvalidScheduleError, "of the kind bool"),
        (
            {**refresh, "arguments": {"template": "hero", "all": True, "views": "iso,x"}},
            InvalidScheduleError,
            "'x'",
        ),
        (
            {**refresh, "arguments": {"template": "hero", "all": True, "priority": "x"}},
            InvalidScheduleError,
            "'x'",
        ),
    ]
    for plain, error, told in refused:
        with pytest.raises(error, match=told):
            shop.service.add_schedule(wire.read(wire.NewScheduleBody, plain))
    assert shop.service.schedules() == []
    add(shop, "n")
    with pytest.raises(DuplicateScheduleError):
        add(shop, "n")


def test_a_catalogue_refresh_asks_for_the_newest_released_revisions_once(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chores, "REVISIONS_AT_ONCE", 2)
    for number in ("GEAR-1", "GEAR-2", "GEAR-3", "PLATE-1"):
        shop.part(number, material="brass", category=number[:4].lower())
        for label in "AB":
            shop.release(shop.revise(number, label))
        shop.revise(number, "C")  # in work
    shop.part("GEAR-4", material="steel", category="gear")
    shop.release(shop.revise("GEAR-4", "A", shape=None))  # nothing to render
    add(
        shop,
        "catalogue",
        "catalog-refresh",
        template="hero",
        where="part.attributes.category == 'gear'",
        views="iso",
    )
    make_due(shop)
    (schedule_id,) = take(shop)
    told = schedules.run(shop.runtime, schedule_id) or ""
    assert told.startswith("3 new jobs, 0 wait already, 0 are done already. 1 revisions cannot be rendered")
    for number in ("GEAR-1", "GEAR-2", "GEAR-3"):
        (job,) = shop.jobs_of(f"{number}@B")
        assert (job.requester, job.priority) == ("ann", 0)
        assert shop.jobs_of(f"{number}@A") == shop.jobs_of(f"{number}@C") == []
    shop.finish()
    make_due(shop)
    (schedule_id,) = take(shop)
    assert (schedules.run(shop.runtime, schedule_id) or "").startswith(
        "0 new jobs, 0 wait already, 3 are done"
    )


def test_blobs_are_not_collected_beside_workers_without_a_day_of_grace(shop: Shop) -> None:
    garbage = shop.runtime.blobs.put(b"garbage")
    with pytest.raises(InvalidScheduleError, match="1 at least") as caught:
        CHORES["collect-blobs"].run(shop.runtime, "ann", {"grace_days": 0})
    assert "db collect-blobs" in caught.value.remedy
    assert shop.runtime.blobs.exists(garbage)
