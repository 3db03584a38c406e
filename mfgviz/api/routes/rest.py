"""Who calls, views, templates, models, workers, tokens, and how the server is."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Request, Response

from mfgviz import __version__, schema, wire
from mfgviz.api.access import Admin, Reader, server_of
from mfgviz.api.problems import responses
from mfgviz.api.routes.common import make_router
from mfgviz.errors import MfgvizError

router = make_router("service")
health = APIRouter(tags=["health"])

Name = Annotated[str, Path(min_length=1, max_length=128)]


@router.get("/me")
def me(caller: Reader) -> wire.Me:
    """Who the token speaks for, and what this server allows."""
    holder, settings = caller.holder, caller.server.runtime.settings
    return wire.Me(
        requester=holder.requester,
        role=holder.role.value,
        scopes=sorted(scope.value for scope in holder.scopes),
        token=holder.token_name,
        expires_at=holder.expires_at,
        server_version=__version__,
        default_model=settings.default_model,
        limits=wire.Limits(
            geometry_max_bytes=settings.geometry_max_bytes,
            image_max_pixels=settings.image_max_pixels,
            requests_per_minute=settings.requests_per_minute,
            queued_jobs_max=settings.queued_jobs_max,
        ),
    )


@router.get("/views")
def list_views(caller: Reader) -> wire.Page[wire.ViewInfo]:
    """List the standard views."""
    return wire.Page(items=caller.service.views())


@router.get("/templates")
def list_templates(caller: Reader) -> wire.Page[wire.Template]:
    """List the prompt templates, each in its newest version."""
    return wire.Page(items=caller.service.templates())


@router.get("/templates/{name}", responses=responses(404))
def show_template(
    caller: Reader, name: Name, version: Annotated[int | None, Query(ge=1, le=2**31 - 1)] = None
) -> wire.Template:
    """Show a template, in its newest version or in that one."""
    return caller.service.template(name, version)


@router.get("/templates/{name}/versions", responses=responses(404))
def list_template_versions(caller: Reader, name: Name) -> wire.Page[wire.Template]:
    """List all versions of a template, newest first, retired ones too."""
    return wire.Page(items=caller.service.template_versions(name))


@router.post("/templates/{name}/preview", responses=responses(404))
def preview_template(caller: Reader, name: Name, body: wire.PreviewBody) -> wire.TemplatePreview:
    """Show the jobs that a template would make of a revision: every view and every prompt. Nothing is
    submitted."""
    return caller.service.preview_template(name, body)


@router.put("/templates/{name}", responses=responses(409))
def save_template(caller: Admin, name: Name, body: wire.TemplateBody) -> wire.Template:
    """Save a template as the next version of its name."""
    return caller.service.save_template(name, body)


@router.delete("/templates/{name}", status_code=204, responses=responses(404))
def retire_template(caller: Admin, name: Name) -> None:
    """Offer a template no more; its versions stay."""
    caller.service.retire_template(name)


@router.get("/models")
def list_models(caller: Reader) -> wire.Page[wire.ModelInfo]:
    """List the models that jobs can name."""
    return wire.Page(items=caller.service.models())


@router.get("/models/{name}", responses=responses(404))
def show_model(caller: Reader, name: Name) -> wire.ModelInfo:
    """Show a model and what it can do."""
    return caller.service.model(name)


@router.get("/workers")
def list_workers(caller: Reader) -> wire.Page[wire.WorkerInfo]:
    """List the workers that reported themselves, the last heard of first."""
    return wire.Page(items=caller.service.workers())


@router.get("/queue")
def show_queue(caller: Reader) -> wire.QueueInfo:
    """How many jobs there are in each state."""
    return caller.service.queue()


@router.get("/queue/jobs")
def list_queue(caller: Reader) -> wire.Page[wire.JobEvent]:
    """List the first of the jobs that run or wait, as they will be served."""
    return wire.Page(items=caller.service.unfinished())


@router.get("/tokens")
def list_tokens(caller: Admin) -> wire.Page[wire.TokenInfo]:
    """List the tokens, newest first, without their secrets."""
    return wire.Page(items=caller.service.tokens())


@router.post("/tokens", status_code=201, responses=responses(409))
def create_token(caller: Admin, body: wire.NewTokenBody) -> wire.NewTokenAnswer:
    """Make a token. Its secret is in this answer and nowhere else."""
    return caller.service.create_token(body)


@router.delete("/tokens/{name}", responses=responses(404))
def revoke_token(caller: Admin, name: Name) -> wire.TokenInfo:
    """Let a token open nothing any more."""
    return caller.service.revoke_token(name)


@health.get("/healthz")
async def healthz() -> wire.Health:
    """Whether this process answers."""
    return wire.Health(status="ok", version=__version__)


@health.get("/readyz", responses={503: {"model": wire.Health}})
def readyz(request: Request, response: Response) -> wire.Health:
    """Whether this process can do its work: the database answers and has the tables of this version."""
    runtime = server_of(request).runtime
    try:
        schema.require_current(runtime.db)
        checks = {"database": "ok"}
    except MfgvizError as error:
        checks = {"database": error.code}
        response.status_code = 503
    ready = all(one == "ok" for one in checks.values())
    return wire.Health(status="ok" if ready else "unavailable", version=__version__, checks=checks)
