"""The command line. Commands are imported when they are run: `mfgviz --help` reads this table alone."""

from __future__ import annotations

import io
import os
import sys
from importlib import import_module

import click

from mfgviz import __version__
from mfgviz.errors import MfgvizError

EXIT_UNEXPECTED = 1
EXIT_INTERRUPTED = 130

# name: (where it is, what it does)
COMMANDS = {
    "demo": ("mfgviz.cli.local:demo", "Render a sample part from start to end."),
    "up": ("mfgviz.cli.local:up", "Run broker, worker and HTTP API on this machine until Ctrl-C."),
    "serve": ("mfgviz.cli.local:serve", "Run the HTTP API alone, on a server."),
    "doctor": ("mfgviz.cli.local:doctor", "Say what is configured, what answers, and what to do."),
    "parts": ("mfgviz.cli.parts:parts", "Add, list, change and import parts."),
    "revisions": ("mfgviz.cli.revisions:revisions", "Revisions of parts: CAD files, states, control maps."),
    "jobs": ("mfgviz.cli.jobs:jobs", "Submit, watch, cancel and retry render jobs."),
    "batches": ("mfgviz.cli.batches:batches", "Jobs over a BOM or a query: show, pause, resume, cancel."),
    "bom": ("mfgviz.cli.bom:bom", "Bills of material: import, show, where-used."),
    "renders": ("mfgviz.cli.renders:renders", "List, export, review, verify and replay renders."),
    "models": ("mfgviz.cli.models:models", "The diffusion models that requests can name."),
    "templates": ("mfgviz.cli.templates:templates", "Named prompts with fields and views."),
    "rules": ("mfgviz.cli.rules:rules", "What events cause: renders that nobody asks for."),
    "connectors": ("mfgviz.cli.connectors:connectors", "PLM systems and watched folders: list, run."),
    "events": ("mfgviz.cli.chronicle:events", "What happened to revisions and renders: list, tail."),
    "audit": ("mfgviz.cli.chronicle:audit", "Who did what, when and from where."),
    "webhooks": ("mfgviz.cli.webhooks:webhooks", "Addresses that are told of events."),
    "hooks": ("mfgviz.cli.hooks:hooks", "Places where a PLM tells of part revisions."),
    "schedules": ("mfgviz.cli.schedules:schedules", "What is done at set times."),
    "tokens": ("mfgviz.cli.tokens:tokens", "Keys to the HTTP API: create, list, revoke."),
    "workers": ("mfgviz.cli.workers:workers", "The workers that reported themselves."),
    "db": ("mfgviz.cli.db:db", "The database and the blobs: tables, backups, checks."),
    "config": ("mfgviz.cli.config:config", "The settings in force."),
    "completion": ("mfgviz.cli.completion:completion", "Print the shell's completion script."),
}

EPILOG = """\b
Exit codes: 0 done · 1 unexpected · 2 usage · 3 not found · 4 conflict ·
5 invalid input · 6 a service does not answer · 7 a job failed ·
8 a job was cancelled · 9 not allowed · 130 interrupted

\b
Example:
  mfgviz up                    # in one terminal
  mfgviz parts add BRK-0042 --attr material=steel
  mfgviz revisions add BRK-0042 A --file bracket.step
  mfgviz jobs submit BRK-0042@A "{material}, studio light" --wait
"""


class LazyGroup(click.Group):
    """A group that imports a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """The command itself, imported now."""
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """The table of commands, without importing any."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, told) for name, (_, told) in COMMANDS.items()])


@click.group(
    cls=LazyGroup,
    epilog=EPILOG,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="mfgviz")
@click.option(
    "--server",
    metavar="URL",
    help="Ask a server's HTTP API instead of the database; its token comes from MFGVIZ_TOKEN.",
)
@click.pass_context
def group(context: click.Context, server: str | None) -> None:
    """Give CAD part revisions their pictures: diffusion renders held to the part's true geometry."""
    if server is not None:
        os.environ["MFGVIZ_SERVER_URL"] = server
        if "#" in server:
            told = "others on this host can read it in the list of processes. MFGVIZ_SERVER_URL may hold it."
            click.echo(f"Note: that address holds a token, and {told}", err=True)
    if os.environ.get("NO_COLOR"):
        context.color = False


def main() -> None:
    """Run the command line; every error becomes a message, a remedy and an exit code."""
    for stream in (sys.stdout, sys.stderr):
        # A name in another alphabet is no reason to fail on a terminal that cannot show it.
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")
    try:
        # What a command exits with comes back as a number.
        code = group.main(prog_name="mfgviz", standalone_mode=False)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Interrupted.", err=True)
        code = EXIT_INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        code = 0
    except Exception as error:  # noqa: BLE001 - the top of the program: what nobody foresaw ends here
        code = _tell(error, as_json="--json" in sys.argv)
    sys.exit(code if isinstance(code, int) else 0)


def _tell(error: Exception, *, as_json: bool) -> int:
    """Show the error on stderr; the exit code it stands for."""
    from mfgviz.cli.output import show_error, show_message

    if isinstance(error, MfgvizError):
        show_error(error, as_json=as_json)
        return error.exit_code
    if isinstance(error, click.ClickException):
        if as_json:
            remedy = "`--help` shows how the command is used."
            show_message({"code": "usage", "message": error.format_message(), "remedy": remedy}, as_json=True)
        else:
            error.show()
        return error.exit_code
    if os.environ.get("MFGVIZ_LOG_LEVEL", "").upper() == "DEBUG":
        import traceback

        traceback.print_exception(error)
        return EXIT_UNEXPECTED
    from mfgviz.masking import mask_secret

    told = mask_secret((str(error).strip() or "no message").splitlines()[0])
    show_message(
        {
            "code": "unexpected",
            "message": f"Something unforeseen went wrong: {type(error).__name__}: {told}",
            "remedy": "Run it again with MFGVIZ_LOG_LEVEL=DEBUG for the traceback, and report that.",
        },
        as_json=as_json,
    )
    return EXIT_UNEXPECTED
