"""What tests of connectors can use: a PLM system in memory, and its connector."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from mfgviz import wire
from mfgviz.errors import MfgvizError, NotFoundError, TooManyError, UnauthenticatedError, UnavailableError
from mfgviz.plm import House, RenderFeed, Round, current_renders, note_refusal
from mfgviz.wire import ConnectorOption


@dataclass(slots=True)
class MemoryPlm:
    """A PLM: its revisions with their CAD files, by reference, and the pictures that came back."""

    revisions: dict[str, tuple[wire.RevisionIntake, str, bytes]] = field(default_factory=dict)
    changed: set[str] = field(default_factory=set)
    followed: set[str] = field(default_factory=set)
    pictures: dict[str, dict[int, bytes]] = field(default_factory=dict)

    def put(self, reference: str, file_name: str, content: bytes, new: wire.RevisionIntake) -> None:
        """Have a revision, or another version of it."""
        self.revisions[reference] = (new, file_name, content)
        self.changed.add(reference)


class MemoryConnector:
    """Brings what a `MemoryPlm` has. One without options: the PLM is handed over."""

    title = "A PLM system in memory, for tests"
    options: tuple[ConnectorOption, ...] = ()

    def __init__(self, plm: MemoryPlm | None = None) -> None:
        self.plm = plm or MemoryPlm()

    def connect(self, house: House, options: Mapping[str, str]) -> MemoryConnection:
        """Begin."""
        del options
        return MemoryConnection(house, self.plm)


class MemoryConnection:
    """See `mfgviz.plm.PlmConnection`. What is to be remembered is the PLM's."""

    interval_s = 0.02

    def __init__(self, house: House, plm: MemoryPlm) -> None:
        self._house, self._plm = house, plm
        self._feed = RenderFeed(house.doors)
        self._behind = set(plm.followed)

    def close(self) -> None:
        """Nothing is held open."""

    def round(self) -> Round:
        """Bring what changed, take back pictures."""
        done = 0
        for reference in sorted(self._plm.changed):
            if self._house.stopping.is_set():
                break
            try:
                self._take_in(reference)
            except (UnavailableError, UnauthenticatedError, TooManyError):
                raise
            except MfgvizError as error:
                note_refusal(self._house, reference, error)
            self._plm.changed.discard(reference)
            done += 1
        self._behind |= self._feed.changed()
        for reference in sorted(self._behind & self._plm.followed):
            done += self._take_back(reference)
            self._behind.discard(reference)
        return Round(done)

    def _take_in(self, reference: str) -> None:
        new, file_name, content = self._plm.revisions[reference]
        with tempfile.TemporaryDirectory(prefix="mfgviz-") as folder:
            path = Path(folder) / f"part{Path(file_name).suffix.lower()}"
            path.write_bytes(content)
            self._house.doors.take_in(reference, new, path, file_name)
        self._plm.followed.add(reference)
        self._behind.add(reference)

    def _take_back(self, reference: str) -> int:
        kept = self._plm.pictures.setdefault(reference, {})
        try:
            new = [one.id for one in current_renders(self._house.doors, reference) if one.id not in kept]
        except NotFoundError:
            return 0
        for render in new:
            kept[render] = self._house.doors.image(render, "png")
        return len(new)
