"""The settings for calls to other services: forward proxy and certificate authorities."""

from __future__ import annotations

import ssl
from urllib.parse import unquote, urlsplit

from resolver.config.environment import Environment, is_printable
from resolver.config.settings import OutboundSettings


def read(env: Environment) -> OutboundSettings:
    proxy = env.secret("RESOLVER_OUTBOUND_PROXY")
    if proxy and (problem := _proxy_problem(proxy.reveal())):
        env.problem("RESOLVER_OUTBOUND_PROXY", problem)
    return OutboundSettings(proxy, ca_file(env, "RESOLVER_OUTBOUND_CA_FILE"))


def ca_file(env: Environment, name: str) -> str:
    path = env.text(name)
    if path:
        try:
            ssl.create_default_context(cafile=path)
        except (OSError, ValueError):
            env.problem(name, "names no readable file of certificates in PEM")
    return path


def _proxy_problem(url: str) -> str | None:
    """Return what is wrong, without quoting the URL, which may contain a password."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "is not a URL"
    if parts.scheme not in ("http", "https") or not host or " " in url:
        return "must be an http(s) URL, such as http://proxy.internal:3128"
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        return "must end after the host and port"
    credentials = unquote(f"{parts.username or ''}{parts.password or ''}", errors="replace")
    if credentials and not is_printable(credentials):
        return "has credentials with characters that HTTP headers can't carry"
    return None
