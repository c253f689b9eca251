"""Third-party services as real HTTP servers on loopback: an identity provider, a Permission Provider."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import orjson
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

JSON = dict[str, Any]
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
RSA = rsa.generate_private_key(65537, 2048)
KEYS: dict[str, PrivateKey] = {
    "RS256": RSA,
    "PS256": RSA,
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
"""One of each kind of an identity provider's keys."""


def jwk(key: PrivateKey, kid: str, **changes: Any) -> JSON:
    """The public half, as a key set publishes it."""
    public = key.public_key()
    match public:
        case rsa.RSAPublicKey():
            found = RSAAlgorithm.to_jwk(public, as_dict=True)
        case ec.EllipticCurvePublicKey():
            found = ECAlgorithm.to_jwk(public, as_dict=True)
        case _:
            found = OKPAlgorithm.to_jwk(public, as_dict=True)
    return {name: value for name, value in {**found, "kid": kid, "use": "sig", **changes}.items() if value}


def pem(key: PrivateKey) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def signed(key: PrivateKey, algorithm: str, kid: str | None, claims: JSON) -> str:
    return jwt.encode(claims, key, algorithm=algorithm, headers={"kid": kid} if kid else None)


@dataclass
class Service:
    """The answer of a server, which a test may change while it runs, and the requests that it got."""

    url: str = ""
    status: int = 200
    body: Any = None
    """Bytes, JSON, or a function of the parsed request."""
    delay: float = 0.0
    reply_headers: dict[str, str] = field(default_factory=dict)
    requests: list[Any] = field(default_factory=list)
    headers: list[JSON] = field(default_factory=list)

    def answer(self, headers: JSON, raw: bytes) -> tuple[int, bytes]:
        asked = orjson.loads(raw) if raw else None
        self.requests.append(asked)
        self.headers.append(headers)
        time.sleep(self.delay)
        body = self.body(asked) if callable(self.body) else self.body
        return self.status, body if isinstance(body, bytes) else orjson.dumps(body)


@contextmanager
def running(service: Service, certified: tuple[Path, Path] | None = None) -> Iterator[Service]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            raw = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name.lower(): value for name, value in self.headers.items()}
            status, body = service.answer(headers, raw)
            self.send_response(status)
            if status in (301, 302):
                self.send_header("location", "/elsewhere")
            for name, value in service.reply_headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST

        def log_message(self, *_args: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_args: Any) -> None:
            """Ignore callers that closed the connection."""

    with Server(("127.0.0.1", 0), Handler) as server:
        if certified:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certified)
            server.socket = context.wrap_socket(server.socket, server_side=True)
        service.url = f"{'https' if certified else 'http'}://127.0.0.1:{server.server_port}/"
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield service
        finally:
            server.shutdown()
            thread.join(5)


@dataclass(frozen=True)
class Authority:
    """A certificate authority of the tests' own, and a server's certificate by it."""

    ca: Path
    certificate: Path
    key: Path


def authority(folder: Path, names: Sequence[str] = ()) -> Authority:
    """The certificate is 127.0.0.1's, and that of these names."""
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer, subject = _name("Test Authority"), _name("127.0.0.1")
    ca = _certificate(issuer, issuer, ca_key.public_key(), ca_key, ca=True)
    certificate = _certificate(subject, issuer, key.public_key(), ca_key, ca=False, names=names)
    folder.mkdir(exist_ok=True)
    paths = Authority(folder / "ca.pem", folder / "server.pem", folder / "server.key")
    paths.ca.write_bytes(ca.public_bytes(Encoding.PEM))
    paths.certificate.write_bytes(certificate.public_bytes(Encoding.PEM))
    paths.key.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common)])


def _certificate(
    subject: x509.Name, issuer: x509.Name, public: Any, signer: Any, *, ca: bool, names: Sequence[str] = ()
) -> Any:
    now = datetime.datetime.now(datetime.UTC)
    usage = x509.KeyUsage(
        digital_signature=not ca,
        key_cert_sign=ca,
        crl_sign=ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False
        )
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), *map(x509.DNSName, names)]
            ),
            critical=False,
        )
        .sign(signer, hashes.SHA256())
    )
