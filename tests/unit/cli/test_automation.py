"""`rules`, `events` and `audit`, against the database and against a server."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import select

from mfgviz import automation, catalog
from mfgviz.records import Geometry
from mfgviz.runtime import Runtime
from tests.support.commands import Run

WHERE = "part.attributes.material == 'steel'"


def add_rule(run: Run, *more: str) -> None:
    asked = ("--on", "revision.released", "--template", "hero", "--views", "iso,front", "--count", "2")
    made = run("rules", "add", "hero on release", *asked, *more, "--json")
    assert made.code == 0, made.err


@pytest.mark.both_doors
def test_a_rule_is_added_tried_switched_off_and_removed(run: Run, runtime: Runtime) -> None:
    add_rule(run, "--where", WHERE)
    (listed,) = run("rules", "list", "--json").json
    assert listed["ask"] == {"priority": "low", "template": "hero", "views": ["iso", "front"], "count": 2}
    assert "template hero" in run("rules", "list").out
    tried = run("rules", "test", "hero on release", "--revision", "BRK-1@A")
    assert tried.out.startswith("Applies to BRK-1@A: 2 submitted.")
    assert "part.attributes.material is 'steel'" in tried.out
    assert run("rules", "disable", "hero on release").code == 0
    assert run("rules", "test", "hero on release", "--revision", "BRK-1@A", "--json").json["applies"] is False
    assert run("rules", "enable", "hero on release").code == 0
    with runtime.db.begin() as session:
        geometry = session.scalars(select(Geometry)).one()
        catalog.note_facts(geometry, catalog.GeometryFacts("step", "f" * 64, {"solids": 1}))
    assert run("revisions", "release", "BRK-1@A").code == 0
    automation.process(runtime)
    (done,) = run("rules", "runs", "hero on release", "--json").json
    assert (done["outcome"], len(done["jobs"]), done["revision"]) == ("submitted", 2, "BRK-1@A")
    assert len(run("jobs", "list", "--json").json) == 2
    assert run("rules", "remove", "hero on release").code == 0
    assert run("rules", "show", "hero on release").code == 3


@pytest.mark.both_doors
def test_what_cannot_be_a_rule_is_told_and_kept_in_the_event_log(run: Run) -> None:
    common = ("rules", "add", "r", "--on", "revision.released", "--prompt", "x")
    for more, code in (
        ((), "matches-everything"),
        (("--where", "part.colour == 'red'"), "unknown-field"),
        (("--where", "part.name ="), "invalid-filter"),
    ):
        refused = run(*common, *more, "--json")
        assert (refused.code, refused.error["code"]) == (5, code)
        assert refused.error["remedy"]
    told = run("events", "list", "--kind", "rule", "--json").json
    assert [one["payload"]["code"] for one in told] == [
        "invalid-filter",
        "unknown-field",
        "matches-everything",
    ]
    (first,) = run("audit", "list", "--action", "rule.refused", "--limit", "1", "--json").json
    assert (first["actor"], first["subject"]) == ("ann", "rule r")


@pytest.mark.both_doors
def test_events_are_listed_and_followed(run: Run, door: str) -> None:
    run("revisions", "release", "BRK-1@A")
    listed = run("events", "list", "--revision", "BRK-1@A", "--json").json
    assert [one["kind"] for one in listed] == ["revision.released", "geometry.attached", "revision.created"]
    assert listed[0]["actor"] == "ann"
    tailed = run("events", "tail", "--after", "0", "--limit", "2", "--json")
    assert [json.loads(line)["kind"] for line in tailed.out.splitlines()] == [
        "revision.created",
        "geometry.attached",
    ]
    assert "revision.released" in run("events", "kinds").out
    assert run("events", "list", "--revision", "nothing@A").code == 3
    trail = run("audit", "list", "--subject", "BRK-1@A", "--json").json
    assert trail[0]["action"] == "revision.state_set"
    where = run("audit", "list", "--subject", "BRK-1@A").out.splitlines()[0].split("\t")[5]
    assert where == ("command line" if door == "local" else "http 127.0.0.1 ann token")
