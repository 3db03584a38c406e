"""A site, and a folder that is watched, for the tests of connectors."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mfgviz import plm, toolbox
from plugins.plm.folder import FolderConnection, FolderConnector
from tests.support.connectors import Site, make_template, site_of

Watch = Callable[..., FolderConnection]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("plm") / "data")


@pytest.fixture
def site(template: Path, tmp_path: Path) -> Iterator[Site]:
    with site_of(template, tmp_path / "data", "service") as made:
        yield made


@pytest.fixture
def unread(monkeypatch: pytest.MonkeyPatch) -> None:
    """A host without the worker side: files are stored, and read by a worker later."""
    monkeypatch.setattr(toolbox, "is_available", lambda: False)


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    """The folder."""
    folder = tmp_path / "drop"
    folder.mkdir()
    return folder


@pytest.fixture
def watch(site: Site, drop: Path) -> Watch:
    """Begins to watch, with options."""

    def begin(**options: str) -> FolderConnection:
        given = {"folder": str(drop), "settle_s": "0", "interval_s": "0.02", **options}
        connector = FolderConnector()
        return connector.connect(site.house(), plm.complete_options(connector, given))

    return begin
