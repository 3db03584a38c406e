"""A watched folder as a PLM system: drop `PN_REV.step`, and the part, its revision and its renders follow.

It serves every CAD program that can export a file. The folder is looked at in rounds: systems' own notices of
changes do not tell of what other hosts write to a network share, and a look at ten thousand names costs
milliseconds. What is known of a file is kept beside it, in `PN_REV.status.json`, which says what became of
it and holds what was seen of it, so that nothing is done twice after a restart.
"""

from __future__ import annotations

import hashlib
import json
import math
import tempfile
import time
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from mfgviz import wire
from mfgviz.errors import (
    AmbiguousFileError,
    DuplicatePartError,
    DuplicateRevisionError,
    GeometryError,
    InputFileNotFoundError,
    InvalidInputError,
    JobFailedError,
    MfgvizError,
    NoRegularFileError,
    NotFoundError,
    RevisionFrozenError,
    TooManyError,
    UnauthenticatedError,
    UnavailableError,
)
from mfgviz.plm import House, RenderFeed, Report, Round, current_renders
from mfgviz.vocabulary import FINAL_STATES, FROZEN_STATES, STANDARD_VIEWS
from mfgviz.wire import ConnectorOption
from plugins.plm import dropped
from plugins.plm.beside import MOST_PICTURES, Beside
from plugins.plm.dropped import Entry, Named, StillChanging, shown
from plugins.plm.sidecar import Sidecar, Wish, read_sidecar
from plugins.plm.status import Picture, Status, Version

OPTIONS = (
    ConnectorOption(name="folder", doc="The folder to watch.", required=True),
    ConnectorOption(name="template", doc="Ask for renders by that template; without it rules decide."),
    ConnectorOption(name="views", doc="With a template or prompt: views, separated by commas."),
    ConnectorOption(name="prompt", doc="Ask for renders by that prompt."),
    ConnectorOption(name="done", doc="Move files that were taken into this folder in the folder."),
    ConnectorOption(name="settle_s", doc="How long a file stays as it is before it is taken.", default="2"),
    ConnectorOption(name="interval_s", doc="The time between two looks.", default="2"),
)
# A STEP file without its end is waited for so many times longer, and refused then.
PATIENCE = 15
# A file that cannot be opened (another program may hold it) is tried so many times.
TRIES = 5
COPY = "part"


class FolderConnector:
    """See the module."""

    title = "A watched folder: PN_REV.step in, pictures out"
    options = OPTIONS

    def connect(self, house: House, options: Mapping[str, str]) -> FolderConnection:
        """Begin to watch. Raises InvalidInputError, UnavailableError."""
        folder = Path(options["folder"]).expanduser().absolute()
        if not folder.is_dir():
            raise InvalidInputError(f"{folder} is no folder.", remedy="Make it first, or name another.")
        done = options["done"].strip()
        if done and (done.startswith((".", "~")) or "/" in done or "\\" in done):
            raise InvalidInputError(
                f"done is {done!r}, but must be a plain name.", remedy="Such as done=taken."
            )
        views = tuple(one.strip() for one in options["views"].split(",") if one.strip())
        home = folder / done if done else folder
        with suppress(OSError):
            home.mkdir(exist_ok=True)
        if not home.is_dir() or (done and home.is_symlink()):
            raise InvalidInputError(
                f"{home} is no folder, and cannot be made.", remedy="Choose another name."
            )
        wish = Wish(options["template"].strip() or None, options["prompt"].strip() or None, views or None)
        if unknown := [one for one in views if one not in STANDARD_VIEWS]:
            raise InvalidInputError(
                f"There is no view {unknown[0]!r}.", remedy=f"There are: {', '.join(STANDARD_VIEWS)}."
            )
        if views and wish.template is None and wish.prompt is None:
            raise InvalidInputError("Views without a template or a prompt say nothing.", remedy="Add one.")
        times = _seconds(options, "settle_s"), _seconds(options, "interval_s")
        return FolderConnection(house, folder, home, wish, *times)


def _seconds(options: Mapping[str, str], name: str) -> float:
    try:
        value = float(options[name])
    except ValueError:
        value = math.nan
    if not 0 <= value <= 3600:
        raise InvalidInputError(f"{name} is {options[name]!r}, but must be a number of seconds, up to 3600.")
    return value


class FolderConnection:
    """One folder at work. `home` is where taken files, their status and their pictures are."""

    def __init__(
        self, house: House, folder: Path, home: Path, wish: Wish, settle_s: float, interval_s: float
    ) -> None:
        self._house, self._folder, self._home, self._wish = house, folder, home, wish
        self._settle_s, self.interval_s = settle_s, interval_s
        self._watched: dict[str, tuple[Version, float]] = {}
        self._tries: dict[str, int] = {}
        self._feed = RenderFeed(house.doors)
        self._beside = Beside(house, folder, home)
        self._known = self._beside.known
        # Pictures that were made while nobody watched.
        self._behind = {one.revision for one in self._known.values() if one.revision}

    def close(self) -> None:
        """Nothing is held open."""

    def round(self) -> Round:
        """See `PlmConnection`."""
        entries = dropped.scan(self._folder)
        by_name = {entry.name: entry for entry in entries}
        self._watched = {name: one for name, one in self._watched.items() if name in by_name}
        rivals: defaultdict[str, list[str]] = defaultdict(list)
        for entry in entries:
            if entry.kind == "file" and dropped.is_cad_name(entry.name):
                rivals[Path(entry.name).stem].append(entry.name)
        done = unsettled = 0
        for entry in entries:
            if self._house.stopping.is_set():
                break
            if not dropped.is_cad_name(entry.name):
                continue
            stem = Path(entry.name).stem
            outcome = self._look(entry, by_name.get(f"{stem}.json"), rivals[stem])
            done += outcome == "done"
            unsettled += outcome == "unsettled"
        return Round(done + self._follow(), unsettled)

    # -- files that come in --------------------------------------------------------------------------------
    def _look(self, entry: Entry, sidecar: Entry | None, rivals: list[str]) -> str:
        """What became of a name now: `known` to be dealt with, `unsettled`, or `done`."""
        base = self._base(entry, rivals)
        status = self._known.get(base)
        version = Version.of(entry, sidecar)
        if status is not None and (status.file, status.seen) == (shown(entry.name), version):
            return "known"
        if entry.kind == "file" and not self._is_settled(entry.name, version):
            return "unsettled"
        try:
            self._take(entry, sidecar, base, version)
        except StillChanging:
            self._watched.pop(entry.name, None)
            return "unsettled"
        except (DuplicatePartError, DuplicateRevisionError):  # somebody else added it at this moment
            return "unsettled"
        except (UnavailableError, UnauthenticatedError, TooManyError):
            raise
        except MfgvizError as error:
            self._beside.refuse(entry, base, version, error)
        except OSError as error:
            self._tries[entry.name] = self._tries.get(entry.name, 0) + 1
            if self._tries[entry.name] < TRIES:
                return "unsettled"
            told = f"{shown(entry.name)} cannot be read: {error.strerror}."
            self._beside.refuse(
                entry, base, version, InputFileNotFoundError(told, remedy="Check its permissions.")
            )
        self._watched.pop(entry.name, None)
        self._tries.pop(entry.name, None)
        return "done"

    def _base(self, entry: Entry, rivals: list[str]) -> str:
        """What the names of a file's status and pictures begin with. Of several files for one revision it is
        the one that was taken, else the first, that has the plain name; the others will be refused."""
        base = dropped.base_of(entry.name)
        known = self._known.get(base)
        taken = [one for one in rivals if known is not None and shown(one) == known.file]
        is_first = entry.kind == "file" and (taken or rivals)[0] == entry.name
        return base if is_first else dropped.unique_base(entry.name)

    def _is_settled(self, name: str, version: Version) -> bool:
        """Whether a file has stayed as it is for long enough, far longer where it looks cut off."""
        now = time.monotonic()
        seen, since = self._watched.get(name, (None, now))
        if seen != version:
            self._watched[name] = (version, now)
            return self._settle_s == 0
        calm_s = now - since
        if calm_s < self._settle_s:
            return False
        return calm_s >= self._settle_s * PATIENCE or dropped.is_whole(self._folder / name)

    def _take(self, entry: Entry, beside: Entry | None, base: str, version: Version) -> None:
        """Bring one version of a file in; nothing of it where any of it cannot be used."""
        if entry.kind != "file":
            raise NoRegularFileError(f"{shown(entry.name)} is a {entry.kind}.")
        named = dropped.parse_name(entry.name)
        if base != dropped.base_of(entry.name):
            raise AmbiguousFileError(f"{shown(entry.name)} and another file name {named.reference}.")
        sidecar = read_sidecar(self._folder / beside.name) if beside else Sidecar()
        asked = self._wish.with_sidecar(sidecar)
        with tempfile.TemporaryDirectory(prefix="mfgviz-drop-") as folder:
            copy = Path(folder) / f"{COPY}{Path(entry.name).suffix.lower()}"
            digest = dropped.copy_file(self._folder / entry.name, copy, self._house.max_file_bytes)
            wanted = hashlib.sha256((sidecar.model_dump_json() + json.dumps(asked)).encode()).hexdigest()
            old = self._known.get(base)
            if old is not None and old.state == "taken" and (old.digest, old.wanted) == (digest, wanted):
                self._beside.keep(base, old.model_copy(update={"seen": version, "file": shown(entry.name)}))
                self._put_away(entry, beside)
                return
            if "template" in asked:
                self._house.doors.template(asked["template"])
            revision = self._bring(named, sidecar, copy, digest, entry.name)
        if old is not None and old.digest != digest:
            self._beside.clear_pictures(old)
            old = None
        jobs, trouble = self._ask(named.reference, digest, wanted, asked)
        status = Status(
            file=shown(entry.name),
            seen=version,
            state="taken",
            revision=named.reference,
            iteration=revision.iteration,
            digest=digest,
            wanted=wanted,
            is_unread=revision.geometry is not None and revision.geometry.state == "stored",
            jobs={str(job): "queued" for job in jobs},
            pictures=old.pictures if old else [],
        )
        self._beside.keep(base, status)
        self._house.report(Report("taken", shown(entry.name), named.reference))
        if trouble is not None:
            self._beside.trouble(base, status, trouble)
        self._put_away(entry, beside)
        self._behind.add(named.reference)

    def _bring(self, named: Named, sidecar: Sidecar, copy: Path, digest: str, name: str) -> wire.Revision:
        """The revision with the file, made or changed where it is not so already."""
        doors, known = self._house.doors, None
        with suppress(NotFoundError):
            known = doors.revision(named.reference)
        shows = known.geometry.digest if known and known.geometry else None
        says = sidecar.model_dump(include=set(wire.RevisionIntake.model_fields), exclude_unset=True)
        if known is not None and shows == digest and not says:
            revision = known
        elif known is not None and shows != digest and known.state in FROZEN_STATES:
            raise RevisionFrozenError(
                f"{named.reference} is {known.state}: it does not take another CAD file.",
                remedy="Give the changed part its next revision label.",
            )
        else:
            try:
                revision = doors.take_in(named.reference, wire.RevisionIntake(**says), copy, name)
            except GeometryError as error:
                # Whoever looked into the copy, here or at a server, knows no better name for it.
                told = error.message.replace(str(copy), copy.name).replace(copy.name, name)
                raise type(error)(told, remedy=error.remedy) from error
        if revision.geometry is not None and revision.geometry.state == "unusable":
            raise _unusable(revision)
        return revision

    def _ask(
        self, reference: str, digest: str, wanted: str, asked: dict[str, Any]
    ) -> tuple[list[int], MfgvizError | None]:
        """Ask for the renders that the sidecar or an option names: once, however often this is done."""
        if not asked:
            return [], None
        key = hashlib.sha256(f"{reference} {digest} {wanted}".encode()).hexdigest()
        try:
            items = self._house.doors.submit(wire.JobBody(revision=reference, **asked), f"folder-{key}").items
        except (UnavailableError, UnauthenticatedError, TooManyError):
            raise  # the next look does it all again, and finds the revision there
        except MfgvizError as error:
            return [], error
        return [one.job for one in items], None

    def _put_away(self, entry: Entry, beside: Entry | None) -> None:
        """Move what was taken into the folder for that, if there is one. What was written meanwhile is not
        what was taken: it stays, for the next look."""
        if self._home == self._folder:
            return
        for one in filter(None, (entry, beside)):
            path = self._folder / one.name
            try:
                now = path.lstat()
                if (now.st_size, now.st_mtime_ns) == (one.size, one.mtime_ns):
                    path.replace(self._home / one.name)
            except OSError as error:
                self._house.report(Report("not moved", shown(one.name), str(error.strerror)))

    # -- what becomes of them ------------------------------------------------------------------------------
    def _follow(self) -> int:
        """Note how jobs stand, and write back pictures; how many."""
        self._behind |= self._feed.changed()
        self._follow_jobs()
        by_reference = {one.revision: base for base, one in self._known.items() if one.revision}
        self._behind &= set(filter(None, by_reference))
        written = 0
        for reference in sorted(self._behind):
            if self._house.stopping.is_set():
                return written
            try:
                written += self._write_back(by_reference[reference])
            except OSError as error:
                self._beside.tell_unwritable(error)
                return written
            self._behind.discard(reference)
        for base, status in list(self._known.items()):
            if status.is_unread and status.revision:
                self._follow_geometry(base, status)
        return written

    def _follow_geometry(self, base: str, status: Status) -> None:
        """Where a worker reads the file, later: whether it could be used."""
        with suppress(NotFoundError):
            revision = self._house.doors.revision(str(status.revision))
            if revision.geometry is not None and revision.geometry.digest != status.digest:
                self._beside.keep(base, status.model_copy(update={"is_unread": False}))
            elif revision.geometry is not None and revision.geometry.state != "stored":
                read = status.model_copy(update={"is_unread": False})
                self._beside.keep(base, read)
                if revision.geometry.state == "unusable":
                    self._beside.trouble(base, read, _unusable(revision))

    def _follow_jobs(self) -> None:
        final = {state.value for state in FINAL_STATES}
        waiting = {
            int(job): base
            for base, status in self._known.items()
            for job, state in status.jobs.items()
            if state not in final
        }
        if not waiting:
            return
        for event in self._house.doors.standings(list(waiting)):
            base = waiting[event.job]
            status = self._known[base]
            if status.jobs[str(event.job)] == event.state:
                continue
            status = status.model_copy(update={"jobs": status.jobs | {str(event.job): event.state}})
            self._beside.keep(base, status)
            if event.state == "failed":
                told = event.error.message if event.error else "no cause was noted"
                remedy = f"mfgviz jobs retry {event.job}"
                self._beside.trouble(
                    base, status, JobFailedError(f"Job {event.job} failed: {told}", remedy=remedy)
                )

    def _write_back(self, base: str) -> int:
        """Write the pictures that are not beside the file yet; how many. Raises OSError."""
        status = self._known[base]
        known = {one.render for one in status.pictures}
        written = 0
        try:
            revision = self._house.doors.revision(str(status.revision))
            renders = current_renders(self._house.doors, revision.revision)
        except NotFoundError:
            return 0
        if revision.geometry is None or revision.geometry.digest != status.digest:
            return 0  # pictures of another file than the one that lies here
        for render in renders:
            if render.id in known or len(status.pictures) >= MOST_PICTURES:
                continue
            try:
                content = self._house.doors.image(render.id, "png")
            except NotFoundError as error:  # its blob is gone; the others go on
                self._house.report(Report("not written", f"render {render.id}", error.message))
                continue
            digest = hashlib.sha256(content).hexdigest()
            name = self._beside.place(base, render.view, content, {one.file for one in status.pictures})
            picture = Picture(render=render.id, file=name, digest=digest)
            status = status.model_copy(update={"pictures": [*status.pictures, picture]})
            self._beside.keep(base, status)
            self._house.report(Report("written", name, f"render {render.id} of {status.revision}"))
            written += 1
        return written


def _unusable(revision: wire.Revision) -> GeometryError:
    cause = revision.geometry.error if revision.geometry else None
    told = cause.message if cause else "its CAD file cannot be used"
    return GeometryError(f"{revision.revision}: {told}")


CONNECTOR = FolderConnector()
