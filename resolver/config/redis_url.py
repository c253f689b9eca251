"""Parse REDIS_URL: one server, a Sentinel's service, or a cluster.

redis://user:password@host:6379/0                  rediss:// with TLS, unix://user:password@/path?db=0
redis+sentinel://user:password@host:26379,host:26379/service/0
redis+cluster://user:password@host:6379,host:6379  rediss+… with TLS
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, unquote

Kind = Literal["single", "sentinel", "cluster"]
Host = tuple[str, int]
# Allowed options after `?`. None may change time-outs.
_OPTIONS = frozenset(
    {"db", "ssl_ca_certs", "ssl_certfile", "ssl_keyfile", "sentinel_username", "sentinel_password"}
)
_SCHEMES = ("redis://", "rediss://", "unix://", "redis+sentinel://", "redis+cluster://")
_FORM = re.compile(
    r"(?P<scheme>rediss?(?:\+(?:sentinel|cluster))?)://(?:(?P<user>[^@/?#]*)@)?(?P<hosts>[^@/?#]+)"
    r"(?P<path>/[^?#]*)?(?:\?(?P<query>[^#]*))?"
)
_HOST = re.compile(r"(?P<name>\[[0-9a-fA-F:.]+\]|[^:\[\]\s]+)(?::(?P<port>[0-9]{1,5}))?")
_PORTS = {"single": 6379, "sentinel": 26379, "cluster": 6379}


@dataclass(frozen=True, slots=True)
class RedisAddress:
    kind: Kind
    hosts: tuple[Host, ...] = ()
    path: str = ""
    """The path of a Unix socket."""
    service: str = ""
    db: int = 0
    username: str | None = None
    password: str | None = None
    tls: bool = False
    options: Mapping[str, str] = ()  # type: ignore[assignment]

    @property
    def is_here(self) -> bool:
        """Whether it is a Unix socket or this host."""
        local = (name.startswith("127.") or name in ("localhost", "::1") for name, _ in self.hosts)
        return bool(self.path) or all(local)

    @property
    def is_private(self) -> bool:
        return self.tls or self.is_here


def parse(url: str) -> RedisAddress:
    """Parse the URL. Raises ValueError with what is wrong, without quoting the URL: it may hold a
    password."""
    if url.startswith("unix://"):
        path, _, query = url.removeprefix("unix://").partition("?")
        options = _options(query)
        user, _, path = path.rpartition("@")
        name, _, password = user.partition(":")
        if not path.startswith("/"):
            raise ValueError("must name the path of a socket after unix://")
        return RedisAddress(
            "single",
            path=path,
            db=_db(options.pop("db", "0")),
            username=unquote(name) or None,
            password=unquote(password) or None,
            options=options,
        )
    if not (found := _FORM.fullmatch(url)):
        raise ValueError(f"must start with {', '.join(_SCHEMES)}, and name a host")
    scheme, _, kind = found["scheme"].partition("+")
    return _network(kind or "single", scheme == "rediss", found)  # type: ignore[arg-type]


def _network(kind: Kind, tls: bool, found: re.Match[str]) -> RedisAddress:
    options = _options(found["query"] or "")
    service, db = _service_and_db(kind, (found["path"] or "").removeprefix("/"), options.pop("db", ""))
    name, _, password = (found["user"] or "").partition(":")
    hosts = tuple(_host(text, _PORTS[kind]) for text in found["hosts"].split(","))
    if kind == "single" and len(hosts) > 1:
        raise ValueError("names several hosts: that is redis+sentinel:// or redis+cluster://")
    return RedisAddress(
        kind=kind,
        hosts=hosts,
        service=service,
        db=db,
        username=unquote(name) or None,
        password=unquote(password) or None,
        tls=tls,
        options=options,
    )


def _service_and_db(kind: Kind, path: str, asked: str) -> tuple[str, int]:
    first, _, second = path.partition("/")
    match kind:
        case "single":
            if asked and path:
                raise ValueError("names the database twice")
            return "", _db(path or asked or "0")
        case "sentinel":
            if not first:
                raise ValueError("must end in the service that the Sentinels watch, such as /mymaster/0")
            return unquote(first), _db(second or asked or "0")
        case "cluster":
            if path or asked not in ("", "0"):
                raise ValueError("must name no database: a cluster has one")
            return "", 0


def _db(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,5}", text):
        raise ValueError("must end in the number of a database, such as /0")
    return int(text)


def _host(text: str, usual_port: int) -> Host:
    found = _HOST.fullmatch(text)
    port = int(found["port"] or usual_port) if found else 0
    if not found or not 0 < port < 65536:
        raise ValueError("has an invalid host or port")
    return found["name"].strip("[]"), port


def _options(query: str) -> dict[str, str]:
    try:
        options = dict(parse_qsl(query, strict_parsing=bool(query), keep_blank_values=True))
    except ValueError:
        raise ValueError("is not a usable Redis URL") from None
    if strangers := sorted(options.keys() - _OPTIONS):
        usable = ", ".join(sorted(_OPTIONS))
        raise ValueError(f"accepts only the options {usable} (not {', '.join(strangers)[:100]})")
    return options
