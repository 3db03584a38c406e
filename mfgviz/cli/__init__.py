"""The command line. Commands are imported when they are run: `mfgviz --help` reads this table alone."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from mfgviz import __version__
from mfgviz.errors import MfgvizError

# name: (where it is, what it does)
COMMANDS = {
    "demo": ("mfgviz.cli.local:demo", "Render a sample part from start to end."),
    "up": ("mfgviz.cli.local:up", "Run broker and worker on this machine until Ctrl-C."),
    "doctor": ("mfgviz.cli.local:doctor", "Say what is configured, what answers, and what to do."),
    "parts": ("mfgviz.cli.parts:parts", "Add, list, change and import parts."),
    "revisions": ("mfgviz.cli.revisions:revisions", "Revisions of parts: CAD files, states, control maps."),
    "jobs": ("mfgviz.cli.jobs:jobs", "Submit, watch, cancel and retry render jobs."),
    "renders": ("mfgviz.cli.renders:renders", "List, export, verify and replay renders."),
    "models": ("mfgviz.cli.models:models", "The diffusion models that requests can name."),
    "workers": ("mfgviz.cli.workers:workers", "The workers that reported themselves."),
    "db": ("mfgviz.cli.db:db", "The database's tables."),
    "config": ("mfgviz.cli.config:config", "The settings in force."),
    "completion": ("mfgviz.cli.completion:completion", "Print the shell's completion script."),
}

EPILOG = """\b
Exit codes: 0 done · 1 unexpected · 2 usage · 3 not found · 4 conflict ·
5 invalid input · 6 a service does not answer · 7 a job failed ·
8 a job was cancelled · 130 interrupted

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
def group() -> None:
    """Give CAD part revisions their pictures: diffusion renders held to the part's true geometry."""


def main() -> None:
    """Run the command line; every error of ours becomes a message, a remedy and an exit code."""
    try:
        # What a command exits with comes back as a number.
        code = group.main(prog_name="mfgviz", standalone_mode=False)
        sys.exit(code if isinstance(code, int) else 0)
    except click.Abort:
        click.echo("Interrupted.", err=True)
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except MfgvizError as error:
        from mfgviz.cli.output import show_error

        show_error(error, as_json="--json" in sys.argv)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        click.echo("Interrupted.", err=True)
        sys.exit(130)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(0)
