"""The same shape in the same bytes: what an export writes into a STEP file that is not of the shape."""

from __future__ import annotations

import hashlib
import itertools
import re
from pathlib import Path

TIME_STAMP = b"1970-01-01T00:00:00"
HEAD_BYTES = 65536

_TEXT = rb"'(?:[^']|'')*'"
_FILE_NAME = re.compile(
    rb"(?P<before>FILE_NAME\s*\(\s*)(?P<name>" + _TEXT + rb")(?P<comma>\s*,\s*)(?P<time>" + _TEXT + rb")"
)
# OpenCASCADE numbers the uses of components by a counter of the process.
_USE = re.compile(rb"(NEXT_ASSEMBLY_USAGE_OCCURRENCE\s*\(\s*)" + _TEXT)


def normalise(step: bytes) -> bytes:
    """The file without its time of writing, its path, and the process's count of component uses."""
    if not step.lstrip()[:13].upper().startswith(b"ISO-10303-21"):
        raise ValueError("this is no STEP file")
    end = step.find(b"ENDSEC", 0, HEAD_BYTES)
    head, body = (step[:end], step[end:]) if end >= 0 else (step[:HEAD_BYTES], step[HEAD_BYTES:])
    head = _FILE_NAME.sub(_without_time, head, count=1)
    counter = itertools.count(1)
    return head + _USE.sub(lambda found: found.group(1) + b"'%d'" % next(counter), body)


def normalise_file(path: Path) -> str:
    """Normalise the file in place; its hex SHA-256."""
    content = normalise(path.read_bytes())
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def _without_time(found: re.Match[bytes]) -> bytes:
    name = found.group("name")
    if b"/" in name or b"\\" in name:
        name = b"'part.step'"
    return found.group("before") + name + found.group("comma") + b"'" + TIME_STAMP + b"'"
