"""The asynchronous transport of httpx and httpx2.

Knows what a request of httpx becomes. Must never import httpx.
"""

import asyncio
import base64
import hashlib
import weakref
from typing import Any, Final, cast

from mypy_extensions import mypyc_attr

from cno.adapters.configuration import Configuration
from cno.adapters.deadline import FOREVER, Deadline, Source, TimedRequest
from cno.adapters.fields import to_bytes, to_text, without
from cno.adapters.package import SCHEMES, Package
from cno.adapters.pool import TransportPool
from cno.adapters.stream import BodyStream, NetworkStream, TunnelStream
from cno.adapters.trace import Tracer, prefix
from cno.aio.client.urls import Target
from cno.aio.errors import ConnectionLostError
from cno.aio.fields import Headers, value_of
from cno.aio.hosts import bracketed
from cno.aio.messages import Response
from cno.aio.tunnel import Tunnel
from cno.errors import ConnectionError

#: Targets that are kept, by what httpx says of the origin.
MAX_TARGETS: Final = 1_024
#: Fields that ask for an upgrade in HTTP/1.1, which HTTP/2 asks for otherwise (RFC 8441 5).
UPGRADE_FIELDS: Final = frozenset(("connection", "upgrade", "sec-websocket-key", "host"))
#: A WebSocket server appends this to the client's key (RFC 6455 1.3).
WEBSOCKET_GUID: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@mypyc_attr(allow_interpreted_subclasses=True)
class AsyncCarrier:
    """The work of an asynchronous transport; `cno.httpx.AsyncTransport` describes its arguments.

    `body_stream` and `tunnel_stream` are the classes of response bodies.
    """

    def __init__(
        self,
        package: Package,
        configuration: Configuration,
        body_stream: Any,
        tunnel_stream: Any,
    ) -> None:
        self._package = package
        self._configuration = configuration
        self._body_stream = body_stream
        self._tunnel_stream = tunnel_stream
        self._targets: dict[Any, Target] = {}
        self._pool: TransportPool | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        #: Those of other loops that used the transport.
        self._pools: Any = weakref.WeakKeyDictionary()

    async def handle_async_request(self, request: Any) -> Any:
        """Send a request; return its response, whose body is not read yet."""
        failure: Exception
        try:
            return await self._handle(request)
        except ConnectionError as error:
            failure = self._package.translated(error)
        raise failure

    async def aclose(self) -> None:
        """Close all connections."""
        pool = self._pool
        self._pool = None
        if pool is not None and self._loop is asyncio.get_running_loop():
            # httpx closes at once: responses that are being read fail.
            pool._close(True)
            await pool.wait_closed()

    # -- one request -----------------------------------------------------------------------------

    async def _handle(self, request: Any) -> Any:
        extensions: dict[str, Any] = request.extensions
        loop = asyncio.get_running_loop()
        pool = self._pool_of(loop)
        target = self._target_of(request.url, extensions.get("sni_hostname"))
        path: str = str(request.url.raw_path, "ascii")
        wanted = extensions.get("target")
        if wanted is not None:
            path = str(wanted, "ascii") if isinstance(wanted, bytes) else wanted
        deadline = deadline_of(loop, extensions.get("timeout"))
        trace = extensions.get("trace")
        tracer = None if trace is None else Tracer(loop, trace)
        method: str = request.method
        fields = to_text(request.headers.raw)
        stream = request.stream
        body: Any = b""
        if isinstance(stream, self._package.byte_stream):
            body = b"".join(stream)
        else:
            body = deadline.source = Source(loop, stream)
        trailers = trailers_of(extensions.get("trailers"))
        if trailers:
            fields = without(fields, frozenset(("content-length",)))
        spec = TimedRequest(method, path, fields, body, trailers, deadline, tracer)
        tunnelled = method == "CONNECT" or bool(value_of(fields, "upgrade"))
        done = False
        try:
            if tunnelled:
                response = await self._open_tunnel(pool, target, spec)
            else:
                response = await pool.send(target, spec)
            deadline.arrived()
            if tracer is not None:
                tracer.put(
                    f"{prefix(response._conn._http2)}.receive_response_headers.complete",
                    head_of(response),
                )
                await tracer.drain()
            done = True
        finally:
            if not done:
                deadline.close()
        return self._response(response, spec)

    def _response(self, response: Response, spec: TimedRequest) -> Any:
        """Return the response as httpx has it."""
        package = self._package
        code = response.code
        headers = response.headers
        tunnel: Tunnel | None = None
        http2 = response._conn._http2
        if spec.method == "CONNECT":
            if 200 <= code < 300:
                tunnel = Tunnel(response)
        elif code == 101:
            tunnel = Tunnel(response)
        elif http2 and 200 <= code < 300 and value_of(spec.fields, "upgrade"):
            tunnel = Tunnel(response)
            code = 101  # as if it were HTTP/1.1: httpx has no other way to say so
            headers = [
                ("upgrade", "websocket"),
                ("connection", "upgrade"),
                (
                    "sec-websocket-accept",
                    accept_of(value_of(spec.fields, "sec-websocket-key") or ""),
                ),
                *headers,
            ]
        kind = self._body_stream if tunnel is None else self._tunnel_stream
        stream: BodyStream = kind(package, response, spec.deadline, spec.tracer)
        network = NetworkStream(package, response, tunnel)
        if tunnel is not None:
            spec.deadline.close()
            cast(TunnelStream, stream).network = network
        extensions: dict[str, Any] = {
            "http_version": b"HTTP/2" if http2 else b"HTTP/1.1",
            "network_stream": network,
            "trailers": stream.trailers,
            "informational": [(c, to_bytes(h)) for c, h in response.informational],
        }
        if http2:
            extensions["stream_id"] = response.stream
        else:
            extensions["reason_phrase"] = response.reason.encode("utf-8", "surrogateescape")
        return package.response(
            status_code=code, headers=to_bytes(headers), stream=stream, extensions=extensions
        )

    # -- tunnels ---------------------------------------------------------------------------------

    async def _open_tunnel(
        self, pool: TransportPool, target: Target, spec: TimedRequest
    ) -> Response:
        """Send CONNECT, or ask for an upgrade: a WebSocket over HTTP/2 too (RFC 8441)."""
        connection = await pool.connection(target, spec)
        client = connection.client
        response: Response | None = None
        sent = spec
        try:
            if spec.method == "CONNECT":
                sent = connect_request(spec)
            elif client.is_http2:
                await client._settings_known()
                if not client._remote._enable_connect_protocol:
                    return await self._open_tunnel(pool, pool.http1_target(target), spec)
                sent = websocket_request(spec)
            response = client._try_open(sent)
            if response is None:
                raise ConnectionLostError("the connection takes no more requests", retryable=True)
            pool._store.sent(connection)
            if sent is spec:
                client._send(response, spec)
            pool._begun(response, sent)
            return await client._answer(response, sent.method)
        finally:
            if response is None:
                pool._release(connection)

    # -- origins ---------------------------------------------------------------------------------

    def _target_of(self, url: Any, server_name: Any) -> Target:
        scheme: str = url.scheme
        host: bytes = url.raw_host
        port: Any = url.port
        key = (scheme, host, port, server_name)
        target = self._targets.get(key)
        if target is None:
            target = self._new_target(scheme, str(host, "ascii"), port, server_name)
            if len(self._targets) >= MAX_TARGETS:
                self._targets.clear()
            self._targets[key] = target
        return target

    def _new_target(self, scheme: str, host: str, port: Any, server_name: Any) -> Target:
        by = SCHEMES.get(scheme)
        if by is None or host == "":
            raise self._package.unsupported("" if host == "" and by is None else scheme)
        place = bracketed(host)
        if port is not None:
            place = f"{place}:{port}"
        try:
            target = Target(f"{by}://{place}/")
        except ValueError as error:
            failure = self._package.error("LocalProtocolError", str(error), error)
            raise failure from error
        if server_name is not None:
            name = str(server_name, "ascii") if isinstance(server_name, bytes) else server_name
            target.server_name = name
            target.origin = f"{target.origin} {name}"
        return target

    def _pool_of(self, loop: asyncio.AbstractEventLoop) -> TransportPool:
        """Return the pool of the running event loop."""
        if loop is self._loop and self._pool is not None:
            return self._pool
        if self._pool is not None and self._loop is not None and not self._loop.is_closed():
            self._pools[self._loop] = self._pool
        found: Any = self._pools.get(loop)
        pool = self._configuration.new_pool() if found is None else cast(TransportPool, found)
        self._pool = pool
        self._loop = loop
        return pool


def websocket_request(spec: TimedRequest) -> TimedRequest:
    """Return the extended CONNECT for an upgrade of HTTP/1.1."""
    fields: Headers = [
        (":protocol", value_of(spec.fields, "upgrade") or ""),
        (":authority", value_of(spec.fields, "host") or ""),
        *without(spec.fields, UPGRADE_FIELDS),
    ]
    same = TimedRequest("CONNECT", spec.path, fields, b"", None, spec.deadline, spec.tracer)
    same.empty = False  # the stream stays open
    return same


def connect_request(spec: TimedRequest) -> TimedRequest:
    """Return CONNECT with its target as authority (RFC 9110 9.3.6)."""
    fields = [(":authority", spec.path), *without(spec.fields, frozenset(("host",)))]
    same = TimedRequest("CONNECT", "", fields, b"", None, spec.deadline, spec.tracer)
    same.empty = False
    return same


def accept_of(key: str) -> str:
    """Return the field that proves a WebSocket handshake (RFC 6455 4.2.2)."""
    digest = hashlib.sha1((key + WEBSOCKET_GUID).encode(), usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def deadline_of(loop: asyncio.AbstractEventLoop, timeouts: Any) -> Deadline:
    """Return the limits of the extension `timeout`."""
    if timeouts is None:
        return Deadline(loop, FOREVER, FOREVER, FOREVER, FOREVER)
    found: dict[str, Any] = timeouts
    return Deadline(
        loop,
        seconds(found.get("connect")),
        seconds(found.get("read")),
        seconds(found.get("write")),
        seconds(found.get("pool")),
    )


def seconds(value: Any) -> float:
    return FOREVER if value is None else float(value)


def trailers_of(given: Any) -> Headers | None:
    """Return the trailers of the extension: pairs of text or bytes."""
    if not given:
        return None
    trailers: Headers = []
    for name, value in given:
        trailers.append(
            (
                (str(name, "latin-1") if isinstance(name, bytes) else name).lower(),
                str(value, "utf-8", "surrogateescape") if isinstance(value, bytes) else value,
            )
        )
    return trailers


def head_of(response: Response) -> dict[str, Any]:
    """Return httpcore's form of a response's head, for `trace`."""
    fields = to_bytes(response.headers)
    if response._conn._http2:
        return {"return_value": (response.code, fields)}
    reason = response.reason.encode("utf-8", "surrogateescape")
    return {"return_value": (b"HTTP/1.1", response.code, reason, fields)}
