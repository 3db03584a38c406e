"""What goes wrong, by kind. Each is a function over the stage that does it and undoes it again.

Which, when and how hard is drawn from the round's seed; what a fault did is noted with its times, so that
every attempt that was lost can be laid at its door.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

import redis
from sqlalchemy import select

from mfgviz.errors import MfgvizError
from mfgviz.records import Attempt, RenderJob
from mfgviz.vocabulary import AttemptOutcome, JobState
from tests.chaos.doors import Door, open_door
from tests.chaos.stage import LEASE_S, Slot, Stage

GPU_KEY = "mfgviz:gpu"
BUSY_WITHIN_S = 60.0
# Kinds after which an attempt of any worker may be lost, and not only the named worker's.
OF_ALL = frozenset(
    {
        "database-cut",
        "database-stall",
        "database-delay",
        "database-restart-fast",
        "database-restart-immediate",
    }
)


@dataclass
class Injected:
    """One fault: of which kind, from when to when, to which worker where it was one's."""

    kind: str
    began: float
    ended: float = 0.0
    worker: str | None = None
    details: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return asdict(self)


class Chaos:
    """Injects faults into a stage, by a seed."""

    def __init__(
        self, stage: Stage, seed: int, kinds: Sequence[str], tell: Callable[[str], None] = print
    ) -> None:
        self._stage, self._tell = stage, tell
        self._kinds = [kind for kind in kinds if kind != "disk-full" or stage.disk.mounted]
        self._rng = random.Random(seed)
        self.injected: list[Injected] = []
        self._stolen: list[bytes] = []
        self._doors: dict[str, Door] = {}

    def run(self, seconds: float, still_busy: Callable[[], bool]) -> None:
        """Every kind once in an order of the seed's, then kinds at random, until the time is over and nobody
        submits any more; heavy ones seldom."""
        deadline = time.monotonic() + seconds
        kinds = self._kinds
        waiting = self._rng.sample(kinds, len(kinds))
        while waiting or time.monotonic() < deadline:
            kind = waiting.pop() if waiting else self._rng.choice(kinds)
            self.inject(kind)
            if not waiting and not still_busy() and time.monotonic() > deadline:
                break
            time.sleep(self._rng.uniform(0.1, 0.8))

    def close(self) -> None:
        """Close the doors."""
        for door in self._doors.values():
            door.close()

    def inject(self, kind: str) -> None:
        """One fault, from its beginning to its end."""
        injected = Injected(kind, time.time())
        self.injected.append(injected)
        try:
            FAULTS[kind](self, injected)
        finally:
            injected.ended = time.time()
            details = " ".join(f"{name}={value}" for name, value in injected.details.items())
            of = f" {injected.worker}" if injected.worker else ""
            self._tell(f"  {kind}{of} {injected.ended - injected.began:.1f} s {details}")

    # -- workers -----------------------------------------------------------------------------------------
    def _kill(self, injected: Injected) -> None:
        """SIGKILL a worker, best in the middle of a batch; another is started in its place."""
        slot = self._pick_busy(injected)
        self._stage.kill_worker(slot, self._rng.uniform(0.2, 2.0))

    def _pause(self, injected: Injected) -> None:
        """SIGSTOP for longer than the lease, then SIGCONT: it comes back and thinks that it has its jobs."""
        slot = self._pick_busy(injected)
        self._stage.pause_worker(slot, LEASE_S + self._rng.uniform(0.6, 2.5))

    def _clock(self, injected: Injected) -> None:
        """A worker's wall clock jumps, and stays there for a while."""
        slot = self._pick(injected)
        jump_s = self._rng.choice((-86_400, -3600, -30, 30, 3600, 86_400 * 400))
        injected.details["jump_s"] = jump_s
        slot.clock.write_text(f"{jump_s:+d}\n")
        time.sleep(self._rng.uniform(1, 3))
        if self._rng.random() < 0.7:
            slot.clock.write_text("+0\n")

    def _pick(self, injected: Injected, among: Collection[str] = ()) -> Slot:
        alive = [slot for slot in self._stage.slots if not slot.has_ended()]
        alive = [slot for slot in alive if slot.name in among] or alive
        slot = self._rng.choice(alive)
        injected.worker = slot.name
        return slot

    def _pick_busy(self, injected: Injected) -> Slot:
        """A worker amid a batch; any, where none is for long."""
        until = time.monotonic() + BUSY_WITHIN_S
        busy: set[str] = set()
        while not busy and time.monotonic() < until:
            with self._stage.watching.db.read() as session:
                running = select(Attempt.worker).where(Attempt.outcome == AttemptOutcome.RUNNING)
                alive = {slot.name for slot in self._stage.slots if not slot.has_ended()}
                busy = alive & set(session.scalars(running))
            time.sleep(0.02)
        slot = self._pick(injected, busy)
        injected.began = time.time()
        injected.details["busy"] = slot.name in busy
        return slot

    # -- Redis ---------------------------------------------------------------------------------------------
    def _flush(self, _injected: Injected) -> None:
        """FLUSHALL."""
        self._stage.redis.flush()

    def _redis_restart(self, _injected: Injected) -> None:
        """Redis ends, with all that it held, and comes back."""
        self._stage.redis.stop()
        time.sleep(self._rng.uniform(0.2, 2.0))
        self._stage.redis.start()

    def _duplicates(self, injected: Injected) -> None:
        """Messages come twice, and once more later, when their jobs are done."""
        with redis.Redis(unix_socket_path=str(self._stage.redis.socket)) as client:
            waiting: list[bytes] = client.lrange(GPU_KEY, 0, 50)  # type: ignore[assignment]
            again = waiting * 2 + self._stolen[-100:]
            if again:
                client.lpush(GPU_KEY, *again)
        injected.details |= {"copied": len(waiting), "replayed": len(self._stolen[-100:])}
        self._stolen += waiting

    # -- PostgreSQL ----------------------------------------------------------------------------------------
    def _database_restart(self, mode: str) -> None:
        self._stage.postgres.restart(mode)

    # -- the network ---------------------------------------------------------------------------------------
    def _cut(self, injected: Injected) -> None:
        """Connections break, and new ones are refused."""
        proxy = self._proxy(injected)
        proxy.cut()
        time.sleep(self._rng.uniform(0.3, 3.0))
        proxy.heal()

    def _stall(self, injected: Injected) -> None:
        """Packets vanish. Then they arrive late, or the old connections stay silent for ever."""
        proxy, forget = self._proxy(injected), self._rng.random() < 0.5
        injected.details["forgotten"] = forget
        proxy.stall()
        time.sleep(self._rng.uniform(0.5, 2.5))
        proxy.heal(forget=forget)

    def _slow(self, injected: Injected) -> None:
        """Everything is late."""
        proxy, delay_s = self._proxy(injected), self._rng.uniform(0.02, 0.3)
        injected.details["delay_s"] = round(delay_s, 3)
        proxy.delay(delay_s)
        time.sleep(self._rng.uniform(1.0, 3.0))
        proxy.heal()

    def _proxy(self, injected: Injected) -> Any:
        stage = self._stage
        return stage.database_proxy if injected.kind.startswith("database") else stage.redis_proxy

    # -- the disk --------------------------------------------------------------------------------------------
    def _disk_full(self, injected: Injected) -> None:
        """No space is left for blobs, or so little that a picture fits in half."""
        left = self._rng.choice((0, 0, 4096, 8192))
        injected.details["left_bytes"] = left
        self._stage.disk.fill(leave_bytes=left)
        time.sleep(self._rng.uniform(1.5, 4.0))
        self._stage.disk.free()

    # -- people ----------------------------------------------------------------------------------------------
    def _cancel_storm(self, injected: Injected) -> None:
        """Many jobs are cancelled through all doors at once, some twice; then half of them are retried, by
        two at the same time."""
        with self._stage.watching.db.read() as session:
            unfinished = (JobState.QUEUED, JobState.RUNNING)
            query = select(RenderJob.id).where(RenderJob.state.in_(unfinished)).order_by(RenderJob.id)
            ids = list(session.scalars(query.limit(40)))
        chosen = self._rng.sample(ids, min(len(ids), self._rng.randint(4, 12)))
        injected.details["jobs"] = sorted(chosen)
        if not chosen:
            return
        half = len(chosen) // 2
        self._all_at_once(
            [
                ("service", "cancel", chosen),
                ("http", "cancel", chosen[:half]),
                ("cli", "cancel", chosen[half:]),
            ]
        )
        again = chosen[: max(1, half)]
        injected.details["retried"] = sorted(again)
        self._all_at_once(
            [(door, "retry", [one]) for one in again for door in self._rng.sample(("service", "http"), 2)]
        )

    def _all_at_once(self, calls: list[tuple[str, str, list[int]]]) -> None:
        def call(door: str, what: str, ids: list[int]) -> None:
            with suppress(MfgvizError):  # it has ended, or was retried by the other: an answer as good
                getattr(self._door(door), what)(ids)

        for kind, _, _ in calls:
            self._door(kind)
        threads = [threading.Thread(target=call, args=one) for one in calls if one[2]]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _door(self, kind: str) -> Door:
        stage = self._stage
        if kind not in self._doors:
            self._doors[kind] = open_door(
                kind, stage.settings, (stage.api_url, stage.token), stage.environment
            )
        return self._doors[kind]


FAULTS: dict[str, Callable[[Chaos, Injected], None]] = {
    "kill": Chaos._kill,
    "pause": Chaos._pause,
    "clock-jump": Chaos._clock,
    "redis-flush": Chaos._flush,
    "redis-restart": Chaos._redis_restart,
    "redis-cut": Chaos._cut,
    "redis-stall": Chaos._stall,
    "redis-delay": Chaos._slow,
    "duplicate-messages": Chaos._duplicates,
    "database-restart-fast": lambda chaos, _: chaos._database_restart("fast"),
    "database-restart-immediate": lambda chaos, _: chaos._database_restart("immediate"),
    "database-cut": Chaos._cut,
    "database-stall": Chaos._stall,
    "database-delay": Chaos._slow,
    "disk-full": Chaos._disk_full,
    "cancel-storm": Chaos._cancel_storm,
}
