"""Doing what rules say of events, a batch at once, and writing down what came of each rule and event."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session, joinedload, selectinload

from mfgviz import jobs
from mfgviz.jobs import Link, Submission
from mfgviz.journal import audit, tell_refusal
from mfgviz.records import Event, PartRevision, Rule, RuleRun, RuleRunJob
from mfgviz.rules import Considered, How, RuleIndex, consider, enabled_rules
from mfgviz.settings import Settings
from mfgviz.vocabulary import EventKind

Key = tuple[int, str, int]  # revision, fingerprint, fidelity retries


def follow(session: Session, settings: Settings, events: Sequence[Event]) -> list[int]:
    """Do what rules say of events, each rule of each event once; the ids of the new jobs."""
    index = RuleIndex(enabled_rules(session, {event.kind for event in events}))
    done = _done(session, events)
    pairs = [(rule, event) for event in events for rule in index.matching(event)]
    pairs = [(rule, event) for rule, event in pairs if (rule.id, event.id) not in done]
    # Two who follow events of one revision at the same time do so one after the other, and render once.
    jobs.lock_revisions(session, {event.revision_id for _, event in pairs if event.revision_id})
    considered = consider(session, settings, pairs)
    considered += [
        Considered(rule, event, error=error)
        for rule, error in index.broken
        for event in events
        if event.kind == rule.event_kind and (rule.id, event.id) not in done
    ]
    submitted = _submit(session, considered)
    linked = _link(session, considered)
    for place, one in enumerate(considered):
        _write_down(session, place, one, submitted, linked)
    return [job_id for job_id, how in submitted.values() if how == "new"]


def list_runs(session: Session, rule: Rule | None = None, limit: int = 50) -> list[RuleRun]:
    """What rules did, or one of them, the newest first."""
    revision = joinedload(RuleRun.event).joinedload(Event.revision).joinedload(PartRevision.part)
    query = select(RuleRun).order_by(RuleRun.id.desc()).limit(limit)
    query = query.options(revision, joinedload(RuleRun.rule), selectinload(RuleRun.jobs))
    return list(session.scalars(query if rule is None else query.where(RuleRun.rule_id == rule.id)))


def rules_of_job(session: Session, job_id: int) -> list[str]:
    """The names of the rules that a job answers, in the order they asked."""
    query = select(Rule.name).join(RuleRun, RuleRun.rule_id == Rule.id)
    query = query.join(RuleRunJob, RuleRunJob.run_id == RuleRun.id).where(RuleRunJob.job_id == job_id)
    return list(dict.fromkeys(session.scalars(query.order_by(RuleRun.id))))


def _done(session: Session, events: Sequence[Event]) -> set[tuple[int, int]]:
    query = select(RuleRun.rule_id, RuleRun.event_id)
    rows = session.execute(query.where(RuleRun.event_id.in_([event.id for event in events])))
    return {(row.rule_id, row.event_id) for row in rows}


def _key(submission: Submission) -> Key:
    return submission.revision_id, submission.request.fingerprint(), submission.fidelity_retries


def _requester(considered: Considered) -> str:
    """Whose jobs they are: who caused the event."""
    return considered.event.actor or considered.rule.created_by


def _submit(session: Session, considered: Sequence[Considered]) -> dict[tuple[int, int], tuple[int, How]]:
    """Submit what is missing; job and how, by the places of what was considered and of its answer."""
    by_requester: dict[str, list[tuple[int, int, Submission]]] = {}
    for place, one in enumerate(considered):
        for number, answer in enumerate(one.answers):
            if answer.how == "new":
                fresh = by_requester.setdefault(_requester(one), [])
                fresh.append((place, number, answer.submission))
    made: dict[tuple[int, int], tuple[int, How]] = {}
    for requester in sorted(by_requester):
        fresh = by_requester[requester]
        submitted = jobs.submit(session, [submission for _, _, submission in fresh], requester)
        for (place, number, _), job in zip(fresh, submitted, strict=True):
            made[place, number] = (job.job_id, job.how)
    return made


def _link(session: Session, considered: Sequence[Considered]) -> dict[Key, int]:
    """Take over what can be; the jobs that hold it."""
    made: dict[Key, int] = {}
    for one in considered:
        for answer in one.answers:
            key = _key(answer.submission)
            if answer.origin is not None and key not in made:
                origin = answer.origin
                link = Link(answer.submission, origin.job_id, _requester(one), origin.note)
                made[key] = jobs.link(session, link)
    return made


def _write_down(
    session: Session,
    place: int,
    considered: Considered,
    submitted: dict[tuple[int, int], tuple[int, How]],
    linked: dict[Key, int],
) -> None:
    """What came of a rule on an event, for those who look later."""
    rule, event, error = considered.rule, considered.event, considered.error
    answers: dict[int, How] = {}
    for number, answer in enumerate(considered.answers):
        if answer.job_id is not None:
            answers[answer.job_id] = answer.how
        elif answer.origin is not None:
            answers[linked[_key(answer.submission)]] = "linked"
        else:
            job_id, how = submitted[place, number]
            answers.setdefault(job_id, how)
    run = RuleRun(
        rule_id=rule.id,
        event_id=event.id,
        outcome=considered.outcome,
        error_code=error.code if error else None,
        message=considered.told[:2000],
        jobs=[RuleRunJob(job_id=job_id, how=how) for job_id, how in sorted(answers.items())],
    )
    session.add(run)
    if error is not None:
        subject = f"rule {rule.name}"
        tell_refusal(
            session, EventKind.RULE_FAILED, _requester(considered), subject, error, event.revision_id
        )
    elif answers:
        told = {"rule": rule.name, "event": event.id, "jobs": sorted(answers), "told": considered.told}
        subject = event.revision.reference if event.revision else ""
        audit(session, _requester(considered), "rule.applied", subject, told)
