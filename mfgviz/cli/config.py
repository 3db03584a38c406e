"""`mfgviz config`."""

from __future__ import annotations

import os

import click

from mfgviz.cli.output import Output, command_output


@click.group()
def config() -> None:
    """The settings in force."""


@config.command()
@command_output
def show(out: Output) -> None:
    """Print each setting, its value (secrets masked) and where it came from.

    \b
    Example: mfgviz config show
    """
    from dataclasses import asdict

    from mfgviz.settings import explain_settings, load_settings

    out.rows([asdict(row) for row in explain_settings()], ["name", "value", "source"])
    load_settings()  # says what does not go together, after it was shown


@config.command()
@command_output
def path(out: Output) -> None:
    """Print the settings file in force.

    \b
    Example: mfgviz config path
    """
    from mfgviz.settings import find_config_file

    found = find_config_file(os.environ)
    out.item({"path": str(found) if found else None}, str(found or "No file; defaults and variables alone."))
