"""A service and a client of its server are asked in the same words."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from mfgviz.client import Client
from mfgviz.service import Service

# What only the server itself asks for, and what only a client does.
SERVER_ONLY = {
    "batch_owner",
    "check_addable",
    "check_attachable",
    "check_takeable",
    "forget_old_keys",
    "forget_old_messages",
    "inbound_hook",
    "owner",
    "receive",
    "submit_ask",
}
CLIENT_ONLY = {"close", "events", "health", "job_events", "me", "submit_ask"}
# What a server says for its client: the name that a file came with, how many jobs may wait, whether the token
# may review.
SERVERS_WORD = {
    "add_revision": {"file_name"},
    "rerender_stale": {"queued_most"},
    "set_primary": {"may_review"},
    "submit": {"queued_most"},
    "submit_ask": {"queued_most"},
    "submit_batch": {"queued_most"},
}


def methods(kind: type) -> dict[str, Callable[..., Any]]:
    found = inspect.getmembers(kind, inspect.isfunction)
    return {name: function for name, function in found if not name.startswith("_")}


OF_SERVICE, OF_CLIENT = methods(Service), methods(Client)


def test_both_can_be_asked_the_same() -> None:
    assert set(OF_SERVICE) - SERVER_ONLY == set(OF_CLIENT) - CLIENT_ONLY


@pytest.mark.parametrize("name", sorted(set(OF_SERVICE) & set(OF_CLIENT)))
def test_in_the_same_words(name: str) -> None:
    asked, sent = inspect.signature(OF_SERVICE[name]), inspect.signature(OF_CLIENT[name])
    extra = SERVERS_WORD.get(name, set())
    ours = {key: one for key, one in asked.parameters.items() if key not in extra}
    assert list(ours) == list(sent.parameters)
    for key, one in ours.items():
        other = sent.parameters[key]
        assert (one.kind, one.annotation, one.default) == (other.kind, other.annotation, other.default), key
    assert asked.return_annotation == sent.return_annotation
