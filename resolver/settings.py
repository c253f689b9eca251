"""The settings: read once from the environment, frozen, secrets masked.

`load` names every problem at once. To add a setting: a field here, a line in `_read`, a row in the
README's table (a test holds the two together).
"""

from __future__ import annotations

import difflib
import os
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, cast
from urllib.parse import parse_qs, urlsplit

from resolver.environment import Environment
from resolver.errors import SettingsError
from resolver.secret import Secret

DURABILITIES = ("aof-always", "aof-everysec", "managed", "none")
SURFACES = ("callback", "mirror", "token", "privacy", "metrics", "docs")
_JWT_CLAIMS = frozenset({"exp", "iat", "nbf", "iss", "aud", "jti"})
_SURFACES_TO_COME = ("privacy", "docs")
_REDIS_OPTIONS = frozenset({"db", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile"})
_REDIS_SCHEMES = ("redis://", "rediss://", "unix://")
_SMALLEST_SECRET = 32

# Settings whose capability this version doesn't have yet. Ignoring one would promise something that
# isn't kept, so any value but the neutral one refuses the start.
_NOT_YET = {
    "RESOLVER_TOKEN_JWKS_URL": "",
    "RESOLVER_TOKEN_PUBLIC_KEY": "",
    "RESOLVER_TOKEN_PUBLIC_KEY_FILE": "",
    "RESOLVER_TOKEN_ALGORITHMS": "HS256",
    "RESOLVER_TOKEN_DOCUMENTS_CLAIM": "",
    "RESOLVER_TOKEN_COOKIE": "",
    "RESOLVER_TOKEN_JWKS_CA_FILE": "",
    "RESOLVER_PRIVACY_TOKENS": "",
    "RESOLVER_PRIVACY_TOKENS_FILE": "",
    "RESOLVER_AUDIT_LOG": "",
    "RESOLVER_WITHHELD_HEADLINE": "",
    "RESOLVER_PERMISSION_URL": "",
    "RESOLVER_PERMISSION_TOKEN": "",
    "RESOLVER_PERMISSION_TOKEN_FILE": "",
    "RESOLVER_DRAIN_SECONDS": "",
    "RESOLVER_CERTIFICATE_DIR": "",
    "RESOLVER_REDIS_WAIT": "0",
    "RESOLVER_RATE_LIMIT": "off",
}


@dataclass(frozen=True, slots=True)
class TokenSettings:
    secret: Secret | None
    issuer: str
    audience: str
    leeway: int
    user_claim: str
    organizations_claim: str


@dataclass(frozen=True, slots=True)
class Settings:
    mode: Literal["production", "development"]
    velt_api_url: str
    velt_api_key: Secret
    velt_auth_token: Secret
    caller_tokens: Mapping[str, Secret]
    redis_url: Secret
    master_keys: Mapping[str, Secret]
    index_key: Secret
    token: TokenSettings
    metrics_token: Secret | None
    read_policy: Literal["recipient", "organization"]
    delete_policy: Literal["recipient", "actor", "backend"]
    cors_origins: frozenset[str]
    registration: Literal["inline", "deferred"]
    worker: Literal["embedded", "separate"]
    durability: str
    deadline_ms: int
    retention_days: int
    people: Literal["full", "reference"]
    surfaces: frozenset[str]
    trusted_proxies: int
    bind: str
    web_concurrency: int
    log_level: str
    log_format: Literal["json", "console"]
    warnings: tuple[str, ...] = field(default=())


def load(variables: Mapping[str, str] | None = None) -> Settings:
    """Raises SettingsError with every problem there is."""
    variables = os.environ if variables is None else variables
    env = Environment(variables)
    settings = _read(env)
    _refuse_shared_secrets(env, settings)
    _refuse_what_is_not_there_yet(env, variables)
    if env.problems:
        raise SettingsError(env.problems)
    return settings


def _read(env: Environment) -> Settings:
    mode = env.choice("RESOLVER_MODE", "production", ("production", "development"))
    return Settings(
        mode=cast(Literal["production", "development"], mode),
        velt_api_url=env.url("VELT_API_URL", "https://api.velt.dev", https_only=mode == "production"),
        velt_api_key=env.secret("VELT_API_KEY", required=True) or Secret(b""),
        velt_auth_token=env.secret("VELT_AUTH_TOKEN", required=True) or Secret(b""),
        caller_tokens=env.named_secrets("RESOLVER_CALLER_TOKENS", required=True, minimum=_SMALLEST_SECRET),
        redis_url=_redis_url(env),
        master_keys=env.named_keys("RESOLVER_MASTER_KEYS"),
        index_key=env.key("RESOLVER_INDEX_KEY"),
        token=_token(env),
        metrics_token=env.secret("RESOLVER_METRICS_TOKEN", minimum=_SMALLEST_SECRET),
        read_policy=cast(
            Literal["recipient", "organization"],
            env.choice("RESOLVER_READ_POLICY", "recipient", ("recipient", "organization")),
        ),
        delete_policy=cast(
            Literal["recipient", "actor", "backend"],
            env.choice("RESOLVER_DELETE_POLICY", "recipient", ("recipient", "actor", "backend")),
        ),
        cors_origins=_cors_origins(env),
        registration=cast(
            Literal["inline", "deferred"],
            env.choice("RESOLVER_REGISTRATION", "inline", ("inline", "deferred")),
        ),
        worker=cast(
            Literal["embedded", "separate"],
            env.choice("RESOLVER_WORKER", "embedded", ("embedded", "separate")),
        ),
        durability=_durability(env),
        deadline_ms=env.whole("RESOLVER_DEADLINE_MS", 2000, 1000, 30_000),
        retention_days=env.whole("RESOLVER_RETENTION_DAYS", 90, 0, 36_500),
        people=cast(
            Literal["full", "reference"], env.choice("RESOLVER_PEOPLE", "full", ("full", "reference"))
        ),
        surfaces=_surfaces(env),
        trusted_proxies=env.whole("RESOLVER_TRUSTED_PROXIES", 0, 0, 10),
        bind=_bind(env),
        web_concurrency=env.whole("WEB_CONCURRENCY", os.cpu_count() or 1, 1, 256),
        log_level=env.choice("RESOLVER_LOG_LEVEL", "info", ("debug", "info", "warning", "error")),
        log_format=cast(
            Literal["json", "console"], env.choice("RESOLVER_LOG_FORMAT", "json", ("json", "console"))
        ),
        warnings=_unknown_names(env),
    )


def _refuse_shared_secrets(env: Environment, settings: Settings) -> None:
    """One secret, one use. Velt knows its own two, and browsers know the API key: whatever equals one of
    those would be theirs to use here."""
    masters = settings.master_keys.items()
    used = [
        ("VELT_API_KEY", settings.velt_api_key.reveal_bytes()),
        ("VELT_AUTH_TOKEN", settings.velt_auth_token.reveal_bytes()),
        *((f"RESOLVER_CALLER_TOKENS ({n})", s.reveal_bytes()) for n, s in settings.caller_tokens.items()),
        *((f"RESOLVER_MASTER_KEYS ({n})", b64encode(k.reveal_bytes())) for n, k in masters),
        ("RESOLVER_INDEX_KEY", b64encode(settings.index_key.reveal_bytes())),
        ("RESOLVER_TOKEN_SECRET", settings.token.secret.reveal_bytes() if settings.token.secret else b""),
        ("RESOLVER_METRICS_TOKEN", settings.metrics_token.reveal_bytes() if settings.metrics_token else b""),
    ]
    seen: dict[bytes, str] = {}
    for name, value in used:
        if value and (other := seen.setdefault(value, name)) != name:
            env.problem(name.partition(" ")[0], f"{name} equals {other}: every secret must be its own")


def _redis_url(env: Environment) -> Secret:
    url = env.secret("REDIS_URL") or Secret.of("redis://127.0.0.1:6379/0")
    if problem := _redis_url_problem(url.reveal()):
        env.problem("REDIS_URL", problem)
    return url


def _redis_url_problem(url: str) -> str | None:
    """Its query may name a database and certificates, and nothing that loosens how long we wait for it."""
    if not url.startswith(_REDIS_SCHEMES):
        return f"must start with {', '.join(_REDIS_SCHEMES)} in this version"
    try:
        parts = urlsplit(url)
        port, options = parts.port, parse_qs(parts.query, strict_parsing=bool(parts.query))
    except ValueError:
        return "is not a usable Redis URL"
    if strangers := sorted(options.keys() - _REDIS_OPTIONS):
        return f"takes no option but {', '.join(sorted(_REDIS_OPTIONS))} (not {', '.join(strangers)[:100]})"
    if parts.scheme != "unix" and (port == 0 or not re.fullmatch(r"(/[0-9]{0,5})?", parts.path)):
        return "must end in the number of a database, such as /0"
    return None


def _token(env: Environment) -> TokenSettings:
    _refuse_overlapping_claims(env)
    return TokenSettings(
        secret=env.secret("RESOLVER_TOKEN_SECRET", minimum=_SMALLEST_SECRET),
        issuer=env.text("RESOLVER_TOKEN_ISSUER"),
        audience=env.text("RESOLVER_TOKEN_AUDIENCE"),
        leeway=env.whole("RESOLVER_TOKEN_LEEWAY", 30, 0, 60),
        user_claim=env.text("RESOLVER_TOKEN_USER_CLAIM", "sub"),
        organizations_claim=env.text("RESOLVER_TOKEN_ORGANIZATIONS_CLAIM", "organizationIds"),
    )


def _refuse_overlapping_claims(env: Environment) -> None:
    """Two claims that share their first steps can't both be minted, nor one that JWT keeps for itself."""
    user = env.text("RESOLVER_TOKEN_USER_CLAIM", "sub")
    organizations = env.text("RESOLVER_TOKEN_ORGANIZATIONS_CLAIM", "organizationIds")
    if f"{user}.".startswith(f"{organizations}.") or f"{organizations}.".startswith(f"{user}."):
        env.problem("RESOLVER_TOKEN_ORGANIZATIONS_CLAIM", "overlaps with RESOLVER_TOKEN_USER_CLAIM")
    for name, claim in (("USER", user), ("ORGANIZATIONS", organizations)):
        if claim.partition(".")[0] in _JWT_CLAIMS:
            env.problem(f"RESOLVER_TOKEN_{name}_CLAIM", "is a claim that JWT keeps for itself")


def _cors_origins(env: Environment) -> frozenset[str]:
    origins = env.items("RESOLVER_CORS_ORIGINS")
    for origin in origins:
        if not _is_origin(origin):
            env.problem(
                "RESOLVER_CORS_ORIGINS", f"{origin!r} is not an exact origin such as https://app.example.com"
            )
    return frozenset(origins)


def _is_origin(origin: str) -> bool:
    """As a browser writes it: in lower case, without a path or the port that goes without saying."""
    label = r"[a-z0-9]([a-z0-9-]*[a-z0-9])?"
    found = re.fullmatch(
        rf"(https?)://({label}(\.{label})*|\[[0-9a-f:]+\])(:(?P<port>[1-9][0-9]{{0,4}}))?", origin
    )
    if not found:
        return False
    usual = {"http": "80", "https": "443"}[found[1]]
    return found["port"] is None or (found["port"] != usual and int(found["port"]) < 65_536)


def _durability(env: Environment) -> str:
    if not env.text("RESOLVER_DURABILITY"):
        return ""
    return env.choice("RESOLVER_DURABILITY", "", DURABILITIES)


def _surfaces(env: Environment) -> frozenset[str]:
    everything_but_docs = ",".join(s for s in SURFACES if s != "docs")
    if missing := [name for name in env.items("RESOLVER_SURFACES") if name in _SURFACES_TO_COME]:
        env.problem("RESOLVER_SURFACES", f"not available in this version: {', '.join(missing)}")
    chosen = env.items("RESOLVER_SURFACES", everything_but_docs)
    if strangers := sorted(set(chosen) - set(SURFACES)):
        env.problem("RESOLVER_SURFACES", f"unknown: {', '.join(strangers)} (of {', '.join(SURFACES)})")
    if not chosen:
        env.problem("RESOLVER_SURFACES", "names no surface")
    return frozenset(chosen)


def _bind(env: Environment) -> str:
    bind = env.text("RESOLVER_BIND", "127.0.0.1:8080")
    if not re.fullmatch(r"unix:/.+|(\[[0-9a-fA-F:]+\]|[^:\s]+):[0-9]{1,5}", bind):
        env.problem("RESOLVER_BIND", "must be host:port or unix:/path")
    return bind


def _refuse_what_is_not_there_yet(env: Environment, variables: Mapping[str, str]) -> None:
    for name, neutral in _NOT_YET.items():
        if variables.get(name, "").strip() not in ("", neutral):
            env.problem(name, "is not available in this version")


def _unknown_names(env: Environment) -> tuple[str, ...]:
    """A misspelt variable is silently without effect; an orchestrator's own (RESOLVER_SERVICE_HOST) is not
    ours to refuse. So: a warning, with the name that was probably meant."""
    unknown = [
        name
        for prefix in ("RESOLVER_", "VELT_", "REDIS_")
        for name in env.names(prefix)
        if name not in env.known | _NOT_YET.keys()
    ]
    meant = {name: _closest(name, env.known) for name in unknown}
    return tuple(f"{name} is not a setting; {close} may be meant" for name, close in meant.items() if close)


def _closest(name: str, known: set[str]) -> str | None:
    if name.removeprefix("RESOLVER_") in known:
        return name.removeprefix("RESOLVER_")
    return next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.8)), None)
