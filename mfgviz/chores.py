"""What can be done at set times: a table of tasks with their arguments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session, contains_eager, joinedload

from mfgviz import blob_garbage, hooks, jobs, webhooks
from mfgviz.contexts import context_of, of_parts
from mfgviz.errors import InvalidScheduleError, MfgvizError
from mfgviz.filters import Filter, compile_filter
from mfgviz.intake import PRIORITIES, Ask, FidelityDefaults, Lookup, prepare
from mfgviz.jobs import Submission
from mfgviz.queue import TASK_RENDER
from mfgviz.records import IdempotencyKey, Part, PartRevision, utcnow
from mfgviz.runtime import Runtime
from mfgviz.templates import get_template
from mfgviz.vocabulary import STANDARD_VIEWS, LifecycleState

Arguments = Mapping[str, Any]
REVISIONS_AT_ONCE = 100
RING_AT_MOST = 64
KEYS_LIVE_S = 86_400.0
# Beside workers and uploads, a blob may be there before the row that refers to it.
LEAST_GRACE_DAYS = 1.0


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a task: its kind, its default (None where it has none), what it means."""

    kind: type[str] | type[int] | type[float] | type[bool]
    default: str | int | float | bool | None
    told: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Chore:
    """A task of schedules. `run` answers in words; `check` refuses arguments that could never work."""

    told: str
    arguments: Mapping[str, Argument]
    run: Callable[[Runtime, str, Arguments], str]
    check: Callable[[Session, Arguments], object] = lambda _session, _arguments: None


def check_arguments(task: str, given: Arguments) -> None:
    """Refuse what a task does not take. Raises InvalidScheduleError."""
    known = CHORES[task].arguments
    for name, value in given.items():
        if name not in known:
            words = ", ".join(known) or "none"
            raise InvalidScheduleError(
                f"The task {task} has no argument {name!r}.", remedy=f"Its arguments are: {words}."
            )
        wanted = known[name].kind
        fits = isinstance(value, (int, float) if wanted is float else wanted)
        if not fits or (isinstance(value, bool) and wanted is not bool):
            raise InvalidScheduleError(f"{name} is {value!r}, but must be of the kind {wanted.__name__}.")
        if wanted in (int, float) and not 0 <= value <= 36_500:
            raise InvalidScheduleError(f"{name} is {value}, but must be from 0 to 36500.")
        if isinstance(value, str) and len(value) > 2000:
            raise InvalidScheduleError(f"{name} has more than 2,000 characters.")
    for name, argument in known.items():
        if argument.required and name not in given:
            raise InvalidScheduleError(f"The task {task} needs the argument {name}: {argument.told}")


def _value(task: str, given: Arguments, name: str) -> Any:
    return given.get(name, CHORES[task].arguments[name].default)


def _sweep(runtime: Runtime, _actor: str, given: Arguments) -> str:
    swept = jobs.sweep(runtime.db, runtime.doorbell)
    with runtime.db.begin() as session:
        old = delete(IdempotencyKey).where(IdempotencyKey.created_at < utcnow(-KEYS_LIVE_S))
        keys = len(session.scalars(old.returning(IdempotencyKey.key)).all())
        messages = hooks.forget_old(session)
        sent = webhooks.forget_old(session, _value("sweep", given, "keep_deliveries_days"))
    return (
        f"Requeued {swept.requeued} jobs, gave {swept.given_up} up; forgot {keys} idempotency keys, "
        f"{messages} inbound messages, {sent} deliveries."
    )


def _collect_blobs(runtime: Runtime, actor: str, given: Arguments) -> str:
    grace = float(_value("collect-blobs", given, "grace_days"))
    if grace < LEAST_GRACE_DAYS:
        raise InvalidScheduleError(
            f"grace_days is {grace:g}, but must be {LEAST_GRACE_DAYS:g} at least beside workers and uploads.",
            remedy="`mfgviz db collect-blobs --grace-days 0` is for a database that nothing else uses.",
        )
    done = blob_garbage.collect(runtime, actor, grace)
    return (
        f"Of {done.stored} blobs condemned {done.condemned} ({done.condemned_bytes:,} bytes); "
        f"restored {done.restored}, deleted {done.deleted} ({done.deleted_bytes:,} bytes)."
    )


def _retry_webhooks(runtime: Runtime, actor: str, given: Arguments) -> str:
    wanted = _value("retry-webhooks", given, "webhook")
    with runtime.db.begin() as session:
        if wanted is not None:
            names = [wanted]
        else:
            names = [one.name for one in webhooks.list_webhooks(session) if one.enabled]
        count = sum(webhooks.replay(session, name, actor) for name in names)
    return f"Put {count} dead deliveries on their way again."


def _check_refresh(session: Session, given: Arguments) -> None:
    get_template(session, given["template"])
    _filter_of(given)
    if _value("catalog-refresh", given, "priority") not in PRIORITIES:
        raise InvalidScheduleError(
            f"priority is {given['priority']!r}, but must be one of {', '.join(PRIORITIES)}."
        )
    for view in _views(given) or ():
        if view not in STANDARD_VIEWS:
            raise InvalidScheduleError(
                f"There is no view {view!r}.", remedy=f"Views are {', '.join(STANDARD_VIEWS)}."
            )


def _filter_of(given: Arguments) -> Filter | None:
    where = given.get("where")
    if where is None and given.get("all") is not True:
        raise InvalidScheduleError(
            "Without a condition every released part is refreshed.",
            remedy="Give where=CONDITION, or all=true if all of them are meant.",
        )
    return None if where is None else compile_filter(where)


def _views(given: Arguments) -> tuple[str, ...] | None:
    views = given.get("views")
    return tuple(one.strip() for one in views.split(",") if one.strip()) if views else None


def _refresh(runtime: Runtime, actor: str, given: Arguments) -> str:
    """Ask for a template's renders of the newest released revision of every part that fits."""
    condition, views = _filter_of(given), _views(given)
    priority = _value("catalog-refresh", given, "priority")
    with runtime.db.read() as session:
        get_template(session, given["template"])
    asked: Counter[str] = Counter()
    refused, last, first_error = 0, 0, ""
    while True:
        with runtime.db.begin() as session:
            page = _released(session, last, condition)
            submissions: list[Submission] = []
            lookup = _lookup(session, runtime)
            for revision in page:
                last = revision.part_id
                if condition is not None and not condition.matches(context_of(revision)):
                    continue
                ask = Ask(
                    revision=revision.reference, template=given["template"], views=views, priority=priority
                )
                try:
                    submissions += prepare(lookup, ask)
                except MfgvizError as error:
                    refused, first_error = refused + 1, first_error or error.message
            answers = jobs.submit(session, submissions, actor) if submissions else []
        asked.update(one.how for one in answers)
        new_jobs = [one.job_id for one in answers if one.how == "new"]
        runtime.doorbell.ring(TASK_RENDER, new_jobs[:RING_AT_MOST])
        if not page:
            break
    told = f"{asked['new']} new jobs, {asked['joined']} wait already, {asked['reused']} are done already."
    return told + (f" {refused} revisions cannot be rendered: {first_error}" if refused else "")


def _lookup(session: Session, runtime: Runtime) -> Lookup:
    settings = runtime.settings
    return Lookup(session, settings.default_model, settings.max_attempts, FidelityDefaults.of(settings))


def _released(session: Session, after_part: int, condition: Filter | None = None) -> list[PartRevision]:
    """The newest released revision of each part that the condition may fit, in the order of the parts' ids, a
    page of them."""
    likely = of_parts(session, condition) if condition is not None else []
    newest = (
        select(func.max(PartRevision.id))
        .where(PartRevision.state == LifecycleState.RELEASED, PartRevision.part_id > after_part)
        .group_by(PartRevision.part_id)
        .order_by(PartRevision.part_id)
        .limit(REVISIONS_AT_ONCE)
    )
    if likely:
        newest = newest.where(PartRevision.part_id.in_(select(Part.id).where(*likely)))
    ids = session.scalars(newest).all()
    query = (
        select(PartRevision)
        .where(PartRevision.id.in_(ids))
        .join(PartRevision.part)
        .options(contains_eager(PartRevision.part), joinedload(PartRevision.geometry))
        .order_by(PartRevision.part_id)
    )
    return list(session.scalars(query)) if ids else []


CHORES: dict[str, Chore] = {
    "catalog-refresh": Chore(
        "Ask for a template's renders of every part's newest released revision; what is rendered already is "
        "not rendered again.",
        {
            "template": Argument(str, None, "The template's name.", required=True),
            "where": Argument(str, None, "Which revisions: a condition, as rules have."),
            "all": Argument(bool, False, "Without a condition: that all are meant."),
            "views": Argument(str, None, "Views, commas apart; the template's where it is left out."),
            "priority": Argument(str, "low", "low, normal or high."),
        },
        _refresh,
        _check_refresh,
    ),
    "collect-blobs": Chore(
        "Condemn, and later delete, blobs that nothing refers to.",
        {"grace_days": Argument(float, blob_garbage.GRACE_DAYS, "How long a blob is left alone.")},
        _collect_blobs,
    ),
    "sweep": Chore(
        "Look for lost leases and unrung jobs; forget what is kept for a while only.",
        {"keep_deliveries_days": Argument(float, 30.0, "How long webhooks' deliveries that ended are kept.")},
        _sweep,
    ),
    "retry-webhooks": Chore(
        "Put dead deliveries on their way again.",
        {"webhook": Argument(str, None, "The webhook's name; all that are enabled where it is left out.")},
        _retry_webhooks,
    ),
}
