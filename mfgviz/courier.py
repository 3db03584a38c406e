"""The courier of a worker process: takes what is due to webhooks there, in threads of its own.

No receiver delays rendering or another receiver: each has `PER_WEBHOOK` threads of `THREADS` at most, and one
that does not answer at all rests for a while.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait

from mfgviz import __version__, outbound, signing, webhooks
from mfgviz.errors import DeliveryFailedError, InvalidWebhookUrlError, MfgvizError
from mfgviz.outbound import Resolve, Taken
from mfgviz.runtime import Runtime
from mfgviz.webhooks import DELAYS_S, Letter, Outcome

log = logging.getLogger(__name__)

THREADS, PER_WEBHOOK = 16, 2
# How long a receiver that did not answer is left alone at first, and at most, seconds.
REST_S, LONGEST_REST_S = 2.0, 60.0


class Courier:
    """Sends what is due. `resolver` finds addresses, `clock` counts seconds, `delays` lie between tries."""

    def __init__(
        self,
        runtime: Runtime,
        *,
        resolver: Resolve = outbound.resolve,
        clock: Callable[[], float] = time.monotonic,
        delays: Sequence[float] = DELAYS_S,
        total_s: float = outbound.TOTAL_S,
    ) -> None:
        self.runtime, self._resolver, self._clock = runtime, resolver, clock
        self._delays, self._total_s = delays, total_s
        self._networks = runtime.settings.webhook_networks
        self._pool = ThreadPoolExecutor(THREADS, "courier")
        self._lock = threading.Lock()
        self._idle = threading.Condition(self._lock)
        self._closed = False
        self._busy: Counter[int] = Counter()
        self._rests: dict[int, tuple[float, float]] = {}  # until when, and how long the next one is
        self._wake, self._stopping = threading.Event(), threading.Event()
        self._thread: threading.Thread | None = None

    # -- a thread that goes on ---------------------------------------------------------------------------
    def start(self) -> None:
        """Look for what is due from now on, whenever woken and every `sweep_interval_s`."""
        self._thread = threading.Thread(target=self._go_on, name="courier", daemon=True)
        self._thread.start()

    def wake(self) -> None:
        """Something may be due."""
        self._wake.set()

    def close(self, patience_s: float = 3.0) -> None:
        """Stop. What is not sent by then is left: it is due again, here or elsewhere."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout=patience_s)
        self._pool.shutdown(wait=False)
        with self._idle:
            self._idle.wait_for(lambda: not self._busy.total(), patience_s)
            self._closed = True

    def _go_on(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                self.send_due()
            except MfgvizError as error:
                log.warning("webhooks: %s", error.message)
            except Exception:
                log.exception("webhooks")
            self._wake.wait(self.runtime.settings.sweep_interval_s)

    # -- one round ---------------------------------------------------------------------------------------
    def send_due(self) -> list[Future[None]]:
        """Claim what is due and begin to send it, as far as there are threads for it.

        Raises:
            UnavailableError: the database does not answer.
        """
        with self.runtime.db.read() as session:
            due = webhooks.due_webhooks(session)
        free = self._free(due)
        if not free:
            return []
        with self.runtime.db.begin() as session:
            letters = webhooks.claim(session, free)
        with self._lock:
            self._busy.update(letter.webhook_id for letter in letters)
        return [self._pool.submit(self._deliver, letter) for letter in letters]

    def send_all(self, limit_s: float = 60.0) -> int:
        """Send until nothing is due that could be sent now, and wait for it; how many tries."""
        count = 0
        until = time.monotonic() + limit_s
        while time.monotonic() < until and (sent := self.send_due()):
            wait(sent, limit_s)
            count += len(sent)
        return count

    def _free(self, due: Sequence[int]) -> dict[int, int]:
        """How many deliveries of each webhook may be begun now."""
        now = self._clock()
        with self._lock:
            left = THREADS - self._busy.total()
            free: dict[int, int] = {}
            # Whoever has least on its way comes first.
            for webhook_id in sorted(due, key=lambda one: self._busy[one]):
                resting = self._rests.get(webhook_id, (now, 0.0))[0] > now
                count = min(PER_WEBHOOK - self._busy[webhook_id], left)
                if count > 0 and not resting:
                    free[webhook_id] = count
                    left -= count
        return free

    def _deliver(self, letter: Letter) -> None:
        try:
            outcome = self._send(letter)
            self._rest(letter.webhook_id, answered=outcome.status is not None)
            with self._lock:
                if self._closed:  # nobody's connections may be used any more
                    return
            with self.runtime.db.begin() as session:
                tries = self.runtime.settings.webhook_tries
                state = webhooks.finish(session, letter, outcome, tries, self._delays)
            log.info("webhook %s, %s: %s", letter.webhook, letter.message_id, state or "somebody else's")
        except MfgvizError as error:
            log.warning("webhook %s: %s", letter.webhook, error.message)  # it is due again after its lease
        except Exception:
            log.exception("webhook %s, %s", letter.webhook, letter.message_id)
        finally:
            with self._lock:
                self._busy[letter.webhook_id] -= 1
                self._idle.notify_all()
            self.wake()

    def _send(self, letter: Letter) -> Outcome:
        headers = headers_of(letter.secret, letter.message_id, letter.body)
        try:
            taken = outbound.post(
                letter.url, letter.body, headers, self._networks, self._resolver, self._total_s
            )
        except (DeliveryFailedError, InvalidWebhookUrlError) as error:
            return Outcome(None, error.message)
        return Outcome(taken.status, None if taken.is_delivered else taken.refusal)

    def _rest(self, webhook_id: int, *, answered: bool) -> None:
        with self._lock:
            if answered:
                self._rests.pop(webhook_id, None)
                return
            next_s = self._rests.get(webhook_id, (0.0, REST_S))[1]
            self._rests[webhook_id] = (self._clock() + next_s, min(2 * next_s, LONGEST_REST_S))


def headers_of(secret: str, message_id: str, body: bytes) -> dict[str, str]:
    """The headers of a message that is sent now."""
    return {
        "Content-Type": "application/json",
        "User-Agent": f"mfgviz/{__version__}",
        **signing.sign(secret, message_id, int(time.time()), body),
    }


def try_out(runtime: Runtime, url: str, secret: str, body: bytes, message_id: str) -> Taken:
    """Send a message at once. Errors as `mfgviz.outbound.post`."""
    headers = headers_of(secret, message_id, body)
    return outbound.post(url, body, headers, runtime.settings.webhook_networks)
