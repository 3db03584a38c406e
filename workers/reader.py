"""The process that reads one CAD file: `python -m workers.reader FOLDER` (see `geometry.tessellate`).

It confines itself before it imports anything that could be attacked, and before there are threads, which the
kernel would leave as they are.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from workers.confinement import Bounds, confine


def main(folder: Path) -> None:
    """Do the job that lies in the folder, and leave the answer there."""
    job = json.loads((folder / "job.json").read_text())
    confine(folder, Path(job["source"]), Bounds(**job["bounds"]))
    from workers.geometry.tessellate import do_job

    do_job(folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
