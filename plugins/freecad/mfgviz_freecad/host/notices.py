"""What the dock says when something is not as it should be: one thing at a time, the most pressing first."""

from __future__ import annotations

from typing import Any

from ..core.problems import Kind, Problem
from ..core.state import PendingRequest
from ..i18n import tr
from ..net.session import Session
from ..qt import QtCore, Signal
from ..ui.dock import Panel


class Notices(QtCore.QObject):  # type: ignore[misc]
    """Signals: `settings_wanted()`; `retry_wanted(job id)`; `trouble_changed()` with the server."""

    settings_wanted = Signal()
    retry_wanted = Signal(int)
    trouble_changed = Signal()

    def __init__(self, session: Session, panel: Panel, parent: Any) -> None:
        super().__init__(parent)
        self._session, self._panel = session, panel
        self._failure, self._failed_job, self._news, self._why_kept = "", 0, "", ""
        self.trouble: Problem | None = None
        panel.notice_pressed.connect(self._pressed)
        session.pending_changed.connect(self.show)
        session.troubled.connect(self.take_trouble)
        session.greeted.connect(self._recovered)
        session.recovered.connect(self._recovered)

    def refuse(self, text: str, failed_job: int = 0) -> None:
        """It cannot be done, or a job failed; stays until the next press of Render, or until dismissed."""
        self._failure, self._failed_job = text, failed_job
        self.show()

    def tell(self, news: str) -> None:
        """Something that is good to know."""
        self._news = news
        self.show()

    def clear(self) -> None:
        """Something else was asked for."""
        self._failure, self._failed_job, self._news = "", 0, ""
        self.show()

    def take_trouble(self, problem: Problem | None) -> None:
        """The server does not answer, or not us; None: it does."""
        if problem != self.trouble:
            self.trouble = problem
            self.show()
            self.trouble_changed.emit()

    def not_sent(self, problem: Problem) -> None:
        """A request came back: it is kept where it may be sent later."""
        if not problem.may_pass:
            self._failure = problem.sentences()
        elif problem.kind is Kind.UNAUTHENTICATED:
            self.take_trouble(problem)
        self._why_kept = problem.sentences()
        self.show()

    def show(self) -> None:
        """The most pressing of: what failed, what waits to be sent, a server that does not answer, news."""
        notice, waiting = self._panel.notice, self._waiting()
        if self._failure:
            again = {"retry_job": tr("Try again")} if self._failed_job else {}
            notice.tell("error", self._failure, again, closes=True)
        elif waiting:
            self._show_waiting(waiting)
        elif self.trouble is not None:
            self._show_trouble(self.trouble)
        elif self._news:
            notice.tell("info", self._news, closes=True)
        else:
            notice.setVisible(False)

    def _show_waiting(self, waiting: list[PendingRequest]) -> None:
        text = (
            tr("The request for {reference} was not sent, and is kept.", reference=waiting[-1].reference)
            if len(waiting) == 1
            else tr("{count} requests were not sent, and are kept.", count=len(waiting))
        )
        buttons = {"discard": tr("Discard"), "send": tr("Send again")}
        if self.trouble is not None and self.trouble.kind is Kind.UNAUTHENTICATED:
            buttons = {"settings": tr("Settings …"), **buttons}
        self._panel.notice.tell("mark_doubtful", f"{self._why_kept}\n{text}".strip(), buttons)

    def _show_trouble(self, trouble: Problem) -> None:
        text = trouble.sentences()
        if self._session.follower is not None and self._session.follower.unfinished:
            text = f"{text}\n{tr('Your jobs go on there; they are shown when it answers again.')}"
        mark = "mark_doubtful" if trouble.kind is Kind.UNREACHABLE else "error"
        buttons = {"settings": tr("Settings …"), "try_again": tr("Try again")}
        self._panel.notice.tell(mark, text, buttons)

    def _waiting(self) -> list[PendingRequest]:
        return [] if self._session.is_sending else self._session.state.pending()

    def _recovered(self, *_: Any) -> None:
        self._why_kept = ""
        self.take_trouble(None)
        self.show()

    def _pressed(self, name: str) -> None:
        if name == "settings":
            self.settings_wanted.emit()
        elif name == "send":
            for request in self._waiting()[:1]:
                self._session.submit(request)
        elif name == "discard":
            for request in self._waiting():
                self._session.discard(request)
        elif name == "try_again":
            self._session.try_again()
        elif name == "retry_job":
            job_id = self._failed_job
            self.clear()
            self.retry_wanted.emit(job_id)
        else:
            self.clear()
        self.show()
