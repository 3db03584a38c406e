"""Good files of every format that is read, small, and what is done to them begins with."""

from __future__ import annotations

import json
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import trimesh

from mfgviz import samples
from tests.unit.geometry.blocks import Block

SAMPLES = Path(samples.__path__[0])
IN_FREECAD = """
import FreeCAD, Part, sys
document = FreeCAD.newDocument("made")
box = document.addObject("Part::Box", "Base")
scripted = document.addObject("Part::FeaturePython", "Scripted")
scripted.Proxy = {{"a": 1}}
scripted.Shape = Part.makeCylinder(2, 30)
document.recompute()
document.saveAs({target!r})
sys.exit(0)
"""


def seeds() -> dict[str, list[bytes]]:
    """Files by format; FCStd only where FreeCAD is installed."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        found = {"step": _steps(folder), "iges": _iges(folder), "brep": _breps(folder)}
        box, ring = trimesh.creation.box((10, 20, 30)), trimesh.creation.annulus(4, 9, 5, sections=24)
        for kind in ("stl", "stl_ascii", "obj", "ply", "glb", "3mf"):
            files = []
            for mesh in (box, ring):
                scene = trimesh.Scene([mesh, mesh.copy().apply_translation((40, 0, 0))])
                made = (scene if kind in ("glb", "3mf") else mesh).export(file_type=kind)
                files.append(made.encode() if isinstance(made, str) else made)
            found.setdefault(kind.partition("_")[0], []).extend(files)
        found["ply"].append(box.export(file_type="ply", encoding="ascii"))
        found["fcstd"] = _fcstd(folder)
        return {kind: files for kind, files in found.items() if files}


def _steps(folder: Path) -> list[bytes]:
    from OCP.STEPControl import STEPControl_AsIs, STEPControl_Writer

    writer = STEPControl_Writer()
    writer.Transfer(Block().shape(), STEPControl_AsIs)
    writer.Write(str(folder / "block.step"))
    return [
        (folder / "block.step").read_bytes(),
        (SAMPLES / "flange.step").read_bytes(),
        _assembly(folder, 4),
    ]


def _assembly(folder: Path, levels: int) -> bytes:
    """An assembly of that many levels, each with two of the one below: 2 ** levels instances."""
    from OCP.gp import gp_Trsf, gp_Vec
    from OCP.IFSelect import IFSelect_ReturnStatus
    from OCP.STEPCAFControl import STEPCAFControl_Writer
    from OCP.TCollection import TCollection_ExtendedString
    from OCP.TDocStd import TDocStd_Document
    from OCP.TopLoc import TopLoc_Location
    from OCP.XCAFApp import XCAFApp_Application
    from OCP.XCAFDoc import XCAFDoc_DocumentTool

    document = TDocStd_Document(TCollection_ExtendedString("XmlOcaf"))
    XCAFApp_Application.GetApplication_s().InitDocument(document)
    tool = XCAFDoc_DocumentTool.ShapeTool_s(document.Main())
    label = tool.AddShape(_box(), False)
    for level in range(levels):
        upper = tool.NewShape()
        for side in (0, 1):
            move = gp_Trsf()
            move.SetTranslation(gp_Vec(side * 12.0 * 2.0**level if level < 8 else side, 0, 0))
            tool.AddComponent(upper, label, TopLoc_Location(move))
        label = upper
    tool.UpdateAssemblies()
    writer = STEPCAFControl_Writer()
    writer.Transfer(document)
    assert writer.Write(str(folder / "assembly.step")) == IFSelect_ReturnStatus.IFSelect_RetDone
    return (folder / "assembly.step").read_bytes()


def _box() -> object:
    from OCP.BRepPrimAPI import BRepPrimAPI_MakeBox

    return BRepPrimAPI_MakeBox(10.0, 8.0, 5.0).Shape()


def _iges(folder: Path) -> list[bytes]:
    from OCP.IGESControl import IGESControl_Writer

    files = []
    for mode in (0, 1):
        writer = IGESControl_Writer("MM", mode)
        writer.AddShape(Block().shape())
        writer.Write(str(folder / "part.iges"))
        files.append((folder / "part.iges").read_bytes())
    return files


def _breps(folder: Path) -> list[bytes]:
    from OCP.BRepTools import BRepTools

    BRepTools.Write_s(Block().shape(), str(folder / "part.brep"))
    return [(folder / "part.brep").read_bytes(), nested_brep(folder, 3)]


def nested_brep(folder: Path, levels: int) -> bytes:
    """A compound of two of a compound of two …: a small file of 2 ** levels boxes."""
    from OCP.BRep import BRep_Builder
    from OCP.BRepTools import BRepTools
    from OCP.gp import gp_Trsf, gp_Vec
    from OCP.TopLoc import TopLoc_Location
    from OCP.TopoDS import TopoDS_Compound

    shape, builder = _box(), BRep_Builder()
    for level in range(levels):
        upper = TopoDS_Compound()
        builder.MakeCompound(upper)
        for side in (0, 1):
            move = gp_Trsf()
            move.SetTranslation(gp_Vec(side * (12.0 + level), 0, 0))
            builder.Add(upper, shape.Moved(TopLoc_Location(move)))
        shape = upper
    BRepTools.Write_s(shape, str(folder / "nested.brep"))
    return (folder / "nested.brep").read_bytes()


def exponential_step(levels: int) -> bytes:
    """A STEP assembly of 2 ** levels instances, a few kilobytes a level."""
    with tempfile.TemporaryDirectory() as name:
        return _assembly(Path(name), levels)


def exponential_brep(levels: int) -> bytes:
    """A BREP file of 2 ** levels boxes."""
    with tempfile.TemporaryDirectory() as name:
        return nested_brep(Path(name), levels)


def _fcstd(folder: Path) -> list[bytes]:
    command = shutil.which("freecadcmd")
    if command is None:
        return []
    target, script = folder / "made.FCStd", folder / "make.py"
    script.write_text(IN_FREECAD.format(target=str(target)))
    subprocess.run([command, str(script)], stdin=subprocess.DEVNULL, capture_output=True, check=True)
    return [target.read_bytes()]


def glb(document: dict[str, object], binary: bytes = b"") -> bytes:
    """A GLB file of that JSON and binary chunk."""
    text = json.dumps(document).encode()
    return glb_of_text(text, binary)


def glb_of_text(text: bytes, binary: bytes = b"") -> bytes:
    """A GLB file whose JSON chunk is that text, whatever it is."""
    text += b" " * (-len(text) % 4)
    binary += b"\0" * (-len(binary) % 4)
    chunks = struct.pack("<I4s", len(text), b"JSON") + text
    chunks += struct.pack("<I4s", len(binary), b"BIN\0") + binary if binary else b""
    return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def triangle_glb(**more: object) -> bytes:
    """One triangle, and whatever else its JSON is to say."""
    binary = np.array([0, 0, 0, 1, 0, 0, 0, 1, 0], "<f4").tobytes()
    document: dict[str, object] = {
        "asset": {"version": "2.0"},
        "scene": 0,
        "scenes": [{"nodes": [0]}],
        "nodes": [{"mesh": 0}],
        "meshes": [{"primitives": [{"attributes": {"POSITION": 0}}]}],
        "accessors": [{"bufferView": 0, "componentType": 5126, "count": 3, "type": "VEC3"}],
        "bufferViews": [{"buffer": 0, "byteLength": 36}],
        "buffers": [{"byteLength": 36}],
    }
    return glb({**document, **more}, binary)
