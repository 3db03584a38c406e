"""Views, templates, models, workers, tokens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import PurePosixPath

import msgspec

from mfgviz import (
    intake,
    jobs,
    models,
    templates,
    tokens,
    wire,
    workers_seen,
)
from mfgviz.jobs.queries import live_workers
from mfgviz.records import (
    Model,
)
from mfgviz.service.base import Base
from mfgviz.service.shown import VIEW_TITLES, template_of, token_of
from mfgviz.vocabulary import (
    QUEUE_CPU,
    QUEUE_GPU,
    STANDARD_VIEWS,
    EventKind,
    Role,
    Scope,
)


class AdministrationService(Base):
    """See `Service`."""

    def views(self) -> list[wire.ViewInfo]:
        """The standard views."""
        return [wire.ViewInfo(name=name, title=VIEW_TITLES[name]) for name in STANDARD_VIEWS]

    def templates(self) -> list[wire.Template]:
        """The prompt templates, by name."""
        with self.runtime.db.read() as session:
            return [template_of(one) for one in templates.list_templates(session)]

    def template(self, name: str, version: int | None = None) -> wire.Template:
        """One template. Raises TemplateNotFoundError."""
        with self.runtime.db.read() as session:
            return template_of(templates.get_template(session, name, version))

    def template_versions(self, name: str) -> list[wire.Template]:
        """All versions of a template, the newest first. Raises TemplateNotFoundError."""
        with self.runtime.db.read() as session:
            return [template_of(one) for one in templates.list_versions(session, name)]

    def preview_template(self, name: str, body: wire.PreviewBody) -> wire.TemplatePreview:
        """The jobs that a submit with the template would ask for; nothing is submitted.

        Raises:
            MissingFieldError: a field has no value; says which have one.
            TemplateNotFoundError, RevisionNotFoundError, GeometryError, InvalidRequestError: as a submit.
        """
        settings = self.runtime.settings
        ask = intake.Ask(revision=body.revision, template=name, model=body.model, fields=body.fields)
        with self.runtime.db.read() as session:
            lookup = intake.Lookup(session, settings.default_model)
            requests = [one.request for one in intake.prepare(lookup, ask)]
            version = lookup.template(name).version
            reference = lookup.revision(body.revision).reference
        first = requests[0]
        sampling = msgspec.to_builtins(first.sampling)
        return wire.TemplatePreview(
            template=name,
            version=version,
            revision=reference,
            model=first.model.name,
            negative_prompt=first.negative_prompt,
            sampling={**sampling, "control_scale": first.conditioning.control_scale},
            jobs=len(requests),
            images=sum(one.sampling.count for one in requests),
            items=[wire.PreviewItem(view=one.view.name, prompt=one.prompt) for one in requests],
        )

    def save_template(self, name: str, body: wire.TemplateBody) -> wire.Template:
        """Save a template as the next version of its name. Raises InvalidInputError, ConflictError."""
        views: tuple[str, ...] = tuple(body.views)
        new = templates.Template(name, body.prompt, body.title, body.negative_prompt, views, body.sampling)
        refused = self._told(EventKind.TEMPLATE_REFUSED, f"template {name}")
        with refused, self.runtime.db.begin() as session:
            return template_of(templates.save_template(session, new, self.actor))

    def retire_template(self, name: str) -> None:
        """Offer a template no more. Raises TemplateNotFoundError."""
        with self.runtime.db.begin() as session:
            templates.retire_template(session, name, self.actor)

    def models(self) -> list[wire.ModelInfo]:
        """The recorded models, by name."""
        with self.runtime.db.read() as session:
            return [self._model(one) for one in models.list_models(session)]

    def model(self, name: str) -> wire.ModelInfo:
        """One model. Raises ModelNotFoundError."""
        with self.runtime.db.read() as session:
            return self._model(models.get_model(session, name))

    def _model(self, model: Model) -> wire.ModelInfo:
        return wire.ModelInfo(
            name=model.name,
            family=model.family,
            weights_digest=model.weights_digest,
            source=PurePosixPath(str(model.spec["model"]["source"])).name,
            capabilities=model.spec["capabilities"],
            is_default=model.name == self.runtime.settings.default_model,
            created_at=model.created_at,
        )

    def workers(self) -> list[wire.WorkerInfo]:
        """The workers that reported themselves, the last heard of first."""
        with self.runtime.db.read() as session:
            alive = {
                worker.name for queue in (QUEUE_GPU, QUEUE_CPU) for worker in live_workers(session, queue)
            }
            return [
                wire.WorkerInfo(
                    name=worker.name,
                    alive=worker.name in alive,
                    queues=worker.queues,
                    device=worker.device,
                    loaded_model=worker.loaded_model,
                    version=worker.version,
                    started_at=worker.started_at,
                    seen_at=worker.seen_at,
                )
                for worker in workers_seen.list_workers(session)
            ]

    def queue(self) -> wire.QueueInfo:
        """How many jobs there are in each state, and workers for them."""
        with self.runtime.db.read() as session:
            return wire.QueueInfo(jobs=jobs.state_counts(session), workers=len(live_workers(session)))

    def tokens(self) -> list[wire.TokenInfo]:
        """All tokens, the newest first."""
        with self.runtime.db.read() as session:
            return [token_of(one) for one in tokens.list_tokens(session)]

    def create_token(self, body: wire.NewTokenBody) -> wire.NewTokenAnswer:
        """Make a token; its secret is in this answer and nowhere else. Raises DuplicateTokenError."""
        lives = body.expires_in_days
        new = tokens.NewToken(
            name=body.name,
            requester=body.requester or body.name,
            role=Role(body.role),
            scopes=None if body.scopes is None else tuple(map(Scope, body.scopes)),
            expires_at=None if lives is None else datetime.now(UTC) + timedelta(days=lives),
        )
        with self.runtime.db.begin() as session:
            token, secret = tokens.create_token(session, new, self.actor)
            session.refresh(token)
            return wire.NewTokenAnswer(**token_of(token).model_dump(), token=secret)

    def revoke_token(self, name: str) -> wire.TokenInfo:
        """Let a token open nothing any more. Raises TokenNotFoundError."""
        with self.runtime.db.begin() as session:
            return token_of(tokens.revoke_token(session, name, self.actor))
