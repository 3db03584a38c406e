"""Connectors: what happens in a PLM system, or in a folder, comes to mfgviz, and pictures go back.

A connector is a Python object that an entry point of the group `mfgviz.plm` names; those that come with
mfgviz are registered in the same way. It does its work in rounds, through the doors that all people use: a
`Service` on the database or a `Client` of a server, which have the same methods. Between rounds, when a
service does not answer and when it is to stop, `run` decides.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from mfgviz import wire
from mfgviz.errors import (
    BrokenConnectorError,
    ConnectorNotFoundError,
    InvalidInputError,
    MfgvizError,
    TooManyError,
    UnavailableError,
)
from mfgviz.wire import ConnectorInfo, ConnectorOption

if TYPE_CHECKING:
    from mfgviz.client import Client
    from mfgviz.service import Service

    Doors = Service | Client

GROUP = "mfgviz.plm"
# How long `once` goes on for what is not settled yet, such as a file that is still being copied.
ONCE_MAX_S = 120.0
RETRY_FIRST_S, RETRY_MOST_S = 1.0, 30.0
PAGE, MOST_RENDERS = 500, 2000


@dataclass(frozen=True, slots=True)
class Report:
    """Something that a connector did, for people who look on."""

    what: str
    subject: str
    told: str = ""


@dataclass(frozen=True, slots=True)
class House:
    """What a connector works with: the doors, whether it is to stop, whom it tells, and the largest CAD
    file."""

    doors: Doors
    stopping: threading.Event = field(default_factory=threading.Event)
    report: Callable[[Report], None] = lambda report: None  # noqa: ARG005 - nobody looks on
    max_file_bytes: int = 256 * 2**20


@dataclass(frozen=True, slots=True)
class Round:
    """How many things were done, and how many wait for a next round."""

    done: int = 0
    unsettled: int = 0


@runtime_checkable
class PlmConnection(Protocol):
    """A connector at work. What it needs to remember outlives it: it may be closed and opened at any time."""

    @property
    def interval_s(self) -> float:
        """The time between two rounds."""

    def round(self) -> Round:
        """Bring what is new, and take back pictures that are finished. What cannot be used is noted once
        (`report_refusal`) and keeps nothing else from going on.

        Raises:
            UnavailableError: a service does not answer; nothing is lost, the next round does it.
        """

    def close(self) -> None:
        """Let go of what is held."""


@runtime_checkable
class PlmConnector(Protocol):
    """A kind of PLM system."""

    @property
    def title(self) -> str:
        """What it connects to, in a few words."""

    @property
    def options(self) -> tuple[ConnectorOption, ...]:
        """What can be said to it."""

    def connect(self, house: House, options: Mapping[str, str]) -> PlmConnection:
        """Begin. `options` has every option's value, its default where it was not said.

        Raises:
            InvalidInputError: an option's value cannot be used.
            UnavailableError: the system does not answer.
        """


# -- which there are -----------------------------------------------------------------------------------------
def list_connectors() -> list[ConnectorInfo]:
    """The connectors that are installed, by name; one that cannot be loaded says why."""
    return sorted((_info(entry) for entry in entry_points(group=GROUP)), key=lambda one: one.name)


def get_connector(name: str) -> PlmConnector:
    """The connector of that name.

    Raises:
        ConnectorNotFoundError: no package brings one.
        BrokenConnectorError: it cannot be loaded.
    """
    found = entry_points(group=GROUP, name=name)
    if not found:
        known = ", ".join(sorted(entry_points(group=GROUP).names)) or "none"
        raise ConnectorNotFoundError(f"There is no connector {name!r}.", remedy=f"There is: {known}.")
    return _loaded(next(iter(found)))


def _info(entry: EntryPoint) -> ConnectorInfo:
    try:
        connector = _loaded(entry)
    except BrokenConnectorError as error:
        return ConnectorInfo(name=entry.name, title="", source=entry.value, options=[], error=error.message)
    return ConnectorInfo(
        name=entry.name, title=connector.title, source=entry.value, options=list(connector.options)
    )


def _loaded(entry: EntryPoint) -> PlmConnector:
    try:
        connector = entry.load()
    except Exception as error:
        told = f"{type(error).__name__}: {error}"
        raise BrokenConnectorError(f"The connector {entry.name} cannot be loaded: {told}.") from error
    if not isinstance(connector, PlmConnector):
        raise BrokenConnectorError(
            f"The connector {entry.name} ({entry.value}) has not what a connector needs."
        )
    return connector


def complete_options(connector: PlmConnector, given: Mapping[str, str]) -> dict[str, str]:
    """Every option's value. Raises InvalidInputError where one is unknown or missing."""
    known = {option.name: option for option in connector.options}
    listed = f"There are: {', '.join(known) or 'none'}."
    for name in given:
        if name not in known:
            raise InvalidInputError(f"The connector has no option {name!r}.", remedy=listed)
    for option in connector.options:
        if option.required and not given.get(option.name, "").strip():
            raise InvalidInputError(
                f"The connector needs the option {option.name}: {option.doc}",
                remedy=f"Say it: --set {option.name}=…",
            )
    return {name: given.get(name, option.default) for name, option in known.items()}


# -- at work -------------------------------------------------------------------------------------------------
class _Patience:
    """Waiting for a service that does not answer, ever longer, and saying so once."""

    def __init__(self, house: House) -> None:
        self._house, self._delay_s, self._is_lost = house, RETRY_FIRST_S, False

    def wait(self, error: MfgvizError) -> None:
        if not self._is_lost:
            self._house.report(Report("waiting", error.code, error.message))
        self._is_lost = True
        self._house.stopping.wait(self._delay_s)
        self._delay_s = min(self._delay_s * 2, RETRY_MOST_S)

    def end(self) -> None:
        if self._is_lost:
            self._house.report(Report("going on", "all services answer again"))
        self._is_lost, self._delay_s = False, RETRY_FIRST_S


def connect(
    connector: PlmConnector, house: House, options: Mapping[str, str], *, once: bool = False
) -> PlmConnection | None:
    """Begin, as soon as the services answer; None where it is to stop before that.

    Raises:
        InvalidInputError: an option's value cannot be used.
        UnavailableError: with `once`, a service does not answer.
    """
    patience = _Patience(house)
    while not house.stopping.is_set():
        try:
            connection = connector.connect(house, options)
        except (UnavailableError, TooManyError) as error:
            if once:
                raise
            patience.wait(error)
        else:
            patience.end()
            return connection
    return None


def run(connection: PlmConnection, house: House, *, once: bool = False) -> None:
    """Let a connector do its rounds until it is to stop; with `once`, until nothing waits that a round could
    take.

    Where a service does not answer it waits, ever longer, and goes on when it does.

    Raises:
        UnavailableError: with `once`, a service does not answer.
        MfgvizError: what no waiting mends, such as a token that is not valid.
    """
    until, patience = time.monotonic() + ONCE_MAX_S, _Patience(house)
    while not house.stopping.is_set():
        try:
            done = connection.round()
        except (UnavailableError, TooManyError) as error:
            if once:
                raise
            patience.wait(error)
            continue
        patience.end()
        if once and (not done.unsettled or time.monotonic() > until):
            return
        house.stopping.wait(connection.interval_s)


def note_refusal(house: House, subject: str, error: MfgvizError) -> None:
    """Tell of something that cannot be used: in events, audit trail and log, and to who looks on.

    Raises:
        UnavailableError: it could not be noted.
    """
    house.doors.report_refusal(
        wire.Refusal(
            subject=_text(subject)[:256] or "?",
            code=error.code,
            message=_text(error.message),
            remedy=_text(error.remedy),
        )
    )
    house.report(Report("refused", subject, f"{error.code}: {error.message}"))


def _text(told: str) -> str:
    """Text that every database keeps and no terminal obeys."""
    return "".join(c if c.isprintable() or c == "\n" else "\ufffd" for c in told)[:2000]


class RenderFeed:
    """Which revisions got renders, or lost them to a review, since one last looked."""

    def __init__(self, doors: Doors) -> None:
        self._doors = doors
        self._after = doors.last_event()
        self._found: set[str] = set()

    def changed(self) -> set[str]:
        """The references of those revisions; where this fails, they are told the next time."""
        while True:
            events = self._doors.event_log(kind="render", after=self._after, limit=PAGE).items
            self._found |= {one.revision for one in events if one.revision is not None}
            if events:
                self._after = events[-1].id
            if len(events) < PAGE:
                found, self._found = self._found, set()
                return found


def current_renders(doors: Doors, reference: str) -> list[wire.Render]:
    """The renders of what a revision shows now that nobody rejected, oldest first; the last few thousand."""
    found: list[wire.Render] = []
    cursor: str | None = None
    while len(found) < MOST_RENDERS:
        page = doors.renders(revision=reference, cursor=cursor, limit=PAGE)
        found += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    usable = [one for one in found if one.is_current and one.review_state in ("proposed", "approved")]
    return usable[::-1]
