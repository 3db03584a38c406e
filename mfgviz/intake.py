"""From what people ask for to render requests: fields filled in, defaults taken, limits checked.

An `Ask` is what a command line, a line of a JSONL file or an HTTP body says. `prepare` turns it into
submissions, or refuses it with the field, the reason and the remedy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
from sqlalchemy.orm import Session

from mfgviz.catalog import find_revisions, get_revision
from mfgviz.errors import (
    GeometryError,
    InvalidRequestError,
    OutOfBoundsSizeError,
    UnknownSamplerError,
    UnsupportedModeError,
)
from mfgviz.jobs import Submission
from mfgviz.models import choice_of, get_model
from mfgviz.prompts import expand_prompt
from mfgviz.records import Model, PartRevision
from mfgviz.requests import Conditioning, RenderRequest, SamplingSettings, View
from mfgviz.settings import MAX_FIDELITY_RETRIES, Settings
from mfgviz.templates import Template, get_template
from mfgviz.vocabulary import FidelityPolicy, GeometryState, Mode, Priority

PRIORITIES = {priority.name.lower(): priority for priority in Priority}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A wish for renders of one revision. What is None is the template's, else the model's own default.

    `views` are names of standard views, or whole `View` objects. Without a prompt, a template says it.
    """

    revision: str
    prompt: str = ""
    template: str | None = None
    negative_prompt: str = ""
    views: tuple[str | View, ...] | None = None
    model: str | None = None
    sampler: str | None = None
    num_inference_steps: int | None = None
    guidance_scale: float | None = None
    seed: int = 0
    width: int | None = None
    height: int | None = None
    count: int | None = None
    mode: Mode = Mode.CONTROL
    control_scale: float | None = None
    image: str | None = None
    strength: float = 0.7
    priority: str = "normal"
    force: bool = False
    fidelity_policy: str | None = None
    fidelity_retries: int | None = None
    fields: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.priority not in PRIORITIES:
            raise InvalidRequestError(
                f"There is no priority {self.priority!r}.", remedy=f"Choose one of {', '.join(PRIORITIES)}."
            )
        if self.fidelity_policy not in (None, *FidelityPolicy):
            raise InvalidRequestError(
                f"There is no fidelity policy {self.fidelity_policy!r}.",
                remedy=f"Choose one of {', '.join(FidelityPolicy)}.",
            )
        if self.fidelity_retries is not None and not 1 <= self.fidelity_retries <= MAX_FIDELITY_RETRIES:
            raise InvalidRequestError(
                f"fidelity_retries is {self.fidelity_retries}, but must be from 1 to {MAX_FIDELITY_RETRIES}.",
                remedy="Leave it out for the number that is set.",
            )
        if self.views is not None and not self.views:
            raise InvalidRequestError("No view is asked for.", remedy="Name at least one view, such as iso.")
        if not self.prompt.strip() and self.template is None:
            raise InvalidRequestError(
                "The prompt is empty.", remedy="Say in words what the part looks like, or name a template."
            )


def ask_from_json(plain: object) -> Ask:
    """Read an ask. Raises InvalidRequestError where a field is missing, unknown or of the wrong kind."""
    known = set(Ask.__dataclass_fields__)
    if isinstance(plain, dict) and (unknown := sorted(set(plain) - known)):
        raise InvalidRequestError(
            f"There is no field {', '.join(map(str, unknown))}.",
            remedy=f"Fields are {', '.join(sorted(known))}.",
        )
    try:
        return msgspec.convert(plain, Ask)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(f"The request cannot be read: {error}.") from error


@dataclass(frozen=True, slots=True)
class FidelityDefaults:
    """What asks get that say nothing of fidelity, and how often `retry` tries again."""

    policy: str = "mark"
    retries: int = 2

    @classmethod
    def of(cls, settings: Settings) -> FidelityDefaults:
        """As the settings say."""
        return cls(settings.fidelity_policy, settings.fidelity_retries)

    def chosen(self, ask: Ask) -> tuple[FidelityPolicy, int]:
        """Policy and retries of an ask. Raises InvalidRequestError where they do not go together."""
        policy = FidelityPolicy(ask.fidelity_policy or self.policy)
        if policy is FidelityPolicy.RETRY:
            return policy, ask.fidelity_retries or self.retries
        if ask.fidelity_retries is not None:
            raise InvalidRequestError(
                f"fidelity_retries does not go with the fidelity policy {policy}.",
                remedy="Choose the policy retry, or leave the number out.",
            )
        return policy, 0


class Lookup:
    """Models and revisions of one transaction, each asked of the database once."""

    def __init__(
        self,
        session: Session,
        default_model: str,
        max_attempts: int = 3,
        fidelity: FidelityDefaults | None = None,
    ) -> None:
        self.session, self.default_model, self.max_attempts = session, default_model, max_attempts
        self.fidelity = fidelity or FidelityDefaults()
        self._models: dict[str, Model] = {}
        self._templates: dict[str, Template] = {}
        self._revisions: dict[str, PartRevision] = {}

    def know(self, revision: PartRevision) -> None:
        """Take a revision that was loaded already, with its part and geometry."""
        self._revisions[revision.reference] = revision

    def preload(self, references: Iterable[str]) -> None:
        """Fetch many revisions at once; what is not there is found missing when it is asked for."""
        self._revisions.update(find_revisions(self.session, set(references) - set(self._revisions)))

    def model(self, name: str | None) -> Model:
        """The model of that name, or the default one. Raises ModelNotFoundError."""
        key = name or self.default_model
        if key not in self._models:
            self._models[key] = get_model(self.session, key)
        return self._models[key]

    def template(self, name: str) -> Template:
        """The newest version of that template. Raises TemplateNotFoundError."""
        if name not in self._templates:
            self._templates[name] = get_template(self.session, name)
        return self._templates[name]

    def revision(self, reference: str) -> PartRevision:
        """The revision. Raises PartNotFoundError, RevisionNotFoundError."""
        if reference not in self._revisions:
            self._revisions[reference] = get_revision(self.session, reference)
        return self._revisions[reference]


def prepare(lookup: Lookup, ask: Ask) -> list[Submission]:
    """The submissions that the ask stands for: one for each view and each prompt it expands to.

    Raises:
        PartNotFoundError, RevisionNotFoundError, ModelNotFoundError, TemplateNotFoundError: named ones that
            are not there.
        GeometryError: the revision has no geometry, or one that cannot be used.
        MissingFieldError: a field of the prompt has no value; names the template, too.
        PromptTemplateError: the prompt cannot be read otherwise.
        InvalidRequestError: a value that cannot be rendered, or not by this model.
    """
    revision = lookup.revision(ask.revision)
    of = revision.reference
    if ask.template is not None:
        template = lookup.template(ask.template)
        of += (
            ""
            if ask.prompt.strip()
            else f", which the template {template.name} (version {template.version}) needs"
        )
        ask = with_template(ask, template)
    digest = usable_geometry(revision)
    model = lookup.model(ask.model)
    capabilities = model.spec["capabilities"]
    sampling = _sampling(ask, capabilities)
    conditioning = _conditioning(ask)
    check_capabilities(model.name, sampling, conditioning, capabilities)
    fields = {**template_fields(revision), **ask.fields}
    policy, retries = lookup.fidelity.chosen(ask)
    return [
        Submission(
            revision_id=revision.id,
            request=RenderRequest(
                geometry_digest=digest,
                prompt=prompt,
                negative_prompt=ask.negative_prompt.strip(),
                model=choice_of(model),
                sampling=sampling,
                view=view,
                conditioning=conditioning,
            ),
            priority=PRIORITIES[ask.priority],
            forced=ask.force,
            max_attempts=lookup.max_attempts,
            fidelity_policy=policy,
            fidelity_retries=retries,
        )
        for view in _views(ask)
        for prompt in expand_prompt(ask.prompt, fields, of)
    ]


def with_template(ask: Ask, template: Template) -> Ask:
    """The ask with what it leaves open filled in from a template. What it says itself stands."""
    defaults: dict[str, Any] = {**template.sampling, "views": template.views}
    open_ones = {name: value for name, value in defaults.items() if getattr(ask, name) is None}
    return replace(
        ask,
        prompt=ask.prompt.strip() or template.prompt,
        negative_prompt=ask.negative_prompt.strip() or template.negative_prompt,
        **open_ones,
    )


def _conditioning(ask: Ask) -> Conditioning:
    """What the mode does not use keeps its default, or equal pictures would have different fingerprints."""
    if ask.mode is Mode.TEXT:
        return Conditioning(Mode.TEXT, image=ask.image)
    scale = 1.0 if ask.control_scale is None else ask.control_scale
    if ask.mode is Mode.CONTROL:
        return Conditioning(Mode.CONTROL, scale, ask.image)
    return Conditioning(Mode.IMAGE, scale, ask.image, ask.strength)


def _views(ask: Ask) -> list[View]:
    """Each view once; text mode looks from nowhere."""
    views = [View(view) if isinstance(view, str) else view for view in ask.views or ("iso",)]
    return [View()] if ask.mode is Mode.TEXT else list(dict.fromkeys(views))


def template_fields(revision: PartRevision) -> dict[str, object]:
    """What a prompt's fields can be filled with; the revision's own attributes win."""
    facts: Mapping[str, Any] = revision.geometry.facts if revision.geometry else {}
    plain = {key: value for key, value in facts.items() if isinstance(value, str | int | float)}
    lists = {
        key: ", ".join(value)
        for key, value in facts.items()
        if isinstance(value, list) and value and all(isinstance(item, str) for item in value)
    }
    return {
        **plain,
        **lists,
        "number": revision.part.number,
        "name": revision.part.name,
        "revision": revision.label,
        **revision.part.attributes,
        **revision.attributes,
    }


def check_capabilities(
    model: str, sampling: SamplingSettings, conditioning: Conditioning, capabilities: Mapping[str, Any]
) -> None:
    """Refuse what the model cannot do, before the job is queued."""
    if conditioning.mode not in capabilities["modes"]:
        raise UnsupportedModeError(
            f"The model {model} cannot render in {conditioning.mode} mode.",
            remedy=f"It can in: {', '.join(capabilities['modes'])}.",
        )
    if sampling.sampler not in capabilities["samplers"]:
        raise UnknownSamplerError(
            f"The model {model} has no sampler {sampling.sampler!r}.",
            remedy=f"Choose one of {', '.join(capabilities['samplers'])}.",
        )
    multiple, most = capabilities["multiple_of_px"], capabilities["max_pixels"]
    width, height = sampling.width, sampling.height
    if width % multiple or height % multiple or width * height > most:
        side = int(most**0.5) // multiple * multiple
        raise OutOfBoundsSizeError(
            f"The model {model} cannot make {width}x{height} px.",
            remedy=f"Sides are multiples of {multiple} px, {most:,} pixels at most, such as {side}x{side}.",
        )


def usable_geometry(revision: PartRevision) -> str:
    """The digest of the CAD file that the revision shows. Raises GeometryError where it has none to use."""
    geometry = revision.geometry
    if geometry is None:
        raise GeometryError(
            f"{revision.reference} has no geometry to render.",
            remedy=f"Attach it: mfgviz revisions attach {revision.reference} --file PART.step",
        )
    if geometry.state == GeometryState.UNUSABLE:
        raise GeometryError(f"The geometry of {revision.reference} cannot be used: {geometry.error_message}")
    return geometry.digest


def _sampling(ask: Ask, capabilities: Mapping[str, Any]) -> SamplingSettings:
    native = capabilities["native_size_px"]
    steps, guidance = ask.num_inference_steps, ask.guidance_scale
    return SamplingSettings(
        sampler=ask.sampler or capabilities["default_sampler"],
        num_inference_steps=capabilities["default_steps"] if steps is None else steps,
        guidance_scale=capabilities["default_guidance_scale"] if guidance is None else guidance,
        seed=ask.seed,
        width=native if ask.width is None else ask.width,
        height=native if ask.height is None else ask.height,
        count=1 if ask.count is None else ask.count,
    )
