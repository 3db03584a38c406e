"""XML from strangers: no document types, and so no entities."""

from __future__ import annotations

import zipfile
from pathlib import Path

from mfgviz.errors import UnreadableGeometryError


def check_archive(path: Path) -> None:
    """Refuse a zip whose XML declares entities: one may stand for terabytes, or for a file of this host.

    Raises:
        UnreadableGeometryError: it does, or is not UTF-8 as the 3MF specification asks.
    """
    with zipfile.ZipFile(path) as archive:
        for entry in archive.infolist():
            if entry.filename.lower().endswith((".model", ".xml", ".rels")):
                check_xml(archive.read(entry), f"{entry.filename} in {path.name}")


def check_xml(content: bytes, what: str) -> None:
    """Raises UnreadableGeometryError for XML with a document type, which CAD files have no use for."""
    if b"\0" in content[:4096]:
        raise UnreadableGeometryError(f"{what} is not UTF-8.")
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise UnreadableGeometryError(f"{what} declares entities, which are not read.")
