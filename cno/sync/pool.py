"""The pool that applications use: requests and WebSockets to any number of servers.

Must never know which connections exist, or how a request is sent.
"""

from collections.abc import Iterable
from dataclasses import replace
from ssl import SSLContext
from types import TracebackType
from typing import TYPE_CHECKING

from mypy_extensions import mypyc_attr

from cno.aio.arguments import check_configuration
from cno.aio.client.connection import CLIENT_LIMITS
from cno.aio.client.request_spec import completed
from cno.aio.client.urls import target_of
from cno.aio.fields import Headers, as_list
from cno.limits import Limits, with_windows
from cno.pool.retries import Retries
from cno.settings import SettingsDict
from cno.sync import retrying
from cno.sync.connection_pool import ConnectionPool
from cno.sync.dialing import Dialer
from cno.sync.exchange import OnInformational
from cno.sync.messages import Response
from cno.sync.request_spec import RequestSpec
from cno.sync.route import Route
from cno.sync.sources import Body
from cno.sync.timeouts import Deadlines
from cno.timeouts import Timeout, as_timeout
from cno.trace.hook import Tracer

if TYPE_CHECKING:
    from cno.sync.websocket.socket import WebSocket
    from cno.websocket.options import Options


@mypyc_attr(allow_interpreted_subclasses=True)
class Pool(ConnectionPool):
    """Sends requests to any number of servers, and keeps connections for later requests.

    Any number of threads may use a pool at the same time. HTTP/2: all requests to one origin share
    one connection. HTTP/1.1: an origin has up to `max_per_origin` connections, each for one request
    at a time. The arguments, and when a request is sent again, are as for `cno.Pool`; `max_idle`
    bounds the connections that nobody uses.

    A pool has no background thread: connections that were idle for too long are closed by the next
    request. The child of a fork makes its own connections. `trace` takes the bytes of connections
    (`cno.trace`): it is called with the pool's lock, so it must not use the pool.
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
        max_idle: int | None = None,
        retries: int = 5,
        retry_idempotent: bool = True,
        pushes: bool = False,
        settings: SettingsDict | None = None,
        limits: Limits | None = None,
        timeout: "Timeout | float | None" = None,
        trace: Tracer | None = None,
    ) -> None:
        check_configuration(settings, limits, False)
        chosen = CLIENT_LIMITS if limits is None else limits
        chosen = with_windows(chosen if pushes else replace(chosen, max_pushes=0), CLIENT_LIMITS)
        route = Route(ssl_ctx, ssl_hostname, proxy, unix, proxy_ssl_ctx, proxy_tunnel, tracer=trace)
        dialer = Dialer(route, force_http2, settings, chosen)
        super().__init__(dialer, chosen, max_connections, max_per_origin, max_idle)
        self._retries = retries
        self._retry_idempotent = retry_idempotent
        self._timeout = as_timeout(timeout)
        self._no_deadlines = Deadlines(self._limits, None)

    def request(
        self,
        method: str,
        url: str,
        headers: Iterable[tuple[str, str]] = (),
        data: Body = b"",
        *,
        trailers: Headers | None = None,
        timeout: "Timeout | float | None" = None,
        on_informational: OnInformational | None = None,
    ) -> Response:
        """Send a request. Return its response once the head has been received.

        The arguments are those of `Client.request`, with a URL in place of the path. Read the body
        to its end, or use `with`: until then, the response occupies its stream, or in HTTP/1.1 its
        connection.

        Raises ConnectError, StreamError and ConnectionLostError, all of which have `retryable`;
        ValueError for a malformed URL; UsageError for an invalid request, and if the pool is
        closed; TypeError or ValueError for an invalid body; and all errors of reading `data`.
        """
        target = target_of(url)
        fields = completed(as_list(headers), target.authority, target.credentials)
        spec = RequestSpec(method, target.path, fields, data, trailers)
        deadlines = self._deadlines(timeout)
        return retrying.send(self, target, spec, deadlines, on_informational, self._new_retries())

    def websocket(
        self,
        url: str,
        headers: Iterable[tuple[str, str]] = (),
        *,
        subprotocols: Iterable[str] = (),
        options: "Options | None" = None,
        timeout: "Timeout | float | None" = None,
    ) -> "WebSocket":
        """Open a WebSocket: `with pool.websocket(url) as socket:`.

        The arguments and errors are those of `cno.Pool.websocket`. `timeout` is for the opening.
        """
        from cno.sync.websocket.opening import open_websocket  # `websockets` may be missing

        deadlines = self._deadlines(timeout)
        return open_websocket(
            self, url, headers, subprotocols, options, deadlines, self._new_retries()
        )

    def close(self) -> None:
        """Refuse new requests, and close each connection when its exchanges have ended.

        Does not wait: a connection with open responses closes when they have been read.
        """
        self._close(False)

    def __enter__(self) -> "Pool":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close the pool. After an exception, open responses are cancelled."""
        self._close(error is not None)

    def _deadlines(self, timeout: "Timeout | float | None") -> Deadlines:
        found = self._timeout if timeout is None else as_timeout(timeout)
        return self._no_deadlines if found is None else Deadlines(self._limits, found)

    def _new_retries(self) -> Retries:
        return Retries(self._retries, self._retry_idempotent)
