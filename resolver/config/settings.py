"""The settings as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from resolver.config.pem import PublicKey
from resolver.config.secret import Secret

INSIDE = frozenset({"mirror", "token", "privacy"})
"""The surfaces for backends and privacy operators, which must not face the internet."""
SYMMETRIC = "HS256"
ASYMMETRIC = ("RS256", "PS256", "ES256", "EdDSA")
"""Accepted by default for an identity provider's keys."""
OTHERS = ("RS384", "RS512", "PS384", "PS512", "ES384", "ES512")
OWN_ISSUER = "velt-notification-resolver"
"""The issuer of minted tokens when an identity provider's tokens are accepted too."""


@dataclass(frozen=True, slots=True)
class TokenSettings:
    secret: Secret | None = None
    jwks_url: str = ""
    jwks_ca_file: str = ""
    public_key: PublicKey | None = None
    algorithms: frozenset[str] = frozenset({SYMMETRIC})
    issuer: str = ""
    audience: str = ""
    leeway: int = 30
    user_claim: str = "sub"
    organizations_claim: str = "organizationIds"
    documents_claim: str = ""
    cookie: str = ""

    @property
    def has_provider(self) -> bool:
        """Whether tokens of an identity provider are accepted."""
        return bool(self.jwks_url or self.public_key)

    @property
    def own_issuer(self) -> str:
        """The issuer in minted tokens."""
        return OWN_ISSUER if self.has_provider else self.issuer


@dataclass(frozen=True, slots=True)
class PermissionSettings:
    """The Permission Provider's address and token."""

    url: str
    token: Secret | None


@dataclass(frozen=True, slots=True)
class OutboundSettings:
    """How to reach other services: Velt, the key set, the Permission Provider."""

    proxy: Secret | None = None
    """The URL of a forward proxy; it may contain a password."""
    ca_file: str = ""
    """Certificate authorities that replace the system's."""


DIRECT = OutboundSettings()


@dataclass(frozen=True, slots=True)
class RateLimit:
    calls: int
    seconds: int


@dataclass(frozen=True, slots=True)
class Settings:
    mode: Literal["production", "development"]
    velt_api_url: str
    velt_api_key: Secret
    velt_auth_token: Secret | None
    """None if this instance never calls Velt."""
    caller_tokens: Mapping[str, Secret]
    redis_url: Secret
    redis_wait: int
    master_keys: Mapping[str, Secret]
    index_key: Secret
    signing_keys: tuple[Secret, ...]
    """The first signs; signatures of all are accepted."""
    token: TokenSettings
    metrics_token: Secret | None
    privacy_tokens: Mapping[str, Secret]
    read_policy: Literal["recipient", "document", "organization"]
    delete_policy: Literal["recipient", "actor", "backend"]
    permission: PermissionSettings | None
    outbound: OutboundSettings
    withheld_headline: str
    rate_limit: RateLimit | None
    cors_origins: frozenset[str]
    registration: Literal["inline", "deferred"]
    worker: Literal["embedded", "separate"]
    outbox_max_attempts: int
    durability: str
    deadline_ms: int
    retention_days: int
    people: Literal["full", "reference"]
    surfaces: frozenset[str]
    audit_log: str
    certificate_dir: str
    trusted_proxies: int
    bind: str
    drain_seconds: int
    web_concurrency: int
    dev_state: str
    """The folder with the keys of `resolver dev`; empty outside it."""
    log_level: str
    log_format: Literal["json", "console"]
    warnings: tuple[str, ...] = field(default=())

    @property
    def knows_backends(self) -> bool:
        """Whether this instance serves backends. If not, the data provider endpoints don't accept backends'
        headers either."""
        return not self.surfaces.isdisjoint(INSIDE)
