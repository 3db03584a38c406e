"""Tessellation in a process of its own, with limits on time and memory.

CAD kernels crash, hang and eat memory on bad files. The child does the work and leaves the mesh, or its
error as JSON, in a file; the parent kills its whole process group when the time is up.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mfgviz.errors import (
    MfgvizError,
    TessellationMemoryError,
    TessellationTimeoutError,
    UnreadableGeometryError,
    error_of,
)
from workers.geometry.formats import detect_format
from workers.geometry.mesh import Mesh

MESH_FILE, ERROR_FILE = "mesh.npz", "error.json"


@dataclass(frozen=True, slots=True)
class TessellationLimits:
    """How long and with how much memory one file may be meshed, and how large it may be."""

    timeout_s: float = 120.0
    memory_bytes: int = 8 * 2**30
    file_bytes: int = 256 * 2**20


def tessellate(path: Path, limits: TessellationLimits | None = None) -> Mesh:
    """The mesh of a CAD file, in mm.

    Raises:
        GeometryError: the file cannot be used; the class says why.
        ToolMissingError: its format needs a program that is not installed.
    """
    limits = limits or TessellationLimits()
    file_format = detect_format(path, limits.file_bytes)
    with tempfile.TemporaryDirectory(prefix="mfgviz-") as folder:
        _run_child(path, file_format, Path(folder), limits)
        error = Path(folder) / ERROR_FILE
        if error.exists():
            raise error_of(json.loads(error.read_text()))
        return Mesh.from_bytes((Path(folder) / MESH_FILE).read_bytes())


def _run_child(path: Path, file_format: str, folder: Path, limits: TessellationLimits) -> None:
    command = [sys.executable, "-m", __name__, str(path), file_format, str(folder), str(limits.memory_bytes)]
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as child:
        try:
            _, told = child.communicate(timeout=limits.timeout_s)
        except subprocess.TimeoutExpired as error:
            raise TessellationTimeoutError(
                f"{path.name} was not meshed within {limits.timeout_s:g} s."
            ) from error
        finally:
            # The group, for the child may have started FreeCAD.
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)
    if (folder / ERROR_FILE).exists() or (folder / MESH_FILE).exists():
        return
    if "MemoryError" in told or "bad_alloc" in told or child.returncode == -signal.SIGKILL:
        raise TessellationMemoryError(
            f"{path.name} needs more than {limits.memory_bytes / 2**20:,.0f} MiB to be meshed."
        )
    last = (told.strip().splitlines() or [f"exit code {child.returncode}"])[-1]
    raise UnreadableGeometryError(f"The CAD kernel failed on {path.name}: {last}.")


def _child(source: str, file_format: str, folder: str, memory_bytes: str) -> None:
    resource.setrlimit(resource.RLIMIT_AS, (int(memory_bytes), int(memory_bytes)))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    from workers.geometry.reading import read_mesh

    try:
        mesh = read_mesh(Path(source), file_format)
    except MfgvizError as error:
        (Path(folder) / ERROR_FILE).write_text(json.dumps(error.as_json()))
        return
    partial = Path(folder) / f"{MESH_FILE}.partial"
    partial.write_bytes(mesh.to_bytes())
    partial.replace(Path(folder) / MESH_FILE)


if __name__ == "__main__":
    _child(*sys.argv[1:])
