"""STEP files of many versions of one part, packed so that what they share is kept once.

A STEP file names its entities by number, and an entity more near its beginning renumbers all the rest.
Written as distances instead (`#-5`: five before this one), what did not change reads the same, and xz finds
it.
"""

from __future__ import annotations

import io
import lzma
import re
import tarfile
from collections.abc import Mapping

_ENTITY = re.compile(rb"(?m)^(?=#\d+ ?=)")
_PACKED = re.compile(rb"(?m)^(?=#\+\d+=)")


def relative(step: bytes) -> bytes:
    """A STEP file with distances for numbers. Only `absolute` reads it."""
    made, last = [], 0
    for text in _ENTITY.split(step):
        found = re.match(rb"#(\d+) ?=", text)
        if found is None:
            made.append(text)
            continue
        number = int(found[1])
        made.append(b"#+%d=" % (number - last) + _moved(text[found.end() :], -number))
        last = number
    return b"".join(made)


def absolute(packed: bytes) -> bytes:
    """The STEP file again."""
    made, number = [], 0
    for text in _PACKED.split(packed):
        found = re.match(rb"#\+(\d+)=", text)
        if found is None:
            made.append(text)
            continue
        number += int(found[1])
        made.append(b"#%d =" % number + _moved(text[found.end() :], number))
    return b"".join(made)


def pack(files: Mapping[str, bytes]) -> bytes:
    """A tar.xz of STEP files, the same bytes for the same files."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as archive:
        for name in sorted(files):
            content = relative(files[name])
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return lzma.compress(plain.getvalue(), preset=6)


def unpack(content: bytes) -> dict[str, bytes]:
    """The files by their names, each still with distances: `absolute` makes STEP of one."""
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:xz") as archive:
        streams = {member.name: archive.extractfile(member) for member in archive.getmembers()}
        return {name: stream.read() for name, stream in streams.items() if stream is not None}


def _moved(text: bytes, by: int) -> bytes:
    """The text with `by` added to every entity's number."""
    return re.sub(rb"#(-?\d+)", lambda found: b"#%d" % (int(found[1]) + by), text)
