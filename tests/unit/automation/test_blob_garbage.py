"""Collecting blobs: what nothing refers to goes, what anything refers to or comes to refer to stays."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy import inspect, select

from mfgviz import blob_garbage, catalog, wire
from mfgviz.blob_garbage import Collected
from mfgviz.catalog import StoredFile
from mfgviz.errors import BlobNotFoundError, InvalidInputError
from mfgviz.records import AuditEntry, Record, Rendition
from mfgviz.service import Service
from mfgviz.storage import BlobStore
from tests.unit.automation.conftest import Shop

# Digests of columns that are none of a blob's.
NO_BLOBS = {
    "models.weights_digest",
    "renditions.pixel_digest",
    "access_tokens.secret_digest",
    "idempotency_keys.request_digest",
    "inbound_messages.digest",
    "geometries.shape_digest",
}


def collect(shop: Shop, days: float = 0.0, grace_days: float = 7.0, *, dry_run: bool = False) -> Collected:
    """As if that many days had passed."""
    later = datetime.now(UTC) + timedelta(days=days)
    return blob_garbage.collect(shop.runtime, "ann", grace_days, dry_run=dry_run, now=lambda: later)


def fill(shop: Shop) -> dict[str, str]:
    """A blob in every place that rows refer to blobs from; their digests by what they are."""
    blobs = shop.runtime.blobs
    kept = {
        what: blobs.put(what.encode())
        for what in ("file", "old file", "picture", "thumbnail", "start", "rule")
    }
    shop.service.add_rule(
        wire.NewRule(name="r", on="revision.released", everything=True,
                     ask={"prompt": "x", "mode": "image", "image": kept["rule"]})
    )  # fmt: skip
    for what in ("old file", "file"):
        with shop.runtime.db.begin() as session:
            if what == "old file":
                catalog.add_revision(session, "BRK-1", "A", "ann")
            revision = catalog.get_revision(session, "BRK-1@A")
            catalog.attach_geometry(session, revision, StoredFile(kept[what], 9, "p.step"), "ann")
    quiet = Service(shop.runtime, "ann", lambda _ring: None)
    quiet.submit(wire.JobBody(revision="BRK-1@A", prompt="x", mode="image", image=kept["start"]))
    quiet.submit(wire.JobBody(revision="BRK-1@A", prompt="y"))
    shop.finish()
    with shop.runtime.db.begin() as session:
        for one in session.scalars(select(Rendition)):
            one.blob_digest, one.thumbnail_digest = kept["picture"], kept["thumbnail"]
    return kept


def test_what_nothing_refers_to_goes_in_two_steps_and_all_else_stays(shop: Shop) -> None:
    kept = fill(shop)
    blobs = shop.runtime.blobs
    garbage = blobs.put(b"garbage")
    young = collect(shop)
    assert (young.stored, young.condemned, young.deleted) == (7, 0, 0)  # uploads may be on their way
    tried = collect(shop, 8, dry_run=True)
    assert (tried.condemned, tried.condemned_bytes) == (1, len(b"garbage"))
    assert garbage in set(blobs.digests())
    done = collect(shop, 8)
    assert (done.stored, done.condemned, done.deleted) == (7, 1, 0)
    assert set(blobs.digests()) == set(kept.values())
    assert collect(shop, 14).deleted == 0  # not a whole grace period yet
    gone = collect(shop, 16.1)
    assert (gone.stored, gone.condemned, gone.deleted, gone.deleted_bytes) == (6, 0, 1, 7)
    with pytest.raises(BlobNotFoundError):
        blobs.get(garbage)
    assert all(blobs.exists(one) for one in kept.values())
    with shop.runtime.db.read() as session:
        entries = session.scalars(select(AuditEntry).where(AuditEntry.action == "blobs.collected")).all()
    assert [one.details["deleted"] for one in entries] == [0, 0, 0, 1]


def test_a_blob_that_comes_to_be_referred_to_is_never_lost(shop: Shop) -> None:
    fill(shop)
    blobs = shop.runtime.blobs
    content = [b"stored again", b"referred to", b"read"]
    stored, referred, read = map(blobs.put, content)
    # Its upload found it there, before it was condemned; its row comes after.
    assert collect(shop, 8).condemned == 3
    assert blobs.put(b"stored again") == stored
    with shop.runtime.db.begin() as session:
        revision = catalog.add_revision(session, "BRK-1", "B", "ann")
        catalog.attach_geometry(session, revision, StoredFile(referred, 9, "p.step"), "ann")
    assert blobs.get(read) == b"read"
    again = collect(shop, 17)
    assert again.restored == 1
    assert again.deleted == 0
    assert blobs.get(referred) == b"referred to"
    assert collect(shop, 30).deleted == 2  # nobody came to need the other two


def test_without_grace_all_goes_at_once(shop: Shop) -> None:
    kept = fill(shop)
    shop.runtime.blobs.put(b"garbage")
    done = collect(shop, 0.01, grace_days=0)
    assert (done.condemned, done.deleted) == (1, 1)
    assert set(shop.runtime.blobs.digests()) == set(kept.values())
    with pytest.raises(InvalidInputError):
        collect(shop, grace_days=-1)


def test_many_blobs_of_every_first_digit(shop: Shop) -> None:
    fill(shop)
    for number in range(100):
        shop.runtime.blobs.put(f"garbage {number}".encode())
    assert {one[0] for one in shop.runtime.blobs.digests()} == set("0123456789abcdef")
    done = collect(shop, 8)
    assert (done.stored, done.condemned) == (106, 100)
    assert collect(shop, 17).deleted == 100


def test_every_digest_that_rows_hold_is_looked_at() -> None:
    """A new column that names blobs belongs into `blob_garbage.references`."""
    known = {str(one) for one in blob_garbage.references()}
    held = {
        f"{mapper.local_table}.{column.name}"
        for mapper in Record.registry.mappers
        for column in inspect(mapper).local_table.columns
        if "digest" in column.name
    }
    assert held - NO_BLOBS <= known
    assert held >= NO_BLOBS


def test_an_object_store_collects_alike() -> None:
    blobs = BlobStore("memory:///")
    digest = blobs.put(b"x")
    day = date(2026, 1, 2)
    blobs.condemn(digest, day)
    assert list(blobs.digests()) == []
    assert [(one.digest, at) for one, at in blobs.condemned()] == [(digest, day)]
    assert blobs.get(digest) == b"x"
    blobs.condemn(digest, day)
    blobs.delete_condemned(digest, day)
    assert not blobs.exists(digest)
