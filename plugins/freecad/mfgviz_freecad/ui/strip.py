"""The strip of a revision's renders: thumbnails with their marks."""

from __future__ import annotations

from typing import Any

from ..i18n import tr
from ..qt import Qt, QtCore, QtGui, QtWidgets, Signal
from . import renders
from .icons import pixmap

CELL_PX = 98
MARK_PX = 18
RENDER = 0x0100 + 1  # Qt.UserRole + 1


class _Painter(QtWidgets.QStyledItemDelegate):  # type: ignore[misc]
    """A thumbnail, the fidelity mark in its corner, the review's below it."""

    def sizeHint(self, option: Any, index: Any) -> Any:  # noqa: ARG002, N802 - Qt's name
        """All cells are of one size."""
        return QtCore.QSize(CELL_PX, CELL_PX)

    def paint(self, painter: Any, option: Any, index: Any) -> None:
        """Draw one cell."""
        render = index.data(RENDER) or {}
        picture = index.data(Qt.DecorationRole)
        box = option.rect.adjusted(3, 3, -3, -3)
        painter.save()
        painter.setRenderHint(QtGui.QPainter.Antialiasing)
        painter.setRenderHint(QtGui.QPainter.SmoothPixmapTransform)
        path = QtGui.QPainterPath()
        path.addRoundedRect(QtCore.QRectF(box), 5, 5)
        painter.fillPath(path, option.palette.color(QtGui.QPalette.Base))
        painter.setClipPath(path)
        if isinstance(picture, QtGui.QPixmap) and not picture.isNull():
            size = picture.size().scaled(box.size(), Qt.KeepAspectRatio)
            place = QtCore.QRect(QtCore.QPoint(0, 0), size)
            place.moveCenter(box.center())
            painter.setOpacity(0.45 if render.get("is_current") is False else 1.0)
            painter.drawPixmap(place, picture)
            painter.setOpacity(1.0)
        painter.setClipping(False)
        chosen = option.state & (QtWidgets.QStyle.State_Selected | QtWidgets.QStyle.State_MouseOver)
        role = QtGui.QPalette.Highlight if chosen else QtGui.QPalette.Mid
        painter.setPen(QtGui.QPen(option.palette.color(role), 2 if chosen else 1))
        painter.drawPath(path)
        self._mark(painter, renders.fidelity_mark(render), box.left() + 4, box.bottom() - MARK_PX - 3)
        self._mark(
            painter, renders.review_mark(render), box.right() - MARK_PX - 3, box.bottom() - MARK_PX - 3
        )
        if render.get("is_primary"):
            self._mark(painter, "mark_primary", box.right() - MARK_PX - 3, box.top() + 4)
        painter.restore()

    @staticmethod
    def _mark(painter: Any, name: str, x: int, y: int) -> None:
        if name:
            painter.drawPixmap(x, y, MARK_PX, MARK_PX, pixmap(name, 2 * MARK_PX))


class Strip(QtWidgets.QListWidget):  # type: ignore[misc]
    """Signals: `enlarged(row)`; `wanted(action, render)`; `thumbnail_wanted(render)`."""

    enlarged = Signal(int)
    wanted = Signal(str, object)
    thumbnail_wanted = Signal(object)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.setObjectName("mfgviz_strip")
        self.setAccessibleName(tr("Renders of this revision"))
        self.setViewMode(QtWidgets.QListView.IconMode)
        self.setResizeMode(QtWidgets.QListView.Adjust)
        self.setMovement(QtWidgets.QListView.Static)
        self.setUniformItemSizes(True)
        self.setMouseTracking(True)
        self.setSpacing(0)
        self.setFrameShape(QtWidgets.QFrame.NoFrame)
        self.setVerticalScrollMode(QtWidgets.QAbstractItemView.ScrollPerPixel)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarAlwaysOff)
        self.setMinimumHeight(CELL_PX + 6)
        self.viewport().setAutoFillBackground(False)
        self.setItemDelegate(_Painter(self))
        self.setContextMenuPolicy(Qt.CustomContextMenu)
        self.customContextMenuRequested.connect(self._show_menu)
        self.itemClicked.connect(lambda item: self.enlarged.emit(self.row(item)))
        self.itemActivated.connect(lambda item: self.enlarged.emit(self.row(item)))

    def show_renders(self, found: list[dict[str, Any]]) -> None:
        """These, newest first; thumbnails that are here stay."""
        pictures = {item.data(RENDER)["id"]: item.data(Qt.DecorationRole) for item in self._items()}
        if [item.data(RENDER) for item in self._items()] == found:
            return
        self.clear()
        for render in found:
            item = QtWidgets.QListWidgetItem()
            item.setData(RENDER, render)
            item.setData(Qt.DecorationRole, pictures.get(render["id"]))
            item.setToolTip(renders.tool_tip(render))
            item.setData(Qt.AccessibleTextRole, renders.tool_tip(render))
            self.addItem(item)
            if pictures.get(render["id"]) is None:
                self.thumbnail_wanted.emit(render)

    def show_thumbnail(self, render_id: int, jpeg: bytes) -> None:
        """It has come."""
        picture = QtGui.QPixmap()
        picture.loadFromData(jpeg)
        for item in self._items():
            if item.data(RENDER)["id"] == render_id:
                item.setData(Qt.DecorationRole, picture)

    def render_at(self, row: int) -> dict[str, Any] | None:
        """The render in that row."""
        item = self.item(row)
        return None if item is None else dict(item.data(RENDER))

    def menu_at(self, row: int) -> Any:
        """The menu of that row's render."""
        render = self.render_at(row)
        return None if render is None else renders.menu_for(render, self.wanted.emit, self)

    def _show_menu(self, place: Any) -> None:
        menu = self.menu_at(self.row(self.itemAt(place))) if self.itemAt(place) else None
        if menu is not None:
            menu.setAttribute(Qt.WA_DeleteOnClose)
            menu.popup(self.viewport().mapToGlobal(place))

    def _items(self) -> list[Any]:
        return [self.item(row) for row in range(self.count())]
