"""Where messages may be sent to, and what is made of what receivers answer. Real sockets."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mfgviz import outbound, signing
from mfgviz.errors import (
    DeliveryFailedError,
    ForbiddenAddressError,
    InvalidSecretError,
    InvalidSettingError,
    InvalidWebhookUrlError,
)
from mfgviz.settings import Settings
from tests.support.receiver import Receiver

HERE = (ipaddress.ip_network("127.0.0.0/8"),)


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    running = Receiver().start()
    running.answers = {
        "/redirect": [running.redirects],
        "/flood": [running.floods],
        "/trickle": [running.trickles],
        "/hang": [running.hangs],
        "/500": [500],
    }
    yield running
    running.stop()


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "10.2.0.1", "192.168.1.1", "172.16.0.1", "169.254.169.254", "100.64.3.4", "224.0.0.1",
     "0.0.0.0", "255.255.255.255", "198.18.0.1", "192.0.2.1", "192.88.99.1", "240.0.0.1", "::", "::1",
     "fe80::1%eth0", "fc00::1", "ff02::1", "fec0::1", "2001:db8::1", "::ffff:127.0.0.1", "::ffff:10.2.0.1",
     "::127.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b:1::7f00:1", "2001:0:7f00:1::",
     "::ffff:0:7f00:1", "2001:4860::5efe:7f00:1", "2001:4860::200:5efe:a00:1", "3fff::1", "4000::1",
     "5f00::1", "168.63.129.16"],
)  # fmt: skip
def test_addresses_that_nothing_is_sent_to(address: str) -> None:
    with pytest.raises(ForbiddenAddressError, match="none of the public internet"):
        outbound.check_address(address, (ipaddress.ip_network("10.1.0.0/16"),))


@pytest.mark.parametrize(
    "address", ["8.8.8.8", "10.1.2.3", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]
)
def test_addresses_that_messages_are_sent_to(address: str) -> None:
    outbound.check_address(address, (ipaddress.ip_network("10.1.0.0/16"),))


@given(st.ip_addresses(v=4))
def test_an_address_inside_of_another_is_judged_as_itself(address: ipaddress.IPv4Address) -> None:
    for prefix in ("::ffff:0:0", "64:ff9b::"):
        carrier = ipaddress.IPv6Address(int(ipaddress.IPv6Address(prefix)) + int(address))
        for one in (str(address), str(carrier)):
            if outbound.is_public(address):
                outbound.check_address(one, ())
            else:
                with pytest.raises(ForbiddenAddressError):
                    outbound.check_address(one, ())


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://erp.example.com/", "over https"),
        ("ftp://erp.example.com/", "no https"),
        ("https:///x", "no https"),
        ("https://erp.example.com/#x", "no https"),
        ("https://ann:secret@erp.example.com/", "a user name or a password"),
        ("https://erp.example.com:99999/", "cannot be read"),
        ("https://erp.example.com/\nx", "printable"),
        ("https://erp.example.com/" + "x" * 2000, "2000 at most"),
        ("https://127.0.0.1/", "none of the public internet"),
        ("https://0x7f.1/", "none of the public internet"),
        ("https://2130706433/", "none of the public internet"),
        ("https://localhost:8443/", "none of the public internet"),
        ("https://api.localhost./", "none of the public internet"),
        ("https://[::ffff:10.0.0.1]/", "none of the public internet"),
    ],
)
def test_urls_that_are_refused_before_anything_is_looked_up(url: str, told: str) -> None:
    with pytest.raises(InvalidWebhookUrlError, match=told) as caught:
        outbound.check_url(url, ())
    assert "secret" not in caught.value.message


def test_plain_http_is_for_networks_of_ones_own(receiver: Receiver) -> None:
    assert outbound.post(receiver.url(), b"{}", {}, HERE).status == 204
    with pytest.raises(InvalidWebhookUrlError, match="https alone"):
        outbound.post("http://8.8.8.8/", b"{}", {}, HERE)
    with pytest.raises(InvalidWebhookUrlError, match="https alone"):
        outbound.post("http://erp.test/", b"{}", {}, HERE, lambda *_: ["8.8.8.8"])


def test_a_name_is_judged_by_every_address_it_has(receiver: Receiver) -> None:
    before = len(receiver.received)
    for found in (["127.0.0.1"], ["8.8.8.8", "127.0.0.1"], ["::ffff:127.0.0.1"]):
        with pytest.raises(ForbiddenAddressError, match=r"erp\.example\.com has the address"):
            outbound.post("https://erp.example.com/", b"", {}, (), lambda *_, found=found: found)
    assert len(receiver.received) == before


def test_a_name_that_answers_differently_the_second_time_gains_nothing(receiver: Receiver) -> None:
    """DNS rebinding: the checked address is the one that is connected to, and the name is asked once."""
    asked: list[str] = []

    def rebinding(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1"] if len(asked) == 1 else ["10.0.0.1"]

    url = receiver.url(host="erp.test")
    assert outbound.post(url, b"{}", {}, HERE, rebinding).status == 204
    assert asked == ["erp.test"]
    assert receiver.received[-1].headers["host"] == f"erp.test:{receiver.port}"
    with pytest.raises(ForbiddenAddressError, match=r"10\.0\.0\.1"):
        outbound.post(url, b"{}", {}, HERE, rebinding)


def test_no_name_no_answer_no_service(receiver: Receiver) -> None:
    def nowhere(_host: str, _port: int) -> list[str]:
        raise socket.gaierror("Name or service not known")

    with pytest.raises(DeliveryFailedError, match=r"erp\.test has no address"):
        outbound.post("http://erp.test/", b"", {}, HERE, nowhere)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    with pytest.raises(DeliveryFailedError, match="refused"):
        outbound.post(f"http://127.0.0.1:{port}/", b"", {}, HERE)
    with pytest.raises(DeliveryFailedError, match="failed"):  # it speaks no TLS
        outbound.post(f"https://127.0.0.1:{receiver.port}/", b"", {}, HERE)


def test_redirects_are_not_followed(receiver: Receiver) -> None:
    taken = outbound.post(receiver.url("/redirect"), b"{}", {}, HERE)
    assert (taken.status, taken.is_delivered) == (302, False)
    assert "not followed" in taken.refusal
    assert receiver.at("/inside") == []


def test_a_huge_answer_is_not_read(receiver: Receiver) -> None:
    taken = outbound.post(receiver.url("/flood"), b"{}", {}, HERE)
    assert taken.is_delivered
    assert taken.took_s < 5


@pytest.mark.parametrize("path", ["/hang", "/trickle"])
def test_nobody_takes_longer_than_allowed(path: str, receiver: Receiver) -> None:
    with pytest.raises(DeliveryFailedError, match="did not answer within"):
        outbound.post(receiver.url(path), b"{}", {}, HERE, total_s=0.4)


def test_networks_of_the_setting() -> None:
    assert [str(one) for one in Settings(webhook_allow_private="10.1.0.0/16, ::1/128").webhook_networks] == [
        "10.1.0.0/16", "::1/128",
    ]  # fmt: skip
    with pytest.raises(InvalidSettingError, match="webhook_allow_private"):
        Settings(webhook_allow_private="10.1.0.1/16")


# -- signatures --------------------------------------------------------------------------------------------
def test_the_signature_is_that_of_the_specification() -> None:
    """The example of the Standard Webhooks specification's own libraries."""
    headers = signing.sign(
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        1614265330,
        b'{"test": 2432232314}',
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@given(st.binary(max_size=200), st.text("abc_123", min_size=1, max_size=20), st.integers(0, 2**33), st.data())
def test_only_the_whole_message_fits_its_signature(
    body: bytes, name: str, at: int, data: st.DataObject
) -> None:
    secret = signing.new_secret()
    header = signing.sign(secret, name, at, body)["webhook-signature"]

    def fits(key: str, name: str, at: int, body: bytes, header: str = header) -> bool:
        return signing.is_signed(
            header, signing.mac(signing.key_of(key), signing.content_of(name, str(at), body))
        )

    assert fits(secret, name, at, body)
    assert fits(secret, name, at, body, f"v1a,xx v1,AAAA {header}")
    assert not fits(signing.new_secret(), name, at, body)
    assert not fits(secret, name + "x", at, body)
    assert not fits(secret, name, at + 1, body)
    assert not fits(secret, name, at, body + b"x")
    assert not fits(secret, name, at, body, data.draw(st.text(max_size=60)))


@pytest.mark.parametrize(
    "secret", ["", "whsec_", "whsec_!!", "whsec_" + "A" * 20, "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"]
)
def test_secrets_that_are_none(secret: str) -> None:
    with pytest.raises(InvalidSecretError) as caught:
        signing.key_of(secret)
    assert not secret or secret not in caught.value.message or secret == "whsec_"
