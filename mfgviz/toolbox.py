"""The worker side's tools, run as programs of their own.

The core imports no torch and no geometry code. What a command needs of these at once (reading a CAD
file, drawing its maps, looking into a model) it asks of `python -m workers`, which answers in JSON.
"""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.util import find_spec
from typing import Any

from mfgviz.errors import ToolFailedError, ToolMissingError, error_of

NEEDED = ("numpy", "trimesh", "cascadio", "embreex", "torch", "diffusers")


def is_available() -> bool:
    """Whether the worker side is installed here."""
    return all(find_spec(name) is not None for name in ("workers", *NEEDED))


def run_tool(name: str, arguments: dict[str, Any], *, tells: bool = False) -> dict[str, Any]:
    """Run one of the worker side's tools and return its answer. One that `tells` what it does, because it
    takes long, does so on this program's stderr.

    Raises:
        ToolMissingError: the worker side is not installed here.
        ToolFailedError: it ended without an answer.
        MfgvizError: the tool's own error, of its own class.
    """
    if not is_available():
        raise ToolMissingError(
            "The worker side is not installed here.", remedy="Install it: pip install 'mfgviz[worker]'."
        )
    done = subprocess.run(
        [sys.executable, "-m", "workers", name],
        input=json.dumps(arguments),
        stdout=subprocess.PIPE,
        stderr=None if tells else subprocess.PIPE,
        text=True,
        check=False,
    )
    try:
        answer: dict[str, Any] = json.loads(done.stdout)
    except ValueError as error:
        told = ((done.stderr or "").strip().splitlines() or [f"exit code {done.returncode}"])[-1]
        raise ToolFailedError(f"The tool {name} failed: {told[:500]}.") from error
    if "error" in answer:
        raise error_of(answer["error"])
    return answer
