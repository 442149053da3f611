"""The body of a response, as httpx reads it from the blocking transport.

Knows when the rest of a response is given up. Must never know how a request was sent.
"""

from collections.abc import Iterator
from typing import Any

from mypy_extensions import mypyc_attr

from cno.adapters.fields import to_bytes
from cno.adapters.network import core_write_error, no_tunnel
from cno.adapters.package import Package
from cno.adapters.stream import PIECE
from cno.adapters.trace import SyncTracer, prefix
from cno.aio.errors import ConnectionLostError, StreamError
from cno.errors import UsageError
from cno.sync.messages import Response
from cno.sync.tunnel import Tunnel


@mypyc_attr(allow_interpreted_subclasses=True)
class SyncBodyStream:
    """The body of a response. `trailers` is filled at its end."""

    def __init__(self, package: Package, response: Response, tracer: SyncTracer | None) -> None:
        self._package = package
        self._response = response
        self._tracer = tracer
        self._begun = False
        self._closed = False
        self.trailers: list[Any] = []

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        response = self._response
        tracer = self._tracer
        if tracer is not None and not self._begun:
            self._begun = True
            tracer.put(f"{self._prefix()}.receive_response_body.started", {})
        failure: Exception | None = None
        data = b""
        try:
            data = response._read_some(PIECE)
        except (StreamError, ConnectionLostError) as error:
            failure = self._package.translated(error)
        if failure is not None:
            raise failure
        if data:
            return data
        if response.trailers and not self.trailers:
            self.trailers += to_bytes(response.trailers)
        if tracer is not None:
            tracer.put(f"{self._prefix()}.receive_response_body.complete", {"return_value": None})
        raise StopIteration

    def close(self) -> None:
        """Give up the rest of the response, if there is any."""
        if self._closed:
            return
        self._closed = True
        tracer = self._tracer
        if tracer is not None:
            tracer.put(f"{self._prefix()}.response_closed.started", {})
        self._response.cancel()
        if tracer is not None:
            tracer.put(f"{self._prefix()}.response_closed.complete", {"return_value": None})

    def _prefix(self) -> str:
        return prefix(self._response._link.is_http2)


@mypyc_attr(allow_interpreted_subclasses=True)
class SyncTunnelStream(SyncBodyStream):
    """The body of a response that opens a tunnel: none, for the tunnel has the bytes."""

    def __init__(self, package: Package, response: Response, tracer: SyncTracer | None) -> None:
        super().__init__(package, response, tracer)
        self.network: SyncNetworkStream | None = None

    def __next__(self) -> bytes:
        raise StopIteration

    def close(self) -> None:
        if self.network is not None:
            self.network.close()


class SyncNetworkStream:
    """The extension `network_stream` of a response (httpcore's NetworkStream).

    Reads and writes the bytes of a tunnel, after a response 101 or one to CONNECT. Of other
    responses, only `get_extra_info` is of use.
    """

    def __init__(self, package: Package, response: Response, tunnel: Tunnel | None) -> None:
        self._package = package
        self._response = response
        self._tunnel = tunnel

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Return up to this many bytes; b"" at the end."""
        tunnel = self._open_tunnel()
        try:
            return tunnel.read(max_bytes, timeout)
        except (StreamError, ConnectionLostError) as error:
            failure = self._package.core_error(error)
        raise failure

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Send bytes; wait until they are accepted."""
        tunnel = self._open_tunnel()
        try:
            tunnel.write(buffer, timeout)
            return
        except (StreamError, ConnectionLostError, UsageError) as error:
            failure = core_write_error(self._package, error)
        raise failure

    def close(self) -> None:
        """Close the tunnel."""
        tunnel = self._tunnel
        if tunnel is None:
            self._response.cancel()
            return
        try:
            tunnel.close()
        except (StreamError, ConnectionLostError):
            pass  # it is closed

    def start_tls(
        self,
        ssl_context: Any,
        server_hostname: str | None = None,
        timeout: float | None = None,
    ) -> Any:
        raise NotImplementedError("TLS inside a tunnel: use a transport with proxy=")

    def get_extra_info(self, info: str) -> Any:
        """Return `ssl_object`, `client_addr`, `server_addr`, `socket` or `is_readable`."""
        link = self._response._link
        if info == "ssl_object":
            return link.transport.session
        if info == "is_readable":
            return link.is_lost or link.is_closing
        sock = link.transport.sock
        if info == "client_addr":
            return sock.getsockname()
        if info == "server_addr":
            return sock.getpeername()
        if info == "socket":
            return sock
        return None

    def _open_tunnel(self) -> Tunnel:
        if self._tunnel is None:
            raise no_tunnel(self._package)
        return self._tunnel
