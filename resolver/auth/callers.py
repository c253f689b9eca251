"""Authentication of backends, by the two headers of Velt's API, and of privacy operators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from resolver.config.secret import Secret
from resolver.errors import PermissionDenied, Unauthenticated


@dataclass(frozen=True, slots=True)
class Backend:
    """A trusted backend, with the name of its token in RESOLVER_CALLER_TOKENS."""

    name: str


@dataclass(frozen=True, slots=True)
class PrivacyOperator:
    """A person or program that may export and erase, with the name of its token in
    RESOLVER_PRIVACY_TOKENS."""

    name: str


class Callers:
    def __init__(self, api_key: Secret, tokens: Mapping[str, Secret]) -> None:
        self._api_key = api_key
        self._tokens = tokens

    def authenticate(self, api_key: str | None, token: str | None) -> Backend:
        """Return the backend with this key and token. Raises Unauthenticated without both, PermissionDenied
        for wrong ones. In constant time: the key and all tokens are always compared."""
        if not api_key or not token:
            raise Unauthenticated("x-velt-api-key and x-velt-auth-token are required.")
        key_matches = self._api_key.matches(api_key)
        matching = [name for name, secret in self._tokens.items() if secret.matches(token)]
        if not (key_matches and matching):
            raise PermissionDenied("Invalid API key.")
        return Backend(matching[0])


class PrivacyOperators:
    def __init__(self, tokens: Mapping[str, Secret]) -> None:
        self._tokens = tokens

    def authenticate(self, token: str) -> PrivacyOperator:
        """Return the operator with this token, in constant time. Raises PermissionDenied."""
        matching = [name for name, secret in self._tokens.items() if secret.matches(token)]
        if not matching:
            raise PermissionDenied()
        return PrivacyOperator(matching[0])
