"""What happens in FreeCAD, as Qt signals: FreeCAD calls the methods of these observers by their names."""

from __future__ import annotations

from typing import Any

import FreeCAD
import FreeCADGui

from ..qt import QtCore, Signal

SETTLE_MS = 80
# Properties whose change may make another subject, or another name for it.
WATCHED = frozenset({"Visibility", "Label", "PartNumber", "Revision", "Id"})


class Documents(QtCore.QObject):  # type: ignore[misc]
    """Signals: `subject_changed()` when something else would be rendered, settled; `saved(document name)`;
    `closed(label)`."""

    subject_changed = Signal()
    saved = Signal(str)
    closed = Signal(str)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._settle = QtCore.QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(SETTLE_MS)
        self._settle.timeout.connect(self.subject_changed.emit)
        self._documents, self._selection = _DocumentObserver(self), _SelectionObserver(self)
        FreeCAD.addDocumentObserver(self._documents)
        FreeCADGui.Selection.addObserver(self._selection)

    def touched(self) -> None:
        """Something changed; more may follow at once."""
        self._settle.start()


class _DocumentObserver:
    def __init__(self, documents: Documents) -> None:
        self._told = documents

    def slotActivateDocument(self, document: Any) -> None:  # noqa: N802, ARG002
        self._told.touched()

    def slotCreatedDocument(self, document: Any) -> None:  # noqa: N802, ARG002
        self._told.touched()

    def slotDeletedDocument(self, document: Any) -> None:  # noqa: N802
        self._told.closed.emit(document.Label)
        self._told.touched()

    def slotCreatedObject(self, thing: Any) -> None:  # noqa: N802, ARG002
        self._told.touched()

    def slotDeletedObject(self, thing: Any) -> None:  # noqa: N802, ARG002
        self._told.touched()

    def slotChangedObject(self, thing: Any, name: str) -> None:  # noqa: N802, ARG002
        if name in WATCHED:
            self._told.touched()

    def slotRelabelDocument(self, document: Any) -> None:  # noqa: N802, ARG002
        self._told.touched()

    def slotFinishSaveDocument(self, document: Any, path: str) -> None:  # noqa: N802
        if path == document.FileName:  # not for "save a copy"
            # After the save has returned.
            name = document.Name
            QtCore.QTimer.singleShot(0, lambda: self._told.saved.emit(name))
        self._told.touched()


class _SelectionObserver:
    def __init__(self, documents: Documents) -> None:
        self._told = documents

    def addSelection(self, *_: Any) -> None:  # noqa: N802
        self._told.touched()

    def removeSelection(self, *_: Any) -> None:  # noqa: N802
        self._told.touched()

    def setSelection(self, *_: Any) -> None:  # noqa: N802
        self._told.touched()

    def clearSelection(self, *_: Any) -> None:  # noqa: N802
        self._told.touched()
