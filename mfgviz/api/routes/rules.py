"""Rules: what events shall cause."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query

from mfgviz import wire
from mfgviz.api.access import Admin, Reader
from mfgviz.api.problems import responses
from mfgviz.api.routes.common import PAGE, Limit, make_router

router = make_router("rules")

Name = Annotated[str, Path(min_length=1, max_length=256)]
Reference = Annotated[str, Query(min_length=1, max_length=256, description="`NUMBER@LABEL`")]


@router.get("/rules")
def list_rules(caller: Reader) -> wire.Page[wire.Rule]:
    """List the rules, by name."""
    return wire.Page(items=caller.service.rules())


@router.post("/rules", status_code=201, responses=responses(404, 409))
def add_rule(caller: Admin, body: wire.NewRule) -> wire.Rule:
    """Add a rule, enabled."""
    return caller.service.add_rule(body)


@router.get("/rules/{name}", responses=responses(404))
def show_rule(caller: Reader, name: Name) -> wire.Rule:
    """Show a rule."""
    return caller.service.rule(name)


@router.patch("/rules/{name}", responses=responses(404))
def change_rule(caller: Admin, name: Name, body: wire.RuleChange) -> wire.Rule:
    """Let a rule apply, or not for now."""
    return caller.service.change_rule(name, body)


@router.delete("/rules/{name}", status_code=204, responses=responses(404))
def remove_rule(caller: Admin, name: Name) -> None:
    """Drop a rule and what is known of its runs; the jobs that it made stay."""
    caller.service.remove_rule(name)


@router.get("/rules/{name}/test", responses=responses(404))
def test_rule(caller: Reader, name: Name, revision: Reference) -> wire.RuleTest:
    """Tell which jobs a rule would make if its event happened to a revision now. Changes nothing."""
    return caller.service.test_rule(name, revision)


@router.get("/rule-runs", responses=responses(404))
def list_rule_runs(
    caller: Reader, rule: Annotated[str | None, Query(max_length=256)] = None, limit: Limit = PAGE
) -> wire.Page[wire.RuleRun]:
    """List what rules did, the newest first."""
    return wire.Page(items=caller.service.rule_runs(rule, limit))
