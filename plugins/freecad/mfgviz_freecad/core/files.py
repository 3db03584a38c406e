"""Files that are written whole or not at all, and that only their owner reads."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any


def private_folder(path: Path) -> Path:
    """The folder, made with mode 700 where it is missing."""
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    return path


def write_private(path: Path, content: bytes) -> None:
    """Write the file with mode 600; a crash leaves the old one."""
    private_folder(path.parent)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as stream:
        stream.write(content)
    partial.replace(path)


def write_json(path: Path, value: Any) -> None:
    """Write JSON the same way."""
    write_private(path, json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True).encode())


def read_json(path: Path) -> dict[str, Any]:
    """The object in the file, or an empty one. A damaged file is kept beside it, as `*.damaged`."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return {}
    try:
        value = json.loads(content)
    except ValueError:
        value = None
    if isinstance(value, dict):
        return value
    path.replace(path.with_name(f"{path.name}.damaged"))
    return {}
