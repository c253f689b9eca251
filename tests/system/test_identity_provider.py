"""The resolver as it is deployed beside an identity provider: only environment variables, real https."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from cryptography.hazmat.primitives.asymmetric import ec

from tests.servers import KEYS, Service, authority, jwk, running, signed
from tests.support import BACKEND, TOKEN_SECRET, notification
from tests.support import signed as signed_by_secret
from tests.system.conftest import Served, serving

pytestmark = pytest.mark.system
ISSUER, AUDIENCE = "https://id.example.com/", "resolver"
NEW = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[Service]:
    certified = authority(tmp_path)
    published = {"keys": [jwk(KEYS["RS256"], "first"), jwk(KEYS["EdDSA"], "second")]}
    with running(Service(body=published), (certified.certificate, certified.key)) as service:
        yield service


@pytest.fixture
def served(provider: Service, resolver_environment: dict[str, str], tmp_path: Path) -> Iterator[Served]:
    environment = {
        **resolver_environment,
        "RESOLVER_MODE": "production",
        "RESOLVER_LOG_LEVEL": "warning",
        "RESOLVER_TOKEN_JWKS_URL": f"{provider.url}.well-known/jwks.json",
        "RESOLVER_TOKEN_JWKS_CA_FILE": str(tmp_path / "ca.pem"),
        "RESOLVER_TOKEN_ISSUER": ISSUER,
        "RESOLVER_TOKEN_AUDIENCE": AUDIENCE,
    }
    with serving(environment, tmp_path / "log") as served:
        post(served, "/v2/notifications/add", {"data": notification()}, BACKEND)
        yield served


def post(served: Served, path: str, body: Any, headers: dict[str, str]) -> urllib3.BaseHTTPResponse:
    return urllib3.request("POST", f"{served.url}{path}", json=body, headers=headers, retries=False)


def read(served: Served, token: str) -> tuple[int, Any]:
    body = {"organizationId": "acme", "notificationIds": ["n-1"]}
    reply = post(served, "/api/velt/notifications/get", body, {"authorization": f"Bearer {token}"})
    return reply.status, reply.json().get("data")


def claims(**changes: Any) -> dict[str, Any]:
    expires = int(time.time()) + 300
    return {
        "sub": "ben",
        "organizationIds": "acme",
        "iss": ISSUER,
        "aud": AUDIENCE,
        "exp": expires,
        **changes,
    }


def test_tokens_of_the_provider_and_minted_tokens_are_accepted_alone(served: Served) -> None:
    token = signed(KEYS["RS256"], "RS256", "first", claims())
    assert read(served, token)[1].keys() == {"n-1"}
    assert read(served, signed(KEYS["EdDSA"], "EdDSA", "second", claims()))[0] == 200
    minted = post(served, "/api/velt/token", {"userId": "ben", "organizationIds": ["acme"]}, BACKEND).json()
    assert read(served, minted["token"])[1].keys() == {"n-1"}
    for other in (
        signed(KEYS["RS256"], "RS256", "second", claims()),
        signed(KEYS["RS256"], "RS256", "first", claims(aud="another application")),
        signed(KEYS["RS256"], "RS256", "first", claims(iss="https://evil.example.com")),
        signed_by_secret("ben", "acme", secret=TOKEN_SECRET, iss=ISSUER, aud=AUDIENCE),
    ):
        assert read(served, other) == (401, None)


def test_key_rotation_is_followed_at_once_and_known_keys_outlast_an_outage(
    served: Served, provider: Service
) -> None:
    assert read(served, signed(KEYS["RS256"], "RS256", "first", claims()))[0] == 200
    provider.body = {"keys": [*provider.body["keys"], jwk(NEW, "third")]}
    assert read(served, signed(NEW, "ES256", "third", claims()))[0] == 200
    provider.status, provider.delay = 503, 2
    for n in range(200):
        assert read(served, signed(NEW, "ES256", f"kid-{n}", claims()))[0] == 401
        assert read(served, signed(NEW, "ES256", "third", claims(n=n)))[0] == 200
    assert len(provider.requests) <= 3, "the first, the rotation's, and perhaps the minute's"


def test_missing_key_set_fails_end_users_with_503_and_leaves_backends_served(
    provider: Service, resolver_environment: dict[str, str], tmp_path: Path
) -> None:
    provider.status = 500
    environment = {
        **resolver_environment,
        "RESOLVER_TOKEN_JWKS_URL": provider.url,
        "RESOLVER_TOKEN_JWKS_CA_FILE": str(tmp_path / "ca.pem"),
    }
    with serving(environment, tmp_path / "log") as served:
        started = time.monotonic()
        assert read(served, signed(KEYS["RS256"], "RS256", "first", claims()))[0] == 503
        assert time.monotonic() - started < 2
        assert post(served, "/v2/notifications/add", {"data": notification()}, BACKEND).status == 200
