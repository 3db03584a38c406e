"""One client process: submits until it has its jobs acknowledged, and keeps a journal of what it was told.

`python -m tests.chaos.client PLAN.json`. Whatever does not answer is asked again, with the same
Idempotency-Key, as people and programs do; now and then what was answered is asked again as well.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
import uuid
from pathlib import Path
from typing import IO, Any

from mfgviz.errors import MfgvizError, TooManyError, UnavailableError
from mfgviz.settings import load_settings
from tests.chaos.doors import Door, open_door

VIEWS = ("iso", "front", "top", "right")
# Few kinds, so that batches form; most without maps, because to judge a picture takes a third of a second.
KINDS: tuple[dict[str, Any], ...] = (
    *({"width": 64, "height": 64, "num_inference_steps": 12, "mode": "text"},) * 4,
    *({"width": 96, "height": 64, "num_inference_steps": 20, "mode": "text"},) * 2,
    {"width": 64, "height": 64, "num_inference_steps": 12, "mode": "control"},
)
STUDIO_KINDS: tuple[dict[str, Any], ...] = (
    {"width": 256, "height": 256, "num_inference_steps": 4, "mode": "control"},
)
ASK_AGAIN_SHARE, CANCEL_SHARE, RETRY_SHARE = 0.15, 0.08, 0.5


class Submitter:
    """Asks, and writes down what it was answered."""

    def __init__(self, plan: dict[str, Any], journal: IO[str]) -> None:
        self._plan, self._journal = plan, journal
        self._rng = random.Random(plan["seed"])
        self._seed = plan["first_seed"]
        self._door: Door = open_door(
            plan["door"], load_settings(), (plan["api_url"], plan["token"]), os.environ
        )
        self.acknowledged: set[int] = set()

    def run(self) -> None:
        """Until enough jobs are acknowledged."""
        while len(self.acknowledged) < self._plan["jobs"]:
            began = time.monotonic()
            asks = [self._ask() for _ in range(self._plan["at_once"])]
            self._submit(asks)
            pause_s = self._plan["pause_s"] * self._rng.uniform(0.5, 1.5)
            time.sleep(max(0.0, pause_s - (time.monotonic() - began)))
        self._note("done")

    def _ask(self) -> dict[str, Any]:
        kinds = STUDIO_KINDS if self._plan["studio"] else KINDS
        count = self._rng.choice((1, 1, 1, 2, 3))
        self._seed += 10
        return {
            **self._rng.choice(kinds),
            "revision": self._plan["revision"],
            "prompt": "{material}, studio light",
            "views": self._rng.sample(VIEWS, self._rng.choice((1, 1, 2))),
            "count": count,
            "seed": self._seed,
            "priority": self._rng.choice(("low", "normal", "normal", "high")),
            # One picture in three may not show the part well: it is tried again.
            **({"fidelity_policy": "retry", "fidelity_retries": 1} if self._rng.random() < 0.1 else {}),
        }

    def _submit(self, asks: list[dict[str, Any]]) -> None:
        key = uuid.UUID(int=self._rng.getrandbits(128), version=4).hex
        self._note("asks", key=key, asks=len(asks))
        answers = self._until_answered(lambda: self._door.submit(asks, key), key)
        self._note("answered", key=key, jobs=answers)
        ids = [job for job, _ in answers]
        self.acknowledged.update(ids)
        if self._rng.random() < ASK_AGAIN_SHARE:
            again = self._until_answered(lambda: self._door.submit(asks, key), key)
            self._note("asked-again", key=key, jobs=again)
        if self._rng.random() < CANCEL_SHARE:
            self._change("cancel", ids)
            if self._rng.random() < RETRY_SHARE:
                self._change("retry", ids)

    def _until_answered(self, action: Any, key: str) -> Any:
        while True:
            try:
                return action()
            except (UnavailableError, TooManyError) as error:
                self._note("refused", key=key, code=error.code)
                time.sleep(0.3)

    def _change(self, what: str, ids: list[int]) -> None:
        """Cancel or retry; what has ended meanwhile, or was not cancelled, cannot be: that is an answer."""
        self._note(what, jobs=ids)
        try:
            getattr(self._door, what)(ids)
        except MfgvizError as error:
            self._note(f"{what}-refused", jobs=ids, code=error.code)

    def _note(self, what: str, **told: Any) -> None:
        self._journal.write(json.dumps({"at": time.time(), "what": what, **told}) + "\n")
        self._journal.flush()


def main() -> None:
    """Run one plan."""
    plan = json.loads(Path(sys.argv[1]).read_text())
    with Path(plan["journal"]).open("a") as journal:
        Submitter(plan, journal).run()


if __name__ == "__main__":
    main()
