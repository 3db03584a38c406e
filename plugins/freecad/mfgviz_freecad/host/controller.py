"""Between FreeCAD, the dock and the server: what a press of a button comes to, and what is said of it."""

from __future__ import annotations

import time
import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import FreeCAD
import FreeCADGui

from ..core.camera import custom_view, picture_size
from ..core.problems import Kind, Problem
from ..core.state import FINAL_STATES, Origin, PendingRequest
from ..core.wishes import Identity, Wishes, fingerprint, job_body, settings_of, variation_of
from ..i18n import tr
from ..net.session import Session
from ..qt import Qt, QtCore, QtGui, QtWidgets, run
from ..ui import renders
from ..ui.dock import Dock
from ..ui.settings_dialog import SettingsDialog
from ..ui.viewer import Viewer
from . import appearance, camera, identity
from .documents import Documents
from .embedding import embed
from .export import ExportError, export_step
from .target import NothingToRender, Target, check, choose, view_of

LOOK_MS = 250


class Controller(QtCore.QObject):  # type: ignore[misc]
    """One for each FreeCAD; made when it is first needed."""

    def __init__(self, folder: Path, window: Any) -> None:
        super().__init__(window)
        self.window = window
        self.session = Session(folder, self)
        self.dock = Dock(window)
        self.panel = self.dock.panel
        self.documents = Documents(self)
        self.viewer: Viewer | None = None
        self.target: Target | None = None
        self.export_s = 0.0
        self._renders: list[dict[str, Any]] = []
        self._fields_of: tuple[str, str] | None = None
        self._trouble: Problem | None = None
        self._failure: tuple[str, dict[str, str]] | None = None
        self._failed_job = 0
        self._news = self._why_kept = ""
        self._look = QtCore.QTimer(self)
        self._look.setSingleShot(True)
        self._look.setInterval(LOOK_MS)
        self._look.timeout.connect(self._look_at_identity)
        self._wire()
        self._take_preferences()
        window.addDockWidget(Qt.RightDockWidgetArea, self.dock)
        self.refresh_subject()
        self.session.start()

    def _wire(self) -> None:
        panel, session = self.panel, self.session
        panel.part_wanted.connect(self.render_part)
        panel.view_wanted.connect(self.render_view)
        panel.cancel_wanted.connect(self.cancel)
        panel.settings_wanted.connect(self.show_settings)
        panel.refresh_wanted.connect(session.try_again)
        panel.identity_edited.connect(self._identity_edited)
        panel.wishes_edited.connect(self._wishes_edited)
        panel.notice_pressed.connect(self._notice_pressed)
        panel.strip.enlarged.connect(self._enlarge)
        panel.strip.wanted.connect(self.act)
        panel.strip.thumbnail_wanted.connect(self._want_thumbnail)
        session.greeted.connect(self._recovered)
        session.recovered.connect(self._recovered)
        session.troubled.connect(self._take_trouble)
        session.catalogue_changed.connect(self._take_catalogue)
        session.revision_changed.connect(self._take_revision)
        session.renders_changed.connect(self._take_renders)
        session.thumbnail.connect(panel.strip.show_thumbnail)
        session.said.connect(panel.show_progress)
        session.progressed.connect(self._show_upload)
        session.sent.connect(self._sent)
        session.not_sent.connect(self._not_sent)
        session.pending_changed.connect(self._show_notice)
        session.job_changed.connect(lambda _: self._show_jobs())
        session.job_ended.connect(self._job_ended)
        session.job_vanished.connect(self._job_vanished)
        session.previewed.connect(self._show_preview)
        self.documents.subject_changed.connect(self.refresh_subject)
        self.documents.saved.connect(self._saved)
        self.documents.closed.connect(self._closed)

    # -- what would be rendered ----------------------------------------------------------------------------
    @property
    def document(self) -> Any:
        """The document in front, or None."""
        return FreeCAD.ActiveDocument

    def refresh_subject(self) -> None:
        """Show what a press of Render would render now."""
        document = self.document
        try:
            self.target = choose(document)
        except NothingToRender as reason:
            self.target = None
            self.panel.show_subject("", str(reason))
            return
        except (ReferenceError, RuntimeError, AttributeError):  # objects are just being made or deleted
            self.target = None
            return
        target = self.target
        subject = (document.Name, target.owner.Name if target.owner is not None else target.title)
        self.panel.show_subject(
            f"{target.title} · {document.Label}",
            identity=identity.identity_of(document, target.owner),
            is_other=subject != self._fields_of,
        )
        if subject != self._fields_of:
            self._fields_of = subject
            self.panel.show_fields(appearance.fields_of(target.objects))
        self._look.start()

    def _look_at_identity(self) -> None:
        wanted = self.panel.identity
        if wanted.objection():
            self.panel.show_revision(None, known=False)
        elif wanted.reference != self.session.reference:
            self.panel.show_revision(None, known=False)
            self.panel.show_renders([])
            self.session.look_at(wanted.reference)
            self._show_jobs()

    def _identity_edited(self, edited: Identity) -> None:
        if self.target is not None and not edited.objection():
            identity.remember(self.document, self.target.owner, edited)
            self.panel.identity_taken()
        self._look.start()

    # -- rendering -----------------------------------------------------------------------------------------
    def render_part(self, trigger: str = "button") -> None:
        """The target, from the view chosen in the dock."""
        wishes = self.panel.wishes
        self._render(wishes, wishes.view, self._size(1.0, wishes), trigger)

    def render_view(self) -> None:
        """The target, as the 3D view shows it."""
        document = self.document
        view = view_of(document) if document is not None else None
        if document is not None and view is None:
            self._refuse(tr("There is no 3D view of this document. Open one, or render the part."))
            return
        try:
            target = choose(document)
        except NothingToRender as reason:
            self._refuse(str(reason))
            return
        wishes = self.panel.wishes
        seen = custom_view(camera.pose_of(view), camera.frame_of(target.frame))
        self._render(wishes, seen, self._size(camera.aspect_of(view), wishes), "view")

    def _render(self, wishes: Wishes, view: Any, size: tuple[int, int], trigger: str) -> None:
        """1. Everything that can be known here is checked. 2. Export. 3. The request is kept and sent."""
        document = self.document
        self.dock.show()
        if self.session.is_sending:
            self._news = tr("Another request is being sent. Wait for it, or cancel it.")
            self._show_notice()
            return
        self.refresh_subject()
        try:
            target = self.target = choose(document)
            note = check(target)
        except NothingToRender as reason:
            self._refuse(str(reason))
            return
        wanted = self._identity_for(document, target)
        objection = self._objection(wanted, wishes)
        if objection:
            self._refuse(objection)
            return
        self._failure, self._news = None, note
        request = self._request(document, target, wanted, job_body(wanted, wishes, view, size), trigger)
        if request is not None:
            self.panel.seed.note_used(int(request.body["seed"]))
            self.session.reference = wanted.reference
            self.session.submit(request)
            self._show_jobs()
        self._show_notice()

    def _identity_for(self, document: Any, target: Target) -> Identity:
        """What stands in the dock is for the object in front, and is remembered there."""
        wanted = self.panel.identity
        if not wanted.objection():
            identity.remember(document, target.owner, wanted)
            self.panel.identity_taken()
        return wanted

    def _objection(self, wanted: Identity, wishes: Wishes) -> str:
        unfit = wanted.objection()
        if unfit:
            word = tr("part number") if unfit == "part number" else tr("revision")
            return tr("Enter a {word}: up to 128 characters, no @ and no slashes.", word=word)
        if not wishes.prompt:
            return tr("The prompt is empty. Say in words what the part looks like, or choose a preset.")
        revision = self.session.revision or {}
        known = revision.get("fields") if self.session.reference == wanted.reference else {}
        # What is read from the CAD file is only known to the server: it says what is missing of those.
        missing = [name for name in wishes.objection(known or {}) if name in wishes.fields]
        if missing:
            return tr(
                "The prompt uses {field}, which is empty. Enter it above, or take it out.",
                field=f"{{{missing[0]}}}",
            )
        return ""

    def _request(
        self, document: Any, target: Target, wanted: Identity, body: dict[str, Any], trigger: str
    ) -> PendingRequest | None:
        """The request with its exported file, or None: then it was said why."""
        key = str(uuid.uuid4())
        path = self.session.outbox / f"{key}.step"
        self.panel.show_progress(tr("Exporting {title} …", title=target.title))
        self.panel.told.repaint()
        QtWidgets.QApplication.setOverrideCursor(Qt.WaitCursor)
        began = time.monotonic()
        try:
            digest = export_step(target.objects, path)
        except (ExportError, OSError) as error:
            path.unlink(missing_ok=True)
            self._refuse(tr("The part could not be exported: {reason}", reason=str(error)))
            return None
        finally:
            self.export_s = time.monotonic() - began
            QtWidgets.QApplication.restoreOverrideCursor()
        if trigger == "save" and self._is_known_save(document, digest, body, path):
            return None
        attributes = identity.plm_attributes(target.owner)
        material = self.panel.wishes.fields.get("material")
        if material:
            attributes.setdefault("material", material)
        return PendingRequest(
            key=key,
            reference=wanted.reference,
            body=body,
            name=identity.name_of(document, target.owner),
            part_attributes=attributes,
            geometry=str(path),
            geometry_digest=digest,
            file_name=f"{wanted.number}.step",
            trigger=trigger,
            origin=identity.origin_of(document, target.owner),
        )

    def _is_known_save(self, document: Any, digest: str, body: dict[str, Any], path: Path) -> bool:
        mark = fingerprint(digest, body)
        if self.session.state.last_saved(document.FileName) == mark:
            path.unlink(missing_ok=True)
            self.panel.show_progress(
                tr("Saved; the shape is the same as before, so nothing was asked."), busy=False
            )
            return True
        self.session.state.note_saved(document.FileName, mark)
        return False

    def _size(self, aspect: float, wishes: Wishes) -> tuple[int, int]:
        limits = self._model_limits(wishes.model)
        return picture_size(
            aspect,
            wishes.side_px,
            multiple=int(limits.get("multiple_of_px") or 8),
            max_pixels=int(limits.get("max_pixels") or 0) or None,
        )

    def _model_limits(self, name: str) -> dict[str, Any]:
        for one in self.session.models:
            if one.get("name") == name or (not name and one.get("is_default")):
                return dict(one.get("capabilities") or {})
        return {}

    def cancel(self) -> None:
        """What is being sent, else every job of this revision that was asked for from here."""
        if self.session.is_sending:
            self.session.stop_sending()
            self.panel.show_progress(tr("Cancelled before it was sent."), busy=False)
            self._show_buttons()
            return
        for job_id in self._jobs_here():
            self.session.cancel(job_id)

    # -- what becomes of it --------------------------------------------------------------------------------
    def _sent(self, _request: PendingRequest, items: list[dict[str, Any]]) -> None:
        self._trouble = None
        if items and all(item.get("how") == "reused" for item in items):
            self._news = tr("This very picture was made before: it is shown below.")
        self._show_notice()
        self._show_jobs()

    def _not_sent(self, _request: PendingRequest, problem: Problem) -> None:
        self.panel.show_progress("", busy=False)
        if not problem.may_pass:
            self._failure = (problem.sentences(), {})
        elif problem.kind is Kind.UNAUTHENTICATED:
            self._trouble = problem
        self._why_kept = problem.sentences()
        self._show_notice()
        self._show_jobs()

    def _show_upload(self, done: int, of: int) -> None:
        if of > 0:
            self.panel.show_progress(
                tr("Sending the geometry: {percent} %", percent=int(100 * done / of)), done >> 10, of >> 10
            )

    def _jobs_here(self) -> list[int]:
        """Unfinished jobs of the revision in the dock, the running one first."""
        session = self.session
        if session.follower is None:
            return []
        found = []
        for job_id in session.follower.unfinished:
            job = session.jobs.get(job_id)
            reference = (job or {}).get("revision") or getattr(session.asked(job_id), "reference", "")
            if reference == session.reference:
                running = (job or {}).get("state") == "running"
                found.append((not running, (job or {}).get("position") or 0, job_id))
        return [job_id for _, _, job_id in sorted(found)]

    def _show_jobs(self) -> None:
        here = self._jobs_here()
        self._show_buttons()
        if self.session.is_sending:
            return
        if not here:
            self.panel.preview.show_jpeg(None)
            self.panel.show_progress(
                self.panel.told.text() if not self.panel.bar.isVisible() else "", busy=False
            )
            return
        job = self.session.jobs.get(here[0]) or {}
        text, done, of = job_text(job)
        if self._trouble is not None:
            text, done, of = tr("Waiting for the server …"), 0, 0
        if len(here) > 1:
            text = f"{text} {tr('{count} more after it.', count=len(here) - 1)}"
        self.panel.show_progress(text, done, of)

    def _show_preview(self, job_id: int, jpeg: bytes) -> None:
        here = self._jobs_here()
        if here and here[0] == job_id:
            self.panel.preview.show_jpeg(jpeg)

    def _show_buttons(self) -> None:
        self.panel.cancel.setEnabled(self.session.is_sending or bool(self._jobs_here()))

    def _job_ended(self, job: dict[str, Any]) -> None:
        asked = self.session.asked(int(job["id"]))
        reference = str(job.get("revision") or "")
        origin = asked.origin if asked is not None else Origin()
        state = job.get("state")
        if state == "failed":
            error = job.get("error") or {}
            self._failed_job = int(job["id"])
            told = tr(
                "Job {id} of {reference} failed: {reason}",
                id=job["id"],
                reference=reference,
                reason=error.get("message") or error.get("code") or "?",
            )
            self._failure = (told, {"retry_job": tr("Try again")})
        elif state == "succeeded":
            self._tell_success(job, reference, origin)
        if reference == self.session.reference:
            self.panel.preview.show_jpeg(None)
            ending = {"succeeded": self._done_text(job), "cancelled": tr("Cancelled."), "failed": ""}
            if not self._jobs_here():
                self.panel.show_progress(ending.get(str(state), ""), busy=False)
            self.session.refresh_renders()
            self.session.look_at(reference)
        self._show_jobs()
        self._show_notice()

    def _tell_success(self, job: dict[str, Any], reference: str, origin: Origin) -> None:
        document = open_document(origin)
        if reference != self.session.reference:
            self._news = tr(
                "Job {id} has ended: its renders are attached to {reference}.",
                id=job["id"],
                reference=reference,
            )
        if origin.document_label and document is None:
            self._news = tr(
                "“{label}” is closed; its renders are attached to {reference} on the server.",
                label=origin.document_label,
                reference=reference,
            )
        elif self.session.preferences.embed_when_done and document is not None and job.get("renders"):
            self._embed_first(int(job["renders"][0]), origin)

    def _embed_first(self, render_id: int, origin: Origin) -> None:
        def then(answer: Any) -> None:
            if answer.problem is None:
                self._embed(answer.json, origin)

        if self.session.api is not None:
            self.session.api.get(f"/renders/{render_id}", then)

    @staticmethod
    def _done_text(job: dict[str, Any]) -> str:
        count = len(job.get("renders") or [])
        if count == 1:
            return tr("Done: 1 render attached to {reference}.", reference=job.get("revision"))
        return tr(
            "Done: {count} renders attached to {reference}.", count=count, reference=job.get("revision")
        )

    def _job_vanished(self, job_id: int) -> None:
        self._news = tr("Job {id} is not known to the server any more.", id=job_id)
        self._show_jobs()
        self._show_notice()

    # -- notices -------------------------------------------------------------------------------------------
    def _refuse(self, text: str) -> None:
        self._failure = (text, {})
        self.panel.show_progress("", busy=False)
        self.dock.show()
        self._show_notice()

    def _take_trouble(self, problem: Problem | None) -> None:
        if problem == self._trouble:
            return
        self._trouble = problem
        self._show_notice()
        self._show_jobs()

    def _recovered(self, *_: Any) -> None:
        self._trouble, self._why_kept = None, ""
        self._show_notice()
        self._show_jobs()

    def _show_notice(self) -> None:
        """The most pressing of: what failed, what waits to be sent, a server that does not answer, news."""
        notice, pending = self.panel.notice, self._waiting()
        settings = {"settings": tr("Settings …")}
        if self._failure is not None:
            text, buttons = self._failure
            notice.tell("error", text, buttons, closes=True)
        elif pending:
            text = (
                tr("The request for {reference} was not sent, and is kept.", reference=pending[-1].reference)
                if len(pending) == 1
                else tr("{count} requests were not sent, and are kept.", count=len(pending))
            )
            buttons = {"discard": tr("Discard"), "send": tr("Send again")}
            needs_token = self._trouble is not None and self._trouble.kind is Kind.UNAUTHENTICATED
            notice.tell(
                "mark_doubtful",
                f"{self._why_kept}\n{text}".strip(),
                {**(settings if needs_token else {}), **buttons},
            )
        elif self._trouble is not None:
            again = {"try_again": tr("Try again")}
            mark = "mark_doubtful" if self._trouble.kind is Kind.UNREACHABLE else "error"
            text = self._trouble.sentences()
            if self.session.follower is not None and self.session.follower.unfinished:
                text = f"{text}\n{tr('Your jobs go on there; they are shown when it answers again.')}"
            notice.tell(mark, text, {**settings, **again})
        elif self._news:
            notice.tell("info", self._news, closes=True)
        else:
            notice.setVisible(False)

    def _waiting(self) -> list[PendingRequest]:
        return [] if self.session.is_sending else self.session.state.pending()

    def _notice_pressed(self, name: str) -> None:
        if name == "settings":
            self.show_settings()
        elif name == "send":
            for request in self._waiting()[:1]:
                self.session.submit(request)
        elif name == "discard":
            for request in self._waiting():
                self.session.discard(request)
        elif name == "try_again":
            self.session.try_again()
        elif name == "retry_job":
            self._failure = None
            self._retry_job(self._failed_job)
        else:
            self._failure, self._news = None, ""
        self._show_notice()

    def _retry_job(self, job_id: int) -> None:
        api, follower = self.session.api, self.session.follower
        if api is None or follower is None:
            return

        def then(answer: Any) -> None:
            if answer.problem is not None:
                self._failure = (answer.problem.sentences(), {})
                self._show_notice()
            else:
                self.session.state.note_state(api.server.url, job_id, "queued")
                follower.follow(job_id)

        api.post(f"/jobs/{job_id}/retry", {}, then)

    # -- what the server has -------------------------------------------------------------------------------
    def _take_catalogue(self) -> None:
        wishes = self.panel.wishes
        self.panel.show_models(self.session.models)
        self.panel.show_views(self.session.views)
        self.panel.show_wishes(replace(wishes, model=wishes.model or self.session.preferences.model))
        self._take_presets()

    def _take_presets(self) -> None:
        self.panel.show_presets(self.session.templates, self.session.state.recent_prompts())

    def _take_revision(self, reference: str, revision: Any) -> None:
        if reference == self.panel.identity.reference:
            self.panel.show_revision(revision)

    def _take_renders(self, reference: str, found: list[dict[str, Any]]) -> None:
        if reference == self.panel.identity.reference:
            self._renders = found
            self.panel.show_renders(found)
            self._take_presets()

    def _want_thumbnail(self, render: dict[str, Any]) -> None:
        held = self.session.want_thumbnail(render)
        if held is not None:
            self.panel.strip.show_thumbnail(int(render["id"]), held)

    # -- one render ----------------------------------------------------------------------------------------
    def _enlarge(self, row: int) -> None:
        render = self.panel.strip.render_at(row)
        if render is None:
            return
        if self.viewer is None:
            self.viewer = Viewer(self.window)
            self.viewer.wanted.connect(self.act)
            self.viewer.step.connect(self._step_viewer)
            self.viewer.image_wanted.connect(self._fetch_for_viewer)
        self.viewer.show_render(render, self.session.want_thumbnail(render))

    def _fetch_for_viewer(self, render: dict[str, Any]) -> None:
        def then(content: bytes | None, problem: Problem | None) -> None:
            if content is not None and self.viewer is not None:
                self.viewer.show_image(int(render["id"]), content)
            elif problem is not None:
                self._take_trouble(problem)

        self.session.fetch_image(render, then)

    def _step_viewer(self, by: int) -> None:
        assert self.viewer is not None
        ids = [one["id"] for one in self._renders]
        shown = self.viewer.render_shown.get("id")
        at = ids.index(shown) + by if shown in ids else 0
        if 0 <= at < len(ids):
            self._enlarge(at)

    def act(self, action: str, render: dict[str, Any]) -> None:
        """Do what was chosen for a render."""
        if action == renders.VARY:
            self._vary(render)
        elif action == renders.RECALL:
            self.panel.show_wishes(settings_of(render, self.panel.wishes))
            self.panel.more.setChecked(True)
        elif action == renders.PRIMARY:
            self.session.set_primary(render, self._set_primary_done)
        elif action == renders.EMBED:
            self._embed(render, None)
        elif action == renders.COPY:
            self._with_image(render, _to_clipboard)
        elif action == renders.SAVE:
            self._save_as(render)

    def _vary(self, render: dict[str, Any]) -> None:
        """More like it, of the geometry that the server has."""
        if self.session.is_sending:
            return
        body = variation_of(render, self.panel.wishes.count)
        self._failure, self._news = None, ""
        request = PendingRequest(str(uuid.uuid4()), str(render["revision"]), body, trigger="vary")
        self.session.submit(request)

    def _set_primary_done(self, problem: Problem | None) -> None:
        if problem is not None:
            self._failure = (problem.sentences(), {})
        else:
            self._news = ""
            self.panel.show_progress(tr("It is the part's image now."), busy=False)
        self._show_notice()

    def _embed(self, render: dict[str, Any], origin: Origin | None) -> None:
        def put(content: bytes) -> None:
            document = self.document if origin is None else open_document(origin)
            if document is None:
                self._refuse(tr("The document is closed: open it, then embed the render."))
                return
            owner = self.target.owner if origin is None and self.target is not None else None
            if origin is not None and origin.object_name:
                owner = document.getObject(origin.object_name)
            thing = embed(document, owner, render, content)
            self.panel.show_progress(
                tr("Embedded at “{label}”: save the document to keep it.", label=thing.Label), busy=False
            )

        self._with_image(render, put)

    def _save_as(self, render: dict[str, Any]) -> None:
        name = f"{render['revision'].replace('@', '_')}_{render['id']}.png"
        path, _ = QtWidgets.QFileDialog.getSaveFileName(
            self.window, tr("Save render"), name, tr("PNG (*.png);;JPEG (*.jpg);;WebP (*.webp)")
        )
        if path:
            self.save_to(render, Path(path))

    def save_to(self, render: dict[str, Any], path: Path) -> None:
        """Into that file; its name says the format."""
        suffix = path.suffix.lower().lstrip(".") or "png"
        if not path.suffix:
            path = path.with_suffix(".png")

        def put(content: bytes) -> None:
            try:
                path.write_bytes(content)
            except OSError as error:
                self._refuse(
                    tr("{path} cannot be written: {reason}", path=str(path), reason=error.strerror or "")
                )
                return
            self.panel.show_progress(tr("Saved as {path}.", path=str(path)), busy=False)

        self._with_image(render, put, {"jpg": "jpeg"}.get(suffix, suffix))

    def _with_image(self, render: dict[str, Any], use: Any, image_format: str = "png") -> None:
        def then(content: bytes | None, problem: Problem | None) -> None:
            if content is not None:
                use(content)
            elif problem is not None:
                self._failure = (problem.sentences(), {})
                self._show_notice()

        self.session.fetch_image(render, then, image_format)

    # -- documents -----------------------------------------------------------------------------------------
    def _saved(self, name: str) -> None:
        if not self.session.preferences.render_on_save or self.session.is_sending:
            return
        if self.document is not None and self.document.Name == name:
            self.render_part("save")

    def _closed(self, label: str) -> None:
        here = [self.session.asked(one) for one in self._jobs_here()]
        if any(job is not None and job.origin.document_label == label for job in here):
            self._news = tr(
                "“{label}” is closed. Its render goes on, and is attached on the server.", label=label
            )
            self._show_notice()

    # -- preferences ---------------------------------------------------------------------------------------
    def show_settings(self) -> None:
        """The dialog."""
        api = self.session.api
        token = api.server.token if api is not None else ""
        dialog = SettingsDialog(self.session.preferences, bool(token), token, self.window)
        dialog.chosen.connect(self._change)
        run(dialog)
        dialog.deleteLater()

    def set_render_on_save(self, on: bool) -> None:
        """The toggle of the toolbar."""
        self.session.change(self.session.preferences.with_changes(render_on_save=on))

    def _change(self, preferences: Any, token: str | None) -> None:
        self._trouble = self._failure = None
        self.session.change(preferences, token)
        self._take_preferences()
        self._show_notice()

    def _take_preferences(self) -> None:
        held = self.session.preferences
        wishes = replace(
            self.panel.wishes,
            prompt=held.prompt,
            negative_prompt=held.negative_prompt,
            model=held.model,
            view=held.view,
            side_px=held.side_px,
            count=held.count,
            seed=held.seed if held.seed_locked else None,
            control_scale=held.control_scale,
        )
        self.panel.show_wishes(wishes)
        self.panel.more.setChecked(held.shows_options)
        self._take_presets()

    def _wishes_edited(self) -> None:
        wishes = self.panel.wishes
        changed = self.session.preferences.with_changes(
            prompt=wishes.prompt,
            negative_prompt=wishes.negative_prompt,
            model=wishes.model,
            view=wishes.view,
            side_px=wishes.side_px,
            count=wishes.count,
            seed_locked=wishes.seed is not None,
            seed=wishes.seed or 0,
            control_scale=wishes.control_scale,
            shows_options=self.panel.more.isChecked(),
        )
        if changed != self.session.preferences:
            self.session.change_later(changed)


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
    told = str(job.get("told") or "")
    position = job.get("position")
    text = tr("Queued, position {position}.", position=position) if position else tr("Queued.")
    return f"{text} {told}".strip(), 0, 0


def open_document(origin: Origin) -> Any:
    """The document a request came from, if it is open."""
    for document in FreeCAD.listDocuments().values():
        if origin.document_uid and str(document.Uid) == origin.document_uid:
            return document
    return None


def _to_clipboard(content: bytes) -> None:
    picture = QtGui.QImage()
    picture.loadFromData(content)
    QtWidgets.QApplication.clipboard().setImage(picture)


_held: list[Controller] = []


def controller() -> Controller:
    """The one of this FreeCAD."""
    if not _held:
        folder = Path(FreeCAD.getUserAppDataDir()) / "mfgviz"
        _held.append(Controller(folder, FreeCADGui.getMainWindow()))
    return _held[0]
