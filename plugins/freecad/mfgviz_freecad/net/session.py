"""One FreeCAD's dealings with one server: who we are, what it can do, what was asked, what came of it.

Knows neither widgets nor FreeCAD. Whoever shows it listens to its signals.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..core.connect import ConnectStringError, Server, parse_connect_string
from ..core.preferences import Preferences, PreferencesFile
from ..core.problems import Kind, Problem
from ..core.state import AskedJob, PendingRequest, StateFile
from ..core.tokens import TokenFile, Tokens, find_keyring
from ..i18n import tr
from ..qt import QtCore, Signal
from .background import Background
from .follower import Follower
from .http import Answer, Api, Ask, revision_path
from .submission import Submission

RENDERS_SHOWN = 40
SAVE_AFTER_MS = 600
FORGOTTEN_S = 86400.0


class Session(QtCore.QObject):  # type: ignore[misc]
    """Signals:
    `ready()` the token is known, requests can be sent; `greeted(me)`; `catalogue_changed()`;
    `revision_changed(reference, revision | None)`; `renders_changed(reference, renders)`;
    `thumbnail(render id, jpeg)`; `said(sentence)`; `progressed(done, of)`; `sent(request, items)`;
    `not_sent(request, problem)`; `job_changed(job)`; `job_ended(job)`; `job_vanished(id)`;
    `previewed(id, jpeg)`; `troubled(problem)`; `recovered()`; `pending_changed()`.
    """

    ready = Signal()
    greeted = Signal(object)
    catalogue_changed = Signal()
    revision_changed = Signal(str, object)
    renders_changed = Signal(str, object)
    thumbnail = Signal(int, object)
    said = Signal(str)
    progressed = Signal(object, object)
    sent = Signal(object, object)
    not_sent = Signal(object, object)
    job_changed = Signal(object)
    job_ended = Signal(object)
    job_vanished = Signal(int)
    previewed = Signal(int, object)
    troubled = Signal(object)
    recovered = Signal()
    pending_changed = Signal()

    def __init__(self, folder: Path, parent: Any = None) -> None:
        super().__init__(parent)
        self.folder = folder
        self.outbox = folder / "outbox"
        self.state = StateFile(folder / "state.json")
        self._preferences_file = PreferencesFile(folder / "settings.json")
        self.preferences = self._preferences_file.load()
        self.tokens = Tokens(TokenFile(folder / "tokens.json"), find_keyring())
        self.background = Background(self)
        self.api: Api | None = None
        self.follower: Follower | None = None
        self.me: dict[str, Any] = {}
        self.models: list[dict[str, Any]] = []
        self.templates: list[dict[str, Any]] = []
        self.views: list[dict[str, Any]] = []
        self.reference = ""
        self.revision: dict[str, Any] | None = None
        self.jobs: dict[int, dict[str, Any]] = {}
        self._submission: Submission | None = None
        self._thumbnails: dict[int, bytes] = {}
        self._connection = 0
        self._save_later = QtCore.QTimer(self)
        self._save_later.setSingleShot(True)
        self._save_later.setInterval(SAVE_AFTER_MS)
        self._save_later.timeout.connect(lambda: self._preferences_file.save(self.preferences))

    # -- the connection ------------------------------------------------------------------------------------
    def start(self) -> None:
        """Find the token (a keyring may ask for its password), then connect."""
        self._sweep_outbox()
        try:
            server = parse_connect_string(self.preferences.server_url)
        except ConnectStringError as error:
            self.troubled.emit(Problem(Kind.REFUSED, tr(str(error)), tr("Open the settings.")))
            return
        self._connection += 1
        number = self._connection

        def then(token: Any) -> None:
            if number == self._connection:
                self.connect_to(replace(server, token=token if isinstance(token, str) else ""))

        self.background.run(lambda: self.tokens.get(server.url), then)

    def connect_to(self, server: Server) -> None:
        """Speak to that server from now on."""
        self.close()
        self.api = Api(server, self)
        self.follower = Follower(self.api, self.state, self)
        for mine, its in (
            (self.job_ended, self.follower.ended),
            (self.previewed, self.follower.previewed),
            (self.job_vanished, self.follower.vanished),
            (self.troubled, self.follower.troubled),
        ):
            its.connect(mine.emit)
        self.follower.changed.connect(self._job_changed)
        self.follower.recovered.connect(self._recovered)
        self.jobs.clear()
        self.ready.emit()
        if server.token:
            self.greet()
            self.follower.resume()
            if self.reference:
                self.look_at(self.reference)
        else:
            told = tr("No token is set for {url}.", url=server.url)
            remedy = tr("Paste the connect string that `mfgviz up` prints into the settings.")
            self.troubled.emit(Problem(Kind.UNAUTHENTICATED, told, remedy, code="no-token"))

    def close(self) -> None:
        """Let go of the server; nothing is forgotten."""
        if self._submission is not None:
            self._submission.abort()
            self._submission = None
        if self.follower is not None:
            self.follower.stop()
            self.follower.deleteLater()
            self.follower = None
        if self.api is not None:
            self.api.close()
            self.api.deleteLater()
            self.api = None
        self.me, self._thumbnails = {}, {}

    def greet(self) -> None:
        """Ask who we are and what there is: it is asked again after every failure."""
        api = self.api
        if api is None:
            return

        def met(answer: Answer) -> None:
            if answer.problem is not None:
                self.troubled.emit(answer.problem)
                return
            self.me = answer.json
            self.greeted.emit(self.me)
            for name, path in (("models", "/models"), ("templates", "/templates"), ("views", "/views")):
                api.get(path, lambda got, name=name: self._take_list(name, got))  # type: ignore[misc]

        api.get("/me", met)

    def change(self, preferences: Preferences, token: str | None = None) -> None:
        """Keep other preferences; connect again where the server or its token is another."""
        before, self.preferences = self.preferences, preferences
        self._preferences_file.save(preferences)
        if token is None and before.server_url == preferences.server_url:
            return
        server = parse_connect_string(preferences.server_url)
        if token is None:
            self.start()
            return
        self._connection += 1
        self.background.run(lambda: self.tokens.put(server.url, token), lambda _: None)
        self.connect_to(Server(server.url, token))

    def change_later(self, preferences: Preferences) -> None:
        """Keep other defaults; the file is written when nothing changes for a while."""
        self.preferences = preferences
        self._save_later.start()

    def try_again(self) -> None:
        """Do not wait for the next attempt."""
        if self.api is None or not self.api.server.token:
            self.start()
            return
        if not self.me:
            self.greet()
        if self.follower is not None:
            self.follower.resume()
            self.follower.try_now()
        if self.reference:
            self.look_at(self.reference)

    def _sweep_outbox(self) -> None:
        """Exported files that a crash left behind, and that no kept request needs."""
        needed = {request.geometry for request in self.state.pending()}
        for path in self.outbox.glob("*.step"):
            if str(path) not in needed and time.time() - path.stat().st_mtime > FORGOTTEN_S:
                path.unlink(missing_ok=True)

    def _take_list(self, name: str, answer: Answer) -> None:
        if answer.problem is None:
            items = answer.json.get("items")
            setattr(self, name, items if isinstance(items, list) else [])
            self.catalogue_changed.emit()

    def _recovered(self) -> None:
        if not self.me:
            self.greet()
        if self.reference:
            self.look_at(self.reference)
        self.recovered.emit()

    # -- the revision that the dock shows ------------------------------------------------------------------
    def look_at(self, reference: str) -> None:
        """Show this revision: its state, its renders, and jobs for it that were asked for elsewhere."""
        self.reference = reference
        api = self.api
        if api is None or not api.server.token or not reference:
            return

        def took_revision(answer: Answer) -> None:
            if reference != self.reference:
                return
            if answer.problem is None:
                self.revision = answer.json
                self.revision_changed.emit(reference, self.revision)
                self.refresh_renders()
                self._find_jobs(reference)
            elif answer.status == 404:
                self.revision = None
                self.revision_changed.emit(reference, None)
                self.renders_changed.emit(reference, [])
            else:
                self.troubled.emit(answer.problem)

        api.get(revision_path(reference), took_revision)

    def refresh_renders(self) -> None:
        """Ask for the renders again."""
        api, reference = self.api, self.reference
        if api is None:
            return

        def took(answer: Answer) -> None:
            if answer.problem is None and reference == self.reference:
                self.renders_changed.emit(reference, answer.json.get("items") or [])

        api.get(f"{revision_path(reference)}/renders", took, limit=RENDERS_SHOWN)

    def want_thumbnail(self, render: dict[str, Any]) -> bytes | None:
        """The thumbnail, if it is here; else it is fetched and announced."""
        render_id = int(render["id"])
        held = self._thumbnails.get(render_id)
        if held is not None or self.api is None:
            return held

        def took(answer: Answer) -> None:
            if answer.problem is None:
                self._thumbnails[render_id] = answer.content
                self.thumbnail.emit(render_id, answer.content)

        self.api.get_bytes(str(render["thumbnail_url"]), took)
        return None

    def fetch_image(self, render: dict[str, Any], then: Any, image_format: str = "png") -> None:
        """The whole picture, to `then(bytes | None, problem | None)`."""
        if self.api is not None:
            what = Ask("GET", str(render["image_url"]), query={"format": image_format}, expects_json=False)
            self.api.ask(
                what, lambda answer: then(None if answer.problem else answer.content, answer.problem)
            )

    def set_primary(self, render: dict[str, Any], then: Any) -> None:
        """Make it the part's image, to `then(problem | None)`."""
        if self.api is None:
            return

        def took(answer: Answer) -> None:
            then(answer.problem)
            if answer.problem is None:
                self.look_at(self.reference)

        self.api.put(f"{revision_path(str(render['revision']))}/primary", {"render": render["id"]}, took)

    def _find_jobs(self, reference: str) -> None:
        api, follower = self.api, self.follower
        if api is None or follower is None:
            return

        def took(answer: Answer) -> None:
            if answer.problem is not None or follower is not self.follower:
                return
            known = {job.job for job in self.state.jobs(api.server.url)}
            for job in answer.json.get("items") or []:
                mine = job.get("requester") == self.me.get("requester")
                if mine and job["id"] not in known and job.get("revision") == reference:
                    follower.adopt(
                        AskedJob(api.server.url, int(job["id"]), reference, str(job["state"]), time.time())
                    )

        for state in ("running", "queued"):
            api.get("/jobs", took, revision=reference, state=state, limit=20)

    # -- asking --------------------------------------------------------------------------------------------
    @property
    def is_sending(self) -> bool:
        """Whether a request is on its way."""
        return self._submission is not None

    def submit(self, request: PendingRequest) -> None:
        """Keep the request, then send it. It is kept until the server has it."""
        kept = self.state.keep_pending(request)
        if self.api is None or not self.api.server.token:
            told = tr("No token is set, so nothing was sent.")
            remedy = tr(
                "The request is kept. Paste the connect string into the settings, then send it again."
            )
            self.not_sent.emit(kept, Problem(Kind.UNAUTHENTICATED, told, remedy, code="no-token"))
            return
        submission = self._submission = Submission(self.api, kept, self)
        submission.said.connect(self.said.emit)
        submission.progressed.connect(self.progressed.emit)
        submission.done.connect(lambda items: self._sent(submission, items))
        submission.failed.connect(lambda problem: self._not_sent(submission, problem))
        self.pending_changed.emit()
        submission.start()

    def stop_sending(self) -> None:
        """Cancel what is on its way to the server."""
        if self._submission is not None:
            submission, self._submission = self._submission, None
            submission.abort()
            self.discard(submission.request)

    def discard(self, request: PendingRequest) -> None:
        """The kept request is not wanted any more."""
        self.state.drop_pending(request.key)
        self.pending_changed.emit()

    def _sent(self, submission: Submission, items: list[dict[str, Any]]) -> None:
        if submission is not self._submission or self.api is None or self.follower is None:
            return
        self._submission = None
        request = submission.request
        for item in items:
            asked = AskedJob(
                self.api.server.url,
                int(item["job"]),
                request.reference,
                "queued",
                time.time(),
                request.origin,
            )
            self.follower.adopt(asked)
        self.state.drop_pending(request.key)
        self.state.note_prompt(str(request.body.get("prompt", "")))
        self.pending_changed.emit()
        self.sent.emit(request, items)
        if request.reference == self.reference:
            self.look_at(self.reference)

    def _not_sent(self, submission: Submission, problem: Problem) -> None:
        if submission is not self._submission:
            return
        self._submission = None
        request = submission.request
        if problem.may_pass:
            self.state.keep_pending(replace(request, failure=problem.told))
        else:
            self.state.drop_pending(request.key)
        self.pending_changed.emit()
        self.not_sent.emit(request, problem)

    # -- jobs ----------------------------------------------------------------------------------------------
    def _job_changed(self, job: dict[str, Any]) -> None:
        job_id = int(job["id"])
        self.jobs[job_id] = {**self.jobs.get(job_id, {}), **job}
        self.job_changed.emit(self.jobs[job_id])

    def asked(self, job_id: int) -> AskedJob | None:
        """What is remembered of a job."""
        if self.api is None:
            return None
        return next((one for one in self.state.jobs(self.api.server.url) if one.job == job_id), None)

    def cancel(self, job_id: int) -> None:
        """Cancel a job; what comes of it is told like any other change."""
        follower = self.follower
        if self.api is None or follower is None:
            return

        def took(answer: Answer) -> None:
            if answer.problem is not None:
                self.troubled.emit(answer.problem)
            follower.try_now()

        self.said.emit(tr("Cancelling …"))
        self.api.post(f"/jobs/{job_id}/cancel", {}, took)
