"""A provider's key set over real https: kept fresh, limited in size and time; known keys stay usable."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from resolver.auth.claims import EndUser
from resolver.auth.jwks import Jwks
from resolver.auth.tokens import Tokens
from resolver.config import TokenSettings
from resolver.errors import Unauthenticated, Unavailable
from tests.auth.conftest import QUICK
from tests.clocks import Clock
from tests.servers import KEYS, Authority, Service, jwk, pem, signed
from tests.support import TOKEN_SECRET, Api
from tests.waiting import until

MakeKeys = Callable[..., Jwks]
BEN = EndUser("ben", frozenset({"acme"}))
NEW = ec.generate_private_key(ec.SECP256R1())


def claims() -> dict[str, Any]:
    return {"sub": "ben", "organizationIds": ["acme"], "exp": int(time.time()) + 300}


def tokens_of(keys: Jwks) -> Tokens:
    """With a key set of the test's making, since the real pace is too slow to watch."""
    settings = TokenSettings(
        jwks_url="http://127.0.0.1:9/", algorithms=frozenset({"HS256", "RS256", "PS256", "ES256", "EdDSA"})
    )
    return Tokens(settings, provider=keys)


def is_accepted(tokens: Tokens, token: str) -> bool:
    try:
        return tokens.verify(token) == BEN
    except (Unauthenticated, Unavailable):
        return False


def two_more_requests(provider: Service) -> None:
    """Wait until the provider's present answer was fetched: fetches of one key set follow each other."""
    before = len(provider.requests)
    until(lambda: len(provider.requests) >= before + 2, "two more fetches", seconds=10)


@pytest.fixture
def keys(key_set: MakeKeys) -> Jwks:
    return key_set()


@pytest.fixture
def tokens(keys: Jwks) -> Tokens:
    return tokens_of(keys)


def say(algorithm: str, kid: str | None = None, key: Any = None) -> str:
    published = "RS256" if algorithm == "PS256" else algorithm
    return signed(key or KEYS[algorithm], algorithm, kid or published, claims())


def test_token_with_an_unknown_key_waits_for_one_fetch(
    make_api: Callable[..., Api], provider: Service, certified: Authority
) -> None:
    """0.8 s at most: the credential is verified once, whatever routed the request."""
    api = make_api(
        RESOLVER_TOKEN_JWKS_URL=provider.url,
        RESOLVER_TOKEN_JWKS_CA_FILE=str(certified.ca),
        RESOLVER_TOKEN_ALGORITHMS="ES256",
    )
    known = {"authorization": f"Bearer {say('ES256')}"}
    asked = {"organizationId": "acme", "notificationIds": []}
    assert api.post("/api/velt/notifications/get", asked, known).status_code == 200
    provider.delay = 3
    unknown = {"authorization": f"Bearer {say('ES256', 'unknown')}"}
    started = time.monotonic()
    assert api.post("/api/velt/notifications/get", asked, unknown).status_code == 401
    assert time.monotonic() - started < 1.2


@pytest.mark.parametrize("algorithm", list(KEYS))
def test_token_of_a_published_key_is_accepted(tokens: Tokens, algorithm: str) -> None:
    assert tokens.verify(say(algorithm)) == BEN


def test_token_without_kid_is_accepted_when_only_one_key_fits(tokens: Tokens, provider: Service) -> None:
    assert tokens.verify(signed(KEYS["ES256"], "ES256", None, claims())) == BEN


def test_token_without_kid_is_refused_when_several_keys_fit(tokens: Tokens, provider: Service) -> None:
    provider.body["keys"].append(jwk(NEW, "second"))
    with pytest.raises(Unauthenticated):
        tokens.verify(signed(KEYS["ES256"], "ES256", None, claims()))


@pytest.mark.parametrize(
    "published",
    [
        {"kty": "oct", "k": "ZW5kLXVzZXItdG9rZW4tc2VjcmV0LWZvci10ZXN0cy0wMTIzNDU2Nzg5", "alg": "HS256"},
        jwk(NEW, "x", use="enc"),
        jwk(NEW, "x", key_ops=["sign"]),
        jwk(NEW, "x", alg="ES384"),
        jwk(NEW, "x", crv="P-999"),
        jwk(NEW, "x", x="!"),
        jwk(NEW, "x", x=7),
        jwk(rsa.generate_private_key(65537, 1024), "x"),
        {"kty": "RSA"},
        jwk(NEW, "x", key_ops=7),
        jwk(NEW, "x", use=["sig"]),
        jwk(NEW, "x", d="AQAB"),
        jwk(KEYS["RS256"], "x", n="A" * 200_000),
        jwk(KEYS["RS256"], "x", e="A" * 300),
        "no object",
        None,
    ],
    ids=[
        "symmetric",
        "for encryption",
        "to sign with",
        "another algorithm's",
        "of an unknown curve",
        "no base64",
        "a number",
        "RSA of 1024 bits",
        "RSA without numbers",
        "operations that are no list",
        "a use that is a list",
        "a private key",
        "a huge modulus",
        "a huge exponent",
        "a text",
        "nothing",
    ],
)
def test_a_key_that_is_not_fit_for_signatures_is_left_out_and_the_others_stay(
    provider: Service, tokens: Tokens, published: Any
) -> None:
    provider.body["keys"].insert(0, {**published, "kid": "x"} if isinstance(published, dict) else published)
    assert tokens.verify(say("RS256")) == BEN
    with pytest.raises(Unauthenticated):
        tokens.verify(say("ES256", kid="x", key=NEW))
    with pytest.raises(Unauthenticated):
        tokens.verify(jwt.encode(claims(), TOKEN_SECRET, algorithm="HS256", headers={"kid": "x"}))


def test_null_in_a_published_key_counts_as_absent(provider: Service, tokens: Tokens) -> None:
    nothing = {"use": None, "key_ops": None, "alg": None, "x5c": None}
    provider.body["keys"].append({**jwk(NEW, "x"), **nothing})
    assert tokens.verify(say("ES256", kid="x", key=NEW)) == BEN


def test_published_key_is_not_used_as_a_secret(tokens: Tokens) -> None:
    hmac = jwt.get_algorithm_by_name("HS256")
    token = jwt.encode(claims(), TOKEN_SECRET, algorithm="HS256", headers={"kid": "RS256"})
    signing_input = token.rpartition(".")[0].encode()
    forged = hmac.sign(signing_input, pem(KEYS["RS256"]).encode())
    with pytest.raises(Unauthenticated):
        tokens.verify(signing_input.decode() + "." + jwt.utils.base64url_encode(forged).decode())


def test_new_key_is_accepted_at_once_after_a_rotation(provider: Service, tokens: Tokens) -> None:
    assert tokens.verify(say("RS256")) == BEN
    provider.body = {"keys": [*provider.body["keys"], jwk(NEW, "new")]}
    assert tokens.verify(say("ES256", kid="new", key=NEW)) == BEN
    assert len(provider.requests) == 2


def test_withdrawn_key_is_refused_for_cached_tokens_too(provider: Service, key_set: MakeKeys) -> None:
    tokens = tokens_of(key_set(replace(QUICK, refresh=0.1)))
    old = say("ES256")
    assert tokens.verify(old) == tokens.verify(old) == BEN
    provider.body = {"keys": [jwk(KEYS["RS256"], "RS256")]}
    two_more_requests(provider)
    with pytest.raises(Unauthenticated):
        tokens.verify(old)
    assert tokens.verify(say("RS256")) == BEN


def test_a_set_without_keys_withdraws_them_all(provider: Service, key_set: MakeKeys) -> None:
    tokens = tokens_of(key_set(replace(QUICK, refresh=0.1)))
    assert tokens.verify(say("RS256")) == BEN
    provider.body = {"keys": []}
    two_more_requests(provider)
    with pytest.raises(Unauthenticated):
        tokens.verify(say("RS256"))


@pytest.mark.parametrize("outage", [{"status": 500}, {"status": 302}, {"body": b"<html>"}, {"body": {}}])
def test_known_keys_are_accepted_during_an_outage(
    provider: Service, key_set: MakeKeys, outage: dict[str, Any]
) -> None:
    tokens = tokens_of(key_set(replace(QUICK, refresh=0.1)))
    assert tokens.verify(say("RS256")) == BEN
    for name, value in outage.items():
        setattr(provider, name, value)
    two_more_requests(provider)
    assert tokens.verify(say("RS256")) == BEN


def test_known_keys_are_accepted_until_their_hard_age(provider: Service, key_set: MakeKeys) -> None:
    clock = Clock()
    tokens = tokens_of(key_set(replace(QUICK, refresh=0.1), clock=clock))
    token = say("RS256")
    assert tokens.verify(token) == BEN
    provider.status = 503
    two_more_requests(provider)
    clock.now += QUICK.hard_age
    assert tokens.verify(token) == BEN
    clock.now += 1
    with pytest.raises(Unavailable):
        tokens.verify(token)
    provider.status = 200
    until(lambda: is_accepted(tokens, token), "the keys are fetched again")


def test_a_provider_that_was_never_reached_is_an_outage_and_no_bad_token(
    provider: Service, tokens: Tokens
) -> None:
    provider.status = 503
    with pytest.raises(Unavailable):
        tokens.verify(say("RS256"))


def test_slow_provider_does_not_delay_tokens_of_known_keys(provider: Service, keys: Jwks) -> None:
    tokens = tokens_of(keys)
    assert tokens.verify(say("RS256")) == BEN
    provider.delay = 3
    strangers = [threading.Thread(target=_try, args=(tokens, f"kid-{n}")) for n in range(8)]
    for thread in strangers:
        thread.start()
    started = time.monotonic()
    for _ in range(20):
        assert tokens.verify(say("RS256")) == BEN
    assert time.monotonic() - started < 0.4
    for thread in strangers:
        thread.join()
    assert time.monotonic() - started < 1.5


def _try(tokens: Tokens, kid: str) -> None:
    with pytest.raises(Unauthenticated):
        tokens.verify(say("RS256", kid=kid))


def test_ten_thousand_random_kids_cause_two_fetches_at_most(provider: Service, tokens: Tokens) -> None:
    assert tokens.verify(say("RS256")) == BEN
    _, body, signature = say("RS256").split(".")
    for n in range(10_000):
        head = jwt.utils.base64url_encode(b'{"alg":"RS256","kid":"%d"}' % n).decode()
        with pytest.raises(Unauthenticated):
            tokens.verify(f"{head}.{body}.{signature}")
    assert len(provider.requests) <= 2
    assert tokens.verify(say("RS256")) == BEN


def test_redirects_are_not_followed(provider: Service, tokens: Tokens) -> None:
    provider.status = 302
    with pytest.raises(Unavailable):
        tokens.verify(say("RS256"))
    assert len(provider.requests) <= 2


def test_endless_answer_is_refused(provider: Service, tokens: Tokens) -> None:
    provider.body = b'{"keys": [' + b" " * 300_000 + b"]}"
    with pytest.raises(Unavailable):
        tokens.verify(say("RS256"))


def test_certificate_of_an_unknown_authority_is_refused(key_set: MakeKeys, certified: Authority) -> None:
    with pytest.raises(Unavailable):
        tokens_of(key_set(ca_file="")).verify(say("RS256"))
