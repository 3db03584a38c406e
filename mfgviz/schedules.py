"""Schedules: what is done at set times, in UTC, once however many workers there are.

A schedule that is due is taken by one guarded UPDATE, which also sets when it is due next: behind now, so
that times that were missed count once. It is `due` until a worker begins to run it, once again by a guarded
UPDATE; a lost message is sent again, and a second one finds nothing to do.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from cronsim import CronSim, CronSimError
from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mfgviz.catalog import check_word
from mfgviz.chores import CHORES, check_arguments
from mfgviz.errors import (
    DuplicateScheduleError,
    InvalidScheduleError,
    MfgvizError,
    ScheduleBusyError,
    ScheduleNotFoundError,
)
from mfgviz.journal import audit, came_from, tell_refusal
from mfgviz.records import Schedule, utcnow
from mfgviz.runtime import Runtime
from mfgviz.vocabulary import EventKind

log = logging.getLogger(__name__)

DUE, RUNNING, SUCCEEDED, FAILED = "due", "running", "succeeded", "failed"
UNEXPECTED = "unexpected"


@dataclass(frozen=True, slots=True)
class NewSchedule:
    """A schedule to be added. Raises InvalidScheduleError, InvalidInputError."""

    name: str
    task: str
    cron: str
    arguments: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_word("schedule's name", self.name, 128)
        if self.task not in CHORES:
            raise InvalidScheduleError(
                f"There is no task {self.task!r}.", remedy=f"Tasks are {', '.join(CHORES)}."
            )
        next_after(self.cron, datetime.now(UTC))
        check_arguments(self.task, self.arguments)


def next_after(cron: str, moment: datetime) -> datetime:
    """The first time behind a moment, in UTC, that five cron fields mean.

    Raises:
        InvalidScheduleError: they cannot be read, or never come.
    """
    remedy = "Five fields: minute, hour, day of month, month, day of week; 0 3 * * * is 03:00 UTC each day."
    if len(cron) > 128 or len(cron.split()) != 5:
        raise InvalidScheduleError(f"{cron[:128]!r} is no time of a schedule.", remedy=remedy)
    try:
        return next(CronSim(cron, moment.astimezone(UTC)))
    except CronSimError as error:
        raise InvalidScheduleError(f"{cron!r} is no time of a schedule: {error}.", remedy=remedy) from error
    except StopIteration as error:
        raise InvalidScheduleError(f"{cron!r} never comes.", remedy=remedy) from error


def add_schedule(session: Session, new: NewSchedule, actor: str) -> Schedule:
    """Add a schedule, due at its next time. Raises DuplicateScheduleError, and what its arguments are not."""
    CHORES[new.task].check(session, new.arguments)
    schedule = Schedule(
        name=new.name, task=new.task, crontab=new.cron, arguments=new.arguments, created_by=actor,
        enabled=True, next_at=next_after(new.cron, _now(session)),
    )  # fmt: skip
    try:
        with session.begin_nested():
            session.add(schedule)
    except IntegrityError as error:
        raise DuplicateScheduleError(f"There is a schedule {new.name!r} already.") from error
    told = {"task": new.task, "cron": new.cron, "arguments": new.arguments}
    audit(session, actor, "schedule.added", new.name, told)
    session.refresh(schedule)
    return schedule


def get_schedule(session: Session, name: str) -> Schedule:
    """The schedule of that name. Raises ScheduleNotFoundError."""
    schedule = session.scalar(select(Schedule).where(Schedule.name == name))
    if schedule is None:
        raise ScheduleNotFoundError(f"There is no schedule {name!r}.")
    return schedule


def list_schedules(session: Session) -> list[Schedule]:
    """All schedules, by name."""
    return list(session.scalars(select(Schedule).order_by(Schedule.name)))


def remove_schedule(session: Session, name: str, actor: str) -> None:
    """Do that no more. Raises ScheduleNotFoundError."""
    schedule = get_schedule(session, name)
    session.execute(delete(Schedule).where(Schedule.id == schedule.id))
    audit(session, actor, "schedule.removed", name)


def enable_schedule(session: Session, name: str, actor: str, *, enabled: bool) -> Schedule:
    """Let it be done, from its next time on, or not. Raises ScheduleNotFoundError."""
    schedule = get_schedule(session, name)
    if schedule.enabled != enabled:
        schedule.enabled = enabled
        schedule.next_at = next_after(schedule.crontab, _now(session))
        audit(session, actor, "schedule.enabled" if enabled else "schedule.disabled", name)
    return schedule


def run_now(session: Session, name: str, actor: str, busy_s: float) -> Schedule:
    """Let it be done at once, too. Raises ScheduleNotFoundError, ScheduleBusyError."""
    schedule = get_schedule(session, name)
    taken = session.execute(
        update(Schedule).where(Schedule.id == schedule.id, _idle(busy_s)).values(_as_due())
        .returning(Schedule.id)
    )  # fmt: skip
    if taken.first() is None:
        raise ScheduleBusyError(f"The schedule {name!r} is {schedule.last_outcome} already.")
    audit(session, actor, "schedule.run_now", name)
    session.refresh(schedule)
    return schedule


# -- at its time --------------------------------------------------------------------------------------------
def has_due(session: Session, busy_s: float) -> bool:
    """Whether a schedule is due."""
    return session.scalar(select(Schedule.id).where(_due(busy_s)).limit(1)) is not None


def take_due(session: Session, busy_s: float) -> list[int]:
    """Take the schedules that are due; the ids of those that are this process's to send word of.

    One that began less than `busy_s` seconds ago and has not ended is not taken: it is due until it has.
    """
    now = _now(session)
    taken: list[int] = []
    for schedule in session.scalars(select(Schedule).where(_due(busy_s)).order_by(Schedule.next_at)).all():
        mine = session.scalar(
            update(Schedule)
            .where(Schedule.id == schedule.id, Schedule.next_at == schedule.next_at, _due(busy_s))
            .values(**_as_due(), next_at=next_after(schedule.crontab, now))
            .returning(Schedule.id),
            execution_options={"synchronize_session": False},
        )
        if mine is not None:
            taken.append(mine)
    return taken


def waiting(session: Session) -> list[int]:
    """The ids of those that were taken, and that no worker has begun."""
    return list(session.scalars(select(Schedule.id).where(Schedule.last_outcome == DUE)))


def run(runtime: Runtime, schedule_id: int) -> str | None:
    """Do what waits for a worker; in words, what was done, None where nothing waits.

    Raises:
        UnavailableError: the database does not answer.
    """
    with runtime.db.begin() as session:
        begun = session.execute(
            update(Schedule)
            .where(Schedule.id == schedule_id, Schedule.last_outcome == DUE)
            .values(last_outcome=RUNNING, last_at=utcnow())
            .returning(Schedule.name, Schedule.task, Schedule.arguments, Schedule.created_by)
        ).first()
    if begun is None:
        return None
    name, task, arguments, actor = begun
    token = came_from.set({"door": "schedule", "schedule": name})
    try:
        told = CHORES[task].run(runtime, actor, arguments)
    except MfgvizError as error:
        return _note_failed(runtime, schedule_id, name, actor, error)
    except Exception as error:
        log.exception("schedule %s", name)
        return _note_failed(
            runtime, schedule_id, name, actor, MfgvizError(f"{type(error).__name__}: {error}"), UNEXPECTED
        )
    else:
        with runtime.db.begin() as session:
            _end(session, schedule_id, last_outcome=SUCCEEDED, last_message=told[:2000])
            audit(session, actor, "schedule.ran", name, {"task": task, "told": told[:2000]})
        log.info("schedule %s: %s", name, told)
        return told
    finally:
        came_from.reset(token)


def _note_failed(
    runtime: Runtime, schedule_id: int, name: str, actor: str, error: MfgvizError, code: str | None = None
) -> str:
    with runtime.db.begin() as session:
        ended = {"last_message": error.message[:2000], "last_error_code": code or error.code}
        _end(session, schedule_id, last_outcome=FAILED, **ended)
        tell_refusal(session, EventKind.SCHEDULE_FAILED, actor, name, error)
    return error.message


def _end(session: Session, schedule_id: int, **values: Any) -> None:
    mine = (Schedule.id == schedule_id) & (Schedule.last_outcome == RUNNING)
    session.execute(update(Schedule).where(mine).values(values))


def _idle(busy_s: float) -> ColumnElement[bool]:
    """Neither waiting nor running, or running for so long that its worker must have died."""
    lost = (Schedule.last_outcome == RUNNING) & (Schedule.last_at < utcnow(-busy_s))
    return Schedule.last_outcome.not_in((DUE, RUNNING)) | lost


def _due(busy_s: float) -> ColumnElement[bool]:
    return Schedule.enabled & (Schedule.next_at <= utcnow()) & _idle(busy_s)


def _as_due() -> Mapping[str, Any]:
    return {"last_outcome": DUE, "last_error_code": None, "last_message": None}


def _now(session: Session) -> datetime:
    return session.scalars(select(utcnow())).one()
