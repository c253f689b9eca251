"""End-user tokens: minted for teams without an identity provider, verified for everybody.

A token says who somebody is and which organizations they belong to; nothing else in a callback does. A token
that doesn't hold is Unauthenticated, without a word on why.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import jwt

from resolver.errors import InvalidArgument, Unauthenticated, Unavailable
from resolver.fields import is_identifier
from resolver.settings import TokenSettings

SHORTEST_SECONDS, LONGEST_SECONDS, USUAL_SECONDS = 60, 86_400, 900
_LONGEST_TOKEN = 8 * 1024
_ALGORITHM = "HS256"
_KEY_HEADERS = frozenset({"jku", "jwk", "x5u", "x5c", "crit"})


@dataclass(frozen=True, slots=True)
class EndUser:
    user: str
    organizations: frozenset[str]


@dataclass(frozen=True, slots=True)
class Minted:
    token: str
    expires_at: int
    """Epoch seconds."""


class Tokens:
    def __init__(self, settings: TokenSettings) -> None:
        self._settings = settings
        self._required = [
            "exp",
            *(["iss"] if settings.issuer else []),
            *(["aud"] if settings.audience else []),
        ]

    def mint(self, user: str, organizations: list[str], seconds: int = USUAL_SECONDS) -> Minted:
        if self._settings.secret is None:
            raise Unavailable("This resolver mints no tokens: RESOLVER_TOKEN_SECRET is not set.")
        if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
            raise InvalidArgument(f"ttlSeconds must be from {SHORTEST_SECONDS} to {LONGEST_SECONDS}")
        now = int(time.time())
        claims: dict[str, Any] = {"iat": now, "exp": now + seconds}
        if self._settings.issuer:
            claims["iss"] = self._settings.issuer
        if self._settings.audience:
            claims["aud"] = self._settings.audience
        _put(claims, self._settings.user_claim, user)
        _put(claims, self._settings.organizations_claim, organizations)
        token = jwt.encode(claims, self._settings.secret.reveal_bytes(), algorithm=_ALGORITHM)
        if len(token) > _LONGEST_TOKEN:
            raise InvalidArgument("organizationIds are too many for one token")
        return Minted(token, now + seconds)

    def verify(self, token: str) -> EndUser:
        if self._settings.secret is None or not 0 < len(token) <= _LONGEST_TOKEN:
            raise Unauthenticated()
        try:
            # A header that brings its own key, or asks for an extension, is refused before anything is read.
            if not _KEY_HEADERS.isdisjoint(jwt.get_unverified_header(token)):
                raise Unauthenticated()
            claims = jwt.decode(
                token,
                self._settings.secret.reveal_bytes(),
                algorithms=[_ALGORITHM],
                issuer=self._settings.issuer or None,
                audience=self._settings.audience or None,
                leeway=self._settings.leeway,
                options={"require": self._required, "enforce_minimum_key_length": True},
            )
        except (jwt.PyJWTError, ValueError):
            raise Unauthenticated() from None
        return self._end_user(claims)

    def _end_user(self, claims: dict[str, Any]) -> EndUser:
        user = _claim(claims, self._settings.user_claim)
        organizations = _claim(claims, self._settings.organizations_claim)
        if isinstance(organizations, str):
            organizations = [organizations]
        if not is_identifier(user) or not isinstance(organizations, list) or not organizations:
            raise Unauthenticated()
        if not all(map(is_identifier, organizations)):
            raise Unauthenticated()
        return EndUser(user, frozenset(organizations))


def _claim(claims: dict[str, Any], path: str) -> Any:
    """A claim by its name, or by a dotted path. The name first: `https://example.com/orgs` holds dots too."""
    if path in claims:
        return claims[path]
    value: Any = claims
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _put(claims: dict[str, Any], path: str, value: Any) -> None:
    if "://" in path:
        claims[path] = value
        return
    *steps, last = path.split(".")
    for step in steps:
        claims = claims.setdefault(step, {})
    claims[last] = value
