"""Texts in the person's language. English is in the code; the rest is in `resources/translations`."""

from __future__ import annotations

from .qt import QtCore

CONTEXT = "mfgviz"


def tr(text: str, **values: object) -> str:
    """The text in the language of FreeCAD's window, with `{name}`s filled in."""
    found = str(QtCore.QCoreApplication.translate(CONTEXT, text))
    return found.format(**values) if values else found
