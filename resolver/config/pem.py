"""Public keys in PEM, as identity providers publish them. Parsed at start, so that a bad key prevents it."""

from __future__ import annotations

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_pem_public_key
from cryptography.x509 import load_pem_x509_certificate

PublicKey = RSAPublicKey | EllipticCurvePublicKey | Ed25519PublicKey
SMALLEST_RSA_BITS, LARGEST_RSA_BITS = 2048, 8192
"""With larger keys, verifying a signature takes too long."""


def parse_public_key(text: str) -> PublicKey:
    """Parse a key or certificate. `\\n` stands for a line break, which not every variable can hold. Raises
    ValueError with what is wrong."""
    pem = text.replace("\\n", "\n").encode()
    if b"PRIVATE KEY" in pem:
        raise ValueError("contains a private key: only the public key belongs here")
    try:
        key = (
            load_pem_x509_certificate(pem).public_key() if b"CERTIFICATE" in pem else load_pem_public_key(pem)
        )
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("is not a public key or certificate in PEM") from None
    if not isinstance(key, PublicKey):
        raise ValueError("must be an RSA, EC or Ed25519 key")  # noqa: TRY004 - of a setting, not a call
    if isinstance(key, RSAPublicKey) and not SMALLEST_RSA_BITS <= key.key_size <= LARGEST_RSA_BITS:
        raise ValueError(f"must have {SMALLEST_RSA_BITS} to {LARGEST_RSA_BITS} bits")
    return key
