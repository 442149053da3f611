"""For tests of applications: a client and a server that are joined in memory.

Needs no socket, no port and no thread. Knows asyncio's transports. Must never know how HTTP is
spoken. Stays interpreted.

    async def test_hello() -> None:
        answer = await cno.testing.answer(handle, "GET", "/hello")
        assert (answer.code, answer.body) == (200, b"hello")
"""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from cno.aio.client.urls import Target
from cno.aio.errors import RequestRefusedError
from cno.aio.fields import value_of
from cno.aio.public import Body, Client, Handler, Headers, Pool, Request, Server
from cno.limits import Limits

__all__ = ["Answer", "MemoryTransport", "answer", "connected", "pool"]

#: Bytes that a transport holds before its writer is paused.
HIGH_WATER: Final = 65_536
#: The names of the two ends.
CLIENT_NAME: Final = ("127.0.0.1", 50_000)
SERVER_NAME: Final = ("127.0.0.1", 80)


class MemoryTransport(asyncio.Transport):
    """One end of a connection in memory: `join` makes both. It obeys pauses, as a socket does."""

    def __init__(self, protocol: asyncio.Protocol, extra: Mapping[str, Any]) -> None:
        super().__init__(extra)
        self._loop = asyncio.get_running_loop()
        self._protocol: asyncio.BaseProtocol = protocol
        self._peer = self
        self._buffer = bytearray()  # bytes that the other end has not read
        self._high = HIGH_WATER
        self._low = HIGH_WATER // 4
        self._reading = True
        self._full = False  # `pause_writing` was called
        self._closing = False
        self._ended = False  # no more is written
        self._end_told = False  # and the other end knows it
        self._lost = False

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        return self._protocol

    def is_closing(self) -> bool:
        return self._closing

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        if not self._reading:
            self._reading = True
            self._loop.call_soon(self._peer._deliver)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        self._high = HIGH_WATER if high is None else high
        self._low = self._high // 4 if low is None else low

    def get_write_buffer_limits(self) -> tuple[int, int]:
        return self._low, self._high

    def get_write_buffer_size(self) -> int:
        return len(self._buffer)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if self._ended or self._lost:
            return
        if data and not self._buffer:
            self._loop.call_soon(self._deliver)
        self._buffer += data
        if len(self._buffer) > self._high and not self._full:
            self._full = True
            self._protocol.pause_writing()

    def writelines(self, list_of_data: Iterable[bytes | bytearray | memoryview]) -> None:
        self.write(b"".join(list_of_data))

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if not self._ended:
            self._ended = True
            self._loop.call_soon(self._deliver)

    def close(self) -> None:
        if not self._closing:
            self._closing = True
            self.write_eof()
            self._loop.call_soon(self._lose, None)

    def abort(self) -> None:
        self._closing = self._ended = self._end_told = True
        self._buffer.clear()
        self._loop.call_soon(self._lose, None)
        self._loop.call_soon(self._peer._lose, ConnectionResetError("the other end is gone"))

    def _deliver(self) -> None:
        """Give the other end what was written, if it reads."""
        peer = self._peer
        if peer._closing:
            self._buffer.clear()  # nobody reads it
        reader = peer._protocol
        if self._buffer and peer._reading and isinstance(reader, asyncio.Protocol):
            data = bytes(self._buffer)
            self._buffer.clear()
            reader.data_received(data)
        if self._full and len(self._buffer) <= self._low and not self._lost:
            self._full = False
            self._protocol.resume_writing()
        if self._ended and not self._buffer and not self._end_told and not peer._closing:
            self._end_told = True
            if not (isinstance(reader, asyncio.Protocol) and reader.eof_received()):
                peer.close()

    def _lose(self, error: Exception | None) -> None:
        if not self._lost:
            self._lost = self._closing = self._ended = True
            self._protocol.connection_lost(error)


def join(client: asyncio.Protocol, server: asyncio.Protocol) -> None:
    """Connect two protocols."""
    near = MemoryTransport(client, {"peername": SERVER_NAME, "sockname": CLIENT_NAME})
    far = MemoryTransport(server, {"peername": CLIENT_NAME, "sockname": SERVER_NAME})
    near._peer, far._peer = far, near
    server.connection_made(far)
    client.connection_made(near)


@asynccontextmanager
async def connected(
    handler: Handler,
    *,
    http2: bool = True,
    authority: str = "testserver",
    scheme: str = "http",
    limits: Limits | None = None,
    client_limits: Limits | None = None,
) -> AsyncIterator[Client]:
    """Give a `cno.Client` whose requests the handler answers: over HTTP/2, or HTTP/1.1.

    `limits` are those of the server. Leaving the block closes the connection, and cancels the
    handlers that still run.
    """
    server = Server(None, handler, limits=limits)
    client = Client(None, authority, scheme, force_http2=http2, limits=client_limits)
    join(client, server)
    try:
        yield client
    finally:
        client.close()
        await client.wait_closed()
        await server.wait_closed()


class Servers:
    """Servers in memory, by their origins, and the connections to them."""

    def __init__(self, handlers: Mapping[str, Handler], limits: Limits | None) -> None:
        self._handlers = {origin_of(Target(url)): each for url, each in handlers.items()}
        self._limits = limits
        self._connections: list[Server] = []

    async def connect(
        self, loop: asyncio.AbstractEventLoop, target: Target, client: Client, _: bool
    ) -> None:
        """Connect a client. Raises ConnectionRefusedError for an unknown origin."""
        handler = self._handlers.get(origin_of(target))
        if handler is None:
            raise ConnectionRefusedError(f"no handler for {target.scheme}://{target.authority}")
        server = Server(loop, handler, limits=self._limits)
        self._connections.append(server)
        join(client, server)

    async def wait_closed(self) -> None:
        """Wait until all connections are closed, and their handlers have returned."""
        for server in self._connections:
            await server.wait_closed()


def origin_of(target: Target) -> tuple[str, str, int]:
    """Return what distinguishes one server from another."""
    return target.scheme, target.host, target.port


@asynccontextmanager
async def pool(
    handlers: Mapping[str, Handler],
    *,
    http2: bool = True,
    limits: Limits | None = None,
    server_limits: Limits | None = None,
) -> AsyncIterator[Pool]:
    """Give a `cno.Pool` whose requests handlers answer: `pool({"http://prices": handle})`.

    Each URL names an origin: scheme, host and port. A request to another one raises ConnectError.
    Timeouts, retries and connections are those of a real pool.
    """
    servers = Servers(handlers, server_limits)
    made = Pool(force_http2=http2, limits=limits)
    made._dialer.route.connect_by(servers.connect)
    try:
        yield made
    finally:
        await made.aclose()
        await servers.wait_closed()


@dataclass(frozen=True)
class Answer:
    """A whole response. `informational` has the interim (1xx) responses before it."""

    code: int
    headers: Headers
    body: bytes
    trailers: Headers | None
    informational: list[tuple[int, Headers]]

    def header(self, name: str) -> str | None:
        """Return the first value of a field; None if there is none."""
        return value_of(self.headers, name.lower())

    def text(self) -> str:
        """Return the body as text in UTF-8."""
        return self.body.decode()

    def json(self) -> Any:
        """Return the body as the value that its JSON means."""
        return json.loads(self.body)


async def answer(
    handler: Handler,
    method: str,
    path: str,
    headers: Iterable[tuple[str, str]] = (),
    data: Body = b"",
    *,
    trailers: Headers | None = None,
    http2: bool = True,
    scheme: str = "http",
) -> Answer:
    """Call a handler with one request, and return its response.

    The request is a real one, and goes through a connection in memory. An exception of the handler
    is raised here, so that a test sees it, and not a 500.
    """
    failures: list[Exception] = []

    async def watched(request: Request) -> None:
        try:
            await handler(request)
        except Exception as error:
            failures.append(error)
            if not request.code:
                raise RequestRefusedError("the handler failed", 500, []) from None  # not logged
            request.conn.abort()

    async with connected(watched, http2=http2, scheme=scheme) as client:
        try:
            response = await client.request(method, path, headers, data, trailers=trailers)
            found = Answer(
                response.code,
                response.headers,
                await response.read(),
                response.trailers,
                response.informational,
            )
        except ConnectionError:
            if not failures:
                raise
        else:
            if not failures:
                return found
    raise failures[0]
