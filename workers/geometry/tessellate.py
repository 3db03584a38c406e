"""Reading a CAD file in a process of its own, with limits on time, memory and what it may do.

CAD kernels crash, hang and eat memory on bad files, and parsers have holes. So all that looks into the file -
what it is, its mesh, its digest, what it tells - happens in a child that is confined (`workers.reader`) and
leaves its answer as files in its folder. The parent kills its whole process group when the time is up, and
believes nothing of the answer before it has looked at it: a child that was taken over may write anything
there.
"""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import msgspec

from mfgviz.errors import (
    GeometryError,
    MeshTooLargeError,
    MfgvizError,
    TessellationMemoryError,
    TessellationTimeoutError,
    ToolMissingError,
    UnreadableGeometryError,
    error_of,
)
from mfgviz.vocabulary import CAD_FORMATS
from workers.confinement import Bounds, clean_environment
from workers.geometry.digest import shape_digest
from workers.geometry.facts import HOLES_NAMED, MOST_NAMES, NAME_CHARACTERS, describe, plain_text
from workers.geometry.formats import check_file, detect_format
from workers.geometry.mesh import Mesh

JOB_FILE, MESH_FILE, FACTS_FILE, ERROR_FILE = "job.json", "mesh.npz", "facts.json", "error.json"
TOLD_FILE = "stderr"
SMALL_BYTES = 16 * 2**20  # facts with 20,000 holes are 3 MB
MESSAGE_CHARACTERS = 600
# A triangle takes at most 132 bytes in the mesh's file: three points and normals of its own, and its numbers.
TRIANGLE_BYTES = 132
SPARE_BYTES = 64 * 2**20


@dataclass(frozen=True, slots=True)
class TessellationLimits:
    """How long and with how much memory one file may be read, how large it may be, and its mesh."""

    timeout_s: float = 120.0
    memory_bytes: int = 8 * 2**30
    file_bytes: int = 256 * 2**20
    triangles: int = 8_000_000

    @property
    def written_bytes(self) -> int:
        """The largest file that the reader may write: a mesh of that many triangles, or a converted file."""
        return max(self.triangles * TRIANGLE_BYTES, 4 * self.file_bytes) + SPARE_BYTES


Text = Annotated[str, msgspec.Meta(max_length=NAME_CHARACTERS)]
Number = Annotated[float, msgspec.Meta(ge=-1e30, le=1e30)]
Count = Annotated[int, msgspec.Meta(ge=0, le=2**31)]
Place = tuple[Number, Number, Number]


class HoleFacts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A hole as `holes.Hole.as_json` has it."""

    position_mm: Place
    axis: Place
    diameter_mm: Number
    depth_mm: Number


class Facts(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What `facts.describe` tells, within bounds: nothing of it is a number that is none, or huge."""

    body_names: Annotated[list[Text], msgspec.Meta(max_length=MOST_NAMES)]
    body_name: Text
    body_count: Count
    colours: Annotated[list[Text], msgspec.Meta(max_length=64)]
    colour: Text
    extent_x_mm: Number
    extent_y_mm: Number
    extent_z_mm: Number
    area_mm2: Number
    volume_mm3: Number
    face_count: Count
    triangle_count: Count
    low_corner_mm: Place
    centre_of_mass_mm: Place | None
    hole_count: Count
    holes: list[HoleFacts]


class ReadFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a CAD file is, its shape's digest, and what it tells (`facts.describe`)."""

    format: str
    shape_digest: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
    facts: dict[str, Any]
    warnings: Annotated[list[Text], msgspec.Meta(max_length=MOST_NAMES)]


def tessellate(path: Path, limits: TessellationLimits | None = None) -> Mesh:
    """The mesh of a CAD file, in mm.

    Raises:
        GeometryError: the file cannot be used; the class says why.
        ToolMissingError: its format needs a program that is not installed.
    """
    limits = limits or TessellationLimits()
    content = _ask(path, {"asked": "mesh"}, limits, MESH_FILE)
    try:
        mesh = Mesh.from_bytes(content)
    except (ValueError, KeyError, TypeError, EOFError, OSError) as error:
        raise _not_ours(path) from error
    if len(mesh.faces) > limits.triangles:
        raise _not_ours(path)
    return mesh


def look_into(path: Path, limits: TessellationLimits, holes_named: int = HOLES_NAMED) -> ReadFile:
    """What a CAD file holds, with so many of its holes. Errors as `tessellate`."""
    content = _ask(path, {"asked": "facts", "holes": holes_named}, limits, FACTS_FILE)
    try:
        read = msgspec.json.decode(content, type=ReadFile)
        facts = msgspec.convert(read.facts, Facts)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise _not_ours(path) from error
    if read.format not in CAD_FORMATS.values() or len(facts.holes) > holes_named:
        raise _not_ours(path)
    return read


# -- the parent's side ----------------------------------------------------------------------------------
def _ask(path: Path, job: dict[str, Any], limits: TessellationLimits, answer: str) -> bytes:
    check_file(path, limits.file_bytes)
    with tempfile.TemporaryDirectory(prefix="mfgviz-", ignore_cleanup_errors=True) as name:
        folder = Path(name).resolve()
        bounds = Bounds(limits.memory_bytes, limits.timeout_s, limits.written_bytes)
        told = {**job, "source": str(path.absolute()), "limits": asdict(limits), "bounds": asdict(bounds)}
        (folder / JOB_FILE).write_text(json.dumps(told))
        exit_code = run_reader(folder, limits.timeout_s)
        return _answer(path, folder, exit_code, limits, answer)


def run_reader(folder: Path, timeout_s: float) -> int | None:
    """Let a confined process do the job that lies in the folder; its exit code, None where time ran out."""
    with (
        (folder / TOLD_FILE).open("wb") as told,
        subprocess.Popen(
            [sys.executable, "-P", "-m", "workers.reader", str(folder)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=told,
            cwd=folder,
            env=clean_environment(folder),
            start_new_session=True,
        ) as child,
    ):
        try:
            return child.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return None
        finally:
            # The group, for the child may have started FreeCAD.
            with suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)


def _answer(path: Path, folder: Path, exit_code: int | None, limits: TessellationLimits, name: str) -> bytes:
    if exit_code is None or exit_code == -signal.SIGXCPU:
        raise TessellationTimeoutError(f"{path.name} was not read within {limits.timeout_s:g} s.")
    error = _read(folder / ERROR_FILE, SMALL_BYTES)
    if error is not None:
        raise _believable(path, error)
    content = _read(folder / name, limits.written_bytes) if exit_code == 0 else None
    if content is not None:
        return content
    told = plain_text((_read(folder / TOLD_FILE, limits.written_bytes, 4096) or b"").decode(errors="replace"))
    if "MemoryError" in told or "bad_alloc" in told or exit_code == -signal.SIGKILL:
        raise out_of_memory(path.name, limits)
    raise UnreadableGeometryError(f"The CAD kernel failed on {path.name}: exit code {exit_code}.")


def _read(path: Path, most: int, last: int = -1) -> bytes | None:
    """A plain file's content, or its last bytes; None where there is none, or something else by its name."""
    try:
        number = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        facts = os.fstat(number)
        if not stat.S_ISREG(facts.st_mode) or facts.st_size > most:
            return None
        with os.fdopen(os.dup(number), "rb") as stream:
            stream.seek(max(0, facts.st_size - last) if last > 0 else 0)
            return stream.read()
    finally:
        os.close(number)


def _believable(path: Path, content: bytes) -> MfgvizError:
    """The child's error, where it is one of those that a CAD file can be refused with."""
    try:
        plain = msgspec.json.decode(content, type=dict[str, str])
    except (msgspec.MsgspecError, RecursionError):
        return _not_ours(path)
    error = error_of({key: plain_text(value, MESSAGE_CHARACTERS) for key, value in plain.items()})
    return error if isinstance(error, GeometryError | ToolMissingError) else _not_ours(path)


def _not_ours(path: Path) -> UnreadableGeometryError:
    return UnreadableGeometryError(
        f"{path.name} made its reader answer what cannot be.", remedy="Do not trust this file."
    )


def out_of_memory(name: str, limits: TessellationLimits) -> TessellationMemoryError:
    """The error of a file that needs more than is allowed."""
    return TessellationMemoryError(
        f"{name} needs more than {limits.memory_bytes / 2**20:,.0f} MiB to be meshed."
    )


# -- the child's side -----------------------------------------------------------------------------------
def do_job(folder: Path) -> None:
    """Read the file that the folder's job names, and leave the answer or the error there."""
    job = json.loads((folder / JOB_FILE).read_text())
    source, limits = Path(job["source"]), TessellationLimits(**job["limits"])
    try:
        _leave(folder, job, source, limits)
    except MfgvizError as error:
        _write(folder / ERROR_FILE, json.dumps(error.as_json()).encode())
    except MemoryError:
        _write(folder / ERROR_FILE, json.dumps(out_of_memory(source.name, limits).as_json()).encode())
    except Exception as error:  # noqa: BLE001 - readers of damaged files raise whatever they like
        last = plain_text(str(error), MESSAGE_CHARACTERS // 2) or type(error).__name__
        named = UnreadableGeometryError(f"{source.name} cannot be read: {last}.")
        _write(folder / ERROR_FILE, json.dumps(named.as_json()).encode())


def _leave(folder: Path, job: dict[str, Any], source: Path, limits: TessellationLimits) -> None:
    file_format = detect_format(source, limits.file_bytes)
    from workers.geometry.reading import read_mesh

    mesh = read_mesh(source, file_format)
    if len(mesh.faces) > limits.triangles:
        raise MeshTooLargeError(
            f"{source.name} has {len(mesh.faces):,} triangles; {limits.triangles:,} are allowed."
        )
    if job["asked"] == "mesh":
        _write(folder / MESH_FILE, mesh.to_bytes())
        return
    read = ReadFile(file_format, shape_digest(mesh), describe(mesh, job["holes"]), list(mesh.warnings))
    _write(folder / FACTS_FILE, msgspec.json.encode(read))


def _write(path: Path, content: bytes) -> None:
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(content)
    partial.replace(path)
