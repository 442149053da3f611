"""Many requests, to anywhere, over as few connections as will do.

Knows what may be sent again, and when. Must never know which connections there are, or how a
request is written.
"""

import asyncio
from collections.abc import AsyncIterable, Iterable
from dataclasses import replace
from ssl import SSLContext
from types import TracebackType
from typing import Final, cast

from mypy_extensions import mypyc_attr

from cno.aio.arguments import check_configuration
from cno.aio.client import CLIENT_LIMITS
from cno.aio.connect import Route
from cno.aio.connection_pool import ConnectionPool
from cno.aio.errors import ConnectionLostError, StreamError
from cno.aio.messages import Response, as_list
from cno.aio.output import Headers, log
from cno.aio.pooled import ClientConnection
from cno.aio.repeat import is_repeatable, requires_http1
from cno.aio.request_spec import RequestSpec, authority_of, completed
from cno.aio.sources import Body, RetryableBody
from cno.aio.unreachable import connect_error
from cno.aio.urls import Target, target_of
from cno.errors import UsageError
from cno.limits import Limits
from cno.pool.retries import Retries
from cno.settings import SettingsDict

#: The status of a server that does not answer for the origin (RFC 9110 15.5.20).
MISDIRECTED: Final = 421


@mypyc_attr(allow_interpreted_subclasses=True)
class Pool(ConnectionPool):
    """Connections to any number of servers, kept for the requests to come.

    HTTP/2: one connection for each origin (scheme, host and port), which all requests share; those
    beyond the server's limit wait for their turn. When the server announces its end by GOAWAY, what
    is under way goes on, and new requests go to a new connection. HTTP/1.1: up to `max_per_origin`
    connections to each origin, each for one request at a time. `max_connections` bounds all that
    take requests together: whoever needs one more takes the place of that idle the longest, or
    waits; first come, first served. None: no bound.

    A request that has certainly not been processed is sent again, up to `retries` times, whatever
    its method: its stream was refused, or is beyond the last that a GOAWAY names (RFC 9113 8.7), or
    the connection was at its end before it was sent. (Where a server ends a connection after some
    of many requests, those beyond are sent again however often.) With `retry_idempotent`, a request
    with the method GET, HEAD, OPTIONS, TRACE, PUT, DELETE or QUERY is sent once more, over a new
    connection, if the server ended one that had been in use, without a byte of answer (RFC 9110
    9.2.2). A request that is answered by 421 is sent once more, over another connection, and one
    whose server requires HTTP/1.1 (HTTP_1_1_REQUIRED) over HTTP/1.1, as are all that follow it to
    that server. Nothing else is sent again: errors have `retryable`, and where that is False, the
    request may have been processed. A body that comes piece by piece can only be sent again while
    none of it has been asked for, or if it is a file that can be rewound.

    `ssl_ctx`, `ssl_hostname`, `force_http2`, `proxy`, `proxy_ssl_ctx`, `proxy_tunnel`, `unix`,
    `settings` and `limits` are as for `cno.connect`, and hold for all connections: with
    `ssl_hostname`, the certificate of each server must name that host, whatever the URL says. Of
    the limits, `keepalive_timeout` closes what has been idle for so long, `ping_interval` keeps the
    others alive, `handshake_timeout` bounds the making of a connection, `shutdown_timeout` the end
    of all. `pushes`: take what servers push.

    A pool belongs to the event loop that it is first used in, and raises RuntimeError in others.
    """

    def __init__(
        self,
        ssl_ctx: SSLContext | None = None,
        *,
        ssl_hostname: str | None = None,
        force_http2: bool = False,
        proxy: str | None = None,
        proxy_ssl_ctx: SSLContext | None = None,
        proxy_tunnel: bool = False,
        unix: str | None = None,
        max_connections: int | None = 500,
        max_per_origin: int | None = 100,
        retries: int = 5,
        retry_idempotent: bool = True,
        pushes: bool = False,
        settings: SettingsDict | None = None,
        limits: Limits | None = None,
    ) -> None:
        check_configuration(settings, limits, False)
        chosen = CLIENT_LIMITS if limits is None else limits
        super().__init__(
            Route(ssl_ctx, ssl_hostname, proxy, unix, proxy_ssl_ctx, proxy_tunnel),
            force_http2,
            max_connections,
            max_per_origin,
            settings,
            chosen if pushes else replace(chosen, max_pushes=0),
        )
        self._retries = retries
        self._retry_idempotent = retry_idempotent

    async def request(
        self,
        method: str,
        url: str,
        headers: Iterable[tuple[str, str]] = (),
        data: Body = b"",
        *,
        trailers: Headers | None = None,
    ) -> Response:
        """Send a request; returns its response as soon as that has begun to come.

        As `Client.request`, with a URL in place of the path. Read the payload to its end, or use
        `async with`: until then, the stream, in HTTP/1.1 the connection, is taken. Cancelling
        resets the stream; to wait no longer than so long, use `asyncio.timeout`.

        Raises ConnectError, StreamError and ConnectionLostError, all of which have `retryable`;
        ValueError for the URL, UsageError for what must not be sent, and when the pool is closed;
        TypeError or ValueError for what is no body; and whatever reading `data` raises.
        """
        self._bind()
        target = target_of(url)
        fields = completed(as_list(headers), target.authority, target.credentials)
        spec = RequestSpec(method, target.path, fields, data, trailers)
        if spec.source is None:
            return await self._carry(target, spec, None)
        return await self._carry_stream(target, spec, spec.source)

    def close(self) -> None:
        """Take no more requests, and close each connection once those it has are done.

        A response of which nobody reads anything for `Limits.linger_timeout` is given up; what is
        not done after `Limits.shutdown_timeout` is cut off.
        """
        self._close(False)

    async def aclose(self) -> None:
        """Close, and wait until that is done."""
        self._bind()
        self._close(False)
        await self.wait_closed()

    async def __aenter__(self) -> "Pool":
        self._bind()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close; after an exception without waiting for the requests that are under way."""
        self._bind()
        self._close(error is not None)
        await self.wait_closed()

    # -- requests --------------------------------------------------------------------------------

    async def _carry_stream(
        self, target: Target, spec: RequestSpec, source: AsyncIterable[bytes]
    ) -> Response:
        """As `_carry`, with a body that comes piece by piece."""
        body = RetryableBody(source)
        spec.source = body
        response: Response | None = None
        failure: BaseException | None = None
        try:
            response = await self._carry(target, spec, body)
        except BaseException as error:
            failure = error
        # (Not in a `finally`: see `messages.write_body`.)
        await body.release(response is not None)
        if response is None:
            try:
                raise failure or RuntimeError("neither a response nor an error")
            finally:
                failure = None  # else it would hold, by its traceback, what holds it
        return response

    async def _carry(
        self, target: Target, spec: RequestSpec, body: RetryableBody | None
    ) -> Response:
        """Send a request until somebody has processed it, or may have."""
        if self._store.is_closing:
            raise UsageError("the pool is closed")
        retries = Retries(self._retries, self._retry_idempotent)
        while True:
            if self._store.is_closing:
                raise ConnectionLostError("the pool was closed", retryable=True)
            origin = self._origin_of(target)
            unused_only = retries.needs_unused
            picked = self._store.pick(origin, unused_only)
            if picked is None:
                connection = await self._wait(origin, retries.goes_first, unused_only)
            else:
                connection = cast(ClientConnection, picked)
            client = connection.client
            if connection.is_reserved_alone() and (
                not connection.is_usable() or client.has_input()
            ):
                if not await self._is_well(connection):
                    told = connection.is_http2 and origin.http1_only  # before its first request
                    never_used = connection.is_unused() and not told
                    if never_used and not origin.is_served() and not self._store.is_closing:
                        raise connect_error(target, connection.why_closed())
                    continue
            response: Response | None = None
            try:
                response = client._try_open(spec)
                if response is None:
                    retries.blocked()
                else:
                    self._store.sent(connection)
                    client._send(response, spec)
                    answer = await client._answer(response, spec.method)
                    if answer.code != MISDIRECTED or not self._goes_elsewhere(
                        connection, answer, spec, target, body, retries
                    ):
                        return answer
            except (StreamError, ConnectionLostError) as error:
                if not self._goes_again(connection, response, spec, error, retries):
                    raise
                if body is not None and not body.again():
                    raise
                log.debug("%s: sending %s %s again", error, spec.method, target.path)
            finally:
                if response is None:
                    self._release(connection)
            pause = retries.pause()
            if pause > 0.0:
                await asyncio.sleep(pause)

    def _goes_again(
        self,
        connection: ClientConnection,
        response: Response | None,
        spec: RequestSpec,
        error: StreamError | ConnectionLostError,
        retries: Retries,
    ) -> bool:
        """Return whether to send a request again that has failed with this error."""
        # > HTTP_1_1_REQUIRED (0x0d): The endpoint requires that HTTP/1.1 be used instead of HTTP/2.
        # > (RFC 9113 7)
        client = connection.client
        if requires_http1(error) or client.was_told_http1():
            if not self._use_http1(connection):
                return False
        lost = isinstance(error, ConnectionLostError)
        return retries.failed(
            retryable=error.retryable,
            passed_over=response is not None and client.passed_over(response.stream),
            idempotent=lost and is_repeatable(client, response, spec.method),
        )

    def _goes_elsewhere(
        self,
        connection: ClientConnection,
        answer: Response,
        spec: RequestSpec,
        target: Target,
        body: RetryableBody | None,
        retries: Retries,
    ) -> bool:
        """Return whether to send a request again, over another connection, that 421 has answered.

        The origin is the URL's: where the headers name another authority, no connection of this
        pool leads there.
        """
        if authority_of(spec.fields) != target.authority or not retries.misdirected():
            return False
        if body is not None:
            if (answer._upload is not None and body.begun) or not body.again():
                return False
        answer.cancel()
        self._retire(connection)
        log.debug("421: sending %s %s again", spec.method, target.path)
        return True
