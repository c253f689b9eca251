"""Claims of a verified token: the person, their organizations, and documents they may see.

The names of the claims are configured. Organizations and documents are a string or a list of strings; a
dotted path names a nested claim. A token without user and organizations, or with other types, is refused.
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
    """Documents that the token grants, if a claim for that is configured."""
    issued_at: float = field(default=-math.inf, compare=False)
    """The token's `iat` in epoch seconds; minus infinity without one. Not compared: a person with another
    token is the same person."""


@dataclass(frozen=True, slots=True)
class Claims:
    """Names of the claims. Without a documents claim, tokens grant no documents."""

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
    """The value as a time; minus infinity for anything but a number, so that any mark revokes such a
    token."""
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
    """Whether a value can be an id. JSON permits lone surrogates, which later fail to encode."""
    return is_identifier(value) and is_valid_unicode(value)


def _value(claims: JSON, path: str) -> Any:
    """A claim by its name, else by a dotted path: names such as `https://example.com/orgs` contain dots
    too."""
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
