"""What a verified token says: who somebody is, which organizations they belong to, which documents they see.

Teams name these claims as their identity provider does. A plural one may hold one string or a list; a dotted
path reaches into nested claims. A token that says none of it, or says it in another shape, doesn't hold.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from resolver.errors import Unauthenticated
from resolver.validation.fields import is_identifier, is_valid_unicode

JSON = dict[str, Any]


@dataclass(frozen=True, slots=True)
class EndUser:
    user: str
    organizations: frozenset[str]
    documents: frozenset[str] = frozenset()
    """That the token itself lets this person see, where a claim for that is configured."""
    issued_at: float = field(default=-math.inf, compare=False)
    """The token's `iat`, in epoch seconds; before all time when it doesn't say. Whichever token somebody
    has, they are the same person."""


@dataclass(frozen=True, slots=True)
class Claims:
    """Where in a token to find, and to put, what is said of a person. Without a documents claim, no token
    says anything about documents."""

    user: str
    organizations: str
    documents: str = ""

    def read(self, claims: JSON) -> EndUser:
        user = _value(claims, self.user)
        organizations = _several(_value(claims, self.organizations))
        documents = _several(_value(claims, self.documents)) if self.documents else frozenset()
        if not _is_name(user) or not organizations:
            raise Unauthenticated()
        return EndUser(user, organizations, documents, _issued_at(claims.get("iat")))

    def write(self, user: str, organizations: list[str]) -> JSON:
        claims: JSON = {}
        _put(claims, self.user, user)
        _put(claims, self.organizations, organizations)
        return claims


def _issued_at(value: Any) -> float:
    """What isn't a number tells no time: such a token is as old as any mark that revokes tokens."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    is_nan = isinstance(value, float) and math.isnan(value)
    return value if is_number and not is_nan else -math.inf


def _several(value: Any) -> frozenset[str]:
    if value is None:
        return frozenset()
    values = [value] if isinstance(value, str) else value
    if not isinstance(values, list) or not all(map(_is_name, values)):
        raise Unauthenticated()
    return frozenset(values)


def _is_name(value: Any) -> bool:
    """Half a character, which a token's JSON can spell, is in no id, and would break whoever encodes it."""
    return is_identifier(value) and is_valid_unicode(value)


def _value(claims: JSON, path: str) -> Any:
    """A claim by its name, or by a dotted path. The name first: `https://example.com/orgs` holds dots too."""
    if path in claims:
        return claims[path]
    value: Any = claims
    for step in path.split("."):
        value = value.get(step) if isinstance(value, dict) else None
    return value


def _put(claims: JSON, path: str, value: Any) -> None:
    if "://" in path:
        claims[path] = value
        return
    *steps, last = path.split(".")
    for step in steps:
        claims = claims.setdefault(step, {})
    claims[last] = value
