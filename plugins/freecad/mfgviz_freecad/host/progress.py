"""What becomes of the jobs that were asked for: queue position, steps, preview, and how they ended."""

from __future__ import annotations

from typing import Any

import FreeCAD

from ..core.state import FINAL_STATES, Origin
from ..i18n import tr
from ..net.session import Session
from ..qt import QtCore, Signal
from ..ui.dock import Panel
from .notices import Notices


class Progress(QtCore.QObject):  # type: ignore[misc]
    """Signal: `finished(job, origin)` of a job that has renders."""

    finished = Signal(object, object)

    def __init__(self, session: Session, panel: Panel, notices: Notices, parent: Any) -> None:
        super().__init__(parent)
        self._session, self._panel, self._notices = session, panel, notices
        session.progressed.connect(self._show_upload)
        session.job_changed.connect(self.show)
        session.job_ended.connect(self._ended)
        session.job_vanished.connect(self._vanished)
        session.previewed.connect(self._show_preview)
        notices.trouble_changed.connect(self.show)
        notices.retry_wanted.connect(self._retry)

    def jobs_here(self) -> list[int]:
        """Unfinished jobs of the revision in the dock, the running one first."""
        session = self._session
        found = []
        for job_id in session.follower.unfinished if session.follower is not None else ():
            job = session.jobs.get(job_id) or {}
            reference = job.get("revision") or getattr(session.asked(job_id), "reference", "")
            if reference == session.reference:
                found.append((job.get("state") != "running", job.get("position") or 0, job_id))
        return [job_id for _, _, job_id in sorted(found)]

    def show(self, *_: Any) -> None:
        """How the first of them stands. What was said last stays when there is none."""
        panel, here = self._panel, self.jobs_here()
        panel.cancel.setEnabled(self._session.is_sending or bool(here))
        if self._session.is_sending:
            return
        if not here:
            panel.preview.show_jpeg(None)
            panel.show_progress("" if panel.bar.isVisible() else panel.told.text(), busy=False)
            return
        text, done, of = job_text(self._session.jobs.get(here[0]) or {})
        if self._notices.trouble is not None:
            text, done, of = tr("Waiting for the server …"), 0, 0
        if len(here) > 1:
            text = f"{text} {tr('{count} more after it.', count=len(here) - 1)}"
        panel.show_progress(text, done, of)

    def _show_upload(self, done: int, of: int) -> None:
        if of > 0:
            text = tr("Sending the geometry: {percent} %", percent=int(100 * done / of))
            self._panel.show_progress(text, done >> 10, of >> 10)

    def _show_preview(self, job_id: int, jpeg: bytes) -> None:
        if self.jobs_here()[:1] == [job_id]:
            self._panel.preview.show_jpeg(jpeg)

    def _ended(self, job: dict[str, Any]) -> None:
        asked = self._session.asked(int(job["id"]))
        origin = asked.origin if asked is not None else Origin()
        reference, state = str(job.get("revision") or ""), job.get("state")
        if state == "failed":
            error = job.get("error") or {}
            reason = error.get("message") or error.get("code") or "?"
            told = tr(
                "Job {id} of {reference} failed: {reason}", id=job["id"], reference=reference, reason=reason
            )
            self._notices.refuse(told, int(job["id"]))
        elif state == "succeeded":
            self._tell_success(job, reference, origin)
        if reference == self._session.reference:
            if not self.jobs_here():
                self._panel.preview.show_jpeg(None)
                ending = {"succeeded": done_text(job), "cancelled": tr("Cancelled.")}
                self._panel.show_progress(ending.get(str(state), ""), busy=False)
            self._session.look_at(reference)
        self.show()

    def _tell_success(self, job: dict[str, Any], reference: str, origin: Origin) -> None:
        if origin.document_label and open_document(origin) is None:
            closed = tr(
                "“{label}” is closed; its renders are attached to {reference} on the server.",
                label=origin.document_label,
                reference=reference,
            )
            self._notices.tell(closed)
            return
        if reference != self._session.reference:
            text = tr(
                "Job {id} has ended: its renders are attached to {reference}.",
                id=job["id"],
                reference=reference,
            )
            self._notices.tell(text)
        self.finished.emit(job, origin)

    def _vanished(self, job_id: int) -> None:
        self._notices.tell(tr("Job {id} is not known to the server any more.", id=job_id))
        self.show()

    def _retry(self, job_id: int) -> None:
        api, follower = self._session.api, self._session.follower
        if api is None or follower is None:
            return

        def then(answer: Any) -> None:
            if answer.problem is not None:
                self._notices.refuse(answer.problem.sentences())
            else:
                self._session.state.note_state(api.server.url, job_id, "queued")
                follower.follow(job_id)

        api.post(f"/jobs/{job_id}/retry", {}, then)


def job_text(job: dict[str, Any]) -> tuple[str, int, int]:
    """A job's state in words; how far it is, of how much (0: unknown)."""
    state, step, of = job.get("state"), int(job.get("step") or 0), int(job.get("total_steps") or 0)
    if state in FINAL_STATES:
        return tr("Fetching the renders …"), 0, 0
    if job.get("cancel_requested"):
        return tr("Cancelling …"), step, of
    if state == "running":
        if step == 0:
            return tr("Starting …"), 0, of
        return tr("Rendering, step {step} of {of}", step=step, of=of), step, of
    told, position = str(job.get("told") or ""), job.get("position")
    text = tr("Queued, position {position}.", position=position) if position else tr("Queued.")
    return f"{text} {told}".strip(), 0, 0


def done_text(job: dict[str, Any]) -> str:
    """What came of a job that succeeded."""
    count, reference = len(job.get("renders") or []), job.get("revision")
    if count == 1:
        return tr("Done: 1 render attached to {reference}.", reference=reference)
    return tr("Done: {count} renders attached to {reference}.", count=count, reference=reference)


def open_document(origin: Origin) -> Any:
    """The document a request came from, if it is open."""
    for document in FreeCAD.listDocuments().values():
        if origin.document_uid and str(document.Uid) == origin.document_uid:
            return document
    return None
