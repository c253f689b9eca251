"""The key that signs checkpoints. It is derived from the lookup key, so there is no other secret to keep."""

from __future__ import annotations

import base64
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from resolver.config.secret import Secret


class Signer:
    def __init__(self, index_key: Secret) -> None:
        hkdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"vnr signing key")
        self._key = Ed25519PrivateKey.from_private_bytes(hkdf.derive(index_key.reveal_bytes()))
        self.public_key = base64.b64encode(self._key.public_key().public_bytes_raw()).decode()

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
    """The text by which a key signs its predecessor, so that the predecessor's signatures stay valid."""
    return f"vnr former signing key\n{public_key}".encode()


def trusted(signer: Signer, former: Mapping[str, str]) -> tuple[str, ...]:
    """The signer's public key, and the former keys that it has signed."""
    vouched = (key for key, proof in former.items() if is_signed(succession(key), proof, signer.public_key))
    return (signer.public_key, *vouched)
