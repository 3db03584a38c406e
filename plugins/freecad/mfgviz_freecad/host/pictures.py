"""What is done with a finished render: look at it, vary it, take its settings, put it somewhere."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ..core.problems import Problem
from ..core.state import Origin, PendingRequest
from ..core.wishes import settings_of, variation_of
from ..i18n import tr
from ..net.session import Session
from ..qt import QtCore, QtGui, QtWidgets
from ..ui import renders
from ..ui.dock import Panel
from ..ui.viewer import Viewer
from .embedding import embed
from .notices import Notices
from .progress import open_document


class Pictures(QtCore.QObject):  # type: ignore[misc]
    """`place` says which document is in front, and which of its objects is the part."""

    def __init__(
        self,
        session: Session,
        panel: Panel,
        notices: Notices,
        place: Callable[[], tuple[Any, Any]],
        window: Any,
    ) -> None:
        super().__init__(window)
        self._session, self._panel, self._notices = session, panel, notices
        self._place, self._window = place, window
        self.viewer: Viewer | None = None
        panel.strip.enlarged.connect(self.enlarge)
        panel.strip.wanted.connect(self.act)
        panel.strip.thumbnail_wanted.connect(self._want_thumbnail)
        session.thumbnail.connect(panel.strip.show_thumbnail)

    def act(self, action: str, render: dict[str, Any]) -> None:
        """Do what was chosen for a render."""
        does: dict[str, Callable[[dict[str, Any]], None]] = {
            renders.VARY: self._vary,
            renders.RECALL: self._recall,
            renders.PRIMARY: self._set_primary,
            renders.EMBED: self._embed_here,
            renders.COPY: self._copy,
            renders.SAVE: self._save_as,
        }
        does[action](render)

    # -- looking -------------------------------------------------------------------------------------------
    def enlarge(self, row: int) -> None:
        """Show the render of that row in the viewer."""
        render = self._panel.strip.render_at(row)
        if render is None:
            return
        if self.viewer is None:
            self.viewer = Viewer(self._window)
            self.viewer.wanted.connect(self.act)
            self.viewer.step.connect(self._step)
            self.viewer.image_wanted.connect(self._fetch_for_viewer)
        self.viewer.show_render(render, self._session.want_thumbnail(render))

    def _step(self, by: int) -> None:
        strip = self._panel.strip
        shown = self.viewer.render_shown.get("id") if self.viewer is not None else None
        rows = [row for row in range(strip.count()) if (strip.render_at(row) or {}).get("id") == shown]
        for row in rows:
            self.enlarge(row + by)

    def _fetch_for_viewer(self, render: dict[str, Any]) -> None:
        def show(content: bytes) -> None:
            if self.viewer is not None:
                self.viewer.show_image(int(render["id"]), content)

        self._with_image(render, show)

    def _want_thumbnail(self, render: dict[str, Any]) -> None:
        held = self._session.want_thumbnail(render)
        if held is not None:
            self._panel.strip.show_thumbnail(int(render["id"]), held)

    # -- asking again --------------------------------------------------------------------------------------
    def _vary(self, render: dict[str, Any]) -> None:
        """More like it, of the geometry that the server has."""
        if self._session.is_sending:
            return
        self._notices.clear()
        body = variation_of(render, self._panel.wishes.count)
        self._session.submit(PendingRequest(str(uuid.uuid4()), str(render["revision"]), body, trigger="vary"))

    def _recall(self, render: dict[str, Any]) -> None:
        self._panel.show_wishes(settings_of(render, self._panel.wishes))
        self._panel.more.setChecked(True)

    def _set_primary(self, render: dict[str, Any]) -> None:
        def then(problem: Problem | None) -> None:
            if problem is not None:
                self._notices.refuse(problem.sentences())
            else:
                self._panel.show_progress(tr("It is the part's image now."), busy=False)

        self._session.set_primary(render, then)

    # -- putting it somewhere ------------------------------------------------------------------------------
    def embed_first(self, job: dict[str, Any], origin: Origin) -> None:
        """The first render of a job into the document that it came from."""

        def then(answer: Any) -> None:
            if answer.problem is None:
                self._embed(answer.json, origin)

        if self._session.api is not None and job.get("renders"):
            self._session.api.get(f"/renders/{job['renders'][0]}", then)

    def _embed_here(self, render: dict[str, Any]) -> None:
        self._embed(render, None)

    def _embed(self, render: dict[str, Any], origin: Origin | None) -> None:
        def put(content: bytes) -> None:
            document, owner = self._place()
            if origin is not None:
                document = open_document(origin)
                owner = document.getObject(origin.object_name) if document and origin.object_name else None
            if document is None:
                self._notices.refuse(tr("The document is closed: open it, then embed the render."))
                return
            thing = embed(document, owner, render, content)
            told = tr("Embedded at “{label}”: save the document to keep it.", label=thing.Label)
            self._panel.show_progress(told, busy=False)

        self._with_image(render, put)

    def _copy(self, render: dict[str, Any]) -> None:
        def put(content: bytes) -> None:
            picture = QtGui.QImage()
            picture.loadFromData(content)
            QtWidgets.QApplication.clipboard().setImage(picture)

        self._with_image(render, put)

    def _save_as(self, render: dict[str, Any]) -> None:
        name = f"{render['revision'].replace('@', '_')}_{render['id']}.png"
        path, _ = QtWidgets.QFileDialog.getSaveFileName(
            self._window, tr("Save render"), name, tr("PNG (*.png);;JPEG (*.jpg);;WebP (*.webp)")
        )
        if path:
            self.save_to(render, Path(path))

    def save_to(self, render: dict[str, Any], path: Path) -> None:
        """Into that file; its name says the format."""
        formats = {".jpg": "jpeg", ".jpeg": "jpeg", ".webp": "webp", ".png": "png"}
        if path.suffix.lower() not in formats:
            path = path.with_name(f"{path.name}.png")

        def put(content: bytes) -> None:
            try:
                path.write_bytes(content)
            except OSError as error:
                reason = error.strerror or ""
                self._notices.refuse(tr("{path} cannot be written: {reason}", path=str(path), reason=reason))
                return
            self._panel.show_progress(tr("Saved as {path}.", path=str(path)), busy=False)

        self._with_image(render, put, formats[path.suffix.lower()])

    def _with_image(
        self, render: dict[str, Any], use: Callable[[bytes], None], image_format: str = "png"
    ) -> None:
        def then(content: bytes | None, problem: Problem | None) -> None:
            if content is not None:
                use(content)
            elif problem is not None:
                self._notices.refuse(problem.sentences())

        self._session.fetch_image(render, then, image_format)
