"""The add-on's icons. `currentColor` in them is the colour of the window's text, so they fit dark themes."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from .. import RESOURCES
from ..qt import Qt, QtCore, QtGui, QtSvg, QtWidgets


def icon(name: str) -> Any:
    """The icon of that name, in the colours of the window as it is now."""
    colour = QtWidgets.QApplication.palette().color(QtGui.QPalette.ButtonText).name()
    return _icon(name, colour)


def pixmap(name: str, side: int) -> Any:
    """The same, as a picture of `side` pixels."""
    return icon(name).pixmap(side, side)


@lru_cache(maxsize=None)
def _icon(name: str, colour: str) -> Any:
    drawing = (
        (RESOURCES / "icons" / f"{name}.svg").read_text(encoding="utf-8").replace("currentColor", colour)
    )
    renderer = QtSvg.QSvgRenderer(QtCore.QByteArray(drawing.encode()))
    made = QtGui.QIcon()
    for side in (16, 20, 24, 32, 48, 64):
        picture = QtGui.QPixmap(side, side)
        picture.fill(Qt.transparent)
        painter = QtGui.QPainter(picture)
        painter.setRenderHint(QtGui.QPainter.Antialiasing)
        renderer.render(painter, QtCore.QRectF(0, 0, side, side))
        painter.end()
        made.addPixmap(picture)
    return made
