"""The blocking transport of httpx and httpx2.

Knows what a request of httpx becomes. Must never import httpx.
"""

from typing import Any, Final, cast

from mypy_extensions import mypyc_attr

from cno.adapters.configuration import Configuration
from cno.adapters.package import Package
from cno.adapters.prepared import (
    Head,
    Prepared,
    Targets,
    connect_fields,
    response_of,
    traced_head,
    websocket_fields,
)
from cno.adapters.sync_pool import SyncTransportPool, TracedDeadlines
from cno.adapters.sync_stream import SyncBodyStream, SyncNetworkStream, SyncTunnelStream
from cno.adapters.trace import SyncTracer, prefix
from cno.errors import ConnectionError
from cno.sync.messages import Response
from cno.sync.request_spec import RequestSpec, tunnel_request
from cno.sync.timeouts import FOREVER
from cno.sync.tunnel import Tunnel
from cno.sync.tunnel_opening import TunnelRequest
from cno.timeouts import Timeout

#: Records of timeouts that are kept.
MAX_TIMEOUTS: Final = 64
#: Seconds of a timeout of 0.
SHORTEST: Final = 1e-6


@mypyc_attr(allow_interpreted_subclasses=True)
class Carrier:
    """The work of a blocking transport; `cno.httpx.Transport` describes its arguments.

    `body_stream` and `tunnel_stream` are the classes of response bodies.
    """

    def __init__(
        self,
        package: Package,
        configuration: Configuration,
        body_stream: Any,
        tunnel_stream: Any,
    ) -> None:
        # Calls of its methods are fast: it has no interpreted subclasses, unlike this class.
        self._sender = SyncRequestSender(package, configuration, body_stream, tunnel_stream)

    def handle_request(self, request: Any) -> Any:
        """Send a request; return its response, whose body is not read yet."""
        return self._sender.send(request)

    def close(self) -> None:
        """Close all connections. Responses that are being read fail."""
        self._sender.close()


class SyncRequestSender:
    """Sends the requests of a transport. Its arguments are those of `Carrier`."""

    def __init__(
        self,
        package: Package,
        configuration: Configuration,
        body_stream: Any,
        tunnel_stream: Any,
    ) -> None:
        self._package = package
        self._body_stream = body_stream
        self._tunnel_stream = tunnel_stream
        self._targets = Targets(package)
        self._configuration = configuration
        self._timeouts: dict[Any, Timeout] = {}  # by their values
        self._pool: SyncTransportPool = configuration.new_sync_pool()

    def send(self, request: Any) -> Any:
        """Send a request; return its response, whose body is not read yet."""
        failure: Exception
        try:
            return self._handle(request)
        except ConnectionError as error:
            failure = self._package.translated(error)
        raise failure

    def close(self) -> None:
        """Close all connections. Responses that are being read fail."""
        pool = self._pool
        # As httpx's own, the transport can be used again.
        self._pool = self._configuration.new_sync_pool()
        pool._close(True)

    def _handle(self, request: Any) -> Any:
        prepared = Prepared(self._package, request)
        target = self._targets.find(request.url, prepared.server_name)
        tracer = None if prepared.trace is None else SyncTracer(prepared.trace)
        pool = self._pool
        deadlines = TracedDeadlines(pool._limits, self._timeout_of(prepared.timeouts), tracer)
        if prepared.opens_tunnel():
            asked = PreparedTunnel(prepared)
            response = pool.open_tunnel(target, asked, deadlines)
        else:
            spec = RequestSpec(
                prepared.method, prepared.path, prepared.fields, prepared.body, prepared.trailers
            )
            response = pool.send(target, spec, deadlines)
        done = False
        try:
            if tracer is not None:
                http2 = response._link.is_http2
                tracer.put(
                    f"{prefix(http2)}.receive_response_headers.complete",
                    traced_head(http2, response.code, response.reason, response.headers),
                )
            made = self._response(response, prepared, tracer)
            done = True
            return made
        finally:
            if not done:
                response.cancel()

    def _timeout_of(self, timeouts: Any) -> Timeout:
        """Return the limits of the extension `timeout`."""
        found: dict[str, Any] = {} if timeouts is None else timeouts
        key = (found.get("connect"), found.get("read"), found.get("write"), found.get("pool"))
        timeout = self._timeouts.get(key)
        if timeout is None:
            timeout = Timeout(
                connect=seconds(key[0]),
                read=seconds(key[1]),
                write=seconds(key[2]),
                pool=seconds(key[3]),
            )
            if len(self._timeouts) >= MAX_TIMEOUTS:
                self._timeouts.clear()
            self._timeouts[key] = timeout
        return timeout

    def _response(self, response: Response, prepared: Prepared, tracer: SyncTracer | None) -> Any:
        """Return the response as httpx has it."""
        package = self._package
        http2 = response._link.is_http2
        head = Head(prepared.method, prepared.fields, response.code, response.headers, http2)
        tunnel = Tunnel(response) if head.is_tunnel else None
        kind = self._tunnel_stream if head.is_tunnel else self._body_stream
        stream: SyncBodyStream = kind(package, response, tracer)
        network = SyncNetworkStream(package, response, tunnel)
        if tunnel is not None:
            cast(SyncTunnelStream, stream).network = network
        return response_of(package, head, response, stream, network, http2)


class PreparedTunnel(TunnelRequest):
    """A request for a tunnel: CONNECT, or an upgrade."""

    def __init__(self, prepared: Prepared) -> None:
        super().__init__(prepared.method != "CONNECT")
        self._prepared = prepared

    def spec(self, http2: bool) -> RequestSpec:
        prepared = self._prepared
        fields = prepared.fields
        if not self.is_upgrade:
            return tunnel_request("CONNECT", "", connect_fields(prepared.path, fields))
        if http2:
            return tunnel_request("CONNECT", prepared.path, websocket_fields(fields))
        return RequestSpec(prepared.method, prepared.path, fields, b"", None)


def seconds(value: Any) -> float:
    """Return a timeout of httpx as a number above 0."""
    return FOREVER if value is None else max(float(value), SHORTEST)
