"""Webhooks, inbound hooks and schedules."""

from __future__ import annotations

from mfgviz import wire
from mfgviz.client.connection import Connection, parse, segment


class ConnectionClient(Connection):
    """See `Client`."""

    def webhooks(self) -> list[wire.WebhookInfo]:
        """All webhooks, by name."""
        return self._get(wire.Page[wire.WebhookInfo], "/webhooks").items

    def webhook(self, name: str) -> wire.WebhookInfo:
        """One webhook."""
        return self._get(wire.WebhookInfo, f"/webhooks/{segment(name)}")

    def add_webhook(self, body: wire.NewWebhookBody) -> wire.NewWebhookAnswer:
        """Add a webhook; its secret is in this answer and nowhere else."""
        return self._send(wire.NewWebhookAnswer, "POST", "/webhooks", body)

    def remove_webhook(self, name: str) -> None:
        """Tell that address nothing any more."""
        self._request("DELETE", f"/webhooks/{segment(name)}")

    def enable_webhook(self, name: str, body: wire.EnabledBody) -> wire.WebhookInfo:
        """Send to it, or not."""
        return self._send(wire.WebhookInfo, "PATCH", f"/webhooks/{segment(name)}", body)

    def test_webhook(self, name: str) -> wire.WebhookTest:
        """Send a message at once, and say what became of it."""
        return parse(wire.WebhookTest, self._request("POST", f"/webhooks/{segment(name)}/test"))

    def deliveries(
        self, name: str, *, state: str | None = None, cursor: str | None = None, limit: int = 50
    ) -> wire.Page[wire.DeliveryInfo]:
        """What is or was on its way to a webhook, the newest first."""
        path = f"/webhooks/{segment(name)}/deliveries"
        return self._get(wire.Page[wire.DeliveryInfo], path, state=state, cursor=cursor, limit=limit)

    def replay(self, name: str, body: wire.ReplayBody) -> wire.Replayed:
        """Send again what is dead, or one event."""
        return self._send(wire.Replayed, "POST", f"/webhooks/{segment(name)}/replay", body)

    def hooks(self) -> list[wire.HookInfo]:
        """All inbound hooks, by name."""
        return self._get(wire.Page[wire.HookInfo], "/inbound-hooks").items

    def hook(self, name: str) -> wire.HookInfo:
        """One inbound hook."""
        return self._get(wire.HookInfo, f"/inbound-hooks/{segment(name)}")

    def add_hook(self, body: wire.NewHookBody) -> wire.NewHookAnswer:
        """Add an inbound hook; its secret is in this answer and nowhere else."""
        return self._send(wire.NewHookAnswer, "POST", "/inbound-hooks", body)

    def remove_hook(self, name: str) -> None:
        """Take no messages there any more."""
        self._request("DELETE", f"/inbound-hooks/{segment(name)}")

    def enable_hook(self, name: str, body: wire.EnabledBody) -> wire.HookInfo:
        """Take messages there, or not."""
        return self._send(wire.HookInfo, "PATCH", f"/inbound-hooks/{segment(name)}", body)

    def rotate_hook(self, name: str) -> wire.NewHookAnswer:
        """Give an inbound hook a new secret, at once."""
        return parse(wire.NewHookAnswer, self._request("POST", f"/inbound-hooks/{segment(name)}/rotate"))

    def schedules(self) -> list[wire.ScheduleInfo]:
        """All schedules, by name."""
        return self._get(wire.Page[wire.ScheduleInfo], "/schedules").items

    def schedule(self, name: str) -> wire.ScheduleInfo:
        """One schedule."""
        return self._get(wire.ScheduleInfo, f"/schedules/{segment(name)}")

    def add_schedule(self, body: wire.NewScheduleBody) -> wire.ScheduleInfo:
        """Add a schedule."""
        return self._send(wire.ScheduleInfo, "POST", "/schedules", body)

    def remove_schedule(self, name: str) -> None:
        """Do that no more."""
        self._request("DELETE", f"/schedules/{segment(name)}")

    def enable_schedule(self, name: str, body: wire.EnabledBody) -> wire.ScheduleInfo:
        """Do it from its next time on, or not."""
        return self._send(wire.ScheduleInfo, "PATCH", f"/schedules/{segment(name)}", body)

    def run_schedule(self, name: str) -> wire.ScheduleInfo:
        """Let a worker do it now, too."""
        return parse(wire.ScheduleInfo, self._request("POST", f"/schedules/{segment(name)}/run"))

    def schedule_tasks(self) -> list[wire.ScheduleTask]:
        """What schedules can do."""
        return self._get(wire.Page[wire.ScheduleTask], "/schedule-tasks").items
