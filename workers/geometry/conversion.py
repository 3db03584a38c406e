"""Formats that need another program's kernel: BREP and FCStd, to STEP."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from importlib.util import find_spec
from pathlib import Path

from mfgviz.errors import NoSolidsError, ToolMissingError, UnreadableGeometryError

FREECAD_COMMANDS = ("freecadcmd", "FreeCADCmd", "freecadcmd-daily")

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
        script = Path(folder) / "export.py"
        script.write_text(FREECAD_SCRIPT.format(arguments=json.dumps([str(source), str(target)])))
        done = subprocess.run(
            [command, str(script)], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
    if done.returncode == 3:
        raise NoSolidsError(f"{source.name} holds no object with faces.")
    if done.returncode != 0 or not target.exists():
        told = (done.stderr.strip().splitlines() or ["it wrote nothing"])[-1]
        raise UnreadableGeometryError(f"FreeCAD cannot read {source.name}: {told}.")
