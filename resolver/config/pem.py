"""A public key in PEM, as identity providers hand it out: parsed at once: a bad one refuses the start."""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey
SMALLEST_RSA_BITS, LARGEST_RSA_BITS = 2048, 8192
"""Larger, and each signature would take long to check."""


def parse_public_key(text: str) -> PublicKey:
    """Raises ValueError with what is wrong with it. A variable can't hold newlines everywhere, so `\\n` in
    one line is read as such."""
    pem = text.replace("\\n", "\n").encode()
    if b"PRIVATE KEY" in pem:
        raise ValueError("holds a private key: only the public one belongs here")
    try:
        key = (
            load_pem_x509_certificate(pem).public_key() if b"CERTIFICATE" in pem else load_pem_public_key(pem)
        )
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("is no public key or certificate in PEM") from None
    if not isinstance(key, PublicKey):
        raise ValueError("must be an RSA, EC or Ed25519 key")  # noqa: TRY004 - of a setting, not a call
    if isinstance(key, RSAPublicKey) and not SMALLEST_RSA_BITS <= key.key_size <= LARGEST_RSA_BITS:
        raise ValueError(f"must have {SMALLEST_RSA_BITS} to {LARGEST_RSA_BITS} bits")
    return key
