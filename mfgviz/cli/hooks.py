"""`mfgviz hooks`."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import click

from mfgviz.cli.output import Output, command_output, read_secret

COLUMNS = ["name", "path", "requester", "enabled", "created_by", "created_at"]
MAPPING_MAX_BYTES = 1 << 20


@click.group()
def hooks() -> None:
    """Places where a PLM tells of part revisions, with signed messages of its own form."""


@hooks.command()
@click.argument("name")
@click.option(
    "--mapping", required=True, type=click.Path(path_type=Path), help="TOML or JSON: how its JSON is read."
)
@click.option("--requester", required=True, help="Whom it acts for, such as plm.")
@click.option(
    "--secret-file",
    type=click.Path(path_type=Path, allow_dash=True),
    help="Holds the secret; - is stdin. A new one is made without it.",
)
@command_output
def add(out: Output, name: str, mapping: Path, requester: str, secret_file: Path | None) -> None:
    """Add an inbound hook; its secret is shown once.

    \b
    Example: mfgviz hooks add windchill --mapping windchill.toml --requester plm
    """
    from mfgviz import wire

    plain: dict[str, Any] = {"name": name, "mapping": read_mapping(mapping), "requester": requester}
    if secret_file is not None:
        plain["secret"] = read_secret(secret_file)
    made = out.doors.add_hook(wire.read(wire.NewHookBody, plain))
    told = f"{made.secret}\n\nThat signs what is posted to {made.path}. It is not shown again."
    out.item(made.model_dump(), told)


@hooks.command("list")
@command_output
def list_(out: Output) -> None:
    """List the inbound hooks.

    \b
    Example: mfgviz hooks list
    """
    out.rows([one.model_dump() for one in out.doors.hooks()], COLUMNS, "No inbound hooks.")


@hooks.command()
@click.argument("name")
@command_output
def show(out: Output, name: str) -> None:
    """Show an inbound hook and its mapping, without its secret.

    \b
    Example: mfgviz hooks show windchill
    """
    out.item(out.doors.hook(name).model_dump())


@hooks.command()
@click.argument("name")
@command_output
def remove(out: Output, name: str) -> None:
    """Drop an inbound hook; what it did stays.

    \b
    Example: mfgviz hooks remove windchill
    """
    out.doors.remove_hook(name)
    out.item({"removed": name}, f"Removed the inbound hook {name!r}.")


@hooks.command()
@click.argument("name")
@command_output
def enable(out: Output, name: str) -> None:
    """Take messages there again.

    \b
    Example: mfgviz hooks enable windchill
    """
    _set_enabled(out, name, enabled=True)


@hooks.command()
@click.argument("name")
@command_output
def disable(out: Output, name: str) -> None:
    """Take no messages there for now.

    \b
    Example: mfgviz hooks disable windchill
    """
    _set_enabled(out, name, enabled=False)


@hooks.command()
@click.argument("name")
@command_output
def rotate(out: Output, name: str) -> None:
    """Give an inbound hook a new secret, which is shown once; the old one ends now.

    \b
    Example: mfgviz hooks rotate windchill
    """
    made = out.doors.rotate_hook(name)
    told = f"{made.secret}\n\nThat signs what is posted to {made.path} from now on. It is not shown again."
    out.item(made.model_dump(), told)


def read_mapping(path: Path) -> dict[str, Any]:
    """A mapping's file. Raises InputFileNotFoundError, InvalidMappingError."""
    from mfgviz.errors import InputFileNotFoundError, InvalidMappingError

    try:
        with path.open("rb") as stream:
            content = stream.read(MAPPING_MAX_BYTES + 1)
    except OSError as error:
        raise InputFileNotFoundError(f"{path} cannot be read: {error.strerror}.") from error
    if len(content) > MAPPING_MAX_BYTES:
        raise InvalidMappingError(f"{path} has more than {MAPPING_MAX_BYTES:,} bytes.")
    try:
        text = content.decode("utf-8")
        plain = json.loads(text) if path.suffix.lower() == ".json" else tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise InvalidMappingError(f"{path} cannot be read: {error}.") from error
    if not isinstance(plain, dict):
        raise InvalidMappingError(f"{path} holds no table.")
    return plain


def _set_enabled(out: Output, name: str, *, enabled: bool) -> None:
    from mfgviz import wire

    changed = out.doors.enable_hook(name, wire.EnabledBody(enabled=enabled))
    out.item(changed.model_dump(), f"The inbound hook {name!r} is {'enabled' if enabled else 'disabled'}.")
