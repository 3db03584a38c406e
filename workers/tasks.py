"""The Celery tasks: thin, by the names in `mfgviz.queue`. A message's id only says where to look."""

from __future__ import annotations

from typing import Any

from celery import Celery

from mfgviz.queue import TASK_AUTOMATE, TASK_READ_GEOMETRY, TASK_RENDER, TASK_SCHEDULED
from workers.host import WorkerHost


def register_tasks(app: Celery, host: WorkerHost) -> None:
    """Give the app its tasks, bound to this process's host."""

    @app.task(name=TASK_RENDER, max_retries=0)
    def render(job_id: int) -> dict[str, Any]:
        """Something waits: claim what is next (not necessarily `job_id`) and render it."""
        return {"rung_for": job_id, "jobs": host.render()}

    @app.task(name=TASK_READ_GEOMETRY, max_retries=0)
    def read_geometry(geometry_id: int) -> None:
        """A CAD file was stored: look into it."""
        host.read_geometry(geometry_id)

    @app.task(name=TASK_AUTOMATE, max_retries=0)
    def automate(_: int) -> dict[str, int]:
        """There are events: do what follows from them."""
        return {"events": host.automate()}

    @app.task(name=TASK_SCHEDULED, max_retries=0)
    def scheduled(schedule_id: int) -> None:
        """A schedule is due: do what it says."""
        host.run_schedule(schedule_id)
