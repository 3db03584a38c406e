"""Files that people drop into a folder: their names, and reading them without trusting them.

Anything may lie in such a folder. Nothing is followed out of it (links are not followed at all), nothing is
opened that could block or act (pipes, devices), and what is read is bounded.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tempfile
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import BinaryIO

from mfgviz.errors import (
    FolderUnavailableError,
    GeometryTooLargeError,
    InvalidFileNameError,
    NoRegularFileError,
)
from mfgviz.vocabulary import CAD_FORMATS

STATUS, ERROR = ".status.json", ".error.txt"
SIDECAR_MAX_BYTES, STATUS_MAX_BYTES, PICTURE_MAX_BYTES = 256 * 1024, 4 * 2**20, 256 * 2**20
TAIL_BYTES = 4096
NUMBER_MAX, LABEL_MAX = 128, 64
# Linux allows a name 255 bytes; what is written beside a file needs some of them for its ending.
BASE_MAX_BYTES = 220
CHUNK_BYTES = 1 << 20
STEP_END = b"END-ISO-10303-21"
OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class StillChanging(Exception):  # noqa: N818 - no error: a reason to come back later
    """The file was written to while it was read."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A name in the folder and what lies there: `file`, `link`, `folder`, or `pipe or device`."""

    name: str
    kind: str
    size: int
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Named:
    """What a file's name says: the part's number and the revision's label."""

    number: str
    label: str

    @property
    def reference(self) -> str:
        """`NUMBER@LABEL`."""
        return f"{self.number}@{self.label}"


def is_cad_name(name: str) -> bool:
    """Whether a name is that of a CAD file; hidden and temporary ones (`.x`, `~x`, `x.part`) are none."""
    return Path(name).suffix.lower() in CAD_FORMATS and not name.startswith((".", "~"))


def parse_name(name: str) -> Named:
    """`PN_REV.step`: the last `_` stands between number and label. Raises InvalidFileNameError."""
    stem = Path(name).stem
    bad = sorted(
        {c for c in stem if c in "@/\\" or unicodedata.category(c) in ("Cc", "Cs", "Cf", "Zl", "Zp")}
    )
    if bad:
        signs = ", ".join(c.encode("unicode_escape").decode() for c in bad)
        raise InvalidFileNameError(
            f"{shown(name)} has characters in its name that no part number has: {signs}."
        )
    number, line, label = stem.rpartition("_")
    if not line:
        raise InvalidFileNameError(f"{shown(name)} has no _ between part number and revision.")
    for what, word, most in (("part number", number, NUMBER_MAX), ("revision", label, LABEL_MAX)):
        if not word.strip() or word != word.strip() or word in (".", ".."):
            raise InvalidFileNameError(f"{shown(name)} names no {what}: {word!r}.")
        if len(word) > most:
            told = f"{len(word)} characters; {most} fit"
            raise InvalidFileNameError(f"The {what} that {shown(name)[:80]} names has {told}.")
    if label.lower().endswith((".status", ".error")):
        raise InvalidFileNameError(f"{shown(name)} has a name that status files have.")
    return Named(number, label)


def shown(name: str) -> str:
    """A name as a person can read it: control characters and bytes that are no text are spelled out."""
    plain = name.encode("utf-8", "backslashreplace").decode()
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in plain)


@lru_cache(maxsize=1 << 16)
def base_of(name: str) -> str:
    """What names beside the file begin with: its own without the extension, or something like it where that
    would be no good name."""
    stem = Path(name).stem
    with suppress(InvalidFileNameError):
        parse_name(name)
        if len(os.fsencode(stem)) <= BASE_MAX_BYTES:
            return stem
    return unique_base(name)


def unique_base(name: str) -> str:
    """A plain name that no other file's is."""
    plain = "".join(c if c.isascii() and (c.isalnum() or c in "-_. ") else "-" for c in name)[:80].strip(" .")
    return f"{plain or 'file'}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}"


# -- reading -------------------------------------------------------------------------------------------------
def scan(folder: Path) -> list[Entry]:
    """What lies in the folder, by name. Raises FolderUnavailableError."""
    found = []
    try:
        with os.scandir(folder) as entries:
            for one in entries:
                with suppress(FileNotFoundError):
                    found.append(_entry(one.name, one.stat(follow_symlinks=False)))
    except OSError as error:
        raise FolderUnavailableError(f"{folder} cannot be read: {error.strerror}.") from error
    return sorted(found, key=lambda entry: entry.name)


def _entry(name: str, told: os.stat_result) -> Entry:
    kinds = ((stat.S_ISREG, "file"), (stat.S_ISLNK, "link"), (stat.S_ISDIR, "folder"))
    kind = next((word for is_kind, word in kinds if is_kind(told.st_mode)), "pipe or device")
    return Entry(name, kind, told.st_size, told.st_mtime_ns)


def open_file(path: Path) -> BinaryIO:
    """A regular file, opened for reading. Raises NoRegularFileError, OSError."""
    try:
        number = os.open(path, OPEN)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise NoRegularFileError(f"{shown(path.name)} is no regular file.") from error
        raise
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise NoRegularFileError(f"{shown(path.name)} is no regular file.")
    return os.fdopen(number, "rb")


def copy_file(source: Path, target: Path, most: int) -> str:
    """Copy a file as it is now; its SHA-256. What is looked into later is this very copy.

    Raises:
        NoRegularFileError, GeometryTooLargeError: it is not for us.
        StillChanging: it is being written.
        OSError: it cannot be read.
    """
    with open_file(source) as stream, target.open("wb") as copy:
        before, digest, got = os.fstat(stream.fileno()), hashlib.sha256(), 0
        if before.st_size > most:
            told = f"{shown(source.name)} has {before.st_size:,} bytes; {most:,} are allowed."
            raise GeometryTooLargeError(told)
        while chunk := stream.read(CHUNK_BYTES):
            got += len(chunk)
            if got > before.st_size:
                raise StillChanging
            digest.update(chunk)
            copy.write(chunk)
        after = os.fstat(stream.fileno())
    if (got, after.st_size, after.st_mtime_ns) != (before.st_size, before.st_size, before.st_mtime_ns):
        raise StillChanging
    return digest.hexdigest()


def is_whole(path: Path) -> bool:
    """Whether a file has what its format ends with, as far as that can be told: STEP files say it."""
    if CAD_FORMATS.get(path.suffix.lower()) != "step":
        return True
    try:
        with open_file(path) as stream:
            size = os.fstat(stream.fileno()).st_size
            stream.seek(max(0, size - TAIL_BYTES))
            return STEP_END in stream.read(TAIL_BYTES)
    except (OSError, NoRegularFileError):
        return True  # whoever reads it says what is wrong


def read_small(path: Path, most: int) -> bytes | None:
    """A small file's content; None where it is longer. Raises NoRegularFileError, OSError."""
    with open_file(path) as stream:
        content = stream.read(most + 1)
    return content if len(content) <= most else None


# -- writing -------------------------------------------------------------------------------------------------
def write_whole(path: Path, content: bytes) -> None:
    """Write a file, whole or not at all; a link at its place is replaced, never followed. Raises OSError."""
    number, partial = tempfile.mkstemp(prefix=".mfgviz-", dir=path.parent)
    try:
        with os.fdopen(number, "wb") as stream:
            stream.write(content)
            os.fchmod(stream.fileno(), 0o644)
        Path(partial).replace(path)
    except OSError:
        with suppress(OSError):
            Path(partial).unlink()
        raise
