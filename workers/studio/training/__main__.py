"""`python -m workers.studio.training STAGE`: one stage of the training, resumable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from workers.studio.training.config import TrainingConfig, load_config
from workers.studio.training.judge_stages import STAGES


@click.group()
@click.option(
    "--config", "name", default="first-cut", show_default=True, help="A preset's name, or a TOML file."
)
@click.option("--device", help="Where the networks are trained: cpu, cuda. Default: the preset's.")
@click.option("--bf16/--no-bf16", default=None, help="Train in bfloat16. Default: the preset's.")
@click.pass_context
def main(context: click.Context, name: str, device: str | None, bf16: bool | None) -> None:
    """Make the studio model: parts, render, maps, pack, text, denoiser, distill, predict,
    patterns, mirrors, decoder, export.

    Make what judges it: pairs, judge, materials, evaluation-set.

    Data and checkpoints go to MFGVIZ_TRAINING_DIR (default ~/.cache/mfgviz/training). Every stage goes on
    from where it stopped.
    """
    given = {"device": device, "bf16": bf16}
    context.obj = load_config(name, **{key: value for key, value in given.items() if value is not None})


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


@main.command()
@click.option("--process", default=0, help="The number of this process, from 0.")
@click.option("--processes", default=1, help="How many processes share the work.")
@click.pass_obj
def maps(config: TrainingConfig, process: int, processes: int) -> None:
    """Make the control maps of what is rendered."""
    from workers.studio.training.maps import make_maps

    click.echo(f"{make_maps(config, process, processes)} control maps")


@main.command()
@click.pass_obj
def text(config: TrainingConfig) -> None:
    """Make the tokenizer and the text encoder."""
    from workers.studio.training.text import train_text

    train_text(config)


@main.command()
@click.pass_obj
def pack(config: TrainingConfig) -> None:
    """Encode the pictures as latents."""
    from workers.studio.training.pack import make_pack

    made = make_pack(config)
    click.echo(
        f"{len(made.entries)} pictures of {len(made.control)} cameras, deviation {made.latents.std():.3f}"
    )


@main.command()
@click.option("--processes", default=1, help="How many processes of one thread each.")
@click.pass_obj
def denoiser(config: TrainingConfig, processes: int) -> None:
    """Train the denoiser, its hint encoder and the text encoder."""
    from workers.studio.training.denoiser import train_denoiser, train_together

    train_together(train_denoiser, config, processes)


@main.command()
@click.option("--processes", default=1, help="How many processes of one thread each.")
@click.pass_obj
def distill(config: TrainingConfig, processes: int) -> None:
    """Teach a student to do in one evaluation what guidance takes two for."""
    from workers.studio.training.denoiser import train_together
    from workers.studio.training.distill import train_distilled

    train_together(train_distilled, config, processes)


@main.command()
@click.option("--minutes", default=1e9, help="Stop after so many minutes.")
@click.pass_obj
def predict(config: TrainingConfig, minutes: float) -> None:
    """Let the denoiser predict latents for the decoder to learn from."""
    from workers.studio.training.decoder import make_predictions

    click.echo(f"{make_predictions(config, minutes=minutes)} predictions")


@main.command()
@click.pass_obj
def patterns(config: TrainingConfig) -> None:
    """Learn which patterns (wood, weave, planks) a prompt calls for."""
    from workers.studio.training.patterns import fit_patterns

    heard, imagined = fit_patterns(config)
    click.echo(f"{heard:.1%} of the calls are heard, {imagined:.2%} of the others imagined")


@main.command()
@click.pass_obj
def mirrors(config: TrainingConfig) -> None:
    """Learn which metal, light and ground a prompt names; gather what metal mirrors."""
    from workers.studio.training.mirrors import fit_mirrors

    shares = zip(("metals", "lights", "grounds"), fit_mirrors(config), strict=True)
    click.echo("read rightly: " + ", ".join(f"{share:.1%} of the {what}" for what, share in shares))


@main.command("try-mirrors")
@click.option("--count", default=9, show_default=True, help="How many parts.")
@click.option("--weights", type=click.Path(exists=True, path_type=Path), help="Default the shipped ones.")
def try_mirrors(count: int, weights: Path | None) -> None:
    """Print how near metals come to the path tracer's, by how much of them is looked up."""
    import torch

    from workers.studio.pipeline import StudioPipeline
    from workers.studio.training import mirrors as stage
    from workers.studio.training.export import WEIGHTS

    pipeline = StudioPipeline.from_pretrained(weights or WEIGHTS, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    for row in stage.try_strengths(pipeline, count):
        click.echo("  ".join(f"{name} {value:g}" for name, value in row.items()))


@main.command()
@click.pass_obj
def decoder(config: TrainingConfig) -> None:
    """Train the geometry-guided decoder."""
    from workers.studio.training.decoder import train_decoder

    train_decoder(config)


@main.command()
@click.option("--to", type=click.Path(path_type=Path), help="The folder; default workers/studio/weights.")
@click.pass_obj
def export(config: TrainingConfig, to: Path | None) -> None:
    """Write the weights as a diffusers folder."""
    from workers.studio.training import export as stage

    click.echo(f"{stage.export(config, to or stage.WEIGHTS) / 1e6:.1f} MB")


@main.command()
@click.argument("files", nargs=-1, type=click.Path(exists=True, path_type=Path))
@click.option("--to", default="sheet.jpg", type=click.Path(path_type=Path), help="The PNG or JPEG to write.")
@click.option("--view", default="iso", help="A standard view.")
@click.option("--seed", default=7, help="The seed of all pictures.")
@click.option("--cell", "cell_px", default=256, help="Pixels of one picture on the sheet.")
@click.option("--weights", type=click.Path(exists=True, path_type=Path), help="A diffusers folder.")
@click.pass_obj
def sheet(
    config: TrainingConfig, /, files: tuple[Path, ...], to: Path, weights: Path | None, **how: Any
) -> None:
    """Render STEP FILES, or the fixed set of eight parts, with ten prompts side by side."""
    from workers.studio.pipeline import StudioPipeline
    from workers.studio.training.export import trained_pipeline
    from workers.studio.training.sheet import contact_sheet, shown_parts, view_control

    pipeline = StudioPipeline.from_pretrained(weights) if weights else trained_pipeline(config)
    pipeline.set_progress_bar_config(disable=True)
    view = how.pop("view")
    controls = [view_control(path, view) for path in files or shown_parts(config)]
    contact_sheet(pipeline, controls, **how).save(to, quality=80)


@main.command()
@click.option("--count", default=12, show_default=True, help="How many held-out cameras.")
@click.option(
    "--weights",
    type=click.Path(exists=True, path_type=Path),
    help="A diffusers folder; default the shipped one.",
)
@click.pass_obj
def evaluate(config: TrainingConfig, count: int, weights: Path | None) -> None:
    """Print figures of a weights folder on held-out families, as JSON."""
    from workers.studio.pipeline import StudioPipeline
    from workers.studio.training import evaluate as stage
    from workers.studio.training.export import WEIGHTS

    folder = weights or WEIGHTS
    pipeline = StudioPipeline.from_pretrained(folder)
    pipeline.set_progress_bar_config(disable=True)
    click.echo(json.dumps(stage.evaluate(config, pipeline, folder, count), indent=2))


for stage_of_judge in STAGES:
    main.add_command(stage_of_judge)

if __name__ == "__main__":
    main()
