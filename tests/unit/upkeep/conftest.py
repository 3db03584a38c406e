"""An embedded installation with a part, its CAD file and its picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mfgviz import schema
from mfgviz.runtime import Runtime
from mfgviz.settings import Settings
from tests.support.installation import fill


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """The installation's folder."""
    return tmp_path / "data"


@pytest.fixture
def runtime(data_dir: Path) -> Iterator[Runtime]:
    """A migrated installation with a part and its picture."""
    made = Runtime(Settings(data_dir=data_dir, requester="ann"))
    schema.upgrade(made.db)
    fill(made)
    yield made
    made.close()
