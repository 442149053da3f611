"""The least that any server of Python coroutines does: `python -m benchmarks.floor PORT`.

A bare protocol of uvloop that calls the ASGI application in a task, with a scope that is copied,
and a `send` that writes a head known beforehand, with the body, at once. It parses nothing and
checks nothing: each read is a request for one of three paths, or a part of an upload of 1 MiB. No
such server could be used.
"""

import asyncio
import sys
from typing import Any, Final

from benchmarks import apps

HEAD: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: %d\r\nserver: bench\r\n"
    b"date: Mon, 30 Nov 2026 17:00:00 GMT\r\n\r\n"
)
SMALL_HEAD: Final = HEAD % len(apps.BODY)
SCOPE: Final[dict[str, Any]] = {
    "type": "http",
    "asgi": {"version": "3.0", "spec_version": "2.5"},
    "http_version": "1.1",
    "server": ("127.0.0.1", 80),
    "client": ("127.0.0.1", 81),
    "scheme": "http",
    "root_path": "",
    "method": "GET",
    "path": "/",
    "raw_path": b"/",
    "query_string": b"",
    "headers": [(b"host", b"127.0.0.1")],
    "state": {},
    "extensions": {},
}
BIG_SCOPE: Final = {**SCOPE, "path": "/big", "raw_path": b"/big"}
JSON_SCOPE: Final = {**SCOPE, "path": "/json", "raw_path": b"/json"}
UPLOAD_SCOPE: Final = {**SCOPE, "method": "POST"}


async def receive() -> dict[str, Any]:
    """Return the end of the body, which has come already."""
    return {"type": "http.request", "body": b"", "more_body": False}


class Floor(asyncio.Protocol):
    """One connection."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._left = 0  # bytes of an upload that have not come

    def connection_made(self, transport: Any) -> None:
        self._transport: asyncio.Transport = transport

    def data_received(self, data: bytes) -> None:
        scope = SCOPE
        if self._left or data.startswith(b"POST"):
            if not self._left:
                self._left = len(apps.BIG) + data.index(b"\r\n\r\n") + 4
            self._left -= len(data)
            if self._left:
                return
            scope = UPLOAD_SCOPE
        elif data.startswith(b"GET /big"):
            scope = BIG_SCOPE
        elif data.startswith(b"GET /json"):
            scope = JSON_SCOPE
        asyncio.Task(apps.app(scope.copy(), receive, self.send), loop=self._loop)

    async def send(self, message: dict[str, Any]) -> None:
        """Write all of the response with its body."""
        if message["type"] == "http.response.body":
            body = message["body"]
            if body is apps.BODY:
                self._transport.write(SMALL_HEAD + body)
            else:
                self._transport.writelines([HEAD % len(body), body])


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Floor, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1])))
