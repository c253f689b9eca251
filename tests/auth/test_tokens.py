"""End-user tokens: every reason to refuse one, with the shared secret and with each kind of provider key."""

from __future__ import annotations

import base64
import itertools
import time
from dataclasses import replace
from typing import Any

import jwt
import orjson
import pytest
import time_machine
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from resolver.auth.claims import EndUser
from resolver.auth.tokens import Tokens
from resolver.config import TokenSettings
from resolver.config.pem import parse_public_key
from resolver.config.secret import Secret
from resolver.config.settings import OWN_ISSUER
from resolver.errors import InvalidArgument, Unauthenticated, Unavailable
from tests.servers import KEYS, RSA, Authority, Service, jwk, pem
from tests.support import TOKEN_SECRET
from tests.waiting import until

SECRET = TokenSettings(secret=Secret.of(TOKEN_SECRET))
TOKENS = Tokens(SECRET)
BEN = EndUser("ben", frozenset({"acme"}))
EVERY = frozenset({"HS256", "RS256", "PS256", "ES256", "EdDSA"})
KINDS = ["HS256", *KEYS]
STRANGERS: dict[str, Any] = {
    "HS256": "another-secret-of-sufficient-length-012345",
    "RS256": (another_rsa := rsa.generate_private_key(65537, 2048)),
    "PS256": another_rsa,
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}


def believing(kind: str, **changes: Any) -> Tokens:
    """A verifier of that kind's tokens."""
    if kind == "HS256":
        return Tokens(replace(SECRET, **changes))
    key = parse_public_key(pem(KEYS[kind]))
    return Tokens(replace(TokenSettings(public_key=key, algorithms=EVERY), **changes))


def claims(**changes: Any) -> dict[str, Any]:
    given = {"sub": "ben", "organizationIds": ["acme"], "exp": int(time.time()) + 300, **changes}
    return {name: value for name, value in given.items() if value is not None}


def signed(kind: str = "HS256", key: Any = None, headers: Any = None, **changes: Any) -> str:
    key = key or KEYS.get(kind, TOKEN_SECRET)
    return jwt.encode(claims(**changes), key, algorithm=kind, headers=headers)


def refused(token: str, tokens: Tokens = TOKENS) -> None:
    with pytest.raises(Unauthenticated):
        tokens.verify(token)


@pytest.fixture(params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def test_valid_token_is_accepted(kind: str) -> None:
    assert believing(kind).verify(signed(kind)) == BEN


def test_minted_token_is_accepted() -> None:
    minted = TOKENS.mint("ben", ["acme", "zeta"], 60)
    assert TOKENS.verify(minted.token) == EndUser("ben", frozenset({"acme", "zeta"}))
    assert abs(minted.expires_at - time.time() - 60) < 3


def test_one_organization_may_come_as_a_string(kind: str) -> None:
    assert believing(kind).verify(signed(kind, organizationIds="acme")) == BEN


LONG_AGO, IN_2100 = 1_000_000_000, 4_102_444_800


@pytest.mark.parametrize(
    "changes",
    [
        {"exp": None},
        {"exp": LONG_AGO},
        {"exp": "soon"},
        {"nbf": IN_2100},
        {"iat": IN_2100},
        {"sub": None},
        {"sub": ""},
        {"organizationIds": None},
        {"organizationIds": []},
        {"organizationIds": ""},
        {"organizationIds": [""]},
        {"organizationIds": [7]},
        {"organizationIds": {"acme": True}},
        {"organizationIds": ["acme", None]},
        {"aud": "somebody-else"},
    ],
    ids=repr,
)
def test_invalid_claims_are_refused(kind: str, changes: dict[str, Any]) -> None:
    refused(signed(kind, **changes), believing(kind))


def test_a_subject_that_is_no_string_is_refused() -> None:
    header = base64.urlsafe_b64encode(orjson.dumps({"alg": "HS256", "typ": "JWT"})).rstrip(b"=")
    body = base64.urlsafe_b64encode(orjson.dumps(claims(sub=7))).rstrip(b"=")
    algorithm = jwt.get_algorithm_by_name("HS256")
    signature = algorithm.sign(header + b"." + body, algorithm.prepare_key(TOKEN_SECRET))
    refused(b".".join((header, body, base64.urlsafe_b64encode(signature).rstrip(b"="))).decode())


def signed_as_it_is(payload: bytes) -> str:
    """Whatever the payload: not as a library would write it."""
    algorithm = jwt.get_algorithm_by_name("HS256")
    encoded = [base64.urlsafe_b64encode(part).rstrip(b"=") for part in (b'{"alg":"HS256"}', payload)]
    signature = algorithm.sign(b".".join(encoded), TOKEN_SECRET.encode())
    return b".".join([*encoded, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


@pytest.mark.parametrize(
    "payload",
    [
        b'{"sub":"\\ud800","organizationIds":["acme"],"exp":9999999999}',
        b'{"sub":"ben","organizationIds":["\\udfff"],"exp":9999999999}',
        b'{"sub":"ben","organizationIds":["acme"],"exp":1e999}',
        b'{"sub":"ben","organizationIds":["acme"],"exp":NaN}',
        b'{"sub":"ben","organizationIds":["acme"],"exp":9999999999,"nbf":1e999}',
        b'{"sub":"ben","organizationIds":["acme"],"exp":9999999999,"iat":1e999}',
        b'{"sub":"ben","organizationIds":["acme"],"exp":1' + b"0" * 5000 + b"}",
        b"[" * 3000 + b"]" * 3000,
        b"null",
        b"\xff",
    ],
)
def test_signed_json_that_breaks_parsers_is_refused(payload: bytes) -> None:
    refused(signed_as_it_is(payload))


@pytest.mark.parametrize(
    "header", [b'{"a":' * 1200 + b"1" + b"}" * 1200, b"[" * 4000, b"null", b'{"alg":"RS256","kid":"\\ud800"}']
)
def test_header_that_breaks_parsers_is_refused(kind: str, header: bytes) -> None:
    encoded = base64.urlsafe_b64encode(header).rstrip(b"=").decode()
    refused(f"{encoded}.e30.AAAA", believing(kind))


def test_leeway_extends_the_expiry(kind: str) -> None:
    assert believing(kind).verify(signed(kind, exp=int(time.time()) - 20)) == BEN
    refused(signed(kind, exp=int(time.time()) - 40), believing(kind))


def test_token_with_an_infinite_expiry_is_handled() -> None:
    assert TOKENS.verify(signed(exp=10**400)) == BEN
    assert TOKENS.verify(signed(exp=10**400, again=1)) == BEN


def test_another_key_is_refused(kind: str) -> None:
    refused(signed(kind, key=STRANGERS[kind]), believing(kind))


@pytest.mark.parametrize("algorithm", ["HS384", "HS512"])
def test_another_algorithm_of_the_secret_is_refused(algorithm: str) -> None:
    refused(signed(algorithm, key=TOKEN_SECRET * 2))


def test_another_algorithm_of_the_same_key_is_refused_unless_it_is_allowed() -> None:
    stronger = signed("RS512", key=RSA)
    refused(stronger, believing("RS256"))
    assert believing("RS256", algorithms=EVERY | {"RS512"}).verify(stronger) == BEN
    refused(signed("RS256"), believing("RS256", algorithms=frozenset({"ES256"})))


def test_no_algorithm_is_refused(kind: str) -> None:
    refused(jwt.encode(claims(), "", algorithm="none"), believing(kind))


@pytest.mark.parametrize("alg", ["none", "None", "", "HS256 ", "hs256", None, 7, ["HS256"]])
def test_unknown_algorithm_is_refused(kind: str, alg: Any) -> None:
    _, body, signature = signed(kind).split(".")
    forged = base64.urlsafe_b64encode(orjson.dumps({"alg": alg, "typ": "JWT"})).rstrip(b"=").decode()
    for token in (f"{forged}.{body}.{signature}", f"{forged}.{body}."):
        refused(token, believing(kind))


@pytest.mark.parametrize("provider", list(KEYS))
def test_public_key_is_never_used_as_a_secret(provider: str) -> None:
    """Algorithm confusion: the token is signed by HMAC with the text of the public key, which is no
    secret."""
    header = base64.urlsafe_b64encode(orjson.dumps({"alg": "HS256", "typ": "JWT"})).rstrip(b"=")
    body = base64.urlsafe_b64encode(orjson.dumps(claims())).rstrip(b"=")
    hmac = jwt.get_algorithm_by_name("HS256")
    for known in (pem(KEYS[provider]), pem(KEYS[provider]).strip()):
        signature = base64.urlsafe_b64encode(hmac.sign(header + b"." + body, known.encode())).rstrip(b"=")
        token = b".".join((header, body, signature)).decode()
        refused(token, believing(provider))
        refused(token, believing(provider, secret=Secret.of(TOKEN_SECRET)))


def test_key_verifies_only_algorithms_of_its_kind() -> None:
    for ours in KEYS:
        for theirs in KINDS:
            if {ours, theirs} <= {"RS256", "PS256"} or ours == theirs:
                continue
            refused(signed(theirs), believing(ours))


@pytest.mark.parametrize("name", ["jku", "jwk", "x5u", "x5c", "crit"])
def test_a_header_that_brings_its_own_key_is_refused(kind: str, name: str) -> None:
    value: Any = ["exp"] if name == "crit" else "https://evil.example.com"
    refused(signed(kind, headers={name: value}), believing(kind))


@pytest.mark.parametrize(
    "token",
    ["", "a", "a.b.c", "....", "Bearer x", "\u00ff.\u00ff.\u00ff", "\ud800", "a.b.\ud800", "x" * 8193],
)
def test_text_that_is_no_token_is_refused(kind: str, token: str) -> None:
    refused(token, believing(kind))


def test_a_valid_token_over_eight_kilobytes_is_refused(kind: str) -> None:
    refused(signed(kind, note="x" * 8192), believing(kind))


def test_a_tampered_token_is_refused(kind: str) -> None:
    head, body, signature = signed(kind).split(".")
    other = signed(kind, sub="ana").split(".")[1]
    refused(f"{head}.{other}.{signature}", believing(kind))
    refused(f"{head}.{body}.", believing(kind))
    refused(f"{head}.{body}.{signature[:-4]}AAAA", believing(kind))


def test_issuer_and_audience_must_be_right_when_they_are_set(kind: str) -> None:
    strict = believing(kind, issuer="us", audience="resolver")
    assert strict.verify(signed(kind, iss="us", aud="resolver")) == BEN
    assert strict.verify(signed(kind, iss="us", aud=["x", "resolver"])) == BEN
    for wrong in (
        {},
        {"iss": "us"},
        {"aud": "resolver"},
        {"iss": "them", "aud": "resolver"},
        {"iss": "us", "aud": "x"},
        {"iss": "us", "aud": []},
    ):
        refused(signed(kind, **wrong), strict)


def test_minted_tokens_carry_the_issuer_and_audience_that_are_asked_for() -> None:
    strict = believing("HS256", issuer="us", audience="resolver")
    assert strict.verify(strict.mint("ben", ["acme"]).token) == BEN
    refused(TOKENS.mint("ben", ["acme"]).token, strict)


def test_secret_counts_only_for_its_own_issuer_beside_a_provider() -> None:
    both = believing("RS256", secret=Secret.of(TOKEN_SECRET), issuer="https://id.example.com")
    minted = both.mint("ben", ["acme"]).token
    assert jwt.decode(minted, options={"verify_signature": False})["iss"] == OWN_ISSUER
    assert both.verify(minted) == BEN
    assert both.verify(signed("RS256", iss="https://id.example.com")) == BEN
    refused(signed("HS256", iss="https://id.example.com"), both)
    refused(signed("HS256"), both)
    refused(signed("RS256", iss=OWN_ISSUER), both)


def test_a_secret_too_short_for_its_algorithm_is_not_used() -> None:
    short = Tokens(TokenSettings(secret=Secret.of("short")))
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        token = signed("HS256", key="short")
    refused(token, short)


@pytest.mark.parametrize("path", ["org", "app.orgs", "https://example.com/orgs", "a.b.c"])
def test_organizations_are_found_by_name_or_dotted_path(path: str) -> None:
    tokens = believing("HS256", organizations_claim=path, user_claim="who.id")
    assert tokens.verify(tokens.mint("ben", ["acme"]).token) == BEN


@pytest.mark.parametrize(
    ("given", "documents"),
    [(None, set()), ("d-1", {"d-1"}), (["d-1", "d-2"], {"d-1", "d-2"}), ([], set())],
)
def test_documents_come_from_the_claim_that_is_named_for_them(given: Any, documents: set[str]) -> None:
    tokens = believing("HS256", documents_claim="docs")
    assert tokens.verify(signed(docs=given)).documents == documents
    assert TOKENS.verify(signed(docs=given)).documents == frozenset()


@pytest.mark.parametrize("given", [7, {"d-1": True}, [7], [""], ""])
def test_documents_in_another_shape_are_refused(given: Any) -> None:
    refused(signed(docs=given), believing("HS256", documents_claim="docs"))


def test_tokens_are_neither_minted_nor_accepted_without_a_secret() -> None:
    for without in (
        Tokens(TokenSettings()),
        believing("RS256"),
        believing("HS256", algorithms=frozenset({"RS256"})),
    ):
        refused(signed(), without)
        said = r"^This resolver mints no tokens: it has no RESOLVER_TOKEN_SECRET for HS256\.$"
        with pytest.raises(Unavailable, match=said):
            without.mint("ben", ["acme"])


def test_token_too_long_to_be_accepted_is_not_minted() -> None:
    with pytest.raises(InvalidArgument, match=r"^organizationIds are too many for one token$"):
        TOKENS.mint("ben", [f"organization-{n:040d}" for n in range(300)])


@pytest.mark.parametrize("seconds", [59, 86_401])
def test_a_lifetime_out_of_range_is_refused(seconds: int) -> None:
    with pytest.raises(InvalidArgument, match=r"^ttlSeconds must be from 60 to 86400$"):
        TOKENS.mint("ben", ["acme"], seconds)


@pytest.mark.parametrize("seconds", [60, 86_400])
def test_shortest_and_longest_lifetimes_are_accepted(seconds: int) -> None:
    minted = TOKENS.mint("ben", ["acme"], seconds)
    claims = jwt.decode(minted.token, options={"verify_signature": False})
    assert (claims["exp"] - claims["iat"], claims["exp"]) == (seconds, minted.expires_at)
    assert TOKENS.verify(minted.token).issued_at == claims["iat"]


def test_longest_token_that_is_minted_is_accepted() -> None:
    """Eight kilobytes exactly."""

    def organizations(size: int) -> list[str]:
        return ["x" * size, *(f"{n:0500}" for n in range(11))]

    for size in itertools.count(1):
        try:
            longest = TOKENS.mint("ben", organizations(size)).token
        except InvalidArgument:
            break
    assert len(longest) == 8192
    assert TOKENS.verify(longest).organizations == frozenset(organizations(size - 1))


def test_provider_is_asked_for_its_keys_before_the_first_token(
    provider: Service, certified: Authority
) -> None:
    Tokens(TokenSettings(jwks_url=provider.url, jwks_ca_file=str(certified.ca))).start()
    until(lambda: provider.headers, "a fetch of the key set")


@pytest.mark.parametrize("settings", [SECRET, TokenSettings(public_key=parse_public_key(pem(RSA)))])
def test_tokens_without_a_key_set_have_nothing_to_start(settings: TokenSettings) -> None:
    Tokens(settings).start()


def test_own_secret_verifies_tokens_while_the_provider_was_never_reached() -> None:
    both = Tokens(TokenSettings(secret=Secret.of(TOKEN_SECRET), jwks_url="http://127.0.0.1:1/"))
    minted = both.mint("ben", ["acme"]).token
    assert [both.verify(minted), both.verify(minted)] == [BEN, BEN]


def test_known_token_is_not_verified_again(kind: str) -> None:
    tokens, token = believing(kind), signed(kind)
    assert tokens.verify(token) is tokens.verify(token)


def test_known_token_expires(kind: str) -> None:
    """The cached answer holds no longer than the token."""
    tokens, soon = believing(kind), time.time() + 5
    token = signed(kind, exp=int(soon))
    assert tokens.verify(token) == BEN
    with time_machine.travel(soon + 40, tick=False):
        refused(token, tokens)


def test_algorithm_of_a_provider_that_is_not_configured_is_refused() -> None:
    refused(signed("RS256"), Tokens(replace(SECRET, algorithms=EVERY)))


def test_token_is_verified_with_the_key_that_it_names(provider: Service, certified: Authority) -> None:
    """The other published keys are not tried."""
    provider.body = {"keys": [jwk(KEYS["RS256"], "one"), jwk(STRANGERS["RS256"], "two")]}
    algorithms = frozenset({"RS256"})
    tokens = Tokens(
        TokenSettings(jwks_url=provider.url, jwks_ca_file=str(certified.ca), algorithms=algorithms)
    )
    assert tokens.verify(signed("RS256", headers={"kid": "one"})) == BEN
    assert tokens.verify(signed("RS256", STRANGERS["RS256"], {"kid": "two"})) == BEN
    refused(signed("RS256", headers={"kid": "two"}), tokens)
    refused(signed("RS256"), tokens)


def test_known_token_is_refused_after_its_key_was_withdrawn(provider: Service, certified: Authority) -> None:
    algorithms = frozenset({"RS256", "ES256"})
    tokens = Tokens(
        TokenSettings(jwks_url=provider.url, jwks_ca_file=str(certified.ca), algorithms=algorithms)
    )
    old, new = signed("RS256", headers={"kid": "old"}), signed("ES256", headers={"kid": "new"})
    provider.body = {"keys": [jwk(KEYS["RS256"], "old")]}
    assert tokens.verify(old) == BEN, "the first token causes the first fetch"
    assert tokens.verify(old) is tokens.verify(old)
    provider.body = {"keys": [jwk(KEYS["ES256"], "new")]}
    assert tokens.verify(new) == BEN, "an unknown key causes a fetch"
    refused(old, tokens)
