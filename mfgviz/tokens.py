"""Keys to the HTTP API: made once, shown once, kept as a hash.

A token is `mfgv_` and 256 random bits. With that much entropy a plain SHA-256 is enough to keep it by:
there is nothing to guess, so nothing that a slow password hash would slow down (NIST SP 800-63B, 5.1.1.2
asks for those where people choose the secret), and a request is answered without one.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from mfgviz.catalog import check_word
from mfgviz.errors import (
    DuplicateTokenError,
    InvalidInputError,
    TokenNotFoundError,
    UnauthenticatedError,
)
from mfgviz.journal import audit
from mfgviz.records import AccessToken, utcnow
from mfgviz.settings import MAX_REQUESTER
from mfgviz.vocabulary import ROLE_SCOPES, Role, Scope

PREFIX = "mfgv_"
USED_EVERY_S = 300.0


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token as it is to be made. `scopes` narrows what the role may do; None is all of it."""

    name: str
    requester: str
    role: Role
    scopes: tuple[Scope, ...] | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Holder:
    """Who a token speaks for, and what it may do."""

    token_id: int
    token_name: str
    requester: str
    role: Role
    scopes: frozenset[Scope]
    expires_at: datetime | None


def create_token(session: Session, new: NewToken, actor: str) -> tuple[AccessToken, str]:
    """Make a token; its record, and the secret, which nobody can show again.

    Raises:
        DuplicateTokenError: there is one of that name.
        InvalidInputError: the name, the requester or the scopes cannot be used.
    """
    check_word("token name", new.name, 128)
    check_word("requester", new.requester, MAX_REQUESTER)
    scopes = _scopes(new)
    secret = PREFIX + secrets.token_urlsafe(32)
    token = AccessToken(
        name=new.name,
        requester=new.requester,
        role=new.role,
        scopes=[scope.value for scope in scopes],
        secret_digest=_digest(secret),
        expires_at=new.expires_at,
        created_by=actor,
    )
    try:
        with session.begin_nested():
            session.add(token)
    except IntegrityError as error:
        raise DuplicateTokenError(f"There is a token {new.name!r} already.") from error
    audit(session, actor, "token.created", new.name, {"requester": new.requester, "role": new.role})
    return token, secret


def list_tokens(session: Session) -> list[AccessToken]:
    """All tokens, the newest first; revoked ones too."""
    return list(session.scalars(select(AccessToken).order_by(AccessToken.id.desc())))


def revoke_token(session: Session, name: str, actor: str) -> AccessToken:
    """Let a token open nothing from now on. Raises TokenNotFoundError."""
    token = session.scalar(select(AccessToken).where(AccessToken.name == name))
    if token is None:
        raise TokenNotFoundError(f"There is no token {name!r}.")
    if token.revoked_at is None:
        session.execute(update(AccessToken).where(AccessToken.id == token.id).values(revoked_at=utcnow()))
        session.refresh(token)
        audit(session, actor, "token.revoked", name)
    return token


def authenticate(session: Session, secret: str) -> Holder:
    """Who holds that secret.

    Raises:
        UnauthenticatedError: nobody does, or the token is revoked or expired.
    """
    query = select(AccessToken, utcnow()).where(AccessToken.secret_digest == _digest(secret))
    row = session.execute(query).one_or_none()
    if row is None or not secret.startswith(PREFIX):
        raise UnauthenticatedError("That token is not known here.")
    token, now = row
    if token.revoked_at is not None:
        raise UnauthenticatedError(f"The token {token.name!r} was revoked.")
    if token.expires_at is not None and token.expires_at <= now:
        raise UnauthenticatedError(
            f"The token {token.name!r} expired at {token.expires_at:%Y-%m-%d %H:%M} UTC."
        )
    return Holder(
        token_id=token.id,
        token_name=token.name,
        requester=token.requester,
        role=Role(token.role),
        scopes=frozenset(map(Scope, token.scopes)),
        expires_at=token.expires_at,
    )


def note_use(session: Session, token_ids: Iterable[int]) -> None:
    """Remember that the tokens were used now; at most once in five minutes."""
    session.execute(
        update(AccessToken)
        .where(
            AccessToken.id.in_(list(token_ids)),
            or_(AccessToken.used_at.is_(None), AccessToken.used_at < utcnow(-USED_EVERY_S)),
        )
        .values(used_at=utcnow())
        .execution_options(synchronize_session=False)
    )


def _scopes(new: NewToken) -> tuple[Scope, ...]:
    allowed = ROLE_SCOPES[new.role]
    if new.scopes is None:
        return allowed
    beyond = [scope for scope in new.scopes if scope not in allowed]
    if beyond or not new.scopes:
        told = f"has not the scope {beyond[0]}" if beyond else "needs one scope at least"
        raise InvalidInputError(
            f"A token of role {new.role} {told}.", remedy=f"Choose among {', '.join(allowed)}."
        )
    return tuple(scope for scope in allowed if scope in new.scopes)


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
