"""Telling those who look on: moves, steps and small previews of the jobs that are being rendered.

Previews have a budget: together they may take `PREVIEW_SHARE` of the time that the sampling takes, so a quick
sampling has few or none, and a slow one has one every few steps.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from PIL import Image

from mfgviz.live import Live, Told
from mfgviz.provenance import synthetic_mark

if TYPE_CHECKING:
    from mfgviz.jobs import ClaimedJob
    from workers.families.protocol import StepInfo

PREVIEW_SHARE = 0.03
PREVIEW_EVERY_S = 0.5
PREVIEW_QUALITY = 80
# What a preview is thought to cost before one was made.
FIRST_GUESS_S = 0.05


class Teller:
    """Tells of one sampling. Nothing that it does fails or delays a job."""

    def __init__(
        self, live: Live, jobs: Sequence[ClaimedJob], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._live, self._jobs = live, list({job.id: job for job in jobs}.values())
        self._clock = clock
        self._began = clock()
        self._shown_at = self._began
        self._spent_s, self._cost_s = 0.0, FIRST_GUESS_S

    def moved(self) -> None:
        """The jobs' rows have changed."""
        self._live.tell([Told(job.id, job.requester) for job in self._jobs])

    def step(self, step: int, total_steps: int, info: StepInfo) -> None:
        """The jobs are at that step of all theirs; `info` is of this sampling."""
        shown = self._show(step, info) if self._live.url and self._affords(info) else False
        first = self._jobs[0].id
        self._live.tell(
            [Told(job.id, job.requester, step, total_steps, shown and job.id == first) for job in self._jobs]
        )

    def _affords(self, info: StepInfo) -> bool:
        """Whether a preview now stays within the budget. None after the last step: the picture comes."""
        now = self._clock()
        if info.step >= info.total or now - self._shown_at < PREVIEW_EVERY_S:
            return False
        whole_s = (now - self._began - self._spent_s) / max(info.step, 1) * info.total
        return self._spent_s + self._cost_s <= PREVIEW_SHARE * whole_s

    def _show(self, step: int, info: StepInfo) -> bool:
        began = self._clock()
        pixels = info.preview()
        if pixels is not None:
            out = io.BytesIO()
            Image.fromarray(pixels).save(out, "JPEG", quality=PREVIEW_QUALITY, xmp=synthetic_mark())
            self._live.put_preview(self._jobs[0].id, step, out.getvalue())
        self._shown_at = self._clock()
        self._cost_s = self._shown_at - began
        self._spent_s += self._cost_s
        return pixels is not None
