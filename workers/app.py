"""The worker's entry point: `celery -A workers.app worker -Q gpu,cpu`.

This is the one module that reads the settings when it is imported, because Celery's command line
wants an app there. The threads pool with one thread is the default: CUDA does not survive a fork, and
a solo pool would not hear the broker while it samples. There is no remote control: whoever reaches the
broker could stop every worker with it.
"""

from __future__ import annotations

import atexit
import logging
import signal
import sys
from typing import Any

from celery import signals

from mfgviz.errors import MfgvizError
from mfgviz.queue import make_celery
from mfgviz.settings import load_settings
from workers import messages
from workers.host import WorkerHost
from workers.tasks import register_tasks

log = logging.getLogger(__name__)
STOPS = (signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)

try:
    _settings = load_settings()
except MfgvizError as error:
    sys.exit(f"Error: {error.message}\n{error.remedy}")

host = WorkerHost(_settings)
app = make_celery(_settings)
app.conf.update(
    worker_pool="threads",
    worker_concurrency=1,
    worker_consumer="workers.messages:Consumer",
    worker_enable_remote_control=False,
)
messages.guard()
register_tasks(app, host)


@signals.worker_ready.connect
def _ready(**_kw: Any) -> None:
    for number in STOPS:
        _stop_at(number)
    atexit.register(_ignore_stops)
    host.start(tuple(sorted(app.amqp.queues.consume_from)))


def _stop_at(number: signal.Signals) -> None:
    """Tell the host before Celery does its part, which may be to wait. At the second signal, be quick."""
    celery_s = signal.getsignal(number)

    def stop(*given: Any) -> None:
        host.stop(at_once=host.stopping.is_set())
        if callable(celery_s):
            celery_s(*given)

    signal.signal(number, stop)


def _ignore_stops() -> None:
    """All is handed back and said. Python would give signals their defaults now, so that a second one looked
    like a worker that was killed."""
    for number in STOPS:
        signal.signal(number, signal.SIG_IGN)


@signals.worker_shutting_down.connect
def _shutting_down(**_kw: Any) -> None:
    host.stop()


@signals.worker_shutdown.connect
def _shutdown(**_kw: Any) -> None:
    host.close()


@signals.setup_logging.connect
def _logging(**_kw: Any) -> None:
    logging.basicConfig(
        level=_settings.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
