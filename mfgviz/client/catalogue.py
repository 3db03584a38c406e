"""Parts, their revisions and CAD files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import httpx

from mfgviz import wire
from mfgviz.client.connection import Connection, encode, parse, plain, segment
from mfgviz.errors import (
    GeometryNotFoundError,
)

CHUNK_BYTES = 1 << 20
UPLOAD_TIMEOUT_S = 600.0


class CatalogueClient(Connection):
    """See `Client`."""

    # -- parts
    def parts(self, search: str = "", cursor: str | None = None, limit: int = 50) -> wire.Page[wire.Part]:
        """Parts by number."""
        return self._get(wire.Page[wire.Part], "/parts", search=search, cursor=cursor, limit=limit)

    def part(self, number: str) -> wire.Part:
        """One part with the labels of its revisions."""
        return self._get(wire.Part, f"/parts/{segment(number)}")

    def add_part(self, new: wire.NewPart) -> wire.Part:
        """Add a part."""
        return self._send(wire.Part, "POST", "/parts", new)

    def change_part(self, number: str, change: wire.PartChange) -> wire.Part:
        """Rename a part, set attributes of it."""
        return self._send(wire.Part, "PATCH", f"/parts/{segment(number)}", change)

    # -- revisions
    def revisions(self, number: str) -> list[wire.Revision]:
        """The revisions of a part, oldest first."""
        return self._get(wire.Page[wire.Revision], f"/parts/{segment(number)}/revisions").items

    def revision(self, reference: str) -> wire.Revision:
        """One revision."""
        return self._get(wire.Revision, f"/revisions/{segment(reference)}")

    def add_revision(self, number: str, new: wire.NewRevision, file: Path | None = None) -> wire.Revision:
        """Add a revision, with its CAD file where one is given; if that cannot be used nothing is added.

        Raises:
            GeometryNotFoundError: there is no such file.
        """
        path = f"/parts/{segment(number)}/revisions"
        if file is None:
            return self._send(wire.Revision, "POST", path, new)
        told = {**plain(new), "file_name": file.name}
        told["attributes"] = encode(new.attributes).decode()
        return self._upload("POST", f"{path}/geometry", file, told)

    def put_revision(self, reference: str, change: wire.RevisionChange) -> tuple[wire.Revision, bool]:
        """Make part and revision where they are missing, and set what is given; whether it was made."""
        answer = self._request("PUT", f"/revisions/{segment(reference)}", json=plain(change))
        return parse(wire.Revision, answer), answer.status_code == httpx.codes.CREATED

    def attach(self, reference: str, path: Path, file_name: str | None = None) -> wire.Revision:
        """Let a revision show a CAD file, which is streamed.

        Raises:
            GeometryNotFoundError: there is no such file.
        """
        address = f"/revisions/{segment(reference)}/geometry"
        return self._upload("PUT", address, path, {"file_name": file_name or path.name})

    def _upload(self, method: str, address: str, path: Path, query: dict[str, Any]) -> wire.Revision:
        try:
            stream = path.open("rb")
        except OSError as error:
            told = (
                f"There is no file {path}."
                if not path.exists()
                else f"{path} cannot be read: {error.strerror}."
            )
            raise GeometryNotFoundError(told, remedy="Check the path.") from error
        with stream:
            size = os.fstat(stream.fileno()).st_size
            answer = self._request(
                method,
                address,
                params=query,
                content=iter(lambda: stream.read(CHUNK_BYTES), b""),
                headers={"Content-Type": "application/octet-stream", "Content-Length": str(size)},
                timeout=UPLOAD_TIMEOUT_S,
            )
        return parse(wire.Revision, answer)

    def geometry(self, reference: str) -> tuple[bytes, wire.Geometry]:
        """The CAD file that a revision shows."""
        told = self.revision(reference).geometry
        content = self._request("GET", f"/revisions/{segment(reference)}/geometry").content
        assert told is not None
        return content, told

    def set_state(self, reference: str, change: wire.StateChange) -> wire.Revision:
        """Move a revision through its lifecycle."""
        return self._send(wire.Revision, "POST", f"/revisions/{segment(reference)}/state", change)

    def set_primary(self, reference: str, render_id: int) -> wire.Revision:
        """Let a render stand for its revision."""
        body = wire.Primary(render=render_id)
        return self._send(wire.Revision, "PUT", f"/revisions/{segment(reference)}/primary", body)

    def clear_primary(self, reference: str) -> wire.Revision:
        """Let no render stand for a revision."""
        return parse(wire.Revision, self._request("DELETE", f"/revisions/{segment(reference)}/primary"))
