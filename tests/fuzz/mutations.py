"""What is done to good files: bytes and numbers changed, structure bent. The same number gives the same
file."""

from __future__ import annotations

import io
import json
import random
import re
import struct
import warnings
import zipfile
from collections.abc import Callable
from typing import Any

from tests.fuzz.seeds import glb_of_text

FLOATS = (
    b"NaN", b"nan", b"inf", b"-1.#INF", b"1E308", b"-1E308", b"1.E999", b"1e-320", b"0.", b"-0.", b"1e30",
    b"1E9",
)  # fmt: skip
INTEGERS = (
    b"-1",
    b"0",
    b"2147483647",
    b"2147483648",
    b"4294967295",
    b"9223372036854775807",
    b"1000000000",
    b"7",
)
WORDS = (0, 1, 0x7F, 0xFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0x7F800000, 0x7FC00000, 0xFF7FFFFF)
STEP_TEXTS = (
    b"'\\X2\\0000\\X0\\'", b"'\\X2\\D800\\X0\\'", b"'\\X\\FF\\S\\'", b"'\x1b[2J'",
    b"'" + b"A" * 70000 + b"'", b"''''",
    b"'../../../../etc/passwd'", b"'http://127.0.0.1:9/x.step'", b"$", b"*", b"()", b"((((((((()))))))))",
)  # fmt: skip

Mutation = Callable[[random.Random, bytes], bytes]


def mutated(rng: random.Random, kind: str, content: bytes, others: list[bytes]) -> bytes:
    """One to four changes."""
    if kind in ("3mf", "fcstd") and rng.random() < 0.85:
        return _zip(rng, content)
    if kind == "glb" and rng.random() < 0.6:
        return _glb(rng, content)
    own: dict[str, tuple[Mutation, ...]] = {"step": (_step_reference, _step_text, _step_lines, _step_nesting)}
    text = (_numbers, _numbers, _lines, _ends)
    bits = (_flip, _cut, _repeat, _words, _insert)
    is_text = kind in ("step", "iges", "brep", "obj") or content[:5] in (b"solid", b"ply\nf")
    choices = [*(text * 2 if is_text else ()), *own.get(kind, ()) * 2, *bits]
    for _ in range(rng.randint(1, 4)):
        content = rng.choice(choices)(rng, content)
    if rng.random() < 0.05:
        content = _splice(rng, content, rng.choice(others))
    return content


# -- bytes --------------------------------------------------------------------------------------------------
def _at(rng: random.Random, content: bytes) -> int:
    return rng.randrange(len(content) + 1)


def _flip(rng: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.randint(1, 12)):
        if changed:
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed)


def _cut(rng: random.Random, content: bytes) -> bytes:
    begin = _at(rng, content)
    return content[:begin] if rng.random() < 0.3 else content[:begin] + content[begin + rng.randint(1, 500) :]


def _repeat(rng: random.Random, content: bytes) -> bytes:
    begin = _at(rng, content)
    piece = content[begin : begin + rng.randint(1, 2000)]
    return content[:begin] + piece * rng.choice((2, 3, 50)) + content[begin:]


def _words(rng: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.randint(1, 6)):
        if len(changed) > 8:
            place = rng.randrange(0, min(len(changed) - 4, rng.choice((128, 10**9)))) & ~1
            changed[place : place + 4] = struct.pack("<I", rng.choice(WORDS))
    return bytes(changed)


def _insert(rng: random.Random, content: bytes) -> bytes:
    begin = _at(rng, content)
    piece = rng.choice((b"\0", b"\0" * 4096, b"\xff\xfe", b"\r", b"\xef\xbb\xbf", rng.randbytes(64), b"\x1a"))
    return content[:begin] + piece + content[begin:]


def _splice(rng: random.Random, content: bytes, other: bytes) -> bytes:
    return content[: _at(rng, content)] + other[_at(rng, other) :]


# -- text
# -----------------------------------------------------------------------------------------------------
def _numbers(rng: random.Random, content: bytes) -> bytes:
    found = list(re.finditer(rb"(?<![#\w.])[-+]?\d+(\.\d*)?([eE][-+]?\d+)?", content))
    for match in sorted(
        rng.sample(found, min(len(found), rng.choice((1, 1, 3, 40)))), key=lambda m: -m.start()
    ):
        new = rng.choice(FLOATS if b"." in match[0] else INTEGERS)
        content = content[: match.start()] + new + content[match.end() :]
    return content


def _lines(rng: random.Random, content: bytes) -> bytes:
    lines = content.splitlines(keepends=True)
    for _ in range(rng.randint(1, 5)):
        one, other = rng.randrange(len(lines) or 1), rng.randrange(len(lines) or 1)
        if lines:
            what = rng.randrange(3)
            if what == 0:
                lines[one], lines[other] = lines[other], lines[one]
            elif what == 1:
                lines.insert(one, lines[other] * rng.choice((1, 2, 200)))
            else:
                del lines[one : one + rng.randint(1, 5)]
    return b"".join(lines)


def _ends(rng: random.Random, content: bytes) -> bytes:
    text = content.decode("latin-1")
    return rng.choice(
        (
            content.replace(b"\n", b"\r\n"),
            content.replace(b"\n", b"\r"),
            content.replace(b"\n", b""),
            text.encode("utf-16"),
            text.encode("utf-8") + b"\xff",
            content + content,
            content.upper(),
            content.lower(),
        )
    )


def _step_reference(rng: random.Random, content: bytes) -> bytes:
    """References to themselves, to others, to nothing: cycles and wrong kinds."""
    found = list(re.finditer(rb"#\d+", content))
    if not found:
        return content
    for match in sorted(rng.sample(found, min(len(found), rng.choice((1, 2, 20)))), key=lambda m: -m.start()):
        new = rng.choice((rng.choice(found)[0], b"#0", b"#99999999999999", b"#-1", b"#1"))
        content = content[: match.start()] + new + content[match.end() :]
    return content


def _step_text(rng: random.Random, content: bytes) -> bytes:
    found = list(re.finditer(rb"'[^']*'|\$", content))
    if not found:
        return content
    match = rng.choice(found)
    return content[: match.start()] + rng.choice(STEP_TEXTS) + content[match.end() :]


def _step_lines(rng: random.Random, content: bytes) -> bytes:
    """Entities under another's name, sections twice, a document elsewhere."""
    names = re.findall(rb"[A-Z_]{6,}(?=\()", content)
    what = rng.randrange(3)
    if what == 0 and names:
        return content.replace(rng.choice(names), rng.choice(names), rng.randint(1, 5))
    data = content.find(b"DATA;")
    if what == 1 and data >= 0:
        return content[:data] + content[data:].replace(b"END-ISO-10303-21;", b"") + content[data:]
    outside = (
        b"#9000001=DOCUMENT_FILE('/etc/passwd','',$,#9000002,'',$);\n"
        b"#9000002=DOCUMENT_TYPE('');\n"
        b"#9000003=APPLIED_EXTERNAL_IDENTIFICATION_ASSIGNMENT('http://127.0.0.1:9/a.stp',$,$,(#9000001));\n"
    )
    return content.replace(b"ENDSEC;\nEND-ISO", outside + b"ENDSEC;\nEND-ISO")


def _step_nesting(rng: random.Random, content: bytes) -> bytes:
    found = list(re.finditer(rb"\((?=#)", content))
    if not found:
        return content
    place, deep = rng.choice(found).start(), rng.choice((10, 1000, 100_000))
    return content[:place] + b"(" * deep + content[place:] + (b")" * deep if rng.random() < 0.5 else b"")


# -- containers
# -----------------------------------------------------------------------------------------------
def _glb(rng: random.Random, content: bytes) -> bytes:
    length = struct.unpack_from("<I", content, 12)[0]
    document = json.loads(content[20 : 20 + length])
    binary = content[28 + length :]
    for _ in range(rng.randint(1, 3)):
        _bend(rng, document)
    return glb_of_text(json.dumps(document).encode(), binary)


def _bend(rng: random.Random, document: Any) -> None:
    """Change one value somewhere inside a JSON document."""
    places: list[tuple[Any, Any]] = []

    def walk(one: Any) -> None:
        for key, value in one.items() if isinstance(one, dict) else enumerate(one):
            places.append((one, key))
            if isinstance(value, dict | list):
                walk(value)

    walk(document)
    if not places:
        return
    holder, key = rng.choice(places)
    odd = (
        -1, 0, 1, 2**31, 2**32, 2**63, 10**9, 1e308, None, "", [], {}, [[]], True, "file:///etc/passwd",
        "\ud800",
        "http://127.0.0.1:9/x.bin", "../../../../etc/passwd", "data:application/octet-stream;base64,AAAA",
        "\0",
    )  # fmt: skip
    if rng.random() < 0.2 and isinstance(holder, dict):
        del holder[key]
    else:
        holder[key] = rng.choice(odd)


def _zip(rng: random.Random, content: bytes) -> bytes:
    """Another archive of the same entries, with one bent or added."""
    entries = []
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    place = rng.randrange(len(entries))
    name, inner = entries[place]
    texts: tuple[Mutation, ...] = (_numbers, _lines, _flip, _cut, _repeat, _attributes, _ends)
    what = rng.random()
    if what < 0.7:
        for _ in range(rng.randint(1, 3)):
            inner = rng.choice(texts)(rng, inner)
        entries[place] = (name, inner)
    elif what < 0.8:
        entries.append((rng.choice(("../../evil", "/etc/evil", "a" * 60000, "x\\..\\y", name)), inner))
    elif what < 0.9:
        del entries[place]
    else:
        entity = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa"><!ENTITY b SYSTEM "file:///etc/passwd">]>'
        entries[place] = (name, inner.replace(b"?>", b"?>" + entity, 1))
    out = io.BytesIO()
    # Two entries of one name are meant.
    with (
        warnings.catch_warnings(action="ignore"),
        zipfile.ZipFile(out, "w", rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive,
    ):
        for one, data in entries:
            archive.writestr(zipfile.ZipInfo(one), data)
    made = out.getvalue()
    return _words(rng, made) if rng.random() < 0.1 else made


def _attributes(rng: random.Random, content: bytes) -> bytes:
    found = list(re.finditer(rb'"[^"]*"', content))
    if not found:
        return content
    match = rng.choice(found)
    new = rng.choice((b"", b"-1", b"999999999999", b"NaN", b"1e308", b"os", b"../../x", b"1", b"2", b"\xff"))
    return content[: match.start() + 1] + new + content[match.end() - 1 :]
