"""From a released revision to its approved picture, with real workers, a real broker and PostgreSQL: nobody
asks for a render, and nothing is rendered twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from sqlalchemy import select

from mfgviz import wire
from mfgviz.errors import ApprovalRequiredError
from mfgviz.records import Event, RenderJob
from mfgviz.runtime import Runtime
from mfgviz.service import Service
from mfgviz.vocabulary import JobState
from tests.integration.conftest import StartWorker
from tests.support.workers import eventually
from tests.unit.geometry.blocks import Block, WriteStep, write_step

__all__ = ["write_step"]

ASK = {"prompt": "{material}", "mode": "image", "image": "clay", "width": 64, "height": 64,
       "num_inference_steps": 4, "views": ["iso", "front"]}  # fmt: skip


def released(service: Service, number: str, label: str, file: Path) -> str:
    """A new revision with that file, released."""
    service.add_revision(number, wire.NewRevision(label=label), file)
    service.set_state(f"{number}@{label}", wire.StateChange(state="released"))
    return f"{number}@{label}"


def quiet(runtime: Runtime) -> None:
    """Wait until all events are followed and all jobs have ended."""

    def is_quiet() -> bool:
        with runtime.db.read() as session:
            waiting = session.scalar(select(Event.id).where(Event.delivered_at.is_(None)).limit(1))
            running = RenderJob.state.in_([JobState.QUEUED, JobState.RUNNING])
            return waiting is None and session.scalar(select(RenderJob.id).where(running).limit(1)) is None

    eventually(is_quiet, 120, "the end of all that follows from the events")


@pytest.mark.parametrize("database_url", ["postgresql"], indirect=True)
def test_from_a_released_bracket_to_its_approved_picture(
    runtime: Runtime, start_worker: StartWorker, write_step: WriteStep
) -> None:
    alice, bob = Service(runtime, "alice"), Service(runtime, "bob")
    careful = Runtime(replace(runtime.settings, approval="other"))
    alice_gated, bob_gated = Service(careful, "alice"), Service(careful, "bob")
    first = write_step(Block().shape(), "first.step")
    saved_again = write_step(Block(origin=(5.0, 0.0, 0.0)).shape(), "again.step", schema="AP203")
    moved = write_step(Block(hole_x=14.0).shape(), "moved.step")
    for number in ("PLT-7", "TOP-1"):
        alice.add_part(wire.NewPart(number=number, attributes={"material": "steel", "kind": number[:3]}))
    rule = wire.NewRule(
        name="on release", on="revision.released", where="part.attributes.kind == 'PLT'", ask=ASK
    )
    alice.add_rule(rule)
    again = wire.NewRule(name="stale", on="revision.stale", ask={**ASK, "views": ["top"]}, everything=True)
    alice.add_rule(again)
    alice.add_revision("TOP-1", wire.NewRevision(label="A"), moved)
    for _ in range(2):
        start_worker()

    # A: rendered, proposed, approved by another one, and so the revision's picture.
    a = released(alice, "PLT-7", "A", first)
    quiet(runtime)
    renders = bob.renders(revision=a).items
    assert sorted((one.view, one.review_state) for one in renders) == [
        ("front", "proposed"),
        ("iso", "proposed"),
    ]
    assert alice.revision(a).primary_render is None
    picture = renders[-1].id
    with pytest.raises(ApprovalRequiredError):
        alice_gated.review(picture, wire.ReviewBody(state="approved"))
    assert bob_gated.review(picture, wire.ReviewBody(state="approved")).is_primary
    assert bob.revision(a).primary_render == picture

    # The assembly has a picture, and is made of the plate.
    top = alice.submit(wire.JobBody(revision="TOP-1@A", **ASK))
    alice.import_bom(b"parent,child,quantity\nTOP-1@A,PLT-7,2\n")
    quiet(runtime)
    assert [one.revision for one in alice.where_used("PLT-7").uses] == ["TOP-1@A"]

    # B: another file of the same shape. Nothing is rendered, nothing above is stale.
    b = released(alice, "PLT-7", "B", saved_again)
    quiet(runtime)
    taken = bob.renders(revision=b).items
    assert {one.linked_from for one in taken} == {one.id for one in renders}
    assert [bob.job(one.job).attempts for one in taken] == [[], []]
    assert all(one.stale_since is None for one in bob.renders(job=top.items[0].job).items)

    # C: a hole has moved. It is rendered, and the assembly's pictures are stale and made again, once.
    c = released(alice, "PLT-7", "C", moved)
    quiet(runtime)
    fresh = bob.renders(revision=c).items
    assert [one.linked_from for one in fresh] == [None, None]
    assert all(len(bob.job(one.job).attempts or ()) == 1 for one in fresh)
    above = bob.renders(revision="TOP-1@A").items
    stale = [one for one in above if one.stale_since is not None]
    assert {one.job for one in stale} == {item.job for item in top.items}
    assert [one.view for one in above if one.stale_since is None] == ["top"]
    outcomes = [(one.rule, one.revision, one.outcome) for one in reversed(bob.rule_runs())]
    assert sorted(outcomes) == [
        ("on release", a, "submitted"), ("on release", b, "reused"), ("on release", c, "submitted"),
        ("stale", "TOP-1@A", "submitted"),
    ]  # fmt: skip
    kinds = [one.kind for one in bob.event_log(revision=a, limit=100).items]
    assert kinds.count("render.approved") == 1
    actions = {(one.actor, one.action) for one in bob.audit_trail(subject=a, limit=100).items}
    assert {("alice", "revision.state_set"), ("alice", "rule.applied"), ("bob", "render.reviewed")} <= actions
    careful.close()
