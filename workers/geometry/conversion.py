"""Formats that need another program's kernel: BREP and FCStd, to STEP.

A FreeCAD document may name Python modules to import, files to write and documents to open with it. FreeCAD is
handed a copy that holds its shapes alone.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import tempfile
import zipfile
from importlib.util import find_spec
from pathlib import Path
from xml.etree.ElementTree import ParseError, fromstring, tostring

from mfgviz.errors import NoSolidsError, ToolMissingError, UnreadableGeometryError
from workers.confinement import die_with_parent
from workers.geometry.facts import plain_text
from workers.geometry.xml import check_xml

FREECAD_COMMANDS = ("freecadcmd", "FreeCADCmd", "freecadcmd-daily")

# Elements of Document.xml that may name another document.
LINKS = ("XLink", "XLinkSub", "XLinkSubList", "XLinks", "Link")
# Runs inside FreeCAD. `{arguments}` is a JSON list: source, target.
FREECAD_SCRIPT = """
import json, sys
source, target = json.loads({arguments!r})
try:
    import FreeCAD, Part, Import
    if source.lower().endswith(".fcstd"):
        document = FreeCAD.openDocument(source)
        shown = [o for o in document.Objects if getattr(o, "Shape", None) and o.Shape.Faces]
        inside = {{child.Name for o in shown for child in o.OutList if child in shown}}
        shown = [o for o in shown if o.Name not in inside]
        if not shown:
            sys.exit(3)
        Import.export(shown, target)
    else:
        Part.read(source).exportStep(target)
except SystemExit:
    raise
except BaseException as error:
    print(error, file=sys.stderr)
    sys.exit(1)
sys.exit(0)
"""


def brep_to_step(source: Path, target: Path) -> None:
    """A BREP file as STEP: by OpenCASCADE's Python bindings where they are installed, else by FreeCAD.

    Raises:
        UnreadableGeometryError: the file is damaged.
        ToolMissingError: neither is installed.
    """
    if find_spec("OCP") is None:
        freecad_to_step(source, target)
        return
    from OCP.BRep import BRep_Builder
    from OCP.BRepTools import BRepTools
    from OCP.STEPControl import STEPControl_AsIs, STEPControl_Writer
    from OCP.TopoDS import TopoDS_Shape

    shape = TopoDS_Shape()
    if not BRepTools.Read_s(shape, str(source), BRep_Builder()) or shape.IsNull():
        raise UnreadableGeometryError(f"{source.name} is a damaged BREP file.")
    writer = STEPControl_Writer()
    writer.Transfer(shape, STEPControl_AsIs)
    writer.Write(str(target))


def freecad_to_step(source: Path, target: Path) -> None:
    """A file that FreeCAD opens, as STEP.

    Raises:
        ToolMissingError: FreeCAD is not installed.
        NoSolidsError: there is nothing with faces in it.
        UnreadableGeometryError: FreeCAD cannot open it.
    """
    command = next((found for name in FREECAD_COMMANDS if (found := shutil.which(name))), None)
    if command is None:
        raise ToolMissingError(
            f"{source.suffix} files are read by FreeCAD, which is not installed here.",
            remedy="Install it (Debian, Ubuntu: apt-get install freecad), or export STEP."
            if source.suffix.lower() == ".fcstd"
            else "Install it, or `pip install 'mfgviz[brep]'`, or export STEP.",
        )
    with tempfile.TemporaryDirectory(prefix="mfgviz-") as folder:
        copy = Path(folder) / f"part{source.suffix.lower()}"
        if copy.suffix == ".fcstd":
            shapes_only(source, copy)
        else:
            shutil.copyfile(source, copy)
        script = Path(folder) / "export.py"
        script.write_text(FREECAD_SCRIPT.format(arguments=json.dumps([str(copy), str(target)])))
        told_file = Path(folder) / "stderr"
        # Between fork and exec: the reader has no threads that could hold a lock.
        with told_file.open("wb") as told:
            done = subprocess.run(
                [command, str(script)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=told,
                check=False,
                preexec_fn=die_with_parent,
            )
        last = (plain_text(told_file.read_bytes()[-4096:].decode(errors="replace")).splitlines() or [""])[-1]
    if done.returncode == 3:
        raise NoSolidsError(f"{source.name} holds no object with faces.")
    if done.returncode != 0 or not target.exists():
        raise UnreadableGeometryError(f"FreeCAD cannot read {source.name}: {last or 'it wrote nothing'}.")


def shapes_only(source: Path, target: Path) -> None:
    """Copy a FreeCAD document without what could run, read or write anything: no Python objects, included
    files, links to other documents, or GUI.

    Raises:
        UnreadableGeometryError: its Document.xml is damaged, or shows bodies of another document.
    """
    with zipfile.ZipFile(source) as archive, zipfile.ZipFile(target, "w") as copy:
        content = archive.read("Document.xml")
        check_xml(content, f"Document.xml in {source.name}")
        try:
            root = fromstring(content)  # noqa: S314 - checked above: it declares no entities
        except (ParseError, ValueError, LookupError) as error:
            raise UnreadableGeometryError(f"Document.xml in {source.name} is damaged: {error}.") from error
        if any(one.get("file") for tag in LINKS for one in root.iter(tag)):
            raise UnreadableGeometryError(
                f"{source.name} shows bodies of another document.", remedy="Export STEP from FreeCAD."
            )
        for one in [*root.iter("Python"), *root.iter("FileIncluded")]:
            one.attrib.clear()
            one.attrib.update({"value": "", "encoded": "yes"} if one.tag == "Python" else {"file": ""})
        copy.writestr("Document.xml", tostring(root, encoding="utf-8", xml_declaration=True))
        for name in dict.fromkeys(archive.namelist()):
            if re.fullmatch(r"[\w .-]+\.(brp|bin|txt)", name):
                copy.writestr(name, archive.read(name))
