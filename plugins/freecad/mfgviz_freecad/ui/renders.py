"""What is said and done about one render, wherever it is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..i18n import tr
from ..qt import QtWidgets

VARY, RECALL, EMBED, PRIMARY, COPY, SAVE = "vary", "recall", "embed", "primary", "copy", "save"


def action_texts() -> dict[str, str]:
    """The actions on a render, in the order of the menu."""
    return {
        VARY: tr("Vary: more like this one"),
        RECALL: tr("Use these settings"),
        EMBED: tr("Embed in the document"),
        PRIMARY: tr("Set as the part's image"),
        COPY: tr("Copy picture"),
        SAVE: tr("Save as …"),
    }


def menu_for(render: Mapping[str, Any], wanted: Any, parent: Any) -> Any:
    """A menu of the actions; `wanted(action, render)` is called with the one chosen."""
    menu = QtWidgets.QMenu(parent)
    for name, text in action_texts().items():
        if name in (EMBED, COPY):
            menu.addSeparator()
        action = menu.addAction(text)
        action.setObjectName(f"mfgviz_{name}")
        action.triggered.connect(lambda _=False, name=name: wanted(name, dict(render)))
        if name == PRIMARY and render.get("is_primary"):
            action.setEnabled(False)
    return menu


def fidelity_mark(render: Mapping[str, Any]) -> str:
    """The icon that says whether the picture shows the part; none where that is not known."""
    passed = render.get("fidelity_passed")
    return "" if passed is None else "mark_true" if passed else "mark_doubtful"


def review_mark(render: Mapping[str, Any]) -> str:
    """The icon of the review's state."""
    return f"mark_{render.get('review_state') or 'proposed'}"


def review_text(render: Mapping[str, Any]) -> str:
    """The review's state in words."""
    by = str(render.get("reviewed_by") or "")
    said = {
        "proposed": tr("Not reviewed yet"),
        "approved": tr("Approved by {who}", who=by) if by else tr("Approved"),
        "rejected": tr("Rejected by {who}", who=by) if by else tr("Rejected"),
        "superseded": tr("Superseded by another CAD file"),
    }.get(str(render.get("review_state")), str(render.get("review_state")))
    comment = str(render.get("review_comment") or "")
    return f"{said}: {comment}" if comment else said


def fidelity_text(render: Mapping[str, Any]) -> str:
    """How well the picture shows the part, in words."""
    passed, score = render.get("fidelity_passed"), render.get("fidelity")
    if passed is None and score is None:
        return tr("Not compared with the geometry")
    percent = "" if score is None else f" ({score:.0%})"
    said = tr("Shows the part") if passed else tr("Differs from the part's geometry")
    notes = "; ".join(str(note) for note in render.get("fidelity_notes") or [])
    return f"{said}{percent}{': ' + notes if notes else ''}"


def tool_tip(render: Mapping[str, Any]) -> str:
    """Everything in a few lines."""
    lines = [str(render.get("prompt") or ""), fidelity_text(render), review_text(render)]
    if render.get("is_primary"):
        lines.append(tr("The part's image"))
    if render.get("is_current") is False:
        lines.append(tr("Of an earlier shape of this revision"))
    lines.append(tr("Seed {seed}, {model}", seed=render.get("seed"), model=render.get("model") or ""))
    return "\n".join(line for line in lines if line)
