"""`celery -A tests.chaos.worker worker`: the product's worker, which claims whole batches on a CPU too, and
notes when it was starved.

On a CPU a claim is one job, because kernels sum in another order for another batch. The stand-in model's
pictures do not depend on their company, so batches, as GPUs have them, can be broken here.
"""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

# What takes seconds to load, before faults come.
import workers.devices
import workers.fidelity  # noqa: F401
from workers.app import app, host
from workers.engine import Engine

__all__ = ["app", "host"]

LOOK_EVERY_S, STARVED_S = 0.2, 1.0

Engine.batch_images = property(lambda engine: engine._runtime.settings.claim_images)  # type: ignore[assignment]


def _watch(path: Path) -> None:
    """Note when a thread that only sleeps could not run: on a busy machine leases run out by themselves."""
    while True:
        began = time.monotonic()
        time.sleep(LOOK_EVERY_S)
        ended = time.monotonic()
        if ended - began > STARVED_S:
            with path.open("a") as notes:
                notes.write(f"{host.name} {began:.3f} {ended:.3f}\n")


if "CHAOS_STARVED" in os.environ:
    noted = Path(os.environ["CHAOS_STARVED"])
    threading.Thread(target=_watch, args=(noted,), name="starved", daemon=True).start()
