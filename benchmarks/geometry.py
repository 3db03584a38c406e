"""A STEP file of about 500 kB to its control maps at 1024 x 1024 px: cold, and from the cache."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path

from benchmarks.servers import Servers
from mfgviz import samples
from mfgviz.requests import View
from workers.geometry import FolderCache, TessellationLimits, cached_maps, cached_mesh

SIZE = (1024, 1024)
CACHED_RUNS = 5


def run(servers: Servers) -> dict[str, float]:
    """Seconds from the file to the maps, in a new cache and in a warm one."""
    path = largest_sample()
    cache = FolderCache(servers.path / "cache", 2**30)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    cold_s = _maps(cache, digest, path)
    warm = sorted(_maps(cache, digest, path) for _ in range(CACHED_RUNS))
    return {
        "step_kb": path.stat().st_size / 1000,
        "maps_1024_cold_s": cold_s,
        "maps_1024_cached_s": warm[CACHED_RUNS // 2],
        "cold_over_cached": cold_s / warm[CACHED_RUNS // 2],
    }


def largest_sample() -> Path:
    """The largest of the parts that come with mfgviz."""
    return max(Path(samples.__path__[0]).glob("*.step"), key=lambda path: path.stat().st_size)


def _maps(cache: FolderCache, digest: str, path: Path) -> float:
    started = time.perf_counter()
    cached_maps(
        cache, digest, lambda: cached_mesh(cache, digest, path, TessellationLimits()), View("iso"), SIZE
    )
    return time.perf_counter() - started
