"""Sending one request: the revision, its geometry where it is new, the job. Any step can be repeated."""

from __future__ import annotations

from typing import Any

from ..core.problems import Kind, Problem
from ..core.state import PendingRequest
from ..i18n import tr
from ..qt import QtCore, Signal
from .http import Answer, Api, Ask, Call, revision_path

OPEN_STATES = ("in_work", "in_review", "other")


class Submission(QtCore.QObject):  # type: ignore[misc]
    """Signals: `said(sentence)`; `progressed(done, of)` in bytes; `done(items)`; `failed(problem)`."""

    said = Signal(str)
    progressed = Signal(object, object)
    done = Signal(object)
    failed = Signal(object)

    def __init__(self, api: Api, request: PendingRequest, parent: Any = None) -> None:
        super().__init__(parent)
        self._api, self.request = api, request
        self._path = revision_path(request.reference)
        self._call: Call | None = None

    def start(self) -> None:
        """1. What does the server know of the revision?"""
        self.said.emit(tr("Looking up {reference} …", reference=self.request.reference))
        self._call = self._api.get(self._path, self._found)

    def abort(self) -> None:
        """Stop where it is. The server may have the job already: the same key finds it."""
        if self._call is not None:
            self._call.drop()

    def _found(self, answer: Answer) -> None:
        if answer.status == 404:
            self._put_revision()
        elif answer.problem is not None:
            self.failed.emit(answer.problem)
        else:
            self._compare(answer.json)

    def _put_revision(self) -> None:
        """2. Make the part and the revision, or bring their attributes up to date."""
        content: dict[str, Any] = {}
        if self.request.name:
            content["name"] = self.request.name
        if self.request.part_attributes:
            content["part_attributes"] = self.request.part_attributes

        def then(answer: Answer) -> None:
            if answer.problem is not None:
                self.failed.emit(answer.problem)
            else:
                self._send_geometry(answer.json)

        self._call = self._api.put(self._path, content, then)

    def _compare(self, revision: dict[str, Any]) -> None:
        """2b. It is there: a frozen one keeps its geometry."""
        digest = (revision.get("geometry") or {}).get("digest")
        if (
            revision.get("state") not in OPEN_STATES
            and self.request.geometry
            and digest != self.request.geometry_digest
        ):
            told = tr(
                "{reference} is {state}: its geometry no longer changes, and this part's shape is another.",
                reference=self.request.reference,
                state=state_word(str(revision.get("state"))),
            )
            remedy = tr("Enter a new revision, or open the released model.")
            self.failed.emit(Problem(Kind.CONFLICT, told, remedy, code="revision-frozen", status=409))
            return
        known = revision.get("part_attributes") or {}
        new = any(known.get(key) != value for key, value in self.request.part_attributes.items())
        if new and revision.get("state") in OPEN_STATES:
            self._put_revision()
        else:
            self._send_geometry(revision)

    def _send_geometry(self, revision: dict[str, Any]) -> None:
        """3. The file, unless the server has the very same."""
        digest = (revision.get("geometry") or {}).get("digest")
        if not self.request.geometry or digest == self.request.geometry_digest:
            self._ask_for_job()
            return
        self.said.emit(tr("Sending the geometry …"))

        def then(answer: Answer) -> None:
            if answer.problem is not None:
                self.failed.emit(answer.problem)
                return
            for warning in answer.json.get("warnings") or []:
                self.said.emit(str(warning))
            self._ask_for_job()

        what = Ask(
            "PUT",
            f"{self._path}/geometry",
            file=self.request.geometry,
            query={"file_name": self.request.file_name},
        )
        self._call = self._api.ask(what, then, self.progressed.emit)

    def _ask_for_job(self) -> None:
        """4. The job. The key makes asking twice the same as asking once."""
        self.said.emit(tr("Asking for the render …"))

        def then(answer: Answer) -> None:
            if answer.problem is not None:
                self.failed.emit(answer.problem)
            else:
                self.done.emit(answer.json["items"])

        self._call = self._api.post("/jobs", self.request.body, then, Idempotency_Key=self.request.key)


def state_word(state: str) -> str:
    """A revision's state, in words."""
    words = {
        "in_work": tr("in work"),
        "in_review": tr("in review"),
        "released": tr("released"),
        "obsolete": tr("obsolete"),
    }
    return words.get(state, state.replace("_", " "))
