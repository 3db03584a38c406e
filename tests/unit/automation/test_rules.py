"""Rules: what events cause, once, and only where there is something new to show."""

from __future__ import annotations

import threading

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select, update

from mfgviz import automation, catalog, jobs, rule_runs, rules, wire
from mfgviz.errors import (
    ContentionError,
    DuplicateRuleError,
    InvalidFilterError,
    InvalidInputError,
    MatchesEverythingError,
    RuleNotFoundError,
    TemplateNotFoundError,
    UnknownFieldError,
)
from mfgviz.journal import tell_refusal
from mfgviz.records import AuditEntry, Event, Geometry, RenderJob, Rule, RuleRun
from mfgviz.vocabulary import EventKind, GeometryState, JobState, ReviewState
from tests.unit.automation.conftest import Shop


def outcomes(shop: Shop) -> list[str]:
    return [run.outcome for run in shop.runs()]


# -- what a rule does --------------------------------------------------------------------------------------
def test_a_released_revision_gets_its_renders_without_anybody_asking(shop: Shop) -> None:
    ask = {"template": "hero", "views": ["iso", "front"], "count": 2}
    shop.rule(where="part.attributes.category == 'bracket'", ask=ask)
    reference = shop.revise("BRK-1", "A")
    assert shop.follow() == 2  # created, attached
    assert shop.jobs_of(reference) == []
    shop.release(reference)
    assert shop.follow() == 1
    made = shop.jobs_of(reference)
    assert [(job.requester, job.images, job.priority, job.state) for job in made] == [
        ("eve", 2, 0, "queued")
    ] * 2
    assert {job.request["view"]["name"] for job in made} == {"iso", "front"}
    assert made[0].request["prompt"] == "steel, studio light, white background"
    assert outcomes(shop) == ["submitted"]
    with shop.runtime.db.read() as session:
        told = session.scalars(select(AuditEntry).where(AuditEntry.action == "rule.applied")).one()
    assert (told.actor, told.subject, told.details["rule"]) == ("eve", reference, "hero")


def test_a_rule_applies_where_its_condition_holds(shop: Shop) -> None:
    shop.part("GEAR-1", category="gear")
    shop.rule("brackets", where="part.attributes.category == 'bracket'", ask={"prompt": "steel"})
    shop.rule("gears", where="part.attributes.category == 'gear'", ask={"prompt": "brass"})
    shop.rule("by hand", where="event.actor == 'bob'", ask={"prompt": "copper"})
    for number in ("BRK-1", "GEAR-1"):
        shop.release(shop.revise(number, "A"))
    shop.follow()
    assert [job.request["prompt"] for job in shop.jobs_of("BRK-1@A")] == ["steel"]
    assert [job.request["prompt"] for job in shop.jobs_of("GEAR-1@A")] == ["brass"]


def test_an_event_that_comes_again_makes_no_second_job(shop: Shop) -> None:
    shop.rule()
    shop.release(shop.revise("BRK-1", "A"))
    shop.follow()
    shop.finish()
    with shop.runtime.db.begin() as session:
        session.execute(update(Event).values(delivered_at=None))
    shop.follow()
    assert len(shop.jobs_of("BRK-1@A")) == 1
    assert outcomes(shop) == ["submitted"]


def test_two_rules_that_ask_for_the_same_picture_share_it(shop: Shop) -> None:
    shop.rule("one")
    shop.rule("two")
    shop.release(shop.revise("BRK-1", "A"))
    shop.follow()
    (job,) = shop.jobs_of("BRK-1@A")
    assert outcomes(shop) == ["submitted", "submitted"]
    assert [[one.job for one in run.jobs] for run in shop.service.rule_runs()] == [[job.id], [job.id]]


def test_a_disabled_rule_does_nothing_and_makes_up_for_nothing(shop: Shop) -> None:
    shop.rule()
    shop.service.change_rule("hero", wire.RuleChange(enabled=False))
    shop.release(shop.revise("BRK-1", "A"))
    shop.follow()
    shop.service.change_rule("hero", wire.RuleChange(enabled=True))
    shop.follow()
    assert shop.jobs_of("BRK-1@A") == []
    shop.service.remove_rule("hero")
    with pytest.raises(RuleNotFoundError):
        shop.service.rule("hero")


def test_one_rule_that_fails_stops_no_other(shop: Shop) -> None:
    shop.rule("a field that is missing", ask={"prompt": "{finish} steel"})
    shop.rule("good")
    with shop.runtime.db.begin() as session:  # written by another version
        session.add(
            Rule(name="broken", event_kind="revision.released", condition="part.", ask={}, created_by="ann")
        )
        session.add(Rule(name="strange", event_kind="revision.released", ask={"mode": "x"}, created_by="ann"))
    reference = shop.revise("BRK-1", "A")
    shop.release(reference)
    shop.follow()
    assert len(shop.jobs_of(reference)) == 1
    by_name = {run.rule: run for run in shop.service.rule_runs()}
    assert {name: run.outcome for name, run in by_name.items()} == {
        "a field that is missing": "failed", "good": "submitted", "broken": "failed", "strange": "failed",
    }  # fmt: skip
    missing = by_name["a field that is missing"].error
    assert missing is not None
    assert (missing.code, "{finish}" in missing.message) == ("missing-field", True)
    failed = shop.events("rule.failed")
    assert {event.payload["code"] for event in failed} >= {"missing-field", "invalid-filter"}
    assert failed[0].payload["remedy"].startswith("Fields with one: ")
    with shop.runtime.db.read() as session:
        noted = session.scalar(select(func.count()).where(AuditEntry.action == "rule.failed"))
    assert noted == 3


def test_a_revision_without_a_file_is_no_failure(shop: Shop) -> None:
    shop.rule(on="revision.created")
    shop.revise("BRK-1", "A", shape=None)
    shop.follow()
    (run,) = shop.service.rule_runs()
    assert (run.outcome, run.told) == ("nothing", "BRK-1@A has no geometry yet.")
    assert shop.events("rule.failed") == []


def test_events_wait_until_the_file_was_looked_into(shop: Shop) -> None:
    shop.rule(on="geometry.attached")
    shop.revise("BRK-1", "A")
    with shop.runtime.db.begin() as session:
        session.execute(update(Geometry).values(state=GeometryState.STORED))
    shop.follow()
    assert shop.jobs_of("BRK-1@A") == []
    with shop.runtime.db.begin() as session:
        geometry = session.scalars(select(Geometry)).one()
        geometry.state = GeometryState.READ
        automation.wake(session, geometry)
    shop.follow()
    assert len(shop.jobs_of("BRK-1@A")) == 1


def test_what_goes_wrong_unforeseen_is_put_aside_and_the_rest_goes_on(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.rule()
    bad, good = shop.revise("BRK-1", "A"), shop.revise("BRK-1", "B", "s2")
    shop.release(bad)
    shop.release(good)
    real = rule_runs.follow

    def handler(session, settings, events):  # type: ignore[no-untyped-def]
        if any(event.payload.get("revision") == bad for event in events):
            raise ZeroDivisionError("nobody thought of that")
        return real(session, settings, events)

    monkeypatch.setattr(automation, "HANDLERS", (handler,))
    for _ in range(automation.MOST_TRIES):
        shop.follow()
        with shop.runtime.db.begin() as session:
            session.execute(update(Event).values(available_at=None))
    assert len(shop.jobs_of(good)) == 1
    assert shop.jobs_of(bad) == []
    told = shop.events("event.failed")
    assert len(told) == 3  # created, attached, released
    assert "nobody thought of that" in told[0].payload["message"]
    assert shop.follow() >= 0
    with shop.runtime.db.read() as session:
        assert not automation.has_events(session)


def test_two_workers_follow_the_same_events_once(shop: Shop) -> None:
    shop.rule()
    for number in range(12):
        shop.part(f"P-{number}", material="steel")
        shop.release(shop.revise(f"P-{number}", "A", f"s{number}"))
    together = threading.Barrier(2)

    def work() -> None:
        together.wait()
        automation.process(shop.runtime, limit=5)

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    with shop.runtime.db.read() as session:
        assert session.scalar(select(func.count()).select_from(RenderJob)) == 12
        assert session.scalar(select(func.count()).select_from(RuleRun)) == 12


# -- only where there is something new ---------------------------------------------------------------------
def test_an_unchanged_shape_takes_over_the_renders_of_the_revision_before(shop: Shop) -> None:
    shop.rule(ask={"template": "hero", "views": ["iso"], "count": 2})
    shop.release(shop.revise("BRK-1", "A", "s1"))
    shop.follow()
    shop.finish()
    reference = shop.revise("BRK-1", "B", "s1")
    shop.release(reference)
    shop.follow()
    (job,) = shop.jobs_of(reference)
    assert (job.state, job.attempts_made, job.notes) == (
        "succeeded", 0, ["unchanged geometry: taken over from BRK-1@A"],
    )  # fmt: skip
    before, after = shop.renditions_of("BRK-1@A"), shop.renditions_of(reference)
    assert [one.origin_id for one in after] == [one.id for one in before]
    assert [one.blob_digest for one in after] == [one.blob_digest for one in before]
    assert {one.review_state for one in after} == {ReviewState.PROPOSED}
    assert outcomes(shop) == ["submitted", "reused"]
    assert shop.finish() == []
    told = shop.events("render.attached")[-1].payload
    assert told["linked_from"] == shop.jobs_of("BRK-1@A")[0].id
    # A third one takes over from the first, whose pictures they are.
    third = shop.revise("BRK-1", "C", "s1")
    shop.release(third)
    shop.follow()
    assert [one.origin_id for one in shop.renditions_of(third)] == [one.id for one in before]


def test_another_shape_another_attribute_or_another_model_is_rendered(shop: Shop) -> None:
    shop.rule()
    shop.release(shop.revise("BRK-1", "A", "s1"))
    shop.follow()
    shop.finish()
    shop.release(shop.revise("BRK-1", "B", "s2"))
    shop.follow()
    assert shop.jobs_of("BRK-1@B")[0].state == JobState.QUEUED
    shop.finish()
    with shop.runtime.db.begin() as session:
        part = catalog.get_part(session, "BRK-1")
        catalog.change_attributes(session, part, {"weight_kg": 2.5}, "ann")
    shop.release(shop.revise("BRK-1", "C", "s2"))
    shop.follow()
    assert shop.jobs_of("BRK-1@C")[0].state == JobState.SUCCEEDED  # the prompt does not name it
    with shop.runtime.db.begin() as session:
        catalog.change_attributes(session, catalog.get_part(session, "BRK-1"), {"material": "brass"}, "ann")
    shop.release(shop.revise("BRK-1", "D", "s2"))
    shop.follow()
    (job,) = shop.jobs_of("BRK-1@D")
    assert (job.state, job.request["prompt"][:5]) == (JobState.QUEUED, "brass")


@pytest.mark.parametrize("why", ["rejected", "stale", "other part", "unfinished", "custom view"])
def test_what_is_not_fit_to_be_taken_over_is_rendered(shop: Shop, why: str) -> None:
    shop.part("BRK-2", material="steel")
    custom = {"name": "custom", "eye_mm": [1.0, 2.0, 3.0], "forward": [1.0, 0.0, 0.0], "up": [0.0, 0.0, 1.0],
              "height_mm": 50.0}  # fmt: skip
    views = [custom] if why == "custom view" else ["iso"]
    shop.rule(ask={"template": "hero", "views": views})
    shop.release(shop.revise("BRK-1", "A", "s1"))
    shop.follow()
    if why != "unfinished":
        shop.finish()
    for one in shop.renditions_of("BRK-1@A"):
        if why == "rejected":
            shop.service.review(one.id, wire.ReviewBody(state="rejected"))
        elif why == "stale":
            with shop.runtime.db.begin() as session:
                moment = one.created_at
                session.execute(update(type(one)).values(stale_at=moment, stale_reason="a child is newer"))
    reference = shop.revise("BRK-2" if why == "other part" else "BRK-1", "B", "s1")
    shop.release(reference)
    shop.follow()
    (job,) = shop.jobs_of(reference)
    assert job.state == JobState.QUEUED


def test_a_stale_revision_is_rendered_again_though_nothing_of_it_changed(shop: Shop) -> None:
    shop.rule(on="revision.stale")
    reference = shop.revise("BRK-1", "A")
    shop.follow()
    with shop.runtime.db.begin() as session:
        revision = catalog.get_revision(session, reference)
        for _ in range(2):
            session.add(Event(kind="revision.stale", revision_id=revision.id, actor="eve", payload={}))
    shop.follow()
    assert len(shop.jobs_of(reference)) == 2


# -- trying a rule -----------------------------------------------------------------------------------------
def test_a_rule_can_be_tried_and_changes_nothing(shop: Shop) -> None:
    shop.rule(where="part.attributes.category == 'bracket' and revision.state == 'in_work'")
    reference = shop.revise("BRK-1", "A", "s1")
    shop.follow()
    tried = shop.service.test_rule("hero", reference)
    assert (tried.applies, tried.outcome, tried.told) == (True, "submitted", "1 submitted.")
    assert [(one.how, one.job, one.view) for one in tried.jobs] == [("new", None, "iso")]
    assert tried.values == {"part.attributes.category": "bracket", "revision.state": "in_work"}
    assert shop.jobs_of(reference) == []
    shop.release(reference)
    refused = shop.service.test_rule("hero", reference)
    assert (refused.applies, refused.jobs) == (False, [])
    assert refused.told.startswith("Its condition does not hold")
    assert refused.values["revision.state"] == "released"


def test_a_test_says_what_is_there_already_and_what_would_be_taken_over(shop: Shop) -> None:
    shop.rule()
    shop.release(shop.revise("BRK-1", "A", "s1"))
    shop.follow()
    assert shop.service.test_rule("hero", "BRK-1@A").jobs[0].how == "joined"
    shop.finish()
    assert shop.service.test_rule("hero", "BRK-1@A").jobs[0].how == "reused"
    (linked,) = shop.service.test_rule("hero", shop.revise("BRK-1", "B", "s1")).jobs
    assert (linked.how, linked.taken_over_from) == ("linked", "BRK-1@A")
    shop.part("BARE-1")
    failed = shop.service.test_rule("hero", shop.revise("BARE-1", "A"))
    assert (failed.outcome, failed.error and failed.error.code) == ("failed", "missing-field")


# -- what is refused ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("plain", "error"),
    [
        ({"where": "part.number =="}, InvalidFilterError),
        ({"where": "part.colour == 'red'"}, UnknownFieldError),
        ({"everything": False}, MatchesEverythingError),
        ({"where": "1 == 1"}, MatchesEverythingError),
        ({"on": "render.attached"}, InvalidInputError),
        ({"ask": {"template": "nowhere"}}, TemplateNotFoundError),
        ({"ask": {"prompt": "x", "revision": "BRK-1@A"}}, InvalidInputError),
        ({"ask": {"prompt": "x", "colour": "red"}}, InvalidInputError),
        ({"ask": {}}, InvalidInputError),
        ({"name": " x"}, InvalidInputError),
        ({"name": "a/b"}, InvalidInputError),
    ],
)
def test_a_rule_that_cannot_be_used_is_refused_and_noted(shop: Shop, plain: dict, error: type) -> None:
    new = {"name": "r", "on": "revision.released", "ask": {"prompt": "x"}, "everything": "where" not in plain}
    with pytest.raises(error) as caught:
        shop.service.add_rule(wire.read(wire.NewRule, {**new, **plain}))
    assert caught.value.remedy
    assert shop.service.rules() == []
    (event,) = shop.events("rule.refused")
    assert (event.actor, event.payload["code"]) == ("ann", caught.value.code)


def test_a_name_is_taken_once(shop: Shop) -> None:
    shop.rule()
    with pytest.raises(DuplicateRuleError):
        shop.rule()


# -- any order of events -----------------------------------------------------------------------------------
STEPS = st.lists(
    st.tuples(st.sampled_from(["follow", "again", "finish", "release"]), st.integers(0, 3)), max_size=12
)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_in_whatever_order_events_come_each_picture_is_made_once(shop: Shop, steps: list) -> None:
    """Four revisions, two of one shape: whatever is followed, repeated and finished when, in the end each
    released revision has one finished picture, and one shape costs one rendering where it came first."""
    with shop.runtime.db.begin() as session:
        for table in ("rule_run_jobs", "rule_runs", "renditions", "attempts", "render_jobs", "events"):
            session.execute(Event.metadata.tables[table].delete())
        for rule in rules.list_rules(session):
            rules.remove_rule(session, rule, "ann")
        for name in ("part_revisions", "geometries"):
            session.execute(Event.metadata.tables[name].delete())
    shop.rule()
    references = [shop.revise("BRK-1", label, shape) for label, shape in zip("ABCD", "1121", strict=True)]
    released: set[int] = set()
    for what, which in steps:
        if what == "follow":
            shop.follow()
        elif what == "finish":
            shop.finish()
        elif what == "again":
            with shop.runtime.db.begin() as session:
                session.execute(update(Event).where(Event.id % 4 == which).values(delivered_at=None))
        elif which not in released:
            released.add(which)
            shop.release(references[which])
    shop.follow()
    shop.finish()
    shop.follow()
    for place, reference in enumerate(references):
        done = shop.jobs_of(reference)
        assert [job.state for job in done] == [JobState.SUCCEEDED] * (place in released), (reference, steps)
        assert len(shop.renditions_of(reference)) == (place in released)
    assert len(shop.runs()) == len(released)
    assert jobs.claim(shop.runtime.db, jobs.Claimant("host:2")) is None


def test_what_is_refused_begins_no_line_of_its_own(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    error = InvalidInputError("bad\nWARNING all is well", remedy="none")
    with shop.runtime.db.begin() as session:
        tell_refusal(session, EventKind.HOOK_REFUSED, "x", "a\nERROR forged\x1b[2J", error)
    assert len(caplog.messages[-1].splitlines()) == 1
    assert "\x1b" not in caplog.messages[-1]
    assert shop.events("hook.refused")[0].payload["subject"].isprintable()


def test_more_pictures_than_a_database_binds_values_are_asked_for_in_parts(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mfgviz.jobs.submission.ASKED_AT_ONCE", 3)
    monkeypatch.setattr("mfgviz.unchanged.ASKED_AT_ONCE", 3)
    shop.rule(ask={"prompt": "{a|b|c|d|e}", "views": ["iso", "front"]})
    shop.release(shop.revise("BRK-1", "A", "s1"))
    shop.follow()
    shop.finish()
    assert [one.how for one in shop.service.test_rule("hero", "BRK-1@A").jobs] == ["reused"] * 10
    shop.release(shop.revise("BRK-1", "B", "s1"))
    shop.follow()
    assert [job.state for job in shop.jobs_of("BRK-1@B")] == [JobState.SUCCEEDED] * 10


def test_waiting_for_a_file_costs_an_event_none_of_its_tries(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.rule()
    reference = shop.revise("BRK-1", "A")
    shop.release(reference)
    with shop.runtime.db.begin() as session:
        session.execute(update(Event).values(tries=automation.MOST_TRIES))
    handlers, failed = automation.HANDLERS, []

    def once(session, settings, events):  # type: ignore[no-untyped-def]
        if len(failed) < 4:
            failed.append(events)
            raise ZeroDivisionError("nobody thought of that")
        return []

    monkeypatch.setattr(automation, "HANDLERS", (once, *handlers))
    for _ in range(2):
        shop.follow()
        with shop.runtime.db.begin() as session:
            session.execute(update(Event).values(available_at=None))
    assert len(shop.jobs_of(reference)) == 1


def test_events_are_taken_again_where_two_waited_for_each_other(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.rule()
    shop.release(shop.revise("BRK-1", "A"))
    handlers, tried = automation.HANDLERS, []

    def contended(session, settings, events):  # type: ignore[no-untyped-def]
        tried.append(events)
        if len(tried) < 3:
            raise ContentionError
        return []

    monkeypatch.setattr(automation, "HANDLERS", (contended, *handlers))
    shop.follow()
    assert len(shop.jobs_of("BRK-1@A")) == 1
