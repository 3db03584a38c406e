"""How things are shown: tables on a terminal, plain lines in a pipe, JSON where it is asked for."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

import click

from mfgviz.errors import MfgvizError

if TYPE_CHECKING:
    from mfgviz.runtime import Runtime

P = ParamSpec("P")
R = TypeVar("R")
Row = dict[str, Any]


@dataclass(slots=True)
class Output:
    """Where a command puts its answer."""

    as_json: bool = False
    _runtime: Runtime | None = field(default=None, repr=False)

    @property
    def is_terminal(self) -> bool:
        """Whether a person looks on: no pipe, no --json."""
        return not self.as_json and sys.stdout.isatty()

    @property
    def runtime(self) -> Runtime:
        """The process's connections, from the settings in force."""
        if self._runtime is None:
            import logging

            from mfgviz.runtime import Runtime
            from mfgviz.settings import load_settings

            settings = load_settings()
            logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s %(message)s")
            self._runtime = Runtime(settings)
            click.get_current_context().call_on_close(self._runtime.close)
        return self._runtime

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

    def item(self, item: Row, told: str | None = None) -> None:
        """One thing: a JSON object, or a sentence, or its fields one a line."""
        if self.as_json:
            self.json(item)
        elif told is not None:
            click.echo(told)
        else:
            width = max((len(key) for key in item), default=0)
            for key, value in item.items():
                click.echo(
                    f"{key.ljust(width)}  {plain(value)}" if self.is_terminal else f"{key}\t{plain(value)}"
                )

    def json(self, value: Any) -> None:
        """One JSON value on stdout."""
        click.echo(
            json.dumps(
                value, default=_jsonable, ensure_ascii=False, indent=2 if sys.stdout.isatty() else None
            )
        )

    def note(self, text: str) -> None:
        """A remark for people, on stderr."""
        click.echo(text, err=True)

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
        for row in rows:
            table.add_row(*(escape(plain(row.get(column))) for column in columns))
        Console().print(table)


def command_output(function: Callable[..., R]) -> Callable[..., R]:
    """Give a command the --json option, and an `Output` as its first argument."""

    @click.option("--json", "as_json", is_flag=True, help="Print JSON.")
    @wraps(function)
    def wrapped(*args: Any, as_json: bool, **kwargs: Any) -> R:
        return function(Output(as_json), *args, **kwargs)

    return wrapped


def plain(value: object) -> str:
    """A value as people read it: UTC times to the second, nothing for None."""
    if value is None or value == "":
        return "-"
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(plain(one) for one in value) or "-"
    if isinstance(value, dict):
        return " ".join(f"{key}={plain(one)}" for key, one in value.items()) or "-"
    return str(value).replace("\t", " ").replace("\n", " ")


def show_error(error: MfgvizError, *, as_json: bool) -> None:
    """An error on stderr: what, and what to do."""
    if as_json:
        click.echo(json.dumps({"error": error.as_json()}, ensure_ascii=False), err=True)
        return
    click.secho("Error: ", fg="red", nl=False, err=True)
    click.echo(error.message, err=True)
    if error.remedy:
        click.echo(error.remedy, err=True)


def parse_pairs(_ctx: click.Context, _param: click.Parameter, values: tuple[str, ...]) -> dict[str, Any]:
    """A callback for repeated KEY=VALUE options; numbers and true/false become such."""
    pairs: dict[str, Any] = {}
    for text in values:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise click.BadParameter(f"{text!r} is not of the form KEY=VALUE.")
        pairs[key.strip()] = scalar(value)
    return pairs


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
    if isinstance(value, set | frozenset | tuple):
        return list(value)
    return str(value)
