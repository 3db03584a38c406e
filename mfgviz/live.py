"""What happens to jobs, told at once: progress and small previews through Redis.

The row stays the truth. What is told here only says that a row has moved, or how far its sampling is; whoever
listens looks at the rows too, so that a message lost (or a Redis that was flushed, or is none) costs a second
of delay and nothing else. Telling never fails a job and never makes it wait.

One stream (`XADD`, its length bounded) holds the messages of all jobs in their order; a message's id is what
a server-sent event's id is, so a listener that comes back reads on from there. A preview is a key of its own
that expires.
"""

from __future__ import annotations

import json
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from mfgviz.masking import mask_text
from mfgviz.settings import Settings

if TYPE_CHECKING:
    import redis
    import redis.asyncio

log = logging.getLogger(__name__)

STREAM = "mfgviz:live"
# Enough for an hour of a busy fleet; a message has about 150 bytes.
STREAM_LENGTH = 50_000
PREVIEW_KEY = "mfgviz:preview:{}"
PREVIEW_TTL_S = 300
# A Redis that does not answer is left alone for a while, so that telling costs nothing then.
SILENCE_S = 5.0
TIMEOUT_S = 0.5


@dataclass(frozen=True, slots=True)
class Told:
    """One message: job `job` of `requester` has moved (`step` is None), or is at a sampling step."""

    job: int
    requester: str
    step: int | None = None
    total_steps: int | None = None
    preview: bool = False

    def fields(self) -> dict[Any, Any]:
        """As the stream keeps it."""
        plain = {"job": self.job, "requester": self.requester}
        if self.step is not None:
            plain |= {"step": self.step, "total_steps": self.total_steps or 0, "preview": self.preview}
        return {"d": json.dumps(plain, separators=(",", ":"))}

    @classmethod
    def read(cls, fields: dict[Any, Any]) -> Told | None:
        """A message of the stream; None where it is none of ours."""
        try:
            plain = json.loads(fields[b"d"])
            step, total = plain.get("step"), plain.get("total_steps")
            return cls(
                int(plain["job"]),
                str(plain["requester"]),
                None if step is None else int(step),
                None if total is None else int(total),
                bool(plain.get("preview")),
            )
        except (KeyError, ValueError, TypeError, AttributeError):
            return None


class Live:
    """The sending side, for workers and servers. Never raises, never waits for long."""

    def __init__(self, settings: Settings) -> None:
        self.url = settings.live_redis_url
        self._client: redis.Redis | None = None
        self._silent_until = 0.0

    def tell(self, messages: list[Told]) -> None:
        """Send messages in their order."""

        def send(client: redis.Redis) -> None:
            with client.pipeline(transaction=False) as pipe:
                for message in messages:
                    pipe.xadd(STREAM, message.fields(), maxlen=STREAM_LENGTH, approximate=True)
                pipe.execute()

        if messages:
            self._try(send)

    def put_preview(self, job_id: int, step: int, jpeg: bytes) -> None:
        """Keep a preview of a job for a few minutes."""
        content = step.to_bytes(4, "big") + jpeg
        self._try(lambda client: client.set(PREVIEW_KEY.format(job_id), content, ex=PREVIEW_TTL_S))

    def preview(self, job_id: int) -> tuple[int, bytes] | None:
        """The step and the JPEG of a job's last preview, or None."""
        content = self._try(lambda client: client.get(PREVIEW_KEY.format(job_id)))
        if not isinstance(content, bytes) or len(content) < 4:
            return None
        return int.from_bytes(content[:4], "big"), content[4:]

    def drop_preview(self, job_ids: list[int]) -> None:
        """Forget previews: the pictures are there."""
        if job_ids:
            self._try(lambda client: client.delete(*(PREVIEW_KEY.format(one) for one in job_ids)))

    def close(self) -> None:
        """Close the connection."""
        if self._client is not None:
            self._client.close()
            self._client = None

    def _try(self, action: Any) -> Any:
        import redis
        import redis.backoff
        import redis.retry

        if self.url is None or time.monotonic() < self._silent_until:
            return None
        try:
            if self._client is None:
                # Its default is to try ten times, for seconds: whoever submits would wait for that.
                once = redis.retry.Retry(redis.backoff.NoBackoff(), 0)
                options = {"socket_timeout": TIMEOUT_S, "socket_connect_timeout": TIMEOUT_S, "retry": once}
                self._client = connect(redis, self.url, **options)
            return action(self._client)
        except (redis.RedisError, OSError, ValueError) as error:
            self._silent_until = time.monotonic() + SILENCE_S
            log.warning("live progress is not told: %s", mask_text(str(error), self.url))
            return None


def connect(library: Any, url: str, **options: Any) -> Any:
    """A client of `redis` or `redis.asyncio` for a URL as Celery writes it (redis+socket:// too)."""
    parts = urlsplit(url)
    if parts.scheme == "redis+socket":
        number = int(parse_qs(parts.query).get("virtual_host", ["0"])[0] or 0)
        return library.Redis(
            unix_socket_path=parts.path,
            username=parts.username,
            password=parts.password,
            db=number,
            **options,
        )
    return library.Redis.from_url(url, **options)
