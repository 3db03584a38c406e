"""`mfgviz models`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from mfgviz.cli.output import Output, Row, command_output
from mfgviz.vocabulary import FAMILIES

if TYPE_CHECKING:
    from mfgviz.wire import ModelInfo


@click.group()
def models() -> None:
    """The diffusion models that requests can name."""


@models.command()
@click.argument("name")
@click.argument("source")
@click.option(
    "--family", required=True, help=f"Its kind: {', '.join(FAMILIES)}, or one that a plugin brings."
)
@click.option(
    "--controlnet", "controlnets", multiple=True, metavar="KIND=PATH", help="Such as depth=/models/depth."
)
@click.option("--t2i-adapter", "adapters", multiple=True, metavar="KIND=PATH")
@click.option("--lora", "loras", multiple=True, metavar="PATH[:SCALE]", help="LoRA weights (safetensors).")
@click.option("--online", is_flag=True, help="Workers may fetch it from the hub.")
@command_output
def add(out: Output, name: str, source: str, family: str, **options: Any) -> None:
    """Record a model: a diffusers folder, or a hub id whose files are in the local cache.

    \b
    Example: mfgviz models add xl /models/sdxl --family sdxl --controlnet depth=/models/depth-xl
    """
    from mfgviz import models as core
    from mfgviz import toolbox
    from mfgviz.errors import DuplicateModelError
    from mfgviz.models_folder import ControlSource, LoraSource, ModelSpec

    out.require_local()
    if name == core.BUNDLED_NAME:
        raise DuplicateModelError(f"{name} is the name of the model that comes with mfgviz.")
    controls = [ControlSource(path, kind) for kind, path in map(_pair, options["controlnets"])]
    controls += [ControlSource(path, kind, "t2i_adapter") for kind, path in map(_pair, options["adapters"])]
    loras = [LoraSource(*_scaled(text)) for text in options["loras"]]
    spec = ModelSpec(
        name, family, _absolute(source), tuple(controls), tuple(loras), offline=not options["online"]
    )
    seen = toolbox.run_tool("inspect-model", {"spec": spec.as_json()})
    with out.runtime.db.begin() as session:
        row = _row(
            core.add_model(session, ModelSpec.from_json(seen["spec"]), seen["capabilities"], out.actor)
        )
    out.item(row, f"Added model {name} ({family}, weights {row['weights_digest'][:12]}).")


@models.command("list")
@command_output
def list_(out: Output) -> None:
    """List the recorded models.

    \b
    Example: mfgviz models list
    """
    if out.is_remote:
        rows = [_remote_row(model) for model in out.doors.models()]
    else:
        from mfgviz import models as core

        with out.runtime.db.read() as session:
            rows = [_row(model) for model in core.list_models(session)]
    out.rows(rows, ["name", "family", "modes", "native_size_px", "weights_digest", "source"], "No models.")


@models.command()
@click.argument("name")
@command_output
def show(out: Output, name: str) -> None:
    """Show a model and what it can do.

    \b
    Example: mfgviz models show studio
    """
    if out.is_remote:
        seen = out.doors.model(name)
        out.item({**_remote_row(seen), **seen.capabilities})
        return
    from mfgviz import models as core

    with out.runtime.db.read() as session:
        model = core.get_model(session, name)
        out.item({**_row(model), **model.spec["capabilities"], "spec": model.spec["model"]})


@models.command()
@click.argument("name")
@command_output
def remove(out: Output, name: str) -> None:
    """Forget a model; its files stay.

    \b
    Example: mfgviz models remove xl
    """
    from mfgviz import models as core

    with out.runtime.db.begin() as session:
        core.remove_model(session, name, out.actor)
    out.item({"removed": name}, f"Removed model {name}.")


@models.command()
@click.argument("name")
@click.option("--refresh", is_flag=True, help="Record the weights that are there now.")
@command_output
def check(out: Output, name: str, refresh: bool) -> None:
    """Compare a model's weights on this host with the recorded ones.

    \b
    Example: mfgviz models check studio
    """
    from mfgviz import models as core
    from mfgviz import toolbox
    from mfgviz.errors import InvalidModelError
    from mfgviz.models_folder import ModelSpec

    with out.runtime.db.read() as session:
        spec = core.spec_of(core.get_model(session, name))
    seen = toolbox.run_tool("inspect-model", {"spec": spec.as_json()})
    found = seen["spec"]["weights_digest"]
    if found != spec.weights_digest and not refresh:
        raise InvalidModelError(
            f"The weights of {name} here are {found[:12]}, the recorded ones {spec.weights_digest[:12]}.",
            remedy=f"Copy the recorded weights here, or record these: mfgviz models check {name} --refresh",
        )
    with out.runtime.db.begin() as session:
        core.refresh_model(session, ModelSpec.from_json(seen["spec"]), seen["capabilities"], out.actor)
    out.item({"name": name, "weights_digest": found}, f"The weights of {name} are the recorded ones.")


@models.command()
@click.argument("name")
@click.option("--quick", is_flag=True, help="A fifth of the parts, and no table of samplers: minutes.")
@click.option("--cases", type=click.IntRange(1), help="So many parts instead.")
@click.option(
    "--out", "folder", type=click.Path(path_type=Path), help="For the contact sheets. [evaluations/NAME]"
)
@click.option(
    "--inception",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Inception V3 as safetensors, for FID, KID and IS.",
)
@command_output
def evaluate(
    out: Output, name: str, quick: bool, cases: int | None, folder: Path | None, inception: Path | None
) -> None:
    """Measure a model's pictures: outlines, edges, holes, colours, materials, fidelity, seconds.

    On parts of families that the studio model was never trained on, beside the path tracer's pictures and
    plain shading of the same maps. --json prints the figures by name, their bars, and reasons for what is
    null.

    \b
    Example: mfgviz models evaluate studio --quick
    """
    from mfgviz import models as core
    from mfgviz import toolbox
    from mfgviz.cli.evaluation import show

    with out.runtime.db.read() as session:
        spec = core.spec_of(core.get_model(session, name))
    target = folder or out.runtime.settings.data_dir.absolute() / "evaluations" / name
    asked = {"spec": spec.as_json(), "quick": quick, "cases": cases, "out_dir": str(target)}
    if inception:
        asked["inception"] = str(inception.absolute())
    found = toolbox.run_tool("evaluate-model", asked, tells=True)
    if out.as_json:
        out.json(found)
    else:
        show(out, found)


def _pair(text: str) -> tuple[str, str]:
    kind, equals, path = text.partition("=")
    if not equals:
        raise click.BadParameter(f"{text!r} is not of the form KIND=PATH.")
    return kind, _absolute(path)


def _scaled(text: str) -> tuple[str, float]:
    path, colon, scale = text.rpartition(":")
    if not colon:
        return _absolute(text), 1.0
    try:
        return _absolute(path), float(scale)
    except ValueError:
        return _absolute(text), 1.0


def _absolute(source: str) -> str:
    """Paths are recorded absolute; what is no path here stays as it is (a hub id)."""
    from pathlib import Path

    path = Path(source).expanduser()
    return str(path.absolute()) if path.exists() else source


def _remote_row(model: ModelInfo) -> Row:
    """As a server tells of a model: where its files lie is the server's own affair."""
    return {
        "name": model.name,
        "family": model.family,
        "modes": model.capabilities.get("modes"),
        "native_size_px": model.capabilities.get("native_size_px"),
        "weights_digest": model.weights_digest,
        "source": model.source,
        "created_at": model.created_at,
        "is_default": model.is_default,
    }


def _row(model: Any) -> Row:
    capabilities = model.spec["capabilities"]
    return {
        "name": model.name,
        "family": model.family,
        "modes": capabilities["modes"],
        "native_size_px": capabilities["native_size_px"],
        "weights_digest": model.weights_digest,
        "source": model.spec["model"]["source"],
        "created_at": model.created_at,
    }
