"""Blobs by the SHA-256 of their content, in a folder or any object store that obstore's URLs name.

Writing the same content twice is writing it once, so a worker that dies between blob and row leaves
nothing wrong behind.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import unquote, urlsplit

from mfgviz.errors import BlobDamagedError, BlobNotFoundError, InvalidSettingError, StorageUnavailableError
from mfgviz.masking import mask_secret, mask_text
from mfgviz.settings import Settings

if TYPE_CHECKING:
    from obstore.store import ObjectStore

CHUNK_BYTES = 1 << 20
CONDEMNED, DAMAGED = "condemned", "damaged"


@dataclass(frozen=True, slots=True)
class StoredBlob:
    """A blob as the store lists it; `modified_at` is when it was put there."""

    digest: str
    size_bytes: int
    modified_at: datetime


class BlobStore:
    """Content-addressed blobs under one URL. Nothing is opened before the first use."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._opened: ObjectStore | None = None

    @classmethod
    def from_settings(cls, settings: Settings) -> BlobStore:
        """The blob store that the settings name."""
        return cls(settings.storage_url)

    def put(self, content: bytes) -> str:
        """Store the content and return its digest (hex SHA-256).

        Raises:
            StorageUnavailableError: it cannot be written; nothing half-written is left.
        """
        digest = hashlib.sha256(content).hexdigest()
        self._put(digest, content)
        return digest

    def put_file(self, path: Path) -> str:
        """Store a file's content, read in chunks, and return its digest. Errors as `put`."""
        with path.open("rb") as stream:
            digest = digest_of(stream)
        self._put(digest, path)
        return digest

    def get(self, digest: str) -> bytes:
        """The content of that digest, checked against it.

        Raises:
            BlobNotFoundError: there is none.
            BlobDamagedError: it is not what was stored.
            StorageUnavailableError: it cannot be read.
        """
        content = self._read(digest)
        if content is None and self.restore(digest):
            content = self._read(digest)
        if content is None:
            raise BlobNotFoundError(f"The blob store {mask_secret(self.url)} has no blob {digest}.")
        if hashlib.sha256(content).hexdigest() != digest:
            raise BlobDamagedError(f"The blob {digest} is damaged in {mask_secret(self.url)}.")
        return content

    def exists(self, digest: str) -> bool:
        """Whether there is such a blob. One that was condemned is restored by being asked for."""
        return self._has(digest) or self.restore(digest)

    def delete(self, digest: str) -> None:
        """Remove a blob; one that is not there is none to remove."""
        self._delete(_key(digest))

    def digests(self) -> Iterator[str]:
        """Every digest that is stored and not condemned, in no order."""
        return (one.digest for one in self.stored())

    def stored(self, prefix: str = "") -> Iterator[StoredBlob]:
        """Every blob that is not condemned, in no order; `prefix` is empty or the digests' first two digits.

        Raises:
            StorageUnavailableError: the store cannot be read.
        """
        for item in self._list(prefix):
            digest = str(item["path"]).rsplit("/", 1)[-1]
            if item["path"] == _key(digest):
                yield StoredBlob(digest, int(item["size"]), item["last_modified"])

    # What nothing refers to is condemned before it is deleted: moved aside, under the day. Whoever asks for
    # it meanwhile, to read it or to store the same content, moves it back. So nobody can lose a blob by
    # beginning to refer to it while it is being collected.
    def condemn(self, digest: str, day: date) -> None:
        """Move a blob aside. One that is not there is none to move."""
        self._move(_key(digest), _condemned_key(digest, day))

    def condemned(self) -> Iterator[tuple[StoredBlob, date]]:
        """Every condemned blob, and the day that it was condemned on. Errors as `stored`."""
        for item in self._list(CONDEMNED):
            _, day, digest = str(item["path"]).split("/")
            yield StoredBlob(digest, int(item["size"]), item["last_modified"]), date.fromisoformat(day)

    def restore(self, digest: str) -> bool:
        """Move a condemned blob back; whether there was one."""
        days = self._folders(CONDEMNED)
        return any(self._move(f"{day}/{digest}", _key(digest)) for day in days) or (
            bool(days) and self._has(digest)
        )

    def delete_condemned(self, digest: str, day: date) -> None:
        """Delete a blob that was condemned on that day; one that was restored stays."""
        self._delete(_condemned_key(digest, day))

    def isolate(self, digest: str) -> None:
        """Move a damaged blob aside for good, so that its content can be stored again."""
        self._move(_key(digest), f"{DAMAGED}/{digest}")

    def check(self) -> None:
        """Write and read a small blob, as proof that the store works. Errors as `put`."""
        digest = self.put(b"mfgviz storage check")
        self.get(digest)

    def _put(self, digest: str, content: bytes | Path) -> None:
        from obstore.exceptions import BaseError

        if self.exists(digest):
            return
        try:
            self._store().put(_key(digest), content)
        except (BaseError, OSError) as error:
            raise self._unavailable(error) from error

    def _read(self, digest: str) -> bytes | None:
        content: bytes | None = None
        with self._errors():
            content = bytes(self._store().get(_key(digest)).bytes())
        return content

    def _has(self, digest: str) -> bool:
        found = False
        with self._errors():
            self._store().head(_key(digest))
            found = True
        return found

    def _delete(self, key: str) -> None:
        with self._errors():
            self._store().delete(key)

    def _move(self, source: str, target: str) -> bool:
        """Move it; whether it was there."""
        moved = False
        with self._errors():
            self._store().rename(source, target)
            moved = True
        return moved

    def _folders(self, prefix: str) -> list[str]:
        found: list[str] = []
        with self._errors():
            found = [str(one) for one in self._store().list_with_delimiter(prefix)["common_prefixes"]]
        return found

    def _list(self, prefix: str) -> Iterator[Any]:
        with self._errors():
            for batch in self._store().list(prefix or None):
                yield from batch

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """What is not there ends the block; other errors of the store are raised as ours."""
        from obstore.exceptions import BaseError

        try:
            yield
        except FileNotFoundError:
            return
        except (BaseError, OSError) as error:
            raise self._unavailable(error) from error

    def _store(self) -> ObjectStore:
        if self._opened is None:
            self._opened = _open(self.url)
        return self._opened

    def _unavailable(self, error: Exception) -> StorageUnavailableError:
        return StorageUnavailableError(
            f"The blob store {mask_secret(self.url)} failed: {mask_text(_first_line(error), self.url)}."
        )


def digest_of(stream: BinaryIO) -> str:
    """Hex SHA-256 of all that the stream still holds."""
    digest = hashlib.sha256()
    while chunk := stream.read(CHUNK_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


def _key(digest: str) -> str:
    return f"{digest[:2]}/{digest[2:4]}/{digest}"


def _condemned_key(digest: str, day: date) -> str:
    return f"{CONDEMNED}/{day.isoformat()}/{digest}"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _open(url: str) -> ObjectStore:
    from obstore.exceptions import BaseError
    from obstore.store import LocalStore, from_url

    parts = urlsplit(url)
    try:
        if parts.scheme == "file":
            return LocalStore(Path(unquote(parts.path)), mkdir=True)
        return from_url(url)
    except (BaseError, ValueError, OSError) as error:
        if parts.scheme == "file":
            raise StorageUnavailableError(f"The blob store {url} failed: {_first_line(error)}.") from error
        raise InvalidSettingError(
            f"The blob URL {mask_secret(url)} cannot be used: {mask_text(_first_line(error), url)}."
        ) from error
