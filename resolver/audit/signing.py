"""The keys that sign checkpoints, erasure certificates and evidence: RESOLVER_SIGNING_KEY."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence

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


def trusted(signer: Signer, noted: Mapping[str, str]) -> tuple[str, ...]:
    """The signer's public keys, and the noted ones that one of them has signed."""
    own = signer.public_keys
    vouched = (
        key
        for key, proof in noted.items()
        if key not in own and any(is_signed(succession(key), proof, mine) for mine in own)
    )
    return (*own, *vouched)


def proofs(signer: Signer, noted: Mapping[str, str]) -> dict[str, str]:
    """The proofs that are to be noted, so that the keys trusted now stay so when former private keys are
    dropped. Empty when all are noted."""
    return {
        key: signer.sign(succession(key))
        for key in trusted(signer, noted)
        if not (key in noted and is_signed(succession(key), noted[key], signer.public_key))
    }


def is_stranger(signer: Signer, noted: Mapping[str, str]) -> bool:
    """Whether another deployment's key has signed here: none of the signer's keys is noted."""
    return bool(noted) and noted.keys().isdisjoint(signer.public_keys)
