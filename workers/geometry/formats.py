"""Which CAD format a file is of: by its content, held against its name."""

from __future__ import annotations

import zipfile
from pathlib import Path

from mfgviz.errors import (
    EmptyGeometryError,
    FormatMismatchError,
    GeometryNotFoundError,
    GeometryTooLargeError,
    UnknownFormatError,
    UnreadableGeometryError,
)
from mfgviz.vocabulary import CAD_FORMATS

HEAD_BYTES = 4096
# A zip that unpacks to more than this many times the file limit is a bomb.
UNPACK_FACTOR = 8


def check_file(path: Path, max_bytes: int) -> None:
    """Refuse what is not there, empty or too large, without a look into it.

    Raises:
        GeometryNotFoundError, EmptyGeometryError, GeometryTooLargeError: the file cannot be looked into.
    """
    if not path.is_file():
        what = f"{path} is no regular file." if path.exists() else f"There is no file {path}."
        raise GeometryNotFoundError(what, remedy="Check the path.")
    size = path.stat().st_size
    if size == 0:
        raise EmptyGeometryError(f"{path.name} is empty.", remedy="Export it from the CAD program again.")
    if size > max_bytes:
        raise GeometryTooLargeError(f"{path.name} has {size:,} bytes; {max_bytes:,} are allowed.")


def detect_format(path: Path, max_bytes: int) -> str:
    """The name of the format of a file of at most so many bytes. It looks into archives: not for a process
    that has other things to lose.

    Raises:
        UnknownFormatError: its content is of no known format.
        FormatMismatchError: its extension says another one.
        UnreadableGeometryError: it is a damaged zip archive.
        GeometryTooLargeError: it unpacks to far more than that.
    """
    size = path.stat().st_size
    with path.open("rb") as stream:
        head = stream.read(HEAD_BYTES)
    found = _by_content(path, head, size, max_bytes)
    if found is None:
        raise UnknownFormatError(f"{path.name} is no CAD file that is known here.")
    named = CAD_FORMATS.get(path.suffix.lower())
    if named is not None and named != found:
        raise FormatMismatchError(f"{path.name} is named as {named}, but its content is {found}.")
    if named is None and path.suffix:
        raise UnknownFormatError(
            f"{path.name} has the extension {path.suffix!r}, which is of no CAD format.",
            remedy=f"Its content is {found}: rename it to .{found}.",
        )
    return found


def _by_content(  # noqa: PLR0911 - a table in words: one line a format
    path: Path, head: bytes, size: int, max_bytes: int
) -> str | None:
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if text.startswith(b"ISO-10303-21"):
        return "step"
    if text.startswith((b"DBRep_DrawableShape", b"CASCADE Topology")):
        return "brep"
    if head[:4] == b"glTF":
        return "glb"
    if head[:4] == b"PK\x03\x04":
        return _zip_format(path, max_bytes)
    if text.startswith((b"ply\n", b"ply\r")):
        return "ply"
    if len(head) >= 80 and head[72:73] in b"SG" and head[73:80].strip().isdigit():
        return "iges"
    if text[:5].lower() == b"solid" and b"facet" in head.lower():
        return "stl"
    if len(head) >= 84 and size == 84 + 50 * int.from_bytes(head[80:84], "little"):
        return "stl"
    lines = [line.split()[:1] for line in text.splitlines()[:200]]
    if any(line == [b"v"] for line in lines):
        return "obj"
    return None


def _zip_format(path: Path, max_bytes: int) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            names = {entry.filename for entry in archive.infolist()}
            unpacked = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError) as error:
        raise UnreadableGeometryError(f"{path.name} is a damaged zip archive: {error}.") from error
    if unpacked > max_bytes * UNPACK_FACTOR:
        raise GeometryTooLargeError(f"{path.name} unpacks to {unpacked:,} bytes.")
    if "Document.xml" in names:
        return "fcstd"
    if any(name.lower().endswith(".model") for name in names):
        return "3mf"
    return None
