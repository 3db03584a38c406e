"""Secrets in URLs and tokens, and in what drivers say of URLs: shown as stars."""

from __future__ import annotations

import re
from urllib.parse import unquote

STARS = "***"
_PATHS = ("sqlite", "file")  # what follows is a path
_QUERY_SECRET = re.compile(
    r"([?&#][^=&\s]*(?:pass|pwd|secret|token|key|sig|sas|credential)[^=&\s]*=)([^&\s]*)", re.IGNORECASE
)
_TOKEN = re.compile(r"\b(?:mfgv_[\w-]+|whsec_[\w+/=-]+)")
# Shorter pieces of a password would star half of any message.
_SHORTEST_PIECE = 4


def mask_all(secret: str) -> str:
    """Stars, of a length that says nothing; nothing for nothing."""
    return STARS if secret else ""


def mask_secret(url: str) -> str:
    """The URL with its password, and what is secret in its query, replaced by stars.

    A password may hold any character, so it reaches to the last @. What looks like a secret and is no URL
    is not shown at all.
    """
    url = _TOKEN.sub(STARS, url)
    scheme, separator, rest = url.partition("://")
    if not separator:
        return STARS if re.search("[:@=]", url) else url
    if not scheme.startswith(_PATHS):
        user_part, at, tail = rest.rpartition("@")
        user, colon, _ = user_part.partition(":")
        rest = f"{user}{colon}{STARS if colon else ''}{at}{tail}"
    return _QUERY_SECRET.sub(rf"\1{STARS}", f"{scheme}://{rest}")


def mask_text(text: str, url: str) -> str:
    """What a driver says of a URL, without the URL's secrets or the pieces that it cut them into."""
    masked = mask_secret(url)
    shown = _QUERY_SECRET.sub(rf"\1{STARS}", text.replace(url, masked))
    for piece in _pieces(url):
        # A password that is also the user's or the host's name would be given away by its stars.
        if piece not in masked:
            shown = shown.replace(piece, STARS)
    return shown


def _pieces(url: str) -> list[str]:
    """The secrets of a URL as written and as decoded, and what a driver that misreads them would show; the
    longest first."""
    found = {match[2] for match in _QUERY_SECRET.finditer(url)}
    scheme, separator, rest = url.partition("://")
    if not separator:
        found |= set(re.split(r"[@/:=\s]", url)[1:])
    elif not scheme.startswith(_PATHS):
        found.add(rest.rpartition("@")[0].partition(":")[2])
    found |= {unquote(one) for one in found}
    found |= {piece for one in found for piece in re.split(r"[@/:?#%&]", one)}
    return sorted((one for one in found if len(one) >= _SHORTEST_PIECE), key=len, reverse=True)
