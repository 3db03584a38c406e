"""What comes out of the broker. A message is a task's name and an id; nothing else of it is used.

Whoever reaches the broker can put anything into its queues. So each message is read here before Celery
sees it, and made anew from those two: what a forged one might hold beside them (callbacks, dates, limits,
names for the log, compressed bodies) is gone. What is no message of ours is thrown away, in one short line
of the log.
"""

from __future__ import annotations

import base64
import json
import logging
import uuid
from collections.abc import Callable
from typing import Any

from celery.worker.consumer import Consumer as CeleryConsumer
from kombu import compression, transport
from kombu.transport import redis
from kombu.transport.virtual import base as virtual

from mfgviz.queue import ROUTES
from mfgviz.vocabulary import QUEUE_CPU, QUEUE_GPU

log = logging.getLogger(__name__)

# Ours have about 700.
MESSAGE_MAX_BYTES = 64 * 2**10
MAX_ID = 2**63 - 1
QUEUES = (QUEUE_GPU, QUEUE_CPU)
JSON = "application/json"
# What reading bytes as a message may raise: no JSON, too deep, too long a number, of another shape.
UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)


class ForgedMessageError(ValueError):
    """That is no message of ours."""


def guard() -> None:
    """Have this process read messages by this module's rules, from Redis and from RabbitMQ."""
    compression._decoders.clear()  # or kombu would unpack a few bytes to gigabytes before anybody looks
    redis.loads = _bounded_loads
    for name in ("redis", "rediss"):
        transport.TRANSPORT_ALIASES[name] = f"{__name__}:Transport"


def doorbell_in(headers: object, content_type: object, body: object) -> tuple[str, int]:
    """The task's name and the id. Raises ForgedMessageError."""
    task = headers.get("task") if isinstance(headers, dict) else None
    if not isinstance(task, str) or task not in ROUTES:
        raise ForgedMessageError("it names no task of ours")
    if content_type != JSON or not isinstance(body, str | bytes) or len(body) > MESSAGE_MAX_BYTES:
        raise ForgedMessageError("its body is no short JSON text")
    try:
        read = json.loads(body)
    except UNREADABLE:
        raise ForgedMessageError("its body is no JSON") from None
    match read:
        case [[int() as number], dict() as keywords, *_] if not keywords and type(number) is int:
            if 0 <= number <= MAX_ID:
                return task, number
    raise ForgedMessageError("its arguments are not one id")


def made_anew(task: str, number: int) -> tuple[dict[str, Any], bytes]:
    """Headers and body of a message that says that, and nothing else."""
    identity = str(uuid.uuid4())
    headers = {"lang": "py", "task": task, "id": identity, "root_id": identity, "argsrepr": f"({number},)",
               "kwargsrepr": "{}", "retries": 0}  # fmt: skip
    nothing_else = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
    return headers, json.dumps([[number], {}, nothing_else]).encode()


def _throw_away(queue: object, error: Exception) -> None:
    reason = str(error) if isinstance(error, ForgedMessageError) else type(error).__name__
    log.warning("thrown away: a message in the queue %.40r that is none of ours: %s", queue, reason)


# -- Celery: whatever the broker -----------------------------------------------------------------------------
class Consumer(CeleryConsumer):
    """Celery's consumer, which reads messages by this module's rules and does not talk with other workers."""

    def __init__(self, *args: Any, **options: Any) -> None:
        alone = {"without_mingle": True, "without_gossip": True, "without_heartbeat": True}
        super().__init__(*args, **{**options, **alone})

    def create_task_handler(self, *args: Any, **options: Any) -> Callable[[Any], Any]:
        """What is done with each message."""
        handle = super().create_task_handler(*args, **options)

        def on_message(message: Any) -> Any:
            try:
                # With errors, it is compressed or in no encoding that there is; its body is still as it came.
                told = doorbell_in(message.headers, message.content_type, message.body)
            except ForgedMessageError as error:
                _throw_away((message.delivery_info or {}).get("routing_key"), error)
                return message.ack_log_error(log, self.connection_errors)
            message.headers, message.body = made_anew(*told)
            message.content_encoding, message.properties = "utf-8", {}
            return handle(message)

        return on_message


# -- Redis: where a message is any bytes in a list -------------------------------------------------------
_loads = redis.loads


def _bounded_loads(text: str) -> Any:
    if len(text) > MESSAGE_MAX_BYTES:
        raise ForgedMessageError("it is too long")
    return _loads(text)


def _envelope(raw: Any, queue: Any) -> dict[str, Any]:
    """The message as kombu keeps it in Redis, made anew. Raises ForgedMessageError."""
    if queue not in QUEUES:
        raise ForgedMessageError("its queue is none of ours")
    try:
        body = base64.b64decode(raw["body"], validate=True)
        told = doorbell_in(raw["headers"], raw["content-type"], body)
    except ForgedMessageError:
        raise
    except UNREADABLE:
        raise ForgedMessageError("it is not built as one") from None
    headers, body = made_anew(*told)
    return {
        "body": base64.b64encode(body).decode(),
        "content-encoding": "utf-8",
        "content-type": JSON,
        "headers": headers,
        "properties": {
            "body_encoding": "base64",
            "correlation_id": headers["id"],
            "delivery_info": {
                "exchange": "",
                "routing_key": queue,
            },  # straight to the queue, as Celery sends it
            "delivery_mode": 2,
            "delivery_tag": str(uuid.uuid4()),
            "priority": 0,
        },
    }


class QoS(redis.QoS):
    """Messages that were taken and not acknowledged."""

    def ack(self, delivery_tag: Any) -> None:
        """Done with it, also where Redis cannot be told. Who is busy with one message does not listen for the
        next, nor hear that the connection is gone, and would be deaf for ever. Redis gives the message out
        again after a while, which does no harm."""
        try:
            super().ack(delivery_tag)
        finally:
            virtual.QoS.ack(self, delivery_tag)

    def restore_by_tag(self, tag: Any, client: Any = None, leftmost: bool = False) -> None:
        """Put one back into its queue; what is no message is forgotten, or it would stop those after it."""
        try:
            super().restore_by_tag(tag, client, leftmost)
        except UNREADABLE as error:
            _throw_away("unacked", error)
            self._remove_from_indices(tag).execute()


class Channel(redis.Channel):
    """Takes messages from lists."""

    QoS = QoS

    def _brpop_read(self, **options: Any) -> Any:
        self.connection.delivers = False
        try:
            return super()._brpop_read(**options)
        except UNREADABLE as error:
            if self.connection.delivers or isinstance(error, self.connection_errors):
                raise
            _throw_away("?", error)
            return True

    def _do_restore_message(
        self,
        payload: Any,
        exchange: Any,
        routing_key: Any,
        pipe: Any,
        leftmost: bool = False,
    ) -> None:
        del exchange  # ours went straight to their queue
        try:
            envelope = _envelope(payload, routing_key)
        except ForgedMessageError as error:
            _throw_away(routing_key, error)
            return
        super()._do_restore_message(envelope, "", routing_key, pipe, leftmost)


class Transport(redis.Transport):
    """kombu's transport over Redis, which hands on messages of ours alone."""

    Channel = Channel
    delivers = False

    def _deliver(self, message: Any, queue: str) -> None:
        try:
            envelope = _envelope(message, queue)
        except ForgedMessageError as error:
            _throw_away(queue, error)
            return
        self.delivers = True
        virtual.Transport._deliver(self, envelope, queue)
