"""Many at once, with lines that nobody would write on purpose."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest

from mfgviz.bulk import CHUNK, RING_AT_MOST, BulkSubmitter, read_jsonl
from mfgviz.runtime import Runtime
from tests.support.commands import Run


def asks(count: int, start: int = 0) -> str:
    lines = [{"revision": "BRK-1@A", "prompt": "steel", "seed": seed} for seed in range(start, start + count)]
    return "".join(json.dumps(line) + "\n" for line in lines)


# -- parts -----------------------------------------------------------------------------------------
@pytest.mark.both_doors
def test_an_import_can_update_parts_that_are_there(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "parts.csv"
    path.write_text("number,name,finish\nBRK-1,Renamed,brushed\nP-9,,raw\n")
    refused = run("parts", "import", str(path), "--json")
    assert (refused.code, refused.json["imported"]) == (5, 1)
    done = run("parts", "import", str(path), "--update", "--json")
    assert (done.code, done.json) == (0, {"imported": 0, "updated": 2, "rejected": []})
    shown = run("parts", "show", "BRK-1", "--json").json
    assert (shown["name"], shown["attributes"]) == ("Renamed", {"material": "steel", "finish": "brushed"})
    assert "updated 2" in run("parts", "import", str(path), "--update").out


def test_an_atomic_update_is_taken_back_as_a_whole(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "parts.csv"
    path.write_text("number,name\nBRK-1,Renamed\nP-2,Two\na/b,Bad\n")
    done = run("parts", "import", str(path), "--update", "--atomic", "--json")
    assert (done.code, done.json["imported"], done.json["updated"]) == (5, 0, 0)
    assert run("parts", "show", "BRK-1", "--json").json["name"] == "Bracket"
    assert run("parts", "show", "P-2").code == 3


@pytest.mark.both_doors
def test_bad_bytes_are_named_by_line_and_the_rest_goes_in(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "parts.csv"
    path.write_bytes(b"number,name\nP-1,Mutter\nP-2,Schl\xfcssel\nP-3,a\0b\nP-4,\x1b[31m\nP-5,\xc3\xbc\n")
    done = run("parts", "import", str(path), "--json")
    assert (done.code, done.json["imported"]) == (5, 2)
    assert [one["line"] for one in done.json["rejected"]] == [3, 4, 5]
    assert run("parts", "show", "P-5", "--json").json["name"] == "ü"


def test_a_line_that_is_no_csv_is_named(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "parts.csv"
    path.write_text(f"number,name\nP-1,{'x' * 200_000}\nP-2,Two\nP-3,Three,four\n")
    done = run("parts", "import", str(path), "--json")
    assert (done.code, done.json["imported"]) == (5, 1)
    assert [one["line"] for one in done.json["rejected"]] == [2, 4]


@pytest.mark.parametrize("head", ["number,surface finish", "number,finish,finish", "name", ""])
def test_a_bad_head_is_said_once(run: Run, tmp_path: Path, head: str) -> None:
    path = tmp_path / "parts.csv"
    path.write_text(f"{head}\nP-1,a,b\n")
    done = run("parts", "import", str(path), "--json")
    assert (done.code, done.error["code"]) == (5, "invalid-input")


# -- jobs ------------------------------------------------------------------------------------------
@pytest.mark.both_doors
def test_lines_come_from_stdin_too(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    text = b"\xef\xbb\xbf" + asks(2).encode() + b'{"revision": "BRK-1@A", "prompt": "Schl\xfcssel"}\n'
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text), encoding="utf-8"))
    done = run("jobs", "submit", "--from", "-", "--json")
    assert (done.code, len(done.json["jobs"])) == (5, 2)
    assert [one["line"] for one in done.json["rejected"]] == [3]


@pytest.mark.both_doors
@pytest.mark.parametrize(
    "line",
    [
        "[" * 100_000,
        "[]",
        "null",
        '{"revision": "BRK-1@A", "prompt": "a\\u0000b"}',
        '{"revision": "BRK-1@A", "prompt": "a\\ud800b"}',
        '{"revision": "BRK\\ud800@A", "prompt": "a"}',
        '{"revision": "BRK-1@A", "prompt": "a", "seed": 99999999999999999999}',
        '{"revision": "BRK-1@A", "prompt": "a", "guidance_scale": NaN}',
        '{"revision": "BRK-1@A", "prompt": "a", "count": true}',
        '{"revision": "BRK-1@A", "prompt": "a", "stepz": 3}',
        '{"revision": "BRK-1@A", "prompt": "a", "views": []}',
        '{"revision": "BRK-1@A", "prompt": "a", "mode": "image"}',
        '{"revision": "BRK-1@A", "prompt": "{nothing}"}',
    ],
)
def test_no_line_can_stop_the_others(run: Run, tmp_path: Path, line: str) -> None:
    path = tmp_path / "jobs.jsonl"
    path.write_text(asks(1) + line + "\n" + asks(1, start=5))
    done = run("jobs", "submit", "--from", str(path), "--json")
    assert (done.code, len(done.json["jobs"])) == (5, 2)
    assert [one["line"] for one in done.json["rejected"]] == [2]


def test_a_file_rings_as_few_times_as_one_ask(runtime: Runtime) -> None:
    doorbell = Mock()
    submitter = BulkSubmitter(runtime.db, doorbell, "ann", "studio")
    report = submitter.submit(
        read_jsonl(io.StringIO(asks(CHUNK + 50))), atomic=False, advance=lambda _n: None
    )
    assert report.accepted == CHUNK + 50
    rung = [job for call in doorbell.ring.call_args_list for job in call.args[1]]
    assert len(rung) == RING_AT_MOST


def test_what_from_would_ignore_is_refused(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "jobs.jsonl"
    path.write_text(asks(1))
    for words in (
        ["--from", str(path), "--seed", "0"],
        ["BRK-1@A", "steel", "--from", str(path)],
        ["BRK-1@A", "steel", "--atomic"],
        ["BRK-1@A", "steel", "--out", "renders"],
    ):
        refused = run("jobs", "submit", *words, "--json")
        assert (refused.code, refused.error["code"]) == (2, "usage")
    assert run("jobs", "list", "--json").json == []
    missing = run("jobs", "submit", "--from", str(tmp_path / "none.jsonl"), "--json")
    assert (missing.code, missing.error["code"]) == (3, "input-file-not-found")


def test_a_quote_that_is_never_closed_swallows_no_lines(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "parts.csv"
    path.write_text('number,name\nZ-1,a\nZ-3,"unclosed\nZ-4,b\n')
    answer = run("parts", "import", str(path), "--json")
    assert answer.code == 5
    assert "CSV" in answer.error["message"]
    assert [one["number"] for one in run("parts", "list", "--search", "Z-", "--json").json] == ["Z-1"]
