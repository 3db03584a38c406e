"""`python -m workers.studio.training STAGE`: one stage of the training, resumable."""

from __future__ import annotations

import click

from workers.studio.training.config import TrainingConfig, load_config


@click.group()
@click.option("--config", "name", default="first-cut", show_default=True, help="A preset's name, or a TOML file.")
@click.pass_context
def main(context: click.Context, name: str) -> None:
    """Make the studio model: parts, render, maps, pack, text, denoiser, decoder, export, sheet.

    Data and checkpoints go to MFGVIZ_TRAINING_DIR (default ~/.cache/mfgviz/training). Every stage goes on
    from where it stopped.
    """
    context.obj = load_config(name)


@main.command()
@click.pass_obj
def parts(config: TrainingConfig) -> None:
    """Make random parts as STEP files."""
    from workers.studio.training.parts import make_parts

    click.echo(f"{len(make_parts(config))} parts in {config.folder / 'parts'}")


@main.command()
@click.option("--process", default=0, help="The number of this process, from 0.")
@click.option("--processes", default=1, help="How many processes share the work.")
@click.option("--minutes", default=1e9, help="Stop after so many minutes.")
@click.pass_obj
def render(config: TrainingConfig, process: int, processes: int, minutes: float) -> None:
    """Path-trace the parts."""
    from workers.studio.training.render import render_parts

    click.echo(f"{render_parts(config, process, processes, minutes=minutes)} pictures")


if __name__ == "__main__":
    main()
