"""What lies beside dropped files: their status, what went wrong, and pictures written back."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from mfgviz.errors import InvalidFileNameError, MfgvizError, NoRegularFileError
from mfgviz.plm import House, Report, note_refusal
from plugins.plm import dropped
from plugins.plm.dropped import ERROR, STATUS, Entry, shown
from plugins.plm.status import Status, Version, load, save

MOST_PICTURES = 200


def _is_of(status: Status) -> bool:
    """Whether a status speaks of the revision that its file's name says: anybody may put one there."""
    try:
        return status.revision in (None, dropped.parse_name(status.file).reference)
    except InvalidFileNameError:
        return status.revision is None


class Beside:
    """The status of each file, by what the names beside it begin with. `home` is where taken files are."""

    def __init__(self, house: House, folder: Path, home: Path) -> None:
        self._house, self.folder, self.home = house, folder, home
        self._unwritable = False
        self.known: dict[str, Status] = {}
        # What was refused is in the folder, what was taken at home; a refusal is the newer word.
        for place in dict.fromkeys((home, folder)):
            for entry in dropped.scan(place):
                if entry.kind == "file" and entry.name.endswith(STATUS):
                    status = load(place / entry.name)
                    if status is not None and _is_of(status):
                        self.known[entry.name.removesuffix(STATUS)] = status

    def refuse(self, entry: Entry, base: str, version: Version, error: MfgvizError) -> None:
        """Note that this version of a file cannot be used. What it was before stays as it is."""
        note_refusal(self._house, shown(entry.name), error)
        old = self.known.get(base)
        kept = old.model_copy(update={"seen": version}) if old and old.file == shown(entry.name) else None
        status = kept or Status(file=shown(entry.name), seen=version, state="refused")
        self.keep(base, status.model_copy(update={"state": "refused", "error": error.as_json()}))

    def trouble(self, base: str, status: Status, error: MfgvizError) -> None:
        """Note what went wrong with a file that was taken."""
        note_refusal(self._house, status.file, error)
        self.keep(base, status.model_copy(update={"error": error.as_json()}))

    def keep(self, base: str, status: Status) -> None:
        """Remember, here and beside the file."""
        self.known[base] = status
        place = self.home if status.state == "taken" else self.folder
        try:
            save(place / f"{base}{STATUS}", place / f"{base}{ERROR}", status)
            if place != self.folder:
                for ending in (STATUS, ERROR):  # of an earlier refusal
                    (self.folder / f"{base}{ending}").unlink(missing_ok=True)
            self._unwritable = False
        except OSError as error:
            self.tell_unwritable(error)

    def tell_unwritable(self, error: OSError) -> None:
        if not self._unwritable:
            told = f"{error.strerror}: status and pictures cannot be written there"
            self._house.report(Report("not writable", str(self.home), told))
        self._unwritable = True

    def place(self, base: str, view: str, content: bytes, taken: set[str]) -> str:
        """Write a picture under the first name of its view that is free, or holds it already; that name."""
        word = view if view.isascii() and view.isalnum() else "view"
        for name in _names(base, word):
            if name in taken:
                continue
            path = self.home / name
            if not path.is_symlink() and not path.exists():
                dropped.write_whole(path, content)
                return name
            with suppress(OSError, NoRegularFileError):
                if dropped.read_small(path, len(content)) == content:
                    return name
        raise OSError(0, "all names are taken")

    def clear_pictures(self, old: Status) -> None:
        """Remove pictures of what the file no longer shows, those alone that are as they were written."""
        for picture in old.pictures:
            path = self.home / Path(picture.file).name
            with suppress(OSError, NoRegularFileError):
                content = dropped.read_small(path, dropped.PICTURE_MAX_BYTES)
                if content is not None and hashlib.sha256(content).hexdigest() == picture.digest:
                    path.unlink()


def _names(base: str, view: str) -> Iterator[str]:
    """`BASE.iso.png`, `BASE.iso.2.png`, …"""
    yield f"{base}.{view}.png"
    for number in range(2, MOST_PICTURES * 2):
        yield f"{base}.{view}.{number}.png"
