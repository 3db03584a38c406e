"""What changed from one revision to another, in words and as a picture."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from mfgviz import catalog, toolbox, wire
from mfgviz.comparison import compare
from mfgviz.errors import GeometryError, ToolMissingError
from mfgviz.geometry_intake import fetched
from mfgviz.intake import usable_geometry
from mfgviz.service.base import Base
from mfgviz.service.shown import shown

# Of one CAD file, where it is read again to compare all of them.
MOST_HOLES = 20_000


class ComparisonService(Base):
    """See `Service`."""

    def revision_diff(self, reference: str, other: str) -> wire.RevisionDiff:
        """What changed from one revision to the other. A CAD file that was read before holes were looked for,
        or that has more than are recorded, is read again where the worker side is installed; elsewhere the
        answer says what it does not know.

        Raises:
            PartNotFoundError, RevisionNotFoundError: one of them is not there.
            BlobNotFoundError, StorageUnavailableError: a CAD file cannot be fetched.
        """
        with self.runtime.db.read() as session:
            sides = [shown(session, catalog.get_revision(session, one)) for one in (reference, other)]
        return compare(*(self._with_facts(one) for one in sides))

    def revision_diff_image(self, reference: str, other: str) -> bytes:
        """Both shapes laid over one another in four views, as PNG.

        Raises:
            PartNotFoundError, RevisionNotFoundError: one of them is not there.
            GeometryError: one of them has no CAD file, or one that cannot be used.
            ToolMissingError: the worker side is not installed on this host.
            BlobNotFoundError, StorageUnavailableError: a CAD file cannot be fetched.
        """
        sides = []
        with self.runtime.db.read() as session:
            for one in (reference, other):
                revision = catalog.get_revision(session, one)
                digest = usable_geometry(revision)
                assert revision.geometry is not None
                sides.append((revision.reference, digest, revision.geometry.file_name))
        if not toolbox.is_available():
            raise ToolMissingError(
                "This host cannot draw shapes: the worker side is not installed here.",
                remedy="Ask one that has it: pip install 'mfgviz[worker]'. It tells changes in words here.",
            )
        holes = [one.model_dump() for one in self.revision_diff(reference, other).holes]
        with ExitStack() as open_files:
            folder = Path(open_files.enter_context(tempfile.TemporaryDirectory(prefix="mfgviz-")))
            told = [
                {
                    "name": name,
                    "digest": digest,
                    "path": str(open_files.enter_context(fetched(self.runtime.blobs, digest, file_name))),
                }
                for name, digest, file_name in sides
            ]
            out = folder / "sheet.png"
            asked = {"before": told[0], "after": told[1], "holes": holes, "out": str(out)}
            toolbox.run_tool("silhouettes", asked)
            return out.read_bytes()

    def _with_facts(self, revision: wire.Revision) -> wire.Revision:
        geometry = revision.geometry
        named, counted = len(revision.facts.get("holes", ())), revision.facts.get("hole_count", math.inf)
        if geometry is None or geometry.state == "unusable" or named >= counted or not toolbox.is_available():
            return revision
        with fetched(self.runtime.blobs, geometry.digest, geometry.file_name) as path:
            try:
                read: Mapping[str, Any] = toolbox.run_tool(
                    "read-geometry", {"path": str(path), "holes": MOST_HOLES}
                )
            except GeometryError:
                return revision
        known = {"format": read["format"], "shape_digest": read["shape_digest"]}
        return revision.model_copy(
            update={"facts": read["facts"], "geometry": geometry.model_copy(update=known)}
        )
