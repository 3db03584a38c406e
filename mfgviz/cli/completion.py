"""`mfgviz completion`."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from mfgviz.cli.output import Output, command_output

INSTALL = {
    "bash": 'eval "$(mfgviz completion bash)"   in ~/.bashrc',
    "zsh": 'eval "$(mfgviz completion zsh)"   in ~/.zshrc',
    "fish": "mfgviz completion fish > ~/.config/fish/completions/mfgviz.fish",
}


@click.command()
@click.argument("shell", type=click.Choice(list(INSTALL)))
@command_output
def completion(out: Output, shell: str) -> None:
    """Print the completion script of a shell; put it where the shell reads it.

    \b
    Example: eval "$(mfgviz completion bash)"
    """
    from mfgviz.cli import group

    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(group, {}, "mfgviz", "_MFGVIZ_COMPLETE").source()
    out.item(
        {"shell": shell, "install": INSTALL[shell], "script": script},
        f"# To install it: {INSTALL[shell]}\n{script}",
    )
