"""The connect string that `mfgviz up` prints: a URL with the token in its fragment."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit, urlunsplit

_TOKEN = re.compile(r"[\x21-\x7e]+")


class ConnectStringError(ValueError):
    """The server's address cannot be used; the message says why."""


@dataclass(frozen=True)
class Server:
    """Where the API is (no slash at the end), and the token for it. The token is not shown by repr."""

    url: str
    token: str = ""

    def __repr__(self) -> str:
        return f"Server({self.url!r}, token={'set' if self.token else 'none'})"

    @property
    def is_loopback(self) -> bool:
        """Whether the server runs on this machine."""
        return _is_loopback(urlsplit(self.url).hostname or "")

    @property
    def sends_token_in_the_clear(self) -> bool:
        """Whether others on the network could read the token."""
        return self.url.startswith("http://") and not self.is_loopback


def parse_connect_string(text: str) -> Server:
    """`http://host:8737/#token=…`, a bare address, or `host:8737`. Raises ConnectStringError."""
    text = text.strip()
    if not text:
        raise ConnectStringError("No server is set.")
    if "://" not in text:
        text = f"http://{text}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ConnectStringError("This is no address of a server.") from error
    if parts.scheme not in ("http", "https"):
        raise ConnectStringError("A server's address begins with http:// or https://.")
    if not parts.hostname or re.search(r"\s", parts.netloc):
        raise ConnectStringError("The address names no server.")
    if parts.username or parts.password:
        raise ConnectStringError("The address must not hold a user or password; the token does that.")
    token = parse_qs(parts.fragment).get("token", [""])[0].strip()
    if token and not _TOKEN.fullmatch(token):
        raise ConnectStringError("The token in the address is damaged. Copy the connect string again.")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    path = parts.path.rstrip("/")
    if path.endswith("/api/v1"):
        path = path[: -len("/api/v1")]
    netloc = host if port is None else f"{host}:{port}"
    return Server(urlunsplit((parts.scheme, netloc, path, "", "")), token)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
