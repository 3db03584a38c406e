"""Batches: renders of everything in a bill of material, or of all that a query finds, asked for at once."""

from mfgviz.batches.making import Made, Over, follow, found_by, make
from mfgviz.batches.progress import Progress, finished, list_batches, progress_of

__all__ = [
    "Made",
    "Over",
    "Progress",
    "finished",
    "follow",
    "found_by",
    "list_batches",
    "make",
    "progress_of",
]
