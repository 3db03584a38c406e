"""Rules: added, tried, and what they did."""

from __future__ import annotations

from sqlalchemy.orm import Session

from mfgviz import catalog, rule_runs, rules, wire
from mfgviz.contexts import context_of_event
from mfgviz.filters import compile_filter, value_of
from mfgviz.records import Event, PartRevision, Rule, RuleRun
from mfgviz.rules import Considered
from mfgviz.service.base import PAGE, Base
from mfgviz.service.shown import cause
from mfgviz.vocabulary import EventKind, RuleOutcome


class AutomationService(Base):
    """See `Service`."""

    def rules(self) -> list[wire.Rule]:
        """All rules, by name."""
        with self.runtime.db.read() as session:
            return [rule_of(one) for one in rules.list_rules(session)]

    def rule(self, name: str) -> wire.Rule:
        """One rule. Raises RuleNotFoundError."""
        with self.runtime.db.read() as session:
            return rule_of(rules.get_rule(session, name))

    def add_rule(self, new: wire.NewRule) -> wire.Rule:
        """Add a rule. Errors as `rules.add_rule`."""
        wanted = rules.NewRule(new.name, new.on, new.ask, new.where, new.everything)
        with self._told(EventKind.RULE_REFUSED, f"rule {new.name}"), self.runtime.db.begin() as session:
            return rule_of(rules.add_rule(session, wanted, self.actor))

    def change_rule(self, name: str, change: wire.RuleChange) -> wire.Rule:
        """Let a rule apply, or not for now. Raises RuleNotFoundError."""
        with self.runtime.db.begin() as session:
            rule = rules.get_rule(session, name)
            rules.set_enabled(session, rule, self.actor, enabled=change.enabled)
            return rule_of(rule)

    def remove_rule(self, name: str) -> None:
        """Drop a rule; its jobs stay. Raises RuleNotFoundError."""
        with self.runtime.db.begin() as session:
            rules.remove_rule(session, rules.get_rule(session, name), self.actor)

    def test_rule(self, name: str, reference: str) -> wire.RuleTest:
        """What a rule would do if its event happened to a revision now. Changes nothing.

        Raises:
            RuleNotFoundError, PartNotFoundError, RevisionNotFoundError: one of the two is not there.
        """
        with self.runtime.db.read() as session:
            rule, revision = rules.get_rule(session, name), catalog.get_revision(session, reference)
            return self._tested(session, rule, revision)

    def _tested(self, session: Session, rule: Rule, revision: PartRevision) -> wire.RuleTest:
        payload = {"revision": revision.reference}
        event = Event(kind=rule.event_kind, actor=self.actor, payload=payload, revision=revision)
        context = context_of_event(event)
        read = compile_filter(rule.condition, with_event=True) if rule.condition else None
        values = {field: value_of(context, field) for field in sorted(read.fields)} if read else {}
        considered = Considered(rule, event)
        applies = read is None or read.matches(context)
        if applies:
            (considered,) = rules.consider(session, self.runtime.settings, [(rule, event)])
        told = considered.told if applies else f"Its condition does not hold: {rule.condition}"
        outcome = considered.outcome if applies else RuleOutcome.NOTHING
        if not rule.enabled:
            told = f"It is disabled. Else: {told}"
        error = considered.error
        return wire.RuleTest(
            rule=rule.name,
            revision=revision.reference,
            applies=applies and rule.enabled,
            outcome=outcome.value,
            told=told,
            values=values,
            jobs=[
                wire.RuleJob(
                    job=one.job_id,
                    how=one.how,
                    view=one.submission.request.view.name,
                    prompt=one.submission.request.prompt,
                    taken_over_from=one.origin.reference if one.origin else None,
                )
                for one in considered.answers
            ],
            error=cause(error.code, error.message) if error else None,
        )

    def rule_runs(self, name: str | None = None, limit: int = PAGE) -> list[wire.RuleRun]:
        """What rules did, or one of them, the newest first. Raises RuleNotFoundError."""
        with self.runtime.db.read() as session:
            rule = rules.get_rule(session, name) if name is not None else None
            return [run_of(one) for one in rule_runs.list_runs(session, rule, limit)]


def rule_of(rule: Rule) -> wire.Rule:
    """A rule's record as a resource."""
    return wire.Rule(
        name=rule.name,
        on=rule.event_kind,
        where=rule.condition,
        ask=rule.ask,
        enabled=rule.enabled,
        version=rule.version,
        created_at=rule.created_at,
        created_by=rule.created_by,
    )


def run_of(run: RuleRun) -> wire.RuleRun:
    """What a rule did, as a resource."""
    return wire.RuleRun(
        rule=run.rule.name,
        event=run.event_id,
        revision=run.event.revision.reference if run.event.revision else None,
        outcome=run.outcome,  # type: ignore[arg-type] # the database's own constraint
        told=run.message or "",
        jobs=[wire.RuleJob(job=one.job_id, how=one.how) for one in run.jobs],  # type: ignore[arg-type]
        error=cause(run.error_code, run.message),
        created_at=run.created_at,
    )
