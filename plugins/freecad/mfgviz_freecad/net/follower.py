"""Following the jobs that were asked for from here, until each has ended.

The event stream tells what happens; where it is not open, the jobs are asked for one by one. What is
unfinished is in the state file, so a FreeCAD that was closed finds its jobs again.
"""

from __future__ import annotations

import time
from typing import Any

from ..core.problems import Kind, Problem
from ..core.state import FINAL_STATES, AskedJob, StateFile
from ..qt import QtCore, Signal
from .events import EventStream
from .http import Answer, Api

TICK_MS = 1000
POLL_S = 2.0
POLL_BESIDE_STREAM_S = 15.0
POLL_LONGEST_S = 30.0
AT_ONCE = 8


class Follower(QtCore.QObject):  # type: ignore[misc]
    """Signals: `changed(job)` with what the server last said of a job; `ended(job)` once, with all of it;
    `previewed(id, jpeg)`; `vanished(id)`; `troubled(problem)` and `recovered()` of the connection."""

    changed = Signal(object)
    ended = Signal(object)
    previewed = Signal(int, object)
    vanished = Signal(int)
    troubled = Signal(object)
    recovered = Signal()

    def __init__(self, api: Api, state: StateFile, parent: Any = None) -> None:
        super().__init__(parent)
        self._api, self._state = api, state
        self._unfinished: set[int] = set()
        self._asking: set[int] = set()
        self._asked_at: dict[int, float] = {}
        self._preview_wanted: str | None = None
        self._preview_under_way = False
        self._poll_s = POLL_S
        self._in_trouble = False
        self._stream = EventStream(api, parent=self)
        self._stream.happened.connect(self._happened)
        self._stream.opened.connect(self._recover)
        self._stream.lost.connect(self._lost)
        self._ticker = QtCore.QTimer(self)
        self._ticker.timeout.connect(self._tick)

    @property
    def unfinished(self) -> frozenset[int]:
        """Jobs that are being followed."""
        return frozenset(self._unfinished)

    def resume(self) -> None:
        """Follow what the state file has unfinished."""
        for job in self._state.jobs(self._api.server.url):
            if not job.is_final:
                self.follow(job.job)

    def follow(self, job_id: int) -> None:
        """From now on, until it has ended."""
        self._unfinished.add(job_id)
        self._stream.start()
        if not self._ticker.isActive():
            self._ticker.start(TICK_MS)
        self._ask(job_id)

    def adopt(self, asked: AskedJob) -> None:
        """A job that was just asked for, or found on the server: remember and follow it."""
        self._state.remember_job(asked)
        self.follow(asked.job)

    def try_now(self) -> None:
        """Somebody changed something: do not wait for the next attempt."""
        self._stream.try_now()
        for job_id in sorted(self._unfinished)[:AT_ONCE]:
            self._ask(job_id)

    def stop(self) -> None:
        """Follow nothing; nothing is forgotten."""
        self._ticker.stop()
        self._stream.stop()
        self._unfinished.clear()

    # -- what the server says ------------------------------------------------------------------------------
    def _happened(self, name: str, data: dict[str, Any]) -> None:
        job_id = int(data.get("job", 0))
        if job_id not in self._unfinished:
            return
        self._asked_at[job_id] = time.monotonic()
        if name == "job":
            self._state.note_state(self._api.server.url, job_id, str(data.get("state")))
            self.changed.emit({**data, "id": job_id})
            if data.get("state") in FINAL_STATES:
                self._ask(job_id)  # for its notes, its error's words and its renders
        elif name == "preview":
            self._show_preview(job_id, str(data.get("url", "")))

    def _show_preview(self, job_id: int, url: str) -> None:
        self._preview_wanted = url
        if self._preview_under_way:
            return
        self._preview_under_way = True
        self._preview_wanted = None

        def then(answer: Answer) -> None:
            self._preview_under_way = False
            if answer.problem is None and job_id in self._unfinished:
                self.previewed.emit(job_id, answer.content)
            if self._preview_wanted:
                self._show_preview(job_id, self._preview_wanted)

        self._api.get_bytes(url or f"/jobs/{job_id}/preview", then)

    def _ask(self, job_id: int) -> None:
        if job_id in self._asking:
            return
        self._asking.add(job_id)
        self._asked_at[job_id] = time.monotonic()

        def then(answer: Answer) -> None:
            self._asking.discard(job_id)
            if job_id not in self._unfinished:
                return
            if answer.problem is None:
                self._recover()
                self._heard(answer.json)
            elif answer.problem.status == 404:
                self._unfinished.discard(job_id)
                self._state.forget_job(self._api.server.url, job_id)
                self.vanished.emit(job_id)
            else:
                self._trouble(answer.problem)

        self._api.get(f"/jobs/{job_id}", then)

    def _heard(self, job: dict[str, Any]) -> None:
        job_id, state = int(job["id"]), str(job["state"])
        self._state.note_state(self._api.server.url, job_id, state)
        self.changed.emit(job)
        if state in FINAL_STATES:
            self._unfinished.discard(job_id)
            self.ended.emit(job)
            self._rest()

    def _tick(self) -> None:
        interval = POLL_BESIDE_STREAM_S if self._stream.is_open else self._poll_s
        now = time.monotonic()
        late = [one for one in sorted(self._unfinished) if now - self._asked_at.get(one, 0.0) >= interval]
        for job_id in late[:AT_ONCE]:
            self._ask(job_id)
        self._rest()

    def _rest(self) -> None:
        if not self._unfinished:
            self._ticker.stop()
            self._stream.stop()

    # -- the connection ------------------------------------------------------------------------------------
    def _lost(self, problem: Problem) -> None:
        if problem.kind in (Kind.UNAUTHENTICATED, Kind.FORBIDDEN):
            self._trouble(problem)
        # Else polling finds out within seconds whether the server is away or only the stream is.

    def _trouble(self, problem: Problem) -> None:
        self._in_trouble = True
        self._poll_s = min(self._poll_s * 1.5, POLL_LONGEST_S)
        if problem.kind in (Kind.UNAUTHENTICATED, Kind.FORBIDDEN):
            self._ticker.stop()
        self.troubled.emit(problem)

    def _recover(self) -> None:
        self._poll_s = POLL_S
        if self._in_trouble:
            self._in_trouble = False
            self._stream.try_now()
            self.recovered.emit()
