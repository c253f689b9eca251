"""Who is calling: the team's own backends, by the two headers that Velt's API takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from resolver.config.secret import Secret
from resolver.errors import PermissionDenied, Unauthenticated


@dataclass(frozen=True, slots=True)
class Backend:
    """A trusted backend, under the name its token has in RESOLVER_CALLER_TOKENS."""

    name: str


@dataclass(frozen=True, slots=True)
class PrivacyOperator:
    """Somebody who may export and erase, under the name their token has in RESOLVER_PRIVACY_TOKENS."""

    name: str


class Callers:
    def __init__(self, api_key: Secret, tokens: Mapping[str, Secret]) -> None:
        self._api_key = api_key
        self._tokens = tokens

    def authenticate(self, api_key: str | None, token: str | None) -> Backend:
        """Constant time: the key and every token are compared, whatever the earlier ones said."""
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
        """Constant time, likewise."""
        matching = [name for name, secret in self._tokens.items() if secret.matches(token)]
        if not matching:
            raise PermissionDenied()
        return PrivacyOperator(matching[0])
