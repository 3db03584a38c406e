"""Meshes and control maps, kept in a folder by what they were made of."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Protocol, TypeVar

import msgspec

from mfgviz.requests import View
from workers.geometry.camera import make_camera
from workers.geometry.maps import MAPS_VERSION, ControlMaps, control_maps
from workers.geometry.mesh import MESH_VERSION, Mesh
from workers.geometry.tessellate import TessellationLimits, tessellate

log = logging.getLogger(__name__)

Thing = TypeVar("Thing")


class BlobCache(Protocol):
    """Where made things are kept; losing one costs only the time to make it again."""

    def get(self, key: str) -> bytes | None:
        """What is kept under the key, if it still is."""

    def put(self, key: str, content: bytes) -> None:
        """Keep it, if there is room."""


class FolderCache:
    """A folder of at most `max_bytes`; what was not used for longest goes first."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._folder, self._max_bytes = folder, max_bytes

    def get(self, key: str) -> bytes | None:
        """What is kept under the key; its file's time is set to now."""
        path = self._folder / key
        try:
            content = path.read_bytes()
            os.utime(path)
        except OSError:
            return None
        return content

    def put(self, key: str, content: bytes) -> None:
        """Keep it. A full disk is no error: it is a cache."""
        partial = self._folder / f"{key}.{os.getpid()}.partial"
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            partial.write_bytes(content)
            partial.replace(self._folder / key)
        except OSError as error:
            log.warning("the cache %s cannot be written: %s", self._folder, error)
            with suppress(OSError):
                partial.unlink()
        self._trim()

    def _trim(self) -> None:
        with suppress(OSError):
            entries = [(path, path.stat()) for path in self._folder.iterdir()]
            total = sum(facts.st_size for _, facts in entries)
            for path, facts in sorted(entries, key=lambda entry: entry[1].st_mtime):
                if total <= self._max_bytes:
                    return
                path.unlink(missing_ok=True)
                total -= facts.st_size


def cached_mesh(cache: BlobCache, digest: str, path: Path, limits: TessellationLimits) -> Mesh:
    """The mesh of the file of that digest (hex SHA-256), made at most once. Errors as `tessellate`."""
    key = f"mesh-{MESH_VERSION}-{digest}"
    return _kept(cache, key, Mesh.from_bytes, lambda: tessellate(path, limits), Mesh.to_bytes)


def cached_maps(
    cache: BlobCache, digest: str, mesh: Callable[[], Mesh], view: View, size: tuple[int, int]
) -> ControlMaps:
    """The maps of a view for a picture of (width, height) px; `mesh` is called only if they are not kept."""
    told = msgspec.json.encode([digest, view, size], order="deterministic")
    key = f"maps-{MAPS_VERSION}-{hashlib.sha256(told).hexdigest()}"

    def make() -> ControlMaps:
        part = mesh()
        return control_maps(part, make_camera(view, part.vertices, *size), *size)

    return _kept(cache, key, ControlMaps.from_bytes, make, ControlMaps.to_bytes)


def _kept(
    cache: BlobCache,
    key: str,
    read: Callable[[bytes], Thing],
    make: Callable[[], Thing],
    write: Callable[[Thing], bytes],
) -> Thing:
    content = cache.get(key)
    if content is not None:
        try:
            return read(content)
        except (ValueError, KeyError, EOFError, OSError) as error:
            log.warning("the cached %s is damaged and made again: %s", key, error)
    # What is kept is rounded: who makes it must see the very bits that who finds it sees.
    content = write(make())
    cache.put(key, content)
    return read(content)
