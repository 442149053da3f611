"""The body of a response, as httpx reads it.

Knows when the rest of a response is given up. Must never know how a request was sent.
"""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

from mypy_extensions import mypyc_attr

from cno.adapters.deadline import Deadline
from cno.adapters.errors import READ, WRITE, PhaseTimeoutError
from cno.adapters.fields import to_bytes
from cno.adapters.network import core_write_error, no_tunnel
from cno.adapters.package import Package
from cno.adapters.trace import Tracer, prefix
from cno.aio.client.connection import Response
from cno.aio.errors import ConnectionLostError, StreamError
from cno.aio.tunnel import Tunnel
from cno.errors import UsageError

#: Bytes that one read asks for.
PIECE: Final = 131_072


@mypyc_attr(allow_interpreted_subclasses=True)
class BodyStream:
    """The body of a response. `trailers` is filled at its end."""

    def __init__(
        self, package: Package, response: Response, deadline: Deadline, tracer: Tracer | None
    ) -> None:
        self._package = package
        self._response = response
        self._buffer = response._get_buffer()
        self._deadline = deadline
        self._tracer = tracer
        self._begun = False
        self._closed = False
        self.trailers: list[Any] = []

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        buffer = self._buffer
        tracer = self._tracer
        if tracer is not None and not self._begun:
            self._begun = True
            tracer.put(f"{self._prefix()}.receive_response_body.started", {})
        failure: Exception | None = None
        data = b""
        try:
            if buffer._size != 0:
                data = buffer._take_some(PIECE)
            elif not buffer._ended:
                self._deadline.wait()
                data = await buffer.read(PIECE)
                self._deadline.arrived()
        except (StreamError, ConnectionLostError) as error:
            failure = self._package.translated(error)
        if failure is not None:
            self._deadline.close()
            raise failure
        if data:
            return data
        self._deadline.close()
        self._add_trailers()
        if tracer is not None:
            tracer.put(f"{self._prefix()}.receive_response_body.complete", {"return_value": None})
            await tracer.drain()
        raise StopAsyncIteration

    def take_whole(self) -> bytes | None:
        """Return the rest of the body if all of it has been received, None otherwise.

        Returns None for a response that is traced: a trace has the steps of `async for`.
        """
        buffer = self._buffer
        if not buffer._ended or buffer._error is not None or self._tracer is not None:
            return None
        data = buffer._take(buffer._size)
        self._deadline.close()
        self._add_trailers()
        return data

    async def aclose(self) -> None:
        """Give up the rest of the response, if there is any."""
        if self._closed:
            return
        self._closed = True
        self._deadline.close()
        tracer = self._tracer
        if tracer is not None:
            tracer.put(f"{self._prefix()}.response_closed.started", {})
        self._response.cancel()
        if tracer is not None:
            tracer.put(f"{self._prefix()}.response_closed.complete", {"return_value": None})
            await tracer.drain()

    def _add_trailers(self) -> None:
        trailers = self._response.trailers
        if trailers:
            self.trailers += to_bytes(trailers)

    def _prefix(self) -> str:
        return prefix(self._response._conn._http2)


@mypyc_attr(allow_interpreted_subclasses=True)
class TunnelStream(BodyStream):
    """The body of a response that opens a tunnel: none, for the tunnel has the bytes."""

    def __init__(
        self, package: Package, response: Response, deadline: Deadline, tracer: Tracer | None
    ) -> None:
        super().__init__(package, response, deadline, tracer)
        self.network: NetworkStream | None = None

    async def __anext__(self) -> bytes:
        raise StopAsyncIteration

    async def aclose(self) -> None:
        if self.network is not None:
            await self.network.aclose()


class NetworkStream:
    """The extension `network_stream` of a response (httpcore's AsyncNetworkStream).

    Reads and writes the bytes of a tunnel, after a response 101 or one to CONNECT. Of other
    responses, only `get_extra_info` is of use.
    """

    def __init__(self, package: Package, response: Response, tunnel: Tunnel | None) -> None:
        self._package = package
        self._response = response
        self._tunnel = tunnel

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109  # httpcore's name
        """Return up to this many bytes; b"" at the end."""
        tunnel = self._open_tunnel()
        try:
            return bytes(await within(tunnel.read(max_bytes), timeout, READ))
        except (StreamError, ConnectionLostError) as error:
            failure = self._package.core_error(error)
        raise failure

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109  # as above
        """Send bytes; wait until they are accepted."""
        tunnel = self._open_tunnel()
        try:
            if buffer:
                await within(tunnel.write(buffer), timeout, WRITE)
            return
        except (StreamError, ConnectionLostError, UsageError) as error:
            failure = core_write_error(self._package, error)
        raise failure

    async def aclose(self) -> None:
        """Close the tunnel."""
        tunnel = self._tunnel
        if tunnel is None:
            self._response.cancel()
            return
        try:
            await tunnel.close()
        except (StreamError, ConnectionLostError):
            pass  # it is closed

    async def start_tls(
        self,
        ssl_context: Any,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  # as above
    ) -> Any:
        raise NotImplementedError("TLS inside a tunnel: use a transport with proxy=")

    def get_extra_info(self, info: str) -> Any:
        """Return `ssl_object`, `client_addr`, `server_addr`, `socket` or `is_readable`."""
        transport = self._response._conn.transport
        if info == "ssl_object":
            return transport.get_extra_info("ssl_object")
        if info == "client_addr":
            return transport.get_extra_info("sockname")
        if info == "server_addr":
            return transport.get_extra_info("peername")
        if info == "socket":
            return transport.get_extra_info("socket")
        if info == "is_readable":
            return transport.is_closing()
        return None

    def _open_tunnel(self) -> Tunnel:
        if self._tunnel is None:
            raise no_tunnel(self._package)
        return self._tunnel


async def within(work: Any, limit: float | None, phase: str) -> Any:
    """Await `work` for at most `limit` seconds. Raises PhaseTimeoutError."""
    if limit is None:
        return await work
    try:
        async with asyncio.timeout(limit):
            return await work
    except TimeoutError as error:
        if isinstance(error, (StreamError, ConnectionLostError)):
            raise
    raise PhaseTimeoutError(phase, limit)
