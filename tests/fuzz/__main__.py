"""`make fuzz`: thousands of bent CAD files through the reader. What breaks is kept in var/fuzz/.

python -m tests.fuzz [--files 5000] [--seed N] [--from N] [--again FILE …]; without --seed a run that was
stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.fuzz.harness import House, fuzzed
from tests.fuzz.hostile import hostile_files
from tests.fuzz.seeds import seeds

KEPT = Path("var/fuzz")
STATE = KEPT / "state.json"


def main() -> int:
    """The exit code: 1 where anything broke."""
    asked = argparse.ArgumentParser(description="Hostile CAD files")
    asked.add_argument("--files", type=int, default=5000)
    asked.add_argument("--seed", type=int)
    asked.add_argument("--from", type=int, dest="start")
    asked.add_argument("--again", type=Path, nargs="*", default=[])
    options = asked.parse_args()
    KEPT.mkdir(parents=True, exist_ok=True)
    goods = seeds()
    with tempfile.TemporaryDirectory() as name, House(Path(name).resolve()).lived_in() as house:
        if options.again:
            return _again(house, options.again)
        state = {"seed": options.seed, "next": options.start or 0}
        if options.seed is None:
            state = (
                json.loads(STATE.read_text())
                if STATE.exists()
                else {"seed": random.randrange(2**32), "next": 0}
            )
        return _run(house, goods, state, options.files)


def _again(house: House, files: list[Path]) -> int:
    broken = 0
    for path in files:
        outcome = house.check(f"part{path.suffix}", path.read_bytes())
        print(path, outcome.code, *outcome.broken, sep="\n  ")
        broken += bool(outcome.broken)
    return int(broken > 0)


def _run(house: House, goods: dict[str, list[bytes]], state: dict[str, int], files: int) -> int:
    seed, start = state["seed"], state["next"]
    print(f"seed {seed}, files {start} to {files}; --seed {seed} runs all of them again", flush=True)
    found: Counter[str] = Counter()
    broken = 0

    def note(label: str, name: str, content: bytes) -> int:
        outcome = house.check(name, content)
        found[f"{Path(name).suffix.lower()[1:]}: {outcome.code}"] += 1
        if outcome.broken:
            kept = KEPT / f"{label}{Path(name).suffix}"
            kept.write_bytes(content)
            print(f"{kept}: {outcome.code}: {'; '.join(outcome.broken)[:600]}", flush=True)
        return int(bool(outcome.broken))

    if start == 0:
        for trick, name, content in hostile_files(house.address):
            broken += note(trick.replace(" ", "-").replace("/", "-")[:60], name, content)
    for number in range(start, files):
        broken += note(f"{seed}-{number}", *fuzzed(seed, number, goods))
        STATE.write_text(json.dumps({"seed": seed, "next": number + 1}))
        if number % 250 == 249:
            print(f"{number + 1} files, {broken} broken", flush=True)
    for what, count in sorted(found.items()):
        print(f"{count:6d}  {what}")
    print(f"{sum(found.values())} files, {broken} broken")
    STATE.unlink(missing_ok=True)
    return int(broken > 0)


if __name__ == "__main__":
    sys.exit(main())
