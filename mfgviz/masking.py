"""Secrets in URLs, and in what drivers say of URLs: shown as stars."""

from __future__ import annotations

import re
from urllib.parse import unquote

STARS = "***"
# A password may hold any character, so the user's part goes up to the last @ before the query.
_USER_PART = re.compile(r"(?<=://)([^?#]*)@")
_QUERY_SECRET = re.compile(
    r"([?&][^=&\s]*(?:pass|pwd|secret|token|key|sig|sas|credential)[^=&\s]*=)([^&\s]*)", re.IGNORECASE
)
_PLACES = ("sqlite", "file")  # what follows is a path
_SHORTEST = 3


def mask_secret(url: str) -> str:
    """The URL with its password, and what is secret in its query, replaced by stars."""
    return mask_text(url, url)


def mask_text(text: str, url: str) -> str:
    """What a driver says of a URL, without the URL's secrets or pieces of them."""
    shown = _QUERY_SECRET.sub(rf"\1{STARS}", text)
    for secret in secrets_of(url):
        shown = shown.replace(secret, STARS)
    return shown


def secrets_of(url: str) -> list[str]:
    """The password and the secret values of a URL, as written and as decoded, the longest first; and the
    pieces that a driver would cut a password into that it misreads."""
    found = {match[2] for match in _QUERY_SECRET.finditer(url)}
    user_part = _USER_PART.search(url)
    if user_part and not url.startswith(_PLACES):
        _, colon, password = user_part[1].partition(":")
        if colon:
            found.add(password)
    found |= {unquote(one) for one in found}
    found |= {piece for one in found for piece in re.split(r"[@/:?#%]", one)}
    return sorted((one for one in found if len(one) >= _SHORTEST), key=len, reverse=True)
