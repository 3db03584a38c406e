"""The recorded models: names that requests use, for folders that workers can load."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mfgviz import __version__
from mfgviz.catalog import check_word
from mfgviz.errors import ConflictError, DuplicateModelError, ModelNotFoundError
from mfgviz.journal import audit
from mfgviz.models_folder import BUNDLED_STUDIO, ModelSpec, spec_digest
from mfgviz.records import Model, RenderJob
from mfgviz.requests import ModelChoice
from mfgviz.vocabulary import JobState

BUNDLED_NAME = "studio"


def is_recorded(session: Session, spec: ModelSpec) -> bool:
    """Whether the model stands in the table with the weights that lie here, looked into by this version."""
    model = session.scalar(select(Model).where(Model.name == spec.name))
    if model is None or model.spec.get("inspected_by") != __version__:
        return False
    return model.weights_digest == spec_digest(spec)


def bundled_spec() -> ModelSpec:
    """The studio model that comes with mfgviz."""
    return ModelSpec(name=BUNDLED_NAME, family="studio", source=BUNDLED_STUDIO)


def add_model(session: Session, spec: ModelSpec, capabilities: dict[str, Any], actor: str) -> Model:
    """Record a model whose weights are hashed. Raises DuplicateModelError, InvalidInputError."""
    check_word("model name", spec.name, 64)
    model = Model(
        name=spec.name,
        family=spec.family,
        weights_digest=spec.weights_digest,
        spec=_as_recorded(spec, capabilities),
        created_by=actor,
    )
    try:
        with session.begin_nested():
            session.add(model)
    except IntegrityError as error:
        raise DuplicateModelError(f"There is a model {spec.name} already.") from error
    audit(session, actor, "model.added", spec.name, {"weights_digest": spec.weights_digest})
    return model


def refresh_model(session: Session, spec: ModelSpec, capabilities: dict[str, Any], actor: str) -> Model:
    """Record a model, or its new weights where it is recorded already."""
    model = session.scalar(select(Model).where(Model.name == spec.name))
    if model is None:
        return add_model(session, spec, capabilities, actor)
    wanted = _as_recorded(spec, capabilities)
    if model.spec != wanted:
        model.family, model.weights_digest, model.spec = spec.family, spec.weights_digest, wanted
        audit(session, actor, "model.refreshed", spec.name, {"weights_digest": spec.weights_digest})
    return model


def get_model(session: Session, name: str) -> Model:
    """The model of that name. Raises ModelNotFoundError, naming those there are."""
    model = session.scalar(select(Model).where(Model.name == name))
    if model is None:
        known = ", ".join(session.scalars(select(Model.name).order_by(Model.name))) or "none"
        raise ModelNotFoundError(
            f"There is no model {name!r}.", remedy=f"Models there are: {known}. `mfgviz models add` adds one."
        )
    return model


def list_models(session: Session) -> list[Model]:
    """All models in the order of their names."""
    return list(session.scalars(select(Model).order_by(Model.name)))


def remove_model(session: Session, name: str, actor: str) -> None:
    """Forget a model; its files stay.

    Raises:
        ModelNotFoundError: there is none of that name.
        ConflictError: jobs wait for it.
    """
    model = get_model(session, name)
    waiting = session.scalar(
        select(RenderJob.id)
        .where(RenderJob.model_name == name, RenderJob.state.in_((JobState.QUEUED, JobState.RUNNING)))
        .limit(1)
    )
    if waiting is not None:
        raise ConflictError(f"Job {waiting} waits for the model {name}.", remedy="Cancel its jobs first.")
    session.delete(model)
    audit(session, actor, "model.removed", name)


def require_weights(session: Session, choice: ModelChoice) -> None:
    """Refuse a request for weights that are not recorded any more.

    Raises:
        ModelNotFoundError: there is no model of that name.
        ConflictError: it has other weights now.
    """
    model = get_model(session, choice.name)
    if model.weights_digest != choice.weights_digest:
        raise ConflictError(
            f"The model {choice.name} has the weights {model.weights_digest[:12]} now, not "
            f"{choice.weights_digest[:12]}.",
            remedy="Record the old weights again: `mfgviz models add`, or `models check NAME --refresh`.",
        )


def choice_of(model: Model) -> ModelChoice:
    """The model as a request names it."""
    return ModelChoice(name=model.name, weights_digest=model.weights_digest, family=model.family)


def spec_of(model: Model) -> ModelSpec:
    """What a worker needs to load the model."""
    return ModelSpec.from_json(model.spec["model"])


def _as_recorded(spec: ModelSpec, capabilities: dict[str, Any]) -> dict[str, Any]:
    return {"model": spec.as_json(), "capabilities": capabilities, "inspected_by": __version__}
