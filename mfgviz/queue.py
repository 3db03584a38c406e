"""The Celery app as clients see it: configuration, task names, and ringing the doorbell.

A message holds nothing but an id. It only says that there is something to do; what is done next is
decided in the database when a worker claims. So a lost, doubled or late message changes nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mfgviz.errors import BrokerUnavailableError
from mfgviz.masking import mask_secret, mask_text
from mfgviz.settings import Settings
from mfgviz.vocabulary import QUEUE_CPU, QUEUE_GPU

if TYPE_CHECKING:
    from celery import Celery
    from kombu import Connection

logger = logging.getLogger(__name__)

TASK_RENDER = "mfgviz.render"
TASK_READ_GEOMETRY = "mfgviz.read_geometry"
TASK_AUTOMATE = "mfgviz.automate"
TASK_SCHEDULED = "mfgviz.scheduled"
ROUTES = {
    TASK_RENDER: {"queue": QUEUE_GPU},
    TASK_READ_GEOMETRY: {"queue": QUEUE_CPU},
    TASK_AUTOMATE: {"queue": QUEUE_CPU},
    TASK_SCHEDULED: {"queue": QUEUE_CPU},
}
# A broker that did not answer is not asked again for events so soon: a sweep rings for them.
EVENTS_PATIENCE_S = 30.0
KEY_PREFIX = "mfgviz:"


def make_celery(settings: Settings) -> Celery:
    """A Celery app over the broker that the settings name. Nothing is connected yet."""
    from celery import Celery
    from kombu import Exchange, Queue

    app = Celery("mfgviz", broker=settings.celery_broker_url, set_as_current=False)
    app.conf.update(
        task_serializer="json",
        accept_content=["json"],
        result_accept_content=["json"],
        task_ignore_result=True,
        task_routes=ROUTES,
        task_queues=[Queue(name, Exchange(name), routing_key=name) for name in (QUEUE_GPU, QUEUE_CPU)],
        task_create_missing_queues=False,
        task_default_queue=QUEUE_GPU,
        task_acks_late=True,
        task_reject_on_worker_lost=True,
        task_soft_time_limit=settings.soft_time_limit_s,
        task_time_limit=settings.hard_time_limit_s,
        worker_prefetch_multiplier=1,
        worker_soft_shutdown_timeout=settings.shutdown_grace_s,
        worker_enable_soft_shutdown_on_idle=False,
        worker_hijack_root_logger=False,
        worker_cancel_long_running_tasks_on_connection_loss=False,
        broker_connection_retry_on_startup=True,
        # For as long as it takes: by default a worker ends after a hundred tries.
        broker_connection_max_retries=None,
        broker_connection_timeout=4,
        # A message must not come again while its task still runs.
        broker_transport_options={
            "visibility_timeout": settings.hard_time_limit_s + 300,
            "global_keyprefix": KEY_PREFIX,
            "socket_timeout": 5,
            "socket_connect_timeout": 4,
            "socket_keepalive": True,
            "health_check_interval": 10,
            "max_retries": 1,
            "interval_start": 0.0,
            "interval_step": 0.1,
        },
        timezone="UTC",
        enable_utc=True,
    )
    return app


class Doorbell:
    """Rings workers by task name, over one connection that is kept, from any thread. A broker that is down is
    reported, never an error of the caller's."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._app: Celery | None = None
        self._connection: Connection | None = None
        self._lock = threading.RLock()
        self._events_after = 0.0

    @property
    def app(self) -> Celery:
        """The Celery app, made at the first use."""
        if self._app is None:
            self._app = make_celery(self._settings)
        return self._app

    def ring(self, task: str, ids: list[int]) -> bool:
        """Send one message an id; False where the broker does not answer (a sweep rings again)."""
        if not ids:
            return True
        try:
            self._send(task, ids)
        except BrokerUnavailableError as error:
            logger.warning("%s %s", error.message, "The rows are safe; a sweep will ring for them.")
            return False
        return True

    def ring_for_events(self) -> None:
        """Tell a worker that there are events. Where the broker does not answer, that is left to sweeps for a
        while, so that no caller waits for it again and again."""
        if time.monotonic() < self._events_after:
            return
        try:
            self._send(TASK_AUTOMATE, [0])
        except BrokerUnavailableError as error:
            self._events_after = time.monotonic() + EVENTS_PATIENCE_S
            logger.info("%s %s", error.message, "Events are left to a sweep.")

    def waiting(self, queue: str) -> int:
        """How many messages wait in a queue.

        Raises:
            BrokerUnavailableError: the broker does not answer.
        """

        # Not a passive declaration: kombu asks Redis whether there is such a queue without its keys' prefix,
        # and is told that there is none.
        declared = self.app.amqp.queues[queue]

        def count(connection: Any) -> int:
            channel = connection.default_channel
            answer = channel.queue_declare(
                queue=queue, durable=declared.durable, auto_delete=declared.auto_delete
            )
            return int(answer.message_count)

        return int(self._with_connection(count))

    def ping(self) -> None:
        """Connect to the broker. Errors as `waiting`."""
        self._with_connection(lambda connection: connection.ensure_connection(max_retries=1, timeout=4))

    def close(self) -> None:
        """Close the connections."""
        with self._lock:
            self._drop()
            if self._app is not None:
                self._app.close()
                self._app = None

    def _send(self, task: str, ids: list[int]) -> None:
        def publish(connection: Any) -> None:
            with self.app.amqp.Producer(connection) as producer:
                for number in ids:
                    self.app.send_task(task, args=[number], producer=producer, retry=False)

        self._with_connection(publish)

    def _with_connection(self, action: Any) -> Any:
        """Do that over the kept connection; where it has died meanwhile, once more over a new one."""
        from kombu.exceptions import ChannelError, KombuError, OperationalError

        with self._lock:
            while True:
                kept = self._connection is not None
                try:
                    if self._connection is None:
                        self._connection = self.app.connection_for_write()
                    return action(self._connection)
                except ChannelError:
                    self._drop()
                    return 0  # the queue was never declared: nothing waits in it
                except (KombuError, OperationalError, OSError, *_transport_errors()) as error:
                    self._drop()
                    if kept:
                        continue
                    url = self._settings.celery_broker_url
                    told = mask_text(str(error), url).rstrip(".")
                    raise BrokerUnavailableError(
                        f"The broker {mask_secret(url)} does not answer: {told}."
                    ) from error

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):  # it is broken, or it is not: it is not used any more
                connection.release()


def _transport_errors() -> tuple[type[Exception], ...]:
    """The server's own errors, and what kombu raises for the rest of a URL that it cannot use."""
    from redis.exceptions import RedisError

    return (RedisError, ValueError, KeyError, TypeError, ImportError, AttributeError)
