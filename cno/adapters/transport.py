"""The asynchronous transport of httpx and httpx2.

Knows what a request of httpx becomes. Must never import httpx.
"""

import asyncio
import weakref
from collections.abc import Coroutine
from typing import Any, cast

from mypy_extensions import mypyc_attr

from cno.adapters.configuration import Configuration
from cno.adapters.deadline import FOREVER, Deadline, DeadlineQueues, Source, TimedRequest
from cno.adapters.package import Package
from cno.adapters.pool import TransportPool
from cno.adapters.prepared import (
    Head,
    Prepared,
    Targets,
    connect_fields,
    response_of,
    traced_head,
    websocket_fields,
)
from cno.adapters.stream import BodyStream, NetworkStream, TunnelStream
from cno.adapters.trace import Tracer, prefix
from cno.aio.client import request_queue, request_writer, responses
from cno.aio.client.connection import Response
from cno.aio.client.response_state import ResponseState
from cno.aio.client.urls import Target
from cno.aio.errors import ConnectionLostError
from cno.aio.fields import Headers
from cno.aio.tunnel import Tunnel
from cno.errors import ConnectionError


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
        # Calls of its methods are fast: it has no interpreted subclasses, unlike this class.
        self._sender = RequestSender(package, configuration, body_stream, tunnel_stream)

    def handle_async_request(self, request: Any) -> Coroutine[Any, Any, Any]:
        """Send a request; return its response, whose body is not read yet."""
        return self._sender.send(request)

    async def aclose(self) -> None:
        """Close all connections."""
        await self._sender.aclose()


class RequestSender:
    """Sends the requests of a transport. Its arguments are those of `AsyncCarrier`."""

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
        self._targets = Targets(package)
        self._pool: TransportPool | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        #: Those of other loops that used the transport.
        self._pools: Any = weakref.WeakKeyDictionary()

    async def send(self, request: Any) -> Any:
        """Send a request; return its response, whose body is not read yet."""
        loop = asyncio.get_running_loop()
        pool = self._pool_of(loop)
        failure: Exception | None = None
        deadline: Deadline | None = None
        made: Any = None
        try:
            prepared = Prepared(self._package, request)
            target = self._targets.find(request.url, prepared.server_name)
            deadline = deadline_of(pool.deadlines, prepared.timeouts)
            tracer = None if prepared.trace is None else Tracer(loop, prepared.trace)
            spec = spec_of(loop, prepared, deadline, tracer)
            if prepared.opens_tunnel():
                response = await self._open_tunnel(pool, target, spec)
            else:
                response = await pool.send(target, spec)
            deadline.arrived()
            if tracer is not None:
                http2 = response._conn._http2
                tracer.put(
                    f"{prefix(http2)}.receive_response_headers.complete",
                    traced_head(http2, response.code, response.reason, response.headers),
                )
                await tracer.drain()
            made = self._response(response, spec)
        except ConnectionError as error:
            failure = self._package.translated(error)
        finally:
            if made is None and deadline is not None:
                deadline.close()
        if failure is not None:
            raise failure
        return made

    async def aclose(self) -> None:
        """Close all connections."""
        pool = self._pool
        self._pool = None
        if pool is not None and self._loop is asyncio.get_running_loop():
            pool._close(True)  # at once, as httpx does: responses that are being read fail
            pool.deadlines.close()
            await pool.wait_closed()

    # -- one request -----------------------------------------------------------------------------

    def _response(self, response: Response, spec: TimedRequest) -> Any:
        """Return the response as httpx has it."""
        package = self._package
        http2 = response._conn._http2
        head = Head(spec.method, spec.fields, response.code, response.headers, http2)
        tunnel = Tunnel(response) if head.is_tunnel else None
        kind = self._tunnel_stream if head.is_tunnel else self._body_stream
        stream: BodyStream = kind(package, response, spec.deadline, spec.tracer)
        network = NetworkStream(package, response, tunnel)
        if tunnel is not None:
            spec.deadline.close()
            cast(TunnelStream, stream).network = network
        return response_of(package, head, response, stream, network, http2)

    # -- tunnels ---------------------------------------------------------------------------------

    async def _open_tunnel(
        self, pool: TransportPool, target: Target, spec: TimedRequest
    ) -> Response:
        """Send CONNECT, or ask for an upgrade: a WebSocket over HTTP/2 too (RFC 8441)."""
        connection = await pool.connection(target, spec)
        client = connection.client
        response: ResponseState | None = None
        sent = spec
        try:
            if spec.method == "CONNECT":
                sent = connect_request(spec)
            elif client.is_http2:
                await request_queue.wait_for_settings(client)
                if not client._remote._enable_connect_protocol:
                    return await self._open_tunnel(pool, pool.http1_target(target), spec)
                sent = websocket_request(spec)
            response = request_writer.try_head(client, sent)
            if response is None:
                raise ConnectionLostError("the connection takes no more requests", retryable=True)
            pool._store.sent(connection)
            if sent is spec:
                request_writer.send_body(client, response, spec)
            sent.sent(response)
            return cast(Response, await responses.wait(client, response, sent.method))
        finally:
            if response is None:
                pool._release(connection)

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
    return without_end(spec, spec.path, websocket_fields(spec.fields))


def connect_request(spec: TimedRequest) -> TimedRequest:
    """Return CONNECT with its target as authority (RFC 9110 9.3.6)."""
    return without_end(spec, "", connect_fields(spec.path, spec.fields))


def without_end(spec: TimedRequest, path: str, fields: Headers) -> TimedRequest:
    """Return a request of the same exchange whose stream stays open."""
    same = TimedRequest("CONNECT", path, fields, b"", None, spec.deadline, spec.tracer)
    same.empty = False
    return same


def spec_of(
    loop: asyncio.AbstractEventLoop,
    prepared: Prepared,
    deadline: Deadline,
    tracer: Tracer | None,
) -> TimedRequest:
    """Return a request as the pool takes it."""
    body = prepared.body
    if not prepared.is_whole:
        body = deadline.source = Source(loop, body)
    return TimedRequest(
        prepared.method,
        prepared.path,
        prepared.fields,
        body,
        prepared.trailers,
        deadline,
        tracer,
    )


def deadline_of(queues: DeadlineQueues, timeouts: Any) -> Deadline:
    """Return the limits of the extension `timeout`."""
    if timeouts is None:
        return Deadline(queues, FOREVER, FOREVER, FOREVER, FOREVER)
    found: dict[str, Any] = timeouts
    return Deadline(
        queues,
        seconds(found.get("connect")),
        seconds(found.get("read")),
        seconds(found.get("write")),
        seconds(found.get("pool")),
    )


def seconds(value: Any) -> float:
    return FOREVER if value is None else float(value)
