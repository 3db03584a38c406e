"""The description of the API: whole, and kept. Schemathesis sends what it describes, and what it does not."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import hypothesis
import pytest
import schemathesis

from mfgviz import schema as tables
from mfgviz.api.app import create_app
from mfgviz.runtime import Runtime
from mfgviz.service import Service
from mfgviz.settings import Settings
from mfgviz.wire import JobBody
from tests.api.conftest import fill, make_settings
from tests.api.test_resources import PROMPT, render_one
from tests.support.http import HttpServer, make_token

SPEC = create_app(Settings()).openapi()
EXAMPLES = 12


def properties() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for name, schema in SPEC["components"]["schemas"].items():
        for key, one in schema.get("properties", {}).items():
            yield name, key, one


def test_every_field_parameter_and_route_is_described() -> None:
    bare = [
        f"{name}.{key}" for name, key, one in properties() if "description" not in one and "$ref" not in one
    ]
    assert bare == []
    for path, operations in SPEC["paths"].items():
        for method, operation in operations.items():
            assert operation.get("description"), f"{method} {path}"


def test_every_error_is_a_problem() -> None:
    for path, operations in SPEC["paths"].items():
        for method, operation in operations.items():
            for status, answer in operation["responses"].items():
                if status.startswith(("4", "5")) and path != "/readyz":
                    assert list(answer["content"]) == ["application/problem+json"], (
                        f"{method} {path} {status}"
                    )


schema = schemathesis.openapi.from_dict(SPEC)
# A stream does not end; tests/api/test_events.py listens to them.
schema = schema.exclude(path_regex="/events$")


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Address and an admin's token of a server with something of everything in it."""
    folder = tmp_path_factory.mktemp("schemathesis")
    settings = make_settings(f"sqlite:///{folder / 'test.db'}", "amqp://nowhere.invalid//", folder)
    runtime = Runtime(settings)
    tables.upgrade(runtime.db)
    fill(runtime)
    service = Service(runtime, "ann")
    service.submit(JobBody(revision="BRK-1@A", prompt=PROMPT))
    render_one(runtime)
    service.submit(JobBody(revision="BRK-1@A", prompt="brass"))
    server = HttpServer(settings).start()
    yield server.url, make_token(runtime, "admin")
    server.stop()
    runtime.close()


@schema.parametrize()
@hypothesis.settings(
    max_examples=EXAMPLES, deadline=None, suppress_health_check=list(hypothesis.HealthCheck), derandomize=True
)
def test_what_is_described_is_what_is_answered(case: schemathesis.Case, filled: tuple[str, str]) -> None:
    """No 5xx, no status, type or body that is not described; nonsense is refused."""
    url, token = filled
    case.call_and_validate(
        base_url=url,
        headers={"Authorization": f"Bearer {token}"},
        excluded_checks=[
            schemathesis.checks.ignored_auth,  # test_access.py tries every route by every role
            schemathesis.checks.positive_data_acceptance,  # a schema cannot say that a cursor is one of ours
        ],
    )
