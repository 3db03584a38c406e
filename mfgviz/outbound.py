"""HTTP POSTs to addresses that people configure, without letting them reach into the network that sends.

The check is on the address that is connected to: a name is resolved once, each of its addresses is checked,
and one of these is connected to, so that a name that answers differently the second time gains nothing. TLS
verifies the name all the same. Redirects are not followed, and no proxy is used.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httpcore

from mfgviz.errors import DeliveryFailedError, ForbiddenAddressError, InvalidWebhookUrlError
from mfgviz.settings import Network

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
# The addresses of a host name, as texts. Raises OSError.
Resolve = Callable[[str, int], list[str]]

CONNECT_S, TOTAL_S = 5.0, 15.0
READ_AT_MOST_BYTES = 64 * 1024
URL_AT_MOST = 2000
_EMBEDDING = tuple(map(ipaddress.ip_network, ("64:ff9b::/96", "::/96", "::ffff:0:0:0/96")))
# The interface identifiers of ISATAP (RFC 5214), the upper half.
_ISATAP = (0x00005EFE, 0x02005EFE)
# All that is given out of IPv6 for hosts of the public internet (IANA, global unicast).
_UNICAST = ipaddress.ip_network("2000::/3")
# What `ipaddress` does not call private in every version of Python.
_OTHERS = tuple(
    map(
        ipaddress.ip_network,
        # Among them a public one, where Azure's hosts answer for themselves.
        ("0.0.0.0/8", "168.63.129.16/32", "100.64.0.0/10", "192.0.0.0/24", "192.88.99.0/24", "198.18.0.0/15",
         "240.0.0.0/4", "64:ff9b:1::/48", "100::/64", "2001:db8::/32", "fc00::/7", "fe80::/10", "fec0::/10",
         "3fff::/20"),
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Taken:
    """What a receiver answered."""

    status: int
    took_s: float

    @property
    def is_delivered(self) -> bool:
        """Whether the receiver took the message."""
        return 200 <= self.status < 300

    @property
    def refusal(self) -> str:
        """In words, why not."""
        if 300 <= self.status < 400:
            return f"It answered {self.status}, a redirect, which is not followed."
        return f"It answered {self.status}."


def resolve(host: str, port: int) -> list[str]:
    """The addresses that the system's resolver finds. Raises OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(one[4][0]) for one in found))


def check_address(text: str, allowed: Sequence[Network], told: str = "") -> Address:
    """The address, where something may be sent to it; `told` is what it was found for.

    Raises:
        ForbiddenAddressError: it is private, loopback, link-local, shared, multicast or reserved, itself or
            inside of an IPv6 address, and in none of the allowed networks.
    """
    address = ipaddress.ip_address(text.partition("%")[0])
    for one in (address, *_embedded(address)):
        if not is_public(one) and not any(one in network for network in allowed):
            where = str(address) if told in ("", str(address)) else f"{told} has the address {address}"
            raise ForbiddenAddressError(f"{where}, which is none of the public internet.")
    return address


def is_public(address: Address) -> bool:
    """Whether it is an address of one host on the public internet."""
    if isinstance(address, ipaddress.IPv6Address) and _embedded(address):
        return True  # what is inside of it decides
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST:
        return False
    return address.is_global and not address.is_multicast and not any(address in one for one in _OTHERS)


def check_url(url: str, allowed: Sequence[Network]) -> str:
    """The URL, where something might be sent to it. Nothing is looked up.

    Raises:
        InvalidWebhookUrlError: it cannot be used.
        ForbiddenAddressError: it names an address that nothing is sent to.
    """
    if len(url) > URL_AT_MOST or not url.isascii() or not url.isprintable() or " " in url:
        raise InvalidWebhookUrlError(f"A URL has printable ASCII characters, {URL_AT_MOST} at most.")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 0
    except ValueError as error:
        raise InvalidWebhookUrlError(f"The URL cannot be read: {error}.") from error
    if parts.username is not None or parts.password is not None:
        raise InvalidWebhookUrlError("The URL holds a user name or a password.")
    if parts.scheme not in ("http", "https") or not host or parts.fragment:
        raise InvalidWebhookUrlError("The URL is no https:// address.")
    if parts.scheme == "http" and not allowed:
        raise InvalidWebhookUrlError(
            "Messages go over https; plain http is for networks of your own.",
            remedy="Give an https:// URL, or name the receiver's network in MFGVIZ_WEBHOOK_ALLOW_PRIVATE.",
        )
    if host.rstrip(".") == "localhost" or host.rstrip(".").endswith(".localhost"):
        check_address("127.0.0.1", allowed, host)
    try:
        # Also the forms that only resolvers read, such as 0x7f.1 or 2130706433.
        found = socket.getaddrinfo(host, port, flags=socket.AI_NUMERICHOST)
    except (OSError, UnicodeError):
        return url  # a name
    for one in found:
        _check_for(parts.scheme, str(one[4][0]), allowed, host)
    return url


def post(
    url: str,
    body: bytes,
    headers: Mapping[str, str],
    allowed: Sequence[Network],
    resolver: Resolve = resolve,
    total_s: float = TOTAL_S,
) -> Taken:
    """Send that. What is answered behind 64 kB is not read, and none of it is kept.

    Raises:
        InvalidWebhookUrlError, ForbiddenAddressError: nothing is sent to that URL.
        DeliveryFailedError: nobody answered.
    """
    began = time.monotonic()
    check_url(url, allowed)
    backend = _Guarded(urlsplit(url).scheme, allowed, resolver, began + total_s)
    timeout = {"connect": CONNECT_S, "read": total_s, "write": total_s, "pool": total_s}
    try:
        with (
            httpcore.ConnectionPool(ssl_context=_tls(), network_backend=backend) as pool,
            pool.stream(
                "POST",
                url,
                headers=[*headers.items(), ("Host", urlsplit(url).netloc), ("Connection", "close")],
                content=body,
                extensions={"timeout": timeout},
            ) as answer,
        ):
            got = 0
            for chunk in answer.iter_stream():
                got += len(chunk)
                if got > READ_AT_MOST_BYTES:
                    break
            return Taken(answer.status, time.monotonic() - began)
    except httpcore.TimeoutException as error:
        took = time.monotonic() - began
        raise DeliveryFailedError(f"It did not answer within {took:.0f} s.") from error
    except (httpcore.NetworkError, httpcore.ProtocolError, OSError, ValueError) as error:
        told = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise DeliveryFailedError(f"The connection failed: {told}.") from error


def _embedded(address: Address) -> list[Address]:
    """The IPv4 addresses that an IPv6 address carries: mapped, compatible, translated, 6to4, Teredo, NAT64,
    ISATAP."""
    if not isinstance(address, ipaddress.IPv6Address):
        return []
    carried = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    is_isatap = (int(address) >> 32) & 0xFFFFFFFF in _ISATAP
    if is_isatap or (any(address in network for network in _EMBEDDING) and int(address) > 1):
        carried.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [one for one in carried if one is not None]


def _check_for(scheme: str, text: str, allowed: Sequence[Network], told: str) -> Address:
    address = check_address(text, allowed, told)
    if scheme == "http" and not any(one in net for one in (address, *_embedded(address)) for net in allowed):
        raise InvalidWebhookUrlError(
            f"{told} is outside of your own networks: messages go there over https alone.",
            remedy="Give an https:// URL, or name the receiver's network in MFGVIZ_WEBHOOK_ALLOW_PRIVATE.",
        )
    return address


@cache
def _tls() -> ssl.SSLContext:
    return ssl.create_default_context()


class _Guarded(httpcore.NetworkBackend):
    """Connects to checked addresses alone, and to nothing after `deadline` (`time.monotonic`, seconds)."""

    def __init__(self, scheme: str, allowed: Sequence[Network], resolver: Resolve, deadline: float) -> None:
        self.scheme, self.allowed, self.resolver, self.deadline = scheme, allowed, resolver, deadline
        self._plain = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Resolve, check every address, connect to the first that answers."""
        try:
            found = self.resolver(host, port)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} has no address") from error
        checked = [_check_for(self.scheme, one, self.allowed, host) for one in found]
        failed: Exception = httpcore.ConnectError(f"{host} has no address")
        for address in checked:
            try:
                stream = self._plain.connect_tcp(
                    str(address), port, _left(self.deadline, timeout), local_address, socket_options
                )
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                failed = error
            else:
                return _Timed(stream, self.deadline)
        raise failed

    def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        """Never."""
        del path, timeout, socket_options
        raise httpcore.ConnectError("there are no receivers on sockets")


class _Timed(httpcore.NetworkStream):
    """A stream that ends at the deadline, however slowly the other side goes on."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._deadline, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._deadline, timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> httpcore.NetworkStream:
        left = _left(self._deadline, timeout)
        return _Timed(self._stream.start_tls(ssl_context, server_hostname, left), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(deadline: float, timeout: float | None) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("too late")
    return left if timeout is None else min(left, timeout)
