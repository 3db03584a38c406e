"""The stages that make what judges and measures pictures: pairs, judge, materials, evaluation-set."""

from __future__ import annotations

import json
from pathlib import Path

import click

from workers.studio.training.config import TrainingConfig


@click.command()
@click.option("--process", default=0, help="The number of this process, from 0.")
@click.option("--processes", default=1, help="How many processes share the work.")
@click.option("--minutes", default=1e9, help="Stop after so many minutes.")
@click.option("--cases", default=830, help="How many parts of training families.")
@click.option("--held-out", default=72, help="How many parts of held-out families.")
@click.option("--looks", default=4, help="How many further looks of what the judge learns from.")
@click.pass_obj
def pairs(
    config: TrainingConfig,
    process: int,
    processes: int,
    minutes: float,
    cases: int,
    held_out: int,
    looks: int,
) -> None:
    """Make parts with planted defects, their maps and pictures.

    Where the kernel ends the process, run it again: a part that was begun twice is left out.
    """
    from workers.studio.training.pair_looks import make_looks, make_studio_pictures
    from workers.studio.training.pairs import PairsConfig, make_pairs

    wanted = PairsConfig.of(config, cases=cases, held_out_cases=held_out, looks=looks)
    click.echo(f"{make_pairs(wanted, process, processes, minutes=minutes)} cases")
    click.echo(f"{make_looks(wanted, process, processes, minutes=minutes)} pictures in further looks")
    pictures = make_studio_pictures(wanted, process, processes, minutes=minutes)
    click.echo(f"{pictures} pictures of the studio model")


@click.command()
@click.option("--steps", default=14000, help="How many steps, over all runs.")
@click.option("--minutes", default=1e9, help="Stop after so many minutes.")
@click.option("--to", type=click.Path(path_type=Path), help="The folder; default workers/judge/weights.")
@click.pass_obj
def judge(config: TrainingConfig, steps: int, minutes: float, to: Path | None) -> None:
    """Train the judge of fidelity, calibrate it, and print how it does on held-out families."""
    from workers.fidelity import WEIGHTS
    from workers.judge.inputs import SMALL_PX, WORKING_PX
    from workers.studio.training import judge as stage
    from workers.studio.training import judge_tables as tables
    from workers.studio.training.pairs import PairsConfig, read_cases

    wanted = PairsConfig.of(config)
    checkpoint = config.folder / "judge.pt"
    how = stage.JudgeConfig(steps, minutes)
    if config.start_from:  # what a trained judge knows, a quicker rate would make it forget
        how = stage.JudgeConfig(steps, minutes, learning_rate=1e-3, begin=WEIGHTS)
    network = stage.train(config, how, checkpoint)
    network = network.half().float()  # as it ships
    learnt = read_cases(wanted, held_out=False)
    calibration, small = (
        tables.calibrate(network, learnt, size_px, bf16=config.bf16) for size_px in (WORKING_PX, SMALL_PX)
    )
    measuring = read_cases(wanted, held_out=True)
    held_out = tables.judge_cases(network, measuring, baselines=True, bf16=config.bf16)
    measured = tables.table(held_out, calibration)
    click.echo(json.dumps(measured, indent=1))
    size = tables.save_judge(network, calibration, small, measured, to or WEIGHTS)
    click.echo(f"{size / 1e6:.2f} MB")


@click.command()
@click.option("--steps", default=2000, show_default=True, help="How long to train.")
@click.option("--to", type=click.Path(path_type=Path), help="The folder; default workers/evaluation/weights.")
@click.pass_obj
def materials(config: TrainingConfig, steps: int, to: Path | None) -> None:
    """Train the classifier of materials on what is rendered, and print its accuracy."""
    from workers.evaluation.materials import WEIGHTS
    from workers.studio.training import materials as stage
    from workers.studio.training.pairs import PairsConfig

    data = stage.gather([config], PairsConfig.of(config), config.folder / "materials.pt")
    network = stage.train(data, steps)
    measured = stage.accuracy(network, data)
    stage.save(network, measured, to or WEIGHTS)
    click.echo(f"right for {measured[0]:.1%} of kinds, {measured[1]:.1%} of groups, {measured[2]} pictures")


@click.command("evaluation-set")
@click.option("--to", type=click.Path(path_type=Path), help="The folder; default workers/evaluation/set.")
@click.pass_obj
def evaluation_set(config: TrainingConfig, to: Path | None) -> None:
    """Write the set that `mfgviz models evaluate` ships with."""
    from workers.evaluation.cases import SET
    from workers.studio.training.evaluation_set import make_evaluation_set
    from workers.studio.training.pairs import PairsConfig

    click.echo(f"{make_evaluation_set(PairsConfig.of(config), to or SET) / 1e6:.1f} MB")


STAGES = (pairs, judge, materials, evaluation_set)
