"""Work that waits for something other than the network (a keyring's password), beside the window's thread."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from ..qt import QtCore, Signal


class Background(QtCore.QObject):  # type: ignore[misc]
    """Runs functions in threads; what they return comes back in the window's thread."""

    _returned = Signal(object, object)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._returned.connect(self._deliver, QtCore.Qt.QueuedConnection)

    def run(self, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        """`then` gets what `work` returned, or the exception it raised."""

        def body() -> None:
            try:
                value: Any = work()
            except Exception as error:  # noqa: BLE001 - handed to the caller
                value = error
            try:
                self._returned.emit(then, value)
            except RuntimeError:  # the window was closed meanwhile
                return

        threading.Thread(target=body, name="mfgviz-background", daemon=True).start()

    def _deliver(self, then: Callable[[Any], None], value: Any) -> None:
        then(value)
