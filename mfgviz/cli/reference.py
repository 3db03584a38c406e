"""The reference page of the command line, made from the commands themselves: `docs/cli.md`."""

from __future__ import annotations

import inspect
from collections.abc import Iterator

import click

from mfgviz.cli import COMMANDS, EXIT_INTERRUPTED, EXIT_UNEXPECTED, group
from mfgviz.errors import (
    EXIT_CONFLICT,
    EXIT_FORBIDDEN,
    EXIT_INVALID,
    EXIT_JOB_CANCELLED,
    EXIT_JOB_FAILED,
    EXIT_NOT_FOUND,
    EXIT_UNAVAILABLE,
)

EXIT_CODES = {
    0: "done",
    EXIT_UNEXPECTED: "something unforeseen; MFGVIZ_LOG_LEVEL=DEBUG shows the traceback",
    2: "the command line cannot be understood",
    EXIT_NOT_FOUND: "what was named is not there",
    EXIT_CONFLICT: "in conflict with what is recorded",
    EXIT_INVALID: "the input cannot be used",
    EXIT_UNAVAILABLE: "a service or a program does not answer",
    EXIT_JOB_FAILED: "a job failed",
    EXIT_JOB_CANCELLED: "a job was cancelled",
    EXIT_FORBIDDEN: "the server refuses the token, or the token may not do that",
    EXIT_INTERRUPTED: "interrupted",
}

INTRODUCTION = """\
# The command line

Every command takes `--json`: the answer is one JSON value on stdout (`jobs watch`: one a line), an
error is `{"error": {"code", "message", "remedy"}}` on stderr. Without it a terminal shows tables and
bars, and a pipe gets tab-separated lines without a head. `NO_COLOR` is honoured. Times are UTC.
`mfgviz completion bash|zsh|fish` prints the completion script.

With `mfgviz --server URL …`, or `MFGVIZ_SERVER_URL`, a command asks that server's HTTP API instead of the
database; options, answers and exit codes stay the same. The token comes from `MFGVIZ_TOKEN`. There is no
option for it, for everybody on a host can read the list of its processes. What works on a host's own database
and files says so and does nothing: `up`, `serve`, `demo`, `db`, `revisions maps`, `renders verify` and
`replay`, `models add`, `remove` and `check`, and `--atomic`. `doctor` looks at the server instead.

| exit code | means |
| --- | --- |
"""


def commands() -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by its full name."""
    context = click.Context(group)
    for name in COMMANDS:
        command = group.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from ((f"{name} {child}", one) for child, one in command.commands.items())
        else:
            yield name, command


def page() -> str:
    """The whole page, as Markdown."""
    codes = "\n".join(f"| {code} | {told} |" for code, told in EXIT_CODES.items())
    sections = [_section(name, command) for name, command in commands()]
    return INTRODUCTION + codes + "\n\n" + "\n".join(sections)


def _section(name: str, command: click.Command) -> str:
    context = click.Context(command, info_name=f"mfgviz {name}")
    told, examples = _told(command)
    usage = " ".join(["mfgviz", name, *command.collect_usage_pieces(context)])
    lines = [f"## mfgviz {name}", "", told, "", "```", usage, "```", ""]
    if examples:
        lines += ["For example:", "", "```", *examples, "```", ""]
    records = [_record(option, context) for option in command.params if isinstance(option, click.Option)]
    lines += ["| option | |", "| --- | --- |", *records, ""]
    return "\n".join(lines)


def _told(command: click.Command) -> tuple[str, list[str]]:
    """The help's text, and its examples."""
    lines = [line for line in inspect.cleandoc(command.help or "").splitlines() if line.strip() != "\b"]
    mark = "Example: "
    examples = [line.removeprefix(mark) for line in lines if line.startswith(mark)]
    text = "\n".join(line for line in lines if not line.startswith(mark)).strip()
    return text, examples


def _record(option: click.Option, context: click.Context) -> str:
    names, told = option.get_help_record(context) or ("", "")
    return f"| `{_cell(names)}` | {_cell(told)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    click.echo(page(), nl=False)
