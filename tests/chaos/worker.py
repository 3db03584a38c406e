"""`celery -A tests.chaos.worker worker`: the product's worker, which claims whole batches on a CPU too.

On a CPU a claim is one job, because kernels sum in another order for another batch. The stand-in model's
pictures do not depend on their company, so batches, as GPUs have them, can be broken here.
"""

from __future__ import annotations

import workers.devices  # noqa: F401 - what takes seconds to load, before faults come
from workers.app import app, host
from workers.engine import Engine

__all__ = ["app", "host"]

Engine.batch_images = property(lambda engine: engine._runtime.settings.claim_images)  # type: ignore[assignment]
