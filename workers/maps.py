"""Meshes and control maps for the engine: from the cache, else from the blob store and the mesher."""

from __future__ import annotations

import threading
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING

from mfgviz.catalog import GeometryFacts
from mfgviz.errors import NothingInViewError, StorageUnavailableError
from mfgviz.geometry_intake import fetched
from mfgviz.requests import RenderRequest, View
from mfgviz.settings import Settings
from mfgviz.storage import BlobStore, digest_of
from workers.geometry import (
    FolderCache,
    TessellationLimits,
    cached_maps,
    cached_mesh,
    look_into,
)
from workers.geometry.facts import HOLES_NAMED

if TYPE_CHECKING:
    from workers.geometry import ControlMaps, Mesh

KEPT_IN_MEMORY = 16


class MapsSource:
    """Control maps by request; the last few stay in memory, more of them in a folder."""

    def __init__(self, blobs: BlobStore, cache: FolderCache, limits: TessellationLimits) -> None:
        self._blobs, self._cache, self._limits = blobs, cache, limits
        self._recent: OrderedDict[tuple[str, View, int, int], ControlMaps] = OrderedDict()
        self._lock = threading.Lock()

    @classmethod
    def from_settings(cls, settings: Settings, blobs: BlobStore) -> MapsSource:
        """With the cache folder and the mesher's limits of the settings."""
        cache = FolderCache(settings.cache_dir, settings.cache_max_bytes)
        return cls(blobs, cache, limits_of(settings))

    def maps(self, request: RenderRequest, file_name: str) -> ControlMaps:
        """The maps of the request's view at its size.

        Raises:
            NothingInViewError: the camera does not see the part.
            GeometryError: the file cannot be used.
            StorageUnavailableError, BlobNotFoundError: it cannot be fetched.
        """
        key = (request.geometry_digest, request.view, request.sampling.width, request.sampling.height)
        with self._lock:
            if key in self._recent:
                self._recent.move_to_end(key)
                return self._recent[key]
        made = cached_maps(
            self._cache,
            request.geometry_digest,
            lambda: self.mesh(request.geometry_digest, file_name),
            request.view,
            key[2:],
        )
        if not made.mask.any():
            raise nothing_in_view(self.mesh(request.geometry_digest, file_name))
        with self._lock:
            self._recent[key] = made
            while len(self._recent) > KEPT_IN_MEMORY:
                self._recent.popitem(last=False)
        return made

    def mesh(self, digest: str, file_name: str) -> Mesh:
        """The mesh of the CAD file of that digest. Errors as `maps`."""
        with fetched(self._blobs, digest, file_name) as path:
            return cached_mesh(self._cache, digest, path, self._limits)


def nothing_in_view(mesh: Mesh) -> NothingInViewError:
    """The error for a camera that does not see the part; says where the part is."""
    low, high = (", ".join(f"{value:g}" for value in corner) for corner in mesh.bounds.round(2))
    return NothingInViewError(
        "The camera does not see the part.",
        remedy=f"The part lies between ({low}) and ({high}) mm; turn the camera to it.",
    )


def is_cut(maps: ControlMaps) -> bool:
    """Whether the part reaches beyond the frame."""
    mask = maps.mask
    return bool(mask[0].any() or mask[-1].any() or mask[:, 0].any() or mask[:, -1].any())


def limits_of(settings: Settings) -> TessellationLimits:
    """The mesher's limits by the settings."""
    return TessellationLimits(
        timeout_s=settings.tessellation_timeout_s,
        memory_bytes=settings.tessellation_memory_bytes,
        file_bytes=settings.geometry_max_bytes,
        triangles=settings.geometry_max_triangles,
    )


def read_geometry(
    path: Path, settings: Settings, holes_named: int = HOLES_NAMED
) -> tuple[GeometryFacts, list[str]]:
    """What a CAD file holds, so many of its holes among it, and what people should know of it.

    Raises:
        GeometryError: it cannot be used.
    """
    read = look_into(path, limits_of(settings), holes_named)
    return GeometryFacts(read.format, read.shape_digest, read.facts), read.warnings


def read_geometry_blob(blobs: BlobStore, digest: str, file_name: str, settings: Settings) -> GeometryFacts:
    """The same for a file of the blob store."""
    with fetched(blobs, digest, file_name) as path:
        return read_geometry(path, settings)[0]


def draw_maps(
    path: Path, view: View, size: tuple[int, int], out_dir: Path, settings: Settings
) -> dict[str, Path]:
    """Write each control map of a CAD file as a PNG, and one sheet of all; the files by name.

    Raises:
        GeometryError: the file cannot be used.
        NothingInViewError: the camera does not see the part.
        StorageUnavailableError: the folder cannot be written.
    """
    cache = FolderCache(settings.cache_dir, settings.cache_max_bytes)
    with path.open("rb") as stream:
        digest = digest_of(stream)

    def mesh() -> Mesh:
        return cached_mesh(cache, digest, path, limits_of(settings))

    maps = cached_maps(cache, digest, mesh, view, size)
    if not maps.mask.any():
        raise nothing_in_view(mesh())
    written = {}
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        for name, _ in maps.items():
            written[name] = out_dir / f"{name}.png"
            written[name].write_bytes(maps.to_png(name))
        written["sheet"] = out_dir / "sheet.png"
        maps.sheet().save(written["sheet"])
    except OSError as error:
        raise StorageUnavailableError.of_folder(out_dir, error) from error
    return written
