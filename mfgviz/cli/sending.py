"""Lines of a file, sent to a server one by one."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

from mfgviz import wire
from mfgviz.bulk import BulkReport, Line
from mfgviz.cli.waiting import Patience
from mfgviz.errors import (
    DuplicatePartError,
    ForbiddenError,
    InvalidInputError,
    MfgvizError,
    TooManyError,
    UnauthenticatedError,
    UnavailableError,
    error_of,
)
from mfgviz.jobs import Submitted

if TYPE_CHECKING:
    from mfgviz.catalog import NewPart
    from mfgviz.cli.output import Output
    from mfgviz.client import Client

# What would befall every line that follows, too.
STOPS = (UnavailableError, UnauthenticatedError, ForbiddenError, TooManyError)


def send_asks(out: Output, lines: Iterable[Line], advance: Callable[[int], None]) -> BulkReport:
    """Submit the asks of the lines. Each has a key of its own, so that one whose answer is lost goes in once.

    Raises:
        UnavailableError, UnauthenticatedError, ForbiddenError, TooManyError: the server takes no more.
    """
    run, patience = uuid.uuid4().hex, Patience(out.note)

    def send(line: Line, report: BulkReport) -> None:
        answer = patience.ask(lambda: out.client.submit_ask(line.value, f"{run}-{line.number}"))
        report.jobs += [Submitted(one.job, one.how) for one in answer.items]

    return _each(lines, send, advance)


def send_parts(
    out: Output, lines: Iterable[Line], advance: Callable[[int], None], *, update: bool
) -> BulkReport:
    """Add the parts of the lines; with `update` those that are there get the new values. Errors as above."""

    def send(line: Line, report: BulkReport) -> None:
        report.updated += _send_part(out.client, line.value, update=update)

    return _each(lines, send, advance)


def refuse_atomic() -> None:
    """Raises InvalidInputError: lines go to a server one by one."""
    command = click.get_current_context().command_path
    raise InvalidInputError(
        f"`{command} --atomic` takes all lines in one transaction, which only the server's own host does.",
        remedy="Leave --atomic out: lines that went in already do no harm when they are given again.",
    )


def _send_part(client: Client, new: NewPart, *, update: bool) -> bool:
    """Whether the part was there before."""
    plain = {"number": new.number, "name": new.name, "attributes": dict(new.attributes)}
    try:
        client.add_part(wire.read(wire.NewPart, plain))
    except DuplicatePartError:
        if not update:
            raise
        client.change_part(
            new.number, wire.PartChange(name=new.name or None, attributes=dict(new.attributes) or None)
        )
        return True
    return False


def _each(
    lines: Iterable[Line], send: Callable[[Line, BulkReport], None], advance: Callable[[int], None]
) -> BulkReport:
    report = BulkReport()
    for line in lines:
        if line.error is not None:
            report.reject(line.number, line.error)
            continue
        try:
            send(line, report)
        except STOPS as error:
            told = (
                f"Line {line.number} could not be sent, {report.accepted} went in before it. {error.message}"
            )
            raise error_of({**error.as_json(), "message": told}) from error
        except MfgvizError as error:
            report.reject(line.number, error)
        else:
            report.accepted += 1
        advance(1)
    return report
