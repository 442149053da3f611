"""The pool that applications use: requests and WebSockets to any number of servers.

Must never know which connections there are, or how a request is sent.
"""

from collections.abc import Iterable
from dataclasses import replace
from ssl import SSLContext
from types import TracebackType
from typing import TYPE_CHECKING

from mypy_extensions import mypyc_attr

from cno.aio import retrying
from cno.aio.arguments import check_configuration
from cno.aio.client.connect import Route
from cno.aio.client.connection import CLIENT_LIMITS, Response
from cno.aio.client.pending import Pending
from cno.aio.client.request_watch import InformationalHook, watch_for, watched
from cno.aio.connection_pool import ConnectionPool
from cno.aio.fields import Headers
from cno.aio.sources import Body
from cno.limits import Limits
from cno.pool.retries import Retries
from cno.settings import SettingsDict
from cno.timeouts import Timeout
from cno.trace.hook import Tracer

if TYPE_CHECKING:
    from cno.websocket.opening import Opening
    from cno.websocket.options import Options


@mypyc_attr(allow_interpreted_subclasses=True)
class Pool(ConnectionPool):
    """Sends requests to any number of servers, and keeps connections for later requests.

    HTTP/2: all requests to one origin (scheme, host and port) share one connection. Requests beyond
    the limit of the server wait. When the server sends GOAWAY, open requests continue, and new ones
    get a new connection. HTTP/1.1: an origin has up to `max_per_origin` connections, each for one
    request at a time. `max_connections` limits all connections that take requests; a request that
    needs one more closes the connection that has been idle the longest, or waits. Connections of
    HTTP/1.1 that have become WebSockets do not count. Requests are served in their order. None: no
    limit.

    A request that the server has certainly not processed is sent again, up to `retries` times,
    whatever its method: its stream was refused or is beyond the last one that a GOAWAY names
    (RFC 9113 8.7), or the connection ended before the request was sent. (Requests beyond the last
    one of a GOAWAY that names earlier ones do not count.) With `retry_idempotent`, a request with
    the method GET, HEAD, OPTIONS, TRACE, PUT, DELETE or QUERY is sent once more, over a new
    connection, if the server closes a reused connection without a byte of response (RFC 9110
    9.2.2). After a 421 (Misdirected Request), a request is sent once more over a new connection. If
    the server requires HTTP/1.1 (HTTP_1_1_REQUIRED), it and all later requests to that origin are
    sent over HTTP/1.1. All other failures raise an error; unless it is `retryable`, the server may
    have processed the request. A body that is iterated over can be sent again only while nothing
    has been read from it, or if it is a file that can be rewound.

    `ssl_ctx`, `ssl_hostname`, `force_http2`, `proxy`, `proxy_ssl_ctx`, `proxy_tunnel`, `unix`,
    `settings` and `limits` are as for `cno.connect`, and apply to all connections: with
    `ssl_hostname`, the certificate of each server must name that host. Of the limits,
    `keepalive_timeout` closes idle connections, `ping_interval` keeps the others alive,
    `handshake_timeout` limits connecting, `shutdown_timeout` the end of the pool. `pushes`: accept
    server push. `trace` takes the bytes of connections (`cno.trace`).

    A pool belongs to the first event loop that it is used in. In others it raises RuntimeError.
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
        trace: Tracer | None = None,
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
            trace,
        )
        self._retries = retries
        self._retry_idempotent = retry_idempotent

    def request(
        self,
        method: str,
        url: str,
        headers: Iterable[tuple[str, str]] = (),
        data: Body = b"",
        *,
        trailers: Headers | None = None,
        timeout: float | Timeout | None = None,
        on_informational: InformationalHook | None = None,
    ) -> Pending[Response]:
        """Send a request: `async with pool.request("GET", url) as response:`.

        `await pool.request(...)` returns the response too, once its head has been received. Read
        its payload to the end then, or use `async with`: until then, the response occupies its
        stream, or in HTTP/1.1 its connection. Cancelling resets the stream. The arguments are those
        of `Client.request`, with a URL in place of the path. `timeout` includes all retries.

        Raises ConnectError, StreamError and ConnectionLostError, all of which have `retryable`;
        ValueError for a malformed URL; UsageError for an invalid request, and if the pool is
        closed; TypeError or ValueError for an invalid body; and all errors of reading `data`.
        """
        watch = watch_for(timeout, on_informational)
        answer = retrying.request(
            self, method, url, headers, data, trailers, watch, self._new_retries()
        )
        return Pending(watched(watch, answer))

    def _new_retries(self) -> Retries:
        return Retries(self._retries, self._retry_idempotent)

    def websocket(
        self,
        url: str,
        headers: Iterable[tuple[str, str]] = (),
        *,
        subprotocols: Iterable[str] = (),
        options: "Options | None" = None,
    ) -> "Opening":
        """Open a WebSocket: `async with pool.websocket(url) as socket:`, or `await` it.

        `url` begins with `ws:` or `wss:`, or with a scheme that `request` takes. A connection of
        HTTP/2 is shared with requests if its server takes WebSockets; otherwise the WebSocket takes
        a connection of HTTP/1.1. It goes through a proxy by a tunnel. `subprotocols` are offered in
        this order. Leaving the block closes the WebSocket, and so does closing the pool.

        Raises UpgradeRefused for another response than an acceptance, `cno.websocket.
        HandshakeError` if the server accepts what was not offered, UnsupportedError if it takes no
        WebSockets over HTTP/2 and HTTP/1.1 cannot be used, ImportError without the extra `ws`;
        otherwise as `request`. Set a deadline by `asyncio.timeout`.
        """
        from cno.websocket.opening import Opening  # needs a package that clients may lack

        return Opening(self, url, headers, subprotocols, options, self._new_retries())

    def close(self) -> None:
        """Take no more requests, and close each connection once its requests are done.

        A response from which the application reads nothing for `Limits.linger_timeout` is
        cancelled. Connections that are open after `Limits.shutdown_timeout` are aborted.
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
        """Close the pool; after an exception, do not wait for open requests."""
        self._bind()
        self._close(error is not None)
        await self.wait_closed()
