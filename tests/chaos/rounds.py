"""A round: clients submit while faults come; then peace, and the invariants. Its report says it all."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from mfgviz.local import stop_process
from mfgviz.records import Attempt, RenderJob, Rendition
from mfgviz.vocabulary import FINAL_STATES
from tests.chaos.faults import FAULTS, Chaos, Injected
from tests.chaos.invariants import Checked, Evidence, check_all
from tests.chaos.stage import PART, Stage
from tests.support.servers import Postgres

DOORS = ("service", "service", "http", "cli")
# In peace a job ends within this time, or the queue counts as stuck. The bundled model takes minutes to load
# where three workers do it at once on a busy machine.
PATIENCE_S, STUDIO_PATIENCE_S = 120.0, 600.0
# What a fault and the pause after it take, about.
FAULT_S = 2.5


@dataclass(frozen=True, slots=True)
class Plan:
    """What a round is made of. `seconds` is how long faults come at least."""

    seed: int
    jobs: int
    seconds: float
    studio: bool = False
    kinds: tuple[str, ...] = tuple(FAULTS)

    @property
    def faults_s(self) -> float:
        """How long faults will come: each kind comes once at least, or the last would meet idle workers."""
        return max(self.seconds, FAULT_S * len(self.kinds))


@dataclass
class Report:
    """What happened in a round, and what holds."""

    plan: Plan
    jobs: dict[str, int] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    pictures: int = 0
    faults: list[Injected] = field(default_factory=list)
    checked: list[Checked] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    drained_s: float | None = None
    starved_s: float = 0.0
    seconds: float = 0.0

    @property
    def violations(self) -> list[str]:
        """All of them, each with its invariant."""
        return [f"{one.name}: {what}" for one in self.checked for what in one.violations]

    @property
    def by_kind(self) -> dict[str, int]:
        """How many faults of each kind."""
        return dict(sorted(Counter(one.kind for one in self.faults).items()))

    def as_json(self) -> dict[str, Any]:
        """The whole report."""
        plan = self.plan
        return {
            "seed": plan.seed,
            "plan": {"jobs": plan.jobs, "seconds": plan.seconds, "studio": plan.studio},
            "holds": not self.violations,
            "jobs": self.jobs,
            "attempts": self.attempts,
            "pictures": self.pictures,
            "faults": self.by_kind,
            "left_out": self.left_out,
            "drained_s": None if self.drained_s is None else round(self.drained_s, 1),
            "starved_s": round(self.starved_s, 1),
            "seconds": round(self.seconds, 1),
            "invariants": [one.as_json() for one in self.checked],
            "log": [one.as_json() for one in self.faults],
        }

    def text(self) -> str:
        """For people."""
        lines = [f"seed {self.plan.seed}: {'holds' if not self.violations else 'BROKEN'}"]
        lines.append(f"  jobs      {_counts(self.jobs)}")
        lines.append(f"  attempts  {_counts(self.attempts)}")
        lines.append(f"  pictures  {self.pictures}")
        lines.append(f"  faults    {len(self.faults)}: {_counts(self.by_kind)}")
        if self.left_out:
            lines.append(f"  left out  {', '.join(self.left_out)}")
        drained = "never" if self.drained_s is None else f"{self.drained_s:.1f} s after the last fault"
        lines.append(f"  drained   {drained}")
        if self.starved_s:
            lines.append(f"  starved   workers could not run for {self.starved_s:.0f} s: the machine is busy")
        for one in self.checked:
            lines.append(f"  {'ok ' if not one.violations else 'BAD'} {one.count:>6}  {one.name}")
            lines += [f"              {what}" for what in one.violations[:20]]
        return "\n".join(lines)


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def run_round(
    plan: Plan, postgres: Postgres, tell: Callable[[str], None] = print, logs: Path | None = None
) -> Report:
    """One round, from an empty service to its report. The processes' logs are kept in the folder `logs`, and
    those of a broken round anyhow."""
    began = time.monotonic()
    report = Report(plan)
    # In /tmp: a socket's path is short.
    with tempfile.TemporaryDirectory(prefix="mfgviz-chaos-") as name:
        folder = Path(name)
        with Stage(folder, postgres, studio=plan.studio) as stage:
            if not stage.disk.mounted:
                report.left_out.append("disk-full: a file system may not be mounted here")
            clients = Clients(stage, plan)
            chaos = Chaos(stage, plan.seed, plan.kinds, tell)
            try:
                chaos.run(plan.seconds, clients.are_busy)
                report.faults = chaos.injected
                _settle(stage, clients, report)
                stage.stop_workers()
                evidence = Evidence.gather(stage.watching, clients.told(), report.faults)
                evidence.exact_pictures = not plan.studio
                evidence.starved = stage.starved()
                report.starved_s = sum(ended - began for _, began, ended in evidence.starved)
                report.checked += check_all(evidence)
                _count(stage, report)
            finally:
                chaos.close()
                clients.stop()
                report.seconds = time.monotonic() - began
                broken = bool(report.violations) or sys.exc_info()[0] is not None
                kept = logs or (Path("var") / "chaos" / "broken" if broken else None)
                if kept is not None:
                    _keep_logs(folder, kept / str(plan.seed), tell)
    return report


class Clients:
    """Four processes that submit, each through a door of its own."""

    def __init__(self, stage: Stage, plan: Plan) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []
        self._journals: list[tuple[str, Path]] = []
        each = -(-plan.jobs // len(DOORS))
        for number, door in enumerate(DOORS):
            at_once = min(12, each) if door == "cli" else 1
            journal = stage.folder / f"client{number}.jsonl"
            whole = {
                "door": door, "jobs": each, "at_once": at_once, "seed": plan.seed * 100 + number,
                "first_seed": (number + 1) * 10_000_000, "revision": PART, "studio": plan.studio,
                "journal": str(journal), "api_url": stage.api_url, "token": stage.token,
                # Two thirds of the faults' time; an ask is 1.33 views on average.
                "pause_s": 0.66 * plan.faults_s * at_once * 1.33 / each,
            }  # fmt: skip
            path = stage.folder / f"client{number}.json"
            path.write_text(json.dumps(whole))
            with (stage.folder / f"client{number}.log").open("wb") as log:
                words = [sys.executable, "-m", "tests.chaos.client", str(path)]
                process = subprocess.Popen(
                    words, env=stage.environment, stdin=subprocess.DEVNULL, stdout=log,
                    stderr=subprocess.STDOUT, start_new_session=True,
                )  # fmt: skip
            self._processes.append(process)
            self._journals.append((door, journal))

    def are_busy(self) -> bool:
        """Whether one submits still."""
        return any(process.poll() is None for process in self._processes)

    def told(self) -> list[dict[str, Any]]:
        """All journals' entries, each with its door."""
        return [
            {**json.loads(line), "door": door}
            for door, journal in self._journals
            if journal.exists()
            for line in journal.read_text().splitlines()
        ]

    def stop(self) -> None:
        """End those that are left."""
        for process in self._processes:
            stop_process(process, 5)

    @property
    def broken(self) -> list[str]:
        """What clients ended with that did not end well."""
        return [
            f"client {number} ended with {process.returncode}"
            for number, process in enumerate(self._processes)
            if process.poll() != 0
        ]


def _settle(stage: Stage, clients: Clients, report: Report) -> None:
    """Peace: wait until everybody has been answered and every job has ended; no longer than things move."""
    patience_s = STUDIO_PATIENCE_S if stage.studio else PATIENCE_S
    began = last = time.monotonic()
    standing: tuple[int, int] = (0, 0)
    while True:
        left, total = _standing(stage)
        if not left and not clients.are_busy():
            report.drained_s = time.monotonic() - began
            break
        if (left, total) != standing:
            standing, last = (left, total), time.monotonic()
        if time.monotonic() - last > patience_s:
            break
        time.sleep(0.2)
    stuck = (
        [] if report.drained_s is not None else [f"{left} of {total} jobs wait; clients: {clients.broken}"]
    )
    name = f"in peace nothing stands still for {patience_s:g} s until all is done"
    report.checked.append(Checked(name, total, tuple(stuck)))
    report.checked.append(Checked("every client was answered", len(DOORS), tuple(clients.broken)))


def _standing(stage: Stage) -> tuple[int, int]:
    """Jobs that have not ended, and all."""
    with stage.watching.db.read() as session:
        total = session.scalar(select(func.count()).select_from(RenderJob)) or 0
        ended = RenderJob.state.in_(FINAL_STATES)
        done = session.scalar(select(func.count()).select_from(RenderJob).where(ended)) or 0
    return total - done, total


def _count(stage: Stage, report: Report) -> None:
    with stage.watching.db.read() as session:
        jobs = select(RenderJob.state, func.count()).group_by(RenderJob.state).order_by(RenderJob.state)
        report.jobs = {row[0]: row[1] for row in session.execute(jobs)}
        attempts = select(Attempt.outcome, func.count()).group_by(Attempt.outcome).order_by(Attempt.outcome)
        report.attempts = {row[0]: row[1] for row in session.execute(attempts)}
        report.pictures = session.scalar(select(func.count()).select_from(Rendition)) or 0


def _keep_logs(folder: Path, kept: Path, tell: Callable[[str], None]) -> None:
    """For whoever looks into it."""
    kept.mkdir(parents=True, exist_ok=True)
    for path in (*folder.glob("*.log"), *folder.glob("*.jsonl")):
        (kept / path.name).write_bytes(path.read_bytes())
    tell(f"  logs are kept in {kept}")
