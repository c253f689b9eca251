"""deploy/secrets.sh makes every secret, once."""

from __future__ import annotations

import ssl
from pathlib import Path

from resolver.cli.keys import fresh_secrets
from resolver.config import redis_url
from tests.deploy.conftest import make_secrets


def test_each_secret_is_a_file_with_the_name_of_its_setting(private: Path) -> None:
    names = {path.name for path in (private / "secrets").iterdir()}
    others = {"VELT_API_KEY", "VELT_AUTH_TOKEN", "RESOLVER_METRICS_TOKEN", "REDIS_URL"}
    assert names == {*fresh_secrets(), *others}


def test_secrets_are_readable_by_their_owner_alone(private: Path) -> None:
    closed = {folder.name for folder in private.iterdir() if not folder.stat().st_mode & 0o077}
    assert closed == {"secrets", "redis", "nginx"}


def test_script_never_overwrites_keys(private: Path) -> None:
    before = (private / "secrets/RESOLVER_MASTER_KEYS").read_bytes()
    again = make_secrets(private, "redis")
    assert again.returncode == 1
    assert "is there already" in again.stderr
    assert (private / "secrets/RESOLVER_MASTER_KEYS").read_bytes() == before


def test_key_of_the_certificate_authority_is_deleted(private: Path) -> None:
    assert not [path for path in private.rglob("*") if "ca.key" in path.name or "making" in path.name]


def test_redis_password_is_in_its_url_and_not_in_the_users_file(private: Path) -> None:
    address = redis_url.parse((private / "secrets/REDIS_URL").read_text().strip())
    assert (address.hosts, address.tls, address.username) == ((("redis", 6379),), True, "resolver")
    users = (private / "redis/users.acl").read_text()
    assert address.password
    assert address.password not in users
    assert users.splitlines()[0].startswith("user default off ")


def test_redis_certificate_is_signed_by_the_authority(private: Path) -> None:
    context = ssl.create_default_context(cafile=str(private / "tls/ca.crt"))
    assert context.cert_store_stats()["x509_ca"] == 1
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(private / "redis/redis.crt", private / "redis/redis.key")
    assert _handshake(context, server, "redis")


def _handshake(client: ssl.SSLContext, server: ssl.SSLContext, host: str) -> bool:
    """Do a TLS handshake in memory. Raises if the client doesn't accept the server's certificate."""
    to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_hostname=host),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    left = list(ends)
    for _ in range(10):
        for end in list(left):
            try:
                end.do_handshake()
                left.remove(end)
            except ssl.SSLWantReadError:
                continue
        if not left:
            return True
    return False
