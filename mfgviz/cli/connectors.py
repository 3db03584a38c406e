"""`mfgviz connectors`."""

from __future__ import annotations

import signal
import threading

import click

from mfgviz.cli.output import Output, command_output

COLUMNS = ["name", "title", "options", "source", "error"]
REPORT_COLUMNS = ["what", "subject", "told"]


@click.group()
def connectors() -> None:
    """Connectors to PLM systems and to watched folders: what is released there is rendered here."""


@connectors.command("list")
@command_output
def list_(out: Output) -> None:
    """List the connectors that are installed on this host, and what can be said to each.

    \b
    Example: mfgviz connectors list
    """
    from mfgviz import plm

    found = [one.model_dump() for one in plm.list_connectors()]
    shown = [one | {"options": [option["name"] for option in one["options"]]} for one in found]
    out.rows(found if out.as_json else shown, COLUMNS, "No connector is installed.")


@connectors.command()
@click.argument("name")
@command_output
def show(out: Output, name: str) -> None:
    """Show what can be said to a connector.

    \b
    Example: mfgviz connectors show folder
    """
    from mfgviz import plm

    connector = plm.get_connector(name)
    rows = [option.model_dump() for option in connector.options]
    out.rows(rows, ["name", "default", "required", "doc"], "It has no options.")


@connectors.command()
@click.argument("name")
@click.option(
    "--set", "said", multiple=True, metavar="NAME=VALUE", help="An option of the connector; repeat it."
)
@click.option("--once", is_flag=True, help="Take what is there now, and leave.")
@command_output
def run(out: Output, name: str, said: tuple[str, ...], once: bool) -> None:
    """Run a connector until Ctrl-C; what it does is told a line each. With --server it works through a
    server.

    \b
    Example: mfgviz connectors run folder --set folder=/srv/drop --set template=hero --set views=iso,front
    """
    from dataclasses import asdict

    from mfgviz import journal, plm

    stopping = threading.Event()
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda _number, _frame: stopping.set()) for number in signals]
    connector = plm.get_connector(name)
    options = plm.complete_options(connector, dict(_pair(text) for text in said))
    door = journal.came_from.set({"door": f"connector {name}"})
    house = plm.House(
        doors=out.doors,
        stopping=stopping,
        report=lambda report: out.line(asdict(report), REPORT_COLUMNS),
        max_file_bytes=out.settings.geometry_max_bytes,
    )
    out.note(f"The connector {name} looks once." if once else f"The connector {name} runs. Ctrl-C stops it.")
    try:
        connection = plm.connect(connector, house, options, once=once)
        if connection is not None:
            plm.run(connection, house, once=once)
            connection.close()
    finally:
        journal.came_from.reset(door)
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise click.BadParameter(f"{text!r} is not of the form NAME=VALUE.", param_hint="--set")
    return name.strip(), value
