"""A small HTTP/1.1 server: keep-alive, one thread per connection, no log, and dropped connections on request.

Werkzeug's own server closes every connection after one answer, and neither it nor wsgiref can drop
one without an answer. Both matter to a client whose connection pool is under test.
"""

import re
import socket
import struct
import sys
from contextlib import suppress
from http.server import BaseHTTPRequestHandler
from io import BytesIO
from socketserver import TCPServer, ThreadingMixIn
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from flask import Flask
from werkzeug.wrappers import Response

from resolver.sandbox.faults import DroppedConnectionError
from resolver.sandbox.replies import VeltError, failure

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


_BODY_LIMIT = 64 * 2**20
_LINE_LIMIT = 65_536
_POLL_SECONDS = 0.02
_SERVER_ERRORS = 500
_MALFORMED = "Malformed HTTP request."
_BODILESS = {204, 304}
_DECIMAL = re.compile(r"[0-9]{1,18}")
_HEXADECIMAL = re.compile(r"[0-9A-Fa-f]{1,15}")


class AppServer(TCPServer):
    """A server whose connections serve `app`."""

    app: Flask


class Connection(BaseHTTPRequestHandler):
    """One client connection: it passes requests to the app, and drops the connection if a fault says so."""

    server: "AppServer"
    protocol_version = "HTTP/1.1"
    # Otherwise Nagle's algorithm and delayed acknowledgements cost 40 ms per call.
    disable_nagle_algorithm = True

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(_LINE_LIMIT + 1)
        if not self.raw_requestline.endswith(b"\n"):
            self.close_connection = True
        elif self.parse_request():
            self._serve()

    def _serve(self) -> None:
        try:
            environ = self._environ(self._read_body())
            self._send(Response.from_app(self.server.app, environ, buffered=True))
        except VeltError as refusal:
            self._refuse(refusal)
        except DroppedConnectionError as drop:
            self._drop(drop.reset)

    def _drop(self, reset: bool) -> None:
        self.close_connection = True
        if reset:
            # Lingering for zero seconds turns the close into a TCP reset. Close the reader first, since
            # it holds the socket open. Don't shut down before, or the client sees a clean end.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.rfile.close()
            self.connection.close()

    def _read_body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return self._read_chunks()
        return self._read_exactly(int(_digits(_DECIMAL, self.headers.get("Content-Length", "0"))))

    def _read_chunks(self) -> bytes:
        body = bytearray()
        while size := self._read_chunk_size():
            _refuse_oversized(len(body) + size)
            body += self._read_exactly(size)
            self._read_line()
        while self._read_line().strip():
            pass
        return bytes(body)

    def _read_chunk_size(self) -> int:
        size, _, _extension = self._read_line().decode("latin-1").partition(";")
        return int(_digits(_HEXADECIMAL, size.strip()), base=16)

    def _read_line(self) -> bytes:
        line = self.rfile.readline(_LINE_LIMIT)
        if not line:
            raise ConnectionAbortedError("the client went away within its request")
        return line

    def _read_exactly(self, size: int) -> bytes:
        _refuse_oversized(size)
        body = self.rfile.read(size)
        if len(body) < size:
            raise ConnectionAbortedError("the client went away within its request")
        return body

    def _environ(self, body: bytes) -> "WSGIEnvironment":
        path, _, query = self.path.partition("?")
        host, port = self.server.server_address[:2]
        return {
            "REQUEST_METHOD": self.command,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote(path, "latin-1"),
            "QUERY_STRING": query,
            "SERVER_NAME": host,
            "SERVER_PORT": str(port),
            "SERVER_PROTOCOL": self.request_version,
            "REMOTE_ADDR": self.client_address[0],
            "CONTENT_LENGTH": str(len(body)),
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": BytesIO(body),
            "wsgi.input_terminated": True,
            "wsgi.errors": sys.stderr,
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in self.headers.items()},
        }

    def _send(self, response: Response) -> None:
        body = b"" if response.status_code in _BODILESS else response.get_data()
        headers = [(name, value) for name, value in response.headers if name != "Content-Length"]
        if response.status_code not in _BODILESS:
            headers.append(("Content-Length", str(len(body))))
        if self.close_connection:
            headers.append(("Connection", "close"))
        lines = [f"HTTP/1.1 {response.status}", *(f"{name}: {value}" for name, value in headers)]
        head = "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")
        self.wfile.write(head if self.command == "HEAD" else head + body)

    def _refuse(self, refusal: VeltError) -> None:
        """Refuse a request before the app, and close the connection, since the body was not read."""
        self.close_connection = True
        self._send(failure(refusal))

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Send http.server's own errors in Velt's shape instead of as a page."""
        client_error = 400 if code >= _SERVER_ERRORS else code
        self._refuse(VeltError("INVALID_ARGUMENT", message or explain or _MALFORMED, client_error))


def _digits(pattern: re.Pattern[str], text: str) -> str:
    if not pattern.fullmatch(text):
        raise VeltError("INVALID_ARGUMENT", _MALFORMED)
    return text


def _refuse_oversized(size: int) -> None:
    if size > _BODY_LIMIT:
        raise VeltError("INVALID_ARGUMENT", "The request body is too large.", 413)


class RunningSandbox:
    """A sandbox that serves in the background until `stop()`, or until its `with` block ends."""

    def __init__(self, server: "_Server") -> None:
        host, port = server.server_address[:2]
        self.url = f"http://{host!s}:{port}"
        self._server = server
        self._thread = Thread(target=server.serve_forever, args=(_POLL_SECONDS,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()

    def __enter__(self) -> "RunningSandbox":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def start(app: Flask, host: str = "127.0.0.1", port: int = 0) -> RunningSandbox:
    """Serve `app` from a background thread. Port 0 takes a free one; `url` says which."""
    return RunningSandbox(_Server(app, host, port))


class _Server(ThreadingMixIn, AppServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, app: Flask, host: str, port: int) -> None:
        self.app = app
        self._open: set[socket.socket] = set()
        self._open_lock = Lock()
        super().__init__((host, port), Connection)

    def get_request(self) -> tuple[socket.socket, Any]:
        connection, address = super().get_request()
        with self._open_lock:
            self._open.add(connection)
        return connection, address

    def shutdown_request(self, request: Any) -> None:
        with self._open_lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """Close the clients' kept-alive connections, which would outlive the server."""
        with self._open_lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore clients that close their connection; print all other errors, which are bugs."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)
