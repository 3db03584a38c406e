"""A reader that has imported all it needs and is copied for each file: a fork takes milliseconds, a start a
second.

Each copy confines itself as `workers.reader` does and does the same job. One folder a line on stdin (a tab,
and the seconds it may take) is answered by a JSON line: exit code (null where time ran out), peak memory in
KiB, orphans.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import cascadio  # noqa: F401
import scipy.sparse.csgraph  # noqa: F401
import trimesh  # noqa: F401
from OCP.BRepTools import BRepTools  # noqa: F401

from workers import confinement
from workers.geometry import reading  # noqa: F401
from workers.geometry.tessellate import TOLD_FILE, do_job

PR_SET_CHILD_SUBREAPER = 36


def copied(folder: Path) -> None:
    """What `workers.reader` does, in a fork."""
    os.setsid()
    os.chdir(folder)
    for number, name in ((0, os.devnull), (1, os.devnull), (2, str(folder / TOLD_FILE))):
        os.dup2(os.open(name, os.O_RDWR | os.O_CREAT), number)
    os.closerange(3, 64)
    os.environ.clear()
    os.environ.update(confinement.clean_environment(folder))
    job = json.loads((folder / "job.json").read_text())
    confinement.confine(folder, Path(job["source"]), confinement.Bounds(**job["bounds"]))
    import tempfile

    tempfile.tempdir = None
    do_job(folder)


def serve(folder: Path, timeout_s: float) -> dict[str, object]:
    """Read one file; how it ended, and how many processes it left behind."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            copied(folder)
            code = 0
        except BaseException as error:  # noqa: BLE001
            os.write(2, f"{type(error).__name__}: {error}\n".encode()[:4000])
        os._exit(code)
    end = time.monotonic() + timeout_s
    exit_code: int | None = None
    peak = 0
    while time.monotonic() < end:
        pid, status, used = os.wait4(child, os.WNOHANG)
        if pid:
            exit_code, peak = os.waitstatus_to_exitcode(status), used.ru_maxrss
            break
        time.sleep(0.002)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(child, signal.SIGKILL)
    if exit_code is None:
        _, _, used = os.wait4(child, 0)
        peak = used.ru_maxrss
    orphans = 0
    # As the subreaper all that the child left behind is ours now; what was killed with its group is no
    # orphan.
    with suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                time.sleep(0.05)
                pid, status = os.waitpid(-1, os.WNOHANG)
            if not pid:
                orphans += 1
                break
    return {"exit_code": exit_code, "peak_kib": peak, "orphans": orphans}


if __name__ == "__main__":
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    for line in sys.stdin:
        name, seconds = line.rstrip("\n").split("\t")
        print(json.dumps(serve(Path(name), float(seconds))), flush=True)
