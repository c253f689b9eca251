"""What lies between the resolver and the services it calls: firewalls, proxies, names, dead addresses."""

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
    """Runs `serve` for each connection, in a thread of its own. At the end all of them are closed."""
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
    """Byte by byte, so that nothing of what follows is taken."""
    head = b""
    while not head.endswith(b"\r\n\r\n") and (byte := connection.recv(1)):
        head += byte
    return head


def read_request(connection: socket.socket) -> bytes:
    """A head, and as much of a body as it announces; nothing when the client has hung up."""
    head = read_head(connection)
    length = next(
        (int(line[15:]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")), 0
    )
    body = b""
    while len(body) < length and (more := connection.recv(length - len(body))):
        body += more
    return head + body


def relay(one: socket.socket, other: socket.socket, is_silent: Callable[[], bool] = lambda: False) -> None:
    """Both ways, until either side ends. While it is silent, `one` hears nothing of `other` any more."""

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
    """In front of a server. What it drops stays open on both sides, and nothing passes any more."""

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
    """Opens tunnels (CONNECT) and forwards http, by a table of the hosts that it knows: names need no DNS."""

    routes: Mapping[str, Address]
    credentials: str = ""
    url: str = ""
    heads: list[bytes] = field(default_factory=list)
    """Of every request, as it was sent."""

    @contextmanager
    def running(self, certified: Authority | None = None) -> Iterator[str]:
        """Its URL, with credentials. With a certificate it speaks TLS itself."""
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
    """They answer no attempt to connect, neither yes nor no: as many hold a full queue of connections."""
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


# In the C module: gevent's threads ask that one, past the `socket` that plain threads ask.
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
    """Variables by which a Python process knows these names, as if a name server had said so. A name without
    addresses is one whose name server never answers."""
    folder.mkdir(exist_ok=True)
    (folder / "sitecustomize.py").write_text(NAMES.format(names=dict(names)), encoding="utf-8")
    return {"PYTHONPATH": str(folder)}
