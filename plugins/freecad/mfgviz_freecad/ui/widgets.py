"""Small widgets that the dock is made of."""

from __future__ import annotations

from typing import Any

from ..i18n import tr
from ..qt import Qt, QtCore, QtGui, QtWidgets, Signal
from .icons import icon, pixmap


def mute(label: Any) -> Any:
    """The label in a quieter colour that can still be read, on light and on dark."""
    palette = label.palette()
    text, ground = (palette.color(role) for role in (QtGui.QPalette.WindowText, QtGui.QPalette.Window))
    mixed = [round(0.68 * a + 0.32 * b) for a, b in zip(text.getRgb()[:3], ground.getRgb()[:3])]
    palette.setColor(QtGui.QPalette.WindowText, QtGui.QColor(*mixed))
    label.setPalette(palette)
    return label


class PreviewLabel(QtWidgets.QLabel):  # type: ignore[misc]
    """A picture as wide as the dock, never higher than `highest`."""

    highest = 208

    def __init__(self) -> None:
        super().__init__()
        self._whole: Any = None
        self.setAlignment(Qt.AlignCenter)
        self.setSizePolicy(QtWidgets.QSizePolicy.Ignored, QtWidgets.QSizePolicy.Fixed)
        self.setVisible(False)

    @property
    def has_picture(self) -> bool:
        """Whether something is shown."""
        return self._whole is not None

    def show_jpeg(self, content: bytes | None) -> None:
        """Show it; None hides the label."""
        picture = QtGui.QPixmap()
        if content is None or not picture.loadFromData(content):
            self._whole = None
            self.setVisible(False)
            return
        self._whole = picture
        self.setVisible(True)
        self._fit()

    def resizeEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Fit again."""
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        if self._whole is None or self.width() < 8:
            return
        room = QtCore.QSize(self.width(), self.highest)
        fitted = self._whole.scaled(room, Qt.KeepAspectRatio, Qt.SmoothTransformation)
        self.setPixmap(fitted)
        self.setFixedHeight(fitted.height())


class Notice(QtWidgets.QFrame):  # type: ignore[misc]
    """A sentence or two with an icon, and buttons for what can be done about it.

    Signal: `pressed(name)` of a button.
    """

    pressed = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.setObjectName("mfgviz_notice")
        self.setStyleSheet(
            "QFrame#mfgviz_notice { background: palette(alternate-base); border: 1px solid palette(mid);"
            " border-radius: 4px; }"
        )
        self._icon, self.label = QtWidgets.QLabel(), QtWidgets.QLabel()
        self.label.setWordWrap(True)
        self.label.setTextInteractionFlags(Qt.TextSelectableByMouse)
        self._close = QtWidgets.QToolButton()
        self._close.setObjectName("mfgviz_dismiss")
        self._close.setText("✕")
        self._close.setAutoRaise(True)
        self._close.setToolTip(tr("Dismiss"))
        self._close.clicked.connect(lambda: self.pressed.emit("dismiss"))
        self._row = QtWidgets.QHBoxLayout()
        self._row.setContentsMargins(0, 2, 0, 0)
        self._row.setSpacing(6)
        self._row.addStretch(1)
        grid = QtWidgets.QGridLayout(self)
        grid.setContentsMargins(8, 6, 6, 6)
        grid.setHorizontalSpacing(8)
        grid.setColumnStretch(1, 1)
        grid.addWidget(self._icon, 0, 0, Qt.AlignTop)
        grid.addWidget(self.label, 0, 1)
        grid.addWidget(self._close, 0, 2, Qt.AlignTop)
        grid.addLayout(self._row, 1, 0, 1, 3)
        self._buttons: list[Any] = []
        self.setVisible(False)

    def tell(
        self, mark: str, text: str, buttons: dict[str, str] | None = None, *, closes: bool = False
    ) -> None:
        """Show it: an icon's name, the text, the buttons as name → text; `closes`: it can be dismissed."""
        self._icon.setPixmap(pixmap(mark, 16))
        self.label.setText(text)
        self._close.setVisible(closes)
        for button in self._buttons:
            self._row.removeWidget(button)
            button.hide()
            button.deleteLater()
        self._buttons = []
        for name, words in (buttons or {}).items():
            button = QtWidgets.QPushButton(words)
            button.setObjectName(f"mfgviz_{name}")
            button.clicked.connect(lambda _=False, name=name: self.pressed.emit(name))
            self._row.addWidget(button)
            self._buttons.append(button)
        self.setVisible(True)

    @property
    def text(self) -> str:
        """What it says, if it says anything."""
        return str(self.label.text()) if self.isVisibleTo(self.parentWidget()) else ""


class SeedBox(QtWidgets.QWidget):  # type: ignore[misc]
    """The seed: another one each time, or one that is locked. Signal: `changed()`."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._edit = QtWidgets.QLineEdit()
        self._edit.setObjectName("mfgviz_seed")
        self._edit.setValidator(
            QtGui.QRegularExpressionValidator(QtCore.QRegularExpression("[0-9]{1,18}"), self._edit)
        )
        self.lock = QtWidgets.QToolButton()
        self.lock.setObjectName("mfgviz_seed_lock")
        self.lock.setCheckable(True)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self._edit, 1)
        layout.addWidget(self.lock)
        self.lock.toggled.connect(self._toggled)
        self._edit.editingFinished.connect(self.changed.emit)
        self._toggled(False)

    @property
    def seed(self) -> int | None:
        """The locked seed, or None."""
        return int(self._edit.text() or 0) if self.lock.isChecked() else None

    def set_seed(self, seed: int | None) -> None:
        """Lock that seed, or unlock."""
        if seed is not None:
            self._edit.setText(str(seed))
        self.lock.setChecked(seed is not None)

    def note_used(self, seed: int) -> None:
        """A request went out with this seed: locking now keeps it."""
        if not self.lock.isChecked():
            self._edit.setText(str(seed))

    def _toggled(self, on: bool) -> None:
        self._edit.setEnabled(on)
        self._edit.setPlaceholderText(tr("another one each time"))
        self.lock.setIcon(icon("locked" if on else "unlocked"))
        self.lock.setToolTip(
            tr("The same seed each time") if on else tr("Another seed each time; press to lock it")
        )
        if on and not self._edit.text():
            self._edit.setText("0")
        self.changed.emit()


class Strength(QtWidgets.QWidget):  # type: ignore[misc]
    """Geometry strength from 0 to 1, in steps of 0.05."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.slider = QtWidgets.QSlider(Qt.Horizontal)
        self.slider.setObjectName("mfgviz_strength")
        self.slider.setRange(0, 20)
        self.slider.setPageStep(4)
        self._said = QtWidgets.QLabel()
        self._said.setFixedWidth(self._said.fontMetrics().horizontalAdvance("100 %") + 6)
        self._said.setAlignment(Qt.AlignRight | Qt.AlignVCenter)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(4)
        layout.addWidget(self.slider, 1)
        layout.addWidget(self._said)
        self.slider.valueChanged.connect(self._moved)
        self.slider.setValue(20)

    @property
    def value(self) -> float:
        """The strength."""
        return int(self.slider.value()) / 20

    def set_value(self, value: float) -> None:
        """To the nearest step."""
        self.slider.setValue(round(value * 20))

    def _moved(self, at: int) -> None:
        self._said.setText(f"{at * 5} %")
        self.changed.emit()
