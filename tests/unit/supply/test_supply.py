"""The bill of software, and the audit of what is installed."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import tomllib
from importlib.metadata import Distribution, PathDistribution
from importlib.resources import files
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from supply import audit, sbom
from supply.closure import closure, key_of

ROOT = Path(__file__).parent.parent.parent.parent


# -- the bill ----------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def bill() -> Any:
    return json.loads(sbom.written())


def test_it_is_cyclonedx(bill: Any) -> None:
    schemas = files("cyclonedx.schema") / "_res"

    def read(name: str) -> Any:
        return json.loads((schemas / name).read_text(encoding="utf-8"))

    names = ("spdx.SNAPSHOT.schema.json", "jsf-0.82.SNAPSHOT.schema.json")
    base = "http://cyclonedx.org/schema/"
    registry = jsonschema_rs.Registry([(base + name, {**read(name), "$id": base + name}) for name in names])
    schema = read("bom-1.6.SNAPSHOT.schema.json")
    jsonschema_rs.validator_for(schema, registry=registry).validate(bill)
    with pytest.raises(jsonschema_rs.ValidationError):
        jsonschema_rs.validator_for(schema, registry=registry).validate({**bill, "components": [{}]})


def test_it_lists_all_that_mfgviz_says_it_needs(bill: Any) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    lines = [*project["dependencies"], *extras["worker"], *extras["local"]]
    wanted = {key_of(re.split(r"[\[<>=; ]", line)[0]) for line in lines}
    listed = {key_of(one["name"]): one for one in bill["components"]}
    assert wanted <= set(listed)
    assert not {"pytest", "ruff", "mypy"} & set(listed), "tools are no part of what is shipped"
    refs = {one["bom-ref"] for one in bill["components"]} | {bill["metadata"]["component"]["bom-ref"]}
    edges = {one["ref"]: one.get("dependsOn", []) for one in bill["dependencies"]}
    assert set(edges) == refs
    assert all(set(wants) <= refs for wants in edges.values())
    assert any(
        ref.startswith("sqlalchemy==") for ref in edges[listed["alembic"]["bom-ref"]] for ref in [ref.lower()]
    )
    assert all(one["purl"].startswith("pkg:pypi/") for one in bill["components"] if one["type"] == "library")


def test_it_lists_the_weights_by_their_hashes(bill: Any) -> None:
    weights = {one["name"]: one for one in bill["components"] if one["type"] == "machine-learning-model"}
    assert len(weights) >= 3
    for name, one in weights.items():
        content = (ROOT / name).read_bytes()
        assert one["hashes"] == [{"alg": "SHA-256", "content": hashlib.sha256(content).hexdigest()}]


def test_each_run_writes_the_same_and_no_paths(tmp_path: Path) -> None:
    def run(seed: str) -> str:
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(ROOT), "TZ": "Asia/Tokyo"}
        script = "from supply import sbom; print(sbom.written(), end='')"
        command = [sys.executable, "-W", "error", "-c", script]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        ).stdout

    first = run("1")
    assert first == run("2")
    for path in (str(ROOT), str(Path.home()), sys.prefix, "file://"):
        assert path not in first


# -- the audit ---------------------------------------------------------------------------------------------
@pytest.fixture
def package(tmp_path: Path) -> tuple[Distribution, Path]:
    """An installed package of one module, and the module's file."""
    module, info = tmp_path / "thing.py", tmp_path / "thing-1.0.dist-info"
    module.write_text("x = 1\n")
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: thing\nVersion: 1.0\n")
    (info / "WHEEL").write_text("Wheel-Version: 1.0\nTag: py3-none-any\n")
    write_record(tmp_path)
    return PathDistribution(info), module


def write_record(folder: Path) -> None:
    digest = hashlib.sha256((folder / "thing.py").read_bytes()).digest()
    value = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
    lines = [
        f"thing.py,sha256={value},6",
        "thing-1.0.dist-info/INSTALLER,sha256=zzz,4",
        "thing-1.0.dist-info/RECORD,,",
    ]
    (folder / "thing-1.0.dist-info" / "INSTALLER").write_text("pip\n")
    lines[1] = "thing-1.0.dist-info/RECORD,,"
    (folder / "thing-1.0.dist-info" / "RECORD").write_text("\n".join(lines) + "\n")


def test_altered_files_are_seen(package: tuple[Distribution, Path]) -> None:
    thing, module = package
    assert list(audit.altered(thing)) == []
    module.write_text("x = 2\n")
    assert list(audit.altered(thing)) == ["thing: thing.py was altered"]
    module.unlink()
    assert list(audit.altered(thing)) == ["thing: thing.py is gone"]


def test_another_content_under_the_same_version_is_seen(package: tuple[Distribution, Path]) -> None:
    thing, module = package
    line, before = audit.line_of("thing", thing), audit.contents_of(thing)
    assert line == "thing==1.0 py3-none-any"
    assert audit.known(f"# head\n{line} {before}\n") == {line: before}
    module.write_text("import os\n")
    write_record(module.parent)
    assert list(audit.altered(thing)) == [], "its RECORD was altered along with it"
    assert audit.contents_of(PathDistribution(module.parent / "thing-1.0.dist-info")) != before


def test_what_is_not_pinned_is_seen(package: tuple[Distribution, Path]) -> None:
    found = {"thing": package[0]}
    assert list(audit.unpinned(found, audit.pins("thing==1.0 ; python_version > '3'\n"))) == []
    assert "not pinned" in next(audit.unpinned(found, {}))
    assert "pinned at 2.0" in next(audit.unpinned(found, audit.pins("Thing==2.0\n")))


def test_what_is_installed_here_is_what_was_pinned_and_recorded() -> None:
    found = audit.installed()
    assert len(found) > 50
    constraints = (ROOT / "constraints.txt").read_text()
    # A tool that somebody has installed besides is no fault of the project's.
    ours = {key: found[key] for key in found if key in closure(frozenset({"worker", "local", "dev"}))}
    assert list(audit.unpinned(ours, audit.pins(constraints))) == []
    hashes = audit.known(audit.CONTENTS.read_text())
    seen = {audit.line_of(key, one): audit.contents_of(one) for key, one in ours.items()}
    assert [what for what in seen if hashes.get(what, seen[what]) != seen[what]] == []
    small = [one for key, one in ours.items() if key in ("click", "sqlalchemy", "httpcore", "celery")]
    assert [told for one in small for told in audit.altered(one)] == []


def test_no_answer_is_not_taken_for_a_good_one() -> None:
    bad = {"id": "PYSEC-1", "fix_versions": ["1.1"], "aliases": [], "description": ""}
    told = {
        "dependencies": [
            {"name": "a", "version": "1", "vulns": []},
            {"name": "b", "version": "1", "vulns": [bad]},
            {"name": "c", "skip_reason": "Dependency not found on PyPI and could not be audited: c (1)"},
        ]
    }
    found, answered = audit.answer_of(json.dumps(told))
    assert answered == 2
    assert found == ["b 1: PYSEC-1, mended in ['1.1']"]
    assert audit.answer_of("Traceback …") == ([], 0)


def test_the_whole_audit_says_what_was_not_looked_up(tmp_path: Path) -> None:
    pins = tmp_path / "constraints.txt"
    pins.write_text("mfgviz-has-no-such-package==1.0\n")
    found, asked, unanswered = audit.vulnerabilities(pins)
    assert (found, asked, unanswered) == ([], 1, 1)
