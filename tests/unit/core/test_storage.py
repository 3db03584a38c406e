"""The blob store."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from mfgviz.errors import (
    BlobDamagedError,
    BlobNotFoundError,
    InvalidSettingError,
    StorageUnavailableError,
)
from mfgviz.storage import BlobStore


def test_blobs_are_found_by_the_hash_of_their_content(blobs: BlobStore, tmp_path: Path) -> None:
    digest = blobs.put(b"picture")
    assert digest == hashlib.sha256(b"picture").hexdigest() == blobs.put(b"picture")
    assert blobs.get(digest) == b"picture"
    assert list(blobs.digests()) == [digest]
    path = tmp_path / "p"
    path.write_bytes(b"x" * 3_000_000)
    assert blobs.get(blobs.put_file(path)) == path.read_bytes()
    blobs.delete(digest)
    blobs.delete(digest)
    assert not blobs.exists(digest)
    with pytest.raises(BlobNotFoundError, match=digest):
        blobs.get(digest)


def test_a_damaged_blob_is_not_handed_out(tmp_path: Path) -> None:
    blobs = BlobStore((tmp_path / "b").as_uri())
    digest = blobs.put(b"picture")
    (file,) = [path for path in (tmp_path / "b").rglob("*") if path.is_file()]
    file.write_bytes(b"pictuRe")
    with pytest.raises(BlobDamagedError, match="damaged"):
        blobs.get(digest)


def test_a_store_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageUnavailableError, match="failed"):
        BlobStore((tmp_path / "file" / "blobs").as_uri()).put(b"x")


def test_a_url_of_no_known_kind_is_a_setting_to_mend() -> None:
    with pytest.raises(InvalidSettingError, match="gopher"):
        BlobStore("gopher://x/y").put(b"x")


def test_memory_of_an_object_store_behaves_alike() -> None:
    blobs = BlobStore("memory:///")
    assert blobs.get(blobs.put(b"x")) == b"x"
