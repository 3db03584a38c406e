"""Messages signed as the Standard Webhooks specification says (standardwebhooks.com), and as others do.

A signature is the HMAC-SHA256 of `id.timestamp.body`, as base64 behind `v1,`. A secret is `whsec_` and 24 to
64 random bytes as base64; the bytes are the key.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets

from mfgviz.errors import InvalidSecretError

ID_HEADER, TIME_HEADER, SIGNATURE_HEADER = "webhook-id", "webhook-timestamp", "webhook-signature"
PREFIX = "whsec_"
SECRET_BYTES, SHORTEST_BYTES, LONGEST_BYTES = 32, 24, 64
# How far a timestamp may lie from now, either way.
TOLERANCE_S = 300


def new_secret() -> str:
    """A new random secret."""
    return PREFIX + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


def key_of(secret: str) -> bytes:
    """The key that a secret stands for.

    Raises:
        InvalidSecretError: it is none of `whsec_` and 24 to 64 bytes as base64. The error does not say it.
    """
    try:
        key = base64.b64decode(secret.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidSecretError("The secret is no base64 behind whsec_.") from error
    if not secret.startswith(PREFIX) or not SHORTEST_BYTES <= len(key) <= LONGEST_BYTES:
        raise InvalidSecretError("The secret is not whsec_ and 24 to 64 bytes as base64.")
    return key


def mac(key: bytes, content: bytes) -> bytes:
    """HMAC-SHA256, 32 bytes."""
    return hmac.new(key, content, hashlib.sha256).digest()


def content_of(message_id: str, timestamp: str, body: bytes) -> bytes:
    """What is signed of a message."""
    return f"{message_id}.{timestamp}.".encode() + body


def sign(secret: str, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers of a message; `timestamp` is in seconds since 1970 UTC. Errors as `key_of`."""
    signature = mac(key_of(secret), content_of(message_id, str(timestamp), body))
    return {
        ID_HEADER: message_id,
        TIME_HEADER: str(timestamp),
        SIGNATURE_HEADER: f"v1,{base64.b64encode(signature).decode()}",
    }


def is_signed(header: str, wanted: bytes) -> bool:
    """Whether one of the signatures in a `webhook-signature` header is the wanted one. In constant time."""
    found = False
    for word in header.split():
        version, _, given = word.partition(",")
        found |= version == "v1" and hmac.compare_digest(_bytes(given), wanted)
    return found


def is_same(given: str, wanted: bytes, encoding: str) -> bool:
    """Whether a `hex` or `base64` text is the wanted signature. In constant time."""
    if encoding == "hex":
        return hmac.compare_digest(given.strip().lower().encode(), wanted.hex().encode())
    return hmac.compare_digest(_bytes(given.strip()), wanted)


def _bytes(given: str) -> bytes:
    try:
        return base64.b64decode(given, validate=True)
    except (binascii.Error, ValueError):
        return b""
