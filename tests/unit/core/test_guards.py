"""Rules of the house that a test can hold."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import mfgviz
from mfgviz import errors, vocabulary
from mfgviz.errors import MfgvizError
from mfgviz.queue import ROUTES, make_celery
from mfgviz.settings import Settings
from mfgviz.vocabulary import JOB_MOVES, JobState

ROOT = Path(mfgviz.__file__).parent.parent
ALL_ERRORS = [
    kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, MfgvizError)
]


def modules_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nimport json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


@pytest.mark.parametrize(
    "statement",
    ["import mfgviz.intake, mfgviz.renditions, mfgviz.jobs", "import mfgviz.schema, mfgviz.runtime"],
)
def test_the_core_imports_no_torch_and_no_geometry(statement: str) -> None:
    assert not modules_after(statement) & {
        "torch",
        "diffusers",
        "transformers",
        "numpy",
        "trimesh",
        "workers",
    }


def test_a_worker_starts_without_torch() -> None:
    loaded = modules_after("import os; os.environ['MFGVIZ_DATA_DIR'] = '/nonexistent'; import workers.app")
    assert not loaded & {"torch", "diffusers", "transformers"}


def test_every_task_has_a_route_and_a_time_limit() -> None:
    code = "import workers.app as w; print([n for n in w.app.tasks if n.startswith('mfgviz.')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert set(json.loads(done.stdout.replace("'", '"'))) == set(ROUTES)
    conf = make_celery(Settings()).conf
    assert 0 < conf.task_soft_time_limit < conf.task_time_limit
    assert conf.broker_transport_options["visibility_timeout"] > conf.task_time_limit


def test_messages_are_json_alone() -> None:
    conf = make_celery(Settings()).conf
    assert (conf.task_serializer, conf.accept_content) == ("json", ["json"])
    assert (conf.task_acks_late, conf.task_reject_on_worker_lost, conf.worker_prefetch_multiplier) == (
        True,
        True,
        1,
    )


def test_error_codes_are_unique_and_every_error_says_something() -> None:
    codes = [kind.code for kind in ALL_ERRORS]
    assert len(codes) == len(set(codes))
    assert all((kind.__doc__ or "").strip().endswith(".") for kind in ALL_ERRORS)


@pytest.mark.parametrize("kind", ALL_ERRORS)
def test_an_error_survives_the_way_through_json(kind: type[MfgvizError]) -> None:
    error = errors.error_of(kind("it broke", remedy="mend it").as_json())
    assert type(error) is kind
    assert (error.message, error.remedy) == ("it broke", "mend it")


def test_final_states_are_left_only_by_a_retry() -> None:
    assert set(JOB_MOVES) == set(JobState)
    assert JOB_MOVES[JobState.SUCCEEDED] == frozenset()
    for state in vocabulary.FINAL_STATES:
        assert JOB_MOVES[state] <= {JobState.QUEUED}


def test_generated_pages_are_up_to_date() -> None:
    done = subprocess.run(
        [sys.executable, "docs/build.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_layers_hold() -> None:
    # In a process of its own: grimp parses the whole house.
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
