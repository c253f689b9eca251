"""The keys that sign checkpoints, erasure certificates and evidence: RESOLVER_SIGNING_KEY."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping, Sequence

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from resolver.config.secret import Secret


class Signer:
    """Signs with the first key. The others are former keys, whose signatures stay valid."""

    def __init__(self, keys: Sequence[Secret]) -> None:
        private = [Ed25519PrivateKey.from_private_bytes(key.reveal_bytes()) for key in keys]
        self._key = private[0]
        self.public_keys = tuple(
            base64.b64encode(key.public_key().public_bytes_raw()).decode() for key in private
        )

    @property
    def public_key(self) -> str:
        return self.public_keys[0]

    def sign(self, text: bytes) -> str:
        return base64.b64encode(self._key.sign(text)).decode()


def is_public_key(text: str) -> bool:
    try:
        return len(base64.b64decode(text, validate=True)) == 32
    except ValueError:
        return False


def is_signed(text: bytes, signature: str, public_key: str) -> bool:
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key, validate=True))
        key.verify(base64.b64decode(signature, validate=True), text)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True


def succession(public_key: str) -> bytes:
    """The text by which the current key signs a former one (or itself), so that its signatures stay valid."""
    return f"vnr former signing key\n{public_key}".encode()


Noted = Mapping[tuple[str, str], str]
"""Proofs by the key that has signed, and the key that it trusts."""


def trusted(own: Sequence[str], noted: Noted) -> tuple[str, ...]:
    """These public keys, and those that one of them trusts."""
    vouched = dict.fromkeys(key for by, key in valid(noted) if by in own and key not in own)
    return (*own, *vouched)


def valid(noted: Noted) -> Iterator[tuple[str, str]]:
    """The pairs whose proof holds. Anyone who writes to Redis can put others there."""
    return (pair for pair, proof in noted.items() if is_signed(succession(pair[1]), proof, pair[0]))


def proofs(signer: Signer, noted: Noted) -> dict[tuple[str, str], str]:
    """The proofs by the first key that are to be noted, so that the keys trusted now stay so when former
    private keys are dropped. Empty when all are noted."""
    first, present = signer.public_key, set(valid(noted))
    missing = (key for key in trusted(signer.public_keys, noted) if (first, key) not in present)
    return {(first, key): signer.sign(succession(key)) for key in missing}


def is_stranger(signer: Signer, noted: Noted) -> bool:
    """Whether only other keys have signed here."""
    known = {by for by, _ in valid(noted)}
    return bool(known) and known.isdisjoint(signer.public_keys)
