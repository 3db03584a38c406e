"""Files that people who mean harm would send, each by its trick's name: (name, file name, content)."""

from __future__ import annotations

import io
import stat
import struct
import zipfile
from collections.abc import Iterator

from tests.fuzz.seeds import (
    SAMPLES,
    exponential_brep,
    exponential_step,
    glb,
    glb_of_text,
    triangle_glb,
)

MODEL = (
    '<?xml version="1.0" encoding="UTF-8"?>{head}<model unit="millimeter" '
    'xmlns="http://schemas.microsoft.com/3dmanufacturing/core/2015/02"><resources>{objects}</resources>'
    '<build><item objectid="{last}"/></build></model>'
)
TETRAHEDRON = (
    "<mesh><vertices>"
    + "".join(
        f'<vertex x="{x}" y="{y}" z="{z}"/>' for x, y, z in ((0, 0, 0), (9, 0, 0), (0, 9, 0), (0, 0, 9))
    )
    + "</vertices><triangles>"
    + "".join(
        f'<triangle v1="{a}" v2="{b}" v3="{c}"/>' for a, b, c in ((0, 2, 1), (0, 1, 3), (1, 2, 3), (0, 3, 2))
    )
    + "</triangles></mesh>"
)


def zipped(entries: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An archive of those."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return out.getvalue()


def model(head: str = "", objects: str | None = None, last: int = 1) -> bytes:
    """A 3MF file of that XML."""
    inner = f'<object id="1" type="model">{TETRAHEDRON}</object>' if objects is None else objects
    return zipped({"3D/3dmodel.model": MODEL.format(head=head, objects=inner, last=last).encode()})


def document(inside: str = "", objects: str = "") -> bytes:
    """A FreeCAD document without a body, and those elements."""
    text = (
        '<?xml version="1.0" encoding="utf-8"?>'
        '<Document SchemaVersion="4" ProgramVersion="0.20" FileVersion="1"><Properties Count="0"/>'
        '<Objects Count="1"><Object type="App::FeaturePython" name="A" id="1"/></Objects>'
        f'<ObjectData Count="1"><Object name="A"><Properties Count="1">{inside}</Properties></Object>'
        "</ObjectData>"
        f"{objects}</Document>"
    )
    return zipped({"Document.xml": text.encode()})


def hostile_files(address: str) -> Iterator[tuple[str, str, bytes]]:
    """All of them; some name a server at that address (host:port)."""
    yield from _step()
    yield from _glb(address)
    yield from _zip()
    yield from _fcstd()
    yield from _plain(address)


def _step() -> Iterator[tuple[str, str, bytes]]:
    good = (SAMPLES / "bracket.step").read_bytes()
    head, data = good.split(b"DATA;", 1)
    yield "exponential assembly", "part.step", exponential_step(16)
    yield (
        "names of control characters",
        "part.step",
        good.replace(b"Motor bracket", b"a\\X2\\0000001BD800\\X0\\b"),
    )
    yield "a name of a megabyte", "part.step", good.replace(b"Motor bracket", b"x" * 2**20)
    yield "deep nesting", "part.step", head + b"DATA;\n#1=A(" + b"(" * 10**6 + b")" * 10**6 + b");" + data
    yield (
        "many entities",
        "part.step",
        head
        + b"DATA;"
        + b"".join(b"#%d=CARTESIAN_POINT('',(0.,0.,0.));\n" % (10**6 + n) for n in range(50_000))
        + data,
    )
    yield "a huge entity number", "part.step", good.replace(b"#10=", b"#18446744073709551617=")
    yield "a cycle", "part.step", head + b"DATA;\n#1=SHAPE_REPRESENTATION('',(#1),#1);\n" + data
    yield "UTF-16", "part.step", good.decode().encode("utf-16")
    yield "NUL bytes", "part.step", good.replace(b";\n", b";\0\n")
    knots = b"#9=B_SPLINE_CURVE_WITH_KNOTS('',999999999,(#1),.UNSPECIFIED.,.F.,.F.,"
    knots += b"(999999999,999999999),(0.,1.),.U.);"
    yield "a spline of 1e9 knots", "part.step", head + b"DATA;\n" + knots + data
    yield "an end and no begin", "part.step", b"ISO-10303-21;\nEND-ISO-10303-21;\n"
    yield "exponential compound", "part.brep", exponential_brep(30)


def _glb(address: str) -> Iterator[tuple[str, str, bytes]]:
    for name, uri in (
        ("a file of this host", "file:///etc/passwd"), ("a path upwards", "../../../../../etc/passwd"),
        ("a web address", f"http://{address}/x"), ("a data URI that is none", "data:,x"),
    ):  # fmt: skip
        yield f"a buffer that is {name}", "part.glb", triangle_glb(buffers=[{"byteLength": 36, "uri": uri}])
        yield f"an image that is {name}", "part.glb", triangle_glb(
            images=[{"uri": uri}], textures=[{"source": 0}],
            materials=[{"pbrMetallicRoughness": {"baseColorTexture": {"index": 0}}}],
        )  # fmt: skip
    many = {"bufferView": 0, "componentType": 5126, "type": "VEC3"}
    yield "a huge count", "part.glb", triangle_glb(accessors=[{**many, "count": 2**40}])
    yield "a negative count", "part.glb", triangle_glb(accessors=[{**many, "count": -3}])
    yield (
        "zeros without a buffer",
        "part.glb",
        triangle_glb(accessors=[{"componentType": 5126, "type": "VEC3", "count": 2**32}]),
    )
    yield (
        "a view beyond its buffer",
        "part.glb",
        triangle_glb(bufferViews=[{"buffer": 0, "byteOffset": 2**31, "byteLength": 36}]),
    )
    yield "a node that is its own child", "part.glb", triangle_glb(nodes=[{"mesh": 0, "children": [0]}])
    chain = [{"children": [n + 1, n + 1]} for n in range(30)]
    yield "exponential nodes", "part.glb", triangle_glb(nodes=[*chain, {"mesh": 0}])
    deep = [{"children": [n + 1]} for n in range(20_000)]
    yield "a chain of nodes", "part.glb", triangle_glb(nodes=[*deep, {"mesh": 0}])
    yield "deep JSON", "part.glb", glb_of_text(b"[" * 100_000)
    yield "no scene", "part.glb", glb({"asset": {"version": "2.0"}})
    yield (
        "a chunk of 4 GiB",
        "part.glb",
        struct.pack("<4sII", b"glTF", 2, 2**32 - 1) + struct.pack("<I", 2**32 - 1),
    )
    yield (
        "points that are not numbers",
        "part.glb",
        triangle_glb(nodes=[{"mesh": 0, "scale": [1e308, 1e308, 1e308]}]),
    )


def _zip() -> Iterator[tuple[str, str, bytes]]:
    laughs = '<!DOCTYPE x [<!ENTITY a0 "ha">' + "".join(
        f'<!ENTITY a{n} "' + f"&a{n - 1};" * 10 + '">' for n in range(1, 12)
    )
    yield "a billion laughs", "part.3mf", model(laughs + "]>").replace(b"millimeter", b"&a11;")
    packed = MODEL.format(head=laughs + "]>", objects="<object id='1' name='&a11;'/>", last=1).encode()
    yield "a billion laughs in a name", "part.3mf", zipped({"3D/3dmodel.model": packed})
    outside = '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>'
    packed = MODEL.format(head=outside, objects="<object id='1' name='&e;'/>", last=1).encode()
    yield "an external entity", "part.3mf", zipped({"3D/3dmodel.model": packed})
    yield "entities in UTF-16", "part.3mf", zipped({"3D/3dmodel.model": packed.decode().encode("utf-16")})
    parts = [f'<object id="1" type="model">{TETRAHEDRON}</object>']
    for n in range(2, 32):
        twice = f'<component objectid="{n - 1}"/>' * 2
        parts.append(f'<object id="{n}"><components>{twice}</components></object>')
    yield "exponential components", "part.3mf", model(objects="".join(parts), last=31)
    loop = '<object id="1"><components><component objectid="1"/></components></object>'
    yield "an object of itself", "part.3mf", model(objects=loop)
    yield "a zip bomb", "part.3mf", zipped({"3D/3dmodel.model": b"\0" * 300_000_000})
    yield (
        "a zip bomb beside the model",
        "part.3mf",
        zipped({"3D/3dmodel.model": b"<model/>", "3D/Textures/x.png": b"\0" * 300_000_000}),
    )
    good = model()
    yield (
        "names that leave the folder",
        "part.3mf",
        zipped(
            {
                "3D/3dmodel.model": zipfile.ZipFile(io.BytesIO(good)).read("3D/3dmodel.model"),
                "../../evil.txt": b"x",
            }
        ),
    )
    yield "overlapping entries", "part.3mf", overlapping()
    yield (
        "a hundred thousand entries",
        "part.3mf",
        zipped({f"{n}": b"" for n in range(100_000)} | {"3D/3dmodel.model": b""}, zipfile.ZIP_STORED),
    )
    lying = bytearray(zipped({"3D/3dmodel.model": b"\0" * 300_000_000}))
    for mark, place in ((b"PK\x03\x04", 22), (b"PK\x01\x02", 24)):
        struct.pack_into("<I", lying, lying.find(mark) + place, 100)
    yield "an archive that understates itself", "part.3mf", bytes(lying)
    yield "no mesh", "part.3mf", model(objects='<object id="1"/>')
    yield (
        "corners that are not there",
        "part.3mf",
        model(objects=f'<object id="1">{TETRAHEDRON}</object>'.replace('v3="1"', 'v3="99999999"')),
    )


def overlapping() -> bytes:
    """A zip whose central directory names the one entry's bytes a thousand times."""
    content = zipped({"3D/3dmodel.model": b"\0" * 1_000_000})
    start = content.index(b"PK\x01\x02")
    end = content.index(b"PK\x05\x06")
    entry = content[start:end]
    directory = entry * 1000
    tail = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, 1000, 1000, len(directory), start, 0)
    return content[:start] + directory + tail


def _fcstd() -> Iterator[tuple[str, str, bytes]]:
    payload = '<Property name="Proxy" type="App::PropertyPythonObject"><Python {}/></Property>'
    yield (
        "a Python module to import",
        "part.FCStd",
        document(payload.format('value="{}" module="os" class="x"')),
    )
    pickle = payload.format('value="(ios\\nsystem\\n" encoded="no"')
    yield "a pickle", "part.FCStd", document(pickle)
    included = (
        '<Property name="F" type="App::PropertyFileIncluded"><FileIncluded file="../../../evil"/></Property>'
    )
    yield "a file that leaves the folder", "part.FCStd", document(included)
    link = '<Property name="L" type="App::PropertyXLink"><XLink file="/etc/passwd" name="B"/></Property>'
    yield "a link to another document", "part.FCStd", document(link)
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("Document.xml", zipfile.ZipFile(io.BytesIO(document())).read("Document.xml"))
        entry = zipfile.ZipInfo("Shape.brp")
        entry.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(entry, "/etc/passwd")
        archive.writestr("inner.zip", document())
    yield "a link and an archive inside", "part.FCStd", out.getvalue()
    yield "a document that is none", "part.FCStd", zipped({"Document.xml": b"<Document"})


def _plain(address: str) -> Iterator[tuple[str, str, bytes]]:
    yield "nothing", "part.stl", b""
    yield "a count of 4 billion triangles", "part.stl", b"\0" * 80 + struct.pack("<I", 2**32 - 1) + b"\0" * 50
    triangle = struct.pack("<12fH", 0, 0, 1, *(float("nan"),) * 9, 0)
    yield "points that are no numbers", "part.stl", b"\0" * 80 + struct.pack("<I", 2) + triangle * 2
    far = struct.pack("<12fH", 0, 0, 1, 0, 0, 0, 3e38, 0, 0, 0, 3e38, 0, 0)
    yield "points that are far away", "part.stl", b"\0" * 80 + struct.pack("<I", 1) + far
    near = struct.pack("<12fH", 0, 0, 1, 0, 0, 0, 1e-40, 0, 0, 0, 1e-40, 0, 0)
    yield "points without a distance", "part.stl", b"\0" * 80 + struct.pack("<I", 1) + near
    yield (
        "a solid without an end",
        "part.stl",
        b"solid a\nfacet normal 0 0 1\nouter loop\n" + b"vertex 0 0 0\n" * 10**5,
    )
    head = "ply\nformat {} 1.0\nelement vertex {}\nproperty float x\nproperty float y\nproperty float z\n"
    end = "element face {}\nproperty list uchar int vertex_indices\nend_header\n"
    for form in ("ascii", "binary_little_endian"):
        for count in (10**12, -1, 2**63):
            text = (head + end).format(form, count, count)
            yield f"{count} points, {form}", "part.ply", text.encode() + b"0 0 0\n" * 5
    yield (
        "a list of lists",
        "part.ply",
        (head.format("ascii", 1) + "property list uint double x\nend_header\n").encode(),
    )
    yield (
        "corners that are not there",
        "part.obj",
        b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 999999999\nf -9 -8 -7\n",
    )
    yield (
        "a material elsewhere",
        "part.obj",
        (
            b"mtllib ../../../../etc/passwd\nmtllib http://%s/x\nusemtl x\n"
            b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n" % address.encode()
        ),
    )
    yield (
        "a polygon of 100,000 corners",
        "part.obj",
        b"v 0 0 0\nv 1 0 0\nv 0 1 0\nf " + b"1 2 3 " * 33_333 + b"\n",
    )
    yield "numbers of a megabyte", "part.obj", b"v " + b"9" * 2**20 + b" 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n"
    yield "a program", "part.step", b"\x7fELF" + b"\0" * 500
    yield "a script under a CAD name", "part.obj", b"#!/bin/sh\nrm -rf /\nv 1\n"
    yield "STEP and zip in one", "part.step", b"ISO-10303-21;\n" + model() + b"\nEND-ISO-10303-21;\n"
    yield "a page", "part.glb", b"<html><script>alert(1)</script></html>"
    line = b"%-72sS%7d\n" % (b"x", 1)
    yield "only a beginning", "part.iges", line
    yield "128 poles too many", "part.iges", line + b"%-72sG%7d\n" % (b"1H,,1H;;", 1) + (
        b"     128       1       0       0       0       0       0       000000000D      1\n"
        b"     128       0       0       1       0                               0D      2\n"
        b"128,999999999,999999999,3,3,0,0,0,0,0,0.,1.;                           1P      1\n"
        b"S      1G      1D      2P      1                                        T      1\n"
    )  # fmt: skip
    yield (
        "counts beyond all",
        "part.brep",
        (
            b"DBRep_DrawableShape\n\nCASCADE Topology V1, (c) Matra-Datavision\nLocations 999999999\n"
            b"Curve2ds 2147483647\nCurves 1\n7 0 0 25 999999999 999999999 \nSurfaces 0\nTShapes 1\n"
        ),
    )
