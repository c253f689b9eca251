"""What the settings are, once read: plain frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from resolver.config.pem import PublicKey
from resolver.config.secret import Secret

INSIDE = frozenset({"mirror", "token", "privacy"})
"""The surfaces of backends and of privacy staff: none of them is for the internet."""
SYMMETRIC = "HS256"
ASYMMETRIC = ("RS256", "PS256", "ES256", "EdDSA")
"""Believed by default of keys that an identity provider publishes."""
OTHERS = ("RS384", "RS512", "PS384", "PS512", "ES384", "ES512")
OWN_ISSUER = "velt-notification-resolver"
"""Of minted tokens where an identity provider's keys are believed too: its own issuer stays its own."""


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
        """Whether tokens of an identity provider are believed."""
        return bool(self.jwks_url or self.public_key)

    @property
    def own_issuer(self) -> str:
        """Which issuer minted tokens name."""
        return OWN_ISSUER if self.has_provider else self.issuer


@dataclass(frozen=True, slots=True)
class PermissionSettings:
    """Where the team's Permission Provider answers."""

    url: str
    token: Secret | None


@dataclass(frozen=True, slots=True)
class OutboundSettings:
    """How other services are reached: Velt, the key set, the Permission Provider."""

    proxy: Secret | None = None
    """The URL of a forward proxy, which may hold a user and a password."""
    ca_file: str = ""
    """Certificate authorities that count instead of the system's."""


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
    """None where Velt is never asked: see `is_callback_only`."""
    caller_tokens: Mapping[str, Secret]
    redis_url: Secret
    redis_wait: int
    master_keys: Mapping[str, Secret]
    index_key: Secret
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
    """Where `resolver dev` keeps its keys; empty when this isn't a part of one."""
    log_level: str
    log_format: Literal["json", "console"]
    warnings: tuple[str, ...] = field(default=())

    @property
    def knows_backends(self) -> bool:
        """Whether this instance serves backends at all. Where it doesn't, as on the internet's side, their
        headers open nothing on the callback either."""
        return not self.surfaces.isdisjoint(INSIDE)
