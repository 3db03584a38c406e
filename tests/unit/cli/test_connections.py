"""`mfgviz webhooks`, `hooks`, `schedules` and `db collect-blobs`, on the database and through a server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mfgviz import signing
from mfgviz.runtime import Runtime
from tests.support.commands import Run

MAPPING = '[revision]\npart = "number"\nrevision = "rev"\nstate = "state"\n[states]\nReleased = "released"\n'


@pytest.mark.both_doors
def test_webhooks(run: Run, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(signing.new_secret() + "\n")
    made = run("webhooks", "add", "erp", "https://erp.example.com/x", "--kind", "render",
               "--kind", "job.failed", "--secret-file", str(tmp_path / "secret"), "--json")  # fmt: skip
    assert made.code == 0, made.err
    assert made.json["secret"] == (tmp_path / "secret").read_text().strip()
    assert run("webhooks", "add", "mes", "https://mes.example.com/", "--kind", "revision").out.startswith(
        "whsec_"
    )
    listed = run("webhooks", "list", "--json").json
    assert [(one["name"], one["kinds"], one["pending"]) for one in listed] == [
        ("erp", ["render", "job.failed"], 0), ("mes", ["revision"], 0)
    ]  # fmt: skip
    assert "secret" not in json.dumps(listed) + run("webhooks", "show", "erp", "--json").out
    refused = run("webhooks", "add", "in", "https://10.0.0.1/", "--kind", "render", "--json")
    assert (refused.code, refused.error["code"]) == (5, "forbidden-address")
    assert "MFGVIZ_WEBHOOK_ALLOW_PRIVATE" in refused.error["remedy"]
    again = run("webhooks", "add", "erp", "https://x.example.com/", "--kind", "render", "--json")
    assert (again.code, again.error["code"]) == (4, "duplicate-webhook")
    assert run("webhooks", "disable", "erp", "--json").json["enabled"] is False
    assert run("webhooks", "enable", "erp", "--json").json["enabled"] is True
    assert run("webhooks", "deliveries", "erp", "--json").json == []
    assert run("webhooks", "replay", "erp", "--dead", "--json").json["deliveries"] == 0
    assert run("webhooks", "replay", "erp").code == 2
    missing = run("webhooks", "replay", "erp", "--event", "1", "--json")
    assert (missing.code, missing.error["code"]) == (3, "delivery-not-found")
    assert run("webhooks", "remove", "erp").code == 0
    assert run("webhooks", "show", "erp").code == 3


@pytest.mark.both_doors
def test_a_webhook_that_cannot_be_reached_says_so(run: Run, runtime: Runtime) -> None:
    run("webhooks", "add", "erp", "https://nowhere.invalid/", "--kind", "render")
    tried = run("webhooks", "test", "erp", "--json")
    assert (tried.code, tried.error["code"]) == (6, "delivery-failed")
    assert "nowhere.invalid has no address" in tried.error["message"]


@pytest.mark.both_doors
def test_hooks(run: Run, tmp_path: Path) -> None:
    (tmp_path / "plm.toml").write_text(MAPPING)
    (tmp_path / "plm.json").write_text('{"revision": {"part": "/number"}}')
    (tmp_path / "bad.toml").write_text("revision = [")
    made = run(
        "hooks", "add", "plm", "--mapping", str(tmp_path / "plm.toml"), "--requester", "robot", "--json"
    )
    assert made.code == 0, made.err
    assert (made.json["path"], made.json["requester"]) == ("/api/v1/hooks/plm", "robot")
    for file, told in (("plm.json", "missing required field"), ("bad.toml", "cannot be read"), ("none", "")):
        refused = run("hooks", "add", "x", "--mapping", str(tmp_path / file), "--requester", "r", "--json")
        assert refused.error["code"] in ("invalid-mapping", "input-file-not-found")
        assert told in refused.error["message"]
    assert [one["name"] for one in run("hooks", "list", "--json").json] == ["plm"]
    assert "secret" not in run("hooks", "show", "plm", "--json").out
    assert run("hooks", "disable", "plm", "--json").json["enabled"] is False
    assert run("hooks", "enable", "plm", "--json").json["enabled"] is True
    assert run("hooks", "rotate", "plm", "--json").json["secret"] != made.json["secret"]
    assert run("hooks", "remove", "plm").code == 0
    assert run("hooks", "show", "plm").code == 3


@pytest.mark.both_doors
def test_schedules(run: Run) -> None:
    tasks = {one["name"] for one in run("schedules", "tasks", "--json").json}
    assert tasks == {"catalog-refresh", "collect-blobs", "sweep", "retry-webhooks"}
    assert "collect-blobs\tgrace_days\t7.0" in run("schedules", "tasks").out
    made = run("schedules", "add", "refresh", "--task", "catalog-refresh", "--cron", "0 3 * * *",
               "--set", "template=hero", "--set", "where=part.attributes.category == 'bracket'",
               "--json")  # fmt: skip
    assert made.code == 0, made.err
    assert made.json["arguments"]["where"] == "part.attributes.category == 'bracket'"
    assert made.json["next_at"].endswith("T03:00:00Z")
    refused = run("schedules", "add", "x", "--task", "sweep", "--cron", "sometimes", "--json")
    assert (refused.code, refused.error["code"]) == (5, "invalid-schedule")
    assert run("schedules", "run-now", "refresh", "--json").json["last_outcome"] == "due"
    busy = run("schedules", "run-now", "refresh", "--json")
    assert (busy.code, busy.error["code"]) == (4, "schedule-busy")
    assert run("schedules", "disable", "refresh", "--json").json["enabled"] is False
    assert run("schedules", "enable", "refresh", "--json").json["enabled"] is True
    assert [one["name"] for one in run("schedules", "list", "--json").json] == ["refresh"]
    assert run("schedules", "show", "refresh").code == 0
    assert run("schedules", "remove", "refresh").code == 0
    assert run("schedules", "show", "refresh").code == 3


def test_blobs_are_collected(run: Run, runtime: Runtime) -> None:
    digest = runtime.blobs.put(b"garbage")
    tried = run("db", "collect-blobs", "--grace-days", "0", "--dry-run", "--json").json
    assert (tried["condemned"], tried["condemned_bytes"], tried["dry_run"]) == (1, 7, True)
    assert runtime.blobs.exists(digest)
    assert run("db", "collect-blobs").out.startswith("1 blobs, 7 bytes. Condemned 0 (0 bytes)")
    assert run("db", "collect-blobs", "--grace-days", "0", "--json").json["deleted"] == 1
    assert not runtime.blobs.exists(digest)
    assert run("db", "collect-blobs", "--grace-days", "-1").code == 2
