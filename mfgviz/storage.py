"""Blobs by the SHA-256 of their content, in a folder or any object store that obstore's URLs name.

Writing the same content twice is writing it once, so a worker that dies between blob and row leaves
nothing wrong behind.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from urllib.parse import unquote, urlsplit

from mfgviz.errors import BlobNotFoundError, InvalidSettingError, StorageUnavailableError
from mfgviz.masking import mask_secret, mask_text
from mfgviz.settings import Settings

if TYPE_CHECKING:
    from obstore.store import ObjectStore

CHUNK_BYTES = 1 << 20


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
            StorageUnavailableError: it cannot be read, or is damaged.
        """
        from obstore.exceptions import BaseError

        try:
            content = bytes(self._store().get(_key(digest)).bytes())
        except FileNotFoundError as error:
            raise BlobNotFoundError(
                f"The blob store {mask_secret(self.url)} has no blob {digest}."
            ) from error
        except (BaseError, OSError) as error:
            raise self._unavailable(error) from error
        if hashlib.sha256(content).hexdigest() != digest:
            raise StorageUnavailableError(
                f"The blob {digest} is damaged in {mask_secret(self.url)}.",
                remedy="Restore it from a backup.",
            )
        return content

    def exists(self, digest: str) -> bool:
        """Whether there is such a blob."""
        from obstore.exceptions import BaseError

        try:
            self._store().head(_key(digest))
        except FileNotFoundError:
            return False
        except (BaseError, OSError) as error:
            raise self._unavailable(error) from error
        return True

    def delete(self, digest: str) -> None:
        """Remove a blob; one that is not there is none to remove."""
        from obstore.exceptions import BaseError

        try:
            self._store().delete(_key(digest))
        except FileNotFoundError:
            return
        except (BaseError, OSError) as error:
            raise self._unavailable(error) from error

    def digests(self) -> Iterator[str]:
        """Every digest that is stored, in no order."""
        for batch in self._store().list():
            for item in batch:
                yield str(item["path"]).rsplit("/", 1)[-1]

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
