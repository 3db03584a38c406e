"""Webhooks: from an event to a real receiver that takes it, fails, hangs or redirects."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from concurrent.futures import wait
from dataclasses import replace

import pytest
from sqlalchemy import func, insert, select, update

from mfgviz import automation, catalog, webhooks, wire
from mfgviz.courier import PER_WEBHOOK, THREADS, Courier
from mfgviz.errors import (
    DeliveryNotFoundError,
    DuplicateWebhookError,
    ForbiddenAddressError,
    InvalidSecretError,
    InvalidWebhookUrlError,
    UnknownEventKindError,
    WebhookNotFoundError,
)
from mfgviz.records import AuditEntry, Event, Webhook, WebhookDelivery, utcnow
from mfgviz.runtime import Runtime
from mfgviz.service import Service
from mfgviz.webhooks import Outcome
from tests.support.receiver import Receiver, until
from tests.unit.automation.conftest import Shop

NOW = (0.0,)


class Post:
    """A shop that tells a receiver, and a courier whose clock only the test moves."""

    def __init__(self, shop: Shop, receiver: Receiver) -> None:
        self.shop, self.receiver = shop, receiver
        settings = replace(shop.runtime.settings, webhook_allow_private="127.0.0.0/8", webhook_tries=3)
        self.runtime = Runtime(settings)
        self.service = Service(self.runtime, "ann")
        self.now = 0.0
        self.courier = Courier(self.runtime, clock=lambda: self.now, delays=NOW, total_s=1.5)

    def add(self, name: str, path: str = "/ok", *kinds: str) -> str:
        body = {"name": name, "url": self.receiver.url(path), "kinds": list(kinds or ("revision.released",))}
        return self.service.add_webhook(wire.read(wire.NewWebhookBody, body)).secret

    def states(self, name: str) -> list[tuple[str, int, int | None]]:
        found = self.service.deliveries(name).items
        return [(one.state, one.tries, one.status) for one in reversed(found)]

    def send(self) -> int:
        """One round after the other until nothing is due, with time to rest between."""
        count = 0
        while sent := self.courier.send_due():
            wait(sent, 20)
            self.now += 1000.0
            count += len(sent)
        return count


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    running = Receiver().start()
    running.answers = {
        "/500": [500],
        "/flaky": [500, 503, 200],
        "/410": [410],
        "/redirect": [running.redirects],
        "/hang": [running.hangs],
        "/flood": [running.floods],
    }
    yield running
    running.stop()


@pytest.fixture
def post(shop: Shop, receiver: Receiver) -> Iterator[Post]:
    made = Post(shop, receiver)
    yield made
    made.courier.close()
    made.runtime.close()


def test_an_event_is_sent_signed_and_once(post: Post) -> None:
    secret = post.add("erp", "/ok", "revision.released", "render")
    reference = post.shop.revise("BRK-1", "A")
    post.shop.release(reference)
    post.shop.follow()
    assert post.send() == 1
    (message,) = post.receiver.received
    plain = json.loads(message.body)
    assert plain["type"] == "revision.released"
    assert plain["data"]["revision"] == "BRK-1@A"
    assert plain["data"]["actor"] == "eve"
    assert plain["id"] == message.headers["webhook-id"] == f"evt_{plain['data']['id']}"
    assert plain["timestamp"].endswith("Z")
    assert message.headers["content-type"] == "application/json"
    # As the specification says, with nothing of ours.
    signed = (
        f"{message.headers['webhook-id']}.{message.headers['webhook-timestamp']}.".encode() + message.body
    )
    key = base64.b64decode(secret.removeprefix("whsec_"))
    wanted = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert message.headers["webhook-signature"] == f"v1,{wanted}"
    assert post.states("erp") == [("delivered", 1, 204)]
    assert post.send() == 0
    with post.runtime.db.begin() as session:  # the event comes again: at least once
        session.execute(update(Event).values(delivered_at=None))
    post.shop.follow()
    assert post.send() == 0
    assert len(post.receiver.received) == 1


def test_the_secret_is_shown_once_and_never_again(post: Post, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    secret = post.add("erp", "/500")
    post.shop.release(post.shop.revise("BRK-1", "A"))
    post.shop.follow()
    post.send()
    assert "secret" not in post.service.webhook("erp").model_dump()
    with post.runtime.db.read() as session:
        told = [str(one.details) for one in session.scalars(select(AuditEntry))]
        told += [str(one.payload) for one in session.scalars(select(Event))]
    assert secret not in caplog.text + "".join(told)
    assert secret.removeprefix("whsec_") not in caplog.text + "".join(told)


def test_what_fails_is_tried_again_and_arrives(post: Post) -> None:
    post.add("erp", "/flaky")
    post.shop.release(post.shop.revise("BRK-1", "A"))
    post.shop.follow()
    assert post.send() == 3
    assert post.states("erp") == [("delivered", 3, 200)]
    bodies = {(one.body, one.headers["webhook-id"]) for one in post.receiver.received}
    assert len(bodies) == 1  # the receiver can tell that it is the same


def test_what_never_arrives_is_dead_told_and_sent_again_on_demand(post: Post) -> None:
    post.add("erp", "/500")
    post.shop.release(post.shop.revise("BRK-1", "A"))
    post.shop.follow()
    assert post.send() == 3
    assert post.states("erp") == [("dead", 3, 500)]
    (dead,) = post.shop.events("webhook.dead")
    assert dead.payload["subject"] == "erp"
    assert "revision.released" not in dead.payload["remedy"]
    assert "mfgviz webhooks replay erp --event" in dead.payload["remedy"]
    with post.runtime.db.read() as session:
        assert session.scalars(select(AuditEntry).where(AuditEntry.action == "webhook.dead")).one()
    post.receiver.answers["/500"] = [200]
    assert post.service.replay("erp", wire.ReplayBody()).deliveries == 1
    assert post.send() == 1
    assert post.states("erp") == [("delivered", 1, 200)]
    (event,) = post.shop.events("revision.released")
    assert post.service.replay("erp", wire.ReplayBody(event=event.id)).deliveries == 1
    assert post.send() == 1
    assert post.service.replay("erp", wire.ReplayBody()).deliveries == 0
    with pytest.raises(DeliveryNotFoundError):
        post.service.replay("erp", wire.ReplayBody(event=10**6))


def test_nobody_is_told_of_a_dead_webhook_by_a_webhook(post: Post) -> None:
    post.add("erp", "/410", "webhook", "revision.released")
    post.shop.release(post.shop.revise("BRK-1", "A"))
    post.shop.follow()
    assert post.send() == 1  # gone: there is no second try
    assert post.states("erp") == [("dead", 1, 410)]
    post.shop.follow()
    assert post.send() == 0


def test_redirects_and_floods_and_private_addresses(post: Post) -> None:
    post.add("redirected", "/redirect")
    post.add("flooded", "/flood")
    with post.runtime.db.begin() as session:  # as if it was added before the setting was narrowed
        session.add(
            Webhook(name="inside", url="https://10.0.0.1/", secret="whsec_" + "A" * 32,
                    kinds=["revision.released"], created_by="ann")
        )  # fmt: skip
    post.shop.release(post.shop.revise("BRK-1", "A"))
    post.shop.follow()
    post.send()
    assert post.states("redirected") == [("dead", 3, 302)]
    assert "not followed" in (post.service.deliveries("redirected").items[0].error or "")
    assert post.receiver.at("/inside") == []
    assert post.states("flooded") == [("delivered", 1, 200)]
    assert post.states("inside") == [("dead", 3, None)]
    assert "none of the public internet" in (post.service.deliveries("inside").items[0].error or "")


def test_a_receiver_that_hangs_delays_no_other(post: Post) -> None:
    for number in range(10):
        post.add(f"hangs {number}", "/hang", "revision.created")
    for label in "ABCD":
        post.shop.revise("BRK-1", label)
    post.shop.follow()
    hanging = post.courier.send_due()
    assert len(hanging) == THREADS
    post.add("well", "/ok", "revision.obsoleted")
    with post.runtime.db.begin() as session:
        webhook_id = session.scalars(select(Webhook.id).where(Webhook.name == "well")).one()
        event = session.scalars(select(Event.id)).first()
        session.add(WebhookDelivery(webhook_id=webhook_id, event_id=event))
    post.courier.start()
    until(lambda: post.states("well") == [("delivered", 1, 204)], 30)


def test_a_receiver_that_does_not_answer_rests_and_the_rest_grows(post: Post) -> None:
    post.add("hangs", "/hang", "revision.created")
    post.courier._delays = (0.0,)
    for label in "ABCDEF":
        post.shop.revise("BRK-1", label)
    post.shop.follow()
    wait(post.courier.send_due(), 10)
    assert post.courier.send_due() == []
    post.now += 5.0
    assert len(post.courier.send_due()) == PER_WEBHOOK


def test_what_was_claimed_and_not_finished_is_due_again(post: Post) -> None:
    post.add("erp")
    post.shop.release(post.shop.revise("BRK-1", "A"))
    post.shop.follow()
    with post.runtime.db.begin() as session:
        (webhook_id,) = webhooks.due_webhooks(session)
        (lost,) = webhooks.claim(session, {webhook_id: 5})
    assert post.send() == 0  # somebody has it
    with post.runtime.db.begin() as session:
        session.execute(update(WebhookDelivery).values(available_at=utcnow()))
    assert post.send() == 1
    with post.runtime.db.begin() as session:  # the first one comes back late
        assert webhooks.finish(session, lost, Outcome(500, "It answered 500."), 1) is None
    assert post.states("erp") == [("delivered", 2, 204)]


def test_a_webhook_that_is_disabled_keeps_what_waits(post: Post) -> None:
    post.add("erp")
    post.shop.release(post.shop.revise("BRK-1", "A"))
    post.shop.follow()
    post.service.enable_webhook("erp", wire.EnabledBody(enabled=False))
    post.shop.release(post.shop.revise("BRK-1", "B"))
    post.shop.follow()
    assert post.send() == 0
    post.service.enable_webhook("erp", wire.EnabledBody(enabled=True))
    assert post.send() == 1
    post.service.remove_webhook("erp")
    with pytest.raises(WebhookNotFoundError):
        post.service.webhook("erp")


def test_a_webhook_is_tried_out(post: Post) -> None:
    post.add("well")
    post.add("fails", "/500")
    assert post.service.test_webhook("well").delivered
    assert json.loads(post.receiver.received[-1].body)["type"] == "webhook.test"
    failed = post.service.test_webhook("fails")
    assert (failed.delivered, failed.status, failed.error) == (False, 500, "It answered 500.")


def test_what_cannot_be_a_webhook_adds_nothing(post: Post) -> None:
    post.add("erp")
    refused: list[tuple[dict[str, object], type[Exception]]] = [
        ({"url": "https://10.0.0.1/x"}, ForbiddenAddressError),
        ({"url": "https://ann:pw@erp.example.com/"}, InvalidWebhookUrlError),
        ({"kinds": ["revision.rleased"]}, UnknownEventKindError),
        ({"kinds": ["webhook.dead"]}, UnknownEventKindError),
        ({"secret": "hunter2"}, InvalidSecretError),
        ({"name": "erp"}, DuplicateWebhookError),
    ]
    for change, error in refused:
        plain = {"name": "new", "url": "https://erp.example.com/", "kinds": ["revision"], **change}
        with pytest.raises(error):
            post.service.add_webhook(wire.read(wire.NewWebhookBody, plain))
    assert [one.name for one in post.service.webhooks()] == ["erp"]


def test_many_events_are_enqueued_at_once_and_old_deliveries_forgotten(post: Post) -> None:
    for number in range(5):
        post.add(f"erp {number}", "/ok", "revision")
    post.shop.revise("BRK-1", "A")
    with post.runtime.db.begin() as session:
        revision = catalog.get_revision(session, "BRK-1@A")
        row = {"kind": "revision.released", "revision_id": revision.id, "actor": "ann", "payload": {}}
        session.execute(insert(Event), [row] * 1000)
    assert automation.process(post.runtime) >= 1000
    with post.runtime.db.begin() as session:
        count = session.scalar(select(func.count()).select_from(WebhookDelivery))
        assert count == 5 * 1001
        session.execute(update(WebhookDelivery).values(state="dead", finished_at=utcnow(-40 * 86_400)))
        assert webhooks.forget_old(session, 30) == count
