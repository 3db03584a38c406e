"""Bills of material: taken in from files, and read downwards (what is in it) and upwards (where it is used).

A line means a part, or pins one of its revisions. A line that pins none means the part's current revision:
the latest released one; else the latest that is not obsolete; else the latest.
"""

from mfgviz.bom.files import MAX_BYTES, FileLine, read_lines
from mfgviz.bom.intake import Imported, chunks, import_lines, lock
from mfgviz.bom.reading import (
    Child,
    Current,
    TreeRow,
    Use,
    ancestors,
    contents,
    current_revisions,
    lines_of,
    tree,
    where_used,
)

__all__ = [
    "MAX_BYTES",
    "Child",
    "Current",
    "FileLine",
    "Imported",
    "TreeRow",
    "Use",
    "ancestors",
    "chunks",
    "contents",
    "current_revisions",
    "import_lines",
    "lines_of",
    "lock",
    "read_lines",
    "tree",
    "where_used",
]
