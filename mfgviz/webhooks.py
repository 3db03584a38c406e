"""Webhooks: addresses that are told of events, and what is on its way to them.

A delivery is written in the transaction that follows from its event. Whoever sends it claims it first, by
moving the time at which it is due ahead: one that was claimed and never finished is due again then. Every
function works inside the caller's transaction.
"""

from __future__ import annotations

import json
import random
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Select, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, joinedload

from mfgviz import signing
from mfgviz.catalog import check_word
from mfgviz.errors import (
    DeliveryFailedError,
    DeliveryNotFoundError,
    DuplicateWebhookError,
    UnknownEventKindError,
    WebhookNotFoundError,
)
from mfgviz.journal import audit, event_of, tell_refusal
from mfgviz.masking import mask_secret
from mfgviz.outbound import check_url
from mfgviz.records import Event, PartRevision, Webhook, WebhookDelivery, utcnow
from mfgviz.settings import Network, Settings
from mfgviz.vocabulary import DeliveryState, EventKind

# Wait before each further try, seconds; the last one stands for all behind it.
DELAYS_S = (5.0, 30.0, 120.0, 600.0, 3600.0, 21_600.0)
LEASE_S = 60.0
# A receiver that says so will never take it.
GONE = 410
# Of its own failure nobody is told over a webhook: two that fail would tell of each other for ever.
UNTOLD = frozenset({EventKind.WEBHOOK_DEAD.value})


@dataclass(frozen=True, slots=True)
class NewWebhook:
    """A webhook to be added.

    Raises:
        InvalidInputError, UnknownEventKindError, InvalidSecretError: it cannot be used.
    """

    name: str
    url: str
    kinds: tuple[str, ...]
    secret: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        check_word("webhook's name", self.name, 128)
        if not self.kinds:
            raise UnknownEventKindError("No kind of event is named.")
        for kind in self.kinds:
            if not any(is_of(one.value, kind) for one in EventKind):
                raise UnknownEventKindError(f"There is no kind of event {kind!r}.")
            if kind in UNTOLD:
                raise UnknownEventKindError(f"Nobody is told of {kind} by a webhook.")
        if self.secret is not None:
            signing.key_of(self.secret)


@dataclass(frozen=True, slots=True)
class Letter:
    """One claimed delivery, ready to be sent: `tries` counts this one."""

    delivery_id: int
    webhook_id: int
    webhook: str
    url: str
    secret: str = field(repr=False)
    message_id: str
    body: bytes
    tries: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a try ended: the receiver's status, or what went wrong."""

    status: int | None = None
    error: str | None = None


# -- webhooks ---------------------------------------------------------------------------------------------
def add_webhook(
    session: Session, new: NewWebhook, allowed: Sequence[Network], actor: str
) -> tuple[Webhook, str]:
    """Add a webhook; the webhook and its secret.

    Raises:
        InvalidWebhookUrlError, DuplicateWebhookError: nothing is added.
    """
    check_url(new.url, allowed)
    secret = new.secret or signing.new_secret()
    kinds = list(dict.fromkeys(new.kinds))
    webhook = Webhook(name=new.name, url=new.url, secret=secret, kinds=kinds, created_by=actor, enabled=True)
    try:
        with session.begin_nested():
            session.add(webhook)
    except IntegrityError as error:
        raise DuplicateWebhookError(f"There is a webhook {new.name!r} already.") from error
    audit(session, actor, "webhook.added", new.name, {"url": mask_secret(new.url), "kinds": kinds})
    return webhook, secret


def get_webhook(session: Session, name: str) -> Webhook:
    """The webhook of that name. Raises WebhookNotFoundError."""
    webhook = session.scalar(select(Webhook).where(Webhook.name == name))
    if webhook is None:
        raise WebhookNotFoundError(f"There is no webhook {name!r}.")
    return webhook


def list_webhooks(session: Session) -> list[Webhook]:
    """All webhooks, by name."""
    return list(session.scalars(select(Webhook).order_by(Webhook.name)))


def remove_webhook(session: Session, name: str, actor: str) -> None:
    """Tell that address nothing any more, and forget what was on its way. Raises WebhookNotFoundError."""
    webhook = get_webhook(session, name)
    session.execute(delete(Webhook).where(Webhook.id == webhook.id))
    audit(session, actor, "webhook.removed", name, {"url": mask_secret(webhook.url)})


def enable_webhook(session: Session, name: str, actor: str, *, enabled: bool) -> Webhook:
    """Let it be sent to, or not; what waits is kept. Raises WebhookNotFoundError."""
    webhook = get_webhook(session, name)
    if webhook.enabled != enabled:
        webhook.enabled = enabled
        audit(session, actor, "webhook.enabled" if enabled else "webhook.disabled", name)
    return webhook


def counts(session: Session, webhook_ids: Sequence[int]) -> dict[int, dict[str, int]]:
    """How many deliveries of each webhook stand in each state."""
    query = (
        select(WebhookDelivery.webhook_id, WebhookDelivery.state, func.count())
        .where(WebhookDelivery.webhook_id.in_(webhook_ids))
        .group_by(WebhookDelivery.webhook_id, WebhookDelivery.state)
    )
    found: dict[int, dict[str, int]] = {one: {} for one in webhook_ids}
    for webhook_id, state, count in session.execute(query):
        found[webhook_id][state] = count
    return found


def list_deliveries(
    session: Session, name: str, state: DeliveryState | None, before: int | None, limit: int
) -> list[WebhookDelivery]:
    """Deliveries of a webhook, the newest first, with their events. Raises WebhookNotFoundError."""
    webhook = get_webhook(session, name)
    query = select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook.id)
    if state is not None:
        query = query.where(WebhookDelivery.state == state)
    if before is not None:
        query = query.where(WebhookDelivery.id < before)
    query = query.order_by(WebhookDelivery.id.desc()).limit(limit)
    return list(session.scalars(query.options(joinedload(WebhookDelivery.event))))


def replay(session: Session, name: str, actor: str, event_id: int | None = None) -> int:
    """Send again what is dead, or one event whatever became of it; how many deliveries.

    Raises:
        WebhookNotFoundError: there is no such webhook.
        DeliveryNotFoundError: nothing of that event was ever on its way to it.
    """
    webhook = get_webhook(session, name)
    wanted = WebhookDelivery.webhook_id == webhook.id
    if event_id is not None:
        found = session.scalar(select(WebhookDelivery.id).where(wanted, WebhookDelivery.event_id == event_id))
        if found is None:
            raise DeliveryNotFoundError(f"Event {event_id} was never on its way to the webhook {name!r}.")
        wanted &= WebhookDelivery.event_id == event_id
    else:
        wanted &= WebhookDelivery.state == DeliveryState.DEAD
    again = update(WebhookDelivery).where(wanted).values(
        state=DeliveryState.PENDING, tries=0, available_at=utcnow(), finished_at=None, error=None, status=None
    )  # fmt: skip
    done = session.scalars(
        again.returning(WebhookDelivery.id), execution_options={"synchronize_session": False}
    ).all()
    if done:
        told = {"deliveries": len(done)} | ({"event": event_id} if event_id is not None else {})
        audit(session, actor, "webhook.replayed", name, told)
    return len(done)


# -- from events to deliveries ------------------------------------------------------------------------------
def is_of(kind: str, wanted: str) -> bool:
    """Whether a kind of event is the wanted one, or begins with it and a dot."""
    return kind == wanted or kind.startswith(f"{wanted}.")


def follow(session: Session, _settings: Settings, events: Sequence[Event]) -> list[int]:
    """Put these events on their way to every webhook that wants them, each once. No job waits for it."""
    hooks = session.scalars(select(Webhook).where(Webhook.enabled)).all() if events else []
    rows = [
        {"webhook_id": hook.id, "event_id": event.id, "tries": 0, "state": DeliveryState.PENDING.value}
        for hook in hooks
        for event in events
        if event.kind not in UNTOLD and any(is_of(event.kind, kind) for kind in hook.kinds)
    ]
    if rows:
        dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
        session.execute(dialect.insert(WebhookDelivery).on_conflict_do_nothing(), rows)
    return []


# -- sending ---------------------------------------------------------------------------------------------
def due_webhooks(session: Session) -> list[int]:
    """The ids of the webhooks for which something is due."""
    return list(session.scalars(_due(select(WebhookDelivery.webhook_id)).distinct()))


def claim(session: Session, free: Mapping[int, int]) -> list[Letter]:
    """Claim up to so many due deliveries of each webhook, the oldest first, for `LEASE_S` seconds."""
    ids: list[int] = []
    for webhook_id, count in free.items():
        query = _due(select(WebhookDelivery.id)).where(WebhookDelivery.webhook_id == webhook_id)
        query = query.order_by(WebhookDelivery.available_at, WebhookDelivery.id).limit(count)
        ids += session.scalars(query.with_for_update(skip_locked=True, of=WebhookDelivery))
    if not ids:
        return []
    taken = {"available_at": utcnow(LEASE_S), "tries": WebhookDelivery.tries + 1}
    session.execute(
        update(WebhookDelivery).where(WebhookDelivery.id.in_(ids)).values(taken),
        execution_options={"synchronize_session": False},
    )
    query_all = (
        select(WebhookDelivery)
        .where(WebhookDelivery.id.in_(ids))
        .order_by(WebhookDelivery.id)
        .options(
            joinedload(WebhookDelivery.webhook),
            joinedload(WebhookDelivery.event).joinedload(Event.revision).joinedload(PartRevision.part),
        )
    )
    return [_letter(one) for one in session.scalars(query_all)]


def finish(
    session: Session, letter: Letter, outcome: Outcome, most_tries: int, delays: Sequence[float] = DELAYS_S
) -> DeliveryState | None:
    """Note how a try ended; where the delivery stands now, None where it is no longer the claimant's."""
    delivered = outcome.status is not None and 200 <= outcome.status < 300
    dead = not delivered and (letter.tries >= most_tries or outcome.status == GONE)
    state = DeliveryState.DELIVERED if delivered else DeliveryState.DEAD if dead else DeliveryState.PENDING
    delay_s = delays[min(letter.tries, len(delays)) - 1] * random.uniform(0.8, 1.2)
    told = None if delivered else (outcome.error or "")[:2000]
    moved = session.scalar(
        update(WebhookDelivery)
        .where(
            WebhookDelivery.id == letter.delivery_id,
            WebhookDelivery.state == DeliveryState.PENDING,
            WebhookDelivery.tries == letter.tries,
        )
        .values(
            state=state,
            status=outcome.status,
            error=told,
            available_at=utcnow(0.0 if delivered or dead else delay_s),
            finished_at=utcnow() if delivered or dead else None,
        )
        .returning(WebhookDelivery.event_id),
        execution_options={"synchronize_session": False},
    )
    if moved is None:
        return None
    if dead:
        error = DeliveryFailedError(
            f"Event {moved} could not be sent to the webhook {letter.webhook!r} in {letter.tries} "
            f"{'try' if letter.tries == 1 else 'tries'}. {told}",
            remedy=f"Mend the receiver, then: mfgviz webhooks replay {letter.webhook} --event {moved}",
        )
        tell_refusal(session, EventKind.WEBHOOK_DEAD, "mfgviz", letter.webhook, error)
    return state


def forget_old(session: Session, days: float) -> int:
    """Drop what was delivered or died more than so many days ago; how many deliveries."""
    old = WebhookDelivery.finished_at < utcnow(-days * 86_400)
    gone = session.scalars(
        delete(WebhookDelivery).where(old).returning(WebhookDelivery.id),
        execution_options={"synchronize_session": False},
    )
    return len(gone.all())


def trial(webhook: Webhook, actor: str) -> tuple[str, bytes]:
    """Id and body of a message that tries out a webhook."""
    message_id = f"test_{secrets.token_hex(8)}"
    told = {"webhook": webhook.name, "actor": actor}
    return message_id, _encode({"id": message_id, "type": "webhook.test", "data": told})


def _due(query: Select[int]) -> Select[int]:
    return query.join(Webhook, Webhook.id == WebhookDelivery.webhook_id).where(
        WebhookDelivery.state == DeliveryState.PENDING,
        WebhookDelivery.available_at <= utcnow(),
        Webhook.enabled,
    )


def _letter(delivery: WebhookDelivery) -> Letter:
    webhook, told = delivery.webhook, event_of(delivery.event)
    message_id = f"evt_{told.id}"
    plain = {
        "id": message_id,
        "type": told.kind,
        "timestamp": told.model_dump(mode="json")["created_at"],
        "data": told.model_dump(mode="json", exclude={"delivered_at", "kind"}),
    }
    return Letter(
        delivery.id, webhook.id, webhook.name, webhook.url, webhook.secret, message_id, _encode(plain),
        delivery.tries,
    )  # fmt: skip


def _encode(plain: object) -> bytes:
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":")).encode()
