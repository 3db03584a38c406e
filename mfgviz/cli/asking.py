"""The options that say what the picture shall be, and the ask they stand for."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from mfgviz.cli.output import Output, parse_pairs
from mfgviz.requests import CLAY
from mfgviz.vocabulary import CUSTOM_VIEW, SAMPLERS, STANDARD_VIEWS, FidelityPolicy, Mode, Projection

if TYPE_CHECKING:
    from mfgviz.intake import Ask
    from mfgviz.requests import View

R = TypeVar("R")
PROJECTION, MARGIN = "perspective", 0.08


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """The options of `jobs submit` that decide the picture, and over what it is asked for, as they were
    given."""

    template: str | None
    views: tuple[str, ...]
    camera: Path | None
    projection: str
    margin: float
    size: str | None
    count: int | None
    seed: int
    steps: int | None
    guidance_scale: float | None
    sampler: str | None
    model: str | None
    negative_prompt: str
    mode: str | None
    image: str | None
    strength: float
    control_scale: float | None
    fields: dict[str, Any]
    priority: str
    force: bool
    fidelity: str | None
    fidelity_retries: int | None
    bom: str | None
    query: str | None
    everything: bool

    @property
    def is_batch(self) -> bool:
        """Whether it is for more than one revision."""
        return self.bom is not None or self.query is not None or self.everything


PICTURE = frozenset(item.name for item in fields(Wish))

_OPTIONS = [
    click.option("--template", help="A template's name: it says what is left out here, prompt and all."),
    click.option(
        "--view", "views", multiple=True, type=click.Choice(STANDARD_VIEWS), help="A view; repeat it. [iso]"
    ),
    click.option("--camera", type=click.Path(path_type=Path), help="JSON file of a custom view."),
    click.option("--projection", type=click.Choice([p.value for p in Projection]), default=PROJECTION),
    click.option("--margin", type=float, default=MARGIN, help="Free share of the frame on each side."),
    click.option("--size", help="Pixels: SIDE or WIDTHxHEIGHT; the model's own by default."),
    click.option("--count", type=int, help="Images, with seeds that follow one another. [1]"),
    click.option("--seed", type=int, default=0),
    click.option("--steps", type=int, help="Sampling steps (num_inference_steps)."),
    click.option("--guidance-scale", type=float),
    click.option("--sampler", type=click.Choice(SAMPLERS)),
    click.option("--model", help="A recorded model's name."),
    click.option("--negative-prompt", default=""),
    click.option("--mode", type=click.Choice([m.value for m in Mode]), help="What holds it. [control]"),
    click.option("--image", help="Starting image of image mode: a file, or `clay`."),
    click.option("--strength", type=float, default=0.7, help="How far from the starting image, 0 to 1."),
    click.option("--control-scale", type=float, help="Geometry strength, 0 to 1. [1]"),
    click.option(
        "--field", "fields", multiple=True, callback=parse_pairs, metavar="KEY=VALUE", help="For the prompt."
    ),
    click.option("--priority", type=click.Choice(["low", "normal", "high"]), default="normal"),
    click.option("--force", is_flag=True, help="Render even where the same picture exists."),
    click.option(
        "--fidelity",
        type=click.Choice([policy.value for policy in FidelityPolicy]),
        help="Pictures that do not show the part: accept, mark, or retry with more geometry strength.",
    ),
    click.option("--fidelity-retries", type=int, help="With --fidelity retry: how often at most."),
    click.option("--bom", metavar="REVISION", help="A batch: that revision and all that is in it."),
    click.option("--query", metavar="EXPRESSION", help="A batch: all parts' current revisions that fit."),
    click.option("--all", "everything", is_flag=True, help="With --query: one without a field is meant."),
]


def picture_options(function: Callable[..., R]) -> Callable[..., R]:
    """Give a command the options of a `Wish`, and the wish as its argument `wish`."""

    @wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> R:
        wish = Wish(**{name: kwargs.pop(name) for name in PICTURE})
        return function(*args, wish=wish, **kwargs)

    # wraps carries over the click parameters gathered so far; the wish's own are added to them.
    decorated: Callable[..., R] = wrapped
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated


def parse_size(text: str) -> tuple[int, int]:
    """`512` or `768x512` to (width, height) in px. Raises click.BadParameter."""
    found = re.fullmatch(r"([0-9]{1,6})(?:[xX]([0-9]{1,6}))?", text.strip())
    if not found:
        raise click.BadParameter(f"{text!r} is no size: give SIDE or WIDTHxHEIGHT.", param_hint="--size")
    return int(found[1]), int(found[2] or found[1])


def make_ask(out: Output, reference: str, prompt: str, wish: Wish) -> Ask:
    """The wish as an ask; a starting image's file is stored.

    Raises:
        InvalidRequestError, InputFileNotFoundError, ImageUnreadableError: an option cannot be used.
    """
    from mfgviz.intake import Ask
    from mfgviz.requests import check_size

    width, height = parse_size(wish.size) if wish.size else (None, None)
    if width and height:
        check_size(width, height)
    mode = Mode(wish.mode) if wish.mode else Mode.IMAGE if wish.image else Mode.CONTROL
    image = wish.image
    if image not in (None, CLAY) and mode is Mode.IMAGE:
        image = _store_image(out, Path(image))
    return Ask(
        revision=reference,
        prompt=prompt,
        template=wish.template,
        negative_prompt=wish.negative_prompt,
        views=_views(out, wish),
        model=wish.model,
        sampler=wish.sampler,
        num_inference_steps=wish.steps,
        guidance_scale=wish.guidance_scale,
        seed=wish.seed,
        width=width,
        height=height,
        count=wish.count,
        mode=mode,
        control_scale=wish.control_scale,
        image=image,
        strength=wish.strength,
        priority=wish.priority,
        force=wish.force,
        fidelity_policy=wish.fidelity,
        fidelity_retries=wish.fidelity_retries,
        fields={key: str(value) for key, value in wish.fields.items()},
    )


def _views(out: Output, wish: Wish) -> tuple[View, ...] | None:
    """The views that are asked for; None where that is left to the template, or to the one default view."""
    from mfgviz.requests import View

    names: Sequence[str] = wish.views
    if not names and not wish.camera:
        if (wish.projection, wish.margin) == (PROJECTION, MARGIN):
            return None
        names = out.doors.template(wish.template).views if wish.template else ("iso",)
    views = [View(name, Projection(wish.projection), wish.margin) for name in names]
    if wish.camera:
        views.append(read_camera(wish.camera, wish.projection, wish.margin))
    return tuple(views)


def read_camera(path: Path, projection: str, margin: float) -> View:
    """A custom view from a JSON file; what the file leaves out is as given.

    Raises:
        InputFileNotFoundError: the file cannot be read.
        InvalidRequestError: it is no custom view.
    """
    import msgspec

    from mfgviz.errors import InputFileNotFoundError, InvalidRequestError
    from mfgviz.requests import View

    framing = {"projection": projection, "margin": margin}
    try:
        custom = {**framing, **json.loads(path.read_text(encoding="utf-8")), "name": CUSTOM_VIEW}
        return msgspec.convert(custom, View)
    except OSError as error:
        raise InputFileNotFoundError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, TypeError, RecursionError) as error:
        remedy = (
            "It is a JSON object with eye_mm, forward, up, and height_mm or field_of_view_deg, in part "
            "coordinates."
        )
        raise InvalidRequestError(f"{path} is no custom view: {error}.", remedy=remedy) from error


def _store_image(out: Output, path: Path) -> str:
    from mfgviz import provenance

    # Made plain here already: where a photo was taken is nobody's business, a server's neither.
    png, _ = provenance.starting_png(provenance.read_file(path), str(path))
    return out.doors.store_image(png, str(path)).digest
