"""What the process that reads a stranger's file may still do: compute, and write into its own folder.

The reader is native code over untrusted bytes, so it is held as if the file had taken it over. Everywhere:
limits on memory, time, files and their size, a folder of its own as cwd, HOME and TMPDIR, and an environment
without this program's secrets. On Linux also: no way to gain rights, none of root's but to read files, no
network (a namespace of its own where that is allowed, Landlock's TCP rules elsewhere), no file outside the
folder but the system's libraries and the one it reads (Landlock), and its end with its parent's. What a
kernel does not offer is left out; the limits stay.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import site
import struct
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MOST_OPEN_FILES = 512
# What programs and their libraries are found by; nothing that begins with MFGVIZ_ or holds a password.
KEPT_VARIABLES = (
    "PATH", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "VIRTUAL_ENV", "CONDA_PREFIX",
    "PYTHONHOME",
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "SYSTEMROOT",
)  # fmt: skip
CODE = Path(__file__).resolve().parents[1]
# Of /etc no more than the loader, the fonts and the clock need: settings with passwords may lie beside them.
SYSTEM = (
    "/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/opt", "/nix", "/proc", "/sys", "/dev",
    "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d", "/etc/ld.so.preload", "/etc/fonts",
    "/etc/localtime", "/etc/nsswitch.conf", "/etc/passwd", "/etc/alternatives", "/etc/os-release",
    "/etc/mime.types", "/etc/freecad",
)  # fmt: skip
# From linux/prctl.h, linux/sched.h and linux/capability.h.
PR_SET_PDEATHSIG, PR_SET_NO_NEW_PRIVS = 1, 38
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
CAPABILITIES_V3, READ_ANY_FILE = 0x20080522, 1 << 1 | 1 << 2
# From linux/landlock.h; the numbers of its system calls are the same on every architecture.
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, TRUNCATE = 1, 1 << 1, 1 << 2, 1 << 3, 1 << 14
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE
MAKE_SPECIAL = 1 << 6 | 1 << 9 | 1 << 10 | 1 << 11 | 1 << 12  # devices, sockets, pipes, links
RIGHTS_OF_VERSION = {1: 13, 2: 14, 3: 15, 4: 15}


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one process may take: memory (bytes), wall time (s) and the largest file it may write (bytes)."""

    memory_bytes: int
    timeout_s: float
    written_bytes: int


def clean_environment(folder: Path) -> dict[str, str]:
    """The variables of a confined process whose home is that folder: none of ours, and no password."""
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    paths = [str(CODE), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    own = {
        name: str(folder) for name in ("HOME", "TMPDIR", "TMP", "TEMP", "XDG_CACHE_HOME", "XDG_CONFIG_HOME")
    }
    return {
        **kept,
        **own,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUSERBASE": site.getuserbase(),
        "PYTHONDONTWRITEBYTECODE": "1",
    }


def confine(folder: Path, source: Path, bounds: Bounds) -> list[str]:
    """Give up, for this process and all that it starts, whatever reading `source` does not need; the names of
    what could be given up. `folder` is all that may be written."""
    given_up = ["limits"]
    cpu_s = int(bounds.timeout_s * (os.cpu_count() or 1)) + 5
    wanted = {
        resource.RLIMIT_AS: bounds.memory_bytes,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: cpu_s,
        resource.RLIMIT_FSIZE: bounds.written_bytes,
        resource.RLIMIT_NOFILE: MOST_OPEN_FILES,
    }
    for kind, limit in wanted.items():
        _, most = resource.getrlimit(kind)
        least = limit if most == resource.RLIM_INFINITY else min(limit, most)
        resource.setrlimit(kind, (least, least))
    if sys.platform != "linux":
        return given_up
    libc = ctypes.CDLL(None, use_errno=True)
    # Without rights of root a namespace for users comes along with the one for networks.
    if libc.unshare(CLONE_NEWNET) == 0 or libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0:
        given_up.append("network")
    if libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0:
        given_up.append("new rights")
    readable = [*SYSTEM, sys.prefix, sys.base_prefix, sys.exec_prefix, *map(str, _packages()), str(source)]
    if _landlock(libc, map(Path, readable), folder):
        given_up.append("files")
    if _drop_capabilities(libc):
        given_up.append("root")
    die_with_parent()
    return given_up


def die_with_parent() -> None:
    """Let this process be killed when its parent ends, however that ends (Linux)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def _packages() -> Iterable[Path]:
    """Where Python's modules lie; of the folder with our own code only what is code."""
    yield from (CODE / "mfgviz", CODE / "workers")
    for entry in sys.path:
        if entry and Path(entry).resolve() != CODE:
            yield Path(entry)


def _drop_capabilities(libc: ctypes.CDLL) -> bool:
    """Root's rights but for reading files, which `sudo mfgviz` may be needed for."""
    head = struct.pack("<Ii", CAPABILITIES_V3, 0)
    keep = READ_ANY_FILE if os.geteuid() == 0 else 0
    return bool(libc.capset(head, struct.pack("<6I", keep, keep, 0, 0, 0, 0)) == 0)


def _landlock(libc: ctypes.CDLL, readable: Iterable[Path], writable: Path) -> bool:
    """Whether the kernel now holds this process to those paths, to no TCP, and to signals to its own."""
    version = libc.syscall(CREATE_RULESET, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return False
    files = (1 << RIGHTS_OF_VERSION.get(version, 16)) - 1
    attributes = struct.pack("<QQQ", files, 0b11, 0b11)[: 24 if version >= 6 else 16 if version >= 4 else 8]
    ruleset = libc.syscall(CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if ruleset < 0:
        return False

    def allow(path: Path, rights: int) -> None:
        with suppress(OSError):
            held = os.open(path, os.O_PATH | os.O_CLOEXEC)
            rights &= files if path.is_dir() else files & OF_FILES
            libc.syscall(ADD_RULE, ruleset, 1, struct.pack("<Qi", rights, held), 0)
            os.close(held)

    for path in readable:
        allow(path, EXECUTE | READ_FILE | READ_DIR)
    allow(CODE, READ_DIR)
    allow(Path(os.devnull), READ_FILE | WRITE_FILE | TRUNCATE)
    allow(writable, files & ~MAKE_SPECIAL)
    done = libc.syscall(RESTRICT_SELF, ruleset, 0) == 0
    os.close(ruleset)
    return done
