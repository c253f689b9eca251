"""End-user tokens: mint them for teams without an identity provider, and verify them.

Only the token says who calls a data provider endpoint, and in which organizations. An invalid token is
Unauthenticated; the error doesn't say why.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import Any

import jwt

from resolver.auth.claims import Claims, EndUser
from resolver.auth.jwks import Jwks
from resolver.auth.ttl_cache import TTLCache
from resolver.auth.verification_keys import Keys, OneKey
from resolver.config import DIRECT, OutboundSettings, TokenSettings
from resolver.config.pem import PublicKey
from resolver.config.settings import SYMMETRIC
from resolver.errors import InvalidArgument, Unauthenticated, Unavailable

SHORTEST_SECONDS, LONGEST_SECONDS, USUAL_SECONDS = 60, 86_400, 900
_LONGEST_TOKEN = 8 * 1024
_CACHE_SIZE, _CACHE_SECONDS = 4096, 60.0
_MAX_EXPIRY = 2**53
_KEY_HEADERS = frozenset({"jku", "jwk", "x5u", "x5c", "crit"})


@dataclass(frozen=True, slots=True)
class Minted:
    token: str
    expires_at: int
    """Epoch seconds."""


class Tokens:
    def __init__(
        self, settings: TokenSettings, outbound: OutboundSettings = DIRECT, provider: Keys | None = None
    ) -> None:
        """`provider`: used instead of the one that the settings name."""
        self._settings = settings
        self._secret = settings.secret if SYMMETRIC in settings.algorithms else None
        self._claims = Claims(settings.user_claim, settings.organizations_claim, settings.documents_claim)
        self._provider = provider or _provider(settings, outbound)
        self._known = TTLCache[tuple[bytes, int], EndUser](_CACHE_SIZE, _CACHE_SECONDS)

    def start(self) -> None:
        """Start to fetch the provider's keys, before the first token needs them."""
        if isinstance(self._provider, Jwks):
            self._provider.start()

    def mint(self, user: str, organizations: list[str], seconds: int = USUAL_SECONDS) -> Minted:
        if self._secret is None:
            raise Unavailable("This resolver mints no tokens: it has no RESOLVER_TOKEN_SECRET for HS256.")
        if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
            raise InvalidArgument(f"ttlSeconds must be from {SHORTEST_SECONDS} to {LONGEST_SECONDS}")
        now = int(time.time())
        said = {"iss": self._settings.own_issuer, "aud": self._settings.audience}
        claims: dict[str, Any] = {"iat": now, "exp": now + seconds, **{k: v for k, v in said.items() if v}}
        claims |= self._claims.write(user, organizations)
        token = jwt.encode(claims, self._secret.reveal_bytes(), algorithm=SYMMETRIC)
        if len(token) > _LONGEST_TOKEN:
            raise InvalidArgument("organizationIds are too many for one token")
        return Minted(token, now + seconds)

    def verify(self, token: str) -> EndUser:
        if len(token) > _LONGEST_TOKEN:
            raise Unauthenticated()
        # Read before verifying: if the keys change meanwhile, the token must not be cached for the new ones.
        version = self._provider.version if self._provider else 0
        # Cached by digest, so that no token stays in memory.
        seen = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest(), version
        if version >= 0 and (known := self._known.get(seen)):
            return known
        claims = self._verified(token)
        who = self._claims.read(claims)
        if version >= 0:
            self._known.put(seen, who, min(int(claims["exp"]), _MAX_EXPIRY))
        return who

    def _verified(self, token: str) -> dict[str, Any]:
        try:
            return self._decoded(token)
        except (jwt.PyJWTError, ValueError):
            raise Unauthenticated() from None

    def _decoded(self, token: str) -> dict[str, Any]:
        header = jwt.get_unverified_header(token)
        # Refuse tokens that bring or name their own key, or require an extension.
        if not _KEY_HEADERS.isdisjoint(header):
            raise Unauthenticated()
        algorithm = str(header.get("alg"))
        key, issuer = self._key(header.get("kid"), algorithm)
        return jwt.decode(
            token,
            key,
            algorithms=[algorithm],
            issuer=issuer or None,
            audience=self._settings.audience or None,
            leeway=self._settings.leeway,
            # `iss` and `aud` are required where a value for them is given.
            options={"require": ["exp"], "enforce_minimum_key_length": True},
        )

    def _key(self, kid: str | None, algorithm: str) -> tuple[bytes | PublicKey, str]:
        """Return the key to verify with, and the issuer that it stands for. The algorithm only selects our
        secret or the provider's keys; it never decides how a key is used."""
        if algorithm not in self._settings.algorithms:
            raise Unauthenticated()
        if algorithm == SYMMETRIC and self._secret:
            return self._secret.reveal_bytes(), self._settings.own_issuer
        key = self._provider.find(kid, algorithm) if self._provider and algorithm != SYMMETRIC else None
        if key is None:
            raise Unauthenticated()
        return key, self._settings.issuer


def _provider(settings: TokenSettings, outbound: OutboundSettings) -> Keys | None:
    if settings.jwks_url:
        return Jwks(settings.jwks_url, settings.jwks_ca_file, outbound)
    return OneKey(settings.public_key) if settings.public_key else None
