"""The settings that concern end users: accepted tokens, read policy, allowed web pages, rate limits."""

from __future__ import annotations

import re

from resolver.config import outbound
from resolver.config.environment import Environment
from resolver.config.pem import PublicKey, parse_public_key
from resolver.config.settings import (
    ASYMMETRIC,
    OTHERS,
    OWN_ISSUER,
    SYMMETRIC,
    PermissionSettings,
    RateLimit,
    TokenSettings,
)

SMALLEST_SECRET = 32
_JWT_CLAIMS = frozenset({"exp", "iat", "nbf", "iss", "aud", "jti"})
_LONGEST_HEADLINE = 200
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}


def token(env: Environment, *, https_only: bool) -> TokenSettings:
    settings = TokenSettings(
        secret=env.secret("RESOLVER_TOKEN_SECRET", minimum=SMALLEST_SECRET),
        jwks_url=env.endpoint("RESOLVER_TOKEN_JWKS_URL", https_only=https_only),
        jwks_ca_file=outbound.ca_file(env, "RESOLVER_TOKEN_JWKS_CA_FILE"),
        public_key=_public_key(env),
        algorithms=_algorithms(env),
        issuer=env.text("RESOLVER_TOKEN_ISSUER"),
        audience=env.text("RESOLVER_TOKEN_AUDIENCE"),
        leeway=env.whole("RESOLVER_TOKEN_LEEWAY", 30, 0, 60),
        user_claim=env.text("RESOLVER_TOKEN_USER_CLAIM", "sub"),
        organizations_claim=env.text("RESOLVER_TOKEN_ORGANIZATIONS_CLAIM", "organizationIds"),
        documents_claim=env.text("RESOLVER_TOKEN_DOCUMENTS_CLAIM"),
        cookie=_cookie(env),
    )
    _refuse_contradictions(env, settings)
    _refuse_conflicting_claims(env, settings)
    return settings


def _refuse_contradictions(env: Environment, settings: TokenSettings) -> None:
    if settings.jwks_url and settings.public_key:
        env.problem("RESOLVER_TOKEN_PUBLIC_KEY", "is given beside RESOLVER_TOKEN_JWKS_URL: choose one")
    if settings.jwks_ca_file and not settings.jwks_url:
        env.problem("RESOLVER_TOKEN_JWKS_CA_FILE", "has no effect without RESOLVER_TOKEN_JWKS_URL")
    if settings.has_provider and settings.issuer == OWN_ISSUER:
        env.problem("RESOLVER_TOKEN_ISSUER", f"{OWN_ISSUER} is the issuer of the resolver's own tokens")
    if settings.has_provider and not settings.algorithms - {SYMMETRIC}:
        env.problem("RESOLVER_TOKEN_ALGORITHMS", "names no algorithm that an identity provider's keys use")


def _refuse_conflicting_claims(env: Environment, settings: TokenSettings) -> None:
    """Refuse claims that can't be minted: two with a common path, or a claim that JWT reserves."""
    user, organizations = settings.user_claim, settings.organizations_claim
    if f"{user}.".startswith(f"{organizations}.") or f"{organizations}.".startswith(f"{user}."):
        env.problem("RESOLVER_TOKEN_ORGANIZATIONS_CLAIM", "overlaps with RESOLVER_TOKEN_USER_CLAIM")
    claims = {"USER": user, "ORGANIZATIONS": organizations, "DOCUMENTS": settings.documents_claim}
    for name, claim in claims.items():
        if claim.partition(".")[0] in _JWT_CLAIMS:
            env.problem(f"RESOLVER_TOKEN_{name}_CLAIM", "is a claim that JWT reserves")


def _algorithms(env: Environment) -> frozenset[str]:
    known = (SYMMETRIC, *ASYMMETRIC, *OTHERS)
    chosen = env.items("RESOLVER_TOKEN_ALGORITHMS", ",".join((SYMMETRIC, *ASYMMETRIC)))
    if not chosen or not set(chosen) <= set(known):
        env.problem("RESOLVER_TOKEN_ALGORITHMS", f"must be some of {', '.join(known)}")
    return frozenset(chosen) & set(known)


def _public_key(env: Environment) -> PublicKey | None:
    text = env.long_text("RESOLVER_TOKEN_PUBLIC_KEY")
    if text is None:
        return None
    try:
        return parse_public_key(text)
    except ValueError as error:
        env.problem("RESOLVER_TOKEN_PUBLIC_KEY", str(error))
        return None


def _cookie(env: Environment) -> str:
    name = env.text("RESOLVER_TOKEN_COOKIE")
    if name and not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}", name):
        env.problem("RESOLVER_TOKEN_COOKIE", "is not a name that a cookie can have")
    return name


def permission(env: Environment, *, https_only: bool) -> PermissionSettings | None:
    url = env.endpoint("RESOLVER_PERMISSION_URL", https_only=https_only)
    secret = env.secret("RESOLVER_PERMISSION_TOKEN")
    if secret and not url:
        env.problem("RESOLVER_PERMISSION_TOKEN", "has no effect without RESOLVER_PERMISSION_URL")
    return PermissionSettings(url, secret) if url else None


def refuse_impossible_policy(
    env: Environment, policy: str, permission: PermissionSettings | None, documents_claim: str
) -> None:
    if policy == "document" and not (permission or documents_claim):
        env.problem(
            "RESOLVER_READ_POLICY",
            "document requires RESOLVER_PERMISSION_URL or RESOLVER_TOKEN_DOCUMENTS_CLAIM",
        )


def withheld_headline(env: Environment) -> str:
    text = env.text("RESOLVER_WITHHELD_HEADLINE")
    if not text.isprintable() or len(text) > _LONGEST_HEADLINE:
        env.problem("RESOLVER_WITHHELD_HEADLINE", f"must be a line of up to {_LONGEST_HEADLINE} characters")
    return text


def rate_limit(env: Environment) -> RateLimit | None:
    text = env.text("RESOLVER_RATE_LIMIT", "off")
    if text == "off":
        return None
    found = re.fullmatch(r"([1-9][0-9]{0,6})/(second|minute|hour|day)", text)
    if not found:
        env.problem("RESOLVER_RATE_LIMIT", "must be off, or a number per time such as 600/minute")
        return None
    return RateLimit(int(found[1]), _SECONDS[found[2]])


def cors_origins(env: Environment) -> frozenset[str]:
    origins = env.items("RESOLVER_CORS_ORIGINS")
    for origin in origins:
        if not _is_origin(origin):
            env.problem(
                "RESOLVER_CORS_ORIGINS", f"{origin!r} is not an exact origin such as https://app.example.com"
            )
    return frozenset(origins)


def _is_origin(origin: str) -> bool:
    """Whether it is written as browsers do: in lower case, without a path or a default port."""
    label = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
    found = re.fullmatch(
        rf"(https?)://({label}(\.{label})*|\[[0-9a-f:]+\])(:(?P<port>[1-9][0-9]{{0,4}}))?", origin
    )
    if not found:
        return False
    usual = {"http": "80", "https": "443"}[found[1]]
    return found["port"] is None or (found["port"] != usual and int(found["port"]) < 65_536)
