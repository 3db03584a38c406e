"""`python -m benchmarks [NAME…] [--json FILE]`: run benchmarks and print their figures."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import automation, bom, geometry, http, queue, scale, service
from benchmarks.servers import Servers

BENCHMARKS: dict[str, Callable[[Servers], dict[str, float]]] = {
    "queue": queue.run,
    "http": http.run,
    "automation": automation.run,
    "bom": bom.run,
    "geometry": geometry.run,
    "service": service.run,
    "scale": scale.run,
}
# What each figure should be: a bound, and whether it is a least or a most.
BARS: dict[str, tuple[str, float]] = {
    "bulk_submit_jobs_per_s": (">=", 1000),
    "claim_p95_ms": ("<=", 10),
    "http_submit_p99_ms": ("<=", 30),
    "events_lost": ("<=", 0),
    "server_growth_mb": ("<=", 32),
    "rule_events_per_s": (">=", 500),
    "where_used_p95_ms": ("<=", 20),
    "bom_batch_submit_s": ("<=", 5.0),
    "bom_batch_jobs_per_view": ("<=", 300),
    "maps_1024_cold_s": ("<=", 4.0),
    "maps_1024_cached_s": ("<=", 0.05),
    "service_over_raw": (">=", 1.0),
}


def main(arguments: list[str]) -> int:
    """Run the named benchmarks, or all."""
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", choices=[*BENCHMARKS, []], default=[])
    parser.add_argument("--json", type=Path, help="write the figures to this file too")
    chosen = parser.parse_args(arguments)
    figures: dict[str, dict[str, float]] = {}
    console = Console()
    with Servers() as servers:
        for name in chosen.names or BENCHMARKS:
            console.print(f"running {name} …", style="dim")
            figures[name] = BENCHMARKS[name](servers)
    if "scale" in figures:
        console.print(scale.table(figures["scale"]))
    if others := {name: rows for name, rows in figures.items() if name != "scale"}:
        console.print(_table(others))
    if chosen.json:
        chosen.json.write_text(json.dumps(figures, indent=2) + "\n")
    return 0


def _table(figures: dict[str, dict[str, float]]) -> Table:
    table = Table("benchmark", "figure", "value", "bar", "")
    for name, rows in figures.items():
        for figure, value in rows.items():
            sign, bar = BARS.get(figure, ("", 0.0))
            met = "" if not sign else "met" if (value >= bar if sign == ">=" else value <= bar) else "missed"
            table.add_row(name, figure, f"{value:,.4g}", f"{sign} {bar:g}" if sign else "", met)
    return table


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
