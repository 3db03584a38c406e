"""The forms that dock and settings are laid out in: labels in a column, combos that may be narrow."""

from __future__ import annotations

from typing import Any

from ..qt import QtWidgets
from .widgets import mute

SIDES_PX = (256, 384, 512, 640, 768, 1024, 1536, 2048)
MATERIALS = (
    "aluminium", "brushed aluminium", "steel", "stainless steel", "cast iron", "brass", "copper", "titanium",
    "black plastic", "white plastic", "rubber", "wood", "glass",
)  # fmt: skip
APPEARANCES = (
    "polished",
    "brushed",
    "matt",
    "anodised black",
    "powder coated",
    "red painted",
    "blue painted",
)
LABEL_PX = 62


def grid_box() -> tuple[Any, Any]:
    """A widget with a grid whose first column is as wide as that of its neighbours."""
    box = QtWidgets.QWidget()
    box.setSizePolicy(QtWidgets.QSizePolicy.Preferred, QtWidgets.QSizePolicy.Maximum)
    grid = QtWidgets.QGridLayout(box)
    grid.setContentsMargins(0, 0, 0, 0)
    grid.setHorizontalSpacing(6)
    grid.setVerticalSpacing(5)
    grid.setColumnMinimumWidth(0, LABEL_PX)
    grid.setColumnStretch(1, 1)
    return box, grid


def label(text: str, *, muted: bool = False) -> Any:
    """A label, in a quieter colour where it is `muted`."""
    made = QtWidgets.QLabel(text)
    return mute(made) if muted else made


def editable(words: tuple[str, ...]) -> Any:
    """A line to write into, with words to choose from."""
    combo = QtWidgets.QComboBox()
    combo.setEditable(True)
    combo.setInsertPolicy(QtWidgets.QComboBox.NoInsert)
    combo.addItems(list(words))
    combo.setCurrentIndex(-1)
    combo.setEditText("")
    let_shrink(combo)
    return combo


def let_shrink(combo: Any) -> None:
    """Long entries do not widen the dock."""
    combo.setSizeAdjustPolicy(QtWidgets.QComboBox.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(7)


def choose(combo: Any, value: object) -> None:
    """The row of that value, if there is one."""
    at = combo.findData(value)
    if at >= 0:
        combo.setCurrentIndex(at)


def refill(combo: Any, rows: list[tuple[str, object]], standard: object = None) -> None:
    """Other rows; what was chosen stays chosen."""
    chosen = combo.currentData() if combo.count() else standard
    blocked = combo.blockSignals(True)
    combo.clear()
    for text, value in rows:
        combo.addItem(text, value)
    choose(combo, chosen if chosen is not None else standard)
    combo.blockSignals(blocked)
