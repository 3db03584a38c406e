"""One render, as large as the window, with what is known of it."""

from __future__ import annotations

from typing import Any

from ..i18n import tr
from ..qt import Qt, QtCore, QtGui, QtWidgets, Signal
from . import renders
from .icons import pixmap
from .widgets import mute


class _Picture(QtWidgets.QLabel):  # type: ignore[misc]
    """A picture that fits its place."""

    def __init__(self) -> None:
        super().__init__()
        self._whole: Any = None
        self.setAlignment(Qt.AlignCenter)
        self.setMinimumSize(256, 256)
        self.setSizePolicy(QtWidgets.QSizePolicy.Ignored, QtWidgets.QSizePolicy.Ignored)

    def show_picture(self, picture: Any) -> None:
        """Show it; None clears."""
        self._whole = picture
        self._fit()

    def resizeEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Fit again."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        if self._whole is None or self._whole.isNull():
            self.clear()
            return
        ratio = self.devicePixelRatioF()
        fitted = self._whole.scaled(self.size() * ratio, Qt.KeepAspectRatio, Qt.SmoothTransformation)
        fitted.setDevicePixelRatio(ratio)
        self.setPixmap(fitted)


class Viewer(QtWidgets.QDialog):  # type: ignore[misc]
    """Signals: `wanted(action, render)`; `image_wanted(render)`; `step(by)` to the one before or after."""

    wanted = Signal(str, object)
    image_wanted = Signal(object)
    step = Signal(int)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.setObjectName("mfgviz_viewer")
        self.resize(760, 860)
        self.render_shown: dict[str, Any] = {}
        self.picture = _Picture()
        self._fidelity_icon, self._review_icon = QtWidgets.QLabel(), QtWidgets.QLabel()
        self._fidelity, self._review = QtWidgets.QLabel(), QtWidgets.QLabel()
        self._prompt, self._facts = QtWidgets.QLabel(), QtWidgets.QLabel()
        mute(self._facts)
        for label in (self._fidelity, self._review, self._prompt, self._facts):
            label.setWordWrap(True)
            label.setTextInteractionFlags(Qt.TextSelectableByMouse)
        marks = QtWidgets.QGridLayout()
        marks.setColumnStretch(1, 1)
        for row, pair in enumerate(
            ((self._fidelity_icon, self._fidelity), (self._review_icon, self._review))
        ):
            for column, label in enumerate(pair):
                marks.addWidget(label, row, column)
        buttons = QtWidgets.QHBoxLayout()
        for sign, by in ((Qt.LeftArrow, -1), (Qt.RightArrow, 1)):
            button = QtWidgets.QToolButton()
            button.setArrowType(sign)
            button.setToolTip(tr("Previous render") if by < 0 else tr("Next render"))
            button.clicked.connect(lambda _=False, by=by: self.step.emit(by))
            buttons.addWidget(button)
        buttons.addStretch(1)
        short = {
            renders.VARY: tr("Vary"), renders.RECALL: tr("Use settings"), renders.EMBED: tr("Embed"),
            renders.PRIMARY: tr("Set as image"), renders.COPY: tr("Copy"), renders.SAVE: tr("Save as …"),
        }  # fmt: skip
        self.buttons: dict[str, Any] = {}
        for name, text in short.items():
            button = self.buttons[name] = QtWidgets.QPushButton(text)
            button.setToolTip(renders.action_texts()[name])
            button.setAutoDefault(False)
            button.clicked.connect(lambda _=False, name=name: self.wanted.emit(name, dict(self.render_shown)))
            buttons.addWidget(button)
        layout = QtWidgets.QVBoxLayout(self)
        layout.addWidget(self.picture, 1)
        layout.addWidget(self._prompt)
        layout.addLayout(marks)
        layout.addWidget(self._facts)
        layout.addLayout(buttons)

    def show_render(self, render: dict[str, Any], thumbnail: bytes | None) -> None:
        """Show it: the thumbnail at once, the picture when it has come."""
        self.render_shown = render
        self.setWindowTitle(tr("Render {id} of {revision}", id=render["id"], revision=render["revision"]))
        self.picture.show_picture(_decoded(thumbnail) if thumbnail else None)
        self._prompt.setText(str(render.get("prompt") or ""))
        self._fidelity_icon.setPixmap(pixmap(renders.fidelity_mark(render) or "mark_superseded", 16))
        self._fidelity.setText(renders.fidelity_text(render))
        self._review_icon.setPixmap(pixmap(renders.review_mark(render), 16))
        self._review.setText(renders.review_text(render))
        self.buttons[renders.PRIMARY].setEnabled(not render.get("is_primary"))
        self._facts.setText(
            tr(
                "{width} x {height} px · seed {seed} · {model} · {time}",
                width=render.get("width"),
                height=render.get("height"),
                seed=render.get("seed"),
                model=render.get("model") or "",
                time=_local(str(render.get("created_at") or "")),
            )
        )
        self.image_wanted.emit(render)
        self.show()
        self.raise_()

    def show_image(self, render_id: int, content: bytes) -> None:
        """The whole picture has come."""
        if render_id == self.render_shown.get("id"):
            self.picture.show_picture(_decoded(content))

    def keyPressEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """The arrow keys step."""
        by = {Qt.Key_Left: -1, Qt.Key_Right: 1}.get(event.key())
        if by is None:
            super().keyPressEvent(event)
        else:
            self.step.emit(by)


def _decoded(content: bytes) -> Any:
    picture = QtGui.QPixmap()
    picture.loadFromData(content)
    return picture


def _local(iso: str) -> str:
    time = QtCore.QDateTime.fromString(iso[:19] + "Z", Qt.ISODate)
    return (
        str(QtCore.QLocale().toString(time.toLocalTime(), QtCore.QLocale.ShortFormat))
        if time.isValid()
        else ""
    )
