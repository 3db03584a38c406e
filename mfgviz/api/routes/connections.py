"""Webhooks, inbound hooks and schedules, as admins manage them."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import Path, Query

from mfgviz import wire
from mfgviz.api.access import Admin
from mfgviz.api.problems import responses
from mfgviz.api.routes.common import PAGE, Cursor, Limit, make_router

router = make_router("connections")

Name = Annotated[str, Path(min_length=1, max_length=128)]
State = Annotated[
    Literal["pending", "delivered", "dead"] | None, Query(description="Those in that state alone.")
]


# -- webhooks
@router.get("/webhooks")
def list_webhooks(caller: Admin) -> wire.Page[wire.WebhookInfo]:
    """List the webhooks, by name, without their secrets."""
    return wire.Page(items=caller.service.webhooks())


@router.post("/webhooks", status_code=201, responses=responses(409))
def add_webhook(caller: Admin, body: wire.NewWebhookBody) -> wire.NewWebhookAnswer:
    """Add a webhook. Its secret is in this answer and nowhere else."""
    return caller.service.add_webhook(body)


@router.get("/webhooks/{name}", responses=responses(404))
def show_webhook(caller: Admin, name: Name) -> wire.WebhookInfo:
    """Show a webhook."""
    return caller.service.webhook(name)


@router.patch("/webhooks/{name}", responses=responses(404))
def change_webhook(caller: Admin, name: Name, body: wire.EnabledBody) -> wire.WebhookInfo:
    """Send to a webhook, or not for now; what waits is kept."""
    return caller.service.enable_webhook(name, body)


@router.delete("/webhooks/{name}", status_code=204, responses=responses(404))
def remove_webhook(caller: Admin, name: Name) -> None:
    """Drop a webhook and what was on its way to it."""
    caller.service.remove_webhook(name)


@router.post("/webhooks/{name}/test", responses=responses(404))
def test_webhook(caller: Admin, name: Name) -> wire.WebhookTest:
    """Send a message at once, and tell what became of it."""
    return caller.service.test_webhook(name)


@router.get("/webhooks/{name}/deliveries", responses=responses(404))
def list_deliveries(
    caller: Admin, name: Name, state: State = None, cursor: Cursor = None, limit: Limit = PAGE
) -> wire.Page[wire.DeliveryInfo]:
    """List what is or was on its way to a webhook, the newest first."""
    return caller.service.deliveries(name, state=state, cursor=cursor, limit=limit)


@router.post("/webhooks/{name}/replay", responses=responses(404))
def replay_webhook(caller: Admin, name: Name, body: wire.ReplayBody) -> wire.Replayed:
    """Send again what is dead, or one event whatever became of it."""
    return caller.service.replay(name, body)


# -- inbound hooks
@router.get("/inbound-hooks")
def list_hooks(caller: Admin) -> wire.Page[wire.HookInfo]:
    """List the inbound hooks, by name, without their secrets."""
    return wire.Page(items=caller.service.hooks())


@router.post("/inbound-hooks", status_code=201, responses=responses(409))
def add_hook(caller: Admin, body: wire.NewHookBody) -> wire.NewHookAnswer:
    """Add an inbound hook. Its secret is in this answer and nowhere else."""
    return caller.service.add_hook(body)


@router.get("/inbound-hooks/{name}", responses=responses(404))
def show_hook(caller: Admin, name: Name) -> wire.HookInfo:
    """Show an inbound hook and its mapping."""
    return caller.service.hook(name)


@router.patch("/inbound-hooks/{name}", responses=responses(404))
def change_hook(caller: Admin, name: Name, body: wire.EnabledBody) -> wire.HookInfo:
    """Take messages at an inbound hook, or not for now."""
    return caller.service.enable_hook(name, body)


@router.delete("/inbound-hooks/{name}", status_code=204, responses=responses(404))
def remove_hook(caller: Admin, name: Name) -> None:
    """Drop an inbound hook; what it did stays."""
    caller.service.remove_hook(name)


@router.post("/inbound-hooks/{name}/rotate", responses=responses(404))
def rotate_hook(caller: Admin, name: Name) -> wire.NewHookAnswer:
    """Give an inbound hook a new secret, at once. It is in this answer and nowhere else."""
    return caller.service.rotate_hook(name)


# -- schedules
@router.get("/schedules")
def list_schedules(caller: Admin) -> wire.Page[wire.ScheduleInfo]:
    """List the schedules, by name."""
    return wire.Page(items=caller.service.schedules())


@router.post("/schedules", status_code=201, responses=responses(404, 409))
def add_schedule(caller: Admin, body: wire.NewScheduleBody) -> wire.ScheduleInfo:
    """Add a schedule, due at its next time."""
    return caller.service.add_schedule(body)


@router.get("/schedules/{name}", responses=responses(404))
def show_schedule(caller: Admin, name: Name) -> wire.ScheduleInfo:
    """Show a schedule and how it last ended."""
    return caller.service.schedule(name)


@router.patch("/schedules/{name}", responses=responses(404))
def change_schedule(caller: Admin, name: Name, body: wire.EnabledBody) -> wire.ScheduleInfo:
    """Let a schedule be done from its next time on, or not."""
    return caller.service.enable_schedule(name, body)


@router.delete("/schedules/{name}", status_code=204, responses=responses(404))
def remove_schedule(caller: Admin, name: Name) -> None:
    """Drop a schedule."""
    caller.service.remove_schedule(name)


@router.post("/schedules/{name}/run", status_code=202, responses=responses(404, 409))
def run_schedule(caller: Admin, name: Name) -> wire.ScheduleInfo:
    """Let a worker do it now, too."""
    return caller.service.run_schedule(name)


@router.get("/schedule-tasks")
def list_schedule_tasks(caller: Admin) -> wire.Page[wire.ScheduleTask]:
    """List what schedules can do, and the arguments of each."""
    return wire.Page(items=caller.service.schedule_tasks())
