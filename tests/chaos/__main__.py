"""`make chaos`: rounds of faults until the time is over."""

from __future__ import annotations

import argparse
import json
import random
import signal
import tempfile
import time
from pathlib import Path

from tests.chaos.faults import FAULTS
from tests.chaos.rounds import Plan, run_round
from tests.support.servers import Postgres

ROUND_JOBS = 500
ROUND_S = 150.0
STATES = ("succeeded", "cancelled", "failed")


def main() -> int:
    """Run rounds; the exit code is 1 where an invariant was broken."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--seed", type=int, help="of the first round; by default drawn, or the stopped run's")
    parser.add_argument("--jobs", type=int, default=ROUND_JOBS, help="at least, a round")
    parser.add_argument("--seconds", type=float, default=ROUND_S, help="of faults, a round")
    parser.add_argument("--rounds", type=int, help="so many rounds instead of minutes")
    parser.add_argument("--studio", action="store_true", help="the bundled model instead of the stand-in")
    parser.add_argument("--kinds", default=",".join(FAULTS), help="of faults, commas apart; all by default")
    parser.add_argument("--folder", type=Path, default=Path("var/chaos"))
    parser.add_argument("--keep-logs", action="store_true", help="of every round, not of broken ones alone")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # ends as Ctrl-C does: servers, mounts and all
    run = Run.resume(given)
    print(f"seed {run.seed}" + (f", rounds done before: {len(run.done)}" if run.done else ""), flush=True)
    with tempfile.TemporaryDirectory(prefix="mfgviz-pg-") as folder:
        postgres = Postgres(Path(folder))
        postgres.hurry()
        try:
            run.go_on(postgres)
        except KeyboardInterrupt:
            print("\nstopped: the next `make chaos` goes on behind the last whole round")
            return 130
        finally:
            postgres.close()
    print("\n".join(run.table()))
    return 0 if all(one["holds"] for one in run.done) else 1


class Run:
    """The rounds of one base seed, in a file: a run that was stopped goes on behind the last whole round."""

    def __init__(self, given: argparse.Namespace, seed: int, done: list[dict[str, object]]) -> None:
        self._given, self.seed, self.done = given, seed, done

    @classmethod
    def resume(cls, given: argparse.Namespace) -> Run:
        """Where the last run left off, unless it was finished or another seed is asked for."""
        state = given.folder / "run.json"
        kept = json.loads(state.read_text()) if state.exists() else {"finished": True}
        if not kept["finished"] and given.seed in (None, kept["seed"]):
            return cls(given, kept["seed"], kept["done"])
        return cls(given, random.randrange(1, 1_000_000) if given.seed is None else given.seed, [])

    def go_on(self, postgres: Postgres) -> None:
        """Rounds until there were enough."""
        while not self._enough():
            began = time.monotonic()
            given = self._given
            seed, kinds = self.seed + len(self.done), tuple(given.kinds.split(","))
            plan = Plan(seed, given.jobs, given.seconds, given.studio, kinds)
            print(f"round {len(self.done) + 1}, seed {plan.seed}", flush=True)
            logs = self._folder / "logs" if self._given.keep_logs else None
            report = run_round(plan, postgres, lambda told: print(told, flush=True), logs)
            print(report.text(), flush=True)
            self._folder.mkdir(parents=True, exist_ok=True)
            whole = self._folder / f"round-{plan.seed}.json"
            whole.write_text(json.dumps(report.as_json(), indent=1) + "\n")
            spent_s = time.monotonic() - began
            self.done.append(
                {"seed": plan.seed, "holds": not report.violations, "seconds": round(spent_s, 1)}
            )
            self._save(finished=self._enough())

    def table(self) -> list[str]:
        """All rounds that were done, one a line, from their reports."""
        lines = ["seed  jobs  succeeded  cancelled  failed  pictures  faults  lost attempts  drained"]
        for one in self.done:
            told = json.loads((self._folder / f"round-{one['seed']}.json").read_text())
            jobs, drained = told["jobs"], told["drained_s"]
            counts = [sum(jobs.values()), *(jobs.get(state, 0) for state in STATES), told["pictures"]]
            counts += [sum(told["faults"].values()), told["attempts"].get("lost", 0)]
            columns = zip(counts, (4, 9, 9, 6, 8, 6, 13), strict=True)
            shown = "  ".join(f"{count:{width}}" for count, width in columns)
            held = "holds" if told["holds"] else "BROKEN"
            ended = "never" if drained is None else f"{drained:.0f} s"
            lines.append(f"{told['seed']:4}  {shown}  {ended:>7}  {held}")
        return lines

    @property
    def _folder(self) -> Path:
        folder: Path = self._given.folder
        return folder

    def _enough(self) -> bool:
        if self._given.rounds is not None:
            return len(self.done) >= self._given.rounds
        return sum(float(str(one["seconds"])) for one in self.done) >= self._given.minutes * 60

    def _save(self, *, finished: bool) -> None:
        state = {"seed": self.seed, "finished": finished, "done": self.done}
        (self._folder / "run.json").write_text(json.dumps(state, indent=1) + "\n")


if __name__ == "__main__":
    raise SystemExit(main())
