"""From a press of Render to a request that can be sent: what can be known here is checked, then exported."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from ..core.camera import picture_size
from ..core.state import PendingRequest
from ..core.wishes import Identity, Wishes, fingerprint
from ..i18n import tr
from ..net.session import Session
from ..qt import Qt, QtWidgets
from . import identity
from .export import ExportError, export_step
from .target import Target


class RefusedError(Exception):
    """It is not asked for; the message says why."""


class NothingNewError(Exception):
    """The shape is the same as when the document was saved before."""


def check_wishes(session: Session, wanted: Identity, wishes: Wishes) -> None:
    """Raises RefusedError where the server would refuse for what stands in the dock."""
    unfit = wanted.objection()
    if unfit:
        word = tr("part number") if unfit == "part number" else tr("revision")
        raise RefusedError(tr("Enter a {word}: up to 128 characters, no @ and no slashes.", word=word))
    if not wishes.prompt:
        told = tr("The prompt is empty. Say in words what the part looks like, or choose a preset.")
        raise RefusedError(told)
    revision = (session.revision or {}) if session.reference == wanted.reference else {}
    # What is read from the CAD file only the server knows: it says what is missing of that.
    empty = [name for name in wishes.objection(revision.get("fields") or {}) if name in wishes.fields]
    if empty:
        field = f"{{{empty[0]}}}"
        told = tr("The prompt uses {field}, which is empty. Enter it above, or take it out.", field=field)
        raise RefusedError(told)


def size_for(session: Session, wishes: Wishes, aspect: float) -> tuple[int, int]:
    """The picture's size, as the model makes it."""
    limits: dict[str, Any] = {}
    for one in session.models:
        if one.get("name") == wishes.model or (not wishes.model and one.get("is_default")):
            limits = one.get("capabilities") or {}
    return picture_size(
        aspect,
        wishes.side_px,
        multiple=int(limits.get("multiple_of_px") or 8),
        max_pixels=int(limits.get("max_pixels") or 0) or None,
    )


def make_request(
    session: Session, document: Any, target: Target, wanted: Identity, body: dict[str, Any], material: str,
    trigger: str,
) -> PendingRequest:  # fmt: skip
    """The request, with the exported file. Raises RefusedError, NothingNewError."""
    key = str(uuid.uuid4())
    path = session.outbox / f"{key}.step"
    try:
        digest = _export(session, target, path)
        if trigger == "save":
            _check_new(session, document, fingerprint(digest, body))
    except Exception:
        path.unlink(missing_ok=True)
        raise
    attributes = identity.plm_attributes(target.owner)
    if material:
        attributes.setdefault("material", material)
    return PendingRequest(
        key=key,
        reference=wanted.reference,
        body=body,
        name=identity.name_of(document, target.owner),
        part_attributes=attributes,
        geometry=str(path),
        geometry_digest=digest,
        file_name=f"{wanted.number}.step",
        trigger=trigger,
        origin=identity.origin_of(document, target.owner),
    )


def _export(session: Session, target: Target, path: Path) -> str:
    QtWidgets.QApplication.setOverrideCursor(Qt.WaitCursor)
    try:
        digest = export_step(target.objects, path)
    except (ExportError, OSError) as error:
        raise RefusedError(tr("The part could not be exported: {reason}", reason=str(error))) from error
    finally:
        QtWidgets.QApplication.restoreOverrideCursor()
    most = int((session.me.get("limits") or {}).get("geometry_max_bytes") or 0)
    size = path.stat().st_size
    if most and size > most:
        told = tr(
            "The exported part has {size} MB; the server takes {most} MB.", size=size >> 20, most=most >> 20
        )
        raise RefusedError(told)
    return digest


def _check_new(session: Session, document: Any, mark: str) -> None:
    if session.state.last_saved(document.FileName) == mark:
        raise NothingNewError
    session.state.note_saved(document.FileName, mark)
