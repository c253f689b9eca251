"""The network between the resolver and the services that it calls: firewalls, proxies, names, dead
addresses."""

from __future__ import annotations

import base64
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.servers import Authority

Address = tuple[str, int]


def address_of(url: str) -> Address:
    host, _, port = url.partition("://")[2].partition("/")[0].rpartition(":")
    return host, int(port)


@contextmanager
def listening(serve: Callable[[socket.socket], None]) -> Iterator[Address]:
    """Run `serve` for each connection in a thread. At the end of the block all connections are closed."""
    listener = socket.create_server(("127.0.0.1", 0))
    connections: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def run(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            serve(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connections.append(connection)
                threads.append(threading.Thread(target=run, args=(connection,), daemon=True))
                threads[-1].start()

    accepting = threading.Thread(target=accept, daemon=True)
    accepting.start()
    try:
        yield listener.getsockname()
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join(5)
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join(5)


def read_head(connection: socket.socket) -> bytes:
    """Read a head byte by byte, so that nothing after it is consumed."""
    head = b""
    while not head.endswith(b"\r\n\r\n") and (byte := connection.recv(1)):
        head += byte
    return head


def read_request(connection: socket.socket) -> bytes:
    """Read a head, and as much of a body as it announces. Returns nothing when the client has closed."""
    head = read_head(connection)
    length = next(
        (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
    )
    body = b""
    while len(body) < length and (more := connection.recv(length - len(body))):
        body += more
    return head + body


def relay(one: socket.socket, other: socket.socket, is_silent: Callable[[], bool] = lambda: False) -> None:
    """Pass bytes on in both directions until either side ends. While `is_silent`, `one` gets nothing of
    `other`."""

    def pump(source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if not is_silent():
                    target.sendall(data)
        if target is other or not is_silent():
            with suppress(OSError):
                target.shutdown(socket.SHUT_RDWR)

    back = threading.Thread(target=pump, args=(other, one), daemon=True)
    back.start()
    pump(one, other)
    back.join()


@dataclass
class Firewall:
    """A firewall in front of a server. A dropped connection stays open on both sides, and passes nothing
    on."""

    address: Address = ("", 0)
    connections: int = 0
    _dropped_up_to: int = 0

    def drop_connections(self) -> None:
        self._dropped_up_to = self.connections

    @contextmanager
    def in_front_of(self, server: Address) -> Iterator[str]:
        def serve(connection: socket.socket) -> None:
            self.connections += 1
            number = self.connections
            with socket.create_connection(server) as onward:
                onward.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                relay(connection, onward, lambda: number <= self._dropped_up_to)

        with listening(serve) as (host, port):
            yield f"http://{host}:{port}"


@contextmanager
def tls_in_front_of(server: Address, certified: Authority) -> Iterator[Address]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certified.certificate, certified.key)

    def serve(connection: socket.socket) -> None:
        with (
            context.wrap_socket(connection, server_side=True) as opened,
            socket.create_connection(server) as onward,
        ):
            relay(opened, onward)

    with listening(serve) as address:
        yield address


@dataclass
class ForwardProxy:
    """A proxy that opens tunnels (CONNECT) and forwards http to the hosts of its table, without DNS."""

    routes: Mapping[str, Address]
    credentials: str = ""
    url: str = ""
    heads: list[bytes] = field(default_factory=list)
    """The head of every request, as it was sent."""

    @contextmanager
    def running(self, certified: Authority | None = None) -> Iterator[str]:
        """Run the proxy, and yield its URL with credentials. With a certificate it terminates TLS."""
        with ExitStack() as stack:
            address = stack.enter_context(listening(self._serve))
            if certified:
                address = stack.enter_context(tls_in_front_of(address, certified))
            user = f"{self.credentials}@" if self.credentials else ""
            yield f"http{'s' * bool(certified)}://{user}{address[0]}:{address[1]}"

    def _serve(self, connection: socket.socket) -> None:
        head = read_head(connection)
        self.heads.append(head)
        asked = head.split(b" ")[1].decode().removeprefix("http://").partition("/")[0]
        wanted = f"proxy-authorization: basic {base64.b64encode(self.credentials.encode()).decode()}\r\n"
        if self.credentials and wanted.lower().encode() not in head.lower():
            connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
            return
        if asked not in self.routes:
            connection.sendall(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n")
            return
        with socket.create_connection(self.routes[asked]) as onward:
            if head.startswith(b"CONNECT "):
                connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                onward.sendall(head.replace(f"http://{asked}".encode(), b"", 1))
            relay(connection, onward)


@contextmanager
def dead_addresses(number: int) -> Iterator[list[Address]]:
    """Yield addresses that neither accept nor refuse a connection, since their queues are full."""
    with ExitStack() as stack:
        found = []
        for n in range(number):
            listener = stack.enter_context(socket.create_server((f"127.0.0.{10 + n}", 0), backlog=0))
            found.append(listener.getsockname())
            for _ in range(8):
                waiting = stack.enter_context(socket.socket())
                waiting.setblocking(False)
                waiting.connect_ex(found[-1])
        yield found


# Replaced in the C module, since gevent's threads call that one and not the `socket` of plain threads.
NAMES = """
import _socket, os
resolve = _socket.getaddrinfo
NAMES = {names!r}

def getaddrinfo(host, port, family=0, type=0, proto=0, flags=0):
    found = NAMES.get(host.decode() if isinstance(host, bytes) else host)
    if found is None:
        return resolve(host, port, family, type, proto, flags)
    if flags & _socket.AI_NUMERICHOST:
        raise _socket.gaierror(_socket.EAI_NONAME, "a name")
    if not found:
        os.read(os.pipe()[0], 1)  # no name server answers
    return [(_socket.AF_INET, _socket.SOCK_STREAM, 6, "", tuple(address)) for address in found]

_socket.getaddrinfo = getaddrinfo
"""


def names_for(folder: Path, names: Mapping[str, list[Address]]) -> dict[str, str]:
    """Return the variables with which a Python process resolves these names, as if by DNS. For a name without
    addresses, the name server never answers."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(NAMES.format(names=dict(names)), encoding="utf-8")
    return {"PYTHONPATH": str(folder)}
