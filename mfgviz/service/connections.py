"""Webhooks, inbound hooks and schedules."""

from __future__ import annotations

from typing import Any

from sqlalchemy.orm import Session

from mfgviz import catalog, courier, hooks, schedules, webhooks, wire
from mfgviz.chores import CHORES
from mfgviz.errors import DeliveryFailedError, InvalidWebhookUrlError
from mfgviz.hooks import Message, NewHook
from mfgviz.mapping import News, applies, read_message, read_news
from mfgviz.queue import TASK_SCHEDULED
from mfgviz.records import InboundHook, PartRevision, Schedule, Webhook, WebhookDelivery
from mfgviz.schedules import NewSchedule
from mfgviz.service.base import PAGE
from mfgviz.service.catalogue import CatalogueService
from mfgviz.service.shown import API, id_cursor, page
from mfgviz.vocabulary import DeliveryState, EventKind
from mfgviz.webhooks import NewWebhook


class ConnectionService(CatalogueService):
    """See `Service`."""

    # -- webhooks
    def webhooks(self) -> list[wire.WebhookInfo]:
        """All webhooks, by name."""
        with self.runtime.db.read() as session:
            found = webhooks.list_webhooks(session)
            counts = webhooks.counts(session, [one.id for one in found])
            return [webhook_of(one, counts[one.id]) for one in found]

    def webhook(self, name: str) -> wire.WebhookInfo:
        """One webhook. Raises WebhookNotFoundError."""
        with self.runtime.db.read() as session:
            return _shown(session, webhooks.get_webhook(session, name))

    def add_webhook(self, body: wire.NewWebhookBody) -> wire.NewWebhookAnswer:
        """Add a webhook; its secret is in this answer and nowhere else.

        Raises:
            InvalidWebhookUrlError, UnknownEventKindError, InvalidSecretError, DuplicateWebhookError: nothing
                is added.
        """
        new = NewWebhook(body.name, body.url, tuple(body.kinds), body.secret)
        with self.runtime.db.begin() as session:
            networks = self.runtime.settings.webhook_networks
            made, secret = webhooks.add_webhook(session, new, networks, self.actor)
            session.refresh(made)
            return wire.NewWebhookAnswer(**webhook_of(made, {}).model_dump(), secret=secret)

    def remove_webhook(self, name: str) -> None:
        """Tell that address nothing any more. Raises WebhookNotFoundError."""
        with self.runtime.db.begin() as session:
            webhooks.remove_webhook(session, name, self.actor)

    def enable_webhook(self, name: str, body: wire.EnabledBody) -> wire.WebhookInfo:
        """Send to it, or not. Raises WebhookNotFoundError."""
        with self.runtime.db.begin() as session:
            return _shown(session, webhooks.enable_webhook(session, name, self.actor, enabled=body.enabled))

    def test_webhook(self, name: str) -> wire.WebhookTest:
        """Send a message at once, and say what became of it. Raises WebhookNotFoundError."""
        with self.runtime.db.read() as session:
            webhook = webhooks.get_webhook(session, name)
        message_id, body = webhooks.trial(webhook, self.actor)
        try:
            taken = courier.try_out(self.runtime, webhook.url, webhook.secret, body, message_id)
        except (DeliveryFailedError, InvalidWebhookUrlError) as error:
            return wire.WebhookTest(webhook=name, delivered=False, error=error.message)
        return wire.WebhookTest(
            webhook=name,
            delivered=taken.is_delivered,
            status=taken.status,
            error=None if taken.is_delivered else taken.refusal,
            took_ms=round(taken.took_s * 1000),
        )

    def deliveries(
        self, name: str, *, state: str | None = None, cursor: str | None = None, limit: int = PAGE
    ) -> wire.Page[wire.DeliveryInfo]:
        """What is or was on its way to a webhook, the newest first. Raises WebhookNotFoundError."""
        wanted = DeliveryState(state) if state else None
        before = id_cursor(cursor)
        with self.runtime.db.read() as session:
            found = webhooks.list_deliveries(session, name, wanted, before, limit + 1)
            return page(found, limit, delivery_of, lambda one: str(one.id))

    def replay(self, name: str, body: wire.ReplayBody) -> wire.Replayed:
        """Send again what is dead, or one event. Raises WebhookNotFoundError, DeliveryNotFoundError."""
        with self.runtime.db.begin() as session:
            count = webhooks.replay(session, name, self.actor, body.event)
        return wire.Replayed(webhook=name, deliveries=count)

    # -- inbound hooks
    def hooks(self) -> list[wire.HookInfo]:
        """All inbound hooks, by name."""
        with self.runtime.db.read() as session:
            return [hook_of(one) for one in hooks.list_hooks(session)]

    def hook(self, name: str) -> wire.HookInfo:
        """One inbound hook. Raises HookNotFoundError."""
        with self.runtime.db.read() as session:
            return hook_of(hooks.get_hook(session, name))

    def add_hook(self, body: wire.NewHookBody) -> wire.NewHookAnswer:
        """Add an inbound hook; its secret is in this answer and nowhere else.

        Raises:
            InvalidMappingError, InvalidSecretError, InvalidInputError, DuplicateHookError: nothing is added.
        """
        with self._told(EventKind.HOOK_REFUSED, body.name), self.runtime.db.begin() as session:
            new = NewHook(body.name, body.mapping, body.requester, body.secret)
            made, secret = hooks.add_hook(session, new, self.actor)
            session.refresh(made)
            return wire.NewHookAnswer(**hook_of(made).model_dump(), secret=secret)

    def remove_hook(self, name: str) -> None:
        """Take no messages there any more. Raises HookNotFoundError."""
        with self.runtime.db.begin() as session:
            hooks.remove_hook(session, name, self.actor)

    def enable_hook(self, name: str, body: wire.EnabledBody) -> wire.HookInfo:
        """Take messages there, or not. Raises HookNotFoundError."""
        with self.runtime.db.begin() as session:
            return hook_of(hooks.enable_hook(session, name, self.actor, enabled=body.enabled))

    def rotate_hook(self, name: str) -> wire.NewHookAnswer:
        """Give an inbound hook a new secret, at once. Raises HookNotFoundError."""
        with self.runtime.db.begin() as session:
            hook, secret = hooks.rotate(session, name, self.actor)
            return wire.NewHookAnswer(**hook_of(hook).model_dump(), secret=secret)

    def receive(self, hook: InboundHook, message: Message) -> wire.Received:
        """Do what a message to an inbound hook says, all of it or nothing.

        Raises:
            UnauthenticatedError: it is not signed, or not now.
            HookDisabledError, MessageReplayedError: it is, but nothing is done for it.
            InvalidMessageError, MappingMissError, InvalidInputError: it cannot be read.
            IllegalMoveError, RevisionFrozenError: it does not fit what is recorded.
        """
        mapping = hooks.mapping_of(hook)
        digest = hooks.check_message(hook, mapping, message)
        plain = read_message(message.body)
        if not applies(mapping, plain):
            with self.runtime.db.begin() as session:
                hooks.remember(session, hook, digest)
            return wire.Received(ignored=True)
        news = read_news(mapping, plain)
        with self.runtime.db.begin() as session:
            hooks.remember(session, hook, digest)
            revision, is_new = self._learn(session, news)
            return wire.Received(revision=revision.reference, state=revision.state, created=is_new)

    def _learn(self, session: Session, news: News) -> tuple[PartRevision, bool]:
        change = wire.read(
            wire.RevisionChange,
            {"name": news.name, "attributes": news.attributes, "part_attributes": news.part_attributes},
        )
        revision, is_new = self._put(session, f"{news.number}@{news.label}", change)
        told_before = (revision.state, revision.source_state) == (news.state, news.source_state)
        if news.state is not None and not told_before:
            catalog.check_text("source state", news.source_state or "")
            self._move(session, revision, news.state, news.source_state)
        return revision, is_new

    def inbound_hook(self, name: str) -> InboundHook:
        """The record that messages are checked against. Raises HookNotFoundError."""
        with self.runtime.db.read() as session:
            return hooks.get_hook(session, name)

    def forget_old_messages(self) -> int:
        """Drop what is remembered of old messages; of how many."""
        with self.runtime.db.begin() as session:
            return hooks.forget_old(session)

    # -- schedules
    def schedules(self) -> list[wire.ScheduleInfo]:
        """All schedules, by name."""
        with self.runtime.db.read() as session:
            return [schedule_of(one) for one in schedules.list_schedules(session)]

    def schedule(self, name: str) -> wire.ScheduleInfo:
        """One schedule. Raises ScheduleNotFoundError."""
        with self.runtime.db.read() as session:
            return schedule_of(schedules.get_schedule(session, name))

    def add_schedule(self, body: wire.NewScheduleBody) -> wire.ScheduleInfo:
        """Add a schedule. Raises InvalidScheduleError, DuplicateScheduleError, and what its task refuses."""
        new = NewSchedule(body.name, body.task, body.cron, dict[str, Any](body.arguments))
        with self.runtime.db.begin() as session:
            return schedule_of(schedules.add_schedule(session, new, self.actor))

    def remove_schedule(self, name: str) -> None:
        """Do that no more. Raises ScheduleNotFoundError."""
        with self.runtime.db.begin() as session:
            schedules.remove_schedule(session, name, self.actor)

    def enable_schedule(self, name: str, body: wire.EnabledBody) -> wire.ScheduleInfo:
        """Do it from its next time on, or not. Raises ScheduleNotFoundError."""
        with self.runtime.db.begin() as session:
            changed = schedules.enable_schedule(session, name, self.actor, enabled=body.enabled)
            return schedule_of(changed)

    def run_schedule(self, name: str) -> wire.ScheduleInfo:
        """Let a worker do it now, too. Raises ScheduleNotFoundError, ScheduleBusyError."""
        with self.runtime.db.begin() as session:
            busy_s = float(self.runtime.settings.hard_time_limit_s)
            schedule = schedules.run_now(session, name, self.actor, busy_s)
        self._later(lambda: self.runtime.doorbell.ring(TASK_SCHEDULED, [schedule.id]))
        return schedule_of(schedule)

    def schedule_tasks(self) -> list[wire.ScheduleTask]:
        """What schedules can do."""
        return [
            wire.ScheduleTask(
                name=name,
                told=chore.told,
                arguments=[
                    wire.TaskArgument(
                        name=key, kind=one.kind.__name__, default=one.default, required=one.required,
                        told=one.told,
                    )
                    for key, one in chore.arguments.items()
                ],
            )
            for name, chore in CHORES.items()
        ]  # fmt: skip


def webhook_of(webhook: Webhook, counts: dict[str, int]) -> wire.WebhookInfo:
    """A webhook's record as a resource, with its deliveries by state."""
    return wire.WebhookInfo(
        name=webhook.name,
        url=webhook.url,
        kinds=webhook.kinds,
        enabled=webhook.enabled,
        pending=counts.get(DeliveryState.PENDING, 0),
        delivered=counts.get(DeliveryState.DELIVERED, 0),
        dead=counts.get(DeliveryState.DEAD, 0),
        created_at=webhook.created_at,
        created_by=webhook.created_by,
    )


def delivery_of(delivery: WebhookDelivery) -> wire.DeliveryInfo:
    """A delivery's record as a resource."""
    state = DeliveryState(delivery.state)
    return wire.DeliveryInfo(
        id=delivery.id,
        event=delivery.event_id,
        kind=delivery.event.kind,
        state=state.value,
        tries=delivery.tries,
        status=delivery.status,
        error=delivery.error,
        created_at=delivery.created_at,
        next_at=delivery.available_at if state is DeliveryState.PENDING else None,
        finished_at=delivery.finished_at,
    )


def hook_of(hook: InboundHook) -> wire.HookInfo:
    """An inbound hook's record as a resource."""
    return wire.HookInfo(
        name=hook.name,
        path=f"{API}/hooks/{hook.name}",
        requester=hook.requester,
        enabled=hook.enabled,
        mapping=hook.mapping,
        created_at=hook.created_at,
        created_by=hook.created_by,
    )


def schedule_of(schedule: Schedule) -> wire.ScheduleInfo:
    """A schedule's record as a resource."""
    return wire.ScheduleInfo(
        name=schedule.name,
        task=schedule.task,
        cron=schedule.crontab,
        arguments=schedule.arguments,
        enabled=schedule.enabled,
        next_at=schedule.next_at,
        last_at=schedule.last_at,
        last_outcome=schedule.last_outcome,
        last_message=schedule.last_message,
        last_error_code=schedule.last_error_code,
        created_at=schedule.created_at,
        created_by=schedule.created_by,
    )


def _shown(session: Session, webhook: Webhook) -> wire.WebhookInfo:
    return webhook_of(webhook, webhooks.counts(session, [webhook.id])[webhook.id])
