"""Public keys that verify tokens, each with the algorithms of its kind.

A token names its algorithm itself. If that alone decided how its signature is verified, a public RSA key
could be used as an HMAC secret, which everyone knows; so each key is used only with algorithms of its kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from resolver.config.pem import LARGEST_RSA_BITS, SMALLEST_RSA_BITS, PublicKey

_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_MAX_LENGTHS = {"n": LARGEST_RSA_BITS // 6 + 8, "e": 12, "x": 100, "y": 100}
"""Maximum base64 characters, of six bits each."""
_CURVES = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
# No `oct`: a published symmetric key is no secret.
_KINDS: Mapping[str, Any] = {"RSA": RSAAlgorithm, "EC": ECAlgorithm, "OKP": OKPAlgorithm}


class Keys(Protocol):
    """Keys whose tokens are accepted: one key, or a set that changes."""

    def find(self, kid: str | None, algorithm: str) -> PublicKey | None: ...

    @property
    def version(self) -> int:
        """Changes when a token accepted before may have become invalid; negative while no key is usable."""
        ...


@dataclass(frozen=True, slots=True)
class TokenKey:
    key: PublicKey
    algorithms: frozenset[str]


@dataclass(frozen=True, slots=True)
class OneKey:
    """A key from the settings. It verifies tokens with any `kid`."""

    key: PublicKey
    version: int = 0

    def find(self, _kid: str | None, algorithm: str) -> PublicKey | None:
        return self.key if algorithm in algorithms_of(self.key) else None


def algorithms_of(key: PublicKey) -> frozenset[str]:
    match key:
        case RSAPublicKey():
            return _RSA if SMALLEST_RSA_BITS <= key.key_size <= LARGEST_RSA_BITS else frozenset()
        case EllipticCurvePublicKey():
            return frozenset({_CURVES[key.curve.name]} if key.curve.name in _CURVES else ())
        case Ed25519PublicKey():
            return frozenset({"EdDSA"})


def from_jwk(jwk: Mapping[str, Any]) -> TokenKey | None:
    """Parse a key of a published set; None for a key that isn't for signatures, or isn't supported."""
    if not _is_for_signatures(jwk) or _costs_too_much(jwk):
        return None
    try:
        parsed = _KINDS[str(jwk.get("kty"))].from_jwk(dict(jwk))
    except (KeyError, ValueError, TypeError, AttributeError, jwt.PyJWTError, UnsupportedAlgorithm):
        return None
    if not isinstance(parsed, PublicKey):
        return None
    declared = frozenset({jwk["alg"]}) if isinstance(jwk.get("alg"), str) else algorithms_of(parsed)
    algorithms = algorithms_of(parsed) & declared
    return TokenKey(parsed, algorithms) if algorithms else None


def _is_for_signatures(jwk: Mapping[str, Any]) -> bool:
    """Whether a key may verify signatures. Null counts as absent: some providers write it."""
    use, operations = jwk.get("use"), jwk.get("key_ops")
    may_verify = operations is None or (isinstance(operations, list) and "verify" in operations)
    return use in (None, "sig") and may_verify


def _costs_too_much(jwk: Mapping[str, Any]) -> bool:
    """Whether a key takes too long to parse or use: its numbers are too large, or it is a private key, which
    proves nothing once it is published."""
    return not {"d", "oth"}.isdisjoint(jwk) or any(
        isinstance(value := jwk.get(name), str) and len(value) > most for name, most in _MAX_LENGTHS.items()
    )
