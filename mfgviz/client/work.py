"""Render jobs."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator, Sequence
from typing import TYPE_CHECKING

import httpx

from mfgviz import wire
from mfgviz.client.connection import Connection, again, listed, parse, plain
from mfgviz.errors import (
    InvalidRequestError,
)

if TYPE_CHECKING:
    from mfgviz.intake import Ask


# As many as the server takes at once.
IDS_AT_ONCE = 500


class WorkClient(Connection):
    """See `Client`."""

    def submit(self, body: wire.JobBody, key: str | None = None) -> wire.SubmitAnswer:
        """Queue what is asked for; sent again where the answer is lost, and queued once all the same."""
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}

        def send() -> httpx.Response:
            return self._request("POST", "/jobs", json=plain(body), headers=headers)

        return parse(wire.SubmitAnswer, again(send))

    def submit_ask(self, ask: Ask, key: str | None = None) -> wire.SubmitAnswer:
        """As `submit`, for an ask of `mfgviz.intake`. Raises InvalidRequestError."""
        import msgspec

        plain = listed(msgspec.to_builtins(ask))
        return self.submit(wire.read(wire.JobBody, plain, InvalidRequestError), key)

    def jobs(
        self,
        *,
        state: str | None = None,
        revision: str | None = None,
        requester: str | None = None,
        cursor: str | None = None,
        limit: int = 50,
    ) -> wire.Page[wire.Job]:
        """Jobs that fit, newest first."""
        wanted = {"state": state, "revision": revision, "requester": requester, "cursor": cursor}
        return self._get(wire.Page[wire.Job], "/jobs", **wanted, limit=limit)

    def job(self, job_id: int) -> wire.Job:
        """One job, its attempts and renders, and why it is where it is."""
        return self._get(wire.Job, f"/jobs/{job_id}")

    def why(self, job_id: int) -> wire.JobWait:
        """Why a job is where it is."""
        return self._get(wire.JobWait, f"/jobs/{job_id}/why")

    def standings(self, job_ids: Collection[int], *, positions: bool = False) -> list[wire.JobEvent]:
        """Where jobs stand, by id, with places in the queue where asked; unknown ones are left out."""
        ids = sorted(job_ids)
        found: list[wire.JobEvent] = []
        for at in range(0, len(ids), IDS_AT_ONCE):
            wanted = {"job": ids[at : at + IDS_AT_ONCE], "positions": positions}
            found += self._get(wire.Page[wire.JobEvent], "/standings", **wanted).items
        return found

    def unfinished(self) -> list[wire.JobEvent]:
        """The first of the jobs that run or wait, as they will be served."""
        return self._get(wire.Page[wire.JobEvent], "/queue/jobs").items

    def cancel_all(self, job_ids: Sequence[int]) -> list[wire.JobEvent]:
        """Cancel jobs at once; where each stands then. Those that have ended stay as they are."""
        return self._of_all("cancel", job_ids)

    def retry_all(self, job_ids: Sequence[int]) -> list[wire.JobEvent]:
        """Queue failed or cancelled jobs again, all or none."""
        return self._of_all("retry", job_ids)

    def _of_all(self, what: str, job_ids: Sequence[int]) -> list[wire.JobEvent]:
        body = wire.read(wire.JobIds, {"jobs": list(job_ids)})
        return self._send(wire.Page[wire.JobEvent], "POST", f"/queue/{what}", body).items

    def cancel(self, job_id: int) -> wire.Job:
        """Cancel a job."""
        return parse(wire.Job, self._request("POST", f"/jobs/{job_id}/cancel"))

    def retry(self, job_id: int) -> wire.Job:
        """Queue a failed or cancelled job again."""
        return parse(wire.Job, self._request("POST", f"/jobs/{job_id}/retry"))

    def preview(self, job_id: int) -> tuple[int, bytes]:
        """The step and JPEG of a job's last preview. Raises NoPreviewError."""
        answer = self._request("GET", f"/jobs/{job_id}/preview")
        return int(answer.headers["etag"].strip('"').rpartition("-")[2]), answer.content

    def job_events(self, job_id: int) -> Iterator[wire.JobEvent | wire.PreviewEvent]:
        """What happens to a job, until it has ended; a broken connection is made again."""
        for event in self._events(f"/jobs/{job_id}/events"):
            yield event
            if isinstance(event, wire.JobEvent) and event.state in ("succeeded", "failed", "cancelled"):
                return

    def events(self) -> Iterator[wire.JobEvent | wire.PreviewEvent]:
        """What happens to all jobs of the token's requester, without end."""
        return self._events("/events")
