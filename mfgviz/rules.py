"""Rules: what an event shall cause. A rule is an event's kind, a condition, and what to ask for.

`consider` only looks: which jobs a rule asks for on an event, and what of these exists already.
`mfgviz.rule_runs` does it.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mfgviz import jobs
from mfgviz.catalog import check_text
from mfgviz.contexts import context_of_event
from mfgviz.errors import (
    DuplicateRuleError,
    InvalidFilterError,
    InvalidInputError,
    MatchesEverythingError,
    MfgvizError,
    RuleNotFoundError,
)
from mfgviz.filters import Filter, compile_filter, value_of
from mfgviz.intake import Ask, FidelityDefaults, Lookup, ask_from_json, prepare
from mfgviz.jobs import Submission
from mfgviz.journal import audit
from mfgviz.records import Event, Rule
from mfgviz.settings import Settings
from mfgviz.unchanged import Origin, find_origins
from mfgviz.vocabulary import EventKind, RuleOutcome

log = logging.getLogger(__name__)

# What a rule may wait for: what happens to a revision, and what people say of renders. What rules cause
# themselves is none of it.
TRIGGERS = (
    EventKind.REVISION_CREATED,
    EventKind.REVISION_IN_WORK,
    EventKind.REVISION_IN_REVIEW,
    EventKind.REVISION_RELEASED,
    EventKind.REVISION_OBSOLETED,
    EventKind.REVISION_OTHER,
    EventKind.REVISION_STALE,
    EventKind.GEOMETRY_ATTACHED,
    EventKind.RENDER_APPROVED,
    EventKind.RENDER_REJECTED,
)
DEFAULT_PRIORITY = "low"
NAME = re.compile(r"[^\n/\\]{1,256}")
How = Literal["new", "joined", "reused", "linked"]


@dataclass(frozen=True, slots=True)
class NewRule:
    """A rule to be added. `everything` says that it may apply to every event of its kind."""

    name: str
    event_kind: str
    ask: dict[str, Any]
    condition: str | None = None
    everything: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """A job that answers a rule. `job_id` is None where it would have to be made first."""

    submission: Submission
    how: How
    job_id: int | None = None
    origin: Origin | None = None


@dataclass(slots=True)
class Considered:
    """What a rule asks for on an event: its answers; or why there are none."""

    rule: Rule
    event: Event
    answers: list[Answer] = field(default_factory=list)
    error: MfgvizError | None = None
    nothing: str | None = None

    @property
    def outcome(self) -> RuleOutcome:
        """In one word."""
        if self.error is not None:
            return RuleOutcome.FAILED
        if not self.answers:
            return RuleOutcome.NOTHING
        fresh = any(one.how == "new" for one in self.answers)
        return RuleOutcome.SUBMITTED if fresh else RuleOutcome.REUSED

    @property
    def told(self) -> str:
        """In words."""
        if self.error is not None:
            return self.error.message
        if not self.answers:
            return self.nothing or "There is nothing to do."
        words = {
            "new": "submitted",
            "joined": "waiting already",
            "reused": "rendered already",
            "linked": "taken over, the geometry being unchanged",
        }
        counts = {how: sum(one.how == how for one in self.answers) for how in words}
        return ", ".join(f"{count} {words[how]}" for how, count in counts.items() if count) + "."


# -- rules as they are kept -------------------------------------------------------------------------------
def add_rule(session: Session, new: NewRule, actor: str) -> Rule:
    """Add a rule, enabled.

    Raises:
        InvalidInputError: its name, event or ask cannot be used (`intake.ask_from_json` says of the ask why).
        InvalidFilterError, UnknownFieldError: its condition cannot be read.
        MatchesEverythingError: it would apply to every event, and does not say that it may.
        TemplateNotFoundError, ModelNotFoundError: it names one that is not there.
        DuplicateRuleError: there is one of that name.
    """
    check_text("rule's name", new.name)
    if not NAME.fullmatch(new.name) or new.name != new.name.strip():
        raise InvalidInputError(
            f"The rule name {new.name[:80]!r} cannot be used.",
            remedy="One line of 1 to 256 characters, no slashes.",
        )
    if new.event_kind not in [kind.value for kind in TRIGGERS]:
        raise InvalidInputError(
            f"No rule can wait for {new.event_kind!r}.",
            remedy=f"Choose one of {', '.join(kind.value for kind in TRIGGERS)}.",
        )
    _check_condition(new)
    ask = {"priority": DEFAULT_PRIORITY, **new.ask}
    _check_ask(session, ask)
    row = Rule(name=new.name, event_kind=new.event_kind, condition=new.condition, ask=ask, created_by=actor)
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError as error:
        raise DuplicateRuleError(f"There is a rule {new.name!r} already.") from error
    session.refresh(row)
    audit(session, actor, "rule.added", new.name, {"on": new.event_kind, "where": new.condition, "ask": ask})
    return row


def get_rule(session: Session, name: str) -> Rule:
    """The rule of that name. Raises RuleNotFoundError."""
    row = session.scalar(select(Rule).where(Rule.name == name))
    if row is None:
        raise RuleNotFoundError(f"There is no rule {name!r}.")
    return row


def list_rules(session: Session) -> list[Rule]:
    """All rules, by name."""
    return list(session.scalars(select(Rule).order_by(Rule.name)))


def set_enabled(session: Session, rule: Rule, actor: str, *, enabled: bool) -> None:
    """Let a rule apply, or not for now."""
    if rule.enabled != enabled:
        rule.enabled, rule.version = enabled, rule.version + 1
        audit(session, actor, "rule.enabled" if enabled else "rule.disabled", rule.name)


def remove_rule(session: Session, rule: Rule, actor: str) -> None:
    """Drop a rule and what is known of its runs; the jobs that it made stay."""
    session.execute(delete(Rule).where(Rule.id == rule.id))
    audit(session, actor, "rule.removed", rule.name, {"on": rule.event_kind, "where": rule.condition})


def _check_condition(new: NewRule) -> None:
    if new.condition is None:
        if not new.everything:
            raise MatchesEverythingError(f"The rule {new.name!r} has no condition.")
        return
    read = compile_filter(new.condition, with_event=True)
    if not read.fields and not new.everything:
        raise MatchesEverythingError(
            f"The condition {new.condition!r} of the rule {new.name!r} names no field."
        )


def _check_ask(session: Session, ask: Mapping[str, Any]) -> None:
    if "revision" in ask or "force" in ask:
        raise InvalidInputError(
            "A rule's jobs are for the event's revision, and never forced.", remedy="Leave that field out."
        )
    read = ask_from_json({"revision": "?", **ask})
    lookup = Lookup(session, read.model or "")
    if read.template is not None:
        lookup.template(read.template)
    if read.model is not None:
        lookup.model(read.model)


# -- what applies to an event -----------------------------------------------------------------------------
class RuleIndex:
    """Enabled rules, found by an event's kind and by what their conditions say that a field must equal."""

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.broken: list[tuple[Rule, InvalidFilterError]] = []
        self._filters: dict[int, Filter] = {}
        self._by_value: dict[str, dict[str, dict[Any, list[Rule]]]] = {}
        self._others: dict[str, list[Rule]] = {}
        for rule in rules:
            self._add(rule)

    def _add(self, rule: Rule) -> None:
        if rule.condition is None:
            self._others.setdefault(rule.event_kind, []).append(rule)
            return
        try:
            read = self._filters[rule.id] = compile_filter(rule.condition, with_event=True)
        except InvalidFilterError as error:
            self.broken.append((rule, error))
            return
        if not read.equalities:
            self._others.setdefault(rule.event_kind, []).append(rule)
            return
        must = read.equalities[0]
        fields = self._by_value.setdefault(rule.event_kind, {})
        fields.setdefault(must.field, {}).setdefault(must.value, []).append(rule)

    def matching(self, event: Event) -> list[Rule]:
        """The rules that apply to an event, by id."""
        context = context_of_event(event)
        near = list(self._others.get(event.kind, ()))
        for name, values in self._by_value.get(event.kind, {}).items():
            held = value_of(context, name)
            if isinstance(held, str | int | float):
                near += values.get(held, ())
        return sorted(
            (
                rule
                for rule in near
                if rule.id not in self._filters or self._filters[rule.id].matches(context)
            ),
            key=lambda rule: rule.id,
        )


def enabled_rules(session: Session, kinds: Iterable[str]) -> list[Rule]:
    """The rules that wait for such events."""
    query = select(Rule).where(Rule.enabled, Rule.event_kind.in_(set(kinds))).order_by(Rule.id)
    return list(session.scalars(query))


def consider(
    session: Session,
    settings: Settings,
    pairs: Sequence[tuple[Rule, Event]],
) -> list[Considered]:
    """What rules ask for on events that they apply to, and what of it exists already. Changes nothing."""
    lookup = Lookup(session, settings.default_model, settings.max_attempts, FidelityDefaults.of(settings))
    found = [Considered(rule, event) for rule, event in pairs]
    places: list[tuple[Considered, Submission]] = []
    for one in found:
        places += [(one, submission) for submission in _asked(lookup, one)]
    submissions = [submission for _, submission in places]
    known = jobs.known(session, submissions)
    origins = find_origins(session, submissions)
    for place, (one, submission) in enumerate(places):
        if (job := known.get(place)) is not None:
            one.answers.append(Answer(submission, job.how, job.job_id))
        elif (origin := origins.get(place)) is not None:
            one.answers.append(Answer(submission, "linked", origin=origin))
        else:
            one.answers.append(Answer(submission, "new"))
    return found


def _asked(lookup: Lookup, considered: Considered) -> list[Submission]:
    """The submissions that a rule asks for on an event; what is in their way is noted."""
    revision, rule = considered.event.revision, considered.rule
    if revision is None:
        considered.nothing = "The event is of no revision."
        return []
    if revision.geometry is None:
        considered.nothing = f"{revision.reference} has no geometry yet."
        return []
    lookup.know(revision)
    again = considered.event.kind == EventKind.REVISION_STALE
    try:
        ask = msgspec.convert({**rule.ask, "revision": revision.reference, "force": again}, Ask)
        return prepare(lookup, ask)
    except MfgvizError as error:
        considered.error = error
    except Exception as error:
        log.exception("rule %s", rule.name)
        considered.error = MfgvizError(f"{type(error).__name__}: {error}")
    return []
