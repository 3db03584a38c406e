"""Between FreeCAD, the dock and the server: what is in front, and what a press of a button comes to."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import FreeCAD
import FreeCADGui

from ..core.camera import custom_view
from ..core.problems import Problem
from ..core.state import Origin, PendingRequest
from ..core.wishes import Identity, job_body
from ..i18n import tr
from ..net.session import Session
from ..qt import Qt, QtCore, run
from ..ui.dock import Dock
from ..ui.settings_dialog import SettingsDialog
from . import appearance, camera, identity
from .asking import NothingNewError, RefusedError, check_wishes, make_request, size_for
from .documents import Documents
from .notices import Notices
from .pictures import Pictures
from .progress import Progress
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
        self.notices = Notices(self.session, self.panel, self)
        self.progress = Progress(self.session, self.panel, self.notices, self)
        self.pictures = Pictures(self.session, self.panel, self.notices, self._place, window)
        self.target: Target | None = None
        self.export_s = 0.0
        self._subject: tuple[str, str] | None = None
        self._saved_meanwhile = ""
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
        self.notices.settings_wanted.connect(self.show_settings)
        self.progress.finished.connect(self._finished)
        session.catalogue_changed.connect(self._take_catalogue)
        session.revision_changed.connect(self._take_revision)
        session.renders_changed.connect(self._take_renders)
        session.said.connect(panel.show_progress)
        session.sent.connect(self._sent)
        session.not_sent.connect(self._not_sent)
        self.documents.subject_changed.connect(self.refresh_subject)
        self.documents.saved.connect(self._saved)
        self.documents.closed.connect(self._closed)

    # -- what would be rendered ----------------------------------------------------------------------------
    @property
    def document(self) -> Any:
        """The document in front, or None."""
        return FreeCAD.ActiveDocument

    def _place(self) -> tuple[Any, Any]:
        return self.document, self.target.owner if self.target is not None else None

    def refresh_subject(self) -> None:
        """Show what a press of Render would render now."""
        document, self.target = self.document, None
        try:
            target = choose(document)
        except NothingToRender as reason:
            self.panel.show_subject("", str(reason))
            return
        except (ReferenceError, RuntimeError, AttributeError):  # objects are just being made or deleted
            return
        self.target = target
        subject = (document.Name, target.owner.Name if target.owner is not None else target.title)
        self.panel.show_subject(
            f"{target.title} · {document.Label}",
            identity=identity.identity_of(document, target.owner),
            is_other=subject != self._subject,
        )
        if subject != self._subject:
            self._subject = subject
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
            self.progress.show()

    def _identity_edited(self, edited: Identity) -> None:
        if self.target is not None and not edited.objection():
            identity.remember(self.document, self.target.owner, edited)
            self.panel.identity_taken()
        self._look.start()

    # -- rendering -----------------------------------------------------------------------------------------
    def render_part(self, trigger: str = "button") -> None:
        """The target, from the view chosen in the dock."""
        self._render(trigger, None)

    def render_view(self) -> None:
        """The target, as the 3D view shows it."""
        document = self.document
        view = view_of(document) if document is not None else None
        if document is not None and view is None:
            self.dock.show()
            told = tr("There is no 3D view of this document. Open one, or render the part.")
            self.notices.refuse(told)
            return
        self._render("view", view)

    def _render(self, trigger: str, view: Any) -> None:
        """1. Everything that can be known here is checked. 2. Export. 3. The request is kept and sent."""
        self.dock.show()
        if self.session.is_sending:
            self.notices.tell(tr("Another request is being sent. Wait for it, or cancel it."))
            return
        self.refresh_subject()
        try:
            request, note = self._request(trigger, view)
        except (NothingToRender, RefusedError) as reason:
            self.panel.show_progress("", busy=False)
            self.notices.refuse(str(reason))
            return
        except NothingNewError:
            told = tr("Saved; the shape is the same as before, so nothing was asked.")
            self.panel.show_progress(told, busy=False)
            return
        self.notices.clear()
        self.notices.tell(note)
        self.panel.seed.note_used(int(request.body["seed"]))
        self.session.reference = request.reference
        self.session.submit(request)
        self.progress.show()

    def _request(self, trigger: str, view: Any) -> tuple[PendingRequest, str]:
        """The request, and a word about it. Raises NothingToRender, RefusedError, NothingNewError."""
        document, wishes = self.document, self.panel.wishes
        target = self.target = choose(document)
        note = check(target)
        wanted = self.panel.identity
        check_wishes(self.session, wanted, wishes)
        identity.remember(document, target.owner, wanted)
        self.panel.identity_taken()
        seen: Any = wishes.view
        aspect = 1.0
        if view is not None:
            seen = custom_view(camera.pose_of(view), camera.frame_of(target.frame))
            aspect = camera.aspect_of(view)
        body = job_body(wanted, wishes, seen, size_for(self.session, wishes, aspect))
        self.panel.show_progress(tr("Exporting {title} …", title=target.title))
        self.panel.told.repaint()
        began = time.monotonic()
        material = wishes.fields.get("material", "")
        try:
            return make_request(self.session, document, target, wanted, body, material, trigger), note
        finally:
            self.export_s = time.monotonic() - began

    def cancel(self) -> None:
        """What is being sent, else every job of this revision that was asked for from here."""
        if self.session.is_sending:
            self.session.stop_sending()
            self.panel.show_progress(tr("Cancelled before it was sent."), busy=False)
            self.progress.show()
            return
        for job_id in self.progress.jobs_here():
            self.session.cancel(job_id)

    def _sent(self, _request: PendingRequest, items: list[dict[str, Any]]) -> None:
        self.notices.take_trouble(None)
        if items and all(item.get("how") == "reused" for item in items):
            self.notices.tell(tr("This very picture was made before: it is shown below."))
        self.progress.show()
        self._render_what_was_saved()

    def _not_sent(self, _request: PendingRequest, problem: Problem) -> None:
        self.panel.show_progress("", busy=False)
        self.notices.not_sent(problem)
        self.progress.show()
        self._render_what_was_saved()

    def _finished(self, job: dict[str, Any], origin: Origin) -> None:
        if self.session.preferences.embed_when_done and origin.document_uid:
            self.pictures.embed_first(job, origin)

    # -- documents -----------------------------------------------------------------------------------------
    def _saved(self, name: str) -> None:
        if not self.session.preferences.render_on_save:
            return
        if self.session.is_sending:
            self._saved_meanwhile = name
        elif self.document is not None and self.document.Name == name:
            self.render_part("save")

    def _render_what_was_saved(self) -> None:
        name, self._saved_meanwhile = self._saved_meanwhile, ""
        if name:
            self._saved(name)

    def _closed(self, label: str) -> None:
        here = [self.session.asked(one) for one in self.progress.jobs_here()]
        if any(job is not None and job.origin.document_label == label for job in here):
            told = tr("“{label}” is closed. Its render goes on, and is attached on the server.", label=label)
            self.notices.tell(told)

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
        if reference != self.panel.identity.reference:
            return
        self.panel.show_revision(revision)
        fields = dict(self.panel.wishes.fields)
        known = str(((revision or {}).get("fields") or {}).get("material") or "")
        if known and not fields["material"]:
            self.panel.show_fields({**fields, "material": known})

    def _take_renders(self, reference: str, found: list[dict[str, Any]]) -> None:
        if reference == self.panel.identity.reference:
            self.panel.show_renders(found)
            self._take_presets()

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
        self.notices.clear()
        self.notices.take_trouble(None)
        self.session.change(preferences, token)
        self._take_preferences()

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


_held: list[Controller] = []


def controller() -> Controller:
    """The one of this FreeCAD."""
    if not _held:
        folder = Path(FreeCAD.getUserAppDataDir()) / "mfgviz"
        _held.append(Controller(folder, FreeCADGui.getMainWindow()))
    return _held[0]
