"""How things are shown: tables on a terminal, plain lines in a pipe, JSON where it is asked for."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mfgviz.errors import InvalidInputError, MfgvizError

if TYPE_CHECKING:
    from mfgviz.bulk import Rejected
    from mfgviz.client import Client
    from mfgviz.runtime import Runtime
    from mfgviz.service import Service
    from mfgviz.settings import Settings
    from mfgviz.wire import Page

    Doors = Service | Client

R = TypeVar("R")
T = TypeVar("T")
# How long a command waits for a server that says it is asked too much.
PATIENCE_S = 120.0
PAGE = 500
Row = dict[str, Any]
RECORD_ID = click.IntRange(1, 2**63 - 1)
# What a terminal would obey instead of show; a part's name may come from anywhere.
_CONTROLS = dict.fromkeys((*range(32), *range(127, 160)), "\ufffd")
_IN_LINES = _CONTROLS | {ord("\n"): "\n", ord("\t"): " "}
_IN_CELLS = _CONTROLS | dict.fromkeys(map(ord, "\t\r\n"), " ")


@dataclass(slots=True)
class Output:
    """Where a command puts its answer."""

    as_json: bool = False
    _settings: Settings | None = field(default=None, repr=False)
    _runtime: Runtime | None = field(default=None, repr=False)
    _client: Client | None = field(default=None, repr=False)
    _doors: Doors | None = field(default=None, repr=False)

    @property
    def is_terminal(self) -> bool:
        """Whether a person looks on: no pipe, no --json."""
        return not self.as_json and sys.stdout.isatty()

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        if self._settings is None:
            import logging

            from mfgviz.settings import load_settings

            self._settings = load_settings()
            level = self._settings.log_level.upper()
            logging.basicConfig(level=level, format="%(levelname)s %(message)s")
        return self._settings

    @property
    def is_remote(self) -> bool:
        """Whether a server is asked, and not the database."""
        return bool(self.settings.server_url)

    def require_local(self) -> None:
        """Refuse to run where a server is to be asked. Raises InvalidInputError."""
        if self.is_remote:
            command = click.get_current_context().command_path
            raise InvalidInputError(
                f"`{command}` works on this host's database and files, not through a server.",
                remedy="Run it on the server's host, without --server and MFGVIZ_SERVER_URL.",
            )

    @property
    def runtime(self) -> Runtime:
        """The process's connections, from the settings in force."""
        if self._runtime is None:
            from mfgviz.runtime import Runtime

            self.require_local()
            self._runtime = Runtime(self.settings)
            click.get_current_context().call_on_close(self._runtime.close)
        return self._runtime

    @property
    def client(self) -> Client:
        """The server that is to be asked."""
        if self._client is None:
            from mfgviz.client import TOKEN_MARK, Client

            url = self.settings.server_url
            # A connect string's own token is for that server; another may not be.
            token = "" if f"#{TOKEN_MARK}" in url else self.settings.token
            self._client = Client(url, token.strip(), patience_s=PATIENCE_S)
            click.get_current_context().call_on_close(self._client.close)
        return self._client

    @property
    def doors(self) -> Doors:
        """What people can ask for: of the database, or of the server that `--server` names."""
        if self._doors is None:
            if self.is_remote:
                self._doors = self.client
            else:
                import logging

                from mfgviz.service import Service

                # Who listens learns of it a second later then: no news for whoever runs a command.
                logging.getLogger("mfgviz.live").setLevel(logging.ERROR)
                self._doors = Service(self.runtime, self.actor)
        return self._doors

    @property
    def actor(self) -> str:
        """Who runs the command."""
        return self.runtime.settings.requester

    def rows(self, rows: Sequence[Row], columns: Sequence[str], empty: str = "Nothing.") -> None:
        """A list: a JSON array, a table, or tab-separated lines without a head."""
        if self.as_json:
            self.json(list(rows))
        elif self.is_terminal:
            self._table(rows, columns) if rows else click.echo(empty)
        else:
            for row in rows:
                click.echo("\t".join(plain(row.get(column)) for column in columns))

    def line(self, row: Row, columns: Sequence[str]) -> None:
        """One row of a list that goes on: a JSON object a line, or tab-separated values."""
        if self.as_json:
            click.echo(json.dumps(row, default=_jsonable, ensure_ascii=False))
        else:
            click.echo("\t".join(plain(row.get(column)) for column in columns))
        sys.stdout.flush()

    def item(self, item: Row, told: str | None = None) -> None:
        """One thing: a JSON object, or a sentence, or its fields one a line."""
        if self.as_json:
            self.json(item)
        elif told is not None:
            click.echo(told)
        else:
            lines = list(flat(item))
            width = max((len(key) for key, _ in lines), default=0)
            for key, value in lines:
                click.echo(f"{key.ljust(width)}  {value}" if self.is_terminal else f"{key}\t{value}")

    def json(self, value: Any) -> None:
        """One JSON value on stdout."""
        click.echo(
            json.dumps(
                value, default=_jsonable, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None
            )
        )

    def note(self, text: str) -> None:
        """A remark for people, on stderr."""
        click.echo(text.translate(_IN_LINES), err=True)

    @contextmanager
    def progress(self, what: str, total: int | None) -> Iterator[Callable[[int], None]]:
        """A bar for long work on a terminal; `advance(n)` moves it. Nothing elsewhere."""
        if not (self.is_terminal and sys.stderr.isatty()):
            yield lambda _n: None
            return
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(what, total=total)
            yield lambda n: bar.advance(task, n)

    def _table(self, rows: Sequence[Row], columns: Sequence[str]) -> None:
        from rich.console import Console
        from rich.markup import escape
        from rich.table import Table

        table = Table(*(column.replace("_", " ") for column in columns), box=None, pad_edge=False)
        for column in table.columns:
            column.overflow = "fold"  # a name cut short cannot be copied
        for row in rows:
            table.add_row(*(escape(plain(row.get(column))) for column in columns))
        Console().print(table)


def first_of(page: Callable[[str | None, int], Page[T]], limit: int, cursor: str | None = None) -> list[T]:
    """The first `limit` things of a list that comes in pages; `page(cursor, limit)` brings one."""
    found: list[T] = []
    while True:
        got = page(cursor, min(PAGE, limit - len(found)))
        found += got.items
        cursor = got.next_cursor
        if cursor is None or len(found) >= limit:
            return found


def command_output(function: Callable[..., R]) -> Callable[..., R]:
    """Give a command the --json option, and an `Output` as its first argument."""

    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    @wraps(function)
    def wrapped(*args: Any, as_json: bool, **kwargs: Any) -> R:
        return function(Output(as_json), *args, **kwargs)

    return wrapped


def plain(value: object) -> str:
    """A value as people read it: UTC times to the second, `-` for nothing."""
    match value:
        case None:
            told = ""
        case datetime():
            told = f"{value.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
        case timedelta():
            told = duration(value)
        case bool():
            told = "yes" if value else "no"
        case list() | tuple():
            told = ", ".join(map(plain, value))
        case dict():
            told = " ".join(f"{key}={plain(one)}" for key, one in value.items())
        case _:
            told = str(value).translate(_IN_CELLS)
    return told or "-"


def flat(item: Row) -> Iterator[tuple[str, str]]:
    """The fields of one thing, those of a dictionary in it one a line."""
    for key, value in item.items():
        if isinstance(value, dict) and value:
            yield from ((f"{key}.{inner}", text) for inner, text in flat(value))
        else:
            yield key, plain(value)


def duration(time: timedelta) -> str:
    """`0.4 s`, `12 s`, `3 min 05 s`, `2 h 10 min`."""
    seconds = time.total_seconds()
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def show_error(error: MfgvizError, *, as_json: bool) -> None:
    """An error on stderr: what, and what to do."""
    show_message(error.as_json(), as_json=as_json)


def show_message(told: dict[str, str], *, as_json: bool) -> None:
    """Code, message and remedy on stderr."""
    if as_json:
        click.echo(json.dumps({"error": told}, ensure_ascii=False), err=True)
        return
    click.secho("Error: ", fg="red", nl=False, err=True, color=False if no_color() else None)
    click.echo(told["message"].translate(_IN_LINES), err=True)
    if told["remedy"]:
        click.echo(told["remedy"].translate(_IN_LINES), err=True)


def no_color() -> bool:
    """Whether the person asked for no colors (no-color.org)."""
    return bool(os.environ.get("NO_COLOR"))


def rejected_row(rejected: Rejected) -> Row:
    """A line of a file that could not be used."""
    return {"line": rejected.line, "code": rejected.code, "reason": rejected.reason}


def parse_pairs(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    """A callback for repeated KEY=VALUE options; numbers and true/false become such."""
    pairs: dict[str, Any] = {}
    for text in values:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise click.BadParameter(f"{text!r} is not of the form KEY=VALUE.")
        pairs[key.strip()] = scalar(value)
    return pairs


def read_secret(path: Path) -> str:
    """The secret that a file (- is stdin) holds, without line ends. Raises InputFileNotFoundError."""
    from mfgviz.errors import InputFileNotFoundError

    try:
        with click.open_file(str(path), encoding="utf-8") as stream:
            return str(stream.read(4096)).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputFileNotFoundError(f"{path} cannot be read.") from error


def scalar(text: str) -> str | int | float | bool:
    """A number or a truth where the text is one; leading zeros are no number's."""
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if str(number) == text:
            return number
    return text


def _jsonable(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    return str(value)
