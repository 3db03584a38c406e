"""docs/webhooks.md: the receiver in it is run, and its mappings are read."""

from __future__ import annotations

import ipaddress
import os
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

from mfgviz import outbound, signing
from mfgviz.courier import headers_of
from mfgviz.errors import DeliveryFailedError
from mfgviz.mapping import read_mapping
from tests.support.workers import eventually

PAGE = (Path(__file__).parents[2] / "docs" / "webhooks.md").read_text(encoding="utf-8")
HERE = (ipaddress.ip_network("127.0.0.0/8"),)


def blocks(language: str) -> list[str]:
    return [block.split("```")[0] for block in PAGE.split(f"```{language}\n")[1:]]


def test_the_mappings_can_be_used() -> None:
    found = blocks("toml")
    assert len(found) == 2
    for one in found:
        read_mapping(tomllib.loads(one))


def test_the_receiver_takes_what_is_signed_once_and_nothing_else() -> None:
    (program,) = blocks("python")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    secret, url = signing.new_secret(), f"http://127.0.0.1:{port}/"
    body = b'{"id":"evt_1","type":"revision.released","data":{"revision":"BRK-1@A"}}'
    receiver = subprocess.Popen(
        [sys.executable, "-c", program],
        env={**os.environ, "WEBHOOK_SECRET": secret, "PORT": str(port)},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )

    def post(key: str) -> int | None:
        try:
            return outbound.post(url, body, headers_of(key, "evt_1", body), HERE).status
        except DeliveryFailedError:  # it has not started yet
            return None

    try:
        assert eventually(lambda: post(secret), 20) == 204
        assert post(secret) == 204
        assert post(signing.new_secret()) == 401
        late = signing.sign(secret, "evt_2", 1_700_000_000, body)
        assert outbound.post(url, body, late, HERE).status == 401
    finally:
        receiver.terminate()
        printed = receiver.communicate(timeout=10)[0]
    assert printed == "revision.released BRK-1@A\n"
