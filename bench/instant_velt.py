"""A Velt that answers every call at once, with success: `python -m bench.instant_velt PORT`.

The real one does not run on our machine, so what stands for it must cost hardly anything. It remembers how
many calls there were, between when and when, and the last body: GET /seen tells.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time

import orjson

_DONE = "Notification added successfully."
_BODY = orjson.dumps({"result": {"status": "success", "message": _DONE, "data": {"success": True}}})
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Seen:
    def __init__(self) -> None:
        self.calls, self.first, self.last, self.body = 0, 0.0, 0.0, b"null"

    def call(self, body: bytes) -> None:
        self.last = time.monotonic()
        self.first = self.first or self.last
        self.calls += 1
        self.body = body

    def told(self) -> bytes:
        return orjson.dumps(
            {"calls": self.calls, "seconds": self.last - self.first, "last": orjson.loads(self.body)}
        )


class Answering(asyncio.Protocol):
    def __init__(self, seen: Seen) -> None:
        self._seen, self._buffer = seen, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            found = _LENGTH.search(self._buffer, 0, end)
            stop = end + 4 + (int(found[1]) if found else 0)
            if len(self._buffer) < stop:
                return
            asked, body = self._buffer[:end], self._buffer[end + 4 : stop]
            self._buffer = self._buffer[stop:]
            self._answer(asked, body)

    def _answer(self, asked: bytes, body: bytes) -> None:
        if asked.startswith(b"GET /readyz "):
            reply = b"{}"
        elif asked.startswith(b"GET /seen "):
            reply = self._seen.told()
        else:
            self._seen.call(body)
            reply = _BODY
        head = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
        self._transport.write(head % len(reply) + reply)


async def main(port: int) -> None:
    seen = Seen()
    server = await asyncio.get_running_loop().create_server(lambda: Answering(seen), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
