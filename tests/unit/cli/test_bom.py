"""`mfgviz bom`, `mfgviz batches`, and stale renders, against the database and against a server."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import select

from mfgviz import automation, catalog, jobs
from mfgviz.catalog import GeometryFacts, StoredFile
from mfgviz.jobs import Claimant, NewRendition
from mfgviz.records import AuditEntry, Event
from mfgviz.runtime import Runtime
from mfgviz.vocabulary import EventKind, LifecycleState
from tests.support.commands import Run
from tests.support.servers import Redis
from tests.unit.bom.conftest import add

BOM = "parent,child,quantity\nTOP-1@A,BRK-1,2\nTOP-1@A,SCR-1,8\nASM-1@A,TOP-1,1\n"


@pytest.fixture
def assembly(runtime: Runtime, redis_server: Redis, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Revisions TOP-1@A, ASM-1@A and SCR-1@A beside BRK-1@A; a file of lines between them."""
    monkeypatch.setenv("MFGVIZ_BROKER_URL", redis_server.url)  # waiting for one that is away takes longer
    with runtime.db.begin() as session:
        for reference, shape in (("TOP-1@A", "t"), ("ASM-1@A", "t'"), ("SCR-1@A", "s")):
            add(session, reference, shape)
        part = catalog.get_part(session, "BRK-1")
        assert part.revisions[0].geometry is not None
        catalog.note_facts(part.revisions[0].geometry, GeometryFacts("step", "bracket", {}))
    file = tmp_path / "bom.csv"
    file.write_text(BOM)
    return file


def render(runtime: Runtime) -> None:
    """Let a worker finish what waits, and do what follows."""
    while (claim := jobs.claim(runtime.db, Claimant("host:1"))) is not None:
        for job in claim.jobs:
            made = [NewRendition(0, 0, (512, 512), "c" * 64, "d" * 64, "e" * 64)]
            jobs.complete(runtime.db, claim, job.id, made)
    automation.process(runtime)


def release(runtime: Runtime, reference: str, shape: str) -> None:
    with runtime.db.begin() as session:
        revision = catalog.add_revision(session, *reference.split("@"), "eve")
        stored = StoredFile(f"{ord(shape):064x}", 10, "p.step")
        catalog.note_facts(
            catalog.attach_geometry(session, revision, stored, "eve"), GeometryFacts("step", shape, {})
        )
        catalog.set_lifecycle_state(
            session, revision, LifecycleState.RELEASED, "eve", needs_approved_image=False
        )
    automation.process(runtime)


@pytest.mark.both_doors
def test_import_show_and_where_used(run: Run, assembly: Path) -> None:
    answer = run("bom", "import", str(assembly))
    assert (answer.code, answer.out) == (0, "3 lines of 2 revisions; 2 changed: 3 lines added, 0 removed.\n")
    assert "nothing was changed" in run("bom", "import", str(assembly)).out
    shown = run("bom", "show", "ASM-1@A", "--json").json
    assert [(one["level"], one["child"], one["quantity"], one["total"]) for one in shown["rows"]] == [
        (1, "TOP-1@A", 1, 1),
        (2, "BRK-1@A", 2, 2),
        (2, "SCR-1@A", 8, 8),
    ]
    assert run("bom", "show", "ASM-1@A", "--depth", "1").out == "TOP-1@A\t1\t1\t-\tin_work\tno\n"
    used = run("bom", "where-used", "SCR-1", "--json").json
    assert [(one["revision"], one["level"], one["total"]) for one in used["uses"]] == [
        ("TOP-1@A", 1, 8),
        ("ASM-1@A", 2, 8),
    ]
    assert run("bom", "where-used", "SCR-1@A", "--depth", "1").out == "1\tTOP-1@A\t8\tin_work\n"
    assert run("bom", "where-used", "NIX").code == 3
    assert run("bom", "where-used", "ASM-1").out == ""


@pytest.mark.both_doors
def test_a_refused_file_is_told_and_noted(run: Run, assembly: Path, runtime: Runtime) -> None:
    assembly.write_text(BOM + "TOP-1@A,ASM-1,1\n")
    answer = run("bom", "import", str(assembly), "--json")
    assert (answer.code, answer.error["code"]) == (5, "bom-cycle")
    assert f"{assembly}, line 5" in answer.error["message"] or "line 4" in answer.error["message"]
    assert "TOP-1 → ASM-1 → TOP-1" in answer.error["message"].replace(
        "ASM-1 → TOP-1 → ASM-1", "TOP-1 → ASM-1 → TOP-1"
    )
    assert run("bom", "show", "TOP-1@A").out == ""
    with runtime.db.read() as session:
        event = session.scalars(select(Event).where(Event.kind == EventKind.BOM_REFUSED)).one()
        entry = session.scalars(select(AuditEntry).where(AuditEntry.action == "bom.refused")).one()
    assert (event.payload["subject"], event.payload["code"]) == (str(assembly), "bom-cycle")
    assert (entry.actor, entry.subject) == ("ann", str(assembly))
    assert run("bom", "import", str(assembly.parent / "nix.csv")).code == 3


@pytest.mark.both_doors
def test_a_batch_from_submit_to_its_end(run: Run, assembly: Path, runtime: Runtime) -> None:
    run("bom", "import", str(assembly))
    made = run("jobs", "submit", "--bom", "ASM-1@A", "steel", "--view", "iso", "--json").json
    assert (made["id"], made["state"], made["source"]) == (1, "open", {"bom": "ASM-1@A"})
    assert (made["progress"]["items"], made["progress"]["jobs"]) == (4, 3)
    paused = run("batches", "pause", "1")
    assert paused.out == "Batch 1 is paused: 4 waiting, 0 running, 0 of 4 done.\n"
    waiting = run("jobs", "list", "--json").json
    assert {(one["held"], one["batch"]) for one in waiting} == {(True, 1)}
    assert "Its batch is paused" in run("jobs", "why", str(waiting[0]["id"])).out
    assert run("batches", "pause", "1").code == 4
    assert "goes on" in run("batches", "resume", "1").out
    render(runtime)
    assert run("batches", "wait", "1", "--json").json["progress"]["linked"] == 1
    (row,) = run("batches", "list", "--json").json
    assert (row["progress"]["done"], row["skipped_count"]) == (3, 0)
    listed = run("batches", "list").out.split("\t")
    assert listed[:5] == ["1", "open", "bom ASM-1@A", "ann", "4/4"]
    (linked,) = [one for one in run("renders", "list", "TOP-1@A", "--json").json if one["linked_from"]] or [
        one for one in run("renders", "list", "ASM-1@A", "--json").json if one["linked_from"]
    ]
    assert linked["verdict"] == "not_judged"
    assert run("batches", "cancel", "1").code == 0
    assert run("batches", "resume", "1").code == 4
    assert run("batches", "show", "99").code == 3


@pytest.mark.both_doors
def test_batches_over_queries(run: Run, assembly: Path) -> None:
    del assembly
    query = "part.number == 'SCR-1'"
    answer = run("jobs", "submit", "--query", query, "steel")
    assert answer.out.splitlines() == ["Batch 1: 1 requests, 1 new jobs.", "Next: mfgviz batches wait 1"]
    assert run("jobs", "submit", "--query", "1 == 1", "steel", "--json").error["code"] == "matches-everything"
    assert run("jobs", "submit", "--query", "1 == 1", "brass", "--all").code == 0
    assert run("batches", "cancel", "2").code == 0
    ended = run("batches", "wait", "2")
    assert (ended.code, "were cancelled" in ended.err) == (8, True)
    assert run("jobs", "submit", "--query", query, "--bom", "TOP-1@A", "steel").code == 5
    assert run("jobs", "submit", "TOP-1@A", "steel", "--bom", "TOP-1@A").code == 2
    assert run("jobs", "submit", "--from", "x.jsonl", "--bom", "TOP-1@A").code == 2
    assert run("jobs", "submit", "--all", "steel").code == 5


@pytest.mark.both_doors
def test_stale_renders_are_listed_and_made_again(run: Run, assembly: Path, runtime: Runtime) -> None:
    run("bom", "import", str(assembly))
    run("jobs", "submit", "TOP-1@A", "steel")
    render(runtime)
    assert run("renders", "list", "--stale").out == ""
    release(runtime, "SCR-1@B", "z")
    (row,) = run("renders", "list", "--stale", "--json").json
    assert (row["revision"], row["stale_reason"]) == ("TOP-1@A", "SCR-1@B was released in place of SCR-1@A")
    assert row["stale_since"]
    assert run("renders", "list", "BRK-1@A", "--stale").out == ""
    assert run("events", "list", "--kind", "revision.stale", "--json").json[0]["revision"] == "TOP-1@A"
    assert run("renders", "rerender", "--stale", "--revision", "BRK-1@A", "--json").json == []
    (again,) = run("renders", "rerender", "--stale", "--json").json
    assert again["how"] == "new"
    assert run("renders", "rerender", "--stale", "--json").json == []
    render(runtime)
    renders = run("renders", "list", "TOP-1@A", "--json").json
    assert [bool(one["stale_since"]) for one in renders] == [False, True]
    assert run("renders", "rerender", "--stale", "--json").json == []
