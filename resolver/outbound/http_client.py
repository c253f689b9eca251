"""HTTP calls to another service, limited in time and size.

- Certificates are always verified.
- Redirects are not followed: they would send credentials to another host, or fetch a key set from one.
- Nothing is retried: only the caller knows whether a call is idempotent.
- HTTP_PROXY and NO_PROXY are ignored.
"""

from __future__ import annotations

import http.client
import ipaddress
import re
import ssl
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import unquote, urlsplit

from urllib3 import PoolManager, ProxyManager, make_headers
from urllib3._request_methods import RequestMethods
from urllib3.exceptions import HTTPError, ProxyError
from urllib3.exceptions import TimeoutError as HTTPTimeoutError
from urllib3.response import BaseHTTPResponse
from urllib3.util import Timeout

from resolver import __version__
from resolver.config import DIRECT, OutboundSettings
from resolver.deadline import Deadline
from resolver.errors import ServiceUnreachable
from resolver.outbound.connections import POOLS, SOCKET_OPTIONS, Call

_USER_AGENT = f"velt-notification-resolver/{__version__}"
_GZIP = 16 + zlib.MAX_WBITS
# Control characters in a header could inject another request.
_CONTROL = re.compile(r"[^\x20-\x7e]")
_REFUSED_BY_PROXY = re.compile(r"Tunnel connection failed: ([0-9]{3})\b")


class Answer(NamedTuple):
    status: int
    body: bytes
    headers: Mapping[str, str]


class HttpClient:
    """Calls one service. Thread-safe; connections are kept open between calls."""

    def __init__(  # noqa: PLR0913 - what bounds a call has no useful default
        self,
        url: str,
        headers: Mapping[str, str],
        *,
        connections: int,
        largest_answer: int,
        outbound: OutboundSettings = DIRECT,
        ca_file: str = "",
    ) -> None:
        """The URL's path is the prefix of each call's path. `ca_file`: certificate authorities for this
        service that replace those of `outbound`."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("not an http(s) URL")
        if any(_CONTROL.search(part) for header in headers.items() for part in header):
            raise ValueError("not a header")
        self._headers = {**headers, "user-agent": _USER_AGENT, "accept-encoding": "identity"}
        path = f"{parts.path or '/'}?{parts.query}" if parts.query else parts.path
        origin = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
        tls = _tls(ca_file or outbound.ca_file) if parts.scheme == "https" else None
        proxy = None if _is_loopback(parts.hostname) else outbound.proxy
        self._largest = largest_answer
        self._manager = _manager(proxy.reveal() if proxy else "", outbound.ca_file, tls, connections)
        self._origin = origin
        # For plain HTTP, a proxy gets the whole URL; for TLS, it opens a tunnel.
        self._is_forwarded = bool(proxy) and tls is None
        self._base = origin + path if self._is_forwarded else path
        self._connections = self._fresh_connections()

    def _fresh_connections(self) -> RequestMethods:
        """Return the pool itself where possible: through its manager, a call costs a quarter more."""
        return self._manager if self._is_forwarded else self._manager.connection_from_url(self._origin)

    def call(self, method: str, deadline: Deadline, body: bytes | None = None, path: str = "") -> Answer:
        """Make a call. Raises ServiceUnreachable if there is no usable answer in time."""
        if deadline.remaining() <= 0:
            raise ServiceUnreachable("no time left")
        call = Call(deadline)
        try:
            with call.bounded():
                return self._exchange(method, self._base + path or "/", deadline.remaining(), body)
        # RuntimeError: a thread couldn't be started.
        except (HTTPError, http.client.HTTPException, OSError, ValueError, zlib.error, RuntimeError) as error:
            if not call.has_connected:
                # An idle connection failed: whatever ended it, such as a firewall, has ended the others too.
                self._manager.clear()
                self._connections = self._fresh_connections()
            raise ServiceUnreachable(_kind(error)) from error

    def _exchange(self, method: str, url: str, seconds: float, body: bytes | None) -> Answer:
        response = self._connections.urlopen(
            method,
            url,
            redirect=False,
            retries=False,
            timeout=Timeout(connect=seconds, read=seconds),
            body=body,
            headers=self._headers,
            preload_content=False,
            decode_content=False,
        )
        try:
            return Answer(response.status, self._read(response), response.headers)
        except BaseException:
            # Data still to come would be taken for the next call's answer.
            response.close()
            raise

    def _read(self, response: BaseHTTPResponse) -> bytes:
        """Read the whole body. The size limit applies to the compressed and the unpacked bytes."""
        if response.status < 200:
            response.close()  # another answer follows an interim one
            return b""
        chunks, left = [], self._largest + 1
        while chunk := response.read(left):
            chunks.append(chunk)
            left -= len(chunk)
        if not left:
            raise ServiceUnreachable("the answer is too large")
        body = b"".join(chunks)
        return self._unpacked(body) if response.headers.get("content-encoding") == "gzip" else body

    def _unpacked(self, body: bytes) -> bytes:
        """Unpack gzip. It is not requested, but some file stores send what they hold."""
        unpacking = zlib.decompressobj(_GZIP)
        unpacked = unpacking.decompress(body, self._largest + 1)
        if len(unpacked) > self._largest or not unpacking.eof:
            raise ServiceUnreachable("the answer is too large, or cut off")
        return unpacked


def _manager(proxy: str, proxy_ca_file: str, tls: ssl.SSLContext | None, connections: int) -> PoolManager:
    options: dict[str, Any] = {
        "maxsize": connections,
        "socket_options": SOCKET_OPTIONS,
        **({"ssl_context": tls} if tls else {}),
    }
    if proxy:
        parts = urlsplit(proxy)
        credentials = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
        manager: PoolManager = ProxyManager(
            f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}",
            proxy_headers=make_headers(proxy_basic_auth=credentials) if parts.username else None,
            proxy_ssl_context=_tls(proxy_ca_file) if parts.scheme == "https" else None,
            **options,
        )
    else:
        manager = PoolManager(**options)
    manager.pool_classes_by_scheme = POOLS
    return manager


def _tls(ca_file: str) -> ssl.SSLContext:
    """Build a context that verifies against these authorities, or the system's."""
    return ssl.create_default_context(cafile=ca_file or None)


def _is_loopback(host: str) -> bool:
    """Whether the host is this machine; to a proxy, such an address would mean the proxy's machine."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _kind(error: BaseException) -> str:
    """Name what went wrong, without addresses or anything from the answer."""
    if isinstance(error, HTTPTimeoutError):
        return "TimeoutError"
    by = "proxy: " if isinstance(error, ProxyError) else ""
    while error.args and isinstance(error.args[-1], BaseException):
        error = error.args[-1]
    refused = _REFUSED_BY_PROXY.search(str(error)) if by else None
    return f"{by}{f'HTTP {refused[1]}' if refused else type(error).__name__}"
