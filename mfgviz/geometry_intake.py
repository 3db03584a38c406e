"""Taking a CAD file in: looked into first, stored next, attached last, so that nothing is half-written."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from sqlalchemy.orm import Session

from mfgviz import catalog, toolbox
from mfgviz.catalog import GeometryFacts, StoredFile
from mfgviz.database import after_commit
from mfgviz.queue import TASK_READ_GEOMETRY, Doorbell
from mfgviz.records import PartRevision
from mfgviz.runtime import Runtime
from mfgviz.storage import BlobStore
from mfgviz.vocabulary import GeometryState


@dataclass(frozen=True, slots=True)
class TakenFile:
    """A stored CAD file and what was read from it; `facts` is None where only a worker can look."""

    stored: StoredFile
    facts: GeometryFacts | None
    warnings: tuple[str, ...] = ()

    def attach(self, session: Session, revision: PartRevision, actor: str, doorbell: Doorbell) -> None:
        """Let the revision show the file; where nobody has looked into it, a worker is asked to.

        Raises:
            RevisionFrozenError: the revision is released or obsolete.
        """
        geometry = catalog.attach_geometry(session, revision, self.stored, actor)
        if self.facts is not None:
            catalog.note_facts(geometry, self.facts)
        elif geometry.state == GeometryState.STORED:
            geometry_id = geometry.id
            after_commit(session, lambda: doorbell.ring(TASK_READ_GEOMETRY, [geometry_id]))


def take_file(runtime: Runtime, path: Path, file_name: str | None = None) -> TakenFile:
    """Look into a CAD file and store it, under its own name or under that one.

    Raises:
        GeometryError: it cannot be used; nothing is stored.
        StorageUnavailableError: it cannot be stored.
    """
    largest = runtime.settings.geometry_max_bytes
    catalog.check_file(path, largest)
    facts, warnings = None, []
    if toolbox.is_available():
        read = toolbox.run_tool("read-geometry", {"path": str(path.absolute())})
        facts = GeometryFacts(read["format"], read["shape_digest"], read["facts"])
        warnings = read["warnings"]
    stored = catalog.store_file(runtime.blobs, path, largest)
    if file_name is not None:
        stored = replace(stored, file_name=file_name)
    return TakenFile(stored, facts, tuple(warnings))


@contextmanager
def fetched(blobs: BlobStore, digest: str, file_name: str) -> Iterator[Path]:
    """A stored CAD file as a file with the extension it came with, for as long as the block runs."""
    with tempfile.TemporaryDirectory(prefix="mfgviz-") as folder:
        path = Path(folder) / f"part{Path(file_name).suffix.lower()}"
        path.write_bytes(blobs.get(digest))
        yield path
